"""Weights from and to Keras, torch and ONNX, without torch and ONNX: their equations
are written here in NumPy, as their documentation gives them."""

import keras
import numpy as np
import pytest

from saccade.layers import GRU, LSTM, ConditionedCell, Elman, Recurrent
from saccade.layers.convert import (
    from_keras,
    from_onnx,
    from_torch,
    to_keras,
    to_onnx,
    to_torch,
)

from .helpers import BATCH, FEATURES, TIME, UNITS, normal, randomise, run_numpy, sigmoid

X = normal(BATCH, TIME, FEATURES)
SHAPE = (None, None, FEATURES)


def built(layer, seed=1):
    layer.build(SHAPE)
    return randomise(layer, seed)


def sequences(kind, **options):
    return built(kind(UNITS, return_sequences=True, **options))


# Keras

THEIRS = {
    "rnn": (keras.layers.SimpleRNN, Elman, {"activation": "relu"}),
    "rnn, no bias": (keras.layers.SimpleRNN, Elman, {"use_bias": False}),
    "lstm": (keras.layers.LSTM, LSTM, {"recurrent_activation": "hard_sigmoid"}),
    "lstm, backwards": (keras.layers.LSTM, LSTM, {"go_backwards": True}),
    "gru": (keras.layers.GRU, GRU, {}),
    "gru, before": (keras.layers.GRU, GRU, {"reset_after": False}),
}


@pytest.mark.parametrize("case", THEIRS)
def test_keras_there_and_back(case):
    kind, our_kind, options = THEIRS[case]
    theirs = sequences(kind, name="words", dropout=0.25, **options)
    ours = from_keras(theirs)
    again = to_keras(ours)
    assert (type(ours), type(again)) == (our_kind, kind)
    assert again.get_config() == theirs.get_config()
    expected = theirs(X)
    np.testing.assert_allclose(ours(X), expected, atol=1e-6)
    np.testing.assert_array_equal(again(X), expected)


@pytest.mark.parametrize("case", ["rnn", "lstm", "gru", "gru, before"])
def test_keras_cells_there_and_back(case):
    kind, our_kind, options = THEIRS[case]
    theirs = built(kind(UNITS, **options)).cell
    ours = from_keras(theirs)
    again = to_keras(ours)
    assert type(ours) is our_kind.cell_class
    assert type(again) is type(theirs)
    states = theirs.get_initial_state(BATCH)
    expected, _ = theirs(X[:, 0], states)
    np.testing.assert_allclose(ours(X[:, 0], states)[0], expected, atol=1e-6)
    np.testing.assert_array_equal(again(X[:, 0], states)[0], expected)


def test_keras_layers_without_weights_stay_so():
    ours = from_keras(keras.layers.LSTM(UNITS))
    assert not ours.built
    assert not to_keras(ours).built


def test_a_stateful_layer_keeps_its_batch():
    theirs = keras.layers.GRU(UNITS, stateful=True)
    theirs.build((BATCH, None, FEATURES))
    first = theirs(X)
    ours = from_keras(theirs)
    np.testing.assert_allclose(ours(X), first, atol=1e-6)  # from states of zeros
    assert not np.allclose(ours(X), first, atol=1e-3)


def test_keras_weights_are_copied_not_shared():
    theirs = sequences(keras.layers.GRU)
    ours = from_keras(theirs)
    before = np.array(theirs(X))
    ours.cell.kernel.assign(0 * ours.cell.kernel)
    np.testing.assert_array_equal(theirs(X), before)


def test_keras_refuses_what_it_does_not_know():
    class Own(keras.layers.LSTM):
        pass

    with pytest.raises(ValueError, match=r"keras\.layers\.LSTM.*received Own 'own'"):
        from_keras(Own(UNITS))
    with pytest.raises(ValueError, match=r"Expected.*received LSTM 'ours'"):
        from_keras(LSTM(UNITS, name="ours"))
    both = keras.layers.Bidirectional(keras.layers.LSTM(UNITS))
    with pytest.raises(ValueError, match="received Bidirectional.*forward_layer"):
        from_keras(both)
    with pytest.raises(ValueError, match="Expected one of Elman.*received Dense"):
        to_keras(keras.layers.Dense(UNITS))
    layers = [LSTM(UNITS, peephole=value) for value in (True, "previous")]
    for lstm in (*layers, layers[0].cell):
        with pytest.raises(ValueError, match="keras.layers.LSTM has no peepholes"):
            to_keras(lstm)
    with pytest.raises(ValueError, match="trainable_state=True"):
        to_keras(LSTM(UNITS, trainable_state=True))


# torch


