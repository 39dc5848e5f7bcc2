"""`saccade inspect`."""

import os

import typer

from ..core.errors import UserError
from .loading import load_run
from .tables import show_figures

RUN_AND_FILE = typer.Argument(metavar="[RUN] FILE")


def inspect(
    app: str,
    words: list[str] = RUN_AND_FILE,
    out: str = typer.Option("", help="Folder of the pictures; RUN/inspect by default."),
):
    """What goes on inside a model while it reads: `saccade inspect APP [RUN] FILE`.

    Without RUN, the newest run. FILE is a text.

    Example: `saccade inspect char_lm program.py --out cells`
    """
    *folder, path = words
    if len(folder) > 1:
        raise UserError(f"Expected [RUN] FILE; received {' '.join(words)}.")
    if not os.path.isfile(path):
        raise UserError(f"Expected a text file to read, found none at {path}.")
    show_figures(load_run(app, *folder).inspect(path, out or None))
