"""`saccade predict`."""

import typer

from .answers import print_answers
from .loading import load_quietly
from .options import HELP, JSON_LINES, PROMPT, show_decoding_help, split_run


def predict(
    context: typer.Context,
    app: str = typer.Argument(""),
    plot: str = typer.Option("", help="Draw where the network looked into this PNG."),
    as_json: bool = JSON_LINES,
    prompt: str = PROMPT,
    help: bool = HELP,
):
    """Answer for inputs: `saccade predict APP [RUN] INPUT ... [--key=value]`.

    RUN is a run's folder or an export's; without it, the newest run. INPUT is a file, a
    pattern, or `-` for file names on standard input. How it decodes can be set, as
    `--beam=5`; an export decodes as it was exported. An input that cannot be read gets
    an error line, the others their answers; the exit status is then 1.

    An app that reads texts takes the content of each file, of standard input (`-`), or
    the `--prompt`, and writes while you watch.

    Example: `saccade predict captioning cat.jpg "more/*.png" --beam 5`

    Example: `saccade predict char_lm --prompt "def main(" --length 500 --seed 1`
    """
    if help or not app:
        show_decoding_help(context, app)
        raise typer.Exit(0 if help else 2)
    folder, words, options = split_run(app, context.args)

    def load():
        return load_quietly(app).load(folder)

    print_answers(app, words, prompt, as_json, plot, load, options)
