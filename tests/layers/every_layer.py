"""Every recurrent layer, made from the options that it inherits."""

import keras
import numpy as np

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
    Jordan,
    LayerNormLSTM,
    LSTMCell,
    MinGRU,
    MinGRUCell,
    MinLSTM,
    Recurrent,
    Stacked,
)
from saccade.layers.minimal import Scan

from .helpers import normal, randomise

BATCH, TIME, FEATURES, UNITS = 2, 4, 3, 4
X = normal(BATCH, TIME, FEATURES)
VECTOR, REGIONS = normal(BATCH, 2, seed=1), normal(BATCH, 5, 2, seed=2)
MASK = np.array([[1, 1, 0, 0], [0, 1, 0, 1]], bool)


@keras.saving.register_keras_serializable(package="saccade_tests")
class OwnStart(keras.layers.GRUCell):
    """A cell that starts from a state of its own, which is not zero."""

    def get_initial_state(self, batch_size=None):
        return [0.5 + keras.ops.zeros((batch_size, self.units), self.compute_dtype)]


def both_ways(**options):
    """Bidirectional, with the options of the layer where the wrapper has them not."""
    own = ("activity_regularizer", "name", "trainable")
    outer = {key: options.pop(key) for key in own if key in options}
    if "dtype" in options:
        outer["dtype"] = options["dtype"]
    return Bidirectional(LSTM(UNITS, **options), **outer)


def around(make_cell):
    """A Recurrent whose cells have its dtype."""
    return lambda **options: Recurrent(make_cell(options.get("dtype")), **options)


LAYERS = {
    "Elman": lambda **options: Elman(UNITS, **options),
    "Jordan": lambda **options: Jordan(UNITS, output_units=2, **options),
    "FullyRecurrent": lambda **options: FullyRecurrent(
        UNITS, output_units=[2, 0], **options
    ),
    "LSTM": lambda **options: LSTM(UNITS, **options),
    "GRU": lambda **options: GRU(UNITS, **options),
    "LayerNormLSTM": lambda **options: LayerNormLSTM(UNITS, **options),
    "MinGRU": lambda **options: MinGRU(UNITS, **options),
    "MinLSTM": lambda **options: MinLSTM(UNITS, **options),
    "Scan": lambda **options: Scan(
        MinGRUCell(UNITS, dtype=options.get("dtype")), **options
    ),
    "Recurrent": around(lambda dtype: LSTMCell(UNITS, dtype=dtype)),
    "Recurrent, own start": around(lambda dtype: OwnStart(UNITS, dtype=dtype)),
    "Recurrent, list": around(
        lambda dtype: [LSTMCell(UNITS, dtype=dtype), GRUCell(UNITS, dtype=dtype)]
    ),
    "Recurrent, conditioned": around(
        lambda dtype: ConditionedCell(LSTMCell(UNITS, dtype=dtype), dtype=dtype)
    ),
    "Stacked": lambda **options: Stacked(
        [kind(UNITS, dtype=options.get("dtype")) for kind in (LSTMCell, MinGRUCell)],
        **options,
    ),
    "Bidirectional": both_ways,
    "AttentionRNN": lambda **options: AttentionRNN(
        LSTMCell(UNITS, dtype=options.get("dtype")),
        BahdanauAttention(3, dtype=options.get("dtype")),
        **options,
    ),
    "AttentionRNN, input feeding": lambda **options: AttentionRNN(
        GRUCell(UNITS, dtype=options.get("dtype")),
        BahdanauAttention(3, dtype=options.get("dtype")),
        input_feeding=True,
        **options,
    ),
}
MEMORIES = {
    "Recurrent, conditioned": VECTOR,
    "AttentionRNN": REGIONS,
    "AttentionRNN, input feeding": REGIONS,
}
ATTENTION = ("AttentionRNN", "AttentionRNN, input feeding")
ALL = {"return_sequences": True, "return_state": True}


class Made:
    """A layer with random weights, and its calls as (outputs, list of states)."""

    def __init__(self, name, **options):
        if name in ATTENTION:
            options = {k: v for k, v in options.items() if k not in ALL}
        self.layer = LAYERS[name](**options)
        self.memory = {"memory": MEMORIES[name]} if name in MEMORIES else {}
        self.raw(X)
        randomise(self.layer)
        if getattr(self.layer, "stateful", False):
            self.layer.reset_state()

    def raw(self, x, **call):
        return self.layer(x, **self.memory, **call)

    def __call__(self, x, **call):
        result = self.raw(x, **call)
        if isinstance(result, dict):
            return np.array(result["outputs"]), keras.tree.flatten(result["states"])
        if isinstance(result, (list, tuple)):
            return np.array(result[0]), keras.tree.flatten(result[1:])
        return np.array(result), []


def assert_equal(ours, theirs, atol=1e-6):
    ours, theirs = keras.tree.flatten(ours), keras.tree.flatten(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


def packed(layer, states):
    """The states in the layer's own form."""
    if isinstance(layer, Recurrent):
        return keras.tree.pack_sequence_as(layer.state_size, states)
    return states
