"""Our layers against programs that others wrote, with random weights everywhere.

ONNX' reference code, onnxruntime and PyTorch are extras ("oracle"): where one is
missing its tests skip, and fail with SACCADE_REQUIRE_ORACLES=1. TensorFlow's own
BlockLSTM kernel is always there.
"""

import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import Bidirectional, Stacked

from .oracle_cases import (
    ALL,
    BATCH,
    CUT,
    FEATURES,
    LENGTHS,
    MASK,
    TIME,
    UNITS,
    Case,
    both_directions,
    built,
    by_level,
    each_module,
    each_node,
    each_seed,
    layout_of_ours,
    oracle,
    random_states,
    run_onnx,
    run_reference,
    run_torch,
    same,
    torch_module,
)


@each_seed
@pytest.mark.parametrize("name", ["lstm", "lstm, peephole"])
def test_lstm_equals_the_tensorflow_kernel(name, seed):
    case = Case(name, seed)
    kernel, recurrent, bias, *peepholes = case.weights
    h, c = case.states

    def blocks(a):  # i, f, c, o -> i, c, f, o
        i, f, c, o = np.split(a, 4, axis=-1)
        return np.concatenate([i, c, f, o], axis=-1)

    p_i, p_f, p_o = peepholes[0] if peepholes else np.zeros((3, UNITS), "float32")
    _, cells, _, _, _, _, outputs = tf.raw_ops.BlockLSTM(
        seq_len_max=TIME,
        x=case.x.swapaxes(0, 1),
        cs_prev=c,
        h_prev=h,
        w=blocks(np.concatenate([kernel, recurrent])),
        wci=p_i,
        wcf=p_f,
        wco=p_o,
        b=blocks(bias),
        forget_bias=0.0,
        cell_clip=-1.0,  # none
        use_peephole=bool(peepholes),
    )
    ours = case.layer(**ALL)(case.x, initial_state=case.states)
    same(ours, [np.swapaxes(outputs, 0, 1), outputs[-1], cells[-1]])


@oracle
@each_seed
@each_node
def test_equals_the_onnx_reference(name, seed):
    case = Case(name, seed)
    ours = case.layer(**ALL)(case.x, initial_state=case.states)
    same(ours, run_reference(case.op, case.inputs, **case.attributes))


@oracle
@each_seed
@each_node
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_equals_onnxruntime_with_lengths(name, seed, direction):
    case, other = Case(name, seed), Case(name, seed + 10)
    inputs, states = case.inputs, case.states
    backward = direction == "reverse"
    layer = case.layer(go_backwards=backward, **CUT)
    if direction == "bidirectional":
        inputs = both_directions(inputs, other.inputs)
        states = [*states, *other.states]
        layer = built(Bidirectional(case.make(**CUT)))
        layer.set_weights([*case.weights, *other.weights])
    y, *last = layer(case.x, initial_state=states, mask=MASK)
    ours = [y[:, ::-1] if backward else y, *last]
    attributes = {"direction": direction, **case.attributes}
    same(ours, run_onnx(case.op, inputs, **attributes))


# torch.nn, in float64: what differs there is no rounding.

F64 = {"dtype": "float64"}
NETS = {
    "one level": {},
    "two levels": {"num_layers": 2},
    "two directions": {"bidirectional": True},
    "two levels, two directions": {"num_layers": 2, "bidirectional": True},
}


@oracle
@each_module
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(
    ("packed", "training"),
    [(False, True), (True, True), (True, False)],
    ids=["whole", "packed", "packed, not in training"],
)
def test_results_and_all_gradients_equal_torch(case, net, packed, training):
    """In training the loop has a gradient of its own, else TensorFlow's."""
    torch, module, kind, options = torch_module(case, **NETS[net])
    module.double()

    def run(x, states):
        return run_by_level(torch, module, x, states, packed)

    net, cells = our_net(kind, options, module.num_layers, module.bidirectional)
    compare_with_torch(torch, [module], run, net, cells, packed, training)