def torch_state(gates, end="_l0", seed=5):
    return {
        f"weight_ih{end}": normal(gates * UNITS, FEATURES, seed=seed),
        f"weight_hh{end}": normal(gates * UNITS, UNITS, seed=seed + 1),
        f"bias_ih{end}": normal(gates * UNITS, seed=seed + 2),
        f"bias_hh{end}": normal(gates * UNITS, seed=seed + 3),
    }


def torch_products(state, x, h, gates):
    """What torch's equations name W_i. x + b_i. and W_h. h + b_h., by gate."""
    w, u, b, c = state.values()
    return np.split(x @ w.T + b, gates, -1), np.split(h @ u.T + c, gates, -1)


def torch_rnn(state, activation):
    def step(x, states):
        (a,), (b,) = torch_products(state, x, states[0], 1)
        return [activation(a + b)]

    return step


def torch_lstm(state):
    def step(x, states):
        h, c = states
        parts = zip(*torch_products(state, x, h, 4), strict=True)
        i, f, g, o = (a + b for a, b in parts)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]

    return step


def torch_gru(state):
    def step(x, states):
        (h,) = states
        (ir, iz, i_n), (hr, hz, hn) = torch_products(state, x, h, 3)
        r, z = sigmoid(ir + hr), sigmoid(iz + hz)
        n = np.tanh(i_n + r * hn)
        return [(1 - z) * n + z * h]

    return step


def relu(z):
    return np.maximum(z, 0)


TORCH = {
    "rnn": (Elman, {}, 1, lambda state: torch_rnn(state, np.tanh)),
    "rnn, relu": (
        Elman,
        {"activation": "relu"},
        1,
        lambda state: torch_rnn(state, relu),
    ),
    "lstm": (LSTM, {}, 4, torch_lstm),
    "gru": (GRU, {}, 3, torch_gru),
}


def zeros(states):
    return [np.zeros((BATCH, UNITS))] * states


@pytest.mark.parametrize("case", TORCH)
def test_from_torch_equals_its_equations(case):
    kind, options, gates, step = TORCH[case]
    state = torch_state(gates)
    layer = sequences(kind, **options)
    assert from_torch(layer, state) is layer
    expected, _ = run_numpy(step(state), X, zeros(2 if kind is LSTM else 1))
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("case", TORCH)
def test_to_torch_equals_its_equations(case):
    kind, options, _, step = TORCH[case]
    layer = sequences(kind, **options)
    state = to_torch(layer)
    assert all(array.flags.c_contiguous for array in state.values())
    expected, _ = run_numpy(step(state), X, zeros(2 if kind is LSTM else 1))
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=2e-6)
    again = from_torch(built(kind(UNITS, return_sequences=True, **options), 2), state)
    np.testing.assert_array_equal(again(X), layer(X))


def test_torch_names():
    layer = built(GRU(UNITS))
    assert list(to_torch(layer)) == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
    ]
    assert "a.bias_hh_l2_reverse" in to_torch(layer, 2, True, "a.")
    assert "weight_ih" in to_torch(layer, level=None)
    assert len(to_torch(built(GRU(UNITS, use_bias=False)))) == 2


@pytest.mark.parametrize(
    "place",
    [
        {"level": 1},
        {"reverse": True},
        {"level": 1, "reverse": True, "prefix": "encoder."},
        {"level": None},
    ],
)
def test_torch_takes_the_weights_that_it_is_told_to(place):
    layer = built(GRU(UNITS))
    everything = {**torch_state(3), **to_torch(layer, **place)}
    again = from_torch(built(GRU(UNITS), 2), everything, **place)
    np.testing.assert_array_equal(again(X), layer(X))


def test_one_bias_holds_the_sum_and_goes_out_as_the_first():
    layer = built(LSTM(UNITS))
    state = torch_state(4)
    from_torch(layer, state)
    total = state["bias_ih_l0"] + state["bias_hh_l0"]
    np.testing.assert_array_equal(layer.cell.bias, total)
    out = to_torch(layer)
    np.testing.assert_array_equal(out["bias_ih_l0"], total)
    np.testing.assert_array_equal(out["bias_hh_l0"], 0 * total)


class Tensor:
    """Behaves like a torch tensor on another device that wants its gradient."""

    def __init__(self, array, ready=()):
        self.array, self.ready = array, ready

    def detach(self):
        return Tensor(self.array, (*self.ready, "detach"))

    def cpu(self):
        return Tensor(self.array, (*self.ready, "cpu"))

    def double(self):
        return Tensor(self.array.astype("float64"), self.ready)

    def numpy(self):
        assert self.ready == ("detach", "cpu")
        return self.array


def test_torch_tensors_are_taken_as_they_are():
    layer = built(Elman(UNITS))
    tensors = {name: Tensor(array) for name, array in to_torch(layer).items()}
    again = from_torch(built(Elman(UNITS), 2), tensors)
    np.testing.assert_array_equal(again(X), layer(X))


