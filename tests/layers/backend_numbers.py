"""Numbers that the layers must give on every backend; imports no TensorFlow itself.

Run as a program, it prints them as JSON.
"""

import json

import keras
import numpy as np

from saccade.layers import (
    GRU,
    LSTM,
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    Elman,
    GRUCell,
    HardAttention,
    LSTMCell,
    Recurrent,
)


def numbers():
    """Outputs of every layer with the same random weights: name -> nested lists."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2, 3, 4)).astype("float32")
    vector = draw.standard_normal((2, 5)).astype("float32")
    regions = draw.standard_normal((2, 6, 5)).astype("float32")
    mask = np.array([[True, False, True], [False, False, True]])
    conditioned = Recurrent(ConditionedCell(LSTMCell(2)))
    calls = {
        "elman": (Elman(2), {"mask": mask}),
        "lstm": (LSTM(2, peephole=True), {"mask": mask}),
        "gru": (GRU(2, go_backwards=True), {"mask": mask}),
        "conditioned": (conditioned, {"memory": vector}),
        "soft": (AttentionRNN(LSTMCell(2), BahdanauAttention(3)), {"memory": regions}),
        "hard": (AttentionRNN(GRUCell(2), HardAttention(3)), {"memory": regions}),
    }
    results = {}
    for name, (layer, call) in calls.items():
        layer(x, **call)
        for weight in layer.trainable_weights:
            weight.assign(0.7 * draw.standard_normal(weight.shape))
        output = layer(x, **call)
        output = output["outputs"] if isinstance(output, dict) else output
        results[name] = keras.ops.convert_to_numpy(output).tolist()
        layer(x, training=True, **call)  # and training works
    return results


if __name__ == "__main__":
    print("numbers:", json.dumps(numbers()))
