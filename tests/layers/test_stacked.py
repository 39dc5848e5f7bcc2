"""Stacked against one deep step in NumPy, against Keras, and against levels by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    GRU,
    LSTM,
    AttentionCell,
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    Elman,
    ElmanCell,
    GRUCell,
    LSTMCell,
    time_loop,
)
from saccade.layers.minimal import MinGRU, MinGRUCell, MinLSTMCell, Scan
from saccade.layers.stacked import Stacked

from .helpers import (
    BATCH,
    FEATURES,
    MASKS,
    TIME,
    UNITS,
    check_layer_gradients,
    fit_moves_all,
    normal,
    randomise,
    reload,
    reload_export,
    run_numpy,
    sigmoid,
    weights_of,
)

REGIONS, WIDTH = 6, 2
X = normal(BATCH, TIME, FEATURES)


def cells(**options):
    """LSTM below, GRU, Elman above: all of one size."""
    return [kind(UNITS, **options) for kind in (LSTMCell, GRUCell, ElmanCell)]


def make(layers=None, cell_options=None, **options):
    layer = Stacked(layers or cells(**(cell_options or {})), **options)
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


def some_states(layer, dtype="float32"):
    return [
        normal(BATCH, size, seed=10 + i, dtype=dtype)
        for i, size in enumerate(layer.state_size)
    ]


def all_equal(ours, theirs, atol=1e-6):
    ours, theirs = tf.nest.flatten(ours), tf.nest.flatten(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


# The numbers


def numpy_deep_step(layer):
    """The whole stack of `cells()`, one step: [output, *states] -> the same."""
    lstm, gru, elman = (weights_of(level) for level in layer.levels)

    def step(x, states):
        _, h_0, c_0, h_1, h_2 = states
        z = x @ lstm["kernel"] + h_0 @ lstm["recurrent_kernel"] + lstm["bias"]
        i, f, g, o = np.split(z, 4, axis=-1)
        c_0 = sigmoid(f) * c_0 + sigmoid(i) * np.tanh(g)
        h_0 = sigmoid(o) * np.tanh(c_0)
        y_0 = h_0
        a = y_0 @ gru["kernel"] + gru["bias"][0]
        b = h_1 @ gru["recurrent_kernel"] + gru["bias"][1]
        a_z, a_r, a_g = np.split(a, 3, axis=-1)
        b_z, b_r, b_g = np.split(b, 3, axis=-1)
        z = sigmoid(a_z + b_z)
        h_1 = z * h_1 + (1 - z) * np.tanh(a_g + sigmoid(a_r + b_r) * b_g)
        y_1 = h_1 + y_0 if layer.residual else h_1
        h_2 = y_1 @ elman["kernel"] + h_2 @ elman["recurrent_kernel"]
        h_2 = np.tanh(h_2 + elman["bias"])
        return [h_2 + y_1 if layer.residual else h_2, h_0, c_0, h_1, h_2]

    return step


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"return_sequences": True},
        {"return_sequences": True, "go_backwards": True},
        {"return_sequences": True, "zero_output_for_mask": True},
        {"return_sequences": True, "fast": False, "unroll": True},
        {},
        {"zero_output_for_mask": True, "go_backwards": True},
    ],
    ids="+".join,
)
def test_equals_numpy(mask, residual, options):
    layer = make(residual=residual, return_state=True, **options)
    states = some_states(layer)
    output, *last = layer(X, initial_state=states, mask=MASKS[mask])
    nothing = np.zeros((BATCH, UNITS), "float32")
    expected, (_, *expected_last) = run_numpy(
        numpy_deep_step(layer),
        X,
        [nothing, *states],
        MASKS[mask],
        options.get("go_backwards", False),
        options.get("zero_output_for_mask", False),
    )
    if not layer.return_sequences:
        expected = expected[:, -1]
    all_equal([output, *last], [expected, *expected_last])


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "options",
    [{}, {"return_sequences": True, "go_backwards": True}, {"return_state": True}],
    ids=lambda options: "+".join(options) or "plain",
)
def test_equals_keras_with_its_weights(mask, options):
    ours = make([LSTMCell(UNITS), GRUCell(5), ElmanCell(3)], **options)
    kinds = [keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell]
    theirs = keras.layers.RNN(
        [kind(size) for kind, size in zip(kinds, (UNITS, 5, 3), strict=True)], **options
    )
    theirs.build((BATCH, TIME, FEATURES))
    theirs.set_weights(ours.get_weights())
    by_level = ours.split_states(some_states(ours))
    for start in (None, by_level):
        call = {"initial_state": start, "mask": MASKS[mask]}
        all_equal(ours(X, **call), theirs(X, **call))


@pytest.mark.parametrize("mask", MASKS)
def test_equals_layers_by_hand(mask):
    options = {"return_sequences": True, "return_state": True}
    stack = make([LSTMCell(UNITS), ElmanCell(3)], **options)
    lower, upper = LSTM(UNITS, **options), Elman(3, **options)
    between, *states = lower(X, mask=MASKS[mask])
    upper(between)
    weights = stack.get_weights()
    lower.set_weights(weights[:3])
    upper.set_weights(weights[3:])
    between, *states = lower(X, mask=MASKS[mask])
    above, h = upper(between, mask=MASKS[mask])
    for ours, theirs in zip(
        stack(X, mask=MASKS[mask]), [above, *states, h], strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_one_level_is_the_layer_itself():
    stack, alone = make([GRUCell(UNITS)], residual=True), GRU(UNITS)
    alone.build(X.shape)
    alone.set_weights(stack.get_weights())
    np.testing.assert_array_equal(stack(X), alone(X))


def test_keras_cells_and_layers_take_part():
    layers = [LSTM(UNITS), keras.layers.GRUCell(UNITS), keras.layers.LSTM(UNITS)]
    theirs = make(layers)
    assert theirs.levels[0].cell is layers[0].cell
    ours = make([LSTMCell(UNITS), GRUCell(UNITS), LSTMCell(UNITS)])
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(theirs(X), ours(X), atol=1e-6)


def test_gradients():
    double = {"dtype": "float64"}
    layer = Stacked(
        [GRUCell(2, **double), LSTMCell(2, **double)],
        residual=True,
        return_sequences=True,
        return_state=True,
        **double,
    )
    layer.build((BATCH, 3, 2))
    randomise(layer)
    x = normal(BATCH, 3, 2, dtype="float64")
    mask = MASKS["padded"][:, 1:4]
    check_layer_gradients(layer, x, some_states(layer, "float64"), mask=mask)


@pytest.mark.parametrize("mask", MASKS)
def test_fast_equals_slow_with_all_gradients(mask):
    results = []
    for fast in (True, False):
        layer = make(residual=True, return_sequences=True, return_state=True, fast=fast)
        x, states = tf.constant(X), [tf.constant(s) for s in some_states(layer)]
        with tf.GradientTape() as tape:
            tape.watch([x, states])
            outputs = layer(x, initial_state=states, mask=MASKS[mask], training=True)
            value = sum(tf.reduce_sum(o * o) for o in outputs)
        sources = [x, states, [w.value for w in layer.trainable_weights]]
        results.append([outputs, tape.gradient(value, sources)])
    all_equal(results[0], results[1], atol=1e-4)
    all_equal(results[0][0], results[1][0])


# States


def test_states_go_in_flat_and_by_level():
    layer = make(return_state=True)
    flat = some_states(layer)
    assert layer.state_size == [UNITS] * 4
    by_level = layer.split_states(flat)
    assert [len(level) for level in by_level] == [2, 1, 1]
    assert by_level[0][0] is flat[0]
    assert by_level[1][0] is flat[2]
    assert layer.split_states(by_level)[2][0] is flat[3]
    all_equal(layer(X, initial_state=flat), layer(X, initial_state=by_level), atol=0)
    mixed = [by_level[0], flat[2], flat[3]]
    all_equal(layer(X, initial_state=flat), layer(X, initial_state=mixed), atol=0)


def test_states_go_in_by_name():
    layer = make([LSTMCell(UNITS), GRUCell(3), LSTMCell(3)], return_state=True)
    names = ["level_0_h", "level_0_c", "level_1_h", "level_2_h", "level_2_c"]
    assert layer.state_names == names
    states = some_states(layer)
    expected = layer(X, initial_state=states)
    # Sorted, as Keras flattens a dict, a c stands before its h.
    named = dict(sorted(zip(names, states, strict=True)))
    all_equal(layer(X, initial_state=named), expected)
    output, new = layer.step(X[:, 0], named)
    again, expected = layer.step(X[:, 0], states)
    all_equal([output, *new], [again, *expected])


def test_states_by_name_are_inputs_of_a_model():
    layer = make(return_sequences=True, return_state=True)
    x = keras.Input((None, FEATURES), name="x")
    pairs = zip(layer.state_names, layer.state_size, strict=True)
    states = {name: keras.Input((size,), name=name) for name, size in pairs}
    output, *new = layer(x, initial_state=states)
    new = dict(zip(layer.state_names, new, strict=True))
    model = keras.Model({"x": x, **states}, {"output": output, **new})
    given = some_states(layer)
    named = dict(zip(layer.state_names, given, strict=True))
    result = model({"x": X, **named})
    expected, *last = layer(X, initial_state=given)
    all_equal(result["output"], expected)
    all_equal([result[name] for name in layer.state_names], last)


def test_a_third_state_has_a_number():
    class ThreeStates(keras.layers.Layer):
        state_size, output_size = [2, 2, 2], 2

        def call(self, inputs, states):
            return states[0], list(states)

    layer = Stacked([ThreeStates(), GRUCell(3)])
    names = ["level_0_h", "level_0_c", "level_0_2", "level_1_h"]
    assert layer.state_names == names


@pytest.mark.parametrize("residual", [False, True])
def test_step_loop_equals_call(residual):
    layer = make(residual=residual, return_sequences=True, return_state=True)
    states = some_states(layer)
    whole, *last = layer(X, initial_state=states)
    for t in range(TIME):
        output, states = layer.step(X[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-6)
    all_equal(states, last)


def test_windows_with_explicit_state_equal_one_call():
    layer = make(residual=True, return_sequences=True, return_state=True)
    whole, *last = layer(X)
    first, *states = layer(X[:, :2], initial_state=layer.get_initial_state(BATCH))
    second, *states = layer(X[:, 2:], initial_state=states)
    all_equal([np.concatenate([first, second], 1), *states], [whole, *last])


def test_stateful_remembers_every_level():
    plain = make(return_sequences=True, return_state=True)
    layer = make(return_sequences=True, stateful=True)
    assert Stacked(cells(), stateful=True).states is None
    whole, *last = plain(X)
    for _ in range(2):
        parts = [layer(X[:, :2]), layer(X[:, 2:])]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
        all_equal([s.value for s in layer.states], last)
        layer.reset_states()


# Resets


RESET = np.zeros((BATCH, TIME), bool)
RESET[0, 0] = RESET[1, 3] = RESET[2, [1, 3]] = RESET[3, 2] = True


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_row_with_resets_equals_its_pieces_alone(mask, go_backwards, training):
    layer = make(
        [LSTMCell(UNITS), MinGRUCell(UNITS), ElmanCell(UNITS)],
        residual=True,
        go_backwards=go_backwards,
        zero_output_for_mask=True,
        return_sequences=True,
        return_state=True,
    )
    mask = np.ones((BATCH, TIME), bool) if MASKS[mask] is None else MASKS[mask]
    call, states = {"training": training}, some_states(layer)
    outputs, *last = layer(X, initial_state=states, mask=mask, reset_mask=RESET, **call)
    for row in range(BATCH):
        order = np.arange(TIME)[:: -1 if go_backwards else 1]
        alone = []
        for piece in np.split(order, np.flatnonzero(RESET[row, order])):
            here = np.ix_([row], np.sort(piece))
            start = None  # of a piece behind a reset: the layer's own
            if order[0] in piece and not RESET[row, order[0]]:
                start = [s[[row]] for s in states]
            if len(piece):
                y, *end = layer(X[here], initial_state=start, mask=mask[here], **call)
                alone.append(y[0])
        np.testing.assert_allclose(outputs[row], np.concatenate(alone), atol=1e-6)
        all_equal([s[row] for s in last], [s[0] for s in end])


def test_no_gradient_passes_a_reset():
    layer = make([LSTMCell(UNITS), MinGRUCell(UNITS)], return_sequences=True)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, reset_mask=RESET, training=True)
        value = tf.reduce_sum(outputs[:, 3:] ** 2)
    reached = np.any(tape.gradient(value, x) != 0, axis=-1)
    rows = [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
    np.testing.assert_array_equal(reached, np.array(rows, bool))


def test_resets_are_an_input_of_a_model():
    x, reset = keras.Input((None, FEATURES)), keras.Input((None,), dtype="bool")
    layer = make(return_sequences=True)
    model = keras.Model([x, reset], layer(x, reset_mask=reset))
    expected = layer(X, reset_mask=RESET)
    np.testing.assert_allclose(model([X, RESET]), expected, atol=1e-6)
    assert not np.allclose(expected, layer(X), atol=1e-2)


# Levels that scan


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("go_backwards", [False, True])
def test_a_minimal_level_is_one_scan(mask, go_backwards, monkeypatch):
    layers = [MinGRUCell(UNITS), MinGRU(UNITS), MinLSTMCell(UNITS)]
    options = {"return_sequences": True, "return_state": True}
    layer = make(layers, residual=True, go_backwards=go_backwards, **options)
    call = {"initial_state": some_states(layer), "mask": MASKS[mask]}
    for level in layer.levels:
        level.parallel = False
    expected = layer(X, **call)
    for level in layer.levels:
        assert isinstance(level, Scan)
        level.parallel = True
    monkeypatch.setattr(time_loop, "run", None)  # from here on nothing loops
    all_equal(layer(X, **call), expected)


def test_a_cell_with_a_step_of_its_own_does_not_scan():
    class Halved(MinGRUCell):
        def call(self, inputs, states, training=False):
            output, states = super().call(inputs, states, training)
            return output / 2, states

    half, whole = make([Halved(UNITS)]), make([MinGRUCell(UNITS)])
    np.testing.assert_allclose(half(X), whole(X) / 2, atol=1e-6)


# Memory


def reading():
    """Plain below, attention in the middle, a cell that reads nothing above."""
    attention = AttentionCell(GRUCell(UNITS), BahdanauAttention(3))
    layer = Stacked(
        [LSTMCell(UNITS), attention, ElmanCell(UNITS)],
        residual=True,
        return_sequences=True,
        return_state=True,
    )
    layer.build((None, None, FEATURES), memory_shape=(None, REGIONS, WIDTH))
    return randomise(layer)


REGIONS_MASK = np.arange(REGIONS) < np.array([[6], [4], [3], [1]])


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("memory_mask", [None, REGIONS_MASK])
def test_attention_at_a_level_by_hand(mask, memory_mask):
    layer, memory = reading(), normal(BATCH, REGIONS, WIDTH, seed=5)
    below, look, above = layer.levels
    states = some_states(layer)
    read = {"memory": memory, "memory_mask": memory_mask}
    result = layer(X, initial_state=states, mask=MASKS[mask], **read)
    y_0, *s_0 = below(X, initial_state=states[:2], mask=MASKS[mask])
    h, *s_1 = look(y_0, initial_state=states[2:3], mask=MASKS[mask], **read)
    assert h.shape == (*X.shape[:2], UNITS)
    y_1 = h + y_0
    y_2, *s_2 = above(y_1, initial_state=states[3:], mask=MASKS[mask])
    all_equal(result, [y_2 + y_1, *s_0, *s_1, *s_2])


def test_steps_with_a_memory_equal_the_call():
    layer, memory = reading(), normal(BATCH, REGIONS, WIDTH, seed=5)
    whole, *last = layer(X, memory=memory, memory_mask=REGIONS_MASK)
    prepared = layer.prepare_memory(memory, REGIONS_MASK)
    assert prepared[0] is None and prepared[2] is None
    states = layer.get_initial_state(BATCH)
    for t in range(TIME):
        output, states = layer.step(X[:, t], states, prepared)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-6)
    all_equal(states, last)


def test_every_level_that_reads_gets_the_memory():
    layer = Stacked([ConditionedCell(kind(UNITS)) for kind in (LSTMCell, GRUCell)])
    vector = normal(BATCH, WIDTH)
    layer(X, memory=vector)
    randomise(layer)
    repeated = np.repeat(vector[:, None], TIME, axis=1)
    lower, upper = LSTM(UNITS, return_sequences=True), GRU(UNITS)
    between = lower(np.concatenate([X, repeated], axis=-1))
    upper(np.concatenate([between, repeated], axis=-1))
    lower.set_weights(layer.get_weights()[:3])
    upper.set_weights(layer.get_weights()[3:])
    between = lower(np.concatenate([X, repeated], axis=-1))
    expected = upper(np.concatenate([between, repeated], axis=-1))
    np.testing.assert_allclose(layer(X, memory=vector), expected, atol=1e-6)


# Dropout between levels


def echo(**options):
    """Ones from the lower level; the upper gives back what it reads."""
    linear = {"activation": "linear", "recurrent_initializer": "zeros"}
    lower = ElmanCell(50, kernel_initializer="zeros", bias_initializer="ones", **linear)
    upper = ElmanCell(50, kernel_initializer="identity", **linear)
    return Stacked([lower, upper], dropout=0.25, return_sequences=True, **options)


def test_dropout_is_drawn_for_each_element_and_step():
    x = normal(BATCH, 20, FEATURES)
    outputs = np.array(echo()(x, training=True))
    dropped = outputs == 0
    np.testing.assert_allclose(outputs[~dropped], 1 / 0.75, rtol=1e-6)
    assert abs(dropped.mean() - 0.25) < 0.03
    assert not np.equal(dropped[:, 1:], dropped[:, :-1]).all(axis=(0, 2)).any()
    assert not np.equal(dropped[1:], dropped[:-1]).all(axis=(1, 2)).any()
    np.testing.assert_array_equal(echo()(x), np.ones_like(outputs))


def test_the_lowest_input_is_not_dropped():
    layer = make([ElmanCell(UNITS)], dropout=0.5, return_sequences=True)
    np.testing.assert_allclose(layer(X, training=True), layer(X), atol=1e-6)


def test_the_residual_path_is_not_dropped():
    outputs = np.array(echo(residual=True)(X, training=True))
    values = np.unique(outputs.round(4))
    np.testing.assert_allclose(values, [1, 1 + 1 / 0.75], atol=1e-4)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_locked_dropout_draws_one_mask_for_all_steps(jit):
    layer, x = echo(locked_dropout=True), normal(BATCH, 20, FEATURES)
    layer.build(x.shape)
    call = tf.function(lambda x: layer(x, training=True), jit_compile=jit)
    outputs = np.array(call(x))
    dropped = outputs == 0
    np.testing.assert_allclose(outputs[~dropped], 1 / 0.75, rtol=1e-6)
    assert abs(dropped.mean() - 0.25) < 0.1  # of 4 rows of 50 units
    assert np.equal(dropped, dropped[:, :1]).all()
    assert not np.equal(dropped[1:], dropped[:-1]).all(axis=(1, 2)).any()
    assert not np.array_equal(outputs, call(x))  # the next call draws anew
    np.testing.assert_array_equal(layer(x), np.ones_like(outputs))


def test_locked_dropout_of_levels_of_different_sizes():
    options = {"dropout": 0.5, "locked_dropout": True, "return_sequences": True}
    layer = make([GRUCell(5), LSTMCell(3), ElmanCell(2)], **options)
    assert layer(X, training=True).shape == (BATCH, TIME, 2)


@pytest.mark.parametrize("locked_dropout", [False, True])
def test_steps_in_training_drop_too(locked_dropout):
    layer = echo(locked_dropout=locked_dropout)
    layer.build((BATCH, None, FEATURES))
    states = layer.get_initial_state(BATCH)
    values = np.unique(layer.step(X[:, 0], states, training=True)[0])
    np.testing.assert_allclose(values, [0, 1 / 0.75], rtol=1e-6)
    assert not (layer.step(X[:, 0], states)[0] == 0).numpy().any()


def test_a_seed_fixes_the_dropout():
    first, second, other = echo(seed=3), echo(seed=3), echo(seed=4)
    np.testing.assert_array_equal(first(X, training=True), second(X, training=True))
    assert not np.array_equal(first(X, training=True), other(X, training=True))


# Masks in functional models


TOKENS = np.array(
    [[3, 1, 2, 0, 0], [0, 0, 4, 1, 2], [1, 0, 3, 0, 4], [0, 0, 0, 0, 0]], "int32"
)
REAL = TOKENS != 0


@keras.saving.register_keras_serializable(package="saccade_tests")
class ArrivingMask(keras.layers.Layer):
    """Shows which mask arrives."""

    supports_masking = True

    def compute_mask(self, x, mask=None):
        return None

    def call(self, x, mask=None):
        if mask is None:
            raise ValueError("no mask arrived")
        return keras.ops.cast(mask, "float32")


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("given", ["nothing", "flat", "levels"])
def test_an_embeddings_mask_reaches_every_level_and_the_next_layer(given, go_backwards):
    tokens = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(5, FEATURES, mask_zero=True)
    layer = Stacked(cells(), return_sequences=True, go_backwards=go_backwards)
    starts = [keras.Input((UNITS,)) for _ in layer.state_size]
    states = {
        "nothing": None,
        "flat": starts,
        "levels": [starts[:2], starts[2:3], starts[3]],
    }[given]
    outputs = layer(embedding(tokens), initial_state=states)
    inputs = [tokens] if states is None else [tokens, *starts]
    model = keras.Model(inputs, [outputs, ArrivingMask()(outputs)])
    randomise(model)
    zeros = [np.zeros((BATCH, UNITS), "float32") for _ in inputs[1:]]
    result, visible = model([TOKENS, *zeros])
    embedded = np.array(embedding(TOKENS))
    np.testing.assert_allclose(result, layer(embedded, mask=REAL), atol=1e-6)
    assert not np.allclose(result, layer(embedded)), "the mask does not matter"
    order = slice(None, None, -1 if go_backwards else 1)
    np.testing.assert_array_equal(visible, REAL[:, order])


def test_states_and_last_outputs_carry_no_mask():
    embedding = keras.layers.Embedding(5, FEATURES, mask_zero=True)
    embedded = embedding(keras.Input((None,), dtype="int32"))
    outputs, *states = make(return_sequences=True, return_state=True)(embedded)
    assert outputs._keras_mask is not None
    last = make()(embedded)
    assert all(getattr(s, "_keras_mask", None) is None for s in [last, *states])


# Keras' services


def model_of(**options):
    x, memory = keras.Input((None, FEATURES)), keras.Input((None, WIDTH))
    attention = AttentionCell(GRUCell(UNITS), BahdanauAttention(3))
    layer = Stacked([LSTMCell(UNITS), attention], return_sequences=True, **options)
    return randomise(keras.Model([x, memory], layer(x, memory=memory)))


DATA = [X, normal(BATCH, REGIONS, WIDTH, seed=5)]


def test_symbolic_shapes_equal_those_of_the_numbers():
    for options in ({}, {"return_sequences": True}, {"return_state": True}):
        layer = Stacked([LSTMCell(UNITS), GRUCell(3)], **options)
        symbolic = layer(keras.Input((TIME, FEATURES), batch_size=BATCH))
        real = layer(X)
        assert tf.nest.map_structure(lambda t: tuple(t.shape), symbolic) == (
            tf.nest.map_structure(lambda t: tuple(t.shape), real)
        )


def test_keras_file_round_trip(tmp_path):
    dropout = {"dropout": 0.3, "locked_dropout": True, "seed": 4}
    model = model_of(residual=True, go_backwards=True, **dropout)
    again = reload(model, tmp_path)
    np.testing.assert_array_equal(again(DATA), model(DATA))
    config = again.layers[-1].get_config()
    assert config["residual"] is True
    assert {key: config[key] for key in dropout} == dropout


def test_config_keeps_every_option():
    options = {
        "return_sequences": True,
        "return_state": True,
        "stateful": True,
        "unroll": True,
        "zero_output_for_mask": True,
        "fast": False,
        "name": "deep",
        "activity_regularizer": keras.regularizers.L2(0.5),
    }
    config = Stacked(cells(), **options).get_config()
    again = Stacked.from_config(config)
    assert again.get_config() == config
    assert again.activity_regularizer.l2 == 0.5
    for level in again.levels:
        assert level.stateful and level.unroll and not level.fast
        assert level.zero_output_for_mask


def test_export_answers_without_our_code(tmp_path):
    model = model_of(residual=True)
    signature = [
        tf.TensorSpec((None, None, size), tf.float32) for size in (FEATURES, WIDTH)
    ]
    export = reload_export(model, tmp_path, signature)
    np.testing.assert_allclose(export.serve(*DATA), model(DATA), atol=1e-6)


def test_xla_equals_plain():
    layer = make(residual=True, return_sequences=True, return_state=True)
    compiled = tf.function(
        lambda x, mask: layer(x, mask=mask, training=True), jit_compile=True
    )
    plain = layer(X, mask=MASKS["padded"], training=True)
    all_equal(compiled(X, MASKS["padded"]), plain)


def test_fit_moves_every_weight_under_xla():
    x = keras.Input((None, FEATURES))
    layer = Stacked(cells()[1:], residual=True, dropout=0.1, return_sequences=True)
    fit_moves_all(keras.Model(x, layer(x)), X, jit=True)


def test_mixed_precision():
    exact = make(residual=True, return_sequences=True)
    half = {"dtype": "mixed_float16"}
    layer = make(cell_options=half, residual=True, return_sequences=True, **half)
    output = layer(X, mask=MASKS["padded"], training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "float16"
    expected = exact(X, mask=MASKS["padded"])
    np.testing.assert_allclose(tf.cast(output, tf.float32), expected, atol=0.02)


# Errors


def test_sizes_that_do_not_add_up_are_an_error():
    with pytest.raises(ValueError, match=r"levels of one size; received sizes \[4, 3"):
        Stacked([LSTMCell(4), GRUCell(3)], residual=True)


def test_wrong_lists_of_cells_are_errors():
    cell = LSTMCell(UNITS)
    with pytest.raises(ValueError, match="at least one cell"):
        Stacked([])
    with pytest.raises(ValueError, match="same cell twice"):
        Stacked([cell, cell])
    with pytest.raises(ValueError, match="with go_backwards=True. Give that option"):
        Stacked([cell, LSTM(UNITS, go_backwards=True)])
    with pytest.raises(ValueError, match="Name its cell: AttentionCell"):
        Stacked([AttentionRNN(GRUCell(3), BahdanauAttention(3))])
    with pytest.raises(ValueError, match="Stacked expected a cell, an object with"):
        Stacked([cell, keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="StackedRNNCells one by one"):
        Stacked([keras.layers.StackedRNNCells([cell, GRUCell(3)])])


def test_a_wrong_number_of_states_is_an_error():
    layer = make(name="deep")
    expected = r"'deep' expected 4 states, .* \(2 of LSTMCell, 1 of GRUCell, .*ed 3"
    with pytest.raises(ValueError, match=expected):
        layer(X, initial_state=some_states(layer)[:3])


def test_wrong_names_of_states_are_an_error():
    layer = make([LSTMCell(3), GRUCell(3)], name="deep")
    names = ["level_0_h", "c", "level_1_h"]
    states = dict(zip(names, some_states(layer), strict=True))
    expected = r"'level_0_h', 'level_0_c', 'level_1_h'\]; received .*'c'"
    with pytest.raises(ValueError, match=expected):
        layer(X, initial_state=states)


def test_memories_that_are_missing_or_not_read_are_errors():
    with pytest.raises(ValueError, match="the cell of no level reads one"):
        Stacked(cells())(X, memory=DATA[1])
    with pytest.raises(ValueError, match="'level_1' expected `memory=`"):
        Stacked([GRUCell(3), ConditionedCell(GRUCell(3))])(X)
