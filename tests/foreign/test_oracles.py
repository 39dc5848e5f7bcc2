"""Our layers against programs that others wrote, with random weights everywhere.

ONNX' reference code, onnxruntime and PyTorch are extras ("oracle"): where one is
missing its tests skip, and fail with SACCADE_REQUIRE_ORACLES=1. TensorFlow's own
BlockLSTM kernel is always there.
"""

import numpy as np
import pytest
import tensorflow as tf

from .oracle_cases import FEATURES, LENGTHS, MASK, TIME, UNITS, Case, need

oracle = pytest.mark.oracle
each_seed = pytest.mark.parametrize("seed", range(2))


def same(ours, theirs, atol=2e-6):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol)


def batch_first(y):
    """ONNX' Y (time, 1, batch, units) as (batch, time, units)."""
    return y[:, 0].swapaxes(0, 1)


ALL = {"return_sequences": True, "return_state": True}


@each_seed
@pytest.mark.parametrize("peephole", [False, True])
def test_lstm_equals_the_tensorflow_kernel(seed, peephole):
    case = Case(seed, gates=4)
    layer = case.lstm(peephole, **ALL)
    kernel, recurrent, bias, *peepholes = (w.numpy() for w in layer.trainable_weights)

    def blocks(a):  # i, f, c, o -> i, c, f, o
        i, f, c, o = np.split(a, 4, axis=-1)
        return np.concatenate([i, c, f, o], axis=-1)

    p_i, p_f, p_o = peepholes[0] if peephole else np.zeros((3, UNITS), "float32")
    _, cells, _, _, _, _, outputs = tf.raw_ops.BlockLSTM(
        seq_len_max=TIME,
        x=case.x.swapaxes(0, 1),
        cs_prev=case.c,
        h_prev=case.h,
        w=blocks(np.concatenate([kernel, recurrent])),
        wci=p_i,
        wcf=p_f,
        wco=p_o,
        b=blocks(bias),
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=peephole,
    )
    ours = layer(case.x, initial_state=[case.h, case.c])
    same(ours, [np.swapaxes(outputs, 0, 1), outputs[-1], cells[-1]])


def reference(module, helper, inputs, **options):
    """ONNX' NumPy code for one node: its outputs."""
    nodes = need(f"onnx.backend.test.case.node.{module}")
    return getattr(nodes, helper)(**inputs, **options).step()


@oracle
@each_seed
@pytest.mark.parametrize("peephole", [False, True])
def test_lstm_equals_the_onnx_reference(seed, peephole):
    case = Case(seed, gates=4)
    names = "XWRBhcP" if peephole else "XWRBhc"
    y, h, c = reference("lstm", "LSTMHelper", case.onnx(names))
    layer = case.lstm(peephole, **ALL)
    ours = layer(case.x, initial_state=[case.h, case.c])
    same(ours, [batch_first(y), h[0], c[0]])


@oracle
@each_seed
@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_equals_the_onnx_reference(seed, reset_after):
    case = Case(seed, gates=3)
    y, h = reference(
        "gru", "GRUHelper", case.onnx(), linear_before_reset=int(reset_after)
    )
    ours = case.gru(reset_after, **ALL)(case.x, initial_state=[case.h])
    same(ours, [batch_first(y), h[0]])


@oracle
@each_seed
def test_elman_equals_the_onnx_reference(seed):
    case = Case(seed, gates=1)
    y, h = reference("rnn", "RNNHelper", case.onnx())
    same(case.elman(**ALL)(case.x, initial_state=[case.h]), [batch_first(y), h[0]])


def run_onnx(op, inputs, outputs, **attributes):
    """One node in onnxruntime, every row cut at its length."""
    onnx, runtime = need("onnx"), need("onnxruntime")
    order = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    inputs = {**inputs, "sequence_lens": LENGTHS.astype("int32")}
    names = [name if name in inputs else "" for name in order]
    while not names[-1]:
        names.pop()
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
    y, *states = session.run(outputs, inputs)
    return [batch_first(y), *(s[0] for s in states)]


CUT = {**ALL, "zero_output_for_mask": True}


