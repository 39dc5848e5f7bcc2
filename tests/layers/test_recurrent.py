"""What LSTM, GRU and Elman share: the loop, states, precision, saving, training."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    GRU,
    LSTM,
    ConditionedCell,
    Elman,
    GRUCell,
    LSTMCell,
    Recurrent,
    Stacked,
)

from .helpers import (
    BATCH,
    FEATURES,
    MASKS,
    TIME,
    UNITS,
    fit_moves_all,
    normal,
    randomise,
    reload,
    reload_export,
)

LAYERS = {
    "elman": (Elman, {}),
    "lstm": (LSTM, {}),
    "peephole": (LSTM, {"peephole": True}),
    "gru": (GRU, {}),
    "gru_before": (GRU, {"reset_after": False}),
}
KERAS = {
    "elman": keras.layers.SimpleRNN,
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "gru_before": keras.layers.GRU,
}
each_layer = pytest.mark.parametrize("kind", LAYERS)


def make(kind, **options):
    """A layer of this kind with random weights."""
    layer_class, own = LAYERS[kind]
    layer = layer_class(UNITS, **own, **options)
    layer.build((BATCH, TIME, FEATURES))
    return randomise(layer)


def some_states(layer):
    return [normal(BATCH, size, seed=10 + i) for i, size in enumerate(layer.state_size)]


def all_equal(ours, theirs, atol=1e-6):
    ours, theirs = tf.nest.flatten(ours), tf.nest.flatten(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.mark.parametrize("kind", KERAS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_state": True},
        {"return_sequences": True, "return_state": True, "go_backwards": True},
        {"return_sequences": True, "unroll": True},
        {"return_sequences": True, "zero_output_for_mask": True},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
def test_equals_keras_with_its_weights(kind, mask, options):
    ours = make(kind, **options)
    theirs = KERAS[kind](UNITS, **LAYERS[kind][1], **options)
    theirs.build((BATCH, TIME, FEATURES))
    theirs.set_weights(ours.get_weights())
    x, states = normal(BATCH, TIME, FEATURES), some_states(ours)
    for start in (None, states):
        call = {"initial_state": start, "mask": MASKS[mask]}
        all_equal(ours(x, **call), theirs(x, **call))


@each_layer
def test_windows_with_explicit_state_equal_one_call(kind):
    layer = make(kind, return_sequences=True, return_state=True)
    x = normal(BATCH, TIME, FEATURES)
    whole, *last = layer(x)
    first, *states = layer(x[:, :2])
    second, *states = layer(x[:, 2:], initial_state=states)
    all_equal([np.concatenate([first, second], 1), *states], [whole, *last])


@each_layer
def test_step_loop_equals_call(kind):
    layer = make(kind, return_sequences=True, return_state=True)
    x, states = normal(BATCH, TIME, FEATURES), some_states(make(kind))
    whole, *last = layer(x, initial_state=states)
    for t in range(TIME):
        output, states = layer.step(x[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-6)
    all_equal(states, last)


@each_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(kind, policy):
    exact = make(kind, return_sequences=True)
    layer = make(kind, return_sequences=True, dtype=policy)
    assert {w.dtype for w in layer.trainable_weights} == {"float32"}
    x = normal(BATCH, TIME, FEATURES)
    output = layer(x, mask=MASKS["padded"])
    assert keras.backend.standardize_dtype(output.dtype) == policy.removeprefix(
        "mixed_"
    )
    expected = exact(x, mask=MASKS["padded"])
    tolerance = 0.01 if policy == "mixed_float16" else 0.06
    np.testing.assert_allclose(tf.cast(output, tf.float32), expected, atol=tolerance)


@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_a_step_has_the_dtype_that_the_call_has(policy):
    """Where the policy is that of the layer alone, not of its cell."""
    options = {"return_sequences": True, "return_state": True}
    layer = Recurrent(LSTMCell(UNITS), dtype=policy, **options)
    x, states = normal(BATCH, TIME, FEATURES), layer.get_initial_state(BATCH)
    whole, *last = layer(x)
    for t in range(TIME):
        output, states = layer.step(x[:, t], states)
        assert output.dtype == whole.dtype
        step, expected = (tf.cast(y, tf.float32) for y in (output, whole[:, t]))
        np.testing.assert_allclose(step, expected, atol=0.02)
    assert [state.dtype for state in states] == [state.dtype for state in last]


def model_of(kind, **options):
    x = keras.Input((None, FEATURES))
    return keras.Model(x, make(kind, return_sequences=True, **options)(x))


@each_layer
def test_keras_file_round_trip(kind, tmp_path):
    model = model_of(kind, go_backwards=True, dropout=0.1, recurrent_dropout=0.2)
    x = normal(BATCH, TIME, FEATURES)
    again = reload(model, tmp_path)
    np.testing.assert_array_equal(again(x), model(x))
    assert again.layers[-1].get_config() == model.layers[-1].get_config()


@each_layer
def test_export_answers_without_our_code(kind, tmp_path):
    model = model_of(kind)
    signature = [tf.TensorSpec((None, None, FEATURES), tf.float32)]
    export = reload_export(model, tmp_path, signature)
    for time in (TIME, 2 * TIME):  # the time dimension stays free
        x = normal(BATCH, time, FEATURES)
        np.testing.assert_allclose(export.serve(x), model(x), atol=1e-6)


# Compiling takes seconds: each layer is trained in one of the two ways.
@pytest.mark.parametrize(
    ("kind", "jit"), [("elman", False), ("peephole", True), ("gru", True)]
)
def test_fit_moves_every_weight(kind, jit):
    fit_moves_all(model_of(kind), normal(BATCH, TIME, FEATURES), jit)


@each_layer
def test_activity_regularizer_counts_and_is_saved(kind):
    layer = make(kind, return_sequences=True, activity_regularizer="l2")
    output = layer(normal(BATCH, TIME, FEATURES))
    expected = 0.01 * np.sum(np.square(output)) / BATCH
    np.testing.assert_allclose(layer.losses[0], expected, rtol=1e-5)
    again = type(layer).from_config(layer.get_config())
    assert isinstance(again.activity_regularizer, keras.regularizers.L2)


def test_stateful_carries_on():
    layer = LSTM(UNITS, return_sequences=True, stateful=True)
    x = normal(BATCH, TIME, FEATURES)
    layer.build(x.shape)
    randomise(layer)
    plain = LSTM(UNITS, return_sequences=True)
    plain.build(x.shape)
    plain.set_weights(layer.get_weights()[:3])
    parts = np.concatenate([layer(x[:, :3]), layer(x[:, 3:])], axis=1)
    np.testing.assert_allclose(parts, plain(x), atol=1e-6)
    layer.reset_state()
    np.testing.assert_allclose(layer(x[:, :3]), plain(x)[:, :3], atol=1e-6)


def test_list_of_cells_is_a_stack():
    x = normal(BATCH, TIME, FEATURES)
    first, second = make("lstm", return_sequences=True), GRU(2, return_sequences=True)
    second.build((BATCH, TIME, UNITS))
    randomise(second, seed=2)
    stack = Recurrent([LSTMCell(UNITS), GRUCell(2)], return_sequences=True)
    stack.build(x.shape)
    stack.set_weights(first.get_weights() + second.get_weights())
    np.testing.assert_allclose(stack(x), second(first(x)), atol=1e-6)


def test_memory_for_a_cell_that_reads_none_is_an_error():
    layer = LSTM(UNITS, name="reader")
    expected = (
        "LSTM 'reader' received `memory=`, but its cell LSTMCell reads none. Wrap the "
        "cell in a ConditionedCell"
    )
    x, memory = normal(BATCH, TIME, FEATURES), normal(BATCH, 2)
    with pytest.raises(ValueError, match=expected):
        layer(x, memory=memory)
    layer(x)
    with pytest.raises(ValueError, match=expected):
        layer(x, memory=memory)


@pytest.mark.parametrize(
    ("make_cell", "expected"),
    [
        (lambda: LSTM(4, name="whole"), "the layer LSTM 'whole'.*: LSTMCell"),
        (lambda: keras.layers.GRU(4, name="whole"), "layer GRU 'whole'.*: GRUCell"),
        (lambda: Stacked([GRUCell(4)], name="whole"), "layer Stacked.*: LSTMCell"),
        (lambda: keras.layers.Dense(4), "<Dense.*such as LSTMCell"),
        (lambda: LSTMCell, "<class .*LSTMCell'>.*such as LSTMCell"),
    ],
    ids=["layer", "keras", "stack", "no_cell", "class"],
)
@pytest.mark.parametrize(
    ("owner", "wrap"),
    [
        ("Recurrent", Recurrent),
        ("Recurrent", lambda cell: Recurrent([GRUCell(4), cell])),
        ("ConditionedCell", ConditionedCell),
    ],
    ids=["recurrent", "list", "conditioned"],
)
def test_a_layer_in_the_place_of_a_cell_is_an_error(owner, wrap, make_cell, expected):
    with pytest.raises(ValueError, match=f"^{owner} expected a cell, .*{expected}"):
        wrap(make_cell())


@pytest.mark.parametrize("argument", ["mask", "sequences_mask", "reset_mask"])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1)], ids=str)
def test_lengths_in_the_place_of_a_mask_are_an_error(argument, fast, shape):
    layer = LSTM(UNITS, fast=fast, name="reader")
    lengths = np.arange(BATCH).reshape(shape) + 1
    with pytest.raises(ValueError) as refused:
        layer(normal(BATCH, TIME, FEATURES), **{argument: lengths})
    message = str(refused.value)
    assert "LSTM 'reader' expected" in message and f"`{argument}`" in message
    assert f"(batch, time) = ({BATCH}, {TIME}), bool" in message
    assert f"received shape {shape}, int64" in message
    assert f"`keras.ops.arange({TIME}) < lengths[:, None]`" in message


def test_the_mask_that_the_error_recommends_is_that_of_the_lengths():
    layer = make("lstm", return_sequences=True)
    x, lengths = normal(BATCH, TIME, FEATURES), np.array([TIME, 2, 1, 3])
    mask = keras.ops.arange(TIME) < lengths[:, None]
    for row, length in enumerate(lengths):
        alone = layer(x[row : row + 1, :length])
        np.testing.assert_allclose(
            layer(x, mask=mask)[row, length - 1], alone[0, -1], atol=1e-6
        )


def test_threads_tracing_one_layer_keep_their_memories_apart():
    """Two traces run interleaved, step by step, each with a memory of its own."""
    layer = Recurrent(ConditionedCell(LSTMCell(UNITS)), unroll=True)
    x = normal(BATCH, TIME, FEATURES)
    memories = [normal(BATCH, 2, seed=s) for s in (1, 2)]
    expected = [layer(x, memory=memory) for memory in memories]
    turns = threading.Barrier(2, timeout=20)
    inner_call = layer.cell.cell.call

    def call_in_turns(*args, **kwargs):
        turns.wait()
        return inner_call(*args, **kwargs)

    results = [None, None]

    def trace(i):
        run = tf.function(lambda x, memory: layer(x, memory=memory))
        results[i] = run(x, memories[i])

    layer.cell.cell.call = call_in_turns
    try:
        threads = [threading.Thread(target=trace, args=(i,)) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        layer.cell.cell.call = inner_call
    all_equal(results, expected)


def test_memory_does_not_outlive_its_call():
    layer = Recurrent(ConditionedCell(LSTMCell(UNITS)))
    x, memory = normal(BATCH, TIME, FEATURES), normal(BATCH, 2)
    layer(x, memory=memory)
    with pytest.raises(ValueError, match="reads a memory at every step, but received"):
        layer.cell(x[:, 0], some_states(layer))
