"""What the oracles share: optional imports, random nets in their layout and in ours.

`Case` holds an ONNX node, `torch_module` makes a module of `torch.nn`. Both have their
own code that lays the weights out as ours, so they do not lean on `layers/convert.py`.
"""

import importlib
import os

import numpy as np
import pytest

from saccade.layers import GRU, LSTM, Elman

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
LENGTHS = np.array([6, 2, 4])
MASK = np.arange(TIME) < LENGTHS[:, None]

ALL = {"return_sequences": True, "return_state": True}
CUT = {**ALL, "zero_output_for_mask": True}  # as the others pad rows that have ended

oracle = pytest.mark.oracle
each_seed = pytest.mark.parametrize("seed", range(2))


def need(module):
    """Import an extra; without it skip, or fail where oracles are required."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if os.environ.get("SACCADE_REQUIRE_ORACLES") == "1":
            pytest.fail(f"SACCADE_REQUIRE_ORACLES=1, but {error}.")
        pytest.skip(f"{error}; pip install 'saccade[oracle]'")


def same(ours, theirs, atol=2e-6):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol)


def built(layer, features=FEATURES):
    layer.build((BATCH, TIME, features))
    return layer


# ONNX: the node, our layer, its options, the node's attributes, the number of gates.

NODES = {
    "rnn": ("RNN", Elman, {}, {}, 1),
    "lstm": ("LSTM", LSTM, {}, {}, 4),
    "lstm, peephole": ("LSTM", LSTM, {"peephole": True}, {}, 4),
    "gru, before": ("GRU", GRU, {"reset_after": False}, {"linear_before_reset": 0}, 3),
    "gru, after": ("GRU", GRU, {"reset_after": True}, {"linear_before_reset": 1}, 3),
}
each_node = pytest.mark.parametrize("name", NODES)


class Case:
    """One direction of an ONNX node with random weights, and the same layer of ours.

    ONNX: W (1, gates u, features), R (1, gates u, u), B (1, 2 gates u), P (1, 3u);
    gates i, o, f, c (LSTM) and z, r, h (GRU). Ours: columns, gates i, f, c, o.
    """

    def __init__(self, name, seed=0):
        self.op, self.kind, self.options, self.attributes, gates = NODES[name]
        draw = np.random.default_rng(seed)

        def normal(*shape):
            return 0.5 * draw.standard_normal(shape).astype("float32")

        self.x = normal(BATCH, TIME, FEATURES)
        self.states = [normal(BATCH, UNITS) for _ in range(1 + (self.op == "LSTM"))]
        self.onnx_weights = {
            "W": normal(1, gates * UNITS, FEATURES),
            "R": normal(1, gates * UNITS, UNITS),
            "B": normal(1, 2 * gates * UNITS),
        }
        if "peephole" in self.options:
            self.onnx_weights["P"] = normal(1, 3 * UNITS)

    @property
    def inputs(self):
        """All inputs of the node but the lengths."""
        starts = zip(("initial_h", "initial_c"), self.states, strict=False)
        return {
            "X": self.x.swapaxes(0, 1),
            **self.onnx_weights,
            **{name: state[None] for name, state in starts},
        }

    @property
    def weights(self):
        """The weights as our layer has them."""
        order = [0, 2, 3, 1] if self.op == "LSTM" else None  # i, o, f, c -> i, f, c, o
        w, r = self.onnx_weights["W"][0].T, self.onnx_weights["R"][0].T
        biases = np.split(self.onnx_weights["B"][0], 2)
        bias = np.stack(biases) if self.options.get("reset_after") else sum(biases)
        weights = [reordered(array, order) for array in (w, r, bias)]
        if "P" in self.onnx_weights:
            p_i, p_o, p_f = np.split(self.onnx_weights["P"][0], 3)
            weights.append(np.stack([p_i, p_f, p_o]))
        return weights

    def make(self, **options):
        return self.kind(UNITS, **self.options, **options)

    def layer(self, **options):
        layer = built(self.make(**options))
        layer.set_weights(self.weights)
        return layer


def reordered(columns, order=None):
    """Columns of gates in another order of the gates."""
    if order is None:
        return columns
    blocks = np.split(columns, len(order), axis=-1)
    return np.concatenate([blocks[gate] for gate in order], axis=-1)


def both_directions(forward, backward):
    """The inputs of a bidirectional node, from those of its halves; X of the first."""
    return {
        name: array if name == "X" else np.concatenate([array, backward[name]])
        for name, array in forward.items()
    }


def as_ours(y, *states):
    """ONNX' Y (time, directions, batch, units) and Y_h, Y_c (directions, batch, units)
    as our layers return them: forward states, then backward ones."""
    outputs = np.moveaxis(y, 2, 0).reshape(BATCH, TIME, -1)
    return [outputs, *(s[k] for k in range(y.shape[1]) for s in states)]


def run_reference(op, inputs, **attributes):
    """ONNX' NumPy code for one node."""
    nodes = need(f"onnx.backend.test.case.node.{op.lower()}")
    return as_ours(*getattr(nodes, f"{op}Helper")(**inputs, **attributes).step())


