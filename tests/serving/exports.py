"""What the tests of real servers ask, and what TensorFlow answers in this process."""

import dataclasses

import tensorflow as tf

from saccade import apps

from ..apps.expected import EXPECTED


def requests_of(name):
    """Requests of one row, a bad one among them, and one of several rows."""
    app = apps.load(name)
    config = dataclasses.replace(app.presets["tiny"](), **EXPECTED[name].small)
    good = EXPECTED[name].requests(app.data.load_data(config))
    first = next(iter(good))
    bad = EXPECTED[name].bad(good)[first]
    rows = [{key: values[i : i + 1] for key, values in good.items()} for i in range(4)]
    mixed = {**good, first: [good[first][0], bad[0], *good[first][2:4]]}
    return [*rows, {**rows[0], first: bad[2:3]}, good, mixed]


def in_process(export, requested):
    """What TensorFlow answers here: a list of outputs by name."""
    serve = tf.saved_model.load(str(export)).signatures["serving_default"]
    specs = serve.structured_input_signature[1]
    return [
        {
            key: value.numpy()
            for key, value in serve(
                **{key: tf.constant(request[key], specs[key].dtype) for key in specs}
            ).items()
        }
        for request in requested
    ]


def newer_export(name, folder):
    """The version folder of a network that was trained for two steps."""
    app = apps.load(name)
    small = EXPECTED[name].small
    config = dataclasses.replace(app.presets["tiny"](), **small, steps=2, rounds=1)
    return app.train(config, out=folder / "run").export(folder / "exported")
