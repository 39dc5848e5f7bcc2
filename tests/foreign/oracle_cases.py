"""What the oracles share: optional imports, and weights in ONNX' layout and ours."""

import importlib
import os

import numpy as np
import pytest

from saccade.layers import GRU, LSTM, Elman

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
LENGTHS = np.array([6, 2, 4])
MASK = np.arange(TIME) < LENGTHS[:, None]


def need(module):
    """Import an extra; without it skip, or fail where oracles are required."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if os.environ.get("SACCADE_REQUIRE_ORACLES") == "1":
            pytest.fail(f"SACCADE_REQUIRE_ORACLES=1, but {error}.")
        pytest.skip(f"{error}; pip install 'saccade[oracle]'")


class Case:
    """Random weights in ONNX' layout, and the same in ours.

    ONNX: W (1, gates u, features), R (1, gates u, u), B (1, 2 gates u), P (1, 3u);
    gates i, o, f, c (LSTM) and z, r, h (GRU). Ours: columns, gates i, f, c, o.
    """

    def __init__(self, seed, gates):
        draw = np.random.default_rng(seed)

        def normal(*shape):
            return 0.5 * draw.standard_normal(shape).astype("float32")

        self.x = normal(BATCH, TIME, FEATURES)
        self.h, self.c = normal(BATCH, UNITS), normal(BATCH, UNITS)
        self.w = normal(1, gates * UNITS, FEATURES)
        self.r = normal(1, gates * UNITS, UNITS)
        self.b = normal(1, 2 * gates * UNITS)
        self.p = normal(1, 3 * UNITS)

    def onnx(self, names="XWRBh", axes="time first"):
        """The inputs of an ONNX node, by the names of its reference code."""
        x = self.x.swapaxes(0, 1) if axes == "time first" else self.x
        everything = {
            "X": x,
            "W": self.w,
            "R": self.r,
            "B": self.b,
            "P": self.p,
            "initial_h": self.h[None],
            "initial_c": self.c[None],
        }
        keys = {"h": "initial_h", "c": "initial_c"}
        return {keys.get(n, n): everything[keys.get(n, n)] for n in names}

    def lstm(self, peephole, **options):
        def blocks(a):  # i, o, f, c -> i, f, c, o
            return a.reshape(4, UNITS, -1)[[0, 2, 3, 1]].reshape(4 * UNITS, -1)

        bias = self.b.reshape(2, -1).sum(0)
        weights = [blocks(self.w).T, blocks(self.r).T, blocks(bias)[:, 0]]
        if peephole:
            weights.append(self.p.reshape(3, UNITS)[[0, 2, 1]])  # p_i, p_f, p_o
        return with_weights(LSTM(UNITS, peephole=peephole, **options), weights)

    def gru(self, reset_after, **options):
        bias = self.b.reshape(2, -1)
        weights = [self.w[0].T, self.r[0].T, bias if reset_after else bias.sum(0)]
        return with_weights(GRU(UNITS, reset_after=reset_after, **options), weights)

    def elman(self, **options):
        bias = self.b.reshape(2, -1).sum(0)
        return with_weights(Elman(UNITS, **options), [self.w[0].T, self.r[0].T, bias])


def with_weights(layer, weights):
    layer.build((BATCH, TIME, FEATURES))
    layer.set_weights(weights)
    return layer
