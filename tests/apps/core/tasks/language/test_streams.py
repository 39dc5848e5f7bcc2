"""Streams of windows, the carried state, and the loss of a whole text."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.char_lm.config import Config
from saccade.apps.char_lm.vocabulary import characters as characters_of
from saccade.apps.core.errors import UserError
from saccade.apps.core.files import scratch
from saccade.apps.core.tasks.language import streams
from saccade.apps.core.tasks.language.model import build_language_model
from saccade.apps.core.tasks.language.streams import (
    Carrier,
    Documents,
    Text,
    loss_meter,
    state_names,
    train_windows,
)

VOCABULARY = 7


def small_model(cell="gru", levels=1):
    """Untrained, with weights large enough that the state matters."""
    config = Config(units=6, embedding=5, cell=cell, levels=levels, dropout=0.0)
    model = build_language_model(VOCABULARY, config)
    draw = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(0.6 * draw.standard_normal(weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return small_model()


def random_text(*lengths, seed=0):
    draw = np.random.default_rng(seed)
    return Text([draw.integers(0, VOCABULARY, n) for n in lengths])


def windows(text, count, first_step=0, rows=1, window=4, seed=0):
    """The first windows as arrays: tokens, reset, targets, weights of each."""
    stream = train_windows(text, rows, window, seed, first_step).take(count)
    return [
        (inputs["tokens"], inputs["reset"], targets, weights)
        for inputs, targets, weights in stream.as_numpy_iterator()
    ]


def zeros(model, rows):
    return {n: tf.zeros([rows, model.input[n].shape[-1]]) for n in state_names(model)}


def whole(model, tokens, reset=None):
    """Outputs of the model on (rows, time) in one call, from states of zeros."""
    tokens = np.asarray(tokens)
    reset = np.zeros(tokens.shape, bool) if reset is None else np.asarray(reset)
    given = {"tokens": tf.constant(tokens), "reset": tf.constant(reset)}
    return model({**given, **zeros(model, len(tokens))})


# Text


def test_text_knows_where_documents_begin():
    text = Text([[3, 1], [], [4], [1, 5, 9]])
    assert text.ids.tolist() == [3, 1, 4, 1, 5, 9]
    assert text.begins.tolist() == [True, False, True, True, False, False]
    assert len(text) == 6
    assert len(Text([])) == 0


def test_a_text_in_a_file_is_the_same_text(monkeypatch):
    draw = np.random.default_rng(0)
    documents = [draw.integers(0, 300, n) for n in (5, 1, 40, 0, 17)]
    kept = Text(documents, 300)
    monkeypatch.setattr(streams, "IN_MEMORY", 20)
    filed = Text(documents, 300)
    assert kept.in_memory and not filed.in_memory
    assert len(filed) == len(kept) == 63
    np.testing.assert_array_equal(filed.ids, kept.ids)
    np.testing.assert_array_equal(filed.begins, kept.begins)
    for count in (1, 7, 63, 150):  # behind its end it begins again
        for got, expected in zip(
            filed.cut([0, 4, 62], count), kept.cut([0, 4, 62], count), strict=True
        ):
            np.testing.assert_array_equal(got, expected)
            assert got.shape == (3, count) and got.dtype == expected.dtype
    some, others = (windows(text, 9, rows=2) for text in (filed, kept))
    np.testing.assert_equal(some, others)
    monkeypatch.setenv("SACCADE_DATA_SERVICE", "grpc://localhost:1")
    with pytest.raises(UserError, match="tf.data service cannot take .* received 63"):
        windows(filed, 9, rows=2)


def test_a_full_temporary_folder_is_an_error_that_names_it():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    store = scratch.Scratch()
    with open("/dev/full", "wb") as full:
        store._file = full
        with pytest.raises(UserError, match="temporary file of .*TMPDIR"):
            store.append(np.zeros(10**5))


@pytest.mark.parametrize("size", [3, 100])
def test_pieces_make_the_text_again(size):
    text = random_text(9, 1, 12)
    again = Text.from_pieces(text.pieces(size), VOCABULARY)
    np.testing.assert_array_equal(again.ids, text.ids)
    np.testing.assert_array_equal(again.starts, text.starts)


def test_documents_become_the_text_of_a_vocabulary():
    """In its own ids, its start before every document, once for each."""
    pieces, read = [(True, "ab"), (False, "ca"), (True, "b?")], []

    def documents():
        read.append(1)
        return iter(pieces)

    some = Documents(documents, 6)
    plain, other = characters_of("ab", with_start=False), characters_of("cab")
    assert len(some) == 6 and list(some) == pieces
    assert some.text(plain).ids.tolist() == [1, 2, 0, 1, 2, 0]
    np.testing.assert_array_equal(some.text(plain).starts, [0, 4])
    text = some.text(other)
    assert text.ids.tolist() == [4, 2, 3, 1, 2, 4, 3, 0]
    np.testing.assert_array_equal(text.starts, [0, 5])
    assert some.text(other) is text and len(read) == 3


# Windows. In these texts the id of a token is its place.


@pytest.mark.parametrize("length", [5, 20, 23, 24, 25])
def test_windows_of_one_row_give_back_the_text(length):
    text = Text([np.arange(length)])
    per_pass = (length - 1) // 4
    for k in range(3):
        got = windows(text, per_pass, first_step=k * per_pass)
        tokens, reset, targets, weights = (
            np.concatenate(part, axis=1)[0] for part in zip(*got, strict=True)
        )
        shift = tokens[0]
        np.testing.assert_array_equal(
            tokens, (shift + np.arange(4 * per_pass)) % length
        )
        np.testing.assert_array_equal(targets, (tokens + 1) % length)
        # State is put back where the stream begins and where the text does, and
        # nobody can tell its first token.
        np.testing.assert_array_equal(reset, (tokens == 0) | (tokens == shift))
        np.testing.assert_array_equal(weights, targets != 0)


def test_streams_lie_side_by_side():
    text, rows, window = Text([np.arange(101)]), 4, 6
    per_pass = (101 // rows - 1) // window
    got = windows(text, per_pass, rows=rows, window=window)
    tokens = np.concatenate([tokens for tokens, *_ in got], axis=1)
    assert tokens.shape == (rows, per_pass * window)
    assert (np.diff(tokens) % 101 == 1).all()
    assert (np.diff(tokens[:, 0]) % 101 == 101 // rows).all()
    assert len(np.unique(tokens)) == tokens.size  # No token twice in a pass.
    resets = np.stack([reset for _, reset, *_ in got])
    assert resets[0, :, 0].all()
    assert resets.sum() <= rows + 1  # and at most the place where the text begins


def test_every_pass_begins_elsewhere_and_so_does_every_seed():
    text, per_pass = Text([np.arange(401)]), 10

    def firsts(seed):
        got = windows(text, 8 * per_pass, window=40, seed=seed)
        return [int(tokens[0, 0]) for tokens, *_ in got[::per_pass]]

    assert len(set(firsts(0))) >= 7
    assert firsts(0) == firsts(0) != firsts(1)


@pytest.mark.parametrize("k", [1, 5, 6, 17])
def test_a_step_depends_on_its_number_alone(k):
    text = random_text(9, 30, 12)
    skipped = windows(text, k + 4, rows=2)[k:]
    begun = windows(text, 4, first_step=k, rows=2)
    for some, others in zip(begun, skipped, strict=True):
        for a, b in zip(some, others, strict=True):
            np.testing.assert_array_equal(a, b)


def test_documents_reset_the_state_and_their_first_token_does_not_count():
    text = Text([np.arange(3), np.arange(3, 4), np.arange(4, 13)])
    for tokens, reset, targets, weights in windows(text, 9):
        begins = np.isin(tokens, [0, 3, 4])
        np.testing.assert_array_equal(reset[:, 1:], begins[:, 1:])
        assert reset[begins].all()
        np.testing.assert_array_equal(weights, ~np.isin(targets, [0, 3, 4]))


def test_a_text_too_short_for_its_streams_is_an_error():
    text = Text([np.arange(15)])
    with pytest.raises(UserError, match="16 .*2 .*7, received 15"):
        train_windows(text, 2, 7, 0)
    assert len(windows(Text([np.arange(16)]), 2, rows=2, window=7)) == 2
    with pytest.raises(UserError, match="received 0"):
        train_windows(Text([]), 1, 1, 0)


def test_a_start_is_read_and_teaches_the_first_token():
    """It is no target itself: there stands a token that can be written, for nothing."""
    start = 99
    text = Text([[start, 3, 1], [start, 4]], start + 1)
    for tokens, reset, targets, weights in windows(text, 4, window=4):
        np.testing.assert_array_equal(reset[:, 1:], tokens[:, 1:] == start)
        expected = {start: (3, 4), 3: (1,), 1: (0,), 4: (0,)}
        for token, target, weight in zip(
            tokens[0], targets[0], weights[0], strict=True
        ):
            assert target in expected[token]
            assert weight == (token in (start, 3))


# The carried state


@pytest.mark.parametrize("cell, levels", [("gru", 1), ("lstm", 2)])
def test_carried_state_equals_one_long_call(cell, levels):
    model = small_model(cell, levels)
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (2, 12), np.int32)
    carrier = Carrier(model, 2)
    assert list(carrier.carried) == state_names(model)
    assert len(state_names(model)) == levels * (2 if cell == "lstm" else 1)
    never = np.zeros((2, 4), bool)
    answer = [
        carrier({"tokens": tokens[:, i : i + 4], "reset": never}) for i in (0, 4, 8)
    ]
    expected = whole(model, tokens)
    np.testing.assert_allclose(
        np.concatenate(answer, axis=1), expected["logits"], rtol=1e-5, atol=1e-6
    )
    for name, state in carrier.carried.items():
        np.testing.assert_allclose(state, expected[name], rtol=1e-5, atol=1e-6)
        assert np.abs(state).max() > 0.01


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_a_training_step_carries_the_state_and_a_checkpoint_holds_it(model, jit):
    carrier = Carrier(model, 2)
    carrier.compile(
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
        steps_per_execution=2,
    )
    text = random_text(50)
    stream = train_windows(text, 2, 4, 0)
    carrier.fit(stream, steps_per_epoch=4, verbose=0)
    tokens, reset, *_ = zip(*windows(text, 4, rows=2), strict=True)
    expected = whole(model, np.concatenate(tokens, 1), np.concatenate(reset, 1))
    (state,) = carrier.carried.values()
    np.testing.assert_allclose(state, expected["level_0_h"], rtol=1e-5, atol=1e-6)
    assert any(state is v for v in carrier.variables)
    assert not any(state is v for v in carrier.trainable_variables)


def test_no_gradient_flows_into_the_window_before(model):
    """Tokens 0 to 2 stand in the first window only."""
    tokens = np.array([[0, 1, 2, 0, 3, 4, 5, 6]], np.int32)
    embedding = model.get_layer("embedding").embeddings
    never = np.zeros((1, 4), bool)
    carrier = Carrier(model, 1)
    with tf.GradientTape() as tape:
        carrier({"tokens": tokens[:, :4], "reset": never}, training=True)
        before = {n: tf.constant(s) for n, s in carrier.carried.items()}
        second = {"tokens": tf.constant(tokens[:, 4:]), "reset": tf.constant(never)}
        loss = tf.reduce_sum(carrier(second, training=True) ** 2)
    got = tf.convert_to_tensor(tape.gradient(loss, embedding.value)).numpy()
    assert not got[:3].any()
    assert got[3:].any(axis=1).all()

    with tf.GradientTape() as tape:  # The same numbers as from a given state.
        outputs = model({**second, **before}, training=True)
        loss = tf.reduce_sum(outputs["logits"] ** 2)
    expected = tf.convert_to_tensor(tape.gradient(loss, embedding.value))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)

    with tf.GradientTape() as tape:  # In one call it does reach back.
        loss = tf.reduce_sum(whole(model, tokens)["logits"][:, 4:] ** 2)
    through = tf.convert_to_tensor(tape.gradient(loss, embedding.value)).numpy()
    assert through[:3].any(axis=1).all()


def test_a_document_starts_as_if_it_were_alone(model):
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (2, 8), np.int32)
    reset = np.zeros((2, 8), bool)
    reset[1, 5] = True  # Row 1: a document begins in the second window.
    carrier = Carrier(model, 2)
    for i in (0, 4):
        now = slice(i, i + 4)
        answer = carrier({"tokens": tokens[:, now], "reset": reset[:, now]}).numpy()
    alone = whole(model, tokens[1:, 5:])
    goes_on = whole(model, tokens)
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(answer[1:, 1:], alone["logits"], **close)
    np.testing.assert_allclose(answer[0], goes_on["logits"][0, 4:], **close)
    np.testing.assert_allclose(answer[1, 0], goes_on["logits"][1, 4], **close)
    state = np.array(carrier.carried["level_0_h"])
    np.testing.assert_allclose(state[1:], alone["level_0_h"], **close)
    assert np.abs(state[1] - goes_on["level_0_h"][1]).max() > 0.01


# The loss of a text


def read_through(model, text):
    """The loss of a text that one row reads in one call."""
    logits = whole(model, text.ids[None], text.begins[None])["logits"]
    log_probs = tf.nn.log_softmax(logits[0, :-1]).numpy()
    chances = np.take_along_axis(log_probs, text.ids[1:, None], axis=1)[:, 0]
    return -chances[~text.begins[1:]].mean(dtype=float)


@pytest.fixture(scope="module")
def meters(model):
    """loss_meter(rows, window, warm_up), each compiled once."""
    made = {}

    def meter(*key):
        if key not in made:
            made[key] = loss_meter(model, *key)
        return made[key]

    return meter


SHORT = (5, 3, 9, 1, 2, 6, 10, 4, 1, 1, 8, 7, 5, 3, 9, 10, 2)  # 86 tokens


@pytest.mark.parametrize(
    "documents, rows, warm_up",
    [
        ((2,), 1, 5),
        ((37,), 1, 5),
        ((20, 1, 16), 1, 5),
        ((37,), 4, 20),  # too short for a second row
        (SHORT, 1, 10),
        (SHORT, 4, 10),  # The state of every row goes back to a document's beginning.
        ((*SHORT, 3), 3, 10),
    ],
)
def test_loss_equals_that_of_one_row_that_reads_it_all(
    model, meters, documents, rows, warm_up
):
    text = random_text(*documents)
    measured = meters(rows, 7, warm_up)(text)
    assert measured == pytest.approx(read_through(model, text), rel=1e-6)


def test_loss_of_a_long_document_by_many_rows(model, meters):
    """A warm-up that does not reach back to the beginning is all but as good."""
    text = random_text(401, 2, 160)
    expected = read_through(model, text)
    errors = [
        abs(meters(rows, 7, warm_up)(text) - expected)
        for rows, warm_up in [(1, 1), (8, 30), (8, 1)]
    ]
    assert errors[0] < 1e-6 * expected
    assert errors[1] < 1e-5 * expected
    assert errors[2] > 10 * errors[1]  # and it is needed


def test_loss_is_of_the_model_as_it_is(model, meters):
    text = random_text(37)
    measure = meters(1, 7, 5)
    before = measure(text)
    bias = model.get_layer("logits").bias
    value = np.array(bias)
    bias.assign(value + np.arange(VOCABULARY))
    try:
        assert measure(text) == pytest.approx(read_through(model, text), rel=1e-6)
        assert abs(measure(text) - before) > 0.1
    finally:
        bias.assign(value)


def test_loss_without_a_warm_up(model):
    text = random_text(4, 4, 4, 4)
    # Rows of 8 of the 15 transitions: both begin where a document does.
    measured = loss_meter(model, rows=2, window=7, warm_up=0)(text)
    assert measured == pytest.approx(read_through(model, text), rel=1e-6)


def test_the_loss_counts_the_first_token_behind_a_start():
    config = Config(units=6, embedding=0, dropout=0.0)
    model = build_language_model(VOCABULARY, config, start="zeros")
    draw = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(0.6 * draw.standard_normal(weight.shape))
    bodies = [draw.integers(0, VOCABULARY, n) for n in (1, 7, 3)]
    text = Text([np.append(VOCABULARY, body) for body in bodies], VOCABULARY + 1)
    losses = []
    for body in bodies:
        logits = whole(model, np.append(VOCABULARY, body)[None])["logits"][0, :-1]
        log_probs = tf.nn.log_softmax(logits).numpy()
        losses += (-log_probs[np.arange(len(body)), body]).tolist()
    assert len(losses) == 11
    assert loss_meter(model, 1, 7, 5)(text) == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize("documents", [(), (1,), (1, 1, 1)])
def test_a_text_with_nothing_to_tell_is_an_error(model, documents):
    with pytest.raises(UserError, match="at least 2 tokens"):
        loss_meter(model)(random_text(*documents))


def test_loss_of_the_beginning(model):
    text = random_text(400, 300)
    begun = Text([text.ids[:400], text.ids[400:450]])
    measured = loss_meter(model, rows=2, window=10)(text, 450)
    np.testing.assert_allclose(measured, read_through(model, begun), rtol=1e-4)
