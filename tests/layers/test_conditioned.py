"""ConditionedCell: a vector joined to the input of any cell, at every step."""

import keras
import numpy as np
import pytest

from saccade.layers import (
    ConditionedCell,
    Elman,
    ElmanCell,
    GRUCell,
    LSTMCell,
    Recurrent,
)

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
    run_numpy,
    weights_of,
)

WIDTH = 2  # of the vector
CELLS = {
    "elman": ElmanCell,
    "lstm": LSTMCell,
    "gru": GRUCell,
    "keras": keras.layers.LSTMCell,
}
each_cell = pytest.mark.parametrize("kind", CELLS)


def make(kind, **options):
    layer = Recurrent(ConditionedCell(CELLS[kind](UNITS)), **options)
    layer.build((BATCH, TIME, FEATURES), memory_shape=(BATCH, WIDTH))
    return randomise(layer)


def model_of(kind):
    x, v = keras.Input((None, FEATURES)), keras.Input((WIDTH,))
    return keras.Model([x, v], make(kind, return_sequences=True)(x, memory=v))


def data():
    return normal(BATCH, TIME, FEATURES), normal(BATCH, WIDTH, seed=1)


@pytest.mark.parametrize("mask", MASKS)
def test_equals_the_three_products_in_numpy(mask):
    """h = tanh(Wx x + Wh h' + Wi v + b): the last rows of the kernel are Wi."""
    layer = make("elman", return_sequences=True)
    x, v = data()
    w = weights_of(layer)
    w_x, w_i = w["kernel"][:FEATURES], w["kernel"][FEATURES:]
    assert w_i.shape == (WIDTH, UNITS)

    def step(x, states):
        recurrent = states[0] @ w["recurrent_kernel"]
        return [np.tanh(x @ w_x + recurrent + v @ w_i + w["bias"])]

    start = [np.zeros((BATCH, UNITS), "float32")]
    expected, _ = run_numpy(step, x, start, MASKS[mask])
    result = layer(x, memory=v, sequences_mask=MASKS[mask])
    np.testing.assert_allclose(result, expected, atol=1e-6)


@each_cell
def test_equals_the_vector_repeated_in_the_input(kind):
    layer = make(kind, return_sequences=True, return_state=True)
    plain = Recurrent(CELLS[kind](UNITS), return_sequences=True, return_state=True)
    plain.build((BATCH, TIME, FEATURES + WIDTH))
    plain.set_weights(layer.get_weights())
    x, v = data()
    repeated = np.repeat(v[:, None], TIME, axis=1)
    expected = plain(np.concatenate([x, repeated], axis=-1))
    for ours, theirs in zip(layer(x, memory=v), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@each_cell
def test_step_loop_equals_call(kind):
    layer = make(kind, return_sequences=True)
    x, v = data()
    expected = layer(x, memory=v)
    memory, states = layer.prepare_memory(v), layer.get_initial_state(BATCH)
    for t in range(TIME):
        output, states = layer.step(x[:, t], states, memory)
        np.testing.assert_allclose(output, expected[:, t], atol=1e-6)


def test_gradient_of_the_vector():
    layer = Recurrent(ConditionedCell(GRUCell(3, dtype="float64"), dtype="float64"))
    layer = Recurrent.from_config({**layer.get_config(), "dtype": "float64"})
    x, v = (a.astype("float64") for a in data())
    layer(x, memory=v)
    randomise(layer)
    mix = normal(BATCH, 3, seed=6, dtype="float64")
    check_gradients(
        lambda tensors: keras.ops.sum(layer(tensors[0], memory=tensors[1]) * mix),
        [x, v],
    )


@each_cell
def test_keras_file_round_trip(kind, tmp_path):
    model = model_of(kind)
    again = reload(model, tmp_path)
    np.testing.assert_array_equal(again(list(data())), model(list(data())))


@pytest.mark.parametrize(("kind", "jit"), [("keras", False), ("gru", True)])
def test_fit_moves_every_weight(kind, jit):
    fit_moves_all(model_of(kind), list(data()), jit)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(dtype):
    policy = f"mixed_{dtype}"
    cell = ConditionedCell(LSTMCell(UNITS, dtype=policy), dtype=policy)
    layer = Recurrent(cell, dtype=policy)
    result = layer(data()[0], memory=data()[1])
    assert keras.backend.standardize_dtype(result.dtype) == dtype


def test_missing_memory_is_an_error():
    layer = Recurrent(ConditionedCell(LSTMCell(UNITS)), name="reader")
    x, v = data()
    with pytest.raises(ValueError, match="Recurrent 'reader' expected `memory=`"):
        layer(x)
    layer(x, memory=v)
    with pytest.raises(ValueError, match="reads a memory at every step, but received"):
        layer(x)


def test_memory_of_the_wrong_rank_is_an_error():
    layer = Recurrent(ConditionedCell(LSTMCell(UNITS)))
    expected = r"one vector per row, .* received shape \(4, 6, 2\)"
    with pytest.raises(ValueError, match=expected):
        layer(data()[0], memory=normal(BATCH, 6, 2))


def test_a_mask_for_one_vector_is_an_error():
    x, v = data()
    with pytest.raises(ValueError, match="received `memory_mask`. Leave it out"):
        make("lstm")(x, memory=v, memory_mask=np.ones((BATCH, WIDTH), bool))


def test_a_vector_of_zeros_conditions_nothing():
    layer, plain = make("elman"), Elman(UNITS)
    x, v = data()
    plain.build(x.shape)
    kernel, *others = layer.get_weights()
    plain.set_weights([kernel[:FEATURES], *others])
    np.testing.assert_allclose(layer(x, memory=0 * v), plain(x), atol=1e-6)
    assert not np.allclose(layer(x, memory=v), plain(x))
