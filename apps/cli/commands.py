"""The command line: `saccade VERB APP ...`, thin over `apps.core.app`.

TensorFlow is imported only by the verbs that need it: `list` and `--help` answer at
once.
"""

import contextlib
import json
import logging
import os
import pathlib
import sys
import tempfile

import typer
import typer.core
from rich.console import Console
from rich.table import Table

from .. import REGISTRY, load, load_config_module
from ..core.errors import Unanswered, UserError
from ..core.settings.command_line import (
    help_rows,
    parse_overrides,
    split_arguments,
)
from ..core.settings.json_text import from_json

OPEN = {"allow_extra_args": True, "ignore_unknown_options": True}
# For the verbs whose --help also shows options of the app, see `show_help`.
OWN_HELP = {**OPEN, "help_option_names": []}
HELP = typer.Option(False, "--help", help="Show this and the app's options.")
RUN_AND_FILE = typer.Argument(metavar="[RUN] FILE")
SERVED = typer.Argument(None, metavar="[APP ...]", help="Without it, all exports.")
PRESET = typer.Option("", help="Settings to start from; chosen by the data.")


class Verbs(typer.core.TyperGroup):
    """The commands; an app in the place of one gets a hint."""

    def resolve_command(self, context, arguments):
        if arguments[0] in REGISTRY:
            context.fail(
                f"{arguments[0]} is an app: a verb comes first, as in "
                f"`saccade train {arguments[0]}`."
            )
        return super().resolve_command(context, arguments)