@oracle
@each_seed
@pytest.mark.parametrize("peephole", [False, True])
def test_lstm_equals_onnxruntime_with_lengths(seed, peephole):
    case = Case(seed, gates=4)
    names = "XWRBhcP" if peephole else "XWRBhc"
    theirs = run_onnx("LSTM", case.onnx(names), ["Y", "Y_h", "Y_c"])
    layer = case.lstm(peephole, **CUT)
    same(layer(case.x, initial_state=[case.h, case.c], mask=MASK), theirs)


@oracle
@each_seed
@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_equals_onnxruntime_with_lengths(seed, reset_after):
    case = Case(seed, gates=3)
    theirs = run_onnx(
        "GRU", case.onnx(), ["Y", "Y_h"], linear_before_reset=int(reset_after)
    )
    layer = case.gru(reset_after, **CUT)
    same(layer(case.x, initial_state=[case.h], mask=MASK), theirs)


@oracle
@each_seed
def test_elman_equals_onnxruntime_with_lengths(seed):
    case = Case(seed, gates=1)
    theirs = run_onnx("RNN", case.onnx(), ["Y", "Y_h"])
    same(case.elman(**CUT)(case.x, initial_state=[case.h], mask=MASK), theirs)


def torch_layer(name, case, gates):
    """torch.nn.<name> with the weights of the case; gates: ONNX' in torch's order."""
    torch = need("torch")

    def blocks(a):
        a = a.reshape(len(gates), UNITS, -1)[gates].reshape(len(gates) * UNITS, -1)
        return torch.tensor(np.ascontiguousarray(a))

    theirs = getattr(torch.nn, name)(FEATURES, UNITS, batch_first=True)
    bias = case.b.reshape(2, -1)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(blocks(case.w))
        theirs.weight_hh_l0.copy_(blocks(case.r))
        theirs.bias_ih_l0.copy_(blocks(bias[0])[:, 0])
        theirs.bias_hh_l0.copy_(blocks(bias[1])[:, 0])
    return torch, theirs


def compare_with_torch(ours, case, torch, theirs, states, columns):
    """Outputs, and gradients of sum(y^2) by inputs, states and both kernels.

    columns: for each block of torch's rows, the block of our columns.
    """
    x = torch.tensor(case.x, requires_grad=True)
    start = [torch.tensor(s[None], requires_grad=True) for s in states]
    y, _ = theirs(x, tuple(start) if len(start) > 1 else start[0])
    (y**2).sum().backward()

    inputs = [tf.constant(a) for a in (case.x, *states)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = ours(inputs[0], initial_state=inputs[1:])
        loss = tf.reduce_sum(outputs**2)
    kernels = [ours.cell.kernel.value, ours.cell.recurrent_kernel.value]
    gradients = tape.gradient(loss, [*inputs, *kernels])

    same([outputs], [y.detach()])
    same(gradients[:-2], [x.grad, *(s.grad[0] for s in start)], atol=1e-5)
    for gradient, weight in zip(
        gradients[-2:], (theirs.weight_ih_l0, theirs.weight_hh_l0), strict=True
    ):
        blocks = weight.grad.numpy().reshape(len(columns), UNITS, -1)[columns]
        same([gradient], [blocks.reshape(len(columns) * UNITS, -1).T], atol=2e-5)


@oracle
@each_seed
def test_lstm_and_its_gradients_equal_torch(seed):
    case = Case(seed, gates=4)
    torch, theirs = torch_layer("LSTM", case, gates=[0, 2, 3, 1])  # i, f, g, o
    ours = case.lstm(False, return_sequences=True)
    states = [case.h, case.c]
    compare_with_torch(ours, case, torch, theirs, states, columns=[0, 1, 2, 3])


@oracle
@each_seed
def test_gru_and_its_gradients_equal_torch(seed):
    case = Case(seed, gates=3)
    torch, theirs = torch_layer("GRU", case, gates=[1, 0, 2])  # r, z, n
    ours = case.gru(True, return_sequences=True)
    compare_with_torch(ours, case, torch, theirs, [case.h], columns=[1, 0, 2])


@oracle
@each_seed
def test_elman_and_its_gradients_equal_torch(seed):
    case = Case(seed, gates=1)
    torch, theirs = torch_layer("RNN", case, gates=[0])
    ours = case.elman(return_sequences=True)
    compare_with_torch(ours, case, torch, theirs, [case.h], columns=[0])
