"""AttentionRNN against Xu et al. 2015 in NumPy, and its life in models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import (
    LSTM,
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    FullyRecurrentCell,
    GRUCell,
    HardAttention,
    LSTMCell,
    Recurrent,
)

from .helpers import (
    BATCH,
    FEATURES,
    TIME,
    UNITS,
    check_gradients,
    fit_moves_all,
    normal,
    randomise,
    reload,
    sigmoid,
)
from .test_attention import REGIONS, VALUES_MASK, WIDTH
from .test_attention import numpy_weights as weigh
from .test_lstm import numpy_step as lstm_step

SCORERS = 7  # units of the attention
PADDING = np.arange(TIME) < np.array([[5], [2], [0], [4]])


def data(dtype="float32"):
    x = normal(BATCH, TIME, FEATURES, dtype=dtype)
    return x, normal(BATCH, REGIONS, WIDTH, seed=1, dtype=dtype)


def make(cell=LSTMCell, attention=BahdanauAttention, **options):
    dtype = options.get("dtype")
    layer = AttentionRNN(
        cell(UNITS, dtype=dtype), attention(SCORERS, dtype=dtype), **options
    )
    layer.build((BATCH, TIME, FEATURES), memory_shape=(BATCH, REGIONS, WIDTH))
    return randomise(layer)


def mean_of(memory, mask):
    if mask is None:
        return memory.mean(1)
    return (memory * mask[..., None]).sum(1) / np.maximum(mask.sum(1), 1)[:, None]


def run_by_hand(layer, x, memory, memory_mask):
    """Xu et al. 2015 with an LSTM, all steps real: a dict like the layer's."""
    cell = layer.cell
    step = lstm_step({w.name: w.numpy() for w in cell.cell.trainable_weights})
    mean = mean_of(memory, memory_mask)
    states = [
        np.tanh(mean @ dense.kernel.numpy() + dense.bias.numpy())
        for dense in layer.initial_layers
    ]
    result = {"outputs": [], "contexts": [], "weights": []}
    for t in range(x.shape[1]):
        weights = weigh(layer.attention, states[0], memory, memory_mask)
        context = np.einsum("bl,bld->bd", weights, memory)
        beta = 1
        if layer.gate:
            gate = states[0] @ cell.gate_kernel.numpy() + cell.gate_bias.numpy()
            beta = sigmoid(gate)
        states = step(np.concatenate([x[:, t], beta * context], -1), states)
        for part, value in zip(result, (states[0], context, weights), strict=True):
            result[part].append(value)
    return {**{k: np.stack(v, 1) for k, v in result.items()}, "states": states}


LEVELS = {
    "list": lambda **o: [LSTMCell(UNITS, **o), GRUCell(3, **o)],
    "one": lambda **o: [LSTMCell(UNITS, **o)],
    "every": lambda **o: ConditionedCell(
        keras.layers.StackedRNNCells([GRUCell(UNITS, **o), LSTMCell(3, **o)])
    ),
}


def of_levels(levels, **options):
    layer = AttentionRNN(LEVELS[levels](), BahdanauAttention(SCORERS), **options)
    layer.build((BATCH, TIME, FEATURES), memory_shape=(BATCH, REGIONS, WIDTH))
    return randomise(layer)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("mask", [None, PADDING], ids=["whole", "padded"])
