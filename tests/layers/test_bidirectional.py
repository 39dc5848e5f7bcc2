"""Bidirectional against two directions in NumPy, and against two layers by hand."""

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
    GRUCell,
    LSTMCell,
    Recurrent,
)
from saccade.layers.bidirectional import Bidirectional
from saccade.layers.minimal import MinLSTM, MinLSTMCell
from saccade.layers.stacked import Stacked

from .helpers import (
    BATCH,
    FEATURES,
    MASKS,
    TIME,
    UNITS,
    check_gradients,
    fit_moves_all,
    normal,
    randomise,
    reload,
    reload_export,
    weights_of,
)

X = normal(BATCH, TIME, FEATURES)
REAL = MASKS["padded"]
MODES = {
    "concat": lambda f, b: np.concatenate([f, b], axis=-1),
    "sum": lambda f, b: f + b,
    "mul": lambda f, b: f * b,
    "ave": lambda f, b: (f + b) / 2,
    None: lambda f, b: [f, b],
}
LAYERS = {
    "elman": lambda **options: Elman(UNITS, **options),
    "lstm": lambda **options: LSTM(UNITS, peephole=True, **options),
    "gru": lambda **options: GRU(UNITS, **options),
    "recurrent": lambda **options: Recurrent(GRUCell(UNITS), **options),
    "stacked": lambda **options: Stacked(
        [LSTMCell(UNITS), GRUCell(UNITS)], residual=True, **options
    ),
    "keras": lambda **options: keras.layers.LSTM(UNITS, **options),
}
each_layer = pytest.mark.parametrize("kind", LAYERS)


def make(kind, merge_mode="concat", **options):
    layer = Bidirectional(LAYERS[kind](**options), merge_mode)
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


def some_states(layer, dtype="float32"):
    sizes = [*layer.forward_layer.state_size, *layer.backward_layer.state_size]
    return [normal(BATCH, n, seed=10 + i, dtype=dtype) for i, n in enumerate(sizes)]