def test_weights_go_into_cells_and_into_recurrent():
    layer = sequences(LSTM)
    state, onnx = to_torch(layer), to_onnx(layer)
    loop = Recurrent(LSTM.cell_class(UNITS), return_sequences=True)
    built(loop, 2)
    np.testing.assert_array_equal(from_torch(loop, state)(X), layer(X))
    built(loop, 2)
    from_onnx(loop.cell, **onnx)
    np.testing.assert_array_equal(loop(X), layer(X))


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (LSTM, {"peephole": True}, "torch.nn.LSTM has no peepholes"),
        (LSTM, {"peephole": "previous"}, "peephole='previous'"),
        (GRU, {"reset_after": False}, "torch.nn.GRU resets after"),
        (GRU, {"activation": "relu"}, "torch knows tanh and sigmoid"),
        (LSTM, {"recurrent_activation": "hard_sigmoid"}, "tanh and sigmoid"),
        (Elman, {"activation": "sigmoid"}, "torch.nn.RNN knows tanh and relu"),
    ],
)
def test_torch_refuses_what_it_lacks(kind, options, reason):
    layer = built(kind(UNITS, **options))
    with pytest.raises(ValueError, match=f"to_torch expected.*{reason}"):
        to_torch(layer)
    with pytest.raises(ValueError, match=f"from_torch expected.*{reason}"):
        from_torch(layer, {})


@pytest.mark.parametrize(
    "call",
    [
        lambda layer: from_torch(layer, torch_state(4)),
        to_torch,
        lambda layer: from_onnx(layer, *onnx_weights(4)),
        to_onnx,
    ],
)
def test_layers_that_cannot_be_converted(call):
    with pytest.raises(ValueError, match=r"built layer; LSTM 'new' has no weights"):
        call(LSTM(UNITS, name="new"))
    wrong = Recurrent(ConditionedCell(LSTM.cell_class(UNITS)), name="wrong")
    with pytest.raises(ValueError, match="ElmanCell, LSTMCell.*Recurrent 'wrong'"):
        call(wrong)
    with pytest.raises(ValueError, match="received LSTM 'keras'.*from_keras first"):
        call(keras.layers.LSTM(UNITS, name="keras"))


def refuses(layer, message, function, *arguments, **options):
    """The call raises, and leaves the layer's weights as they were."""
    before = [w.numpy() for w in layer.weights]
    with pytest.raises(ValueError, match=message):
        function(layer, *arguments, **options)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_torch_keys_that_do_not_fit():
    layer, plain = built(LSTM(UNITS)), built(LSTM(UNITS, use_bias=False))
    state = torch_state(4)
    bare = {name: a for name, a in state.items() if "weight" in name}
    missing = r"\['weight_ih_l1', .*the state dict has \['bias_hh_l0', .*`level`"
    refuses(layer, missing, from_torch, state, level=1)
    refuses(layer, "bias_ih_l0.*use_bias=False", from_torch, bare)
    refuses(plain, "no 'bias_ih_l0'.*use_bias=True", from_torch, state)
    projected = {**state, "weight_hr_l0": normal(2, UNITS)}
    refuses(layer, "'weight_hr_l0'.*proj_size", from_torch, projected)
    np.testing.assert_array_equal(
        from_torch(plain, bare).cell.kernel, bare["weight_ih_l0"].T
    )


def test_torch_shapes_that_do_not_fit():
    layer = built(LSTM(UNITS, name="words"))
    message = (
        rf"LSTM 'words' expected weight_ih_l0 of shape \({4 * UNITS}, {FEATURES}\); "
        rf"received shape \({3 * UNITS}, {FEATURES}\)"
    )
    refuses(layer, message, from_torch, torch_state(3))
    state = torch_state(4)
    state["bias_hh_l0"] = state["bias_hh_l0"][:-1]
    message = rf"bias_hh_l0 of shape \({4 * UNITS},\); received shape"
    refuses(layer, message, from_torch, state)


# ONNX


def onnx_weights(gates, directions=1, seed=5):
    """W, R, B, P."""
    return (
        normal(directions, gates * UNITS, FEATURES, seed=seed),
        normal(directions, gates * UNITS, UNITS, seed=seed + 1),
        normal(directions, 2 * gates * UNITS, seed=seed + 2),
        normal(directions, 3 * UNITS, seed=seed + 3),
    )


def onnx_rnn(w, r, b, _):
    wb, rb = np.split(b, 2)
    return lambda x, states: [np.tanh(x @ w.T + states[0] @ r.T + wb + rb)]


def onnx_lstm(w, r, b, p):
    wb, rb = np.split(b, 2)
    p_i, p_o, p_f = np.split(p, 3)

    def step(x, states):
        h, c = states
        i, o, f, z = np.split(x @ w.T + h @ r.T + wb + rb, 4, axis=-1)
        i, f = sigmoid(i + p_i * c), sigmoid(f + p_f * c)
        c = f * c + i * np.tanh(z)
        return [sigmoid(o + p_o * c) * np.tanh(c), c]

    return step