cli = typer.Typer(
    name="saccade",
    cls=Verbs,
    help="Recurrent networks that read, look and speak step by step.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
console = Console()


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


def load_quietly(app):
    """`apps.load` without TensorFlow's start-up messages, which no library call hides.

    Some of them come before TF_CPP_MIN_LOG_LEVEL has any effect, written by C++ past
    `sys.stderr`: the file descriptor itself is turned aside for the import, and what
    came in is shown only where the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        aside = stack.enter_context(tempfile.TemporaryFile())
        stderr = os.dup(2)
        stack.callback(os.close, stderr)
        os.dup2(aside.fileno(), 2)
        try:
            return load(app)
        except BaseException:
            aside.seek(0)
            os.write(stderr, aside.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)


def _version(asked: bool):
    if asked:
        import importlib.metadata

        print(f"saccade {importlib.metadata.version('saccade')}")
        raise typer.Exit


@cli.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
):
    pass


@cli.command("list")
def list_apps():
    """The apps and what they do.

    Example: `saccade list`
    """
    table = Table("app", "what it does", box=None)
    for name in REGISTRY:
        table.add_row(name, load_config_module(name).SUMMARY)
    console.print(table)


@cli.command(context_settings=OWN_HELP)
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
        _show_settings(context, app, preset)
        raise typer.Exit(0 if help else 2)
    _, config = _settings(app, preset, context.args)
    table = Table(box=None, show_header=False)
    for name, fact in load_quietly(app).describe_data(config).items():
        table.add_row(name, str(fact))
    console.print(table)


@cli.command(context_settings=OWN_HELP)
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
        _show_settings(context, app, preset, config)
        raise typer.Exit(0 if help else 2)
    _, settings = _settings(app, preset, context.args, config)
    unread = [*(["--config", config] if config else []), *context.args]
    has_begun = not out or (pathlib.Path(out) / "config.json").exists()
    if resume and unread and has_begun:
        # The same command again must work, and --minutes is a number of steps by now.
        print(
            "The settings come from the run's config.json; not read again: "
            f"{' '.join(unread)}",
            file=sys.stderr,
        )
    try:
        run = load_quietly(app).train(settings, out or None, resume, strategy)
    except KeyboardInterrupt:
        print(
            "\nStopped. All whole rounds so far are kept; go on with --resume.",
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
    console.print(f"run: {run.folder}")


@cli.command(context_settings=OWN_HELP)
def evaluate(
    context: typer.Context,
    app: str = typer.Argument(""),
    data: str = typer.Option(
        "", help="Other data than the run's own; of it, too, the test split counts."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON object instead."),
    help: bool = HELP,
):
    """Measure a trained model: `saccade evaluate APP [RUN] [--key=value]`.

    Without RUN, the newest run. How it decodes can be set, as `--beam=5`.

    Example: `saccade evaluate captioning --beam 5`
    """
    if help or not app:
        _show_decoding(context, app)
        raise typer.Exit(0 if help else 2)
    folder, words, decode = _read(app, context.args)
    if words:
        raise UserError(f"Expected the folder of one run; received {' '.join(words)}.")
    figures = _load_run(app, folder).evaluate(data or None, **decode)
    print(json.dumps(figures)) if as_json else show_figures(figures)


@cli.command(context_settings=OWN_HELP)
def predict(
    context: typer.Context,
    app: str = typer.Argument(""),
    plot: str = typer.Option("", help="Draw where the network looked into this PNG."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per line."),
    prompt: str = typer.Option(None, help="A text, for the apps that read texts."),
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
        _show_decoding(context, app)
        raise typer.Exit(0 if help else 2)
    folder, words, decode = _read(app, context.args)
    _answer(
        app,
        words,
        prompt,
        as_json,
        plot,
        load=lambda: load_quietly(app).load(folder),
        decode=decode,
    )


@cli.command()
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
    loaded = _load_run(app, run or None)
    from ..core.serving.export import write_export

    console.print(f"exported: {write_export(loaded, to, names)}", soft_wrap=True)


@cli.command()
def serve(
    apps: list[str] = SERVED,
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
    from ..core.serving.server import serve

    serve(folder, apps or (), port, rest_port, dry_run)


@cli.command(context_settings=OWN_HELP)
def client(
    context: typer.Context,
    app: str = typer.Argument(""),
    host: str = typer.Option("localhost", help="Where the server is."),
    port: int = typer.Option(
        None, help="8501 for REST, 8500 for gRPC, if not said.", min=1, max=65535
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
    as_json: bool = typer.Option(False, "--json", help="One JSON object per line."),
    prompt: str = typer.Option(None, help="A text, for the apps that read texts."),
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
        _show_decoding(context, app)
        raise typer.Exit(0 if help else 2)
    words, decode = _words_and_decoding(app, context.args)
    if stream and as_json:
        raise UserError("Expected --stream or --json, not both.")

    def load():
        the_app = load_quietly(app)  # first: gRPC's messages import TensorFlow too
        from ..core.serving.client import Client, Served, Streamed

        door = Client(host, port, grpc, timeout, retries)
        kind = Streamed if stream else Served
        return kind(the_app, door, version, label)

    _answer(app, words, prompt, as_json, plot="", load=load, decode=decode)


@cli.command()
def inspect(
    app: str,
    words: list[str] = RUN_AND_FILE,
    out: str = typer.Option("", help="Folder of the pictures; RUN/inspect by default."),
):
    """What goes on inside a model while it reads: `saccade inspect APP [RUN] FILE`.

    Without RUN, the newest run. FILE is a text.

    Example: `saccade inspect char_lm program.py --out cells`
    """
    the_app = load_quietly(app)
    the_app.inspector()  # An error where the app has none.
    *folder, path = words
    if len(folder) > 1:
        raise UserError(f"Expected [RUN] FILE; received {' '.join(words)}.")
    if not os.path.isfile(path):
        raise UserError(f"Expected a text file to read, found none at {path}.")
    show_figures(_load_run(app, *folder).inspect(path, out or None))


@cli.command()
def demo(
    app: str = typer.Argument("captioning"),
    out: str = typer.Option("demo", help="Folder of the run and its picture."),
    preset: str = typer.Option("default", help="Settings to start from."),
    to: str = typer.Option("saved_models", help="Folder of the export."),
):
    """The whole way on embedded data: train, measure, look, export, serve.

    Example: `saccade demo captioning`
    """
    from .demo import run_demo

    run_demo(load_quietly(app), preset, pathlib.Path(out), to, show_figures)


def show_options(config, title):
    table = Table("option", "default", "what it is", title=title, box=None)
    for flag, default, text in help_rows(config):
        table.add_row(flag, default, text)
    console.print(table)


def show_figures(figures):
    table = Table(box=None, show_header=False)
    for name, value in figures.items():
        shown = str(value)
        if isinstance(value, float):  # of a loss in nats the third digit matters
            shown = f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"
        table.add_row(name.replace("_", " "), shown)
    console.print(table)


def _settings(app, preset, arguments, file=""):
    """What the settings start from, for people, and they with the arguments set.

    They start from the file where there is one, else from the preset, as named or as
    the data chooses it.
    """
    module = load_config_module(app)
    given = {word.partition("=")[0] for word in arguments}
    if "--minutes" in given and "--steps" not in given:
        arguments = [*arguments, "--steps=0"]  # Else the start's steps would count.
    if file:
        if preset:
            raise UserError(
                f"Expected --config or --preset, received both: {file} and {preset}."
            )
        return file, parse_overrides(_read_settings(app, module, file), arguments)
    preset = preset or module.preset_for(parse_overrides(module.Config, arguments).data)
    if preset not in module.PRESETS:
        known = ", ".join(module.PRESETS)
        raise UserError(f"--preset expected one of {known}; received {preset!r}.")
    start = module.PRESETS[preset]()
    return f"the preset {preset}", parse_overrides(start, arguments)


def _read_settings(app, module, file):
    """The config in a JSON file; an error names the file."""
    try:
        text = pathlib.Path(file).read_text("utf-8")
        return from_json(module.Config, text, app)
    except OSError as error:
        raise UserError(
            f"--config expected a run's config.json; could not read {file}: "
            f"{error.strerror}."
        ) from None
    except ValueError as error:  # also: no UTF-8
        text = f"--config expected a run's config.json; {file}: {error}"
        raise UserError(text) from None


def _show_settings(context, app, preset, file=""):
    """The help of a verb that takes settings, with those of an app."""
    print(context.get_help())
    if not app:
        print(f"Apps: {', '.join(REGISTRY)}")
        return
    origin, settings = _settings(app, preset, context.args, file)
    print(f"Presets: {', '.join(load_config_module(app).PRESETS)}\n")
    show_options(settings, f"Options of {app}, as {origin} sets them")


def _show_decoding(context, app):
    """The help of a verb that decodes, with the decode options of an app or of all."""
    print(context.get_help())
    for name in [app] if app else REGISTRY:
        show_options(load_config_module(name).Decode, f"How {name} decodes")


def _read(app, arguments):
    """The folder if the first plain word is one, the other words, decode options."""
    words, given = _words_and_decoding(app, arguments)
    folder = None
    if words and os.path.isdir(words[0]):
        folder, *words = words
    return folder, words, given


def _words_and_decoding(app, arguments):
    """The plain words, and the decode options that are not as by default."""
    decode = load_config_module(app).Decode
    words, options = split_arguments(decode, arguments)
    chosen = vars(parse_overrides(decode, options))
    default = vars(decode())
    return words, {k: value for k, value in chosen.items() if value != default[k]}


def _load_run(app, folder=None):
    """A run, for what an export cannot do: be measured or exported again."""
    if folder and (pathlib.Path(folder) / "saved_model.pb").exists():
        raise UserError(
            f"Expected the folder of a run, received the export {folder}. An export "
            "answers `saccade predict`."
        )
    return load_quietly(app).load(folder)


def _answer(app, words, prompt, as_json, plot, load, decode):
    """Print the answers of what `load` returns: a run, an export or a server."""
    if load_config_module(app).READS == "texts":
        texts = _texts(words, prompt)
        _predict_texts(load(), texts, decode, as_json, plot)
        return
    if prompt is not None:
        raise UserError(f"--prompt is for the apps that read texts; {app} reads files.")
    inputs = _inputs(words)
    loaded = load()
    answers = loaded.predict(inputs, **decode)
    for name, said in zip(inputs, answers, strict=True):
        if as_json:
            why = {} if said["ok"] else {"error": _why_not_read(name)}
            told = {"input": name, **_plain(said), **why}
            print(json.dumps(told, ensure_ascii=False))
        elif said["ok"]:
            print(f"{name}: {said['caption']}  ({said['score']:.2f})")
        else:
            print(f"{name}: {_why_not_read(name)}", file=sys.stderr)
    if plot:
        loaded.draw(inputs, answers).savefig(plot)
        print(f"drawn: {plot}", file=sys.stderr)
    if not all(said["ok"] for said in answers):
        raise typer.Exit(1)


def _predict_texts(loaded, texts, decode, as_json, plot):
    """Print the answers of an app that reads texts."""
    if plot:
        loaded.draw([], [])
    if not as_json:
        try:
            for part in loaded.app.serve.tell(loaded, texts, decode):
                print(part, end="", flush=True)
        except Unanswered as error:
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
            raise typer.Exit(1) from None
        return
    answers = loaded.predict(texts, **decode)
    for said in answers:
        print(json.dumps(_plain(said), ensure_ascii=False))
    if not all(said["ok"] for said in answers):
        raise typer.Exit(1)


def _texts(words, prompt):
    """The prompt, or the paths of files and the text of standard input."""
    if prompt is not None:
        if words:
            raise UserError(
                "Expected --prompt or files, not both; received --prompt and "
                f"{' '.join(words)}, which is no run's folder."
            )
        return [prompt]
    if not words:
        raise UserError("Expected --prompt TEXT, a text file, or - for standard input.")
    texts = []
    for word in words:
        if word == "-":
            texts.append(_standard_input())
        else:
            texts += map(pathlib.Path, _inputs([word]))
    return texts


def _standard_input():
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UserError(f"Standard input is no UTF-8: {error}.") from None


def _inputs(words):
    if not words:
        raise UserError("Expected at least one input: a file, a pattern, or -.")
    inputs = []
    for word in words:
        if word == "-":
            lines = _standard_input().splitlines()
            inputs += [line.strip() for line in lines if line.strip()]
        elif any(c in word for c in "*?["):
            path = pathlib.Path(word)
            root = pathlib.Path(path.anchor or ".")
            found = sorted(
                str(p) for p in root.glob(str(path.relative_to(path.anchor)))
            )
            # A pattern that fits nothing is named as it is: perhaps it is no pattern
            # but a file called so, and else it fails alone, as a missing file does.
            inputs += found or [word]
        else:
            inputs.append(word)
    return inputs


def _why_not_read(name):
    if os.path.isdir(name):
        return f"is a folder; name its files, as '{pathlib.Path(name)}/*'"
    if not os.path.exists(name):  # nor can there be, with some names
        return "there is no such file"
    return "is no JPEG, PNG, GIF, BMP or WebP picture, or a broken or too large one"


def _plain(value):
    """Arrays to lists, so that JSON takes them."""
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in value.items()}