@pytest.mark.parametrize("levels", LEVELS)
def test_levels_equal_the_cells_one_by_one(levels, mask, fast):
    """The lowest level is the query and reads the context; only h goes up."""
    x, memory = data()
    layer = of_levels(levels, fast=fast)
    result = layer(x, memory=memory, sequences_mask=mask)

    inner = layer.cell.cell
    inner = inner.cell if levels == "every" else inner
    cells = getattr(inner, "cells", [inner])
    states = layer.initial_state_from(memory)
    states = [states] if levels == "one" else states
    for t in range(TIME):
        query = keras.tree.flatten(states)[0]
        context, weights = layer.attention(query, memory)
        gate = query @ layer.cell.gate_kernel + layer.cell.gate_bias
        h = keras.ops.concatenate([x[:, t], keras.ops.sigmoid(gate) * context], -1)
        if levels == "every":
            h = keras.ops.concatenate([h, memory.mean(1)], -1)
        stepped = []
        for cell, old in zip(cells, states, strict=True):
            h, new = cell(h, old)
            stepped.append(new)
        real = np.ones(BATCH, bool) if mask is None else mask[:, t]
        keep = real[:, None]
        states = keras.tree.map_structure(
            lambda new, old, keep=keep: np.where(keep, new, old), stepped, states
        )
        for part, value in [("outputs", h), ("contexts", context)]:
            np.testing.assert_allclose(
                result[part][:, t][real], value[real], atol=1e-5, err_msg=part
            )
        np.testing.assert_allclose(result["weights"][:, t], weights * keep, atol=1e-5)
    flat = zip(
        keras.tree.flatten(result["states"]), keras.tree.flatten(states), strict=True
    )
    for ours, theirs in flat:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("levels", LEVELS)
def test_levels_step_by_step(levels):
    x, memory = data()
    layer = of_levels(levels)
    result = layer(x, memory=memory)
    prepared, states = layer.prepare_memory(memory), layer.initial_state_from(memory)
    for t in range(TIME):
        stepped, states = layer.step(x[:, t], states, prepared)
        for part, value in stepped.items():
            np.testing.assert_allclose(value, result[part][:, t], atol=1e-6)
    keras.tree.assert_same_structure(states, result["states"])


