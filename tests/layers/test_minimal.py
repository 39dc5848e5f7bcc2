"""minGRU and minLSTM against their equations, and the scan against the loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import ConditionedCell, LSTMCell, Recurrent, minimal, time_loop
from saccade.layers.minimal import MinGRU, MinGRUCell, MinLSTM, MinLSTMCell, Scan

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
    run_numpy,
    sigmoid,
    weights_of,
)

LAYERS = {"gru": MinGRU, "lstm": MinLSTM}
each_kind = pytest.mark.parametrize("kind", LAYERS)
each_form = pytest.mark.parametrize("parallel", [True, False], ids=["scan", "loop"])


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Blocks of 2 steps: TIME is two blocks and a half."""
    monkeypatch.setattr(minimal, "BLOCK", 2)


def positive(x):
    return np.where(x >= 0, x + 0.5, sigmoid(x))


def numpy_step(kind, w):
    def step(x, states):
        k = x @ w["kernel"] + w.get("bias", 0)
        if kind == "gru":
            k_z, k_h = np.split(k, 2, axis=-1)
            z = sigmoid(k_z)
            return [(1 - z) * states[0] + z * positive(k_h)]
        k_i, k_f, k_h = np.split(k, 3, axis=-1)
        i, f = sigmoid(k_i), sigmoid(k_f)
        return [f / (f + i) * states[0] + i / (f + i) * positive(k_h)]

    return step


def made(kind, features=FEATURES, units=UNITS, scale=0.7, **options):
    """A layer with random weights that returns all outputs and its state."""
    options = {"return_sequences": True, "return_state": True, **options}
    layer = LAYERS[kind](units, **options)
    layer.build((BATCH, None, features))
    return randomise(layer, scale=scale)


def gradients(layer, x, **call):
    """Outputs of a training step, and the gradients of x, the state and the weights."""
    dtype = layer.compute_dtype
    state = tf.constant(normal(len(x), layer.units, seed=3, dtype=dtype))
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch([x, state])
        outputs, h = layer(x, initial_state=[state], training=True, **call)
        mix = normal(*outputs.shape, seed=8, dtype=dtype)
        loss = tf.reduce_sum(outputs * mix) + tf.reduce_sum(h**2)
    weights = [w.value for w in layer.trainable_weights]
    return outputs, tape.gradient(loss, [x, state, *weights])


def assert_all_close(ours, theirs, **tolerance):
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(other).max() > 1e-3, "nothing to compare"
        np.testing.assert_allclose(one, other, **tolerance)


# Equations


@each_kind
@each_form
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize(
    "mask, zero_output", [("none", False), ("padded", False), ("padded", True)]
)
def test_equals_numpy(kind, parallel, use_bias, go_backwards, zero_output, mask):
    x, state = normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS, seed=3)
    layer = made(
        kind,
        parallel=parallel,
        use_bias=use_bias,
        go_backwards=go_backwards,
        zero_output_for_mask=zero_output,
    )
    outputs, h = layer(x, initial_state=[state], mask=MASKS[mask])
    expected, states = run_numpy(
        numpy_step(kind, weights_of(layer)),
        x,
        [state],
        MASKS[mask],
        go_backwards,
        zero_output,
    )
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(h, states[0], atol=1e-6)
    layer.return_sequences = False
    last, _ = layer(x, initial_state=[state], mask=MASKS[mask])
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-6)


@each_kind
@each_form
@pytest.mark.parametrize("mask", MASKS)
def test_gradients(kind, parallel, mask):
    layer = made(kind, 2, 3, parallel=parallel, dtype="float64")
    x = normal(BATCH, TIME, 2, dtype="float64")
    states = [normal(BATCH, 3, seed=3, dtype="float64")]
    check_layer_gradients(layer, x, states, mask=MASKS[mask])


@pytest.mark.parametrize("kind, blocks", [("gru", 2), ("lstm", 3)])
def test_weights_have_the_documented_shapes(kind, blocks):
    shapes = {name: w.shape for name, w in weights_of(made(kind)).items()}
    assert shapes == {"kernel": (FEATURES, blocks * UNITS), "bias": (blocks * UNITS,)}


def test_shut_gates_of_the_lstm_share_alike():
    """f = i = exp(-200), which is 0 in float32: f/(f + i) is a half all the same."""
    layer = MinLSTM(1, bias_initializer=keras.initializers.Constant(-200))
    h = layer(np.zeros((1, 1, 1), "float32"), initial_state=[np.ones((1, 1))])
    np.testing.assert_allclose(h, [[0.5]])


# The scan and the loop


@each_kind
@pytest.mark.parametrize(
    "dtype, scale, tolerance",
    [("float32", 0.7, 1e-5), ("float32", 30, 1e-5), ("float64", 0.7, 1e-12)],
    ids=["float32", "saturated", "float64"],
)
def test_500_steps(kind, dtype, scale, tolerance, monkeypatch):
    monkeypatch.undo()  # blocks as they are
    x = normal(2, 500, FEATURES, dtype=dtype)
    scan, loop = (
        made(kind, scale=scale, parallel=parallel, dtype=dtype)
        for parallel in (True, False)
    )
    ours, our_gradients = tf.function(lambda: gradients(scan, x))()
    theirs, their_gradients = tf.function(lambda: gradients(loop, x))()
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    for one, other in zip(our_gradients, their_gradients, strict=True):
        size = np.abs(other).max()
        np.testing.assert_allclose(one, other, atol=10 * tolerance * max(size, 1))


