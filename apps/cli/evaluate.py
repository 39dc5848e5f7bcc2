"""`saccade evaluate`."""

import json

import typer

from ..core.errors import UserError
from .loading import load_run
from .options import HELP, show_answering_help, split_run
from .tables import show_figures, show_folds

LEAVE_ONE_OUT = "leave-one-out"


def evaluate(
    context: typer.Context,
    app: str = typer.Argument(""),
    data: str = typer.Option(
        "", help="Other data than the run's own; of it, too, the test split counts."
    ),
    folds: str = typer.Option(
        "",
        metavar="N",
        help="Cross-validation by the run's settings: N trainings, or leave-one-out.",
    ),
    group: str = typer.Option(
        "",
        metavar="COLUMN",
        help="Rows that are equal in it stay in one fold; else those of equal inputs.",
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON object instead."),
    help: bool = HELP,
):
    """Measure a trained model: `saccade evaluate APP [RUN] [--key=value]`.

    Without RUN, the newest run. How it decodes can be set, as `--beam=5`.

    With `--folds` every row is a test row once, of a model that is trained anew without
    it by the settings of the run, for as many steps: a line per fold, then the figures
    of all rows and their mean and deviation over the folds.

    Example: `saccade evaluate captioning --beam 5`

    Example: `saccade evaluate dna --folds 10`
    """
    if help or not app:
        show_answering_help(context, app)
        raise typer.Exit(0 if help else 2)
    folder, words, options = split_run(app, context.args)
    if words.plain or words.values:
        raise UserError(
            "Expected the folder of one run; received "
            f"{' '.join([*words.plain, *words.values])}."
        )
    if group and not folds:
        raise UserError("--group keeps rows in one fold: give --folds too.")
    how = {"folds": folds_in(folds), "group": group} if folds else {}
    run = load_run(app, folder)
    measure = run.cross_validate if folds else run.evaluate
    figures = measure(data=data or None, **how, **options)
    if as_json:
        print(json.dumps(figures))
    elif folds:
        show_folds(figures)
    else:
        show_figures(figures)


def folds_in(word):
    """The value of --folds: a number, or leave-one-out."""
    if word == LEAVE_ONE_OUT:
        return word
    if not word.isdecimal() or int(word) < 2:
        raise UserError(
            f"--folds expected a number from 2 on, or {LEAVE_ONE_OUT}; received "
            f"{word!r}."
        )
    return int(word)
