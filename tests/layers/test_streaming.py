"""One sequence in one call, in windows, step by step, and several in one row."""

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
    FullyRecurrent,
    GRUCell,
    Jordan,
    LayerNormLSTM,
    LSTMCell,
    MinGRU,
    MinLSTM,
    Recurrent,
    ZoneoutCell,
)

from .helpers import BATCH, FEATURES, TIME, UNITS, normal, randomise

SEQUENCES = normal(BATCH, TIME, FEATURES)
VECTOR = normal(BATCH, 2, seed=1)
REGIONS = normal(BATCH, 6, 2, seed=2)
ALL = {"return_sequences": True, "return_state": True}
LAYERS = {
    "elman": lambda: Elman(UNITS, **ALL),
    "jordan": lambda: Jordan(UNITS, output_units=2, **ALL),
    "fully": lambda: FullyRecurrent(UNITS, output_units=[2, 0], **ALL),
    "lstm": lambda: LSTM(UNITS, **ALL),
    "peephole": lambda: LSTM(UNITS, peephole=True, **ALL),
    "gru-after": lambda: GRU(UNITS, **ALL),
    "gru-before": lambda: GRU(UNITS, reset_after=False, **ALL),
    "layer-norm": lambda: LayerNormLSTM(UNITS, **ALL),
    "min-gru": lambda: MinGRU(UNITS, **ALL),
    "min-lstm": lambda: MinLSTM(UNITS, **ALL),
    "zoneout": lambda: Recurrent(ZoneoutCell(LSTMCell(UNITS), [0.1, 0.5]), **ALL),
    "keras": lambda: Recurrent(keras.layers.GRUCell(UNITS), **ALL),
    "conditioned": lambda: Recurrent(ConditionedCell(ElmanCell(UNITS)), **ALL),
    "attention": lambda: AttentionRNN(GRUCell(UNITS), BahdanauAttention(3)),
}
MEMORIES = {"conditioned": VECTOR, "attention": REGIONS}
each_layer = pytest.mark.parametrize("name", LAYERS)


def made(name):
    """The layer, and a function (sequences, states, **options) -> outputs, states."""
    layer, memory = LAYERS[name](), MEMORIES.get(name)
    given = {} if memory is None else {"memory": memory}

    def call(sequences, states=None, **options):
        result = layer(sequences, initial_state=states, **given, **options)
        if isinstance(result, dict):
            return result["outputs"], result["states"]
        return result[0], list(result[1:])

    call(SEQUENCES)
    return randomise(layer), call, memory


def close(got, expected):
    for a, b in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@each_layer
def test_windows_and_steps_give_what_one_call_gives(name):
    layer, call, memory = made(name)
    whole, last = call(SEQUENCES)

    first, states = call(SEQUENCES[:, :2])
    second, states = call(SEQUENCES[:, 2:], states)
    close([np.concatenate([first, second], axis=1), states], [whole, last])

    _, states = call(SEQUENCES[:, :2])
    prepared = None if memory is None else layer.prepare_memory(memory)
    for t in range(2, TIME):
        output, states = layer.step(SEQUENCES[:, t], states, prepared)
        output = output["outputs"] if isinstance(output, dict) else output
        close(output, whole[:, t])
    close(states, last)


@pytest.mark.parametrize(
    "name,training",
    [(n, t) for n in LAYERS for t in (False, True) if not (t and n == "zoneout")],
)
def test_a_reset_starts_the_row_anew(name, training):
    """Rows 1 and 2 hold two sequences each; the others go on."""
    _, call, _ = made(name)
    reset = np.zeros((BATCH, TIME), bool)
    reset[1, 2] = reset[2, 3] = True
    outputs, states = call(SEQUENCES, reset_mask=reset, training=training)
    without, last = call(SEQUENCES)
    for row, at in {1: 2, 2: 3}.items():
        again, fresh = call(SEQUENCES[:, at:])
        close(outputs[row, :at], without[row, :at])
        close(outputs[row, at:], again[row])
        close([s[row] for s in states], [s[row] for s in fresh])
        assert not np.allclose(outputs[row, at:], without[row, at:], atol=1e-3)
    for row in (0, 3):
        close([outputs[row]], [without[row]])


