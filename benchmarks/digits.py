"""What networks for pictures can and cannot, in small tables.

    python benchmarks/digits.py --data tfds:mnist

- labels: XOR, and digits of which some have wrong labels: a perceptron and an MLP;
- options: padding, pooling, strides, dropout, L1 and L2 of the CNN: the shape behind
  the convolutions, milliseconds, memory of the activations, accuracy in training and in
  testing;
- directions: how wrong Sobel and Scharr are about an edge, by its direction;
- edges: fixed filters before a linear layer, beside learned ones.

Networks are those of `saccade.apps.digits`. Pictures are its data, the first --count of
the training split. The figures go to benchmarks/results/digits.json.
"""

import argparse
import dataclasses
import functools
import json
import math
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops
from timing import medians

from saccade.apps.digits import APP, build_sequential
from saccade.layers import Scharr, Sobel

RESULTS = pathlib.Path(__file__).parent / "results" / "digits.json"
WRONG = (0, 10, 20, 30, 40)  # percent of the labels
# Smaller than the app's, so that all variants fit into minutes.
SMALL = {"filters": (16, 32), "convolutions": 1, "hidden": (64,), "dropout": 0.0}
OPTIONS = {
    "same padding, max pooling 2 by 2": {},
    "valid padding": {"padding": "valid"},
    "padding by hand": {"padding": "pad"},
    "average pooling": {"pool": "average"},
    "pooling 3 by 2, overlapping": {"pool_size": 3},
    "pooling 3 by 3": {"pool_size": 3, "strides": 3},
    "dropout 0.5": {"dropout": 0.5},
    "L1 0.0001": {"l1": 1e-4},
    "L2 0.001": {"l2": 1e-3},
}
BLUR = 1.0  # pixels, the standard deviation of the edges that are measured


def pictures(config, count):
    """((x, y) for training, (x, y) for testing, the task); x float32 (n, 28, 28, 1), as
    the networks see them."""
    task = APP.task_for(config)
    splits = task.read()
    task = task.learn(splits.train)
    ids = {label: i for i, label in enumerate(task.assets.labels)}
    parts = []
    for examples in (splits.train[:count], splits.test):
        column = task.kinds()["image"].column(examples["image"])
        x = task.features({"image": column(np.arange(len(examples)))})["image"].numpy()
        parts.append((x, np.array([ids[label] for label in examples["label"]])))
    return *parts, task


