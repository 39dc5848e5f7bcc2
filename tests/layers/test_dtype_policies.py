"""Every layer step by step under every dtype policy, set for all or for the layer
alone, and beam search on top."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    GRU,
    LSTM,
    AttentionCell,
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    Elman,
    FullyRecurrent,
    GRUCell,
    HardAttention,
    Jordan,
    LayerNormLSTM,
    LSTMCell,
    MinGRU,
    MinGRUCell,
    MinLSTM,
    Recurrent,
    Stacked,
    ZoneoutCell,
    decoding,
)

from .helpers import BATCH, FEATURES, UNITS, normal, randomise

STEPS = 2
SEQUENCES = normal(BATCH, STEPS, FEATURES)
VECTOR, REGIONS = normal(BATCH, 2, seed=1), normal(BATCH, 5, 2, seed=2)
BOTH = {"return_sequences": True, "return_state": True}

# name: (makes the layer from its dtype, the memory it reads). Inner parts are made
# without a dtype, so that theirs is the global one.
LAYERS = {
    "elman": (lambda **o: Elman(UNITS, **BOTH, **o), None),
    "lstm": (lambda **o: LSTM(UNITS, **BOTH, **o), None),
    "peephole": (lambda **o: LSTM(UNITS, peephole=True, **BOTH, **o), None),
    "peephole of the step before": (
        lambda **o: LSTM(UNITS, peephole="previous", **BOTH, **o),
        None,
    ),
    "gru after": (lambda **o: GRU(UNITS, **BOTH, **o), None),
    "gru before": (lambda **o: GRU(UNITS, reset_after=False, **BOTH, **o), None),
    "layer norm": (lambda **o: LayerNormLSTM(UNITS, **BOTH, **o), None),
    "jordan": (lambda **o: Jordan(UNITS, output_units=2, **BOTH, **o), None),
    "fully": (lambda **o: FullyRecurrent(UNITS, output_units=[1], **BOTH, **o), None),
    "min gru": (lambda **o: MinGRU(UNITS, **BOTH, **o), None),
    "min lstm": (lambda **o: MinLSTM(UNITS, **BOTH, **o), None),
    "start state": (lambda **o: LSTM(UNITS, trainable_state=True, **BOTH, **o), None),
    "cells": (lambda **o: Recurrent([LSTMCell(UNITS), GRUCell(3)], **BOTH, **o), None),
    "conditioned": (
        lambda **o: Recurrent(ConditionedCell(LSTMCell(UNITS)), **BOTH, **o),
        VECTOR,
    ),
    "around keras": (
        lambda **o: Recurrent(
            ConditionedCell(keras.layers.LSTMCell(UNITS)), **BOTH, **o
        ),
        VECTOR,
    ),
    "zoneout": (
        lambda **o: Recurrent(ZoneoutCell(LSTMCell(UNITS), 0.3), **BOTH, **o),
        None,
    ),
    "two wrappers": (
        lambda **o: Recurrent(
            ConditionedCell(
                ZoneoutCell(GRUCell(UNITS, dtype="float32"), 0.3, dtype="float64")
            ),
            **BOTH,
            **o,
        ),
        VECTOR,
    ),
    "stacked": (
        lambda **o: Stacked(
            [LSTMCell(UNITS), MinGRUCell(UNITS), ZoneoutCell(GRUCell(UNITS))],
            residual=True,
            **BOTH,
            **o,
        ),
        None,
    ),
    "stacked attention": (
        lambda **o: Stacked(
            [LSTMCell(UNITS), AttentionCell(GRUCell(3), BahdanauAttention(3))],
            **BOTH,
            **o,
        ),
        REGIONS,
    ),
    "soft": (
        lambda **o: AttentionRNN(LSTMCell(UNITS), BahdanauAttention(3), **o),
        REGIONS,
    ),
    "soft conditioned": (
        lambda **o: AttentionRNN(
            ConditionedCell(LSTMCell(UNITS)), BahdanauAttention(3), **o
        ),
        REGIONS,
    ),
    "hard": (lambda **o: AttentionRNN(GRUCell(UNITS), HardAttention(3), **o), REGIONS),
}
POLICIES = {  # policy: what rounding may change
    "float32": 1e-5,
    "float64": 1e-5,  # some parts are float32 where the layer alone is float64
    "mixed_float16": 1e-2,
    "mixed_bfloat16": 6e-2,
}


@pytest.fixture(params=["global", "outer"])
def with_policy(request):
    """Make a layer under a policy: that of everything, or of the layer alone."""
    before = keras.config.dtype_policy()

    def made(make, policy):
        if request.param == "outer":
            return make(dtype=policy)
        keras.config.set_dtype_policy(policy)
        return make()

    yield made
    keras.config.set_dtype_policy(before)


def built(layer, memory):
    """The layer with random weights, the same under every policy."""
    shapes = {} if memory is None else {"memory_shape": memory.shape}
    layer.build(SEQUENCES.shape, **shapes)
    return randomise(layer)


@functools.cache
def in_float32(name):
    """The outputs of the layer where everything is float32."""
    keras.config.set_dtype_policy("float32")
    make, memory = LAYERS[name]
    call = {} if memory is None else {"memory": memory}
    outputs, _ = outputs_of(built(make(), memory)(SEQUENCES, **call))
    return np.array(outputs)


def outputs_of(result):
    """Outputs, and the list of states."""
    if isinstance(result, dict):
        return result["outputs"], result["states"]
    return result[0], list(result[1:])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", LAYERS)
def test_the_steps_equal_the_sequence(name, policy, with_policy):
    make, memory = LAYERS[name]
    layer = built(with_policy(make, policy), memory)
    call = {} if memory is None else {"memory": memory}
    whole, last = outputs_of(layer(SEQUENCES, **call))

    prepared = None if memory is None else layer.prepare_memory(memory)
    if isinstance(layer, AttentionRNN):
        states = layer.initial_state_from(memory)
    else:
        states = keras.tree.flatten(layer.get_initial_state(BATCH))
    nested = keras.tree.pack_sequence_as
    outputs, like = [], layer.get_initial_state(BATCH)
    tensors = [whole, *keras.tree.flatten(last), *states]
    for t in range(STEPS):
        x = tf.constant(SEQUENCES[:, t])
        output, states = layer.step(x, nested(like, states), prepared)
        output = output["outputs"] if isinstance(output, dict) else output
        states = keras.tree.flatten(states)
        outputs.append(output)
        tensors += [output, *states]

    compute = keras.DTypePolicy(policy).compute_dtype
    assert {keras.backend.standardize_dtype(t.dtype) for t in tensors} == {compute}
    tolerance = POLICIES[policy]
    stepped = np.array(tf.cast(tf.stack(outputs, axis=1), "float32"))
    pairs = zip(states, keras.tree.flatten(last), strict=True)
    for got, expected in [(stepped, tf.cast(whole, "float32")), *pairs]:
        np.testing.assert_allclose(got, expected, atol=tolerance)
    np.testing.assert_allclose(stepped, in_float32(name), atol=tolerance)
    assert np.abs(stepped).max() > 0.1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("attention", [BahdanauAttention, HardAttention])
def test_beam_search_over_attention(attention, policy, with_policy):
    """The log-probability of what it finds is that of the same tokens as a sequence."""
    vocabulary, end, beam, longest = 5, 4, 3, 6

    def make(**options):
        return AttentionRNN(LSTMCell(UNITS), attention(3), **options)

    layer = with_policy(make, policy)
    embed, logits_of = (
        keras.layers.Embedding(vocabulary, FEATURES),
        keras.layers.Dense(vocabulary, dtype="float32"),
    )
    start = tf.zeros([BATCH], tf.int32)
    logits_of(layer(embed(start[:, None]), memory=REGIONS)["outputs"])
    for part in (layer, embed, logits_of):
        randomise(part)

    memory = decoding.repeat_rows(tf.constant(REGIONS), beam)
    prepared = layer.prepare_memory(memory)

    def step(tokens, states):
        result, states = layer.step(embed(tokens), states, prepared)
        return logits_of(result["outputs"]), states, result["weights"]

    states = layer.initial_state_from(REGIONS)
    found = decoding.beam_search(step, states, start, end, longest, beam=beam)
    tokens, length = found.tokens[:, 0], int(tf.reduce_max(found.lengths))
    inputs = tf.concat([start[:, None], tokens[:, : length - 1]], axis=1)
    result = layer(embed(inputs), memory=REGIONS)
    log_probs = tf.nn.log_softmax(logits_of(result["outputs"]))
    of_tokens = tf.gather(log_probs, tokens[:, :length], batch_dims=2)
    real = tf.sequence_mask(found.lengths[:, 0], length, tf.float32)
    expected = tf.reduce_sum(of_tokens * real, axis=1)
    tolerance = longest * POLICIES[policy]
    np.testing.assert_allclose(found.log_probs[:, 0], expected, atol=tolerance)
    weights = tf.cast(result["weights"], tf.float32) * real[:, :, None]
    np.testing.assert_allclose(
        found.weights[:, 0, :length], weights, atol=POLICIES[policy]
    )
