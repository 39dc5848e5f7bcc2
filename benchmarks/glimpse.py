"""How long a training step of glimpses takes, beside the same network written plainly.

    python benchmarks/glimpse.py

Both are the network of the app's preset for MNIST: 6 looks of 8 x 8 at 128 pictures of
28 x 28, the same loss, Adam. The plain one is Keras' Dense layers called once per look
in a Python loop, all inside one `tf.function`; it shares the sensor, and with copied
weights gives the same logits, which is checked. Each is timed without XLA and with it,
interleaved. The figures go to benchmarks/results/glimpse.json.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from timing import medians

from saccade.apps.glimpse.config import Config
from saccade.apps.glimpse.model import build_model
from saccade.layers import GlimpseSensor
from saccade.layers.reinforce import gaussian_log_prob, policy_loss

RESULTS = pathlib.Path(__file__).parent / "results" / "glimpse.json"
CLASSES = 10


class Plain:
    """The network by Keras' Dense layers, unrolled."""

    def __init__(self, config):
        self.config = config
        self.sensor = GlimpseSensor(config.patch, config.scales, differentiable=False)
        units = {
            "what": config.hidden,
            "where": config.hidden,
            "glimpse": config.glimpse,
            "core": config.units,
            "locator": config.hidden,
        }
        self.dense = {k: layers.Dense(n, "relu") for k, n in units.items()}
        self.dense |= {
            "mean": layers.Dense(2),
            "baseline": layers.Dense(1),
            "logits": layers.Dense(CLASSES),
        }

    def __call__(self, images, noise):
        """As the app's model: logits, log_probs, baselines and pre_means."""
        rows = ops.shape(images)[0]
        h = ops.zeros((rows, self.config.units))
        place = ops.zeros((rows, 2))
        names = ("logits", "log_probs", "baselines", "pre_means")
        found = {name: [] for name in names}
        for look in range(self.config.glimpses):
            patch = self.sensor(images, place)
            patch = ops.reshape(patch, (-1, np.prod(patch.shape[1:])))
            what, where = self.dense["what"](patch), self.dense["where"](place)
            seen = self.dense["glimpse"](ops.concatenate([what, where], axis=-1))
            h = self.dense["core"](ops.concatenate([seen, h], axis=-1))
            z = self.dense["mean"](self.dense["locator"](ops.stop_gradient(h)))
            mean = ops.tanh(z)
            sample = ops.stop_gradient(mean + self.config.std * noise[:, look])
            place = ops.clip(sample, -1, 1)
            log_prob = gaussian_log_prob(sample, mean, self.config.std)
            last = look == self.config.glimpses - 1
            found["logits"].append(self.dense["logits"](h))
            found["log_probs"].append(0 * log_prob if last else log_prob)
            found["baselines"].append(
                self.dense["baseline"](ops.stop_gradient(h))[:, 0]
            )
            found["pre_means"].append(z)
        return {name: ops.stack(steps, axis=1) for name, steps in found.items()}

    @property
    def trainable_variables(self):
        return [w for dense in self.dense.values() for w in dense.trainable_weights]

    def copy_from(self, model):
        """The weights of the app's model."""
        cell = model.get_layer("glimpses").cell
        for name in ("what", "where", "glimpse", "locator", "mean"):
            self.dense[name].set_weights([w.numpy() for w in cell.parts[name]])
        kernel, recurrent, bias = (w.numpy() for w in cell.cell.weights)
        self.dense["core"].set_weights([np.concatenate([kernel, recurrent]), bias])
        baseline = model.get_layer("glimpses").baseline
        self.dense["baseline"].set_weights(baseline.get_weights())
        self.dense["logits"].set_weights(model.get_layer("logits").get_weights())


class Ours:
    """The app's network, with the noise from outside."""

    def __init__(self, config):
        self.model = build_model(config, config.glimpses, CLASSES)
        self.trainable_variables = self.model.trainable_variables

    def __call__(self, images, noise):
        seen = self.model.get_layer("glimpses")(images, noise=noise, training=True)
        logits = self.model.get_layer("logits")(seen["outputs"])
        return {**{k: seen[k] for k in ("log_probs", "baselines", "pre_means")}} | {
            "logits": logits
        }


def step_of(network, config, compiled):
    """A training step as a `tf.function` of (images, labels, noise) -> the loss."""
    optimizer = keras.optimizers.Adam(config.learning_rate)
    optimizer.build(network.trainable_variables)

    def step(images, labels, noise):
        with tf.GradientTape() as tape:
            found = network(images, noise)
            log_probs = ops.log_softmax(found["logits"], axis=-1)
            likelihood = ops.sum(
                log_probs * ops.one_hot(labels, CLASSES)[:, None], axis=-1
            )
            reward = ops.stop_gradient(likelihood[:, -1:])
            of_policy = policy_loss(found["log_probs"], reward, found["baselines"])
            of_edge = config.penalty * ops.sum(found["pre_means"] ** 2, axis=-1)
            loss = (
                -ops.mean(likelihood)
                + ops.mean((reward - found["baselines"]) ** 2)
                + config.reinforce * ops.mean(ops.sum(of_policy + of_edge, axis=-1))
            )
        variables = network.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    return tf.function(step, jit_compile=compiled, autograph=False)


def batch_of(config, rows):
    draw = np.random.default_rng(0)
    size = config.image_size
    images = draw.random((rows, size, size, 1)).astype("float32")
    noise = draw.standard_normal((rows, config.glimpses, 2)).astype("float32")
    labels = draw.integers(CLASSES, size=rows).astype("int32")
    return tf.constant(images), tf.constant(labels), tf.constant(noise)


def networks(config, images, noise):
    """(ours, plain) with the same weights; an error where their logits differ."""
    ours, plain = Ours(config), Plain(config)
    plain(images, noise)
    plain.copy_from(ours.model)
    for name, values in ours(images, noise).items():
        np.testing.assert_allclose(values, plain(images, noise)[name], atol=1e-3)
    return ours, plain


def steps(config, rows, seconds):
    """Rows of network, XLA, the median of a step in ms, the first call in s, and how
    many times as quick as the plain network without XLA."""
    images, labels, noise = batch_of(config, rows)
    runs, first = {}, {}
    for compiled in (False, True):
        pair = zip(("ours", "plain"), networks(config, images, noise), strict=True)
        for name, network in pair:
            step = step_of(network, config, compiled)
            key, began = (name, "yes" if compiled else "no"), time.perf_counter()
            step(images, labels, noise)
            first[key] = time.perf_counter() - began
            runs[key] = lambda step=step: step(images, labels, noise).numpy()
    times = medians(runs, 5, seconds, warm_up=2)
    return [
        {
            "network": name,
            "xla": xla,
            "ms": 1e3 * value,
            "first_s": first[name, xla],
            "times": times["plain", "no"] / value,
        }
        for (name, xla), value in times.items()
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=128, help="pictures in a step")
    parser.add_argument("--seconds", type=float, default=30.0, help="of timing")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    config = Config()
    report = {
        "rows": asked.rows,
        "looks": config.glimpses,
        "steps": steps(config, asked.rows, asked.seconds),
    }
    for row in report["steps"]:
        print(
            ", ".join(
                f"{k} {v if isinstance(v, str) else f'{v:.4g}'}" for k, v in row.items()
            )
        )
    asked.out.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
