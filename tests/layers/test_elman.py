"""Elman against its equation, h = tanh(Wx x + Wh h' + b), written in NumPy."""

import keras
import numpy as np
import pytest

from saccade.layers import Elman, ElmanCell
from saccade.layers.elman import elman_step

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
    weights_of,
)


def numpy_step(w):
    def step(x, states):
        z = x @ w["kernel"] + states[0] @ w["recurrent_kernel"] + w.get("bias", 0)
        return [np.tanh(z)]

    return step


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_equals_numpy(use_bias, go_backwards, mask):
    x, h = normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS, seed=3)
    layer = Elman(
        UNITS,
        use_bias=use_bias,
        go_backwards=go_backwards,
        return_sequences=True,
        return_state=True,
    )
    layer.build(x.shape)
    randomise(layer)
    outputs, last = layer(x, initial_state=[h], mask=MASKS[mask])
    expected, states = run_numpy(
        numpy_step(weights_of(layer)), x, [h], MASKS[mask], go_backwards
    )
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(last, states[0], atol=1e-6)


def test_weights_have_the_documented_shapes():
    layer = Elman(UNITS)
    layer.build((None, None, FEATURES))
    shapes = {name: w.shape for name, w in weights_of(layer).items()}
    assert shapes == {
        "kernel": (FEATURES, UNITS),
        "recurrent_kernel": (UNITS, UNITS),
        "bias": (UNITS,),
    }


@pytest.mark.parametrize("mask", ["none", "padded"])
def test_gradients(mask):
    layer = Elman(3, return_sequences=True, return_state=True, dtype="float64")
    layer.build((BATCH, TIME, 2))
    randomise(layer)
    x = normal(BATCH, TIME, 2, dtype="float64")
    h = normal(BATCH, 3, seed=3, dtype="float64")
    check_layer_gradients(layer, x, [h], mask=MASKS[mask])


def test_activation_is_an_option():
    x, h = normal(2, 3), normal(2, 3, seed=1)
    w, u = normal(3, 3, seed=2), normal(3, 3, seed=3)
    result = elman_step(x, h, w, u, None, keras.ops.relu)
    np.testing.assert_allclose(result, np.maximum(x @ w + h @ u, 0), atol=1e-6)


def test_cell_takes_its_state_alone_or_in_a_list():
    cell = ElmanCell(UNITS)
    x, h = normal(BATCH, FEATURES), normal(BATCH, UNITS, seed=3)
    alone, state = cell(x, h)
    listed, states = cell(x, [h])
    np.testing.assert_array_equal(alone, listed)
    np.testing.assert_array_equal(state, states[0])
    assert isinstance(states, list)
