"""`saccade evaluate`."""

import json

import typer

from ..core.errors import UserError
from .loading import load_run
from .options import HELP, show_answering_help, split_run
from .tables import show_figures


def evaluate(
    context: typer.Context,
    app: str = typer.Argument(""),
    data: str = typer.Option(
        "", help="Other data than the run's own; of it, too, the test split counts."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON object instead."),
    help: bool = HELP,
):
    """Measure a trained model: `saccade evaluate APP [RUN] [--key=value]`.

    Without RUN, the newest run. How it decodes can be set, as `--beam=5`.

    Example: `saccade evaluate captioning --beam 5`
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
    figures = load_run(app, folder).evaluate(data or None, **options)
    print(json.dumps(figures)) if as_json else show_figures(figures)
