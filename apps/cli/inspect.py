"""`saccade inspect`."""

import os

import typer

from ..core.errors import UserError
from .loading import load_run
from .options import holds_run
from .tables import show_figures

RUN_AND_FILE = typer.Argument(None, metavar="[RUN] [FILE]")


def inspect(
    app: str,
    words: list[str] = RUN_AND_FILE,
    out: str = typer.Option("", help="Folder of the pictures; RUN/inspect by default."),
):
    """What goes on inside a model: `saccade inspect APP [RUN] [FILE]`.

    Without RUN, the newest run. FILE is a text that the model reads, where the app
    shows what it does meanwhile.

    Example: `saccade inspect char_lm program.py --out cells`

    Example: `saccade inspect tagging RUN`
    """
    words = list(words or ())
    named = len(words) > 1 or (words and holds_run(words[0]))
    folder = [words.pop(0)] if named else []
    if len(words) > 1:
        raise UserError(f"Expected [RUN] [FILE]; received also {' '.join(words[1:])}.")
    if words and not os.path.isfile(words[0]):
        raise UserError(f"Expected a text file to read, found none at {words[0]}.")
    show_figures(load_run(app, *folder).inspect(*words, out=out or None))
