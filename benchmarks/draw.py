"""DRAW: how fast a training step is, and what its paintings are worth.

    python benchmarks/draw.py speed
    python benchmarks/draw.py samples RUN --reader EXPORT_OF_DIGITS

- speed: a training step of the app's network beside the same network written plainly in
  Keras, its steps unrolled inside one tf.function, with the same weights, the same
  batch and the same optimizer; by medians, in turn.
- samples: a frozen reader, an export of the app digits, looks at paintings of a run:
  how many it reads with confidence, and how evenly over the ten digits; the same of
  test pictures beside. Of two digits on a canvas it reads every part of it that hangs
  together. And how far paintings are from their nearest training picture, beside how
  far test pictures are.

The figures go to benchmarks/results/draw.json, a part each.
"""

import argparse
import base64
import io
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from PIL import Image
from timing import medians

from saccade.apps import digits
from saccade.apps.core.data.picture_arrays import png
from saccade.apps.draw import APP, data
from saccade.layers import DRAW

RESULTS = pathlib.Path(__file__).parent / "results" / "draw.json"
SURE = 0.9  # probability from which a reader's label counts as read
LEAST = 12  # pixels of a part that may be a digit
SIZES = {"pictures": (28, 10, 128, 20, 5), "builtin": (16, 6, 64, 10, 5)}


# Speed


class Plain(keras.layers.Layer):
    """The network as a user would write it: layers of Keras, a Python loop."""

    def __init__(self, side, units, latent, filters):
        super().__init__()
        self.side, self.units, self.filters = side, units, filters
        self.encoder = keras.layers.LSTMCell(units)
        self.decoder = keras.layers.LSTMCell(units)
        self.posterior = keras.layers.Dense(2 * latent)
        self.read = keras.layers.Dense(5)
        self.write = keras.layers.Dense(5 + filters**2)
        self.first = self.add_weight(shape=(side, side), initializer="zeros")

    def banks(self, parameters):
        n, side = self.filters, self.side
        x, y, variance, stride, intensity = ops.split(parameters, 5, axis=1)
        stride = (side - 1) / (n - 1) * ops.exp(stride)
        found = []
        for g in (y, x):
            centre = (side + 1) / 2 * (g + 1) - 1
            means = centre + (ops.arange(n, dtype="float32") - n / 2 + 0.5) * stride
            distance = (ops.arange(side, dtype="float32") - means[:, :, None]) ** 2
            bank = ops.exp(-distance / (2 * ops.exp(variance)[:, :, None]))
            found.append(bank / (ops.sum(bank, axis=2, keepdims=True) + 1e-8))
        return *found, ops.exp(intensity)[:, :, None]

    def call(self, x, noise):
        batch = x.shape[0]
        h_e, c_e, h_d, c_d = (ops.zeros((batch, self.units)) for _ in range(4))
        canvas, kl = ops.tile(self.first[None], (batch, 1, 1)), 0
        for t in range(noise.shape[1]):
            wrong = x - ops.sigmoid(canvas)
            rows, columns, intensity = self.banks(self.read(h_d))
            across = ops.transpose(columns, (0, 2, 1))
            patches = [intensity * (rows @ p @ across) for p in (x, wrong)]
            glimpse = ops.reshape(ops.stack(patches, axis=2), (batch, -1))
            seen = ops.concatenate([glimpse, h_d], axis=1)
            _, (h_e, c_e) = self.encoder(seen, [h_e, c_e])
            mean, log_scale = ops.split(self.posterior(h_e), 2, axis=1)
            z = mean + ops.exp(log_scale) * noise[:, t]
            terms = mean**2 + ops.exp(2 * log_scale) - 2 * log_scale - 1
            kl += ops.sum(terms, axis=1) / 2
            _, (h_d, c_d) = self.decoder(z, [h_d, c_d])
            written = self.write(h_d)
            rows, columns, intensity = self.banks(written[:, :5])
            patch = ops.reshape(written[:, 5:], (batch, self.filters, self.filters))
            across = ops.transpose(rows, (0, 2, 1))
            canvas += across @ patch @ columns / intensity
        return canvas, kl


def training_step(layer, nats, jit=False):
    """A compiled step of Adam. nats: function of (picture, noise) -> (batch,)."""
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.0, global_clipnorm=50.0)
    optimizer.build(layer.trainable_variables)

    @tf.function(jit_compile=jit, autograph=False)
    def step(x, noise):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(nats(x, noise))
        gradients = tape.gradient(loss, layer.trainable_variables)
        optimizer.apply(gradients, layer.trainable_variables)
        return loss

    return step


def bound(x, canvas, kl):
    surprise = ops.softplus(canvas) - x * canvas
    return ops.sum(surprise, axis=(1, 2)) + kl


