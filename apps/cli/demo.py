"""`saccade demo`: the whole way of an app on its embedded data."""

import base64
import json
import pathlib
import subprocess
import sys
import time

import typer

from ..core.errors import UserError
from ..core.inputs.kinds import as_request
from .loading import load_quietly
from .tables import show_figures

# Runs without our code: what a server has is TensorFlow and the folder.
CLIENT = """
import base64, json, sys
import tensorflow as tf

request = json.load(sys.stdin)
serve = tf.saved_model.load(request["folder"]).signatures["serving_default"]
takes = serve.structured_input_signature[1]
inputs = {
    name: tf.constant([base64.b64decode(i) if type(i) is str else i for i in items])
    for name, items in request["inputs"].items() if name in takes
}
answer = {name: value.numpy().tolist() for name, value in serve(**inputs).items()}
print(json.dumps(answer, default=lambda item: item.decode(errors="replace")))
"""


def demo(
    app: str,
    out: str = typer.Option("demo", help="Folder of the run and its picture."),
    preset: str = typer.Option(
        "", help="Settings to start from; demo, where the app has it, or default."
    ),
    to: str = typer.Option("saved_models", help="Folder of the export."),
):
    """The whole way on embedded data: train, measure, look, export, serve.

    Example: `saccade demo captioning`
    """
    loaded = load_quietly(app)
    preset = preset or ("demo" if "demo" in loaded.presets else "default")
    run_demo(loaded, preset, pathlib.Path(out), to)


def run_demo(app, preset, out, to):
    """Train, evaluate, draw where the app can, export, ask the export in a new process.

    Args:
        app: an `App`; preset: the name of one of its presets.
        out: folder of the run; must not exist yet or be empty.
        to: where the export goes.
    """
    started = time.perf_counter()
    if preset not in app.presets:
        raise UserError(
            f"--preset expected one of {', '.join(app.presets)}; received {preset!r}."
        )
    run = app.train(app.presets[preset](), out / "run")
    show_figures(run.metrics)

    requests = run.task.demo_requests(run.task.read())
    answers = run.predict(requests)
    kinds = run.task.kinds()
    for i, (request, answer) in enumerate(zip(requests, answers, strict=True), 1):
        request = as_request(kinds, request)
        asked = ", ".join(kinds[name].text_of(request[name]) for name in kinds)
        print(f"example {i}, {asked} -> {run.task.show(answer)}")
    if run.task.draw is not None:
        from ..core.report import plot

        path = out / ("answers.gif" if run.task.animates else "answers.png")
        plot.write(run.draw(requests, answers), path)
        print(f"drawn: {path}")

    folder = run.export(to)
    print(f"exported: {folder}")
    answer = answer_in_new_process(folder, app.example())
    print("the export answers from a process without our code:")
    for name, values in answer.items():
        # The others are for machines.
        if isinstance(values[0], str | float) and not name.endswith("_bytes"):
            print(f"  {name}: {values[0]!r}")
    print(f"ask it yourself: saccade predict {app.name} {run.folder} --help")
    print(f"{time.perf_counter() - started:.0f} s in all")


def answer_in_new_process(folder, inputs):
    """What an export answers in a fresh process that imports TensorFlow only."""
    request = {
        "folder": str(folder),
        "inputs": {name: [_plain(i) for i in items] for name, items in inputs.items()},
    }
    finished = subprocess.run(
        [sys.executable, "-c", CLIENT],
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        last = finished.stderr.strip().rpartition("\n")[2]
        raise UserError(f"The export {folder} gave no answer in a new process: {last}")
    return json.loads(finished.stdout)


def _plain(item):
    """Bytes as base64, for JSON; numbers as they are."""
    if isinstance(item, bytes):
        return base64.b64encode(item).decode()
    return item
