"""Every layer where Keras' default float type is float64: integers stay int32."""

import keras
import numpy as np
import pytest

from saccade.layers import (
    GRU,
    LSTM,
    AttentionRNN,
    BahdanauAttention,
    Bidirectional,
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
)

from .helpers import BATCH, FEATURES, normal, randomise

STEPS = 18  # more than one block of a scan
UNITS = 2
PARTS = 4  # of the layers, for XLA
SEQUENCES, REGIONS = normal(BATCH, STEPS, FEATURES), normal(BATCH, 3, 2, seed=1)
SEQUENCES[1, 4] = 0  # a step for the mask


@pytest.fixture
def set_floatx():
    """Set Keras' float type and the policy that follows it in a new process."""
    before = keras.config.floatx(), keras.config.dtype_policy()

    def set_both(floatx):
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(floatx)

    yield set_both
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def make_layers():
    """Every layer by name, and whether it reads a memory; draws change nothing."""
    drops = {"dropout": 0.0, "recurrent_dropout": 0.0}
    none, vector, regions = None, "vector", "regions"
    return {
        "elman": (Elman(UNITS), none),
        "lstm": (LSTM(UNITS, **drops), none),
        "peephole": (LSTM(UNITS, peephole=True, trainable_state=True), none),
        "gru_after": (GRU(UNITS), none),
        "gru_before": (GRU(UNITS, reset_after=False), none),
        "layer_norm": (LayerNormLSTM(UNITS), none),
        "jordan": (Jordan(UNITS, output_units=3), none),
        "fully": (FullyRecurrent(3, output_units=2), none),
        "min_gru": (MinGRU(UNITS), none),
        "min_lstm": (MinLSTM(UNITS, go_backwards=True), none),
        "zoneout": (Recurrent(ZoneoutCell(LSTMCell(UNITS), 0.0)), none),
        "stacked": (Stacked([LSTMCell(UNITS), MinGRUCell(UNITS)], residual=True), none),
        "both_ways": (Bidirectional(MinGRU(UNITS)), none),
        "conditioned": (Recurrent(ConditionedCell(GRUCell(UNITS))), vector),
        "soft": (AttentionRNN(GRUCell(UNITS), BahdanauAttention(3)), regions),
        "hard": (AttentionRNN(GRUCell(UNITS), HardAttention(3, expected=1.0)), regions),
    }


def fitted(names=None, **options):
    """One model of these layers, or all: its predictions, and per layer the weights
    after one step of gradient descent."""
    sequences, regions = keras.Input((None, FEATURES)), keras.Input(REGIONS.shape[1:])
    masked = keras.layers.Masking()(sequences)
    memories = {
        "vector": keras.layers.GlobalAveragePooling1D()(regions),
        "regions": regions,
    }
    layers = make_layers()
    outputs = {}
    for name in names or layers:
        layer, read = layers[name]
        output = layer(masked, memory=memories[read]) if read else layer(masked)
        outputs[name] = output["outputs"] if isinstance(output, dict) else output
        randomise(layer)
    model = keras.Model([sequences, regions], outputs)
    model.compile(keras.optimizers.SGD(0.5), dict.fromkeys(outputs, "mse"), **options)
    inputs = [SEQUENCES, REGIONS]
    predictions = model.predict(inputs, verbose=0)
    targets = {name: np.zeros_like(value) for name, value in predictions.items()}
    model.fit(inputs, targets, batch_size=BATCH, verbose=0)
    return {
        name: [
            predictions[name],
            *(w.numpy() for w in layers[name][0].trainable_weights),
        ]
        for name in outputs
    }


@pytest.mark.parametrize(
    "names,jit",
    [
        (None, False),
        # Those that count with integers; XLA takes long for all.
        (("min_gru", "min_lstm", "hard"), True),
        # All, in parts: what XLA compiles for one model stays in memory.
        *(pytest.param(part, True, marks=pytest.mark.slow) for part in range(PARTS)),
    ],
    ids=["plain", "scans and draws under xla", *(f"xla {i}" for i in range(PARTS))],
)
def test_fit_and_predict_with_float64(names, jit, set_floatx):
    if isinstance(names, int):
        names = list(make_layers())[names::PARTS]
    set_floatx("float32")
    expected = fitted(names, run_eagerly=True)
    set_floatx("float64")
    got = fitted(names, jit_compile=jit)
    for name, values in expected.items():
        for double, single in zip(got[name], values, strict=True):
            assert double.dtype == "float64"
            np.testing.assert_allclose(double, single, atol=2e-5, err_msg=name)


def test_what_is_drawn_with_float64(set_floatx):
    """Hard attention and zoneout draw the same numbers as with float32."""

    def drawn(floatx):
        set_floatx(floatx)
        attention = HardAttention(3, expected=0.5, seed=2)
        rnn = AttentionRNN(ZoneoutCell(GRUCell(UNITS), 0.5, seed=4), attention)
        rnn.build(SEQUENCES.shape, memory_shape=REGIONS.shape)
        return randomise(rnn)(SEQUENCES, memory=REGIONS, training=True)

    single, double = drawn("float32"), drawn("float64")
    for part in ("outputs", "chosen"):
        np.testing.assert_allclose(double[part], single[part], atol=1e-5)
    assert keras.backend.standardize_dtype(double["outputs"].dtype) == "float64"
    assert 0 < np.count_nonzero(single["chosen"]) < np.size(single["chosen"])
