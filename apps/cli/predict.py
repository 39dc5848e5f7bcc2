"""`saccade predict`."""

import typer

from .answers import check_files, show_answers
from .loading import load_quietly
from .options import (
    HELP,
    JSON_LINES,
    PLOT,
    SIGNATURE,
    SORT,
    TABLE,
    TO,
    How,
    check_given,
    show_answering_help,
    split_run,
)
from .requests import read_requests


def predict(
    context: typer.Context,
    app: str = typer.Argument(""),
    signature: str = SIGNATURE,
    table: str = TABLE,
    to: str = TO,
    sort: str = SORT,
    plot: str = PLOT,
    as_json: bool = JSON_LINES,
    add: str = typer.Option(
        "",
        metavar="NAME",
        help="Teach the run that these inputs are NAME, without training, and answer "
        "nothing; where the app can.",
    ),
    help: bool = HELP,
):
    """Answer requests: `saccade predict APP [RUN] [FILE ...] [--KIND VALUE ...]`.

    RUN is a run's folder or an export's; without it, the newest run. FILE is a file, a
    pattern, or `-` for standard input (a text, or the names of other files); where
    several inputs read files, the words are theirs in turn. Every input has an option
    by its name, given once for all rows or once per row. How it answers can be set, as
    `--beam=5`; an export answers as it was exported, but for what a request can hold.
    An input that cannot be read gets an error line, the others their answers; the exit
    status is then 1. Where an answer comes in parts, you see it being made.

    Example: `saccade predict captioning cat.jpg "more/*.png" --beam 5`

    Example: `saccade predict char_lm --prompt "def main(" --length 500 --seed 1`

    Example: `saccade predict faces RUN --add Ada ada-1.png ada-2.png`

    Example: `saccade predict captioning --table pictures.csv --to captions.csv`
    """
    if help or not app:
        show_answering_help(context, app)
        raise typer.Exit(0 if help else 2)
    folder, words, options = split_run(app, context.args)
    check_given(app, words, table)
    how = How(signature, as_json, table, to, sort, plot)
    loaded = load_quietly(app)
    check_files(loaded, how)
    run = loaded.load(folder)
    if add:
        task = run.task
        asked = read_requests(task.kinds(), words, table, task.readers)
        run.add(add, asked.requests)
        print(f"added: {add}")
    else:
        show_answers(run, words, options, how)