@oracle
@pytest.mark.parametrize("case", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
def test_a_stack_in_both_directions_equals_two_of_torch(case, packed):
    """Bidirectional(Stacked): two stacks, of which one reads the rows turned round."""
    torch, forward, kind, options = torch_module(case, seed=0, num_layers=2)
    _, backward, _, _ = torch_module(case, seed=1, num_layers=2)
    forward.double()
    backward.double()
    steps = np.arange(TIME)
    ends = LENGTHS[:, None] if packed else np.full((BATCH, 1), TIME)
    order = torch.tensor(np.where(steps < ends, ends - 1 - steps, steps))

    def turned(rows):
        return rows[torch.arange(BATCH)[:, None], order]

    def run(x, states):
        half = len(states) // 2
        f, last_f = run_by_level(torch, forward, x, states[:half], packed)
        b, last_b = run_by_level(torch, backward, turned(x), states[half:], packed)
        return torch.cat([f, turned(b)], dim=-1), [*last_f, *last_b]

    cells = [kind.cell_class(UNITS, **options, **F64) for _ in range(2)]
    layer = built(Bidirectional(Stacked(cells, **CUT, **F64), **F64))
    halves = (layer.forward_layer, layer.backward_layer)
    cells = [level.cell for half in halves for level in half.levels]
    compare_with_torch(torch, [forward, backward], run, [layer], cells, packed, True)


def run_by_level(torch, module, x, states, packed):
    """y and the last states, from initial states by level, which is how ours have them.

    packed: every row is cut at its length and y then padded with zeros.
    """
    kinds = 2 if module.mode == "LSTM" else 1
    states = [torch.stack(states[k::kinds]) for k in range(kinds)]
    if not packed:
        y, last = run_torch(module, x, states)
        return y, by_level(last)
    rows = torch.nn.utils.rnn.pack_padded_sequence(
        x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
    )
    rows, last = run_torch(module, rows, states)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(
        rows, batch_first=True, total_length=TIME
    )
    return y, by_level(last)


def our_net(kind, options, levels, bidirectional):
    """Our layers, called one after the other, and their cells in torch's order."""
    loop = {**CUT, **F64}
    if bidirectional:
        sizes = [FEATURES] + [2 * UNITS] * (levels - 1)
        net = [
            built(Bidirectional(kind(UNITS, **options, **loop), **F64), size)
            for size in sizes
        ]
        pairs = [(layer.forward_layer, layer.backward_layer) for layer in net]
        return net, [half.cell for pair in pairs for half in pair]
    if levels == 1:
        layer = built(kind(UNITS, **options, **loop))
        return [layer], [layer.cell]
    cells = [kind.cell_class(UNITS, **options, **F64) for _ in range(levels)]
    return [built(Stacked(cells, **loop))], cells


def run_net(net, x, states, **call):
    """y, and the last states from the first layer to the last."""
    share = len(states) // len(net)
    y, last = x, []
    for k, layer in enumerate(net):
        start = states[k * share : (k + 1) * share]
        y, *new = layer(y, initial_state=start, **call)
        last += new
    return [y, *last]


def compare_with_torch(torch, modules, run, net, cells, packed, training):
    """Results, and gradients of the sum of their squares by inputs, initial states,
    and every kernel and bias.

    Args:
        modules: torch's; run: what does their work, (x, initial states) -> (y, last
            states), the states by level as ours.
        net: our layers, to be called one after the other; cells: theirs, in the order
            of torch's weights.
    """
    x = torch.tensor(Case("rnn").x, dtype=torch.float64)
    start = []
    for seed, module in enumerate(modules):
        start += by_level(random_states(torch, module, seed))
    for tensor in (x, *start):
        tensor.requires_grad_()
    y, last = run(x, start)
    theirs = [y, *last]
    sum((result**2).sum() for result in theirs).backward()

    names = ("kernel", "recurrent_kernel", "bias")[: 3 if modules[0].bias else 2]
    weights = [getattr(cell, name) for cell in cells for name in names]
    values = [value for module in modules for value in layout_of_ours(module)]
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)
    inputs = [tf.constant(tensor.detach()) for tensor in (x, *start)]
    mask = MASK if packed else None
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        ours = run_net(net, inputs[0], inputs[1:], mask=mask, training=training)
        loss = sum(tf.reduce_sum(result**2) for result in ours)
    gradients = tape.gradient(loss, [*inputs, *(w.value for w in weights)])

    same(ours, [result.detach() for result in theirs], atol=1e-11)
    expected = [tensor.grad for tensor in (x, *start)]
    for module in modules:
        expected += layout_of_ours(module, gradients=True)
    same(gradients, expected, atol=1e-10)