def all_equal(ours, theirs, atol=1e-6):
    ours, theirs = tf.nest.flatten(ours), tf.nest.flatten(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


# The numbers


def numpy_reading(layer, row, h, steps):
    """One row of an Elman layer over these steps: outputs (time, units), last state."""
    w, outputs = weights_of(layer), np.zeros((len(row), UNITS), "float32")
    for t in steps:
        h = np.tanh(row[t] @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"])
        outputs[t] = h
    return outputs, h


def numpy_bidirectional(layer, x, states, mask):
    """Every row by itself: only its real steps, forwards, then backwards."""
    rows = []
    for i, row in enumerate(x):
        real = np.arange(len(row)) if mask is None else np.flatnonzero(mask[i])
        f, last_f = numpy_reading(layer.forward_layer, row, states[0][i], real)
        b, last_b = numpy_reading(layer.backward_layer, row, states[1][i], real[::-1])
        rows.append((f, b, last_f, last_b, real))
    return rows


@pytest.mark.parametrize("merge_mode", MODES)
@pytest.mark.parametrize("mask", MASKS)
def test_equals_numpy(merge_mode, mask):
    layer = make("elman", merge_mode, return_sequences=True, return_state=True)
    states = some_states(layer)
    result = layer(X, initial_state=states, mask=MASKS[mask])
    rows = numpy_bidirectional(layer, X, states, MASKS[mask])
    f, b, last_f, last_b = (np.stack([row[i] for row in rows]) for i in range(4))
    all_equal(result, [MODES[merge_mode](f, b), last_f, last_b])


@pytest.mark.parametrize("merge_mode", MODES)
@pytest.mark.parametrize("mask", MASKS)
def test_last_outputs_equal_numpy(merge_mode, mask):
    """After the last real step forwards, after the first backwards."""
    layer = make("elman", merge_mode)
    states = [np.zeros((BATCH, UNITS), "float32")] * 2
    rows = numpy_bidirectional(layer, X, states, MASKS[mask])
    f, b = (np.stack([row[i] for row in rows]) for i in (2, 3))
    all_equal(layer(X, mask=MASKS[mask]), MODES[merge_mode](f, b))


@each_layer
@pytest.mark.parametrize("mask", MASKS)
def test_equals_two_layers_by_hand(kind, mask):
    options = {"return_sequences": True, "return_state": True}
    layer = make(kind, **options)
    by_hand = {"zero_output_for_mask": True, **options}
    forward, backward = LAYERS[kind](**by_hand), LAYERS[kind](**by_hand)
    weights = layer.get_weights()
    for part, values in (
        (forward, weights[: len(weights) // 2]),
        (backward, weights[len(weights) // 2 :]),
    ):
        part.build(X.shape)
        part.set_weights(values)
    states = some_states(layer)
    half = len(states) // 2
    mask = MASKS[mask]
    result = layer(X, initial_state=states, mask=mask)
    f, *s_f = forward(X, initial_state=states[:half], mask=mask)
    turned = None if mask is None else mask[:, ::-1]
    b, *s_b = backward(X[:, ::-1], initial_state=states[half:], mask=turned)
    merged = np.concatenate([np.array(f), np.array(b)[:, ::-1]], axis=-1)
    all_equal(result, [merged, *s_f, *s_b])


@each_layer
def test_a_padded_row_equals_the_row_alone(kind):
    layer = make(kind, return_sequences=True, return_state=True)
    outputs, *states = layer(X, mask=REAL)
    for row in range(3):
        alone, *last = layer(X[row : row + 1, REAL[row]])
        np.testing.assert_allclose(np.array(outputs)[row, REAL[row]], alone[0], 0, 1e-6)
        all_equal([s[row : row + 1] for s in states], last)
    assert (np.array(outputs)[~REAL] == 0).all()


def test_gradients():
    inner = GRU(2, return_sequences=True, return_state=True, dtype="float64")
    layer = Bidirectional(inner, "mul", dtype="float64")
    x = normal(BATCH, 4, 2, dtype="float64")
    layer.build(x.shape)
    randomise(layer)
    states = some_states(layer, "float64")
    mixes = [normal(BATCH, 4, 2, seed=8), *(normal(BATCH, 2, seed=s) for s in (6, 7))]

    def function(tensors):
        x, start, values = tensors[0], tensors[1:3], tensors[3:]
        rest = [w.value for w in layer.non_trainable_variables]
        results, _ = layer.stateless_call(
            values, rest, x, initial_state=start, mask=REAL[:, 1:]
        )
        return sum(tf.reduce_sum(r * m) for r, m in zip(results, mixes, strict=True))

    check_gradients(
        function, [x, *states, *[w.numpy() for w in layer.trainable_weights]]
    )


@pytest.mark.parametrize("mask", MASKS)
def test_fast_equals_slow_with_all_gradients(mask):
    results = []
    for fast in (True, False):
        layer = make("stacked", return_sequences=True, return_state=True, fast=fast)
        x, states = tf.constant(X), [tf.constant(s) for s in some_states(layer)]
        with tf.GradientTape() as tape:
            tape.watch([x, states])
            outputs = layer(x, initial_state=states, mask=MASKS[mask], training=True)
            value = sum(tf.reduce_sum(o * o) for o in outputs)
        sources = [x, states, [w.value for w in layer.trainable_weights]]
        results.append([outputs, tape.gradient(value, sources)])
    all_equal(results[0][0], results[1][0])
    all_equal(results[0][1], results[1][1], atol=1e-4)


# Resets


RESET = np.zeros((BATCH, TIME), bool)
RESET[0, 0] = RESET[1, 3] = RESET[2, [1, 3]] = RESET[3, 2] = True
RESETTABLE = {
    **{kind: make for kind, make in LAYERS.items() if kind != "keras"},
    "min-lstm": lambda **options: MinLSTM(UNITS, **options),
    "stacked-min-lstm": lambda **options: Stacked(
        [MinLSTMCell(UNITS), GRUCell(UNITS)], **options
    ),
}


@pytest.mark.parametrize("kind", RESETTABLE)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("training", [False, True])
def test_a_row_with_resets_equals_its_pieces_alone(kind, mask, training):
    """In both directions: forwards from its start, backwards from its end."""
    layer = Bidirectional(RESETTABLE[kind](return_sequences=True, return_state=True))
    layer.build(X.shape)
    randomise(layer)
    mask = np.ones((BATCH, TIME), bool) if MASKS[mask] is None else MASKS[mask]
    states = some_states(layer)
    outputs, *last = layer(
        X, initial_state=states, mask=mask, reset_mask=RESET, training=training
    )
    half = len(states) // 2
    for row in range(BATCH):
        borders = [t for t in np.flatnonzero(RESET[row]) if t > 0]
        pieces = np.split(np.arange(TIME), borders)
        alone, ends = [], []
        for piece in pieces:
            here = np.ix_([row], piece)
            start = [s[[row]].copy() for s in states]
            if 0 not in piece or RESET[row, 0]:  # behind a reset: the layer's own
                start[:half] = [0 * s for s in start[:half]]
            if TIME - 1 not in piece:
                start[half:] = [0 * s for s in start[half:]]
            y, *end = layer(
                X[here], initial_state=start, mask=mask[here], training=training
            )
            alone.append(y[0])
            ends.append([s[0] for s in end])
        np.testing.assert_allclose(outputs[row], np.concatenate(alone), atol=1e-6)
        expected = [*ends[-1][:half], *ends[0][half:]]
        all_equal([s[row] for s in last], expected)


def test_the_last_outputs_of_a_row_with_resets():
    """Of its last piece forwards, of its first piece backwards."""
    layer = make("gru")
    f, b = np.split(layer(X, reset_mask=RESET), 2, axis=-1)
    last, first = layer(X[2:3, 3:]), layer(X[2:3, :1])
    np.testing.assert_allclose(f[2], last[0, :UNITS], atol=1e-6)
    np.testing.assert_allclose(b[2], first[0, UNITS:], atol=1e-6)


def test_resets_are_an_input_of_a_model():
    x, reset = keras.Input((None, FEATURES)), keras.Input((None,), dtype="bool")
    layer = make("stacked", return_sequences=True)
    model = keras.Model([x, reset], layer(x, reset_mask=reset))
    expected = layer(X, reset_mask=RESET)
    np.testing.assert_allclose(model([X, RESET]), expected, atol=1e-6)
    assert not np.allclose(expected, layer(X), atol=1e-2)


def test_resets_for_a_layer_that_takes_none_are_an_error():
    with pytest.raises(ValueError, match="LSTM 'forward_deaf' takes none"):
        Bidirectional(keras.layers.LSTM(3, name="deaf"))(X, reset_mask=RESET)


# Two layers that differ


def unequal(merge_mode, **options):
    backward = GRU(3, go_backwards=True, **options)
    layer = Bidirectional(LSTM(UNITS, **options), merge_mode, backward_layer=backward)
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


@pytest.mark.parametrize("merge_mode", ["concat", None])
def test_the_directions_may_differ(merge_mode):
    layer = unequal(merge_mode, return_sequences=True, return_state=True)
    states = some_states(layer)
    assert [s.shape[1] for s in states] == [UNITS, UNITS, 3]
    result = layer(X, initial_state=states, mask=REAL)
    f, *s_f = layer.forward_layer(X, initial_state=states[:2], mask=REAL)
    b, *s_b = layer.backward_layer(X, initial_state=states[2:], mask=REAL)
    merged = MODES[merge_mode](np.array(f), np.array(b)[:, ::-1])
    all_equal(result, [merged, *s_f, *s_b])
    shapes = [tuple(t.shape) for t in tf.nest.flatten(result)]
    assert [*layer.compute_output_shape(X.shape)] == shapes


def test_sizes_that_cannot_be_merged_are_an_error():
    with pytest.raises(ValueError, match="received sizes 4 forwards and 3 backwards"):
        unequal("sum")


@pytest.mark.parametrize("merge_mode", MODES)
@pytest.mark.parametrize(
    "options",
    [{}, {"return_sequences": True}, {"return_sequences": True, "return_state": True}],
    ids=len,
)
def test_symbolic_shapes_equal_those_of_the_numbers(merge_mode, options):
    layer = make("lstm", merge_mode, **options)
    symbolic = layer(keras.Input((TIME, FEATURES), batch_size=BATCH))
    real = layer(X)

    def shapes(results):
        return tf.nest.map_structure(lambda t: tuple(t.shape), results)

    assert shapes(symbolic) == shapes(real)


# States and memory


def test_a_wrong_number_of_states_is_an_error():
    layer = make("lstm")
    with pytest.raises(ValueError, match="2 states of its forward layer, then 2 of"):
        layer(X, initial_state=some_states(layer)[:2])


@pytest.mark.parametrize("kind", ["lstm", "stacked"])
def test_stateful_begins_where_it_ended(kind):
    plain = make(kind, return_state=True)
    layer = make(kind, stateful=True)
    output, *states = plain(X)
    for _ in range(2):
        np.testing.assert_allclose(layer(X), output, atol=1e-6)
        all_equal([s.value for s in layer.states], states)
        again = plain(X, initial_state=states)[0]
        np.testing.assert_allclose(layer(X), again, atol=1e-6)
        layer.reset_state()


def conditioned(**options):
    cell = ConditionedCell(LSTMCell(UNITS))
    return Bidirectional(Recurrent(cell, return_sequences=True, **options))


def test_both_directions_read_the_memory():
    layer, vector = conditioned(), normal(BATCH, 2, seed=5)
    layer(X, memory=vector)
    randomise(layer)
    plain = Bidirectional(LSTM(UNITS, return_sequences=True))
    wide = np.concatenate([X, np.repeat(vector[:, None], TIME, axis=1)], axis=-1)
    plain(wide)
    plain.set_weights(layer.get_weights())
    ours = layer(X, memory=vector, sequences_mask=REAL)
    np.testing.assert_allclose(ours, plain(wide, mask=REAL), atol=1e-6)


def test_both_directions_look_at_the_memory_under_its_mask():
    """An AttentionCell in a stack of one: its outputs are h alone."""
    attention = AttentionCell(GRUCell(UNITS), BahdanauAttention(3))
    layer = Bidirectional(Stacked([attention], return_sequences=True))
    regions = normal(BATCH, 6, 2, seed=5)
    layer(X, memory=regions)
    randomise(layer)
    visible = np.tile(np.arange(6) < 4, (BATCH, 1))
    result = layer(X, memory=regions, memory_mask=visible)
    np.testing.assert_allclose(result, layer(X, memory=regions[:, :4]), atol=1e-6)
    assert not np.allclose(result, layer(X, memory=regions))


def test_wrong_layers_and_memories_are_errors():
    with pytest.raises(ValueError, match="expected `memory=`"):
        conditioned()(X)
    with pytest.raises(ValueError, match="its cell LSTMCell reads none"):
        Bidirectional(LSTM(3))(X, memory=X[:, 0])
    with pytest.raises(ValueError, match="received the AttentionRNN 'look'"):
        Bidirectional(AttentionRNN(GRUCell(3), BahdanauAttention(3), name="look"))
    with pytest.raises(ValueError, match="merge mode"):
        Bidirectional(LSTM(3), "both")
    with pytest.raises(ValueError, match="different `go_backwards`"):
        Bidirectional(LSTM(3), backward_layer=LSTM(3))


# Masks in functional models


TOKENS = np.array(
    [[3, 1, 2, 0, 0], [0, 0, 4, 1, 2], [0, 3, 0, 0, 4], [0, 0, 0, 0, 0]], "int32"
)


@keras.saving.register_keras_serializable(package="saccade_tests")
class PassedMask(keras.layers.Layer):
    """Shows which mask is passed on to it."""

    supports_masking = True

    def compute_mask(self, x, mask=None):
        return None

    def call(self, x, mask=None):
        if mask is None:
            raise ValueError("no mask arrived")
        return keras.ops.cast(mask, "float32")


@each_layer
@pytest.mark.parametrize(("with_state", "merge_mode"), [(False, None), (True, "mul")])
def test_an_embeddings_mask_arrives_here_and_at_the_next_layer(
    kind, with_state, merge_mode
):
    tokens = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(5, FEATURES, mask_zero=True)
    layer = make(kind, merge_mode, return_sequences=True)
    starts = [keras.Input((UNITS,)) for _ in some_states(layer)] if with_state else []
    outputs = layer(embedding(tokens), initial_state=starts or None)
    visible = [PassedMask()(o) for o in tf.nest.flatten(outputs)]
    model = keras.Model([tokens, *starts], [outputs, visible])
    randomise(model)
    result, visible = model([TOKENS, *(np.zeros((BATCH, UNITS)) for _ in starts)])
    embedded = np.array(embedding(TOKENS))
    all_equal(result, layer(embedded, mask=REAL))
    unmasked = tf.nest.flatten(layer(embedded))[0]
    assert not np.allclose(tf.nest.flatten(result)[0], unmasked), "no mask arrived"
    for mask in visible:
        np.testing.assert_array_equal(mask, REAL)


@pytest.mark.parametrize("merge_mode", ["concat", None])
def test_states_and_last_outputs_carry_no_mask(merge_mode):
    embedding = keras.layers.Embedding(5, FEATURES, mask_zero=True)
    embedded = embedding(keras.Input((None,), dtype="int32"))
    layer = make("lstm", merge_mode, return_sequences=True, return_state=True)
    results = layer(embedded)
    assert results[0]._keras_mask is not None
    last = make("lstm", merge_mode)(embedded)
    for tensor in [*results[-4:], *tf.nest.flatten(last)]:
        assert getattr(tensor, "_keras_mask", None) is None


def test_a_stateful_layer_with_states_passes_its_mask_on():
    """Keras' own compute_mask fails here."""
    layer = make("lstm", return_sequences=True, return_state=True, stateful=True)
    embedding = keras.layers.Embedding(5, FEATURES, mask_zero=True)
    outputs, *states = layer(embedding(TOKENS))
    np.testing.assert_array_equal(PassedMask()(outputs), REAL)
    assert len(states) == 4


# Keras' services


def model_of(kind, **options):
    x = keras.Input((None, FEATURES))
    layer = Bidirectional(LAYERS[kind](return_sequences=True, **options))
    return randomise(keras.Model(x, layer(x)))


@each_layer
def test_keras_file_round_trip(kind, tmp_path):
    model = model_of(kind)
    again = reload(model, tmp_path)
    np.testing.assert_array_equal(again(X), model(X))
    assert type(again.layers[-1]) is Bidirectional


def test_config_keeps_the_mode_and_both_layers():
    layer = unequal("concat", return_sequences=True)
    layer = Bidirectional(
        layer.forward_layer, None, backward_layer=layer.backward_layer
    )
    again = Bidirectional.from_config(layer.get_config())
    assert again.merge_mode is None
    assert (again.forward_layer.units, again.backward_layer.units) == (UNITS, 3)
    assert isinstance(again.backward_layer, GRU)
    assert again.backward_layer.go_backwards is True


def test_keras_bidirectional_takes_our_stack():
    ours = make("stacked", return_sequences=True)
    theirs = keras.layers.Bidirectional(LAYERS["stacked"](return_sequences=True))
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(theirs(X, mask=REAL), ours(X, mask=REAL), atol=1e-6)


def test_fit_moves_every_weight_under_xla():
    fit_moves_all(model_of("elman", dropout=0.1), X, jit=True)


def test_xla_equals_plain():
    layer = make("stacked", return_sequences=True, return_state=True)
    compiled = tf.function(lambda x, mask: layer(x, mask=mask), jit_compile=True)
    all_equal(compiled(X, REAL), layer(X, mask=REAL))


def test_export_answers_without_our_code(tmp_path):
    model = model_of("lstm")
    signature = [tf.TensorSpec((None, None, FEATURES), tf.float32)]
    export = reload_export(model, tmp_path, signature)
    np.testing.assert_allclose(export.serve(X), model(X), atol=1e-6)


def test_mixed_precision():
    exact = make("gru", "ave", return_sequences=True)
    half = {"dtype": "mixed_float16"}
    layer = Bidirectional(GRU(UNITS, return_sequences=True, **half), "ave", **half)
    layer.build(X.shape)
    randomise(layer)
    output = layer(X, mask=REAL, training=True)
    assert output.dtype == tf.float16
    expected = exact(X, mask=REAL)
    np.testing.assert_allclose(tf.cast(output, tf.float32), expected, atol=0.02)
