"""The command line: `saccade VERB APP ...`, a file per verb, thin over `core.app`.

TensorFlow is imported only by the verbs that need it: `list` and `--help` answer at
once.
"""

import logging
import sys

import typer
import typer.core

from .. import REGISTRY
from ..core.errors import UserError
from . import (
    client,
    data,
    demo,
    evaluate,
    export,
    inspect,
    list_apps,
    predict,
    serve,
    train,
)
from .options import OWN_HELP
from .requests import joined

__all__ = ["cli", "main"]


class Verbs(typer.core.TyperGroup):
    """The commands; an app in the place of one gets a hint."""

    def resolve_command(self, context, arguments):
        if arguments[0] in REGISTRY:
            context.fail(
                f"{arguments[0]} is an app: a verb comes first, as in "
                f"`saccade train {arguments[0]}`."
            )
        return super().resolve_command(context, arguments)


class Asking(typer.core.TyperCommand):
    """A verb whose options are the inputs of an app, too."""

    def parse_args(self, context, arguments):
        return super().parse_args(context, joined(arguments))


cli = typer.Typer(
    name="saccade",
    cls=Verbs,
    help="Recurrent networks that read, look and speak step by step.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool):
    if requested:
        import importlib.metadata

        print(f"saccade {importlib.metadata.version('saccade')}")
        raise typer.Exit


@cli.callback()
def root(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version.",
    ),
):
    pass


# In the order in which `saccade --help` lists them.
cli.command("list")(list_apps.list_apps)
cli.command(context_settings=OWN_HELP)(data.data)
cli.command(context_settings=OWN_HELP)(train.train)
cli.command(context_settings=OWN_HELP)(evaluate.evaluate)
cli.command(cls=Asking, context_settings=OWN_HELP)(predict.predict)
cli.command()(export.export)
cli.command()(serve.serve)
cli.command(cls=Asking, context_settings=OWN_HELP)(client.client)
cli.command()(inspect.inspect)
cli.command()(demo.demo)


def main():
    """The console script: user errors are one line, not a traceback."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("saccade").setLevel(logging.INFO)
    try:
        cli()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        # A path that the system refuses, whatever it was meant for.
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        sys.exit(2)