def trained(model, x, y, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def accuracy(model, x, y):
    """Right answers in percent."""
    logits = model.predict(x, batch_size=500, verbose=0)
    return 100 * float(np.mean(np.argmax(logits, axis=-1) == y))


def network(task, **settings):
    """A Sequential of the app's, for one-channel pictures of 28 x 28."""
    config = dataclasses.replace(task.config, **SMALL | settings)
    return build_sequential(config, task.assets)


# labels


def xor(epochs):
    """Both networks on the four cases of XOR: accuracy in percent by their names."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32).repeat(512, 0)
    y = (x[:, 0] != x[:, 1]).astype(int)
    keras.utils.set_random_seed(0)
    hidden = {"perceptron": [], "mlp": [layers.Dense(8, "tanh")]}
    return {
        name: accuracy(
            trained(keras.Sequential([*some, layers.Dense(2)]), x, y, epochs), x, y
        )
        for name, some in hidden.items()
    }


def labels(task, train, test, epochs):
    """Rows by the share of wrong labels: accuracy on right ones."""
    right = xor(10 * epochs)
    all_seen = {f"{name}_training": value for name, value in right.items()}
    rows = [{"data": "XOR", **right, **all_seen}]
    draw, (x, y) = np.random.default_rng(0), train
    for percent in WRONG:
        other = (y + draw.integers(1, 10, len(y))) % 10
        noisy = np.where(draw.random(len(y)) < percent / 100, other, y)
        row = {"data": f"digits, {percent} % of the labels wrong"}
        for name in ("perceptron", "mlp"):
            keras.utils.set_random_seed(0)
            model = trained(network(task, network=name), x, noisy, epochs)
            row |= {name: accuracy(model, *test)}
            row |= {f"{name}_training": accuracy(model, x, noisy)}
        rows.append(row)
    return rows


# options


def activations(model):
    """Bytes that the outputs of all layers take for a picture in float32."""
    return sum(4 * math.prod(layer.output.shape[1:]) for layer in model.layers)


def options(task, train, test, epochs):
    """A row for each of OPTIONS."""
    rows, models = [], {}
    for name, settings in OPTIONS.items():
        keras.utils.set_random_seed(0)
        model = models[name] = trained(network(task, **settings), *train, epochs)
        flat = next(la for la in model.layers if isinstance(la, layers.Flatten))
        kernels = [w.numpy() for w in model.weights if w.name == "kernel"]
        near_zero = np.concatenate([abs(k).ravel() < 1e-3 for k in kernels])
        before, after = accuracy(model, *train), accuracy(model, *test)
        rows.append(
            {
                "option": name,
                "shape": " x ".join(map(str, flat.input.shape[1:])),
                "parameters": model.count_params(),
                "kilobytes": activations(model) / 1000,
                "train": before,
                "test": after,
                "gap": before - after,
                "near_zero": 100 * float(near_zero.mean()),
            }
        )
    batch = train[0][:64]
    calls = {n: functools.partial(m.predict_on_batch, batch) for n, m in models.items()}
    seconds = medians(calls, 20, warm_up=3)
    for row in rows:
        row["milliseconds"] = 1000 * seconds[row["option"]]
    return rows


# directions


def edge(degrees, size=33):
    """A straight edge, blurred: its picture, and at the pixels near it the true length
    of the gradient; its direction is `degrees`."""
    angle, middle = math.radians(degrees), size // 2
    y, x = np.mgrid[:size, :size] - middle
    distance = x * math.cos(angle) + y * math.sin(angle)
    erf = np.vectorize(math.erf)
    picture = 0.5 + 0.5 * erf(distance / (BLUR * math.sqrt(2)))
    slope = np.exp(-0.5 * (distance / BLUR) ** 2) / (BLUR * math.sqrt(2 * math.pi))
    near = (abs(distance) < 1.4 * BLUR) & (abs(x) < middle - 1) & (abs(y) < middle - 1)
    return picture, slope, near


def directions(step=15):
    """Rows by the direction of an edge: the error of its direction in degrees, the
    greatest of any pixel, and of its length in percent, the mean."""
    rows = []
    for degrees in range(0, 181, step):
        picture, slope, near = edge(degrees)
        row = {"degrees": degrees}
        for name, layer, total in (("sobel", Sobel, 8), ("scharr", Scharr, 32)):
            made = layer("valid", dtype="float64")(picture[None, :, :, None])
            dy, dx = np.moveaxis(np.array(made)[0, :, :, 0], -1, 0) / total
            inside = near[1:-1, 1:-1]
            angles = np.degrees(np.arctan2(dy, dx)) - degrees
            wrong = abs((angles + 180) % 360 - 180)[inside]
            length = np.hypot(dx, dy)[inside] / slope[1:-1, 1:-1][inside]
            row |= {f"{name}_degrees": float(wrong.max())}
            row |= {f"{name}_length": float(100 * (length.mean() - 1))}
        rows.append(row)
    return rows


# edges


@keras.saving.register_keras_serializable(package="saccade_benchmarks")
class BothSigns(layers.Layer):
    """Gradients (batch, height, width, 1, 2) as four channels that are not negative:
    brighter and darker, downwards and to the right."""

    def call(self, gradients):
        both = ops.concatenate([gradients, -gradients], axis=-1)[:, :, :, 0]
        return ops.relu(both)  # (batch, height, width, 4)


def edges(train, test, epochs):
    """A linear layer on pixels, on edges of fixed filters, and on learned filters."""
    before = {
        "pixels": lambda: [],
        "Sobel": lambda: [Sobel(), BothSigns()],
        "Scharr": lambda: [Scharr(), BothSigns()],
        "4 learned filters": lambda: (
            [layers.Conv2D(4, 3, padding="same")] + [layers.ReLU()]
        ),
    }
    rows = []
    for name, make in before.items():
        keras.utils.set_random_seed(0)
        pool = [] if name == "pixels" else [layers.MaxPooling2D(2)]
        stack = [keras.Input((28, 28, 1)), *make(), *pool, layers.Flatten()]
        model = trained(keras.Sequential([*stack, layers.Dense(10)]), *train, epochs)
        row = {"before": name, "parameters": model.count_params()}
        rows.append(row | {"test": accuracy(model, *test)})
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="builtin", help="as of saccade train digits")
    parser.add_argument("--data-dir", default="")
    parser.add_argument("--count", type=int, default=8000, help="training pictures")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    config = APP.Config(data=asked.data, data_dir=asked.data_dir)
    train, test, task = pictures(config, asked.count)
    report = {
        "data": asked.data,
        "pictures": len(train[0]),
        "test_pictures": len(test[0]),
        "epochs": asked.epochs,
        "labels": labels(task, train, test, asked.epochs),
        "options": options(task, train, test, asked.epochs),
        "directions": directions(),
        "edges": edges(train, test, asked.epochs),
    }
    for part in ("labels", "options", "directions", "edges"):
        print(part)
        for row in report[part]:
            words = (v if isinstance(v, str) else f"{v:.4g}" for v in row.values())
            print("  " + ", ".join(f"{k} {w}" for k, w in zip(row, words, strict=True)))
    asked.out.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
