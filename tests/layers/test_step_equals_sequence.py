"""A layer over a sequence against its steps, with the states carried by hand, for any
shapes, masks, resets and options."""

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from saccade.layers import GRUCell, LSTMCell
from saccade.layers.attention import HardAttention
from saccade.layers.attention_rnn import AttentionRNN
from saccade.layers.fully_recurrent import FullyRecurrent
from saccade.layers.jordan import Jordan
from saccade.layers.minimal import MinGRU, MinGRUCell, MinLSTM
from saccade.layers.stacked import Stacked

from .helpers import normal, randomise

SIZES = st.sampled_from([1, 3])  # few, because TensorFlow prepares anew for each
REGIONS, WIDTH = 3, 2


def jordan(units, **options):
    return Jordan(units, output_units=2, **options)


def fully_recurrent(units, **options):
    return FullyRecurrent(units, output_units=[units - 1], **options)


def stacked(units, **options):
    cells = [LSTMCell(units), MinGRUCell(units), GRUCell(units)]
    return Stacked(cells, residual=True, **options)


def attention(units, **options):
    del options["return_sequences"], options["return_state"]
    return AttentionRNN(GRUCell(units), HardAttention(2), **options)


LAYERS = {  # and the options that are drawn besides those of all
    "jordan": (jordan, ["fast", "go_backwards"]),
    "fully recurrent": (fully_recurrent, ["fast", "go_backwards"]),
    "min gru": (MinGRU, ["parallel", "go_backwards"]),
    "min lstm": (MinLSTM, ["parallel", "go_backwards"]),
    "stacked": (stacked, ["fast", "go_backwards"]),
    "attention": (attention, ["fast", "go_backwards"]),
}


def flags(data, *shape):
    """Booleans of this shape, or None."""
    size = int(np.prod(shape))
    drawn = data.draw(st.none() | st.lists(st.booleans(), min_size=size, max_size=size))
    return None if drawn is None else np.reshape(np.array(drawn, bool), shape)


def steps_by_hand(layer, x, states, start, mask, reset, memory=None):
    """Outputs (batch, time, ...) as a dict, in the order of reading; last states."""
    before, outputs = None, []
    times = range(x.shape[1])
    for t in reversed(times) if layer.go_backwards else times:
        if reset is not None:
            again = reset[:, t, None]
            pairs = zip(start, states, strict=True)
            states = [np.where(again, s, old) for s, old in pairs]
        new, stepped = layer.step(x[:, t], states, memory)
        new = new if isinstance(new, dict) else {"outputs": new}
        new = {part: np.array(value) for part, value in new.items()}
        if mask is not None:
            real = mask[:, t, None]
            pairs = zip(stepped, states, strict=True)
            stepped = [np.where(real, s, old) for s, old in pairs]
            if before is None or layer.zero_output_for_mask:
                before = {part: np.zeros_like(value) for part, value in new.items()}
            attention = ("weights", "chosen")  # of a padded step: zeros
            new = {
                part: np.where(real, value, 0 if part in attention else before[part])
                for part, value in new.items()
            }
        states, before = stepped, new
        outputs.append(new)
    return {k: np.stack([o[k] for o in outputs], axis=1) for k in outputs[0]}, states


@pytest.mark.parametrize("name", LAYERS)
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
@hypothesis.given(data=st.data())
def test_the_sequence_equals_its_steps(name, data):
    make, more = LAYERS[name]
    options = {k: data.draw(st.booleans()) for k in ["zero_output_for_mask", *more]}
    batch, time = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 6))
    features, units = data.draw(SIZES), data.draw(SIZES)
    training = data.draw(st.booleans()) and name != "attention"  # which draws then
    layer = make(units, return_sequences=True, return_state=True, **options)
    call, memory, prepared = {}, None, None
    shapes = {}
    if name == "attention":
        memory = normal(batch, REGIONS, WIDTH, seed=5)
        shapes = {"memory_shape": memory.shape}
        call = {"memory": memory, "memory_mask": flags(data, batch, REGIONS)}
    layer.build((batch, time, features), **shapes)
    randomise(layer)
    if memory is not None:
        prepared = layer.prepare_memory(*call.values())
    x = normal(batch, time, features, seed=data.draw(st.integers(0, 9)))
    states = [normal(batch, n, seed=3 + i) for i, n in enumerate(layer.state_size)]
    mask, reset = flags(data, batch, time), flags(data, batch, time)

    result = layer(
        x,
        initial_state=states,
        mask=mask,
        reset_mask=reset,
        training=training,
        **call,
    )
    if not isinstance(result, dict):
        result = {"outputs": result[0], "states": list(result[1:])}
    start = [np.zeros_like(state) for state in states]
    if name == "attention":
        start = [np.array(state) for state in layer.initial_state_from(*call.values())]
    expected, last = steps_by_hand(layer, x, states, start, mask, reset, prepared)
    assert result.keys() == {*expected, "states"}
    for part, value in expected.items():
        np.testing.assert_allclose(result[part], value, atol=1e-5, err_msg=part)
    for ours, theirs in zip(keras.tree.flatten(result["states"]), last, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
