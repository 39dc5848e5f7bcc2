"""LSTM and GRU hand their calls to Keras' layers where cuDNN can take them.

There is no GPU here. TensorFlow says that there is one, and a function of these tests
stands in the place of cuDNN's kernel: all that Keras does around it is Keras' own.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import tree

from saccade.layers import (
    GRU,
    LSTM,
    Bidirectional,
    GRUCell,
    LSTMCell,
    Stacked,
    convert,
    cudnn,
)

from .helpers import (
    BATCH,
    FEATURES,
    MASKS,
    TIME,
    UNITS,
    normal,
    randomise,
    reload,
    reload_export,
)

X = normal(BATCH, TIME, FEATURES)
LEFT = MASKS["padded"]
HOLES = np.array([[1, 0, 1, 1, 0]] * BATCH, bool)
RIGHT = np.arange(TIME) < np.array([[5], [3], [1], [4]])
ALL = {"return_sequences": True, "return_state": True}
KINDS = {"LSTM": LSTM, "GRU": GRU}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


class OtherCell(LSTMCell):
    """A cell whose step may be another one."""


class OtherLSTM(LSTM):
    cell_class = OtherCell


# What excludes cuDNN: the layer, and what an error about it must say.
LACKING = {
    "activation": (
        lambda **o: LSTM(UNITS, activation="relu", **o),
        "expected activation='tanh'; received activation='relu'",
    ),
    "recurrent activation": (
        lambda **o: GRU(UNITS, recurrent_activation="hard_sigmoid", **o),
        "expected recurrent_activation='sigmoid'; received .*='hard_sigmoid'",
    ),
    "no bias": (
        lambda **o: GRU(UNITS, use_bias=False, **o),
        "expected use_bias=True; received use_bias=False",
    ),
    "recurrent dropout": (
        lambda **o: LSTM(UNITS, recurrent_dropout=0.5, **o),
        "expected recurrent_dropout=0; received recurrent_dropout=0.5",
    ),
    "peephole": (
        lambda **o: LSTM(UNITS, peephole="previous", **o),
        "expected peephole=False; received peephole='previous'",
    ),
    "reset before": (
        lambda **o: GRU(UNITS, reset_after=False, **o),
        "expected reset_after=True; received reset_after=False",
    ),
    "unroll": (
        lambda **o: LSTM(UNITS, unroll=True, **o),
        "expected unroll=False; received unroll=True",
    ),
    "other cell": (
        lambda **o: OtherLSTM(UNITS, **o),
        "expected a cell of class LSTMCell; received OtherCell",
    ),
}


def cudnn_rnn(
    input, input_h, input_c, params, rnn_mode, sequence_lengths, time_major, **_
):
    """What `tf.raw_ops.CudnnRNNV3` computes, in NumPy's letters: x W^T + b + h U^T + d.

    Outputs behind a row's length are zeros; its states are those of its last step.
    """
    assert not time_major
    features, units = input.shape[-1], input_h.shape[-1]
    gates = 4 if rnn_mode == "lstm" else 3
    sizes = [units * features] * gates + [units * units] * gates + [units] * 2 * gates
    parts = tf.split(params, sizes)
    w = [tf.transpose(tf.reshape(p, (units, features))) for p in parts[:gates]]
    u = [tf.transpose(tf.reshape(p, (units, units))) for p in parts[gates : -2 * gates]]
    b, d = parts[-2 * gates : -gates], parts[-gates:]
    h = input_h[:, 0]
    c = input_c[:, 0] if rnn_mode == "lstm" else h
    swapped = tf.sysconfig.get_build_info()["is_cuda_build"]
    outputs = []
    for t in range(input.shape[1]):
        of_x = [input[:, t] @ w[k] + b[k] for k in range(gates)]
        of_h = [h @ u[k] + d[k] for k in range(gates)]
        if rnn_mode == "lstm":
            i, f, g, o = (p + q for p, q in zip(of_x, of_h, strict=True))
            new_c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            new_h = tf.sigmoid(o) * tf.tanh(new_c)
        else:
            both = [tf.sigmoid(p + q) for p, q in zip(of_x, of_h, strict=True)]
            r, z = both[:2] if swapped else both[1::-1]
            new_h = z * h + (1 - z) * tf.tanh(of_x[2] + r * of_h[2])
            new_c = new_h
        real = (t < sequence_lengths)[:, None]
        h, c = tf.where(real, new_h, h), tf.where(real, new_c, c)
        outputs.append(tf.where(real, new_h, 0))
    return tf.stack(outputs, axis=1), h[:, None], c[:, None], None, None


@pytest.fixture
def handed(monkeypatch):
    """With a GPU, as it seems: the arguments of all calls of cuDNN's kernel."""
    calls = []

    def kernel(**arguments):
        calls.append(arguments)
        return cudnn_rnn(**arguments)

    devices = tf.config.list_logical_devices

    def with_gpu(device_type=None):
        return ["GPU:0"] if device_type == "GPU" else devices(device_type)

    monkeypatch.setattr(tf.config, "list_logical_devices", with_gpu)
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", kernel)
    return calls


