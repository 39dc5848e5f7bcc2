"""`saccade train`."""

import pathlib
import sys

import typer

from .loading import load_quietly
from .options import HELP, PRESET, read_settings, show_settings_help
from .tables import console, show_figures


def train(
    context: typer.Context,
    app: str = typer.Argument(""),
    preset: str = PRESET,
    config: str = typer.Option(
        "", metavar="FILE", help="Settings to start from: a run's config.json."
    ),
    out: str = typer.Option("", help="The run's folder; runs/APP/TIME by default."),
    resume: bool = typer.Option(False, help="Go on with a run that was stopped."),
    strategy: str = typer.Option(
        "none", help="Devices to train on: none, mirrored, multi-worker or tpu."
    ),
    help: bool = HELP,
):
    """Train a model and measure it on the test split.

    Every option of the app can be set as `--key=value`; the rest is as in the preset.
    `saccade train APP --help` lists them, with the values that would be used.

    Killed at any moment, the same command with `--resume` goes on. A run is repeated,
    to the bit on the same machine, from its config.json (in which --minutes has become
    --steps), with or without other settings:

    Example: `saccade train captioning --data MY_FOLDER --minutes 15 --cell gru`

    Example: `saccade train captioning --config runs/captioning/TIME/config.json`
    """
    if help or not app:
        show_settings_help(context, app, preset, config)
        raise typer.Exit(0 if help else 2)
    _, settings = read_settings(app, preset, context.args, config)
    unread = [*(["--config", config] if config else []), *context.args]
    has_begun = not out or (pathlib.Path(out) / "config.json").exists()
    if resume and unread and has_begun:
        # The same command again must work, and --minutes is a number of steps by now.
        print(
            "The settings come from the run's config.json; not read again: "
            f"{' '.join(unread)}. A longer training is a new one: saccade train {app} "
            "--config RUN/config.json --steps N",
            file=sys.stderr,
        )
    try:
        run = load_quietly(app).train(settings, out or None, resume, strategy)
    except KeyboardInterrupt:
        print(
            "\nStopped. Whole rounds are kept, where there were some; go on with "
            "--resume.",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    if run.metrics:
        show_figures(run.metrics)
    else:  # A warning before the training said why.
        print(
            "No scores: the test split is empty. Measure it on other data with: "
            f"saccade evaluate {app} {run.folder} --data OTHER"
        )
    console.print(f"run: {run.folder}", highlight=False, soft_wrap=True)
