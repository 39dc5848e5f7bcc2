"""A loss that is no number: named are the step, the layer, the learning rate; the last
good weights are kept."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import typer.testing

from saccade.apps.cli import cli
from saccade.apps.core.errors import UserError
from saccade.apps.core.training import loop

from .kinds import IN_BOTH_TIERS, app_and_config

STEPS, ROUNDS = 6, 3


def batches_with(spoil, at):
    """Batches as `training.train` takes them; `spoil(x, y)` at step `at` alone."""

    def batches(first_step):
        def make(step):
            seed = tf.stack([0, tf.cast(step, tf.int32)])
            x = tf.random.stateless_uniform([8, 5], seed) + 1
            y = x[:, :1] * x[:, 1:2]
            bad_x, bad_y = spoil(x, y)
            return tf.where(step == at, bad_x, x), tf.where(step == at, bad_y, y)

        return tf.data.Dataset.range(first_step, tf.int64.max).map(make)

    return batches


class Reciprocal(keras.layers.Layer):
    """Infinite at 0."""

    def call(self, x):
        return 1 / x


class Size(keras.layers.Layer):
    """|x|, written such that at 0 its gradient is nan."""

    def call(self, x):
        return keras.ops.sqrt(keras.ops.square(x))


def build(layer=None, rate=0.01, per_call=1, jit=False):
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(4, use_bias=False, name="first"),  # 0 at 0
        *([layer] if layer else []),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(1, name="last"),
    ]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile(
        keras.optimizers.Adam(rate),
        "mse",
        steps_per_execution=per_call,
        jit_compile=jit,
    )
    return model


def diverge(model, batches, folder):
    """Train until it stops; returns what the error says."""
    rounds = iter(range(ROUNDS))
    score = lambda: {"val_score": float(next(rounds))}  # noqa: E731
    with pytest.raises(UserError) as stopped:
        loop.train(model, batches, STEPS, ROUNDS, folder, score)
    return str(stopped.value)


CASES = {
    "inputs": (None, lambda x, y: (x * np.nan, y), "the batch's inputs"),
    "targets": (None, lambda x, y: (x, y * np.inf), "the batch's targets"),
    "output": (
        Reciprocal,
        lambda x, y: (x * 0, y),
        "the output of the layer named (Reciprocal)",
    ),
    "loss": (None, lambda x, y: (x, y * 0 + 1e30), "the loss, of outputs up to "),
    "gradient": (Size, lambda x, y: (x * 0, y), "the gradient of "),
}


@pytest.mark.parametrize("per_call, jit", [(1, False), (3, True)], ids=["1", "3-xla"])
@pytest.mark.parametrize("case", CASES)
def test_the_step_and_the_layer_are_named(case, per_call, jit, tmp_path):
    layer, spoil, culprit = CASES[case]
    model = build(layer and layer(name="named"), per_call=per_call, jit=jit)
    at = STEPS + 4  # in the middle of a call of three
    message = diverge(model, batches_with(spoil, at), tmp_path)
    assert f"in round 2, at step {at + 1}, where the learning rate was 0.01." in message
    assert f"First not finite: {culprit}" in message
    assert case != "gradient" or "first/kernel. " in message
    assert f"--config {tmp_path / 'config.json'} --learning-rate=" in message

    # What the round before left, is kept.
    kept = keras.models.load_model(
        tmp_path / "model.keras",
        compile=False,
        custom_objects={"Reciprocal": Reciprocal, "Size": Size},
    )
    for a, b in zip(model.get_weights(), kept.get_weights(), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)
    with np.load(tmp_path / "checkpoint/round-1.npz") as state:
        assert all(np.isfinite(state[name]).all() for name in state.files)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


def test_weights_spoilt_by_the_last_step_of_a_round_are_not_saved(tmp_path):
    """Behind a loss that is finite, since it was computed before the step."""
    at = STEPS - 1
    batches = batches_with(lambda x, y: (x * 0, y), at)
    message = diverge(build(Size()), batches, tmp_path)
    assert message.startswith("Weights became infinite or nan in round 1, at step 6,")
    assert "the gradient of" in message and "No round was finished before." in message
    assert not (tmp_path / "model.keras").exists()
    with np.load(tmp_path / "checkpoint/round-0.npz") as state:
        assert all(np.isfinite(state[name]).all() for name in state.files)


def test_a_schedule_is_named_as_it_was_at_the_step(tmp_path):
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 100)
    batches = batches_with(lambda x, y: (x * np.nan, y), 5)
    message = diverge(build(rate=schedule, per_call=6), batches, tmp_path)
    expected = float(np.array(schedule(5)))
    assert f"at step 6, where the learning rate was {expected:.3g}." in message


def test_a_loss_that_fails_once_only_is_said_to(tmp_path):
    """Not by a function of (seed, step): another reason than the numbers."""
    factors = iter([np.nan])

    def batches(first_step):
        factor = next(factors, 1.0)
        return batches_with(lambda x, y: (x * factor, y), 1)(first_step)

    message = diverge(build(), batches, tmp_path)
    assert "at step 2, where" in message
    assert "First not finite: nothing, when the round was run once more." in message


# The kinds of trainers: a learning rate that no network survives

RATES = {"carried state": 3e38}  # it squashes what it adds up


@pytest.mark.parametrize("kind", IN_BOTH_TIERS)
def test_an_app_that_diverges(kind, tmp_path):
    rate = RATES.get(kind, 1e6)
    app, config = app_and_config(
        kind, batch_size=8, steps=24, rounds=2, learning_rate=rate
    )
    with pytest.raises(UserError) as stopped:
        app.train(config, out=tmp_path / "run")
    message = str(stopped.value)
    found = re.search(
        r"in round (\d), at step (\d+), where the learning rate was (\S+)\. "
        r"First not finite: (.+?)\. ",
        message,
    )
    assert found, message
    round_, step, rate, culprit = found.groups()
    assert int(round_) == (int(step) - 1) // 12 + 1
    assert config.learning_rate / 20 < float(rate) <= config.learning_rate * 1.01
    # Numbers apart, which Keras counts on from model to model.
    layers = {
        layer.name.rstrip("_0123456789") for layer in flat(app_model(app, config))
    }
    assert any(layer in culprit for layer in layers), culprit

    with np.load(next((tmp_path / "run/checkpoint").glob("round-*.npz"))) as state:
        assert all(np.isfinite(state[name]).all() for name in state.files)

    # The cure that it names.
    cured = tmp_path / "cured"
    learning_rate = "--learning-rate=1e-3"
    words = [app.name, "--config", str(tmp_path / "run/config.json"), learning_rate]
    done = typer.testing.CliRunner().invoke(cli, ["train", *words, "--out", str(cured)])
    assert done.exit_code == 0, done.output
    assert app.load(cured).metrics


def app_model(app, config):
    task = app.task_for(config)
    return task.learn(task.read().train).build_model()


def flat(model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from flat(layer)