def run_onnx(op, inputs, **attributes):
    """One node in onnxruntime, every row cut at its length."""
    onnx, runtime = need("onnx"), need("onnxruntime")
    order = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    inputs = {**inputs, "sequence_lens": LENGTHS.astype("int32")}
    names = [name if name in inputs else "" for name in order]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"] if op == "LSTM" else ["Y", "Y_h"]
    types = onnx.helper.np_dtype_to_tensor_dtype
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(op, names, outputs, hidden_size=UNITS, **attributes)
    graph = onnx.helper.make_graph(
        [node],
        op,
        [value(n, types(a.dtype), a.shape) for n, a in inputs.items()],
        [value(n, onnx.TensorProto.FLOAT, None) for n in outputs],
    )
    opset = [onnx.helper.make_opsetid("", 14)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return as_ours(*session.run(outputs, inputs))


# torch: the module, our layer, the options of the one and of the other.

MODULES = {
    "rnn": ("RNN", Elman, {}, {}),
    "rnn, relu": ("RNN", Elman, {"nonlinearity": "relu"}, {"activation": "relu"}),
    "lstm": ("LSTM", LSTM, {}, {}),
    "lstm, no bias": ("LSTM", LSTM, {"bias": False}, {"use_bias": False}),
    "gru": ("GRU", GRU, {}, {}),
    "gru, no bias": ("GRU", GRU, {"bias": False}, {"use_bias": False}),
}
each_module = pytest.mark.parametrize("case", MODULES)


def torch_module(case, seed=0, **options):
    torch = need("torch")
    torch.manual_seed(seed)
    name, kind, theirs, ours = MODULES[case]
    module = getattr(torch.nn, name)(
        FEATURES, UNITS, batch_first=True, **theirs, **options
    )
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2)  # away from where the gates are linear
    return torch, module, kind, ours


def random_states(torch, module, seed=9):
    """Initial states as torch has them, h and for an LSTM c, all levels in each."""
    torch.manual_seed(seed)
    shape = (module.num_layers * (1 + module.bidirectional), BATCH, UNITS)
    dtype = module.weight_ih_l0.dtype
    kinds = 2 if module.mode == "LSTM" else 1
    return [torch.randn(shape, dtype=dtype) for _ in range(kinds)]


def run_torch(module, x, states=None):
    """y, and the last states as torch has them."""
    if states is not None:
        states = tuple(states) if len(states) > 1 else states[0]
    y, last = module(x, states)
    return y, list(last) if isinstance(last, tuple) else [last]


def by_level(states):
    """States as torch has them -> as our layers: levels, directions, h and c apart."""
    return [state[k] for k in range(len(states[0])) for state in states]


def layout_of_ours(module, gradients=False):
    """The weights of a torch module, or their gradients, as the list of ours: level
    after level, forward before backward; each a kernel, a recurrent kernel, a bias."""
    ends = [
        f"_l{level}{direction}"
        for level in range(module.num_layers)
        for direction in (("", "_reverse") if module.bidirectional else ("",))
    ]
    order = {"GRU": [1, 0, 2]}.get(module.mode)  # r, z, n -> z, r, h
    weights = []
    for end in ends:

        def array(name, end=end):
            weight = getattr(module, name + end)
            return (weight.grad if gradients else weight.detach()).numpy()

        level = [array("weight_ih").T, array("weight_hh").T]
        if module.bias and module.mode == "GRU":
            level.append(np.stack([array("bias_ih"), array("bias_hh")]))
        elif module.bias and gradients:  # that of a sum is that of either part
            level.append(array("bias_ih"))
        elif module.bias:
            level.append(array("bias_ih") + array("bias_hh"))
        weights += [reordered(columns, order) for columns in level]
    return weights