@each_kind
@each_form
def test_steps_equal_the_sequence(kind, parallel):
    x, state = normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS, seed=3)
    layer = made(kind, parallel=parallel)
    outputs, h = layer(x, initial_state=[state])
    states = [state]
    for t in range(TIME):
        output, states = layer.step(x[:, t], states)
        np.testing.assert_allclose(output, outputs[:, t], atol=1e-6)
    np.testing.assert_allclose(states[0], h, atol=1e-6)


@each_kind
@pytest.mark.parametrize("mask, go_backwards", [("none", False), ("padded", True)])
def test_all_forms_have_the_same_gradients(kind, go_backwards, mask):
    x = normal(BATCH, TIME, FEATURES)
    forms = [{"parallel": True}, {"fast": True}, {"fast": False}]
    scan, fast, plain = (
        gradients(
            made(kind, **{"parallel": False, **form}, go_backwards=go_backwards),
            x,
            mask=MASKS[mask],
        )
        for form in forms
    )
    for form in (scan, fast):
        assert_all_close([form[0], *form[1]], [plain[0], *plain[1]], atol=1e-5)


RESET = np.zeros((BATCH, TIME), bool)
RESET[0, 0] = RESET[1, 3] = RESET[2, [1, 3]] = RESET[3, 2] = True


@each_kind
@pytest.mark.parametrize(
    "mask, zero_output", [("none", False), ("padded", True), ("padded", False)]
)
@pytest.mark.parametrize("go_backwards", [False, True])
def test_resets_are_those_of_the_loop(
    kind, mask, zero_output, go_backwards, monkeypatch
):
    x = normal(BATCH, TIME, FEATURES)
    options = {"zero_output_for_mask": zero_output, "go_backwards": go_backwards}
    scan, loop = (made(kind, parallel=p, **options) for p in (True, False))
    call = {"mask": MASKS[mask], "reset_mask": RESET}
    outputs, theirs = gradients(loop, x, **call)
    if MASKS[mask] is None or zero_output:
        monkeypatch.setattr(time_loop, "run", None)  # from here on nothing loops
    again, ours = gradients(scan, x, **call)
    assert_all_close([again, *ours], [outputs, *theirs], atol=1e-5)


@each_kind
def test_gradients_with_resets(kind):
    layer = made(kind, 2, 3, dtype="float64")
    x = normal(BATCH, TIME, 2, dtype="float64")
    states = [normal(BATCH, 3, seed=3, dtype="float64")]
    check_layer_gradients(layer, x, states, reset_mask=RESET)


def test_a_scan_around_a_cell_is_the_layer(tmp_path):
    inputs = keras.Input((None, FEATURES))
    layer = Scan(MinLSTMCell(UNITS), return_sequences=True)
    model = randomise(keras.Model(inputs, layer(inputs)))
    x = normal(BATCH, TIME, FEATURES)
    np.testing.assert_array_equal(model(x), made("lstm")(x)[0])
    np.testing.assert_array_equal(reload(model, tmp_path)(x), model(x))


def test_a_scan_refuses_a_cell_with_feedback():
    with pytest.raises(ValueError, match="received LSTMCell. Use Recurrent"):
        Scan(LSTMCell(UNITS))


@each_kind
def test_dropout_masks_are_those_of_the_loop(kind):
    x = normal(BATCH, TIME, FEATURES)
    scan, loop, without = (
        made(kind, parallel=parallel, dropout=dropout, seed=5)
        for parallel, dropout in ((True, 0.5), (False, 0.5), (True, 0.0))
    )
    ours, theirs = scan(x, training=True)[0], loop(x, training=True)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(ours - without(x, training=True)[0]).max() > 1e-2
    np.testing.assert_array_equal(scan(x)[0], without(x)[0])
    again = scan(x, training=True)[0]
    assert np.abs(ours - again).max() > 1e-2, "the mask outlived its call"


@pytest.mark.parametrize("jit", [False, True])
def test_graphs_of_unknown_shape(jit):
    layer = made("lstm")
    kernel = layer.cell.kernel.value

    def run(x):
        with tf.GradientTape() as tape:
            outputs = layer(x, training=True)[0]
            loss = tf.reduce_sum(outputs**2)
        return outputs, tape.gradient(loss, kernel)

    signature = [tf.TensorSpec((None, None, FEATURES))]
    traced = tf.function(run, input_signature=signature, jit_compile=jit)
    for time in (1, 2, 9) if jit else range(1, 10):
        x = normal(BATCH, time, FEATURES)
        assert_all_close(traced(x), run(tf.constant(x)), rtol=1e-5, atol=1e-5)


