"""LSTM with layer normalisation against its equations written in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import LSTM, ConditionedCell, Recurrent
from saccade.layers.layer_norm_lstm import (
    LayerNormLSTM,
    LayerNormLSTMCell,
    layer_norm,
)

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

each_carry = pytest.mark.parametrize("norm_carry", [True, False])


def numpy_norm(z, w, name, epsilon):
    z = z - z.mean(axis=-1, keepdims=True)
    z = z / np.sqrt((z**2).mean(axis=-1, keepdims=True) + epsilon)
    return w[f"{name}_gamma"] * z + w[f"{name}_beta"]


def numpy_step(w, norm_carry=True, epsilon=1e-3):
    def step(x, states):
        h, c = states
        z = numpy_norm(x @ w["kernel"], w, "kernel_norm", epsilon)
        z = z + numpy_norm(h @ w["recurrent_kernel"], w, "recurrent_norm", epsilon)
        z_i, z_f, z_g, z_o = np.split(z + w.get("bias", 0), 4, axis=-1)
        s = sigmoid(z_f) * c + sigmoid(z_i) * np.tanh(z_g)
        n = numpy_norm(s, w, "state_norm", epsilon)
        return [sigmoid(z_o) * np.tanh(n), n if norm_carry else s]

    return step


def made(features=FEATURES, units=UNITS, **options):
    """A layer with random weights that returns all outputs and its states."""
    options = {"return_sequences": True, "return_state": True, **options}
    layer = LayerNormLSTM(units, **options)
    layer.build((BATCH, None, features))
    return randomise(layer)


def starts(units=UNITS, dtype="float32"):
    return [normal(BATCH, units, seed=s, dtype=dtype) for s in (3, 4)]


@each_carry
@pytest.mark.parametrize(
    "options",
    [{}, {"use_bias": False}, {"go_backwards": True}, {"norm_epsilon": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("mask", MASKS)
def test_equals_numpy(norm_carry, options, mask):
    x, states = normal(BATCH, TIME, FEATURES), starts()
    layer = made(norm_carry=norm_carry, **options)
    outputs, h, c = layer(x, initial_state=states, mask=MASKS[mask])
    expected, states = run_numpy(
        numpy_step(weights_of(layer), norm_carry, options.get("norm_epsilon", 1e-3)),
        x,
        states,
        MASKS[mask],
        options.get("go_backwards", False),
    )
    np.testing.assert_allclose(outputs, expected, atol=2e-6)
    np.testing.assert_allclose(h, states[0], atol=2e-6)
    np.testing.assert_allclose(c, states[1], atol=2e-6)


@each_carry
def test_gradients(norm_carry):
    layer = made(2, 3, norm_carry=norm_carry, dtype="float64")
    x = normal(BATCH, TIME, 2, dtype="float64")
    check_layer_gradients(layer, x, starts(3, "float64"), mask=MASKS["padded"])


@pytest.mark.parametrize(
    "norm_carry, mask, jit",
    [(True, "none", False), (True, "padded", True), (False, "padded", False)],
)
def test_fast_and_plain_loops_agree(norm_carry, mask, jit):
    """Outputs and all gradients of a training step, under XLA too."""

    def train(fast):
        layer = made(norm_carry=norm_carry, fast=fast)
        weights = [w.value for w in layer.trainable_weights]

        @tf.function(jit_compile=jit and fast)
        def run(x, *states):
            with tf.GradientTape() as tape:
                tape.watch([x, *states])
                results = layer(
                    x, initial_state=list(states), mask=MASKS[mask], training=True
                )
                loss = sum(tf.reduce_sum(r * normal(*r.shape, seed=8)) for r in results)
            return [*results, *tape.gradient(loss, [x, *states, *weights])]

        return run(normal(BATCH, TIME, FEATURES), *starts())

    for fast, plain in zip(train(True), train(False), strict=True):
        assert np.abs(plain).max() > 1e-3, "nothing to compare"
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=2e-5)


def test_steps_equal_the_sequence():
    x, states = normal(BATCH, TIME, FEATURES), starts()
    layer = made()
    outputs, *last = layer(x, initial_state=states)
    for t in range(TIME):
        output, states = layer.step(x[:, t], states)
        np.testing.assert_allclose(output, outputs[:, t], atol=1e-6)
    np.testing.assert_allclose(states, last, atol=1e-6)


def test_weights_have_the_documented_shapes_and_order():
    shapes = {name: w.shape for name, w in weights_of(made()).items()}
    assert list(shapes.items()) == [
        ("kernel", (FEATURES, 4 * UNITS)),
        ("recurrent_kernel", (UNITS, 4 * UNITS)),
        ("bias", (4 * UNITS,)),
        ("kernel_norm_gamma", (4 * UNITS,)),
        ("kernel_norm_beta", (4 * UNITS,)),
        ("recurrent_norm_gamma", (4 * UNITS,)),
        ("recurrent_norm_beta", (4 * UNITS,)),
        ("state_norm_gamma", (UNITS,)),
        ("state_norm_beta", (UNITS,)),
    ]


def test_norms_start_as_their_initialisers_say():
    layer = LayerNormLSTM(
        2, norm_gamma_initializer="zeros", norm_beta_initializer="ones"
    )
    layer.build((None, None, FEATURES))
    for name, weight in weights_of(layer).items():
        if "norm" in name:
            np.testing.assert_array_equal(weight, float("beta" in name))
    forget = layer.cell.bias.numpy()[2:4]
    np.testing.assert_array_equal(forget, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm_is_that_of_keras(dtype):
    z = 3 * normal(BATCH, 7, dtype=dtype) + 5
    norm = keras.layers.LayerNormalization(epsilon=1e-3, dtype=dtype)
    norm.build(z.shape)
    randomise(norm)
    ours = layer_norm(z, norm.gamma.value, norm.beta.value, 1e-3)
    np.testing.assert_allclose(ours, norm(z), atol=1e-5)


def test_statistics_of_narrow_numbers_are_wide():
    """The squares of these overflow in float16."""
    z = 1000 * normal(BATCH, 7)
    narrow = layer_norm(
        tf.cast(z, "float16"), tf.ones(7, "float16"), tf.zeros(7, "float16"), 1e-3
    )
    assert narrow.dtype == "float16"
    wide = layer_norm(tf.constant(z), tf.ones(7), tf.zeros(7), 1e-3)
    np.testing.assert_allclose(narrow, wide, atol=3e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    x = normal(BATCH, TIME, FEATURES)
    outputs, h, c = made(dtype=policy)(x)
    for tensor in (outputs, h, c):
        assert tensor.dtype == policy.removeprefix("mixed_")
    rough = 0.01 if policy == "mixed_float16" else 0.08
    expected = made()(x)[0]
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, atol=rough)


def test_the_scale_of_the_inputs_does_not_matter():
    """What the norm is for: an LSTM saturates where this does not."""
    x = normal(BATCH, TIME, FEATURES)
    layer = made(norm_epsilon=1e-9)
    np.testing.assert_allclose(layer(100 * x)[0], layer(x)[0], atol=1e-5)
    plain = LSTM(UNITS, return_sequences=True)
    plain.build(x.shape)
    randomise(plain)
    assert np.abs(plain(100 * x) - plain(x)).max() > 0.1


@pytest.mark.parametrize("place", ["dropout", "recurrent_dropout"])
def test_dropout_is_the_same_in_both_loops(place):
    x = normal(BATCH, TIME, FEATURES)
    fast, plain, without = (
        made(fast=fast, seed=5, **{place: rate})(x, training=True)[0]
        for fast, rate in ((True, 0.5), (False, 0.5), (True, 0.0))
    )
    np.testing.assert_allclose(fast, plain, atol=1e-6)
    assert np.abs(fast - without).max() > 1e-2


def test_save_and_load(tmp_path):
    inputs = keras.Input((None, FEATURES))
    model = keras.Model(inputs, LayerNormLSTM(UNITS, norm_carry=False)(inputs))
    randomise(model)
    x = normal(BATCH, TIME, FEATURES)
    np.testing.assert_array_equal(reload(model, tmp_path)(x), model(x))


@pytest.mark.parametrize("jit", [False, True])
def test_fit_moves_every_weight(jit):
    inputs = keras.Input((None, FEATURES))
    layer = LayerNormLSTM(UNITS, return_sequences=True, recurrent_dropout=0.2)
    model = keras.Model(inputs, layer(inputs))
    fit_moves_all(model, normal(BATCH, TIME, FEATURES), jit)


def test_inside_a_conditioned_cell():
    """The wrapped cell runs in the fast loop with the numbers of the plain one."""
    x, memory = normal(BATCH, TIME, FEATURES), normal(BATCH, 2, seed=4)
    results = []
    for fast in (True, False):
        layer = Recurrent(ConditionedCell(LayerNormLSTMCell(UNITS)), fast=fast)
        layer(x, memory=memory)
        randomise(layer)
        with tf.GradientTape() as tape:
            outputs = layer(x, memory=memory, training=True)
            loss = tf.reduce_sum(outputs**2)
        weights = [w.value for w in layer.trainable_weights]
        results.append([outputs, *tape.gradient(loss, weights)])
    for fast, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-5)


def test_peepholes_are_refused():
    with pytest.raises(ValueError, match="LayerNormLSTMCell expected no peephole"):
        LayerNormLSTM(UNITS, peephole=True)


def test_config_comes_back():
    layer = LayerNormLSTM(
        UNITS,
        norm_gamma_initializer=keras.initializers.Constant(0.1),
        norm_epsilon=1e-5,
        norm_carry=False,
        dropout=0.25,
    )
    again = LayerNormLSTM.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.cell.norm_epsilon, again.cell.norm_carry) == (1e-5, False)
    assert again.cell.norm_gamma_initializer.value == 0.1
    assert LayerNormLSTMCell.from_config(layer.cell.get_config()).dropout == 0.25
