"""Numbers that the layers must give on every backend; imports no TensorFlow itself.

Run as a program, it prints them as JSON; the backend of NumPy cannot train.
"""

import json

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
    HardAttention,
    Jordan,
    LayerNormLSTM,
    LSTMCell,
    MinGRU,
    MinGRUCell,
    MinLSTM,
    Recurrent,
    Stacked,
)
from saccade.layers.diagnostics import gates


def numbers():
    """Outputs of every layer with the same random weights: name -> nested lists."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2, 3, 4)).astype("float32")
    vector = draw.standard_normal((2, 5)).astype("float32")
    regions = draw.standard_normal((2, 6, 5)).astype("float32")
    mask = np.array([[True, False, True], [False, False, True]])
    reset = np.array([[False, True, False], [False, False, True]])
    conditioned = Recurrent(ConditionedCell(LSTMCell(2)))
    stacked = Stacked([MinGRUCell(2), LSTMCell(2)], residual=True, go_backwards=True)
    both = Bidirectional(Stacked([GRUCell(2)], return_sequences=True), "mul")
    calls = {
        "elman": (Elman(2), {"mask": mask}),
        "lstm": (LSTM(2, peephole=True), {"mask": mask}),
        "gru": (GRU(2, go_backwards=True), {"mask": mask}),
        "jordan": (Jordan(2, output_units=3), {"mask": mask}),
        "fully": (FullyRecurrent(3, output_units=[2, 0]), {"mask": mask}),
        "given": (
            Elman(2, return_sequences=True),
            {"mask": mask, "initial_state": [vector[:, :2]]},
        ),
        "unrolled": (LSTM(2, unroll=True), {"mask": mask}),
        "cells": (
            Recurrent([LSTMCell(2), GRUCell(3)], go_backwards=True),
            {"mask": mask},
        ),
        "soft masked": (
            AttentionRNN(LSTMCell(2), BahdanauAttention(3)),
            {"memory": regions, "sequences_mask": mask},
        ),
        "layer norm": (LayerNormLSTM(2), {"mask": mask}),
        "min gru": (MinGRU(2, return_sequences=True), {"mask": mask}),
        "min lstm": (MinLSTM(2, go_backwards=True), {"mask": mask}),
        "reset": (MinGRU(2, return_sequences=True), {"reset_mask": reset}),
        "stacked": (stacked, {"mask": mask}),
        "both": (both, {"mask": mask}),
        "conditioned": (conditioned, {"memory": vector}),
        "soft": (AttentionRNN(LSTMCell(2), BahdanauAttention(3)), {"memory": regions}),
        "hard": (AttentionRNN(GRUCell(2), HardAttention(3)), {"memory": regions}),
    }
    results = {}
    for name, (layer, call) in calls.items():
        memory = {k + "_shape": m.shape for k, m in call.items() if k == "memory"}
        layer.build(x.shape, **memory)
        for weight in layer.trainable_weights:
            weight.assign(0.7 * draw.standard_normal(weight.shape))
        output = layer(x, **call)
        output = output["outputs"] if isinstance(output, dict) else output
        results[name] = keras.ops.convert_to_numpy(output).tolist()
        if memory:  # the others are trained below
            layer(x, training=True, **call)
    every_gate = gates(stacked, x, mask=mask)
    return results | {name: gate.tolist() for name, gate in every_gate.items()}


def trained():
    """The weights of one model of all layers after one step of gradient descent."""
    draw = np.random.default_rng(1)
    x = draw.standard_normal((2, 3, 4)).astype("float32")
    x[1, 1] = 0  # a step for the mask
    inputs = keras.Input(x.shape[1:])
    masked = keras.layers.Masking()(inputs)
    layers = [
        Elman(2),
        Jordan(2, output_units=3),
        FullyRecurrent(3, output_units=2),
        Recurrent([LSTMCell(2), GRUCell(3, dropout=0.0)]),
        LSTM(2, peephole=True),
        LayerNormLSTM(2),
        GRU(2),
        MinGRU(2),
        MinLSTM(2),
        Stacked([MinGRUCell(2), LSTMCell(2)], residual=True),
        Bidirectional(Elman(2)),
    ]
    outputs = keras.layers.Concatenate()([layer(masked) for layer in layers])
    model = keras.Model(inputs, outputs)
    for weight in model.trainable_weights:
        weight.assign(0.7 * draw.standard_normal(weight.shape))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.train_on_batch(x, draw.standard_normal((2, *outputs.shape[1:])))
    values = enumerate(model.get_weights())
    return {f"weight {i}": value.tolist() for i, value in values}


if __name__ == "__main__":
    trains = keras.backend.backend() != "numpy"
    print("numbers:", json.dumps([numbers(), trained() if trains else None]))