def onnx_gru(linear_before_reset):
    def node(w, r, b, _):
        (wz, wr, wh), (rz, rr, rh) = np.split(w, 3), np.split(r, 3)
        wbz, wbr, wbh, rbz, rbr, rbh = np.split(b, 6)

        def step(x, states):
            (h,) = states
            z = sigmoid(x @ wz.T + h @ rz.T + wbz + rbz)
            reset = sigmoid(x @ wr.T + h @ rr.T + wbr + rbr)
            if linear_before_reset:
                new = np.tanh(x @ wh.T + reset * (h @ rh.T + rbh) + wbh)
            else:
                new = np.tanh(x @ wh.T + (reset * h) @ rh.T + rbh + wbh)
            return [(1 - z) * new + z * h]

        return step

    return node


ONNX = {
    "rnn": (Elman, {}, 1, onnx_rnn),
    "lstm": (LSTM, {}, 4, onnx_lstm),
    "lstm, peephole": (LSTM, {"peephole": True}, 4, onnx_lstm),
    "gru, after": (GRU, {"reset_after": True}, 3, onnx_gru(1)),
    "gru, before": (GRU, {"reset_after": False}, 3, onnx_gru(0)),
}


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("case", ONNX)
def test_from_onnx_equals_its_equations(case, direction):
    kind, options, gates, node = ONNX[case]
    w, r, b, p = onnx_weights(gates, directions=2)
    layer = sequences(kind, **options)
    peepholes = p if "peephole" in options else None
    assert from_onnx(layer, w, r, b, peepholes, direction) is layer
    p = p if "peephole" in options else 0 * p
    step = node(*(a[direction] for a in (w, r, b, p)))
    expected, _ = run_numpy(step, X, zeros(2 if kind is LSTM else 1))
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("case", ONNX)
def test_to_onnx_equals_its_equations(case):
    kind, options, _, node = ONNX[case]
    layer = sequences(kind, **options)
    weights = to_onnx(layer)
    assert list(weights) == ["W", "R", "B", "P"][: 4 if options.get("peephole") else 3]
    assert all(len(a) == 1 and a.flags.c_contiguous for a in weights.values())
    nothing = np.zeros((1, 3 * UNITS))
    step = node(*(weights.get(name, nothing)[0] for name in "WRBP"))
    expected, _ = run_numpy(step, X, zeros(2 if kind is LSTM else 1))
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=2e-6)
    again = built(kind(UNITS, return_sequences=True, **options), 2)
    np.testing.assert_array_equal(from_onnx(again, **weights)(X), layer(X))


def test_what_onnx_leaves_out_is_zero():
    w, r, b, p = onnx_weights(4)
    bare = from_onnx(built(LSTM(UNITS, peephole=True)), w, r)
    full = from_onnx(built(LSTM(UNITS, peephole=True)), w, r, 0 * b, 0 * p)
    np.testing.assert_array_equal(bare(X), full(X))
    assert "B" not in to_onnx(built(GRU(UNITS, use_bias=False)))


def test_onnx_arrays_that_do_not_fit():
    w, r, b, p = onnx_weights(4)
    layer = built(LSTM(UNITS, peephole=True, name="words"))
    message = (
        rf"LSTM 'words' expected W of shape \(directions, {4 * UNITS}, {FEATURES}\); "
        rf"received shape \({4 * UNITS}, {FEATURES}\)"
    )
    refuses(layer, message, from_onnx, w[0], r)
    refuses(layer, "expected R of shape", from_onnx, w, r[:, 1:])
    refuses(layer, "expected B of shape", from_onnx, w, r, b[:, : 4 * UNITS])
    refuses(layer, "expected P of shape", from_onnx, w, r, b, p[:, :UNITS])
    for direction in (1, -1):
        message = f"direction below 1, as many as W has; received.*{direction}"
        refuses(layer, message, from_onnx, w, r, direction=direction)
    refuses(built(LSTM(UNITS)), "no P for LSTM.*peephole=True", from_onnx, w, r, b, p)
    plain = built(LSTM(UNITS, use_bias=False))
    refuses(plain, "no B for LSTM.*use_bias=True", from_onnx, w, r, b)


@pytest.mark.parametrize(
    "move", [lambda layer: from_onnx(layer, *onnx_weights(4)), to_onnx]
)
def test_onnx_has_no_output_gate_that_looks_at_the_step_before(move):
    layer = built(LSTM(UNITS, peephole="previous"))
    with pytest.raises(ValueError, match='peephole="previous", and the output gate'):
        move(layer)
