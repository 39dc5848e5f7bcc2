"""`saccade client`."""

import typer

from ..core.errors import UserError
from .answers import print_answers
from .loading import load_quietly
from .options import HELP, JSON_LINES, PROMPT, show_decoding_help, split_words


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
        False, help="Choose the characters or words here and print each as it comes."
    ),
    as_json: bool = JSON_LINES,
    prompt: str = PROMPT,
    help: bool = HELP,
):
    """Ask TF Serving, as `predict` asks a run: `saccade client APP INPUT ...`.

    It asks again, with growing pauses, after a broken connection, UNAVAILABLE or HTTP
    503, and after nothing else. What is served decodes as it was exported, but for what
    a request can hold; with `--stream` all of it can be set.

    Example: `saccade client captioning cat.jpg --host localhost --grpc`

    Example: `saccade client char_lm --prompt "def main(" --length 200 --stream`
    """
    if help or not app:
        show_decoding_help(context, app)
        raise typer.Exit(0 if help else 2)
    words, options = split_words(app, context.args)
    if stream and as_json:
        raise UserError("Expected --stream or --json, not both.")

    def load():
        the_app = load_quietly(app)  # first: gRPC's messages import TensorFlow too
        from ..core.serving.client import Client
        from ..core.serving.served import Served

        if stream and not hasattr(the_app.serve, "Streamed"):
            raise UserError(f"{app} answers all at once: leave --stream out.")
        served = the_app.serve.Streamed if stream else Served
        transport = Client(host, port, grpc, timeout, retries)
        return served(the_app, transport, version, label)

    print_answers(app, words, prompt, as_json, plot="", load=load, options=options)