def both(kind, **options):
    """A layer that hands over and one that does not, with the same weights."""
    layers = [kind(UNITS, use_cudnn=use, **options) for use in ("auto", False)]
    for layer in layers:
        layer.build(X.shape)
    randomise(layers[0])
    layers[1].set_weights(layers[0].get_weights())
    return layers


def assert_same(a, b):
    a, b = tree.flatten(a), tree.flatten(b)
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# Where it is handed over


@each_kind
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("in_graph", [False, True])
def test_plain_calls_are_handed_over(kind, training, in_graph, handed):
    layer = kind(UNITS, dropout=0.2)
    layer.build(X.shape)
    call = tf.function(layer) if in_graph else layer
    call(X, training=training)
    assert len(handed) == 1
    assert handed[0]["rnn_mode"] == kind.__name__.lower()


@each_kind
def test_not_without_a_gpu(kind, handed, monkeypatch):
    monkeypatch.undo()
    assert not cudnn.has_gpu()
    layer = kind(UNITS)
    layer(X)
    assert layer.supports_jit
    with pytest.raises(
        ValueError, match="expected a GPU .*; received none, on the ten"
    ):
        kind(UNITS, use_cudnn=True)(X)


def test_not_on_other_backends(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert not cudnn.has_gpu()


@pytest.mark.parametrize("why", LACKING)
def test_not_with_settings_that_cudnn_lacks(why, handed):
    make, error = LACKING[why]
    for training in (False, True):
        layer = make()
        layer(X, training=training)
    assert not handed
    assert layer.supports_jit
    with pytest.raises(ValueError, match=error):
        make(use_cudnn=True)


def test_not_where_it_is_refused(handed):
    layer = LSTM(UNITS, use_cudnn=False)
    layer(X)
    assert not handed
    assert layer.supports_jit


@pytest.mark.parametrize("use_cudnn", ["auto", True])
def test_not_for_a_graph_that_must_run_anywhere(use_cudnn, handed, tmp_path):
    inputs = keras.Input((TIME, FEATURES))
    model = keras.Model(inputs, GRU(UNITS, use_cudnn=use_cudnn)(inputs))
    handed.clear()
    signature = [tf.TensorSpec((None, TIME, FEATURES))]
    with cudnn.without_cudnn():
        export = reload_export(model, tmp_path, signature)
    assert not handed
    model.layers[-1].use_cudnn = "auto"
    assert_same(export.serve(tf.constant(X)), model(X))
    assert handed


def test_not_under_xla(handed):
    layer, other = both(LSTM)

    @tf.function(jit_compile=True)
    def compiled(x):
        return layer(x)

    @tf.function
    def around(x):
        return compiled(x)

    assert_same(compiled(X), other(X))
    assert_same(around(X), other(X))
    assert not handed
    layer.use_cudnn = True
    with pytest.raises(ValueError, match="without XLA.*received one that XLA compiles"):
        tf.function(layer, jit_compile=True)(X)
    layer.use_cudnn = "auto"
    tf.function(layer)(X)
    assert handed


def test_keras_compiles_without_xla_where_it_takes_cudnn(handed):
    assert not LSTM(UNITS).supports_jit
    assert not GRU(UNITS, use_cudnn=True).supports_jit
    assert LSTM(UNITS, use_cudnn=False).supports_jit


def test_not_with_resets(handed):
    layer, other = both(LSTM, return_sequences=True)
    assert_same(layer(X, reset_mask=RIGHT), other(X, reset_mask=RIGHT))
    assert not handed
    layer.use_cudnn = True
    with pytest.raises(ValueError, match="expected no `reset_mask`; received one"):
        layer(X, reset_mask=RIGHT)


@pytest.mark.parametrize("mask", [LEFT, LEFT[[3] * BATCH], LEFT[[1] * BATCH], HOLES])
def test_not_with_masks_that_are_not_right_padded(mask, handed):
    layer, other = both(GRU, **ALL)
    assert_same(layer(X, mask=mask), other(X, mask=mask))
    assert not handed
    layer.use_cudnn = True
    with pytest.raises(ValueError, match="expected a right-padded mask"):
        layer(X, mask=mask)


# What it gives


def results_and_gradients(layer, x, mask, *states):
    weights = [w.value for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        results = layer(x, initial_state=list(states), mask=mask, training=True)
        loss = sum(tf.reduce_sum(tf.sin(r + i)) for i, r in enumerate(results))
    return results, tape.gradient(loss, [x, *states, *weights])


def start_of(layer):
    sizes = range(len(layer.state_size))
    return [tf.constant(normal(BATCH, UNITS, seed=3 + i)) for i in sizes]


@each_kind
@pytest.mark.parametrize("mask", [None, RIGHT, RIGHT[:, :, None], LEFT])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_numbers_and_gradients(kind, mask, zeros, backwards, sequences, handed):
    layer, other = both(
        kind,
        return_sequences=sequences,
        return_state=True,
        go_backwards=backwards,
        zero_output_for_mask=zeros,
    )
    given = tf.constant(X), mask, *start_of(layer)
    assert_same(
        results_and_gradients(layer, *given), results_and_gradients(other, *given)
    )
    assert len(handed) == (mask is not LEFT)


@pytest.mark.parametrize("kind, backwards", [(LSTM, False), (GRU, True)])
def test_the_mask_decides_when_a_graph_runs(kind, backwards, handed):
    layers = both(kind, go_backwards=backwards, **ALL)
    graphs = [tf.function(functools.partial(results_and_gradients, k)) for k in layers]
    for mask in (RIGHT, LEFT):
        given = tf.constant(X), tf.constant(mask), *start_of(layers[0])
        assert_same(*(graph(*given) for graph in graphs))
    assert len(handed) == 1  # The graph holds both ways.


@each_kind
def test_use_cudnn_true(kind, handed):
    layer, other = both(kind, **ALL)
    layer.use_cudnn = True
    for mask in (RIGHT, None):
        assert_same(layer(X, mask=mask), other(X, mask=mask))
    none = {"mask": RIGHT[:, :0], "initial_state": start_of(layer)}
    assert_same(layer(X[:, :0], **none), other(X[:, :0], **none))
    assert len(handed) == 3
    with pytest.raises(tf.errors.InvalidArgumentError, match="use_cudnn=False"):
        tf.function(layer)(X, mask=tf.constant(LEFT))


@each_kind
@pytest.mark.parametrize("masked", [False, True])
def test_no_steps_in_a_graph(kind, masked, handed, monkeypatch):
    layer, other = both(kind, **ALL)
    states = [normal(BATCH, UNITS, seed=i) for i in range(len(layer.state_size))]
    spec = tf.TensorSpec((BATCH, None, FEATURES))
    plain = tf.raw_ops.CudnnRNNV3

    def of_one_step(input, **arguments):  # The stand-in wants to know how many.
        return plain(input=tf.ensure_shape(input, (BATCH, 1, FEATURES)), **arguments)

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", of_one_step)

    def none(layer):
        @tf.function(input_signature=[spec])
        def call(x):
            mask = tf.ones(tf.shape(x)[:2], bool) if masked else None
            return layer(x, initial_state=states, mask=mask)

        return call(X[:, :0])

    outputs, *last = none(layer)
    assert outputs.shape == (BATCH, 0, UNITS)
    assert_same(last, states)
    assert_same(last, none(other)[1:])
    assert handed


@pytest.mark.parametrize("kind, in_graph", [(LSTM, False), (GRU, True)])
@pytest.mark.parametrize("mask", [None, RIGHT, LEFT])
def test_dropout_of_inputs_is_the_same(kind, in_graph, mask, handed):
    layers = both(kind, dropout=0.5, seed=1, **ALL)
    results = []
    for layer in layers:
        call = tf.function(layer) if in_graph else layer
        results.append([call(X, mask=mask, training=True) for _ in range(2)])
    assert_same(*results)
    assert not np.allclose(results[0][0][0], results[0][1][0])  # new ones every call
    assert_same(layers[0](X, mask=mask), layers[1](X, mask=mask))


def test_state_goes_on_in_a_stateful_layer(handed):
    results = []
    for layer in both(LSTM, stateful=True):
        results.append([layer(X), layer(X, mask=RIGHT)])
    assert_same(*results)
    assert len(handed) == 2


def test_first_states_train(handed):
    gradients = []
    for layer in both(GRU, trainable_state=True):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(X, mask=RIGHT, training=True)))
        gradients.append(tape.gradient(loss, [w.value for w in layer.first_states]))
    assert handed
    assert np.abs(gradients[0][0]).max() > 1e-3
    assert_same(*gradients)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("mask", [None, RIGHT])
