"""`saccade serve`."""

import typer

APPS = typer.Argument(None, metavar="[APP ...]", help="Without it, all exports.")


def serve(
    apps: list[str] = APPS,
    folder: str = typer.Option("saved_models", "--from", help="Folder of the exports."),
    port: int = typer.Option(8500, help="Of gRPC.", min=1, max=65535),
    rest_port: int = typer.Option(8501, help="Of REST.", min=1, max=65535),
    dry_run: bool = typer.Option(False, help="Only print the command."),
):
    """Start TF Serving: `tensorflow_model_server` if it is on the PATH, else in docker.

    It prints the command that it runs. Ctrl-C ends the server.

    Example: `saccade serve`

    Example: `saccade serve captioning char_lm --rest-port 9001 --dry-run`
    """
    from ..core.serving import server

    server.serve(folder, apps or (), port, rest_port, dry_run)
