"""Masks that Keras drops without a word, in functional models where it drops them."""

import keras
import numpy as np
import pytest

from saccade.layers import (
    GRU,
    LSTM,
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    Elman,
    GRUCell,
    LSTMCell,
    Recurrent,
)

from .helpers import BATCH, UNITS, normal, randomise

TOKENS = np.array(
    [[3, 1, 2, 0, 0], [0, 0, 4, 1, 2], [1, 0, 3, 0, 4], [0, 0, 0, 0, 0]], "int32"
)
REAL = TOKENS != 0
each_class = pytest.mark.parametrize("layer_class", [Elman, LSTM, GRU])


@keras.saving.register_keras_serializable(package="saccade_tests")
class SeenMask(keras.layers.Layer):
    """A layer that shows which mask arrives at it."""

    supports_masking = True

    def compute_mask(self, x, mask=None):
        return None

    def call(self, x, mask=None):
        if mask is None:
            raise ValueError("no mask arrived")
        return keras.ops.cast(mask, "float32")


def embedding():
    return randomise(keras.layers.Embedding(5, 3, mask_zero=True, name="embedding"))


@each_class
def test_the_mask_survives_an_initial_state(layer_class):
    """Zeros given as the initial state must change nothing."""
    tokens = keras.Input((None,), dtype="int32")
    layer = layer_class(UNITS, return_sequences=True)
    embedded = embedding()(tokens)
    plain = layer(embedded)
    states = [keras.Input((UNITS,)) for _ in layer.state_size]
    given = layer(embedded, initial_state=states)
    model = keras.Model([tokens, *states], [plain, given])
    randomise(model)
    zeros = [np.zeros((BATCH, UNITS), "float32") for _ in states]
    plain, given = model([TOKENS, *zeros])
    np.testing.assert_allclose(given, plain, atol=1e-6)
    expected = layer(model.get_layer("embedding")(TOKENS), mask=REAL)
    np.testing.assert_allclose(plain, expected, atol=1e-6)
    unmasked = layer(np.array(model.get_layer("embedding")(TOKENS)))
    assert not np.allclose(plain, unmasked), "the mask does not matter here"


def test_the_mask_survives_a_memory():
    """A memory of zeros conditions nothing: equal to the same cell without it."""
    tokens, memory = keras.Input((None,), dtype="int32"), keras.Input((2,))
    embedded = embedding()(tokens)
    conditioned = Recurrent(ConditionedCell(LSTMCell(UNITS)), return_sequences=True)
    plain = LSTM(UNITS, return_sequences=True)
    model = keras.Model(
        [tokens, memory], [conditioned(embedded, memory=memory), plain(embedded)]
    )
    randomise(model)
    kernel, *others = conditioned.get_weights()
    plain.set_weights([kernel[:3], *others])
    with_memory, without = model([TOKENS, np.zeros((BATCH, 2), "float32")])
    np.testing.assert_allclose(with_memory, without, atol=1e-6)


def test_a_mask_on_the_memory_itself_arrives():
    regions = keras.Input((5,), dtype="int32")
    sequences = keras.Input((None, 3))
    layer = AttentionRNN(LSTMCell(UNITS), BahdanauAttention(4))
    result = layer(sequences, memory=embedding()(regions))
    model = keras.Model([sequences, regions], result["weights"])
    weights = np.array(model([normal(BATCH, 2, 3), TOKENS]))
    hidden = np.repeat(~REAL[:, None], 2, axis=1)
    assert (weights[hidden] == 0).all()
    np.testing.assert_allclose(weights[:3].sum(-1), 1, atol=1e-6)


def test_a_masked_stack_equals_masks_given_by_hand():
    tokens = keras.Input((None,), dtype="int32")
    lower, upper = LSTM(UNITS, return_sequences=True), GRU(3)
    model = keras.Model(tokens, upper(lower(embedding()(tokens))))
    randomise(model)
    embedded = np.array(model.get_layer("embedding")(TOKENS))
    between = np.array(lower(embedded, mask=REAL))
    np.testing.assert_allclose(model(TOKENS), upper(between, mask=REAL), atol=1e-6)
    assert not np.allclose(model(TOKENS), upper(between)), "the mask does not matter"


@each_class
@pytest.mark.parametrize("with_state", [False, True])
def test_the_mask_arrives_at_the_next_layer(layer_class, with_state):
    tokens = keras.Input((None,), dtype="int32")
    layer = layer_class(UNITS, return_sequences=True)
    assert layer.supports_masking is True
    states = [keras.Input((UNITS,)) for _ in layer.state_size] if with_state else []
    outputs = layer(embedding()(tokens), initial_state=states or None)
    model = keras.Model([tokens, *states], SeenMask()(outputs))
    zeros = [np.zeros((BATCH, UNITS), "float32") for _ in states]
    np.testing.assert_array_equal(model([TOKENS, *zeros]), REAL)


@each_class
def test_the_last_output_alone_carries_no_mask(layer_class):
    tokens = keras.Input((None,), dtype="int32")
    output = layer_class(UNITS)(embedding()(tokens))
    assert getattr(output, "_keras_mask", None) is None


def test_states_carry_no_mask():
    tokens = keras.Input((None,), dtype="int32")
    layer = LSTM(UNITS, return_sequences=True, return_state=True)
    outputs, *states = layer(embedding()(tokens))
    assert outputs._keras_mask is not None
    assert [getattr(state, "_keras_mask", None) for state in states] == [None, None]


@pytest.mark.parametrize("part", ["outputs", "contexts", "weights", "chosen"])
def test_the_mask_passes_an_attention_rnn(part):
    tokens, memory = keras.Input((None,), dtype="int32"), keras.Input((6, 2))
    layer = AttentionRNN(GRUCell(UNITS), BahdanauAttention(4))
    result = layer(embedding()(tokens), memory=memory)
    assert all(getattr(s, "_keras_mask", None) is None for s in result["states"])
    model = keras.Model([tokens, memory], SeenMask()(result[part]))
    np.testing.assert_array_equal(model([TOKENS, normal(BATCH, 6, 2)]), REAL)


def test_an_attention_rnn_steps_over_padding():
    """Equal to the row cut down to its real tokens, whatever the padding says."""
    layer = AttentionRNN(LSTMCell(UNITS), BahdanauAttention(4))
    x, memory = normal(BATCH, 5, 3), normal(BATCH, 6, 2, seed=1)
    layer(x, memory=memory)
    randomise(layer)
    result = layer(x, memory=memory, sequences_mask=REAL)
    for row in range(BATCH):
        kept = REAL[row]
        if not kept.any():
            start = layer.initial_state_from(memory[row : row + 1])
            np.testing.assert_allclose(result["states"][0][row], start[0][0], atol=1e-6)
            continue
        alone = layer(x[row : row + 1, kept], memory=memory[row : row + 1])
        for part in ("outputs", "contexts", "weights"):
            real = np.array(result[part])[row, kept]
            np.testing.assert_allclose(real, alone[part][0], atol=1e-6)
        for state, single in zip(result["states"], alone["states"], strict=True):
            np.testing.assert_allclose(state[row], single[0], atol=1e-6)


@each_class
def test_the_mask_is_turned_with_the_outputs(layer_class):
    """Outputs stand in the order of reading, and so must their mask."""
    tokens = keras.Input((None,), dtype="int32")
    layer = layer_class(UNITS, return_sequences=True, go_backwards=True)
    model = keras.Model(tokens, SeenMask()(layer(embedding()(tokens))))
    np.testing.assert_array_equal(model(TOKENS), REAL[:, ::-1])
