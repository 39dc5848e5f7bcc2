"""Jordan against its equations, the output fed back, written in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers.cells import is_fast
from saccade.layers.conditioned import ConditionedCell
from saccade.layers.elman import Elman
from saccade.layers.jordan import Jordan, JordanCell, jordan_step
from saccade.layers.recurrent import Recurrent

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
    sigmoid,
    weights_of,
)

OUTPUTS = 2  # not UNITS: a kernel that lies the wrong way must not fit


def numpy_step(w, f=np.tanh, g=np.tanh):
    def step(x, states):
        h = f(x @ w["kernel"] + states[0] @ w["recurrent_kernel"] + w.get("bias", 0))
        return [g(h @ w["output_kernel"] + w.get("output_bias", 0))]

    return step


def make(**options):
    layer = Jordan(UNITS, output_units=OUTPUTS, **options)
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("zero_output", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_equals_numpy(use_bias, go_backwards, zero_output, mask):
    x, y = normal(BATCH, TIME, FEATURES), normal(BATCH, OUTPUTS, seed=3)
    layer = make(
        use_bias=use_bias,
        go_backwards=go_backwards,
        zero_output_for_mask=zero_output,
        return_sequences=True,
        return_state=True,
    )
    outputs, last = layer(x, initial_state=[y], mask=MASKS[mask])
    expected, states = run_numpy(
        numpy_step(weights_of(layer)), x, [y], MASKS[mask], go_backwards, zero_output
    )
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(last, states[0], atol=1e-6)


def test_both_activations_are_options():
    x = normal(BATCH, TIME, FEATURES)
    layer = make(activation="relu", output_activation="sigmoid")

    def relu(z):
        return np.maximum(z, 0)

    step = numpy_step(weights_of(layer), relu, sigmoid)
    expected, _ = run_numpy(step, x, [np.zeros((BATCH, OUTPUTS))])
    np.testing.assert_allclose(layer(x), expected[:, -1], atol=1e-6)


def test_with_the_output_as_it_is_jordan_is_elman():
    """Wo = 1, g(z) = z and no biases give y = h."""
    x = normal(BATCH, TIME, FEATURES)
    jordan = Jordan(
        UNITS, output_activation=None, output_initializer="identity", use_bias=False
    )
    elman = Elman(UNITS, use_bias=False)
    jordan(x), elman(x)
    randomise(elman)
    jordan.cell.kernel.assign(elman.cell.kernel)
    jordan.cell.recurrent_kernel.assign(elman.cell.recurrent_kernel)
    np.testing.assert_allclose(jordan(x), elman(x), atol=1e-6)


@pytest.mark.parametrize("use_bias", [True, False])
def test_weights_have_the_documented_shapes(use_bias):
    layer = make(use_bias=use_bias)
    shapes = {name: w.shape for name, w in weights_of(layer).items()}
    biases = {"bias": (UNITS,), "output_bias": (OUTPUTS,)} if use_bias else {}
    assert shapes == {
        "kernel": (FEATURES, UNITS),
        "recurrent_kernel": (OUTPUTS, UNITS),
        "output_kernel": (UNITS, OUTPUTS),
        **biases,
    }
    assert layer.cell.state_size == layer.cell.output_size == OUTPUTS


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_gradients(mask, training):
    """Of TensorFlow's loop gradient and, in training, of the fast loop's own."""
    layer = Jordan(
        3, output_units=2, return_sequences=True, return_state=True, dtype="float64"
    )
    layer.build((BATCH, TIME, 2))
    randomise(layer)
    x = normal(BATCH, TIME, 2, dtype="float64")
    y = normal(BATCH, 2, seed=3, dtype="float64")
    mix = normal(BATCH, TIME + 1, 2, seed=8, dtype="float64")
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
        return tf.reduce_sum(tf.concat([outputs, last[:, None]], 1) * mix)

    check_gradients(function, [x, y, *(w.numpy() for w in layer.trainable_weights)])


@pytest.mark.parametrize("options", [{}, {"dropout": 0.4, "recurrent_dropout": 0.4}])
@pytest.mark.parametrize("mask", MASKS)
def test_the_fast_loop_changes_nothing_in_training(options, mask):
    x = normal(BATCH, TIME, FEATURES, dtype="float64")
    y = normal(BATCH, OUTPUTS, seed=3, dtype="float64")
    options = {"dtype": "float64", "return_sequences": True, **options}
    found = []
    for fast in (True, False):
        keras.utils.set_random_seed(4)  # the same dropout masks
        layer = make(fast=fast, return_state=True, **options)
        assert is_fast(layer.cell)
        x_, y_ = tf.constant(x), tf.constant(y)
        with tf.GradientTape() as tape:
            tape.watch([x_, y_])
            outputs, last = layer(
                x_, initial_state=[y_], mask=MASKS[mask], training=True
            )
            loss = tf.reduce_sum(outputs**2) + tf.reduce_sum(last)
        sources = [x_, y_, *(w.value for w in layer.trainable_weights)]
        found.append([outputs, last, *tape.gradient(loss, sources)])
    for fast, slow in zip(*found, strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-10)


def test_recurrent_dropout_falls_on_the_output_that_is_fed_back():
    """y_t = y_{t-1} mask + 1 from 0: 1, then 1 + 2 mask, ..."""
    layer = Jordan(
        8,
        activation=None,
        output_activation=None,
        kernel_initializer="zeros",
        recurrent_initializer="identity",
        output_initializer="identity",
        recurrent_dropout=0.5,
        return_sequences=True,
    )
    layer.build((BATCH, TIME, 1))
    layer.cell.bias.assign(np.ones(8))
    outputs = np.array(layer(np.ones((BATCH, TIME, 1)), training=True))
    dropped = outputs[:, 1] == 1
    assert dropped.any() and not dropped.all()
    expected = np.stack([np.where(dropped, 1, 2**t - 1) for t in range(1, 6)], axis=1)
    np.testing.assert_array_equal(outputs, expected)


def test_steps_equal_the_sequence():
    layer = make(return_sequences=True, return_state=True)
    x, y = normal(BATCH, TIME, FEATURES), normal(BATCH, OUTPUTS, seed=3)
    whole, last = layer(x, initial_state=[y])
    states = [y]
    for t in range(TIME):
        output, states = layer.step(x[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-6)
    np.testing.assert_allclose(states[0], last, atol=1e-6)


def test_cell_takes_its_state_alone_or_in_a_list():
    cell = JordanCell(UNITS, output_units=OUTPUTS)
    x, y = normal(BATCH, FEATURES), normal(BATCH, OUTPUTS, seed=3)
    alone, state = cell(x, y)
    listed, states = cell(x, [y])
    np.testing.assert_array_equal(alone, listed)
    np.testing.assert_array_equal(state, states[0])
    assert isinstance(states, list)


def test_the_step_function_takes_inputs_side_by_side():
    x, y, v = normal(2, 3), normal(2, 2, seed=1), normal(2, 1, seed=2)
    kernels = [normal(4, 5, seed=3), normal(2, 5, seed=4), normal(5, 2, seed=5)]
    w, u, o = kernels
    result = jordan_step((x, v), y, w, u, None, o, None, keras.ops.relu, keras.ops.exp)
    h = np.maximum(np.concatenate([x, v], 1) @ w + y @ u, 0)
    np.testing.assert_allclose(result, np.exp(h @ o), rtol=1e-5)


def test_a_vector_can_be_shown_at_every_step():
    cell = JordanCell(UNITS, output_units=OUTPUTS)
    layer = Recurrent(ConditionedCell(cell), return_sequences=True)
    x, v = normal(BATCH, TIME, FEATURES), normal(BATCH, 2, seed=3)
    layer(x, memory=v)
    randomise(layer)
    joined = np.concatenate([x, np.repeat(v[:, None], TIME, axis=1)], axis=-1)
    step = numpy_step(weights_of(layer))
    expected, _ = run_numpy(step, joined, [np.zeros((BATCH, OUTPUTS))])
    np.testing.assert_allclose(layer(x, memory=v), expected, atol=1e-6)


def model_of(**options):
    x = keras.Input((None, FEATURES))
    outputs = Jordan(UNITS, output_units=OUTPUTS, return_sequences=True, **options)(x)
    assert outputs.shape == (None, None, OUTPUTS)
    return randomise(keras.Model(x, outputs))


def test_saves_and_exports(tmp_path):
    model = model_of(output_activation="sigmoid")
    x = normal(BATCH, TIME, FEATURES)
    np.testing.assert_array_equal(reload(model, tmp_path)(x), model(x))
    signature = [tf.TensorSpec((None, None, FEATURES))]
    exported = reload_export(model, tmp_path, signature)
    np.testing.assert_allclose(exported.serve(x), model(x), atol=1e-6)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_trains(jit):
    options = {} if jit else {"dropout": 0.2, "recurrent_dropout": 0.2}
    fit_moves_all(model_of(**options), normal(BATCH, TIME, FEATURES), jit)


def test_xla_changes_nothing():
    layer = make(return_sequences=True)
    x, mask = normal(BATCH, TIME, FEATURES), MASKS["padded"]
    compiled = tf.function(lambda x: layer(x, mask=mask), jit_compile=True)
    np.testing.assert_allclose(compiled(x), layer(x, mask=mask), atol=1e-6)


def test_mixed_precision():
    exact, layer = make(), make(dtype="mixed_float16")
    assert {w.dtype for w in layer.trainable_weights} == {"float32"}
    x = normal(BATCH, TIME, FEATURES)
    output = layer(x)
    assert keras.backend.standardize_dtype(output.dtype) == "float16"
    np.testing.assert_allclose(output, exact(x), atol=0.01)


def test_config_keeps_the_output_options():
    layer = make(
        output_activation="sigmoid",
        output_initializer="he_normal",
        output_regularizer=keras.regularizers.L2(0.5),
        output_constraint="non_neg",
        bias_regularizer=keras.regularizers.L1(0.25),
    )
    cell = Jordan.from_config(layer.get_config()).cell
    assert cell.output_units == OUTPUTS
    assert cell.output_activation is keras.activations.sigmoid
    assert isinstance(cell.output_initializer, keras.initializers.HeNormal)
    assert isinstance(cell.output_constraint, keras.constraints.NonNeg)
    output, bias, output_bias = (
        np.array(getattr(layer.cell, name))
        for name in ("output_kernel", "bias", "output_bias")
    )
    expected = 0.5 * np.sum(output**2) + 0.25 * (
        np.abs(bias).sum() + np.abs(output_bias).sum()
    )
    np.testing.assert_allclose(sum(layer.losses), expected, rtol=1e-5)


def test_building_twice_keeps_the_weights():
    layer = make()
    before = layer.cell.output_kernel
    layer.cell.build((None, FEATURES))
    assert layer.cell.output_kernel is before
    assert len(layer.trainable_weights) == 5


@pytest.mark.parametrize("output_units", [0, -1, 2.5, "two"])
def test_bad_output_units(output_units):
    with pytest.raises(ValueError, match="positive integer"):
        JordanCell(UNITS, output_units=output_units)


def test_output_units_are_units_by_default():
    assert JordanCell(UNITS).output_units == UNITS
    assert JordanCell(UNITS, output_units=np.int64(2)).get_config()["output_units"] == 2
