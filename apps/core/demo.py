"""`saccade demo`: the whole way of an app on its embedded data."""

import base64
import json
import subprocess
import sys
import time

from .config import UserError

# Runs without our code: what a server has is TensorFlow and the folder.
CLIENT = """
import base64, json, sys
import tensorflow as tf

request = json.load(sys.stdin)
serve = tf.saved_model.load(request["folder"]).signatures["serving_default"]
inputs = {
    name: tf.constant([base64.b64decode(item) for item in items])
    for name, items in request["inputs"].items()
}
answer = {name: value.numpy().tolist() for name, value in serve(**inputs).items()}
print(json.dumps(answer, default=lambda item: item.decode()))
"""


def run_demo(app, preset, out, to, show):
    """Train, evaluate, draw, export, and ask the export from a fresh process.

    Args:
        app: an `App`; preset: the name of one of its presets.
        out: folder of the run; must not exist yet or be empty.
        to: where the export goes.
        show: function that prints a dict of figures.
    """
    started = time.perf_counter()
    if preset not in app.presets:
        raise UserError(
            f"--preset expected one of {', '.join(app.presets)}; received {preset!r}."
        )
    run = app.train(app.presets[preset](), out / "run")
    show(run.metrics)

    examples = app.data.load_data(run.config).test
    inputs = examples.files[:3]
    answers = run.predict(inputs)
    run.draw(inputs, answers).savefig(out / "attention.png")
    print(f"where it looked: {out / 'attention.png'}")

    folder = run.export(to)
    print(f"exported: {folder}")
    answer = ask(folder, app.example())
    print("the export answers from a process without our code:")
    print(f"  {answer['caption'][0]!r}, score {answer['score'][0]:.2f}")
    print(f"{time.perf_counter() - started:.0f} s in all")


def ask(folder, inputs):
    """What an export answers in a fresh process that imports TensorFlow only."""
    request = {
        "folder": str(folder),
        "inputs": {
            name: [base64.b64encode(item).decode() for item in items]
            for name, items in inputs.items()
        },
    }
    finished = subprocess.run(
        [sys.executable, "-c", CLIENT],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)
