"""`saccade data`."""

import typer

from .loading import load_quietly
from .options import HELP, PRESET, read_settings, show_settings_help
from .tables import show_facts


def data(
    context: typer.Context,
    app: str = typer.Argument(""),
    preset: str = PRESET,
    help: bool = HELP,
):
    """What is in an app's data, as `saccade train` with the same options reads it.

    Example: `saccade data captioning --data MY_FOLDER --caption-column text`
    """
    if help or not app:
        show_settings_help(context, app, preset)
        raise typer.Exit(0 if help else 2)
    _, config = read_settings(app, preset, context.args)
    show_facts(load_quietly(app).describe_data(config))
