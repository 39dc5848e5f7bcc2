"""`saccade client`."""

import typer

from ..core.errors import UserError
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
    split_words,
)


def client(
    context: typer.Context,
    app: str = typer.Argument(""),
    host: str = typer.Option("localhost", help="Where the server is."),
    port: int = typer.Option(
        None, help="8501 for REST, 8500 for gRPC, by default.", min=1, max=65535
    ),
    grpc: bool = typer.Option(False, "--grpc/--rest", help="How to ask."),
    timeout: float = typer.Option(30.0, help="Seconds to wait for an answer.", min=0.1),
    retries: int = typer.Option(
        4, help="How often to ask again where the server is not reached.", min=0
    ),
    version: int = typer.Option(None, help="Of the model; else the greatest.", min=0),
    label: str = typer.Option(None, help="Of the version, as stable."),
    stream: bool = typer.Option(
        False, help="Choose each part of an answer here and print it as it comes."
    ),
    signature: str = SIGNATURE,
    table: str = TABLE,
    to: str = TO,
    sort: str = SORT,
    plot: str = PLOT,
    as_json: bool = JSON_LINES,
    help: bool = HELP,
):
    """Ask TF Serving, as `predict` asks a run: `saccade client APP [FILE ...]`.

    It asks again, with growing pauses, after a broken connection, UNAVAILABLE or HTTP
    503, and after nothing else. What is served answers as it was exported, but for what
    a request can hold; with `--stream` all of it can be set.

    Example: `saccade client captioning cat.jpg --host localhost --grpc`

    Example: `saccade client char_lm --prompt "def main(" --length 200 --stream`
    """
    if help or not app:
        show_answering_help(context, app)
        raise typer.Exit(0 if help else 2)
    words, options = split_words(app, context.args)
    check_given(app, words, table)
    if stream and as_json:
        raise UserError("Expected --stream or --json, not both.")
    the_app = load_quietly(app)  # first: gRPC's messages import TensorFlow too
    how = How(signature, as_json, table, to, sort, plot)
    check_files(the_app, how)
    from ..core.served import Served
    from ..core.serving.client import Client

    transport = Client(host, port, grpc, timeout, retries)
    served = Served(the_app, transport, version, label, streams=stream)
    if stream and served.task.stream_by_steps is None:
        raise UserError(f"{app} answers all at once: leave --stream out.")
    show_answers(served, words, options, how)
