"""What the tests of real servers ask, and what TensorFlow answers in this process.

    python -m tests.serving.exports FOLDER

writes exports of every app into a folder: of small models that nobody trained, which
answer, and that is enough. What making them takes is given back with the process.
"""

import dataclasses
import pathlib
import subprocess
import sys

import keras
import tensorflow as tf

from saccade import apps
from saccade.apps.core.run import Run
from saccade.apps.core.settings.fields import request_fields
from saccade.apps.core.tasks.signatures import Answerer

from ..apps.expected import EXPECTED

ROOT = pathlib.Path(__file__).parents[2]


def untrained_exports(folder):
    """app -> its version folders, made by another process; char_lm has two, of
    different weights."""
    command = [sys.executable, "-m", "tests.serving.exports", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {
        name: sorted(folder.glob(f"{name}/*"), key=lambda path: int(path.name))
        for name in apps.REGISTRY
    }


def untrained(name, folder, seed=0):
    """A Run of a small model that nobody trained."""
    app = apps.load(name)
    keras.utils.set_random_seed(seed)
    config = dataclasses.replace(app.presets["tiny"](), **EXPECTED[name].small)
    task = app.task_for(config)
    task = task.learn(task.read().train)
    return Run(app, Answerer(task, task.build_model()), folder)


def requests_of(name):
    """Requests of one row, a bad one among them, and one of several rows."""
    app = apps.load(name)
    config = dataclasses.replace(app.presets["tiny"](), **EXPECTED[name].small)
    task = app.task_for(config)
    specs = [spec for kind, of in task.kinds().items() for spec in of.specs(kind)]
    asked = {spec.name for spec in specs} | set(request_fields(app.Options))
    good = EXPECTED[name].requests(task.read())
    good = {key: values for key, values in good.items() if key in asked}
    first = next(iter(good))
    bad = EXPECTED[name].bad(good)[first]
    rows = [{key: values[i : i + 1] for key, values in good.items()} for i in range(4)]
    mixed = {**good, first: [good[first][0], bad[0], *good[first][2:4]]}
    return [*rows, {**rows[0], first: bad[2:3]}, good, mixed]


def signature_for(name, request):
    """The signature of an app that a request is for: one with options or without."""
    options = request_fields(apps.load(name).Options)
    return "with_options" if request.keys() & options else "serving_default"


def in_process(export, requested):
    """What TensorFlow answers here: a list of outputs by name. export: a version
    folder in one of the app's name."""
    signatures, answers = tf.saved_model.load(str(export)).signatures, []
    for request in requested:
        serve = signatures[signature_for(export.parent.name, request)]
        specs = serve.structured_input_signature[1]
        inputs = {key: tf.constant(request[key], specs[key].dtype) for key in specs}
        answers.append({key: value.numpy() for key, value in serve(**inputs).items()})
    return answers


def newer_export(name, folder):
    """The version folder of a network that was trained for two steps."""
    app = apps.load(name)
    small = EXPECTED[name].small
    config = dataclasses.replace(app.presets["tiny"](), **small, steps=2, rounds=1)
    return app.train(config, out=folder / "run").export(folder / "exported")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    for name in apps.REGISTRY:
        untrained(name, folder).export(folder)
    untrained("char_lm", folder, seed=1).export(folder)
