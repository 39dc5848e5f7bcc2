"""The fast loop: the same numbers and gradients as Keras' own loop."""

import functools

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
    GRUCell,
    HardAttention,
    Jordan,
    LSTMCell,
    Recurrent,
    products,
)
from saccade.layers.cells import is_fast
from saccade.layers.elman import elman_step
from saccade.layers.recurrent import CellLayer
from saccade.layers.time_loop import run

from .helpers import BATCH, FEATURES, MASKS, TIME, UNITS, normal, randomise

SEQUENCES = normal(BATCH, TIME, FEATURES)
VECTOR = normal(BATCH, 2, seed=1)
REGIONS = normal(BATCH, 6, 2, seed=2)
DROPS = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 3}

# name: (makes the layer from its loop's options, the memory it reads)
LAYERS = {
    "elman": (functools.partial(Elman, UNITS), None),
    "lstm": (functools.partial(LSTM, UNITS), None),
    "peephole": (functools.partial(LSTM, UNITS, peephole=True), None),
    "no-bias": (functools.partial(LSTM, UNITS, use_bias=False), None),
    "gru-after": (functools.partial(GRU, UNITS), None),
    "gru-before": (functools.partial(GRU, UNITS, reset_after=False), None),
    "dropout": (functools.partial(GRU, UNITS, **DROPS), None),
    "conditioned": (
        lambda **o: Recurrent(ConditionedCell(LSTMCell(UNITS)), **o),
        VECTOR,
    ),
    "conditioned-dropout": (
        lambda **o: Recurrent(ConditionedCell(ElmanCell(UNITS, **DROPS)), **o),
        VECTOR,
    ),
}
LOOPS = {
    "sequences": {"return_sequences": True, "return_state": True},
    "last": {"return_sequences": False},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "zeros": {"return_sequences": True, "zero_output_for_mask": True},
}


def values_and_gradients(layer, memory=None, mask=None, jit=False):
    """Outputs, and gradients of sequences, initial states, memory and weights."""
    states = [
        tf.constant(normal(BATCH, n, seed=5 + i))
        for i, n in enumerate(layer.state_size)
    ]
    inputs = [tf.constant(SEQUENCES), states]
    inputs += [] if memory is None else [tf.constant(memory)]

    @tf.function(jit_compile=jit)
    def compute(sequences, states, memory=None):
        options = {} if memory is None else {"memory": memory}
        with tf.GradientTape() as tape:
            sources = [sequences, states, *options.values(), layer.trainable_variables]
            tape.watch(sources[:-1])
            outputs = layer(
                sequences, initial_state=states, mask=mask, training=True, **options
            )
            # Another function for every part, so that none can stand in for another.
            parts = tf.nest.flatten(outputs)
            value = tf.add_n(
                [tf.reduce_sum(tf.sin((i + 1) * part)) for i, part in enumerate(parts)]
            )
        return parts, tape.gradient(value, sources)

    return tf.nest.flatten(compute(*inputs))


def assert_same(make, memory=None, mask=None, jit=False, tolerance=1e-5):
    fast, plain = make(fast=True), make(fast=False)
    for layer in (fast, plain):
        layer(SEQUENCES, **({} if memory is None else {"memory": memory}))
        randomise(layer)
    assert is_fast(fast.cell)
    got = values_and_gradients(fast, memory, mask, jit)
    expected = values_and_gradients(plain, memory, mask, jit)
    for a, b in zip(got, expected, strict=True):
        if b is None:  # what the initial states given here replace
            assert a is None
            continue
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)
        assert np.isfinite(a).all()


@pytest.mark.parametrize("name", LAYERS)
def test_every_cell(name):
    make, memory = LAYERS[name]
    make = functools.partial(make, **LOOPS["sequences"])
    assert_same(make, memory, MASKS["padded"])