def test_dtypes(dtype, mask, handed):
    layer, other = both(LSTM, dtype=dtype, **ALL)
    ours, theirs = (
        [keras.ops.convert_to_numpy(keras.ops.cast(r, "float64")) for r in results]
        for results in (layer(X, mask=mask), other(X, mask=mask))
    )
    for a, b in zip(ours, theirs, strict=True):
        tolerance = {"float64": 1e-9, "mixed_float16": 1e-2}.get(dtype, 6e-2)
        np.testing.assert_allclose(a, b, atol=tolerance)
    assert layer(X, mask=mask)[0].dtype == layer.compute_dtype
    assert handed[0]["input"].dtype == handed[0]["params"].dtype == layer.compute_dtype


@pytest.mark.parametrize("mask", [None, RIGHT, LEFT])
def test_both_directions_are_handed_over(mask, handed):
    layers = [Bidirectional(one, dtype="float32") for one in both(GRU, **ALL)]
    layers[0](X)
    layers[1](X)
    layers[1].set_weights(layers[0].get_weights())
    handed.clear()
    assert_same(layers[0](X, mask=mask), layers[1](X, mask=mask))
    assert len(handed) == (0 if mask is LEFT else 2)
    assert layers[1].forward_layer.use_cudnn is False


# Weights, configs and errors


