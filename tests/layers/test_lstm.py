"""LSTM against its equations, with and without peepholes, written in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import LSTM, LSTMCell

from .helpers import (
    BATCH,
    FEATURES,
    MASKS,
    TIME,
    UNITS,
    check_layer_gradients,
    normal,
    randomise,
    run_numpy,
    sigmoid,
    weights_of,
)

PEEPHOLES = [False, True, "previous"]


def numpy_step(w, peephole=True):
    p_i, p_f, p_o = w.get("peephole", np.zeros((3, 1)))

    def step(x, states):
        h, c = states
        z = x @ w["kernel"] + h @ w["recurrent_kernel"] + w.get("bias", 0)
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
        i, f = sigmoid(z_i + p_i * c), sigmoid(z_f + p_f * c)
        new = f * c + i * np.tanh(z_g)
        o = sigmoid(z_o + p_o * (c if peephole == "previous" else new))
        return [o * np.tanh(new), new]

    return step


@pytest.mark.parametrize("peephole", PEEPHOLES)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_equals_numpy(peephole, use_bias, go_backwards, mask):
    x = normal(BATCH, TIME, FEATURES)
    states = [normal(BATCH, UNITS, seed=3), normal(BATCH, UNITS, seed=4)]
    layer = LSTM(
        UNITS,
        peephole=peephole,
        use_bias=use_bias,
        go_backwards=go_backwards,
        return_sequences=True,
        return_state=True,
    )
    layer.build(x.shape)
    randomise(layer)
    outputs, h, c = layer(x, initial_state=states, mask=MASKS[mask])
    expected, states = run_numpy(
        numpy_step(weights_of(layer), peephole), x, states, MASKS[mask], go_backwards
    )
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(h, states[0], atol=1e-6)
    np.testing.assert_allclose(c, states[1], atol=1e-6)


@pytest.mark.parametrize("peephole", PEEPHOLES)
def test_gradients(peephole):
    layer = LSTM(
        3,
        peephole=peephole,
        return_sequences=True,
        return_state=True,
        dtype="float64",
    )
    layer.build((BATCH, TIME, 2))
    randomise(layer)
    x = normal(BATCH, TIME, 2, dtype="float64")
    states = [normal(BATCH, 3, seed=s, dtype="float64") for s in (3, 4)]
    check_layer_gradients(layer, x, states, mask=MASKS["padded"])


@pytest.mark.parametrize("peephole", [True, "previous"])
def test_weights_have_the_documented_shapes(peephole):
    layer = LSTM(UNITS, peephole=peephole)
    layer.build((None, None, FEATURES))
    shapes = {name: w.shape for name, w in weights_of(layer).items()}
    assert shapes == {
        "kernel": (FEATURES, 4 * UNITS),
        "recurrent_kernel": (UNITS, 4 * UNITS),
        "bias": (4 * UNITS,),
        "peephole": (3, UNITS),
    }


@pytest.mark.parametrize("forget", [True, False])
def test_forget_gate_starts_open(forget):
    layer = LSTM(2, unit_forget_bias=forget)
    layer.build((None, None, FEATURES))
    bias = np.repeat([0.0, float(forget), 0.0, 0.0], 2)
    np.testing.assert_array_equal(layer.cell.bias.numpy(), bias)


def test_peepholes_start_as_their_initialiser_says():
    layer = LSTM(2, peephole=True, peephole_initializer="ones")
    layer.build((None, None, FEATURES))
    np.testing.assert_array_equal(layer.cell.peephole_weights.numpy(), np.ones((3, 2)))


def test_zero_peepholes_change_nothing():
    x = normal(BATCH, TIME, FEATURES)
    plain = LSTM(UNITS)
    plain.build(x.shape)
    randomise(plain)
    peeping = LSTM(UNITS, peephole=True, peephole_initializer="zeros")
    peeping.build(x.shape)
    for ours, theirs in zip(peeping.weights[:3], plain.weights, strict=True):
        ours.assign(theirs)
    np.testing.assert_array_equal(peeping(x), plain(x))


@pytest.mark.parametrize("peephole", PEEPHOLES)
@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_the_fast_loop_gives_the_numbers_and_gradients_of_the_slow_one(peephole, jit):
    x = tf.constant(normal(BATCH, TIME, FEATURES))

    def outputs_and_gradients(fast):
        layer = LSTM(UNITS, peephole=peephole, fast=fast, return_sequences=True)
        layer.build(x.shape)
        randomise(layer)
        assert layer.runs_fast() is fast

        @tf.function(jit_compile=jit)
        def run():
            with tf.GradientTape() as tape:
                outputs = layer(x, training=True)
                loss = tf.reduce_sum(outputs * normal(*outputs.shape, seed=5))
            return [outputs, *tape.gradient(loss, layer.trainable_weights)]

        return run()

    pairs = zip(outputs_and_gradients(True), outputs_and_gradients(False), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("value", ["current", None, "Previous", 2])
def test_another_peephole_is_refused(value):
    with pytest.raises(ValueError, match=f"expected `peephole` .* received {value!r}"):
        LSTM(UNITS, peephole=value)


@pytest.mark.parametrize("peephole", [True, "previous"])
def test_config_keeps_the_peephole_options(peephole):
    layer = LSTM(
        UNITS, peephole=peephole, peephole_initializer="he_normal", dropout=0.25
    )
    again = LSTM.from_config(layer.get_config())
    assert again.cell.peephole == peephole
    assert isinstance(again.cell.peephole_initializer, keras.initializers.HeNormal)
    assert again.cell.dropout == 0.25
    cell = LSTMCell.from_config(layer.cell.get_config())
    assert cell.peephole == peephole
