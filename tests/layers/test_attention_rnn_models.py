"""AttentionRNN in models: saving, exporting, training, mixed precision."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    GRUCell,
    HardAttention,
    LSTMCell,
)

from .helpers import FEATURES, TIME, UNITS, fit_moves_all, reload, reload_export
from .test_attention import REGIONS, VALUES_MASK, WIDTH
from .test_attention_rnn import PADDING, SCORERS, data, make


def model_of(layer, part="outputs"):
    x, memory = keras.Input((None, FEATURES)), keras.Input((None, WIDTH))
    return keras.Model([x, memory], layer(x, memory=memory)[part])


@pytest.mark.parametrize("attention", [BahdanauAttention, HardAttention])
@pytest.mark.parametrize("part", ["outputs", "weights"])
def test_keras_file_round_trip(attention, part, tmp_path):
    layer = AttentionRNN(
        ConditionedCell(GRUCell(UNITS)), attention(SCORERS), gate=False, penalty=0.5
    )
    model = model_of(layer, part)
    again = reload(model, tmp_path)
    np.testing.assert_array_equal(again(list(data())), model(list(data())))
    configs = [json.dumps(m.layers[-1].get_config()) for m in (model, again)]
    assert configs[0] == configs[1]


def test_export_answers_without_our_code(tmp_path):
    model = model_of(make())
    signature = [
        tf.TensorSpec((None, None, FEATURES), tf.float32, "x"),
        tf.TensorSpec((None, None, WIDTH), tf.float32, "memory"),
    ]
    export = reload_export(model, tmp_path, signature)
    x, memory = data()
    for time, regions in ((TIME, REGIONS), (2, 3)):  # both stay free
        inputs = [x[:, :time], memory[:, :regions]]
        np.testing.assert_allclose(export.serve(*inputs), model(inputs), atol=1e-6)


def test_soft_attention_trains():
    fit_moves_all(model_of(make(penalty=0.1)), list(data()), jit=False)


def test_all_at_once_trains_under_xla():
    """Hard attention around a conditioned cell with dropout."""
    cell = LSTMCell(UNITS, dropout=0.3, recurrent_dropout=0.3)
    # No gradient reaches the scores through a draw, so that means must be taken.
    attention = HardAttention(SCORERS, expected=1.0)
    layer = AttentionRNN(ConditionedCell(cell), attention)
    fit_moves_all(model_of(layer), list(data()), jit=True)


@pytest.mark.parametrize("attention", [BahdanauAttention, HardAttention])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(attention, dtype):
    layer = make(attention=attention, dtype=f"mixed_{dtype}")
    assert {w.dtype for w in layer.trainable_weights} == {"float32"}
    x, memory = data()
    result = layer(x, memory=memory, memory_mask=VALUES_MASK, sequences_mask=PADDING)
    for value in tf.nest.flatten(result):
        assert keras.backend.standardize_dtype(value.dtype) == dtype
        assert np.isfinite(tf.cast(value, "float32")).all()