def speed(batch=100, repeats=15, jit=True):
    """Rows: milliseconds of a training step of each, by size."""
    rows = []
    for name, (side, strokes, units, latent, filters) in SIZES.items():
        draw = np.random.default_rng(0)
        x = tf.constant(draw.random((batch, side, side)) > 0.8, tf.float32)
        noise = tf.constant(draw.standard_normal((batch, strokes, latent)), tf.float32)
        ours = DRAW(units, latent, filters, filters)
        ours(x, noise)
        plain = Plain(side, units, latent, filters)
        plain(x, noise)
        copy_weights(ours, plain)

        def own(x, noise, layer=ours):
            seen = layer(x, noise, training=True)
            return bound(x, seen["canvas"], ops.sum(seen["kl"], axis=1))

        def written(x, noise, layer=plain):
            return bound(x, *layer(x, noise))

        np.testing.assert_allclose(own(x, noise), written(x, noise), rtol=1e-3)
        steps = {
            "DRAW": training_step(ours, own),
            "plain": training_step(plain, written),
        }
        if jit:
            steps["DRAW, XLA"] = training_step(ours, own, jit=True)
            steps["plain, XLA"] = training_step(plain, written, jit=True)
        runs = {n: lambda s=s, a=x, b=noise: s(a, b).numpy() for n, s in steps.items()}
        for how, seconds in medians(runs, repeats, warm_up=2).items():
            rows.append({"size": name, "network": how, "ms": 1000 * seconds})
        base = {r["network"]: r["ms"] for r in rows if r["size"] == name}
        for row in rows[-len(steps) :]:
            row["times"] = base["plain"] / row["ms"]
    return rows


def copy_weights(ours, plain):
    """Our weights into the plain network."""
    cell = ours.reader.cell
    for one, other in ((cell.encoder, plain.encoder), (cell.decoder, plain.decoder)):
        other.set_weights(one.get_weights())
    for head in ("posterior", "read", "write"):
        weights = [getattr(cell, f"{head}_{part}") for part in ("kernel", "bias")]
        getattr(plain, head).set_weights([np.array(w) for w in weights])
    plain.first.assign(ours.first_canvas)


# Samples


def opened(answer):
    """A painting as it is most likely, bool (side, side)."""
    content = base64.b64decode(answer["png_bytes"])
    return np.asarray(Image.open(io.BytesIO(content))) > 127


def parts(picture):
    """What hangs together in a picture, also by corners: list of bool pictures."""
    left, found = picture.copy(), []
    while left.any():
        part = np.zeros_like(picture)
        part[tuple(np.argwhere(left)[0])] = True
        while True:
            around = np.pad(part, 1)
            shifts = [
                around[i : i + len(part), j : j + len(part)]
                for i in range(3)
                for j in range(3)
            ]
            grown = np.any(shifts, axis=0) & picture
            if (grown == part).all():
                break
            part = grown
        left &= ~part
        found.append(part)
    return [part for part in found if part.sum() >= LEAST]


def read(reader, pictures, count):
    """How a frozen reader sees pictures.

    Args:
        reader: an export of digits. pictures: bool (n, side, side).
        count: of digits on a canvas.

    Returns:
        dict: `right`, percent with exactly so many digits, all read with a probability
        of `SURE` at least; `entropy`, of the labels that were read so, in bits.
    """
    found = [[p] if count == 1 else parts(p) for p in pictures]
    flat = [png(np.where(part, 255, 0).astype("u1")) for some in found for part in some]
    answers = iter(reader.predict(flat) if flat else [])
    right, labels = 0, []
    for some in found:
        given = [next(answers) for _ in some]
        sure = [a["label"] for a in given if a["score"] >= SURE]
        labels += sure
        right += len(sure) == len(some) == count
    _, counts = np.unique(labels or ["none"], return_counts=True)
    share = counts / counts.sum()
    entropy = float(-(share * np.log2(share)).sum())
    return {"right": 100 * right / len(pictures), "entropy": entropy}


def nearest(pictures, training):
    """Pixels that differ from the nearest of the training pictures, mean and least."""
    flat, known = (p.reshape(len(p), -1).astype("f4") for p in (pictures, training))
    own, theirs = flat.sum(axis=1), known.sum(axis=1)
    least = [
        float((own[i] + theirs - 2 * known @ flat[i]).min()) for i in range(len(flat))
    ]
    return {"mean": float(np.mean(least)), "least": float(np.min(least))}


def samples(run, reader, count=1000):
    """Rows: paintings, and test pictures beside."""
    splits = run.task.read()
    size, digit_count = run.config.image_size, 1 if run.config.scene == "one" else 2
    painted = run.predict(list(range(count)))
    sets = {
        "paintings": np.array([opened(answer) for answer in painted]),
        "test pictures": data.pixels(splits.test["image"][:count], size),
    }
    training = data.pixels(splits.train["image"], size)
    rows = []
    for name, pictures in sets.items():
        seen = read(reader, pictures, digit_count)
        rows.append({"set": name, **seen, **nearest(pictures, training)})
    return rows


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("speed", "samples"))
    parser.add_argument("run", nargs="?", help="folder of a run of draw")
    parser.add_argument("--reader", help="folder of an export or a run of digits")
    parser.add_argument("--name", default="samples", help="of the rows in the results")
    parser.add_argument("--count", type=int, default=1000, help="of paintings")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--no-xla", action="store_true")
    parser.add_argument("--out", default=str(RESULTS))
    given = parser.parse_args(words)
    if given.part == "speed":
        name, rows = "speed", speed(repeats=given.repeats, jit=not given.no_xla)
    else:
        if not (given.run and given.reader):
            parser.error("samples expected RUN and --reader EXPORT_OF_DIGITS")
        reader = digits.APP.load(given.reader)
        name, rows = given.name, samples(APP.load(given.run), reader, given.count)
    for row in rows:
        print({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()})
    out = pathlib.Path(given.out)
    kept = json.loads(out.read_text("utf-8")) if out.exists() else {}
    out.write_text(json.dumps(kept | {name: rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