@pytest.mark.parametrize(
    "jit",
    [
        pytest.param(False, id="plain"),
        pytest.param(True, id="xla", marks=pytest.mark.slow),
    ],
)
def test_a_model_of_levels_trains_and_comes_back(tmp_path, jit):
    x, memory = data()
    cells = [
        LSTMCell(UNITS, dropout=0.3, recurrent_dropout=0.3),
        GRUCell(3, dropout=0.3),
    ]
    rnn = AttentionRNN(cells, BahdanauAttention(SCORERS))
    inputs = [keras.Input(x.shape[1:]), keras.Input(memory.shape[1:])]
    result = rnn(inputs[0], memory=inputs[1])
    outputs = [result["outputs"], *keras.tree.flatten(result["states"])]
    assert [o.shape[1:] for o in outputs] == [(TIME, 3), (UNITS,), (UNITS,), (3,)]
    model = keras.Model(inputs, outputs)
    fit_moves_all(model, [x, memory], jit)
    again = reload(model, tmp_path)
    for ours, theirs in zip(again([x, memory]), model([x, memory]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_layer_is_no_level():
    with pytest.raises(ValueError, match="expected a cell.*received the layer LSTM"):
        AttentionRNN([LSTMCell(2), LSTM(2)], BahdanauAttention(SCORERS))


@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("mask", [None, VALUES_MASK], ids=["unmasked", "masked"])
def test_equals_numpy(gate, mask):
    layer = make(gate=gate)
    x, memory = data()
    result = layer(x, memory=memory, memory_mask=mask)
    expected = run_by_hand(layer, x, memory, mask)
    for part in ("outputs", "contexts", "weights"):
        np.testing.assert_allclose(result[part], expected[part], atol=2e-6)
    for ours, theirs in zip(result["states"], expected["states"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    np.testing.assert_array_equal(result["chosen"], result["weights"])


@pytest.mark.parametrize("fast", [True, False])
def test_input_feeding_equals_numpy(fast):
    """f = tanh([h; context] Wf + bf), which the cell reads in the step behind it."""
    x, memory = data()
    layer = make(gate=False, input_feeding=True, fast=fast)
    cell = layer.cell
    step = lstm_step({w.name: w.numpy() for w in cell.cell.trainable_weights})
    mean = memory.mean(1)
    *states, fed = [
        np.tanh(mean @ dense.kernel.numpy() + dense.bias.numpy())
        for dense in layer.initial_layers
    ]
    assert fed.shape == (BATCH, UNITS)
    result = layer(x, memory=memory)
    for t in range(TIME):
        weights = weigh(layer.attention, states[0], memory, None)
        context = np.einsum("bl,bld->bd", weights, memory)
        states = step(np.concatenate([x[:, t], context, fed], -1), states)
        both = np.concatenate([states[0], context], -1)
        fed = np.tanh(both @ cell.feed_kernel.numpy() + cell.feed_bias.numpy())
        for name, value in (("outputs", states[0]), ("contexts", context)):
            np.testing.assert_allclose(result[name][:, t], value, atol=1e-5)
    for ours, theirs in zip(result["states"], [*states, fed], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_given_states_replace_those_from_the_mean():
    layer = make()
    x, memory = data()
    start = layer.initial_state_from(memory)
    given = layer(x, memory=memory, initial_state=start)
    own = layer(x, memory=memory)
    np.testing.assert_allclose(given["outputs"], own["outputs"], atol=1e-6)
    zeros = [tf.zeros_like(s) for s in start]
    other = layer(x, memory=memory, initial_state=zeros)
    assert not np.allclose(other["outputs"], own["outputs"], atol=1e-3)


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
def test_step_loop_equals_call(cell):
    layer = make(cell)
    x, memory = data()
    whole = layer(x, memory=memory, memory_mask=VALUES_MASK)
    prepared = layer.prepare_memory(memory, VALUES_MASK)
    states = layer.initial_state_from(memory, VALUES_MASK)
    for t in range(TIME):
        result, states = layer.step(x[:, t], states, prepared)
        for part, value in result.items():
            np.testing.assert_allclose(value, whole[part][:, t], atol=1e-6)
    for ours, theirs in zip(states, whole["states"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_an_inner_conditioned_cell_sees_the_mean_region():
    """Equal to the mean region joined to the input of a plain inner cell."""
    layer = make(lambda units, dtype: ConditionedCell(LSTMCell(units)))
    x, memory = data()
    plain = AttentionRNN(LSTMCell(UNITS), BahdanauAttention(SCORERS), gate=False)
    layer = AttentionRNN(
        ConditionedCell(LSTMCell(UNITS)), BahdanauAttention(SCORERS), gate=False
    )
    result = layer(x, memory=memory, memory_mask=VALUES_MASK)
    mean = np.repeat(mean_of(memory, VALUES_MASK)[:, None], TIME, axis=1)
    joined = np.concatenate([mean, x], axis=-1)
    plain(joined, memory=memory)
    # The rows of the kernel: [x; context; mean] there, [mean; x; context] here.
    for ours, theirs in zip(plain.weights, layer.weights, strict=True):
        value = theirs.numpy()
        if ours is plain.cell.cell.kernel:
            value = np.concatenate([value[-WIDTH:], value[:-WIDTH]])
        ours.assign(value)
    expected = plain(joined, memory=memory, memory_mask=VALUES_MASK)
    np.testing.assert_allclose(result["outputs"], expected["outputs"], atol=1e-6)


def test_a_layer_in_the_place_of_the_cell_is_an_error():
    expected = (
        "^AttentionRNN expected a cell, which does one step; received the layer LSTM "
        r"'whole', .* a cell in its place: LSTMCell\(\.\.\.\)\."
    )
    with pytest.raises(ValueError, match=expected):
        AttentionRNN(LSTM(UNITS, name="whole"), BahdanauAttention(SCORERS))
    with pytest.raises(ValueError, match="^AttentionRNN expected a cell.*<Dense"):
        AttentionRNN(keras.layers.Dense(UNITS), BahdanauAttention(SCORERS))


@pytest.mark.parametrize("given", [True, False], ids=["state", "own_state"])
@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1)], ids=str)
def test_lengths_in_the_place_of_memory_mask_are_an_error(given, shape):
    layer = make()
    x, memory = data()
    states = layer.initial_state_from(memory) if given else None
    lengths = np.arange(BATCH).reshape(shape) + 1
    with pytest.raises(ValueError) as refused:
        layer(x, memory=memory, memory_mask=lengths, initial_state=states)
    message = str(refused.value)
    assert f"`memory_mask` of shape (batch, regions) = ({BATCH}, {REGIONS})" in message
    assert f"received shape {shape}, int64" in message
    assert f"`keras.ops.arange({REGIONS}) < lengths[:, None]`" in message


@pytest.mark.parametrize("argument", ["mask", "sequences_mask", "reset_mask"])
def test_lengths_in_the_place_of_the_other_masks_are_an_error(argument):
    layer = make()
    x, memory = data()
    expected = rf"AttentionRNN '.*' expected .*`{argument}`.* \(batch, time\)"
    with pytest.raises(ValueError, match=expected):
        layer(x, memory=memory, **{argument: np.arange(BATCH) + 1})


def test_padded_steps_have_no_weights_and_keep_the_states():
    layer = make(attention=HardAttention)
    x, memory = data()
    result = layer(x, memory=memory, sequences_mask=PADDING, training=True)
    for part in ("weights", "chosen"):
        sums = np.sum(result[part], axis=-1)
        np.testing.assert_allclose(sums, PADDING, atol=1e-6)
    start = layer.initial_state_from(memory)
    np.testing.assert_allclose(result["states"][0][2], start[0][2], atol=1e-6)


def test_a_row_without_regions_is_finite_and_spoils_no_other():
    layer = make()
    x, memory = data()
    with tf.GradientTape() as tape:
        result = layer(x, memory=memory, memory_mask=VALUES_MASK)
        loss = tf.reduce_sum(result["outputs"] ** 2)
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert all(np.isfinite(g).all() for g in gradients)
    assert not np.any(result["contexts"][2]) and not np.any(result["weights"][2])
    others = [0, 1, 3]
    alone = layer(x[others], memory=memory[others], memory_mask=VALUES_MASK[others])
    np.testing.assert_allclose(
        np.array(result["outputs"])[others], alone["outputs"], atol=1e-6
    )


@pytest.mark.parametrize("masked", [False, True])
def test_penalty_is_the_doubly_stochastic_one(masked):
    layer = make(penalty=0.7)
    x, memory = data()
    mask = VALUES_MASK if masked else None
    weights = layer(x, memory=memory, memory_mask=mask)["weights"]
    missing = (1 - np.sum(weights, axis=1)) ** 2
    if masked:
        missing = missing * mask
    (loss,) = layer.losses
    np.testing.assert_allclose(loss, 0.7 * missing.sum(-1).mean(), rtol=1e-5)
    assert make().losses == []


@pytest.mark.parametrize("attention", [BahdanauAttention, HardAttention])
def test_gradients(attention):
    """Through the first state, which comes from the memory, and all weights. Hard
    attention passes none through its choice, which small moves do not change."""
    layer = make(GRUCell, attention, dtype="float64")
    x, memory = data("float64")
    mix = normal(BATCH, TIME, UNITS + REGIONS, seed=4, dtype="float64")
    rest = [w.value for w in layer.non_trainable_variables]

    def function(tensors):
        x, memory, *weights = tensors
        result, _ = layer.stateless_call(
            weights, rest, x, memory=memory, memory_mask=VALUES_MASK, mask=PADDING
        )
        both = tf.concat([result["outputs"], result["weights"]], axis=-1)
        return tf.reduce_sum(both * mix)

    check_gradients(
        function, [x, memory, *(w.numpy() for w in layer.trainable_weights)]
    )


def test_values_are_projected_once_outside_of_the_loop():
    """One product with Wk for the sequence; inside the loop, only the query's."""
    layer = make()
    x, memory = data()
    run = tf.function(lambda x, memory: layer(x, memory=memory)["outputs"])
    graph = run.get_concrete_function(x, memory).graph

    def products(nodes):
        """How many products there are with Wk and with Wq."""
        found = [n for n in nodes if "MatMul" in n.type or n.type == "Einsum"]
        shapes = [n.inputs[1].shape.as_list() for n in found]
        return shapes.count([WIDTH, SCORERS]), shapes.count([UNITS, SCORERS])

    bodies = [
        function.graph.get_operations()
        for name, function in graph._functions.items()
        if "body" in str(name)
    ]
    assert bodies, "the loop was unrolled, or TensorFlow names its bodies anew"
    # Keras takes one step outside of the loop, to learn the shape of its output.
    assert products(graph.get_operations()) == (1, 1)
    assert [products(body) for body in bodies] == [(0, 1)]


@pytest.mark.parametrize("attention", [BahdanauAttention, HardAttention])
@pytest.mark.parametrize("option", [None, "go_backwards", "zero_output_for_mask"])
def test_unrolled_by_keras_equals_the_loop(attention, option):
    """One option at a time: Keras 3.15 does not turn the mask when both are given."""
    layer = make(attention=attention, **({option: True} if option else {}))
    x, memory = data()
    call = {"memory": memory, "memory_mask": VALUES_MASK, "mask": PADDING}
    looped = layer(x, **call)
    layer.unroll = True
    unrolled = layer(x, **call)
    assert unrolled.keys() == looped.keys()
    for ours, theirs in zip(
        tf.nest.flatten(unrolled), tf.nest.flatten(looped), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.ptp(unrolled["contexts"]) > 0.1


def test_another_layer_around_the_cell_gives_h_alone():
    layer = make()
    x, memory = data()
    plain = Recurrent(layer.cell, return_sequences=True)
    states = layer.initial_state_from(memory)
    h = plain(x, memory=memory, initial_state=states)
    np.testing.assert_allclose(h, layer(x, memory=memory)["outputs"], atol=1e-6)
    symbolic = plain(keras.Input(x.shape[1:]), memory=keras.Input(memory.shape[1:]))
    assert symbolic.shape == (None, *h.shape[1:])
    stepped, _ = plain.step(x[:, 0], states, plain.prepare_memory(memory))
    np.testing.assert_allclose(stepped, h[:, 0], atol=1e-6)


def test_symbolic_shapes_equal_real_ones():
    layer = make(attention=HardAttention)
    x, memory = data()
    symbolic = layer(
        keras.Input((TIME, FEATURES)), memory=keras.Input((REGIONS, WIDTH))
    )
    real = layer(x, memory=memory)
    assert symbolic.keys() == real.keys()
    for ours, theirs in zip(
        tf.nest.flatten(symbolic), tf.nest.flatten(real), strict=True
    ):
        assert ours.shape == (None, *theirs.shape[1:])


def test_errors():
    x, memory = data()
    layer = AttentionRNN(LSTMCell(UNITS), BahdanauAttention(3), name="looker")
    missing = "AttentionRNN 'looker' expected `memory=`, a tensor of shape"
    with pytest.raises(ValueError, match=missing):
        layer(x)
    for wrong in (memory[:, 0], memory[:, None]):
        with pytest.raises(
            ValueError, match="AttentionCell expected a memory of shape"
        ):
            layer(x, memory=wrong)
    layer(x, memory=memory)
    with pytest.raises(ValueError, match=missing):
        layer(x)
    with pytest.raises(ValueError, match="AttentionCell expected a memory of shape"):
        layer(x, memory=memory[:, None])
    with pytest.raises(ValueError, match="received return_sequences=False"):
        AttentionRNN(LSTMCell(3), BahdanauAttention(3), return_sequences=False)


def test_an_output_smaller_than_the_state():
    """The query is the state, whatever part of it the cell shows."""
    cell = FullyRecurrentCell(4, output_units=[1])
    result = AttentionRNN(cell, BahdanauAttention(3))(
        normal(BATCH, TIME, FEATURES), memory=normal(BATCH, 6, 2)
    )
    assert result["outputs"].shape == (BATCH, TIME, 1)
    assert result["states"][0].shape == (BATCH, 4)