@pytest.mark.parametrize("fast", [True, False])
def test_gradients_pass_a_reset_only_into_the_own_initial_state(fast):
    """A row that is reset before step 3 forgets: no gradient to the steps before."""
    layer = LSTM(UNITS, fast=fast, trainable_state=True)
    layer(SEQUENCES)
    randomise(layer)
    x = tf.constant(SEQUENCES)
    states = [tf.constant(normal(BATCH, UNITS, seed=i)) for i in (3, 4)]
    reset = np.zeros((BATCH, TIME), bool)
    reset[0, 3] = True
    own = [state.value for state in layer.first_states]
    with tf.GradientTape() as tape:
        tape.watch([x, states])
        output = layer(x, initial_state=states, reset_mask=reset, training=True)
        value = tf.reduce_sum(tf.sin(output))
    d_x, d_states, d_own = tape.gradient(value, [x, states, own])
    assert np.all(d_x[0, :3] == 0) and np.all(np.any(d_x[0, 3:] != 0, axis=-1))
    assert np.all(np.any(d_x[1] != 0, axis=-1))
    for state in d_states:
        assert np.all(state[0] == 0) and np.all(np.any(state[1:] != 0, axis=-1))

    with tf.GradientTape() as tape:
        output = layer(x[:1, 3:], training=True)
        value = tf.reduce_sum(tf.sin(output))
    for got, expected in zip(d_own, tape.gradient(value, own), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_a_reset_forgets_a_state_that_was_handed_over(name):
    """Windows of one stream: a document that begins in the second one starts anew."""
    _, call, _ = made(name)
    _, states = call(SEQUENCES[:, :3])
    reset = np.zeros((BATCH, TIME - 3), bool)
    reset[1, 1] = True
    outputs, _ = call(SEQUENCES[:, 3:], states, reset_mask=reset)
    alone, _ = call(SEQUENCES[:, 4:])
    on, _ = call(SEQUENCES[:, 3:], states)
    close([outputs[1, 1:], outputs[0]], [alone[1], on[0]])


def test_resets_and_masks_and_the_other_direction():
    """A reset counts in the order of reading, and on a padded step too."""
    layer = GRU(UNITS, return_sequences=True, go_backwards=True)
    layer(SEQUENCES)
    randomise(layer)
    mask = np.ones((BATCH, TIME), bool)
    mask[:, 2] = False
    reset = ~mask
    outputs = layer(SEQUENCES, mask=mask, reset_mask=reset)
    np.testing.assert_allclose(outputs[:, 3:], layer(SEQUENCES[:, :2]), atol=1e-6)


def test_a_trainable_first_state():
    layer = LSTM(UNITS, trainable_state=True)
    plain = LSTM(UNITS)
    layer(SEQUENCES), plain(SEQUENCES)
    assert [w.name for w in layer.weights[:2]] == ["first_state_0", "first_state_1"]
    plain.set_weights(layer.get_weights()[2:])
    np.testing.assert_array_equal(layer(SEQUENCES), plain(SEQUENCES))

    randomise(layer)
    plain.set_weights(layer.get_weights()[2:])
    states = [np.tile(w, (BATCH, 1)) for w in layer.get_weights()[:2]]
    expected = plain(SEQUENCES, initial_state=states)
    np.testing.assert_allclose(layer(SEQUENCES), expected, atol=1e-6)
    given = layer(SEQUENCES, initial_state=[0 * s for s in states])
    np.testing.assert_allclose(given, plain(SEQUENCES), atol=1e-6)

    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer(SEQUENCES, training=True))
    for gradient in tape.gradient(value, layer.first_states):
        assert np.all(gradient != 0)


def test_a_trainable_first_state_is_saved(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), GRU(3, trainable_state=True)]
    )
    randomise(model)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(SEQUENCES), model(SEQUENCES))


class TestZoneout:
    def test_inference_is_the_expectation(self):
        cell = ElmanCell(UNITS)
        zoned, plain = Recurrent(ZoneoutCell(cell, 0.3)), Recurrent(cell)
        zoned(SEQUENCES)
        randomise(zoned)
        h = np.zeros((BATCH, UNITS), "float32")
        for t in range(TIME):
            h = (
                0.3 * h
                + 0.7 * plain(SEQUENCES[:, t : t + 1], initial_state=[h]).numpy()
            )
        np.testing.assert_allclose(zoned(SEQUENCES), h, atol=1e-6)

    def test_training_keeps_units_at_the_rate(self):
        cell = ElmanCell(400, activation="linear", recurrent_initializer="identity")
        layer = Recurrent(ZoneoutCell(cell, 0.3, seed=1), return_sequences=True)
        outputs = layer(np.ones((5, 20, 2), "float32"), training=True).numpy()
        before = np.concatenate([0 * outputs[:, :1], outputs[:, :-1]], axis=1)
        kept = outputs == before
        assert abs(kept.mean() - 0.3) < 0.01
        assert abs(kept[:, 3].mean() - 0.3) < 0.05, "at every step"
        assert 0.05 < (kept[:, 3] & kept[:, 4]).mean() < 0.13, "drawn anew: 0.3 squared"

    def test_rates_of_every_state(self):
        layer = Recurrent(ZoneoutCell(LSTMCell(3), [1.0, 0.0]), return_state=True)
        output, h, c = layer(SEQUENCES, training=True)
        assert not np.any(h) and not np.any(output) and np.all(c != 0)

    def test_it_saves_and_trains(self, tmp_path):
        model = keras.Sequential(
            [keras.Input((TIME, FEATURES)), Recurrent(ZoneoutCell(LSTMCell(3), 0.2))]
        )
        model.compile("sgd", "mse", jit_compile=True)
        before = model.get_weights()
        model.train_on_batch(SEQUENCES, normal(BATCH, 3, seed=9))
        changed = zip(before, model.get_weights(), strict=True)
        assert all(np.any(a != b) for a, b in changed)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(loaded(SEQUENCES), model(SEQUENCES))

    @pytest.mark.parametrize("rate", [-0.1, 1.5, [0.1], [0.1, 0.1, 0.1]])
    def test_bad_rates(self, rate):
        with pytest.raises(ValueError, match="ZoneoutCell expected `rate`"):
            ZoneoutCell(LSTMCell(3), rate)
