"""A sequence of no steps, such as an empty chunk of a stream, and a ragged one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    GRU,
    Bidirectional,
    ElmanCell,
    LSTMCell,
    Stacked,
)

from .every_layer import ALL, BATCH, FEATURES, LAYERS, MASK, MEMORIES, Made, X, packed
from .every_layer import assert_equal as all_equal
from .helpers import normal

each_layer = pytest.mark.parametrize("name", LAYERS)
NOTHING = X[:, :0]
NO_MASK = {"mask": MASK[:, :0], "reset_mask": MASK[:, :0]}
UNKNOWN = tf.TensorSpec((BATCH, None, FEATURES))


def without_length(made):
    """The layer's raw call in a graph that holds for any length."""
    return tf.function(made.raw, input_signature=[UNKNOWN])


def parts(result):
    """Outputs and states of a raw result."""
    if isinstance(result, dict):
        return result["outputs"], result["states"]
    return result[0], list(result[1:])


@each_layer
def test_no_outputs_and_the_states_that_came(name):
    made = Made(name, **ALL)
    whole, states = made(X)
    for call in ({}, NO_MASK):
        outputs, same = made(NOTHING, initial_state=packed(made.layer, states), **call)
        assert outputs.shape == (BATCH, 0, whole.shape[-1])
        all_equal(same, states)


@each_layer
def test_in_a_graph_of_unknown_length(name):
    made = Made(name, **ALL)
    call = without_length(made)
    all_equal(parts(call(X)), made(X))
    outputs, states = parts(call(NOTHING))
    assert outputs.shape == (BATCH, 0, made(X)[0].shape[-1])
    # What it starts from: the first step from there is the first of a sequence.
    start = packed(made.layer, keras.tree.flatten(states))
    all_equal(made(X[:, :1], initial_state=start), made(X[:, :1]))


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in MEMORIES])
def test_the_last_output_is_zeros(name):
    made = Made(name, return_state=True)
    size = made(X)[0].shape[-1]
    for call in (made.raw, without_length(made)):
        output, *states = call(NOTHING)
        np.testing.assert_array_equal(output, np.zeros((BATCH, size)))
        again = Made(name, **ALL)(NOTHING)[1]
        all_equal(states, again)


def test_all_of_what_attention_gives():
    made = Made("AttentionRNN", penalty=1.0)
    for call in (made.raw, without_length(made)):
        result = call(NOTHING)
        regions = MEMORIES["AttentionRNN"]
        assert result["contexts"].shape == (BATCH, 0, regions.shape[-1])
        for part in ("weights", "chosen"):
            assert result[part].shape == (BATCH, 0, regions.shape[1])
        all_equal(result["states"], made.layer.initial_state_from(regions))


@pytest.mark.parametrize("residual", [False, True])
def test_a_stack_with_dropout_in_training(residual):
    layer = Stacked(
        [LSTMCell(3, dropout=0.5, recurrent_dropout=0.5), ElmanCell(3, dropout=0.5)],
        residual=residual,
        dropout=0.5,
        locked_dropout=True,
        return_state=True,
    )
    layer.build(X.shape)
    call = tf.function(lambda x: layer(x, training=True), input_signature=[UNKNOWN])
    for result in (call(NOTHING), layer(NOTHING, training=True)):
        for value in result:
            np.testing.assert_array_equal(value, np.zeros((BATCH, 3)))


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("fast", [False, True])
def test_gradients(fast, jit):
    """No step: the states pass their gradient on, the weights get zeros."""
    layer = GRU(4, fast=fast, **ALL)
    layer.build(X.shape)
    state = tf.constant(normal(BATCH, 4))

    @tf.function(input_signature=[UNKNOWN, tf.TensorSpec(state.shape)], jit_compile=jit)
    def gradients(x, state):
        with tf.GradientTape() as tape:
            tape.watch([x, state])
            outputs, last = layer(x, initial_state=[state], training=True)
            loss = tf.reduce_sum(outputs) + tf.reduce_sum(3 * last)
        return tape.gradient(loss, [x, state, layer.trainable_weights])

    x, state_gradient, weights = gradients(tf.constant(NOTHING), state)
    assert x.shape == NOTHING.shape
    np.testing.assert_array_equal(state_gradient, 3 * np.ones((BATCH, 4)))
    for gradient in weights:
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


@pytest.mark.parametrize("name", ["GRU", "MinGRU", "Recurrent, list", "Stacked"])
def test_a_stateful_layer_keeps_its_state(name):
    made = Made(name, stateful=True, return_sequences=True)
    first, rest = made(X[:, :2])[0], made(X[:, 2:])[0]
    made.layer.reset_state()
    all_equal(made(X[:, :2])[0], first)
    assert made(NOTHING)[0].shape[1] == 0
    without_length(made)(NOTHING)
    all_equal(made(X[:, 2:])[0], rest)


def test_a_model_predicts_nothing():
    x = keras.Input((None, FEATURES))
    model = keras.Model(x, Bidirectional(GRU(4, return_sequences=True))(x))
    assert model.predict(NOTHING, verbose=0).shape == (BATCH, 0, 8)


# Ragged tensors

RAGGED = tf.RaggedTensor.from_tensor(X, lengths=[1, 4])


@each_layer
def test_a_ragged_tensor_is_an_error_that_shows_the_way(name):
    made = Made(name, **ALL)
    expected = (
        r"expected `sequences` padded .* received a ragged tensor x. Give it "
        r"`x.to_tensor\(\)` in its place, and `mask=tf.sequence_mask\(x.row_lengths\(\)"
    )
    with pytest.raises(ValueError, match=f"{type(made.layer).__name__} .*{expected}"):
        made.raw(RAGGED)
    mask = tf.sequence_mask(RAGGED.row_lengths())
    outputs, _ = made(RAGGED.to_tensor(), mask=mask)
    all_equal(outputs[1], made(X)[0][1])  # of full length


@pytest.mark.parametrize("name", MEMORIES)
def test_a_ragged_memory_is_an_error_that_shows_the_way(name):
    with pytest.raises(ValueError, match="`memory` padded .*`memory_mask=tf.seq"):
        Made(name).layer(X, memory=RAGGED)
