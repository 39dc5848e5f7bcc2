"""Jacobians against closed forms, differences and the gradient of a whole sequence;
gates against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    GRU,
    LSTM,
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    Elman,
    ElmanCell,
    FullyRecurrent,
    GRUCell,
    Jordan,
    LayerNormLSTM,
    LSTMCell,
    MinGRU,
    MinLSTM,
    Recurrent,
    ZoneoutCell,
    diagnostics,
)
from saccade.layers.bidirectional import Bidirectional
from saccade.layers.diagnostics import (
    clipped_share,
    gates,
    gradient_flow,
    gradient_norms,
    saturation,
    step_gains,
    step_jacobians,
)
from saccade.layers.minimal import MinGRUCell
from saccade.layers.stacked import Stacked

from .helpers import (
    BATCH,
    FEATURES,
    MASKS,
    TIME,
    UNITS,
    normal,
    randomise,
    sigmoid,
    weights_of,
)
from .test_gru import numpy_step as gru_step
from .test_layer_norm_lstm import numpy_norm
from .test_layer_norm_lstm import numpy_step as layer_norm_step
from .test_lstm import numpy_step as lstm_step
from .test_minimal import numpy_step as minimal_step

FLOAT64 = {"dtype": "float64", "return_state": True}
STATES = [normal(BATCH, UNITS, seed=s, dtype="float64") for s in (3, 4)]
LAYERS = {
    "elman": lambda: Elman(UNITS, **FLOAT64),
    "gru": lambda: GRU(UNITS, **FLOAT64),
    "gru reset before": lambda: GRU(UNITS, reset_after=False, **FLOAT64),
    "lstm": lambda: LSTM(UNITS, **FLOAT64),
    "lstm peephole": lambda: LSTM(UNITS, peephole=True, **FLOAT64),
    "stack": lambda: Recurrent(
        keras.layers.StackedRNNCells(
            [ElmanCell(UNITS, dtype="float64"), GRUCell(UNITS, dtype="float64")],
            dtype="float64",
        ),
        **FLOAT64,
    ),
    "stacked": lambda: Stacked(
        [GRUCell(UNITS, dtype="float64"), MinGRUCell(UNITS, dtype="float64")],
        residual=True,
        dropout=0.5,
        **FLOAT64,
    ),
}


def built(name):
    layer = LAYERS[name]()
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


def sequences():
    return normal(BATCH, TIME, FEATURES, dtype="float64")


def states_of(layer):
    """An initial state for the layer, in the form in which it takes one."""
    states = iter(STATES)
    return keras.tree.map_structure(
        lambda _: next(states), layer.get_initial_state(BATCH)
    )


def spectral(matrix):
    """The largest singular value, by way of the eigenvalues of A^T A."""
    return np.sqrt(np.linalg.eigvalsh(matrix.swapaxes(-1, -2) @ matrix)[..., -1])


def numpy_elman_jacobians(w, x, h):
    """diag(1 - h^2) Wh, with Wh the transposed kernel of the row convention."""
    jacobians = []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"])
        jacobians.append((1 - h**2)[:, :, None] * w["recurrent_kernel"].T)
    return np.stack(jacobians, axis=1)


def jacobian(tape, after, before):
    """d after / d before by one gradient per unit of `after`: (batch, size, size)."""
    rows = [tape.gradient(unit, before) for unit in after]
    return np.stack(rows, axis=1)


def rest_of_the_sequence(layer, x, initial_state, t, mask=None):
    """d s[T] / d s[t] by one gradient through the steps t + 1 .. T."""
    if mask is None:
        mask = np.ones(x.shape[:2], bool)
    state = initial_state
    if t:
        _, *state = layer(x[:, :t], initial_state=state, mask=mask[:, :t])
    flat = [tf.constant(part) for part in keras.tree.flatten(state)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(flat)
        state = keras.tree.pack_sequence_as(initial_state, flat)
        _, *last = layer(x[:, t:], initial_state=state, mask=mask[:, t:])
        last = [tf.unstack(part, axis=-1) for part in keras.tree.flatten(last)]
    return [
        jacobian(tape, after, before) for after, before in zip(last, flat, strict=True)
    ]


def test_elman_jacobians_equal_their_formula():
    layer, x = built("elman"), sequences()
    expected = numpy_elman_jacobians(weights_of(layer), x, STATES[0])
    jacobians = step_jacobians(layer, x, initial_state=[STATES[0]])
    np.testing.assert_allclose(jacobians, expected, atol=1e-12)
    (gains,) = step_gains(layer, x, initial_state=[STATES[0]])
    np.testing.assert_allclose(gains, spectral(expected), rtol=1e-9)


def test_jacobians_of_reversed_time_are_those_of_the_reversed_sequence():
    x = sequences()
    layer = built("elman")
    backwards = Elman(UNITS, go_backwards=True, **FLOAT64)
    backwards.build(x.shape)
    backwards.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        step_jacobians(backwards, x), step_jacobians(layer, x[:, ::-1]), atol=1e-14
    )


@pytest.mark.parametrize("name", ["gru", "lstm peephole", "stack", "stacked"])
def test_jacobians_equal_differences_of_the_whole_state(name):
    layer, x = built(name), sequences()[:, :1]
    flat, shift = keras.tree.flatten(states_of(layer)), 1e-6
    numeric = []
    for place, part in enumerate(flat):
        for unit in range(UNITS):
            ends = []
            for sign in (1, -1):
                moved = part.copy()
                moved[:, unit] += sign * shift
                start = [*flat[:place], moved, *flat[place + 1 :]]
                start = keras.tree.pack_sequence_as(states_of(layer), start)
                after = layer.step(x[:, 0], start)[1]
                ends.append(np.concatenate(keras.tree.flatten(after), axis=-1))
            numeric.append((ends[0] - ends[1]) / (2 * shift))
    jacobians = step_jacobians(layer, x, initial_state=states_of(layer))[:, 0]
    np.testing.assert_allclose(jacobians, np.stack(numeric, axis=-1), atol=1e-8)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", LAYERS)
def test_flow_equals_the_gradient_through_the_rest_of_the_sequence(name, mask):
    layer, x, mask = built(name), sequences(), MASKS[mask]
    start = states_of(layer)
    flow = gradient_flow(layer, x, initial_state=start, mask=mask)
    assert [norms.shape for norms in flow] == [(BATCH, TIME)] * len(flow)
    for t in (0, TIME - 2):
        expected = rest_of_the_sequence(layer, x, start, t, mask)
        for norms, matrix in zip(flow, expected, strict=True):
            np.testing.assert_allclose(norms[:, t], spectral(matrix), rtol=1e-7)


def test_masked_steps_pass_every_gradient_on():
    mask = MASKS["padded"]
    gains = step_gains(built("lstm"), sequences(), mask=mask)
    for norms in gains:
        np.testing.assert_array_equal(norms[~mask], 1)
        assert (norms[mask] != 1).all()


def test_a_layer_that_reads_a_memory():
    vector = normal(BATCH, 2, seed=6, dtype="float64")
    cell = ConditionedCell(ElmanCell(UNITS, dtype="float64"), dtype="float64")
    layer, x = Recurrent(cell, **FLOAT64), sequences()
    flow = gradient_flow(layer, x, memory=vector)[0]  # builds the layer
    randomise(layer)
    other = gradient_flow(layer, x, memory=vector)[0]
    assert not np.allclose(flow, other)
    start = tf.zeros((BATCH, UNITS), "float64")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(start)
        _, h = layer(x, initial_state=[start], memory=vector)
        h = tf.unstack(h, axis=-1)
    np.testing.assert_allclose(
        other[:, 0], spectral(jacobian(tape, h, start)), rtol=1e-7
    )


@pytest.mark.parametrize("go_backwards", [False, True])
def test_a_stack_of_levels_with_a_memory(go_backwards):
    """One array per state, from the lowest level to the highest."""
    cells = [LSTMCell(2), ConditionedCell(ElmanCell(UNITS))]
    layer = Stacked(cells, return_state=True, go_backwards=go_backwards)
    vector, x = normal(BATCH, 2, seed=6), sequences()
    gradient_flow(layer, x, memory=vector)  # builds the layer
    randomise(layer)
    start = [tf.zeros((BATCH, size)) for size in (2, 2, UNITS)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(start)
        _, *last = layer(x, initial_state=start, memory=vector)
        last = [tf.unstack(state, axis=-1) for state in last]
    flow = gradient_flow(layer, x, memory=vector)
    for norms, after, before in zip(flow, last, start, strict=True):
        matrix = jacobian(tape, after, before)
        np.testing.assert_allclose(norms[:, 0], spectral(matrix), rtol=1e-4)


def test_the_two_directions_of_a_bidirectional():
    layer = Bidirectional(Elman(UNITS, dtype="float64"), dtype="float64")
    x = sequences()
    with pytest.raises(ValueError, match="Pass its forward_layer, then its backward"):
        gradient_flow(layer, x)
    layer.build(x.shape)
    randomise(layer)
    start = np.zeros((BATCH, UNITS))
    for direction, visible in (
        (layer.forward_layer, x),
        (layer.backward_layer, x[:, ::-1]),
    ):
        expected = numpy_elman_jacobians(weights_of(direction), visible, start)
        np.testing.assert_allclose(step_jacobians(direction, x), expected, atol=1e-12)


def test_attention_starts_from_what_it_sees():
    regions = normal(BATCH, 3, 2, seed=6)
    visible = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0]], bool)
    layer = AttentionRNN(LSTMCell(UNITS), BahdanauAttention(3))
    layer(sequences(), memory=regions)
    randomise(layer)
    call = {"memory": regions, "memory_mask": visible}
    start = [tf.identity(s) for s in layer.initial_state_from(*call.values())]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(start)
        states = layer(sequences(), initial_state=start, **call)["states"]
        states = [tf.unstack(state, axis=-1) for state in states]
    flow = gradient_flow(layer, sequences(), **call)
    for norms, after, before in zip(flow, states, start, strict=True):
        matrix = jacobian(tape, after, before)
        np.testing.assert_allclose(norms[:, 0], spectral(matrix), rtol=1e-4)


def test_the_cell_that_forgets_nothing_keeps_its_gradient():
    """Gates wide open: d c[T] / d c[t] is the identity, however long the sequence."""
    layer, x = LSTM(UNITS, dtype="float64"), normal(2, 40, FEATURES)
    layer.build(x.shape)
    bias = np.repeat([-40.0, 40.0, 0.0, 0.0], UNITS)  # i shut, f open
    layer.cell.bias.assign(bias)
    _, c = gradient_flow(layer, x)
    np.testing.assert_allclose(c, 1, atol=1e-12)


def test_of_no_steps_there_is_nothing_to_measure():
    layer, nothing = built("lstm"), np.zeros((BATCH, 0, FEATURES))
    size = 2 * UNITS
    assert step_jacobians(layer, nothing).shape == (BATCH, 0, size, size)
    for measure in (step_gains, gradient_flow):
        assert [norms.shape for norms in measure(layer, nothing)] == [(BATCH, 0)] * 2


def test_what_is_not_a_recurrent_layer_is_refused():
    with pytest.raises(ValueError, match="expected one recurrent layer.*Dense"):
        gradient_flow(keras.layers.Dense(2), sequences())
    with pytest.raises(ValueError, match=r"\(batch, time, features\); received \(4, 3"):
        step_gains(Elman(2), normal(4, 3))


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="step_jacobians needs the TensorFlow"):
        diagnostics.step_jacobians(Elman(2), sequences())


# Gates


def lstm_gates(w, z, c, output_sees):
    p_i, p_f, p_o = w.get("peephole", np.zeros((3, 1)))
    z_i, z_f, _, z_o = np.split(z, 4, axis=-1)
    return {
        "input": sigmoid(z_i + p_i * c),
        "forget": sigmoid(z_f + p_f * c),
        "output": sigmoid(z_o + p_o * output_sees),
    }


def numpy_gates(kind, w):
    """A function (x, states before, states behind) -> the gates of one step."""

    def lstm(x, before, behind):
        z = x @ w["kernel"] + before[0] @ w["recurrent_kernel"] + w["bias"]
        sees = (before if kind == "lstm previous" else behind)[1]
        return lstm_gates(w, z, before[1], sees)

    def layer_norm(x, before, behind):
        z = numpy_norm(x @ w["kernel"], w, "kernel_norm", 1e-3) + w["bias"]
        z += numpy_norm(before[0] @ w["recurrent_kernel"], w, "recurrent_norm", 1e-3)
        return lstm_gates(w, z, before[1], behind[1])

    def gru(x, before, behind):
        z = x @ w["kernel"] + before[0] @ w["recurrent_kernel"]
        z, r, _ = np.split(sigmoid(z + w["bias"].reshape(-1, 12).sum(0)), 3, axis=-1)
        return {"update": z, "reset": r}

    def minimal(x, before, behind):
        k = sigmoid(x @ w["kernel"] + w["bias"])
        if kind == "min gru":
            return {"update": k[:, :UNITS]}
        i, f, _ = np.split(k, 3, axis=-1)
        return {"input": i / (f + i), "forget": f / (f + i)}

    return {"lstm": lstm, "gru": gru, "min": minimal, "layer": layer_norm}[
        kind.split()[0]
    ]


GATED = {
    "lstm": (LSTM, {}, lstm_step),
    "lstm peephole": (LSTM, {"peephole": True}, lstm_step),
    "lstm previous": (
        LSTM,
        {"peephole": "previous"},
        lambda w: lstm_step(w, "previous"),
    ),
    "layer norm": (LayerNormLSTM, {}, layer_norm_step),
    "gru": (GRU, {}, lambda w: gru_step(w, True)),
    "gru reset before": (GRU, {"reset_after": False}, lambda w: gru_step(w, False)),
    "min gru": (MinGRU, {}, lambda w: minimal_step("gru", w)),
    "min lstm": (MinLSTM, {}, lambda w: minimal_step("lstm", w)),
}


def gated(kind, dtype="float64", **options):
    made, own, _ = GATED[kind]
    layer = made(UNITS, dtype=dtype, **own, **options)
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", GATED)
def test_gates_equal_numpy(kind, mask, go_backwards):
    layer, x = gated(kind, go_backwards=go_backwards), sequences()
    states = STATES[: len(keras.tree.flatten(layer.state_size))]
    found = gates(layer, x, initial_state=states, mask=MASKS[mask])
    real = np.ones((BATCH, TIME), bool) if mask == "none" else MASKS[mask]
    if go_backwards:
        x, real = x[:, ::-1], real[:, ::-1]
    w = weights_of(layer)
    step, gates_of = GATED[kind][2](w), numpy_gates(kind, w)
    for t in range(TIME):
        behind, here = step(x[:, t], states), real[:, t, None]
        expected = gates_of(x[:, t], states, behind)
        assert list(found) == list(expected)
        for name, gate in expected.items():
            gate = np.where(here, gate, np.nan)
            np.testing.assert_allclose(found[name][:, t], gate, atol=1e-12)
        states = [
            np.where(here, new, old) for new, old in zip(behind, states, strict=True)
        ]


def test_a_new_layer_is_built_and_starts_from_its_own_state():
    layer = GRU(UNITS, trainable_state=True)
    first = gates(layer, sequences())["update"]
    assert first.dtype == np.float32 and first.shape == (BATCH, TIME, UNITS)
    randomise(layer)
    own = [np.tile(layer.first_states[0], (BATCH, 1))]
    found, expected = (gates(layer, sequences(), s) for s in (None, own))
    np.testing.assert_array_equal(found["update"], expected["update"])
    assert not np.allclose(found["update"], first)


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_gates_of_half_precision_come_as_float32(dtype):
    mask = MASKS["padded"]
    for kind in GATED:
        found = gates(gated(kind, dtype), sequences(), mask=mask)
        expected = gates(gated(kind), sequences(), mask=mask)
        for name, gate in found.items():
            assert gate.dtype == np.float32
            np.testing.assert_allclose(gate, expected[name], atol=4e-2)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("go_backwards", [False, True])
def test_gates_of_a_stack_are_those_of_its_levels(go_backwards, mask):
    mask, options = MASKS[mask], {"dtype": "float64"}
    cells = [
        LSTMCell(UNITS, **options),
        GRUCell(UNITS, **options),
        MinGRUCell(UNITS, **options),
    ]
    stack = Stacked(cells, residual=True, go_backwards=go_backwards, **options)
    stack.build((BATCH, TIME, FEATURES))
    randomise(stack)
    start, x = [*STATES, STATES[1], STATES[0]], sequences()
    found = gates(stack, x, initial_state=start, mask=mask)
    assert list(found) == [
        *("level_0_input", "level_0_forget", "level_0_output"),
        *("level_1_update", "level_1_reset", "level_2_update"),
    ]
    for k, level in enumerate(stack.levels):
        own = stack.split_states(start)[k]
        for name, gate in gates(level, x, own, mask).items():
            np.testing.assert_allclose(found[f"level_{k}_{name}"], gate, atol=1e-12)
        if k < 2:
            y = level(x, initial_state=own, mask=mask)[0]
            x = y + x if k else y
        if level.go_backwards and mask is not None:
            mask = mask[:, ::-1]


def test_gates_of_no_steps():
    for layer in (LSTM(UNITS), Stacked([GRUCell(UNITS), MinGRUCell(UNITS)])):
        found = gates(layer, np.zeros((BATCH, 0, FEATURES)))
        assert {gate.shape for gate in found.values()} == {(BATCH, 0, UNITS)}


class OtherStep(LSTMCell):
    """Its gates would be those of another step."""

    def fast_step(self, multiply, x, states, weights, training=False):
        return super().fast_step(multiply, -x, states, weights, training)


@pytest.mark.parametrize(
    "layer, received",
    [
        (lambda: Elman(2), "a ElmanCell in 'elman"),
        (lambda: Jordan(2), "a JordanCell"),
        (lambda: FullyRecurrent(2), "a FullyRecurrentCell"),
        (lambda: Recurrent(OtherStep(2)), "a OtherStep"),
        (lambda: Recurrent(ZoneoutCell(GRUCell(2))), "a ZoneoutCell"),
        (lambda: Recurrent(keras.layers.LSTMCell(2)), "a LSTMCell"),
        (lambda: Stacked([GRUCell(2), ElmanCell(2)]), "a ElmanCell in 'level_1'"),
    ],
)
def test_a_cell_without_gates_is_refused(layer, received):
    with pytest.raises(ValueError, match=f"gates of their own.*received {received}"):
        gates(layer(), sequences())


def test_what_gates_cannot_take_is_refused():
    with pytest.raises(ValueError, match="gates expected one direction.*forward_layer"):
        gates(Bidirectional(GRU(2)), sequences())
    with pytest.raises(ValueError, match="gates expected one recurrent layer.*Dense"):
        gates(keras.layers.Dense(2), sequences())
    with pytest.raises(ValueError, match=r"\(batch, time\) = \(4, 5\), bool"):
        gates(GRU(2), sequences(), mask=np.ones((BATCH, TIME + 1), bool))


def test_saturation_counts_what_is_real():
    values = [[0.05, 0.1, 0.5, np.nan], [0.9, 0.91, 0.99, np.nan]]
    shares = saturation({"forget": np.array(values), "input": np.full(4, 0.2)})
    assert shares == {"forget": (1 / 6, 2 / 6), "input": (0, 0)}
    assert saturation({"forget": np.array(values)}, 0.5, 0.95)["forget"] == (
        2 / 6,
        1 / 6,
    )
    with pytest.raises(ValueError, match="gate 'reset'; received none but NaN"):
        saturation({"reset": np.full((2, 3), np.nan)})


# The norms of a model's gradients


def model_with(optimizer, dtype="float32", layer=None):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((TIME, FEATURES)),
            layer or GRU(UNITS, dtype=dtype, kernel_regularizer="l2"),
            keras.layers.Dense(1, dtype=dtype),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def batches(count=3):
    return [
        (normal(BATCH, TIME, FEATURES, seed=s), normal(BATCH, 1, seed=10 + s))
        for s in range(count)
    ]


def loss_and_norm(model, x, y, sample_weight=1.0):
    """The same in the open, with the loss written out."""
    with tf.GradientTape() as tape:
        error = sample_weight * (model(x, training=True) - y)[:, 0] ** 2
        loss = tf.reduce_mean(error) + sum(model.losses)
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    flat = np.concatenate([g.numpy().ravel() for g in gradients])
    return float(loss), np.linalg.norm(flat)


@pytest.mark.parametrize("kind", ["gru", "stacked", "bidirectional"])
def test_norms_are_those_of_all_gradients_together(kind):
    layer = {
        "gru": None,
        "stacked": Stacked([LSTMCell(UNITS), MinGRUCell(UNITS)], residual=True),
        "bidirectional": Bidirectional(Elman(UNITS)),
    }[kind]
    model = model_with("sgd", layer=layer)
    before = [w.numpy() for w in model.weights]
    losses, norms = gradient_norms(model, batches())
    expected = [loss_and_norm(model, x, y) for x, y in batches()]
    np.testing.assert_allclose(np.stack([losses, norms], -1), expected, rtol=1e-5)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


def test_sample_weights_and_datasets():
    model, weights = model_with("sgd"), np.array([0.0, 1.0, 2.0, 5.0], "float32")
    ((x, y),) = batches(1)
    data = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(BATCH)
    losses, norms = gradient_norms(model, data)
    loss, norm = loss_and_norm(model, x, y, weights)
    np.testing.assert_allclose([losses[0], norms[0]], [loss, norm], rtol=1e-5)


@pytest.mark.parametrize("clip", [None, 0.05])
def test_training_is_that_of_fit_with_norms_before_clipping(clip):
    ours, theirs = (
        model_with(keras.optimizers.SGD(0.1, global_clipnorm=clip)) for _ in range(2)
    )
    norms = gradient_norms(ours, batches(), train=True)[1]
    for place, (x, y) in enumerate(batches()):
        np.testing.assert_allclose(norms[place], loss_and_norm(theirs, x, y)[1], 1e-5)
        before = theirs.get_weights()
        theirs.fit(x, y, batch_size=BATCH, verbose=0)
        steps = [b - a for b, a in zip(before, theirs.get_weights(), strict=True)]
        step = np.linalg.norm(np.concatenate([s.ravel() for s in steps]))
        # what the optimizer did: its step is as long as the clipped gradient says
        clipped = norms[place] if clip is None else min(norms[place], clip)
        np.testing.assert_allclose(step, 0.1 * clipped, rtol=1e-4)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert clipped_share(norms, 0.05) == 1


def test_float16_is_measured_without_its_loss_scale():
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    plain = model_with(keras.optimizers.SGD(0.1))
    mixed = model_with(scaling, "mixed_float16")
    before = gradient_norms(plain, batches(), train=True)
    np.testing.assert_allclose(
        gradient_norms(mixed, batches(), train=True), before, rtol=2e-2
    )
    assert float(scaling.scale_loss(tf.ones([]))) > 1000
    for a, b in zip(mixed.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-2)


def test_rows_of_an_embedding_add_up_before_they_are_squared():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Embedding(4, 3),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1, use_bias=False),
        ]
    )
    model.compile("sgd", "mse")
    words = np.array([[1, 1, 1, 1, 2, 3]])
    _, norms = gradient_norms(model, [(words, np.array([[5.0]]))])
    embedding, dense = (w.numpy() for w in model.weights)
    mean = embedding[words[0]].mean(axis=0)
    error = 2 * (mean @ dense - 5)
    d_rows = np.outer(np.array([0, 4, 1, 1]) / 6, dense[:, 0]) * error
    expected = np.sqrt((d_rows**2).sum() + ((error * mean) ** 2).sum())
    np.testing.assert_allclose(norms, [expected], rtol=1e-5)


def test_share_counts_what_is_above_and_what_is_lost():
    assert clipped_share([0.5, 1.0, 1.5, 3.0], 1.0) == 0.5
    assert clipped_share([0.5, np.inf, np.nan, 0.2], 1.0) == 0.5
    with pytest.raises(ValueError, match="at least one norm"):
        clipped_share([], 1.0)


def test_a_model_that_is_not_compiled_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="expected a compiled model"):
        gradient_norms(model, batches())
