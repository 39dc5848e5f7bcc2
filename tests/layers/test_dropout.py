"""Variational dropout: one mask per sequence, the same at every step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    GRU,
    LSTM,
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    Elman,
    ElmanCell,
    GRUCell,
    JordanCell,
    LSTMCell,
    Recurrent,
)

from .helpers import BATCH, FEATURES, TIME, UNITS, fit_moves_all, normal, randomise

WIDE = 8  # units enough that two masks are never equal by chance
CELLS = {"elman": ElmanCell, "lstm": LSTMCell, "gru": GRUCell}
each_cell = pytest.mark.parametrize("kind", CELLS)
PLACES = {"inputs": {"dropout": 0.5}, "state": {"recurrent_dropout": 0.5}}


def input_watcher(**options):
    """h_t = x_t under the dropout mask: the outputs show the mask of every step."""
    return Elman(
        WIDE,
        activation="linear",
        kernel_initializer="identity",
        recurrent_initializer="zeros",
        return_sequences=True,
        **options,
    )


def test_the_input_mask_is_the_same_at_every_step():
    outputs = np.array(
        input_watcher(dropout=0.5)(np.ones((BATCH, TIME, WIDE)), training=True)
    )
    assert set(outputs.flatten()) == {0.0, 2.0}
    np.testing.assert_array_equal(outputs, np.repeat(outputs[:, :1], TIME, axis=1))
    assert (outputs[0] != outputs[1]).any(), "every row has a mask of its own"


def test_the_state_mask_is_the_same_at_every_step():
    """h_t = mask h_{t-1} + 1 from h = 0 gives 1, then 1 + 2 mask, ..."""
    layer = Elman(
        WIDE,
        activation="linear",
        kernel_initializer="zeros",
        recurrent_initializer="identity",
        bias_initializer="ones",
        recurrent_dropout=0.5,
        return_sequences=True,
    )
    outputs = np.array(layer(np.ones((BATCH, TIME, 1)), training=True))
    dropped = outputs[:, 1] == 1
    assert dropped.any() and not dropped.all()
    expected = np.stack([np.where(dropped, 1, 2**t - 1) for t in range(1, 6)], axis=1)
    np.testing.assert_array_equal(outputs, expected)


@each_cell
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "conditioned"])
def test_masks_differ_between_calls_and_are_absent_at_inference(kind, place, wrapped):
    def layer_with(**options):
        cell = CELLS[kind](WIDE, **options)
        layer = Recurrent(ConditionedCell(cell) if wrapped else cell)
        layer(x, **memory)
        return randomise(layer)

    x = normal(BATCH, TIME, FEATURES)
    memory = {"memory": normal(BATCH, 2)} if wrapped else {}
    layer, without = layer_with(**PLACES[place]), layer_with()
    np.testing.assert_array_equal(layer(x, **memory), without(x, **memory))
    first, second = (np.array(layer(x, training=True, **memory)) for _ in range(2))
    assert not np.allclose(first, second)
    assert not np.allclose(first, without(x, **memory))


@pytest.mark.parametrize("layer_class", [Elman, LSTM, GRU])
def test_a_seed_repeats_the_masks(layer_class):
    x = normal(BATCH, TIME, FEATURES)
    options = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 5}
    first, second = (layer_class(UNITS, **options) for _ in range(2))
    first(x), second.build(x.shape)
    second.set_weights(first.get_weights())
    for generator in (first.cell.seed_generator, second.cell.seed_generator):
        generator.state.assign([5, 0])
    same = (first(x, training=True), second(x, training=True))
    np.testing.assert_array_equal(*same)


def wrapped_model(kind, around):
    x = keras.Input((None, FEATURES))
    cell = CELLS[kind](UNITS, dropout=0.3, recurrent_dropout=0.3)
    if around == "conditioned":
        memory = keras.Input((2,))
        layer = Recurrent(ConditionedCell(cell), return_sequences=True)
        return keras.Model([x, memory], layer(x, memory=memory))
    memory = keras.Input((6, 2))
    outputs = AttentionRNN(cell, BahdanauAttention(3))(x, memory=memory)["outputs"]
    return keras.Model([x, memory], outputs)


@pytest.mark.parametrize(
    ("kind", "around"), [("elman", "attention"), ("gru", "conditioned")]
)
def test_wrapped_cells_train(kind, around):
    shape = (2,) if around == "conditioned" else (6, 2)
    inputs = [normal(BATCH, TIME, FEATURES), normal(BATCH, *shape, seed=1)]
    fit_moves_all(wrapped_model(kind, around), inputs, jit=False)


def test_the_mask_of_a_wrapped_cell_is_the_same_at_every_step():
    cell = ElmanCell(
        WIDE,
        activation="linear",
        kernel_initializer="identity",
        recurrent_initializer="zeros",
        dropout=0.5,
    )
    layer = Recurrent(ConditionedCell(cell), return_sequences=True)
    x, vector = np.ones((BATCH, TIME, WIDE - 2)), np.ones((BATCH, 2))

    @tf.function
    def train(x, vector):
        return layer(x, memory=vector, training=True)

    outputs = np.array(train(x, vector))
    assert set(outputs.flatten()) == {0.0, 2.0}
    np.testing.assert_array_equal(outputs, np.repeat(outputs[:, :1], TIME, axis=1))
    assert not np.array_equal(outputs, train(x, vector)), "drawn anew in every call"


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "conditioned"])
def test_step_keeps_no_mask_of_its_graph(wrapped):
    """Two functions trace training steps of one layer, with other batch sizes."""
    cell = LSTMCell(UNITS, dropout=0.5, recurrent_dropout=0.5)
    layer = Recurrent(ConditionedCell(cell) if wrapped else cell)
    layer.build((BATCH, TIME, FEATURES), memory_shape=(BATCH, 2) if wrapped else None)
    for batch in (BATCH, 2):
        x = normal(batch, FEATURES)
        memory = normal(batch, 2) if wrapped else None
        states = layer.get_initial_state(batch)

        @tf.function
        def train(x, states, memory):
            return layer.step(x, states, memory, training=True)[0]

        assert train(x, states, memory).shape == (batch, UNITS)


def test_a_wrapped_cell_whose_state_is_not_its_units():
    cell = JordanCell(4, output_units=2, recurrent_dropout=0.5)
    output = Recurrent(ConditionedCell(cell))(
        normal(BATCH, TIME, FEATURES), memory=normal(BATCH, 2), training=True
    )
    assert output.shape == (BATCH, 2)