def test_the_scan_can_be_differentiated_twice():
    x = tf.constant(normal(2, TIME, 2, dtype="float64"))

    def squares(layer):
        """A gradient of a squared gradient, as in a gradient penalty."""
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x)[0] ** 2)
            penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(penalty, layer.cell.kernel.value)

    scan, loop = (
        squares(made("gru", 2, 3, parallel=p, fast=False, dtype="float64"))
        for p in (True, False)
    )
    assert_all_close([scan], [loop], atol=1e-10)


# In models


@each_kind
@each_form
def test_stateful_halves_are_the_whole(kind, parallel):
    x = normal(BATCH, 6, FEATURES)
    whole = made(kind, parallel=parallel)(x)[0]
    layer = made(kind, parallel=parallel, stateful=True)
    halves = [layer(x[:, :2])[0], layer(x[:, 2:])[0]]
    np.testing.assert_allclose(np.concatenate(halves, axis=1), whole, atol=1e-6)


@each_kind
@each_form
def test_save_and_load(kind, parallel, tmp_path):
    inputs = keras.Input((None, FEATURES))
    layer = LAYERS[kind](UNITS, parallel=parallel, kernel_regularizer="l2")
    model = keras.Model(inputs, layer(inputs))
    randomise(model)
    again = reload(model, tmp_path)
    assert again.layers[1].parallel is parallel
    assert isinstance(again.layers[1].cell.kernel_regularizer, keras.regularizers.L2)
    x = normal(BATCH, TIME, FEATURES)
    np.testing.assert_array_equal(again(x), model(x))


@each_kind
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(kind, policy):
    x = normal(BATCH, TIME, FEATURES)
    layer = made(kind, dtype=policy)
    outputs, h = layer(x)
    assert outputs.dtype == h.dtype == policy.removeprefix("mixed_")
    expected = made(kind)(x)[0]
    rough = 0.01 if policy == "mixed_float16" else 0.08
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, atol=rough)


@pytest.mark.parametrize("kind, jit", [("gru", True), ("lstm", False)])
def test_fit_moves_every_weight(kind, jit):
    inputs = keras.Input((None, FEATURES))
    layer = LAYERS[kind](UNITS, return_sequences=True, dropout=0.2)
    model = keras.Model(inputs, layer(inputs))
    fit_moves_all(model, normal(BATCH, TIME, FEATURES), jit)


def test_a_mask_travels_with_a_state():
    """Keras drops masks where a call has two tensors; Recurrent does not."""
    tokens = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    inputs, state = keras.Input((None,), dtype="int32"), keras.Input((UNITS,))
    embedded = keras.layers.Embedding(4, FEATURES, mask_zero=True)(inputs)
    layer = MinGRU(UNITS)
    model = keras.Model([inputs, state], layer(embedded, initial_state=[state]))
    randomise(model)
    start = normal(2, UNITS, seed=3)
    short = model([tokens[:1, :2], start[:1]])
    np.testing.assert_allclose(model([tokens, start])[:1], short, atol=1e-6)


@pytest.mark.parametrize("cell", [MinGRUCell, MinLSTMCell])
def test_the_cell_in_other_layers(cell):
    """Recurrent, a stack and a ConditionedCell run it; fast and plain are equal."""
    x, memory = normal(BATCH, TIME, FEATURES), normal(BATCH, 2, seed=4)
    single = Recurrent(cell(UNITS), return_sequences=True)
    single(x)
    randomise(single)
    layer = made("gru" if cell is MinGRUCell else "lstm")
    for ours, theirs in zip(layer.cell.weights, single.cell.weights, strict=False):
        if "seed" not in ours.name:
            ours.assign(theirs)
    np.testing.assert_allclose(single(x), layer(x)[0], atol=1e-6)

    stack = Recurrent([cell(UNITS), cell(2)])
    assert stack(x).shape == (BATCH, 2)

    results = []
    for fast in (True, False):
        outer = Recurrent(ConditionedCell(cell(UNITS, dropout=0.5, seed=1)), fast=fast)
        outer(x, memory=memory)
        randomise(outer)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(outer(x, memory=memory, training=True) ** 2)
        results.append(tape.gradient(loss, [w.value for w in outer.trainable_weights]))
    assert_all_close(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", [MinGRUCell, MinLSTMCell])
def test_a_cell_returns_the_state_as_it_came(cell):
    x, h = normal(BATCH, FEATURES), normal(BATCH, UNITS)
    step = cell(UNITS)
    output, state = step(x, h)
    listed_output, (listed_state,) = step(x, [h])
    for other in (state, listed_output, listed_state):
        np.testing.assert_array_equal(output, other)


@pytest.mark.parametrize("option", ["recurrent_dropout", "activation"])
def test_options_without_a_meaning_are_refused(option):
    with pytest.raises(ValueError, match=f"MinLSTMCell has no option {option}"):
        MinLSTM(UNITS, **{option: "relu"})


def test_config_comes_back():
    layer = MinLSTM(UNITS, parallel=False, dropout=0.25, use_bias=False, fast=False)
    again = MinLSTM.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.parallel, again.fast, again.cell.use_bias) == (False, False, False)
    cell = MinLSTMCell.from_config(layer.cell.get_config())
    assert cell.dropout == 0.25
