"""What the tests of real servers ask, and what TensorFlow answers in this process."""

import dataclasses

import tensorflow as tf

from saccade import apps

from ..apps.expected import EXPECTED


def requests_of(name):
    """Requests of one row, a bad one among them, and one of several rows."""
    app = apps.load(name)
    config = dataclasses.replace(app.presets["tiny"](), **EXPECTED[name].small)
    good = EXPECTED[name].requests(app.task_for(config).read())
    first = next(iter(good))
    bad = EXPECTED[name].bad(good)[first]
    rows = [{key: values[i : i + 1] for key, values in good.items()} for i in range(4)]
    mixed = {**good, first: [good[first][0], bad[0], *good[first][2:4]]}
    return [*rows, {**rows[0], first: bad[2:3]}, good, mixed]


def signature_for(request):
    """The signature that a request is for: one with more than an input has options."""
    return "with_options" if len(request) > 1 else "serving_default"


def in_process(export, requested):
    """What TensorFlow answers here: a list of outputs by name."""
    signatures, answers = tf.saved_model.load(str(export)).signatures, []
    for request in requested:
        serve = signatures[signature_for(request)]
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
