"""Converted weights against torch and onnxruntime themselves.

Extras ("oracle"): where one is missing its tests skip, and fail with
SACCADE_REQUIRE_ORACLES=1.
"""

import numpy as np
import pytest

from saccade.layers import GRU, LSTM, Elman
from saccade.layers.bidirectional import Bidirectional
from saccade.layers.convert import (
    from_keras,
    from_onnx,
    from_torch,
    to_keras,
    to_onnx,
    to_torch,
)
from saccade.layers.stacked import Stacked

from .oracle_cases import BATCH, FEATURES, MASK, TIME, UNITS, Case, need
from .test_oracles import ALL, CUT, each_seed, oracle, reference, run_onnx, same

# torch

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


def tensors(torch, arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


def run_torch(torch, module, x, states=None):
    """y, and the last states: (levels and directions, batch, units) each."""
    with torch.no_grad():
        y, last = module(torch.tensor(x), states)
    return [y, *(last if isinstance(last, tuple) else [last])]


def random_states(torch, module):
    """Initial states in torch's form, and as one list, the first level's first."""
    torch.manual_seed(9)
    count = module.num_layers * (2 if module.bidirectional else 1)
    kinds = 2 if module.mode == "LSTM" else 1
    states = [torch.randn(count, BATCH, UNITS) for _ in range(kinds)]
    ours = [s[k].numpy() for k in range(count) for s in states]
    return (tuple(states) if kinds == 2 else states[0]), ours


def by_level(theirs):
    """torch's y, h, c with levels and directions apart, as our layers return them."""
    y, *last = theirs
    return [y, *(s[k] for k in range(len(last[0])) for s in last)]


def built(layer, features=FEATURES):
    layer.build((BATCH, TIME, features))
    return layer


@oracle
@each_module
def test_one_level_equals_torch(case):
    torch, module, kind, options = torch_module(case)
    theirs, ours = random_states(torch, module)
    x = Case(0, gates=1).x
    layer = built(kind(UNITS, **options, **ALL))
    from_torch(layer, module.state_dict())
    expected = run_torch(torch, module, x, theirs)
    same(layer(x, initial_state=ours), by_level(expected))
    # And Keras' own layer, by way of ours.
    same(to_keras(layer)(x, initial_state=ours), by_level(expected))


@oracle
@each_module
def test_torch_equals_one_level_of_ours(case):
    torch, module, kind, options = torch_module(case)
    x = Case(0, gates=1).x
    layer = built(kind(UNITS, bias_initializer="normal", **options, **ALL))
    module.load_state_dict(tensors(torch, to_torch(from_keras(to_keras(layer)))))
    same(layer(x), by_level(run_torch(torch, module, x)))


@oracle
@each_module
def test_a_stack_equals_torch_both_ways(case):
    torch, module, kind, options = torch_module(case, num_layers=3)
    theirs, ours = random_states(torch, module)
    x = Case(0, gates=1).x
    cells = [kind.cell_class(UNITS, **options) for _ in range(3)]
    stack = built(Stacked(cells, **ALL))
    state = module.state_dict()
    for k, cell in enumerate(cells):
        from_torch(cell, state, level=k)
    expected = run_torch(torch, module, x, theirs)
    same(stack(x, initial_state=ours), by_level(expected))

    _, again, _, _ = torch_module(case, seed=1, num_layers=3)
    state = {}
    for k, cell in enumerate(cells):
        state.update(to_torch(cell, level=k))
    again.load_state_dict(tensors(torch, state))
    same(run_torch(torch, again, x, theirs), expected)


@oracle
@each_module
def test_two_bidirectional_levels_equal_torch_both_ways(case):
    torch, module, kind, options = torch_module(case, num_layers=2, bidirectional=True)
    theirs, ours = random_states(torch, module)
    x = Case(0, gates=1).x
    levels = [
        built(Bidirectional(kind(UNITS, **options, **ALL)), features)
        for features in (FEATURES, 2 * UNITS)
    ]
    whole = {f"encoder.{name}": array for name, array in module.state_dict().items()}
    back = {}
    for k, level in enumerate(levels):
        halves = (level.forward_layer, level.backward_layer)
        for half, reverse in zip(halves, (False, True), strict=True):
            from_torch(half, whole, k, reverse, prefix="encoder.")
            back.update(to_torch(half, k, reverse))
    expected = run_torch(torch, module, x, theirs)
    y, last, per_level = x, [], len(ours) // 2
    for k, level in enumerate(levels):
        start = ours[k * per_level : (k + 1) * per_level]
        y, *states = level(y, initial_state=start)
        last += states
    same([y, *last], by_level(expected))

    _, again, _, _ = torch_module(case, 1, num_layers=2, bidirectional=True)
    again.load_state_dict(tensors(torch, back))
    same(run_torch(torch, again, x, theirs), expected)


@oracle
@pytest.mark.parametrize("case", ["rnn", "lstm", "gru"])
def test_a_torch_cell_equals_ours(case):
    torch = need("torch")
    torch.manual_seed(0)
    name, kind, _, _ = MODULES[case]
    module = getattr(torch.nn, f"{name}Cell")(FEATURES, UNITS)
    cell = kind.cell_class(UNITS)
    cell.build((None, FEATURES))
    from_torch(cell, module.state_dict(), level=None)
    draw = Case(0, gates=1)
    states = [draw.h, draw.c][: 2 if case == "lstm" else 1]
    theirs = tuple(torch.tensor(s) for s in states)
    with torch.no_grad():
        step = module(
            torch.tensor(draw.x[:, 0]), theirs if len(theirs) > 1 else theirs[0]
        )
    h = step[0] if isinstance(step, tuple) else step
    same([cell(draw.x[:, 0], states)[0]], [h])


@oracle
def test_bfloat16_and_weights_that_want_gradients_come_in():
    torch, module, _, _ = torch_module("gru")
    named = dict(module.named_parameters())
    x = Case(0, gates=1).x
    expected = run_torch(torch, module, x)[0]
    layer = built(GRU(UNITS, return_sequences=True))
    same([from_torch(layer, named)(x)], [expected])
    rounded = module.to(torch.bfloat16).state_dict()
    from_torch(layer, rounded)
    kernel = rounded["weight_hh_l0"].float()[UNITS : 2 * UNITS].T  # torch's z
    np.testing.assert_array_equal(layer.cell.recurrent_kernel[:, :UNITS], kernel)


@oracle
def test_a_projection_is_refused():
    torch = need("torch")
    module = torch.nn.LSTM(FEATURES, UNITS, proj_size=2)
    with pytest.raises(ValueError, match="proj_size"):
        from_torch(built(LSTM(UNITS)), module.state_dict())


# ONNX

NODES = {
    "rnn": ("RNN", Elman, {}, {}, 1),
    "lstm": ("LSTM", LSTM, {}, {}, 4),
    "lstm, peephole": ("LSTM", LSTM, {"peephole": True}, {}, 4),
    "gru, before": ("GRU", GRU, {"reset_after": False}, {"linear_before_reset": 0}, 3),
    "gru, after": ("GRU", GRU, {"reset_after": True}, {"linear_before_reset": 1}, 3),
}
each_node = pytest.mark.parametrize("name", NODES)


def node_case(name, seed):
    """The case, its weights, what else its node needs, the node and our layer."""
    op, kind, options, attributes, gates = NODES[name]
    case = Case(seed, gates)
    lstm = op == "LSTM"
    inputs = case.onnx("XWRBhc" if lstm else "XWRBh")
    weights = {key: inputs.pop(key) for key in "WRB"}
    if "peephole" in options:
        weights["P"] = case.p
    outputs = ["Y", "Y_h", "Y_c"] if lstm else ["Y", "Y_h"]
    node = (op, outputs, attributes)
    states = [case.h, case.c] if lstm else [case.h]
    return case, weights, inputs, node, states, lambda **o: kind(UNITS, **options, **o)


@oracle
@each_seed
@each_node
def test_onnxruntime_equals_ours_both_ways(name, seed):
    case, weights, inputs, (op, outputs, attributes), states, make = node_case(
        name, seed
    )
    layer = from_onnx(built(make(**CUT)), **weights)
    ours = layer(case.x, initial_state=states, mask=MASK)
    same(ours, run_onnx(op, {**inputs, **weights}, outputs, **attributes))
    out = to_onnx(layer)
    same(ours, run_onnx(op, {**inputs, **out}, outputs, **attributes))
    for key in "WRP":
        if key in weights:
            np.testing.assert_array_equal(out[key], weights[key])


@oracle
@each_node
def test_an_onnx_node_that_reads_backwards(name):
    case, weights, inputs, (op, outputs, attributes), states, make = node_case(name, 0)
    attributes = {**attributes, "direction": "reverse"}
    layer = from_onnx(built(make(go_backwards=True, **CUT)), **weights)
    y, *last = layer(case.x, initial_state=states, mask=MASK)
    theirs = run_onnx(op, {**inputs, **weights}, outputs, **attributes)
    same([y[:, ::-1], *last], theirs)


@oracle
@pytest.mark.parametrize("name", ["lstm", "lstm, peephole"])
def test_a_bidirectional_onnx_node(name):
    """By ONNX' reference code: the helpers around onnxruntime take one direction."""
    case, weights, inputs, _, states, make = node_case(name, 0)
    _, other, _, _, _, _ = node_case(name, 1)
    both = {key: np.concatenate([weights[key], other[key]]) for key in weights}
    layer = built(Bidirectional(make(return_sequences=True)))
    from_onnx(layer.forward_layer, **both, direction=0)
    from_onnx(layer.backward_layer, **both, direction=1)
    twice = {key: np.concatenate([inputs[key]] * 2) for key in inputs if key != "X"}
    y, *_ = reference(
        "lstm",
        "LSTMHelper",
        {"X": inputs["X"], **both, **twice},
        direction="bidirectional",
    )
    ours = layer(case.x, initial_state=[*states, *states])
    theirs = np.moveaxis(y, 2, 0).reshape(BATCH, TIME, 2 * UNITS)
    same([ours], [theirs])
    out = [to_onnx(half) for half in (layer.forward_layer, layer.backward_layer)]
    for key in ("W", "R"):
        joined = np.concatenate([half[key] for half in out])
        np.testing.assert_array_equal(joined, both[key])
