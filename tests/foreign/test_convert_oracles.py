"""Converted weights against torch and onnxruntime themselves.

Extras ("oracle"): where one is missing its tests skip, and fail with
SACCADE_REQUIRE_ORACLES=1.
"""

import numpy as np
import pytest

from saccade.layers import GRU, LSTM, Bidirectional, Stacked
from saccade.layers.convert import (
    from_keras,
    from_onnx,
    from_torch,
    to_keras,
    to_onnx,
    to_torch,
)

from .oracle_cases import (
    ALL,
    CUT,
    FEATURES,
    MASK,
    MODULES,
    UNITS,
    Case,
    both_directions,
    built,
    by_level,
    each_module,
    each_node,
    each_seed,
    need,
    oracle,
    random_states,
    run_onnx,
    run_torch,
    same,
    torch_module,
)

# torch


def tensors(torch, arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


def results(torch, module, x, states=None):
    """y, and the last states as our layers return them."""
    with torch.no_grad():
        y, last = run_torch(module, torch.tensor(x), states)
    return [y, *by_level(last)]


def starts(torch, module):
    """Initial states as torch has them, and as our layers do."""
    states = random_states(torch, module)
    return states, [state.numpy() for state in by_level(states)]


@oracle
@each_module
def test_one_level_equals_torch(case):
    torch, module, kind, options = torch_module(case)
    theirs, ours = starts(torch, module)
    x = Case("rnn").x
    layer = built(kind(UNITS, **options, **ALL))
    from_torch(layer, module.state_dict())
    expected = results(torch, module, x, theirs)
    same(layer(x, initial_state=ours), expected)
    # And Keras' own layer, by way of ours.
    same(to_keras(layer)(x, initial_state=ours), expected)


@oracle
@each_module
def test_torch_equals_one_level_of_ours(case):
    torch, module, kind, options = torch_module(case)
    x = Case("rnn").x
    layer = built(kind(UNITS, bias_initializer="normal", **options, **ALL))
    module.load_state_dict(tensors(torch, to_torch(from_keras(to_keras(layer)))))
    same(layer(x), results(torch, module, x))


@oracle
@each_module
def test_a_stack_equals_torch_both_ways(case):
    torch, module, kind, options = torch_module(case, num_layers=3)
    theirs, ours = starts(torch, module)
    x = Case("rnn").x
    cells = [kind.cell_class(UNITS, **options) for _ in range(3)]
    stack = built(Stacked(cells, **ALL))
    state = module.state_dict()
    for k, cell in enumerate(cells):
        from_torch(cell, state, level=k)
    expected = results(torch, module, x, theirs)
    same(stack(x, initial_state=ours), expected)

    _, again, _, _ = torch_module(case, seed=1, num_layers=3)
    state = {}
    for k, cell in enumerate(cells):
        state.update(to_torch(cell, level=k))
    again.load_state_dict(tensors(torch, state))
    same(results(torch, again, x, theirs), expected)


@oracle
@each_module
def test_two_bidirectional_levels_equal_torch_both_ways(case):
    torch, module, kind, options = torch_module(case, num_layers=2, bidirectional=True)
    theirs, ours = starts(torch, module)
    x = Case("rnn").x
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
    expected = results(torch, module, x, theirs)
    y, last, per_level = x, [], len(ours) // 2
    for k, level in enumerate(levels):
        start = ours[k * per_level : (k + 1) * per_level]
        y, *states = level(y, initial_state=start)
        last += states
    same([y, *last], expected)

    _, again, _, _ = torch_module(case, 1, num_layers=2, bidirectional=True)
    again.load_state_dict(tensors(torch, back))
    same(results(torch, again, x, theirs), expected)


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
    draw = Case("lstm" if case == "lstm" else "rnn")
    states = draw.states
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
    x = Case("rnn").x
    expected = results(torch, module, x)[0]
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


@oracle
@each_seed
@each_node
def test_onnxruntime_equals_ours_both_ways(name, seed):
    case = Case(name, seed)
    layer = from_onnx(built(case.make(**CUT)), **case.onnx_weights)
    ours = layer(case.x, initial_state=case.states, mask=MASK)
    same(ours, run_onnx(case.op, case.inputs, **case.attributes))
    out = to_onnx(layer)
    same(ours, run_onnx(case.op, {**case.inputs, **out}, **case.attributes))
    for key in out.keys() - {"B"}:
        np.testing.assert_array_equal(out[key], case.onnx_weights[key])


@oracle
@each_node
def test_an_onnx_node_that_reads_backwards(name):
    case = Case(name)
    layer = from_onnx(built(case.make(go_backwards=True, **CUT)), **case.onnx_weights)
    y, *last = layer(case.x, initial_state=case.states, mask=MASK)
    attributes = {**case.attributes, "direction": "reverse"}
    same([y[:, ::-1], *last], run_onnx(case.op, case.inputs, **attributes))


@oracle
@each_node
def test_a_bidirectional_onnx_node_both_ways(name):
    case, other = Case(name, seed=0), Case(name, seed=1)
    inputs = both_directions(case.inputs, other.inputs)
    attributes = {**case.attributes, "direction": "bidirectional"}
    layer = built(Bidirectional(case.make(**CUT)))
    halves = (layer.forward_layer, layer.backward_layer)
    for direction, half in enumerate(halves):
        weights = {key: inputs[key] for key in case.onnx_weights}
        from_onnx(half, **weights, direction=direction)
    states = [*case.states, *other.states]
    ours = layer(case.x, initial_state=states, mask=MASK)
    same(ours, run_onnx(case.op, inputs, **attributes))
    out = both_directions(*(to_onnx(half) for half in halves))
    same(ours, run_onnx(case.op, {**inputs, **out}, **attributes))