@each_kind
def test_nothing_is_added_to_the_layer(kind, handed, tmp_path):
    inputs = keras.Input((TIME, FEATURES))
    layer = kind(UNITS, dropout=0.1)
    model = keras.Model(inputs, layer(inputs))
    before = [v.path for v in layer.variables], layer.count_params(), dir(layer)
    expected = model.predict(X, verbose=0)
    assert handed
    assert before == (
        [v.path for v in layer.variables],
        layer.count_params(),
        dir(layer),
    )
    again = reload(model, tmp_path)
    np.testing.assert_allclose(again.predict(X, verbose=0), expected, atol=1e-6)


@each_kind
@pytest.mark.parametrize("use_cudnn", ["auto", True, False])
def test_config(kind, use_cudnn):
    config = kind(UNITS, use_cudnn=use_cudnn).get_config()
    assert config["use_cudnn"] is use_cudnn
    assert kind.from_config(config).use_cudnn is use_cudnn
    del config["use_cudnn"]  # of a layer saved before there was the option
    assert kind.from_config(config).use_cudnn == "auto"
    theirs = kind.keras_layer(UNITS, use_cudnn=use_cudnn)
    assert convert.from_keras(theirs).use_cudnn is use_cudnn
    assert convert.to_keras(convert.from_keras(theirs)).use_cudnn is use_cudnn


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="True or False; received 'yes'"):
        LSTM(UNITS, use_cudnn="yes")
    with pytest.raises(ValueError, match="without cuDNN; received .*use_cudnn=True"):
        Stacked([LSTM(UNITS, use_cudnn=True), GRUCell(UNITS)])
    Stacked([LSTM(UNITS, use_cudnn=False), GRU(UNITS)])
