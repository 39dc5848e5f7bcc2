"""Every option that a layer inherits, on every layer: it works or is refused."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import LSTM, MinGRU, Recurrent, Stacked
from saccade.layers.recurrent import CellLayer

from .every_layer import (
    ALL,
    ATTENTION,
    BATCH,
    LAYERS,
    MASK,
    TIME,
    UNITS,
    Made,
    X,
    assert_equal,
    both_ways,
    packed,
)

# (option, layer): what the refusal must say
REFUSED = {("go_backwards", "Bidirectional"): "reads forwards; received LSTM"}
for attends in ATTENTION:
    REFUSED |= {
        ("return_sequences", attends): "received return_sequences=False",
        ("return_state", attends): "received return_state=False",
        ("stateful", attends): "no stateful=True: .* from the memory",
        ("trainable_state", attends): "no trainable_state=True: .* from the memory",
    }
each_layer = pytest.mark.parametrize("name", LAYERS)


def layers_with(option):
    """The layers that do not refuse the option."""
    refusing = {name for refused, name in REFUSED if refused == option}
    return pytest.mark.parametrize("name", [n for n in LAYERS if n not in refusing])


def test_the_table_is_complete():
    inherited = {
        *inspect.signature(keras.layers.RNN.__init__).parameters,
        *inspect.signature(Recurrent.__init__).parameters,
        *inspect.signature(CellLayer.__init__).parameters,
    }
    inherited -= {"self", "cell", "units", "kwargs", "cell_options"}
    tests = " ".join(name for name in globals() if name.startswith("test_"))
    assert not [option for option in inherited if option not in tests]


@pytest.mark.parametrize("option, name", REFUSED)
def test_what_is_refused(option, name):
    with pytest.raises(ValueError, match=REFUSED[option, name]):
        LAYERS[name](**{option: option not in ALL})


@layers_with("return_sequences")
def test_return_sequences(name):
    made, last = Made(name, **ALL), Made(name, return_state=True)
    (outputs, states), (output, same) = made(X), last(X)
    assert outputs.shape[:2] == (BATCH, TIME)
    if name == "Bidirectional":  # whose second direction ends at the first step
        outputs = np.concatenate([outputs[:, -1, :UNITS], outputs[:, 0, UNITS:]], -1)
        assert_equal([output, *same], [outputs, *states])
    else:
        assert_equal([output, *same], [outputs[:, -1], *states])


@layers_with("return_state")
def test_return_state(name):
    plain, made = Made(name, return_sequences=True), Made(name, **ALL)
    outputs, states = made(X)
    assert_equal(plain(X), (outputs, []))
    # The states are those from which the next call goes on.
    longer = np.concatenate([X, X], axis=1)
    again = made(X, initial_state=packed(made.layer, states))[0]
    if name == "Bidirectional":
        again, expected = again[..., :UNITS], made(longer)[0][..., :UNITS]
    else:
        expected = made(longer)[0]
    assert_equal(again, expected[:, TIME:])


@layers_with("go_backwards")
def test_go_backwards(name):
    plain, made = Made(name, **ALL), Made(name, go_backwards=True, **ALL)
    assert_equal(made(X), plain(X[:, ::-1]))
    assert not np.allclose(made(X)[0], plain(X)[0])


@layers_with("stateful")
def test_stateful(name):
    """Parts read one after the other are the whole, and reset_state begins anew."""
    plain, made = Made(name, **ALL), Made(name, stateful=True, return_sequences=True)
    start = plain.layer.get_initial_state(BATCH) if name != "Bidirectional" else None
    reset = np.array([[0, 1, 0, 0], [0, 0, 0, 0]], bool)
    parts = [slice(0, 1), slice(1, 3), slice(3, 4)]

    def call(made, part, **call):
        if name != "Bidirectional":  # where a reset is two in opposite directions
            call["reset_mask"] = reset[:, part]
        return made(X[:, part], **call)

    def in_parts():
        return [call(made, part)[0] for part in parts]

    expected, states = [], start
    for part in parts:
        outputs, flat = call(plain, part, initial_state=states)
        states = packed(plain.layer, flat)
        expected.append(outputs)
    first = in_parts()
    assert_equal(first, expected)
    if name != "Bidirectional":  # whose second direction has no whole in parts
        assert_equal(np.concatenate(first, 1), call(plain, slice(0, 4))[0])
    assert not np.allclose(in_parts()[0], first[0])  # it goes on from where it is
    made.layer.reset_state()
    assert_equal(in_parts(), first)
    made.layer.reset_states()  # the older name
    assert_equal(in_parts(), first)


@each_layer
def test_unroll(name):
    assert_equal(Made(name, unroll=True, **ALL)(X), Made(name, **ALL)(X))


@each_layer
def test_zero_output_for_mask(name):
    made = Made(name, zero_output_for_mask=True, **ALL)
    outputs, states = made(X, mask=MASK)
    plain, same = Made(name, **ALL)(X, mask=MASK)
    assert_equal(states, same)
    assert_equal(outputs[MASK], plain[MASK])
    np.testing.assert_array_equal(outputs[~MASK], 0)
    if name == "Bidirectional":
        np.testing.assert_array_equal(plain[~MASK], 0)
    else:
        assert_equal(plain[0, 2:], np.repeat(plain[0, 1:2], 2, 0))


def test_zero_output_for_mask_of_a_last_output_is_refused():
    expected = "received LSTM .* zero_output_for_mask=True. Leave that out"
    with pytest.raises(ValueError, match=expected):
        both_ways(zero_output_for_mask=True)


@each_layer
def test_activity_regularizer(name):
    made = Made(name, activity_regularizer=keras.regularizers.L2(0.5))
    made.layer(X, **made.memory)
    outputs = keras.tree.flatten(made.raw(X))
    expected = sum(0.5 * np.sum(np.square(output)) / BATCH for output in outputs)
    np.testing.assert_allclose(sum(made.layer.losses), expected, rtol=1e-5)
    again = type(made.layer).from_config(made.layer.get_config())
    assert again.activity_regularizer.l2 == 0.5


@layers_with("trainable_state")
def test_trainable_state(name):
    plain, made = Made(name, **ALL), Made(name, trainable_state=True, **ALL)
    first = [w for w in made.layer.trainable_weights if "first_state" in w.name]
    rest = [w for w in made.layer.weights if "first_state" not in w.name]
    assert len(first) == len(plain(X)[1])
    for theirs, ours in zip(plain.layer.weights, rest, strict=True):
        theirs.assign(ours)
    states = [np.tile(w, (BATCH, 1)) for w in first]
    expected = plain(X, initial_state=packed(plain.layer, states))
    assert_equal(made(X), expected)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(keras.tree.flatten(made.raw(X, training=True))[0])
    assert all(np.abs(g).max() > 0 for g in tape.gradient(loss, first))
    again = type(made.layer).from_config(made.layer.get_config())
    again(X, **made.memory)
    assert len(again.weights) == len(made.layer.weights)


@layers_with("trainable_state")
def test_trainable_state_of_a_stateful_layer_is_refused(name):
    with pytest.raises(ValueError, match="either trainable_state=True or stateful"):
        LAYERS[name](trainable_state=True, stateful=True)


def test_trainable_state_is_read_only_after_build():
    with pytest.raises(ValueError, match="'early' expected to be built"):
        LSTM(3, trainable_state=True, name="early").get_initial_state(2)


def test_reset_mask_of_a_list_of_cells():
    made = Made("Recurrent, list", **ALL)
    reset = np.array([[0, 0, 1, 0]] * BATCH, bool)
    outputs, states = made(X, reset_mask=reset)
    assert_equal([outputs[:, :2]], [made(X[:, :2])[0]])
    assert_equal([outputs[:, 2:], *states], made(X[:, 2:]))


@each_layer
def test_fast_and_hoist_change_no_number(name):
    given = {"fast": False, "hoist": True}
    expected = Made(name, **ALL)(X, mask=MASK)
    for option, value in given.items():
        made = Made(name, **{option: value}, **ALL)
        assert_equal(made(X, mask=MASK), expected)
        inner = getattr(made.layer, "forward_layer", made.layer)
        assert inner.get_config()[option] is value


@each_layer
def test_trainable(name):
    frozen, free = Made(name, trainable=False), Made(name)
    assert not frozen.layer.trainable_weights
    assert len(frozen.layer.weights) == len(free.layer.weights)
    assert frozen.layer.get_config()["trainable"] is False
    frozen.layer.trainable = True
    ours = [w.name for w in frozen.layer.trainable_weights]
    assert ours == [w.name for w in free.layer.trainable_weights]


@each_layer
def test_dtype(name):
    made = Made(name, dtype="float64", **ALL)
    outputs, states = made(X)
    assert outputs.dtype == "float64"
    assert all(keras.backend.standardize_dtype(s.dtype) == "float64" for s in states)
    kernels = [w for w in made.layer.weights if w.name == "kernel"]
    assert {w.dtype for w in kernels} == {"float64"}
    assert_equal(outputs, Made(name, **ALL)(X)[0])
    assert made.layer.dtype_policy.name == "float64"


@each_layer
def test_name(name):
    layer = LAYERS[name](name="mine")
    assert layer.name == "mine"
    assert type(layer).from_config(layer.get_config()).name == "mine"


def test_options_of_a_layer_whose_cell_a_stack_takes_are_refused():
    options = {
        "go_backwards": True,
        "stateful": True,
        "unroll": True,
        "zero_output_for_mask": True,
        "fast": False,
        "hoist": True,
        "trainable_state": True,
    }
    for option, value in options.items():
        layer = LSTM(UNITS, **{option: value})
        with pytest.raises(ValueError, match=f"{option}={value}. Give that option"):
            Stacked([layer])
    with pytest.raises(ValueError, match="activity_regularizer=.* Give that option"):
        Stacked([LSTM(UNITS, activity_regularizer="l2")])
    with pytest.raises(ValueError, match="parallel=False. Leave that out"):
        Stacked([MinGRU(UNITS, parallel=False)])