@pytest.mark.parametrize("name", LAYERS)
def test_the_inputs_products_ahead_of_the_loop(name):
    make, memory = LAYERS[name]

    def hoisted(fast):
        return make(fast=fast, hoist=True, **LOOPS["sequences"])

    assert_same(hoisted, memory, MASKS["padded"])
    layer = hoisted(True)
    call = {} if memory is None else {"memory": memory}
    outputs, *_ = layer(SEQUENCES, training=False, **call)
    layer.hoist = False
    plain, *_ = layer(SEQUENCES, training=False, **call)
    np.testing.assert_allclose(outputs, plain, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_one_row_and_a_large_kernel_are_hoisted(training, monkeypatch):
    hoisted = []
    original = products.Plan.of_inputs

    def of_inputs(plan, x, weights):
        hoisted.append(x.shape[1])
        return original(plan, x, weights)

    monkeypatch.setattr(products.Plan, "of_inputs", of_inputs)
    large, small = GRU(148), GRU(147)  # 2^16 = 148 x 443, three gates
    for layer in (large, small):
        for rows in (1, 2):
            layer(normal(rows, 2, 148), training=training)
    assert hoisted == [1]
    LSTM(4, hoist=True)(SEQUENCES, training=training)
    LSTM(512, hoist=False)(normal(1, 2, 512), training=training)
    assert hoisted == [1, BATCH]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("loop", LOOPS)
def test_every_option_of_the_loop(loop, mask):
    assert_same(functools.partial(Elman, UNITS, **LOOPS[loop]), mask=MASKS[mask])


@pytest.mark.parametrize("name", ["peephole", "conditioned-dropout"])
def test_under_xla(name):
    make, memory = LAYERS[name]
    make = functools.partial(make, **LOOPS["sequences"])
    assert_same(make, memory, MASKS["padded"], jit=True)


@pytest.mark.parametrize(
    "options,jit", [({}, True), (DROPS, False)], ids=["xla", "dropout"]
)
def test_the_attention_decoder(options, jit):
    def make(fast):
        attention = BahdanauAttention(3)
        return AttentionRNN(GRUCell(UNITS, **options), attention, fast=fast)

    assert_same(make, REGIONS, MASKS["padded"], jit)


def test_a_layer_used_twice_adds_its_gradients():
    layer = randomise_built(LSTM(FEATURES, return_sequences=True))
    x = tf.constant(SEQUENCES)

    def gradients(times, fast):
        layer.fast = fast
        with tf.GradientTape() as tape:
            y = x
            for _ in range(times):
                y = layer(y, training=True)
            value = tf.reduce_sum(tf.sin(y))
        return tape.gradient(value, layer.trainable_variables)

    for got, expected in zip(gradients(2, True), gradients(2, False), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert not np.allclose(gradients(2, True)[0], gradients(1, True)[0])


def randomise_built(layer):
    layer(SEQUENCES)
    return randomise(layer)


def test_gradients_of_gradients_are_refused_not_wrong():
    layer = randomise_built(Elman(UNITS))
    x = tf.constant(SEQUENCES)

    def second(training):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = tf.reduce_sum(layer(x, training=training) ** 2)
            first = inner.gradient(value, x)
        return outer.gradient(first, x)

    with pytest.raises(NotImplementedError, match="fast=False"):
        second(training=True)
    without = second(training=False)
    layer.fast = False
    np.testing.assert_allclose(second(training=True), without, atol=1e-5)


JACOBIANS = {  # few and short, because TensorFlow takes seconds for each
    "masked": (lambda: Elman(UNITS, return_sequences=True), None),
    "jordan": (lambda: Jordan(UNITS, output_units=2), None),
    "conditioned": (
        lambda: Recurrent(ConditionedCell(LSTMCell(UNITS, peephole=True))),
        VECTOR,
    ),
    "attention": (lambda: AttentionRNN(GRUCell(UNITS), BahdanauAttention(3)), REGIONS),
}


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobians_in_eager_mode(name):
    """Those of TensorFlow's own gradient, which it takes where training is False."""
    make, memory = JACOBIANS[name]
    layer = make()
    inputs = [SEQUENCES[:, 1:3]] if memory is None else [SEQUENCES[:, 1:3], memory]
    inputs = [tf.constant(value) for value in inputs]
    mask = MASKS["padded"][:, 1:3] if name == "masked" else None

    def call(training):
        read = {} if memory is None else {"memory": inputs[1]}
        result = layer(inputs[0], mask=mask, training=training, **read)
        return result["outputs"] if isinstance(result, dict) else result

    call(training=False)
    randomise(layer)

    def jacobians(training):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = call(training)
        sources = [*inputs, *layer.trainable_variables]
        return tape.jacobian(outputs, sources, unconnected_gradients="zero")

    for got, expected in zip(jacobians(True), jacobians(False), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.abs(got).max() > 1e-3


def test_a_jacobian_step_by_step():
    """Without the vectorised form, and one matrix for each row."""
    layer = randomise_built(LSTM(UNITS))
    x = tf.constant(SEQUENCES[:, :2])
    results = []
    for training, vectorised in ((True, True), (True, False), (False, True)):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            outputs = layer(x, training=training)
        results.append(
            tape.batch_jacobian(outputs, x, experimental_use_pfor=vectorised)
        )
    np.testing.assert_allclose(results[0], results[2], atol=1e-5)
    np.testing.assert_allclose(results[1], results[2], atol=1e-5)


def test_mixed_precision():
    layers = [GRU(UNITS, dtype="mixed_float16", fast=fast) for fast in (True, False)]
    for layer in layers:
        randomise_built(layer)
    fast, plain = (values_and_gradients(layer) for layer in layers)
    assert fast[0].dtype == tf.float16
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=0.05)


def test_unknown_lengths_and_masks_in_a_model():
    """fit over batches of two lengths moves the weights as Keras' loop does."""
    draw = np.random.default_rng(0)
    batches = [
        (draw.integers(0, 5, (3, time)), draw.standard_normal((3, 1)))
        for time in (4, 6)
    ]

    def trained(fast):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.layers.Embedding(5, 3, mask_zero=True),
                LSTM(UNITS, return_sequences=True, fast=fast),
                GRU(UNITS, fast=fast),
                keras.layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse", jit_compile=False)
        for x, y in batches:
            model.train_on_batch(x, y)
        return model.get_weights()

    for a, b in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@keras.saving.register_keras_serializable(package="saccade_tests")
class Doubled(ElmanCell):
    """Overrides call alone: the fast loop must not pass it by."""

    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training)
        return 2 * output, states


def test_a_subclass_that_overrides_call_is_called():
    assert is_fast(ElmanCell(UNITS)) and not is_fast(Doubled(UNITS))
    doubled, single = Recurrent(Doubled(UNITS)), Recurrent(ElmanCell(UNITS))
    doubled(SEQUENCES), single(SEQUENCES)
    doubled.set_weights(single.get_weights())
    np.testing.assert_allclose(doubled(SEQUENCES), 2 * single(SEQUENCES), rtol=1e-6)


def test_what_draws_inside_a_step_is_not_fast():
    layer = AttentionRNN(LSTMCell(UNITS), HardAttention(3))
    assert not is_fast(layer.cell)
    assert issubclass(LSTM, CellLayer) and is_fast(LSTM(UNITS).cell)


@pytest.mark.parametrize("own_gradient", [True, False])
@pytest.mark.parametrize("mask", MASKS)
def test_a_nest_of_outputs(mask, own_gradient):
    """Each part as if it were the only output, all of them or the last, and the
    gradients of all added."""
    kernel = tf.constant(normal(FEATURES + UNITS, UNITS, seed=3))
    x = tf.constant(np.swapaxes(SEQUENCES, 0, 1))
    state = tf.constant(normal(BATCH, UNITS, seed=4))
    real = None if MASKS[mask] is None else tf.constant(MASKS[mask].T)

    def results(part, all_outputs):
        def step(multiply, x, states, weights, memory):
            h = tf.tanh(multiply(((x, states[0]), weights[0])))
            output = {"h": h, "more": [h[:, :1] ** 2, tf.sin(x)]}
            return output if part is None else tf.nest.flatten(output)[part], [h]

        with tf.GradientTape() as tape:
            tape.watch([x, state, kernel])
            outputs, states = run(
                step,
                x,
                [state],
                [kernel],
                mask=real,
                all_outputs=all_outputs,
                own_gradient=own_gradient,
            )
            value = tf.add_n([tf.reduce_sum(o) for o in tf.nest.flatten(outputs)])
        gradients = tape.gradient(value, [x, state, kernel], None, "zero")
        return outputs, [*states, *gradients]

    for all_outputs in (True, False):
        nest, (last, *gradients) = results(None, all_outputs)
        assert nest.keys() == {"h", "more"} and len(nest["more"]) == 2
        alone = [results(part, all_outputs) for part in range(3)]
        for ours, (theirs, _) in zip(tf.nest.flatten(nest), alone, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
        np.testing.assert_allclose(last, alone[0][1][0], atol=1e-6)
        for i, gradient in enumerate(gradients):
            expected = sum(rest[1 + i] for _, rest in alone)
            np.testing.assert_allclose(gradient, expected, atol=1e-5)
        assert np.abs(gradients[0]).max() > 0.1


@pytest.mark.parametrize("mask", MASKS)
def test_operands_that_are_constant(mask):
    """What a gradient does not pass is kept, not computed again: the same gradients."""
    kernels = [normal(FEATURES, UNITS, seed=3), normal(2 * UNITS, UNITS, seed=4)]
    kernels = [tf.constant(kernel) for kernel in kernels]
    x = tf.constant(np.swapaxes(SEQUENCES, 0, 1))
    state = tf.constant(normal(BATCH, UNITS, seed=5))
    real = None if MASKS[mask] is None else tf.constant(MASKS[mask].T)

    def step(multiply, x, states, weights, memory):
        seen = tf.stop_gradient(tf.sin(x) + tf.reduce_sum(states[0]))
        seen = tf.nn.relu(multiply((seen, weights[0])))
        h = tf.tanh(multiply(((seen, states[0]), weights[1])))
        return h, [h]

    plan = products.Plan(x[0], [state], kernels, [])
    with tf.GradientTape(persistent=True) as tape:
        plan.watch = tape.watch
        tape.watch(state)
        step(plan, x[0], [state], kernels, [])
    plan.find_constant(tape.gradient, [x[0], state, *kernels])
    assert plan.constant == [True, False]

    found = []
    for own_gradient in (True, False):
        with tf.GradientTape() as tape:
            tape.watch([x, state, kernels])
            outputs, states = run(
                step, x, [state], kernels, mask=real, own_gradient=own_gradient
            )
            value = tf.reduce_sum(tf.sin(outputs)) + tf.reduce_sum(states[0])
        sources = [x, state, *kernels]
        found.append([value, *tape.gradient(value, sources, None, "zero")])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(found[0][3]).max() > 0.1


def test_the_example_of_the_module():
    """One Elman network through plan and loop, as the docstring follows it."""
    weights = [normal(UNITS), normal(FEATURES, UNITS), normal(UNITS, UNITS, seed=1)]
    weights = [tf.constant(weight) for weight in weights]

    def step(multiply, x, states, weights, memory):
        bias, kernel, recurrent_kernel = weights
        (h,) = states
        h = elman_step(x, h, kernel, recurrent_kernel, bias, tf.tanh, multiply)
        return h, [h]

    first, start = tf.constant(SEQUENCES[:, 0]), tf.constant(normal(BATCH, UNITS))
    plan = products.Plan(first, [start], weights, [])
    step(plan, first, [start], weights, [])
    (product,) = plan.products
    assert product.bias == 0
    assert [(p.kind, p.index, p.kernel, p.start, p.stop) for p in product.parts] == [
        ("x", None, 1, 0, FEATURES),
        ("state", 0, 2, 0, UNITS),
    ]
    assert plan.results[0].shape == (BATCH, UNITS) and plan.computed == []

    x = tf.constant(np.swapaxes(SEQUENCES, 0, 1))
    d_output = normal(TIME, BATCH, UNITS, seed=2)
    with tf.GradientTape() as tape:
        tape.watch([x, start, weights])
        outputs, _ = run(step, x, [start], weights)
        value = tf.reduce_sum(outputs * d_output)
    d_x, d_start, (d_bias, d_kernel, d_recurrent) = tape.gradient(
        value, [x, start, weights]
    )

    _, kernel, recurrent_kernel = (weight.numpy() for weight in weights)
    h, d_state, d_z = outputs.numpy(), 0, [None] * TIME
    for t in reversed(range(TIME)):
        d_z[t] = (d_output[t] + d_state) * (1 - h[t] ** 2)
        d_state = d_z[t] @ recurrent_kernel.T
    states = np.concatenate([[start], h[:-1]])
    rows = np.concatenate(d_z)
    pairs = {
        "bias": (d_bias, rows.sum(0)),
        "kernel": (d_kernel, x.numpy().reshape(-1, FEATURES).T @ rows),
        "recurrent": (d_recurrent, states.reshape(-1, UNITS).T @ rows),
        "x": (d_x, (rows @ kernel.T).reshape(x.shape)),
        "start": (d_start, d_state),
    }
    for what, (got, expected) in pairs.items():
        np.testing.assert_allclose(got, expected, atol=1e-5, err_msg=what)


def test_a_kernel_from_elsewhere_is_an_error():
    kernel = tf.ones([FEATURES, UNITS])

    def step(multiply, x, states, weights, memory):
        output = multiply((x, 2 * weights[0]))
        return output, [output]

    x, state = tf.ones([TIME, BATCH, FEATURES]), tf.zeros([BATCH, UNITS])
    with pytest.raises(ValueError, match="step_weights"):
        run(step, x, [state], [kernel])
