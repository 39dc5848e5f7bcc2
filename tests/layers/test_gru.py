"""GRU against its equations, in both reset conventions, written in NumPy."""

import numpy as np
import pytest

from saccade.layers import GRU, GRUCell

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


def numpy_step(w, reset_after, z_is_new=False):
    """With U, W and b cut into their blocks z, r, g.

    z_is_new: z is the share of what is new, as many texts print it, not of what stays.
    """
    w_z, w_r, w_g = np.split(w["kernel"], 3, axis=-1)
    u_z, u_r, u_g = np.split(w["recurrent_kernel"], 3, axis=-1)
    units = len(u_z)
    bias = w.get("bias", np.zeros((2, 3 * units)))
    if not reset_after and "bias" in w:
        bias = np.stack([bias, np.zeros(3 * units)])
    (b_z, b_r, b_g), (c_z, c_r, c_g) = (np.split(row, 3) for row in bias)

    def step(x, states):
        (h,) = states
        z = sigmoid(x @ w_z + b_z + h @ u_z + c_z)
        r = sigmoid(x @ w_r + b_r + h @ u_r + c_r)
        reset = r * (h @ u_g + c_g) if reset_after else (r * h) @ u_g
        g = np.tanh(x @ w_g + b_g + reset)
        return [(1 - z) * h + z * g if z_is_new else z * h + (1 - z) * g]

    return step


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_equals_numpy(reset_after, use_bias, go_backwards, mask):
    x, h = normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS, seed=3)
    layer = GRU(
        UNITS,
        reset_after=reset_after,
        use_bias=use_bias,
        go_backwards=go_backwards,
        return_sequences=True,
        return_state=True,
    )
    layer.build(x.shape)
    randomise(layer)
    outputs, last = layer(x, initial_state=[h], mask=MASKS[mask])
    step = numpy_step(weights_of(layer), reset_after)
    expected, states = run_numpy(step, x, [h], MASKS[mask], go_backwards)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(last, states[0], atol=1e-6)


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_update_gate_the_other_way_round(reset_after):
    """h = (1 - z) h' + z g is our network with the gate's signs turned."""
    x = normal(BATCH, TIME, FEATURES)
    layer = GRU(UNITS, reset_after=reset_after, return_sequences=True)
    layer.build(x.shape)
    randomise(layer)

    weights = weights_of(layer)
    step = numpy_step(weights, reset_after, z_is_new=True)
    expected, _ = run_numpy(step, x, [np.zeros((BATCH, UNITS))])
    assert not np.allclose(layer(x), expected, atol=1e-3)
    for w in weights.values():
        w[..., :UNITS] *= -1  # the blocks of z
    layer.set_weights(list(weights.values()))
    np.testing.assert_allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize("reset_after", [True, False])
def test_gradients(reset_after):
    layer = GRU(
        3,
        reset_after=reset_after,
        return_sequences=True,
        return_state=True,
        dtype="float64",
    )
    layer.build((BATCH, TIME, 2))
    randomise(layer)
    x = normal(BATCH, TIME, 2, dtype="float64")
    h = normal(BATCH, 3, seed=3, dtype="float64")
    check_layer_gradients(layer, x, [h], mask=MASKS["padded"])


@pytest.mark.parametrize("reset_after", [True, False])
def test_weights_have_the_documented_shapes(reset_after):
    layer = GRU(UNITS, reset_after=reset_after)
    layer.build((None, None, FEATURES))
    shapes = {name: w.shape for name, w in weights_of(layer).items()}
    assert shapes == {
        "kernel": (FEATURES, 3 * UNITS),
        "recurrent_kernel": (UNITS, 3 * UNITS),
        "bias": (2, 3 * UNITS) if reset_after else (3 * UNITS,),
    }


def test_dropout_spares_the_carried_state():
    """h = z h' + (1 - z) g: dropout acts on what the products see, not on this h'."""
    cell = GRUCell(UNITS, recurrent_dropout=0.5, bias_initializer="ones", seed=3)
    x, h = normal(BATCH, FEATURES), normal(BATCH, UNITS, seed=3)
    cell.build(x.shape)
    # The update gate is held open, so that the new state is the old one.
    cell.kernel.assign(np.zeros(cell.kernel.shape))
    cell.recurrent_kernel.assign(np.zeros(cell.recurrent_kernel.shape))
    cell.bias.assign(np.full(cell.bias.shape, 50.0))
    result, _ = cell(x, [h], training=True)
    np.testing.assert_allclose(result, h, atol=1e-6)


def test_cell_takes_its_state_alone_or_in_a_list():
    cell = GRUCell(UNITS)
    x, h = normal(BATCH, FEATURES), normal(BATCH, UNITS, seed=3)
    alone, state = cell(x, h)
    listed, states = cell(x, [h])
    np.testing.assert_array_equal(alone, listed)
    np.testing.assert_array_equal(state, states[0])
    assert isinstance(states, list)
