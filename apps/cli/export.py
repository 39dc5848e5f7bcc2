"""`saccade export`."""

import typer

from .loading import load_run
from .tables import console


def export(
    app: str,
    run: str = typer.Argument("", help="A run's folder; without it, the newest."),
    to: str = typer.Option("saved_models", help="TF Serving's folder of models."),
    labels: str = typer.Option(
        "", help="Names for this version, as stable,canary; they leave older ones."
    ),
):
    """Write a SavedModel that TF Serving loads: TO/APP/VERSION.

    Example: `saccade export captioning --to saved_models --labels stable`
    """
    from ..core.serving.server import check_labels

    names = [name.strip() for name in labels.split(",")] if labels else []
    check_labels(names)  # before TensorFlow is there
    folder = load_run(app, run or None).export(to, names)
    console.print(f"exported: {folder}", soft_wrap=True)
