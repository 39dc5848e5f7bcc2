"""The fully recurrent network against its equation, and where it comes to rest."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers.cells import is_fast
from saccade.layers.elman import Elman
from saccade.layers.fully_recurrent import FullyRecurrent, FullyRecurrentCell, Settled

from .helpers import (
    BATCH,
    FEATURES,
    MASKS,
    TIME,
    UNITS,
    check_gradients,
    fit_moves_all,
    normal,
    randomise,
    reload,
    reload_export,
    run_numpy,
    weights_of,
)

# What is asked for, and the indices that it means.
OUTPUTS = {
    "all": (None, range(UNITS)),
    "first": (2, [0, 1]),
    "chosen": ([3, 0, 2], [3, 0, 2]),
    "turned": (np.arange(UNITS)[::-1], [3, 2, 1, 0]),
}
each_output = pytest.mark.parametrize("visible", OUTPUTS)


def numpy_step(w, indices):
    def step(x, states):
        z = x @ w["kernel"] + states[1] @ w["recurrent_kernel"] + w.get("bias", 0)
        return [np.tanh(z)[:, list(indices)], np.tanh(z)]

    return step


def run_expected(layer, indices, x, s, *options):
    """Outputs and the last state of all units, by NumPy."""
    states = [np.zeros((len(x), len(indices))), s]
    outputs, states = run_numpy(
        numpy_step(weights_of(layer), indices), x, states, *options
    )
    return outputs, states[1]


def make(visible="chosen", **options):
    layer = FullyRecurrent(UNITS, output_units=OUTPUTS[visible][0], **options)
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


@each_output
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_equals_numpy(visible, use_bias, go_backwards, mask):
    x, s = normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS, seed=3)
    layer = make(
        visible,
        use_bias=use_bias,
        go_backwards=go_backwards,
        return_sequences=True,
        return_state=True,
    )
    outputs, last = layer(x, initial_state=[s], mask=MASKS[mask])
    expected, state = run_expected(
        layer, OUTPUTS[visible][1], x, s, MASKS[mask], go_backwards
    )
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(last, state, atol=1e-6)


def test_seen_as_a_whole_it_is_elman():
    x = normal(BATCH, TIME, FEATURES)
    layer, elman = make("all"), Elman(UNITS)
    elman.build(x.shape)
    elman.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), elman(x))


@each_output
def test_shapes(visible):
    layer = make(visible, return_sequences=True)
    assert {name: w.shape for name, w in weights_of(layer).items()} == {
        "kernel": (FEATURES, UNITS),
        "recurrent_kernel": (UNITS, UNITS),
        "bias": (UNITS,),
    }
    count = len(OUTPUTS[visible][1])
    assert layer.cell.output_size == count
    assert layer(keras.Input((None, FEATURES))).shape == (None, None, count)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_gradients(mask, training):
    """Of TensorFlow's loop gradient and, in training, of the fast loop's own."""
    layer = FullyRecurrent(
        3,
        output_units=[2, 0],
        return_sequences=True,
        return_state=True,
        dtype="float64",
    )
    layer.build((BATCH, TIME, 2))
    randomise(layer)
    x = normal(BATCH, TIME, 2, dtype="float64")
    s = normal(BATCH, 3, seed=3, dtype="float64")
    mix = normal(BATCH, TIME, 2, seed=8, dtype="float64")
    rest = [w.value for w in layer.non_trainable_variables]

    def function(tensors):
        inputs, start, *weights = tensors
        (outputs, last), _ = layer.stateless_call(
            weights,
            rest,
            inputs,
            initial_state=[start],
            mask=MASKS[mask],
            training=training,
        )
        return tf.reduce_sum(outputs * mix) + tf.reduce_sum(last**2)

    check_gradients(function, [x, s, *(w.numpy() for w in layer.trainable_weights)])


@each_output
@pytest.mark.parametrize("options", [{}, {"dropout": 0.4, "recurrent_dropout": 0.4}])
@pytest.mark.parametrize("mask", MASKS)
def test_the_fast_loop_changes_nothing_in_training(visible, options, mask):
    x = normal(BATCH, TIME, FEATURES, dtype="float64")
    s = normal(BATCH, UNITS, seed=3, dtype="float64")
    options = {"dtype": "float64", "return_sequences": True, **options}
    found = []
    for fast in (True, False):
        keras.utils.set_random_seed(4)  # the same dropout masks
        layer = make(visible, fast=fast, return_state=True, **options)
        assert is_fast(layer.cell)
        x_, s_ = tf.constant(x), tf.constant(s)
        with tf.GradientTape() as tape:
            tape.watch([x_, s_])
            outputs, last = layer(
                x_, initial_state=[s_], mask=MASKS[mask], training=True
            )
            loss = tf.reduce_sum(outputs**2) + tf.reduce_sum(last)
        sources = [x_, s_, *(w.value for w in layer.trainable_weights)]
        found.append([outputs, last, *tape.gradient(loss, sources)])
    for fast, slow in zip(*found, strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-10)


def test_steps_equal_the_sequence():
    layer = make(return_sequences=True, return_state=True)
    x, s = normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS, seed=3)
    whole, last = layer(x, initial_state=[s])
    states = [s]
    for t in range(TIME):
        output, states = layer.step(x[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-6)
    np.testing.assert_allclose(states[0], last, atol=1e-6)


def model_of(visible, **options):
    x = keras.Input((None, FEATURES))
    outputs = FullyRecurrent(
        UNITS, output_units=OUTPUTS[visible][0], return_sequences=True, **options
    )(x)
    return randomise(keras.Model(x, outputs))


@each_output
def test_saves_and_exports(visible, tmp_path):
    model = model_of(visible)
    x = normal(BATCH, TIME, FEATURES)
    again = reload(model, tmp_path)
    np.testing.assert_array_equal(again(x), model(x))
    assert again.layers[-1].cell.indices == tuple(OUTPUTS[visible][1])
    signature = [tf.TensorSpec((None, None, FEATURES))]
    exported = reload_export(model, tmp_path, signature)
    np.testing.assert_allclose(exported.serve(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("visible", "jit"), [("chosen", False), ("chosen", True), ("first", True)]
)
def test_trains(visible, jit):
    options = {} if jit else {"dropout": 0.2, "recurrent_dropout": 0.2}
    fit_moves_all(model_of(visible, **options), normal(BATCH, TIME, FEATURES), jit)


def test_xla_changes_nothing():
    layer = make(return_sequences=True)
    x, mask = normal(BATCH, TIME, FEATURES), MASKS["padded"]
    compiled = tf.function(lambda x: layer(x, mask=mask), jit_compile=True)
    np.testing.assert_allclose(compiled(x), layer(x, mask=mask), atol=1e-6)


def test_mixed_precision():
    exact, layer = make(), make(dtype="mixed_float16")
    x = normal(BATCH, TIME, FEATURES)
    output = layer(x)
    assert keras.backend.standardize_dtype(output.dtype) == "float16"
    np.testing.assert_allclose(output, exact(x), atol=0.01)


@pytest.mark.parametrize(
    "output_units", [0, -1, UNITS + 1, [], [0, UNITS], [-1], [1, 1]]
)
def test_bad_output_units(output_units):
    with pytest.raises(ValueError, match="`output_units`"):
        FullyRecurrentCell(UNITS, output_units=output_units)


def test_building_twice_keeps_the_weights():
    layer = make()
    before = layer.cell.kernel
    layer.cell.build((None, FEATURES))
    assert layer.cell.kernel is before
    assert len(layer.trainable_weights) == 3


# Coming to rest


def settle_numpy(w, x, s, tolerance, max_steps):
    """Every row by itself."""
    states, steps, residuals = [], [], []
    for row, s_row in zip(x, s, strict=True):
        taken, residual = 0, np.inf
        while residual > tolerance and taken < max_steps:
            new = np.tanh(row @ w["kernel"] + s_row @ w["recurrent_kernel"] + w["bias"])
            s_row, residual, taken = new, np.abs(new - s_row).max(), taken + 1
        states.append(s_row), steps.append(taken), residuals.append(residual)
    return np.stack(states), np.array(steps), np.array(residuals)


WAYS = {
    "eager": lambda f: f,
    "graph": tf.function,
    "xla": lambda f: tf.function(f, jit_compile=True),
    "any_batch": lambda f: tf.function(
        f, [tf.TensorSpec((None, 2), "float64"), tf.TensorSpec((None, 3), "float64")]
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("max_steps", [9, 200])
def test_settle_equals_numpy(way, max_steps):
    """Rows that settle at different times, and with 9 steps, some that do not."""
    layer = FullyRecurrent(3, dtype="float64")
    layer.build((None, None, 2))
    randomise(layer, scale=0.5)
    x = np.linspace(0.2, 6, 5)[:, None] * normal(5, 2, dtype="float64")
    s = normal(5, 3, seed=3, dtype="float64")

    def settle(x, s):
        return layer.settle(x, tolerance=1e-6, max_steps=max_steps, initial_state=s)

    found = WAYS[way](settle)(x, s)
    assert isinstance(found, Settled)
    assert found.steps.dtype == tf.int32
    state, steps, residual = settle_numpy(weights_of(layer), x, s, 1e-6, max_steps)
    np.testing.assert_array_equal(found.steps, steps)
    np.testing.assert_allclose(found.state, state, atol=1e-12)
    np.testing.assert_allclose(found.residual, residual, atol=1e-12)
    assert len(set(steps)) > 2, "rows settle at different times"
    assert (residual > 1e-6).any() == (max_steps == 9)


def test_a_settled_state_is_a_fixed_point_of_the_step():
    layer = make()
    layer.cell.recurrent_kernel.assign(0.5 * np.eye(UNITS))
    x = normal(BATCH, FEATURES)
    state, steps, residual = layer.settle(x)
    output, states = layer.step(x, [state])
    np.testing.assert_allclose(states[0], state, atol=1e-5)
    np.testing.assert_array_equal(layer.cell.outputs_of(states[0]), output)
    assert (np.array(residual) <= 1e-5).all() and (np.array(steps) < 100).all()


@pytest.mark.parametrize("way", ["eager", "graph", "xla"])
def test_a_network_that_swings_says_so(way):
    """s = tanh(-5 s) leaps from one side to the other, except from 0."""
    layer = FullyRecurrent(1)
    layer.build((None, None, 1))
    layer.cell.recurrent_kernel.assign([[-5.0]])
    start = np.array([[0.0], [0.5], [-0.01]], "float32")
    found = WAYS[way](
        lambda x: layer.settle(x, tolerance=1e-3, max_steps=40, initial_state=[start])
    )(np.zeros((3, 1), "float32"))
    np.testing.assert_array_equal(found.steps, [1, 40, 40])
    assert found.residual[0] == found.state[0, 0] == 0
    assert (np.array(found.residual[1:]) > 1.9).all()
    assert (np.abs(found.state[1:]) > 0.99).all()


def test_a_state_that_is_not_a_number_does_not_settle():
    layer = make()
    x = normal(2, FEATURES)
    x[1] = np.nan
    _, steps, residual = layer.settle(x, tolerance=10, max_steps=7)
    np.testing.assert_array_equal(steps, [1, 7])
    np.testing.assert_array_equal(np.isnan(residual), [False, True])


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_the_gradient_flows_through_settle(jit):
    """At rest, s = tanh(x k + s w + b): ds/dx = (1 - s^2) k / (1 - (1 - s^2) w)."""
    layer = FullyRecurrent(1, dtype="float64")
    layer.build((None, None, 1))
    k, w, b = 0.8, 0.6, 0.3
    layer.set_weights([np.array(v) for v in ([[k]], [[w]], [b])])

    @tf.function(jit_compile=jit)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            s = layer.settle(x, tolerance=1e-13).state
        return s, tape.gradient(s, x)

    s, found = gradient(tf.constant([[0.5], [-1.0]], "float64"))
    slope = 1 - np.square(s)
    np.testing.assert_allclose(found, slope * k / (1 - slope * w), rtol=1e-9)


def test_settle_builds_itself_and_starts_from_zeros():
    layer = FullyRecurrent(UNITS)
    x = normal(BATCH, FEATURES)
    first = layer.settle(x)
    zeros = np.zeros((BATCH, UNITS))
    np.testing.assert_array_equal(
        layer.settle(x, initial_state=zeros).state, first.state
    )
    assert layer(x[:, None]).shape == (BATCH, UNITS)
    assert len(layer.trainable_weights) == 3


def test_settle_in_mixed_precision():
    exact, layer = make(), make(dtype="mixed_float16")
    for each in (exact, layer):
        each.cell.recurrent_kernel.assign(0.5 * np.eye(UNITS))
    x = normal(BATCH, FEATURES)
    found = layer.settle(x, tolerance=1e-3)
    assert found.state.dtype == found.residual.dtype == tf.float16
    np.testing.assert_allclose(found.state, exact.settle(x).state, atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -1e-3}, "`tolerance`"),
        ({"tolerance": float("nan")}, "`tolerance`"),
        ({"tolerance": float("inf")}, "`tolerance`"),
        ({"tolerance": "small"}, "`tolerance`"),
        ({"max_steps": 0}, "`max_steps`"),
        ({"max_steps": 2.5}, "`max_steps`"),
        ({"initial_state": np.zeros((BATCH, UNITS + 1))}, "`initial_state`"),
        ({"initial_state": np.zeros(UNITS)}, "`initial_state`"),
        ({"inputs": np.zeros((BATCH, TIME, FEATURES))}, "call the layer"),
    ],
)
def test_settle_says_what_it_expected(options, message):
    call = {"inputs": np.zeros((BATCH, FEATURES)), **options}
    with pytest.raises(ValueError, match=message):
        make().settle(**call)


# Digits of 5 x 7 dots

DRAWN = {
    "0": ".###. #...# #...# #...# #...# #...# .###.",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "7": "##### ....# ...#. ...#. ..#.. ..#.. ..#..",
}
DIGITS = np.array(
    [
        [1.0 if dot == "#" else -1.0 for dot in d.replace(" ", "")]
        for d in DRAWN.values()
    ],
    "float32",
)
DOTS = 35
DAMAGED = 5  # 14 % of the dots


def memory_of_digits(**options):
    """A network that rests at the digits, and sees no input.

    The recurrent kernel is the projection on the span of the digits (the
    pseudo-inverse rule of Personnaz, Guyon & Dreyfus 1985): it is symmetric, has no
    negative eigenvalue and maps every digit to itself; the gain 4 makes tanh steep.
    """
    layer = FullyRecurrent(DOTS, use_bias=False, **options)
    layer.build((None, None, 1))
    projection = np.linalg.pinv(DIGITS) @ DIGITS
    layer.set_weights([np.zeros((1, DOTS)), 4 * projection])
    return layer


def damaged_digits(copies=8, seed=0):
    """Every digit `copies` times, each with other dots turned over; and the digits."""
    draw = np.random.default_rng(seed)
    whole = np.repeat(DIGITS, copies, axis=0)
    damaged = whole.copy()
    for row in damaged:
        row[draw.choice(DOTS, DAMAGED, replace=False)] *= -1
    return damaged, whole


@pytest.mark.parametrize("way", ["eager", "graph", "xla"])
def test_damaged_digits_are_recalled(way):
    layer = memory_of_digits()
    damaged, whole = damaged_digits()
    blank = np.zeros((len(whole), 1), "float32")
    recall = WAYS[way](
        lambda x, s: layer.settle(x, tolerance=1e-5, max_steps=200, initial_state=s)
    )
    found = recall(blank, damaged)
    np.testing.assert_array_equal(np.sign(found.state), whole)
    assert (np.array(found.residual) <= 1e-5).all()
    assert (np.array(found.steps) > 1).all() and (np.array(found.steps) < 200).all()


def test_without_feedback_nothing_is_recalled():
    """The counterpart: it is the recurrent kernel that knows the digits."""
    layer = memory_of_digits()
    layer.cell.recurrent_kernel.assign(4 * np.eye(DOTS))
    damaged, whole = damaged_digits()
    found = layer.settle(np.zeros((len(whole), 1)), initial_state=damaged)
    np.testing.assert_array_equal(np.sign(found.state), damaged)
