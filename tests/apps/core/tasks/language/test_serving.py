"""Sampling and scoring in one graph, beside plain Python over the same model."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.char_lm.config import Config
from saccade.apps.char_lm.task import CharLM
from saccade.apps.char_lm.vocabulary import characters as characters_of
from saccade.apps.core.tasks.language import serving
from saccade.apps.core.tasks.language.serving import PIECE, Sampler
from saccade.apps.core.tasks.signatures import Answerer
from saccade.layers import decoding

CHARACTERS = characters_of("\nabcdefg äß語", with_start=False)


def build(characters=CHARACTERS, **options):
    """An `Answerer` with a model that nothing taught, with weights large enough to have
    opinions."""
    config = Config(**{"cell": "gru", "units": 12, "levels": 2, **options})
    keras.utils.set_random_seed(1)
    task = CharLM(config, characters)
    model = task.build_model()
    model.set_weights([2.5 * w for w in model.get_weights()])
    return Answerer(task, model)


@pytest.fixture(scope="module")
def answerer():
    return build()


@pytest.fixture(scope="module")
def model(answerer):
    return answerer.model


@pytest.fixture(scope="module")
def sampler(model):
    return Sampler(model, CHARACTERS)


@pytest.fixture(scope="module")
def signatures(answerer):
    """A function's answers by name, as an export's."""
    return lambda name, **inputs: answerer.function(name, CharLM.Options())(**inputs)


@functools.cache
def writing(sampler):
    """As a signature: of the tensors of a request -> the strings, and their lengths."""

    def write(text, temperature, length, seed):
        prompts = serving.prompts(CHARACTERS, text)
        ids, lengths = sampler.write(*prompts, temperature, length, seed)
        return CHARACTERS.decode(ids, lengths), lengths

    types = (tf.string, tf.float32, tf.int32, tf.int32)
    specs = [tf.TensorSpec([None], kind) for kind in types]
    return tf.function(write, input_signature=specs, autograph=False)


@functools.cache
def scoring(sampler):
    """Of strings -> their log-probabilities."""
    spec = tf.TensorSpec([None], tf.string)
    return tf.function(
        lambda text: sampler.read(*sampler.vocabulary.encode(text))[2],
        input_signature=[spec],
        autograph=False,
    )


def streamed(sampler, prompt, *request):
    prompts = serving.prompts(CHARACTERS, tf.constant([prompt]))
    return list(sampler.stream(*prompts, *request))


def send(sampler, text, temperature=1.0, length=100, seed=0):
    """Continuations as list of str; one number is for all rows."""
    rows = len(text)

    def column(value, dtype):
        return tf.constant(np.broadcast_to(np.array(value, dtype), rows))

    texts, lengths = writing(sampler)(
        tf.constant([t.encode() if isinstance(t, str) else t for t in text], tf.string),
        column(temperature, "float32"),
        column(length, "int32"),
        column(seed, "int32"),
    )
    texts = [t.decode() for t in texts.numpy()]
    assert [len(t) for t in texts] == lengths.numpy().tolist()
    return texts


@pytest.fixture(scope="module")
def run(model):
    """The model's own function of (tokens, reset, states by name or None for zeros)."""
    graph = tf.function(lambda inputs: model(inputs, training=False))

    def run(tokens, reset, states=None):
        names = [name for name in model.input if name not in ("tokens", "reset")]
        if states is None:
            states = {n: np.zeros((len(tokens), 12), "float32") for n in names}
        inputs = {"tokens": tf.constant(tokens), "reset": tf.constant(reset)}
        response = graph({**inputs, **{n: tf.constant(states[n]) for n in names}})
        response = {name: np.array(value) for name, value in response.items()}
        return response.pop("logits"), response

    return run


def begins(ids):
    return np.arange(ids.shape[1])[None] + 0 * ids == 0


def by_hand(run, prompt, temperature, length, seed):
    """The definition: a Python loop over the model, a token at a time."""
    ids = CHARACTERS.ids(prompt)[None] if prompt else np.array([[CHARACTERS.blank]])
    logits, states = run(ids, begins(ids))
    answer = ""
    for t in range(length):
        logits = logits[0, -1]
        logits[CHARACTERS.unknown] = -1e9
        if temperature:
            chances = np.exp((logits - logits.max()) / temperature)
            key = tf.constant([[seed, t // PIECE]])
            draw = decoding.uniform(PIECE, key).numpy()[0, t % PIECE]
            token = np.argmax(np.cumsum(chances) > draw * chances.sum())
        else:
            token = np.argmax(logits)
        answer += CHARACTERS.own[token - 1]
        logits, states = run(np.array([[token]]), np.array([[False]]), states)
    return answer


PROMPTS = ["", "a", "語 äß", "abc " * 18]
TEMPERATURES = [0.0, 0.7, 1.3, 0.9]
LENGTHS = [70, 1, 0, 90]
SEEDS = [3, -1, 2, 2**31 - 1]


def test_one_graph_equals_a_python_loop(run, sampler):
    """Each prompt with its own temperature, length and seed; one is empty."""
    rows = zip(PROMPTS, TEMPERATURES, LENGTHS, SEEDS, strict=True)
    expected = [by_hand(run, *row) for row in rows]
    assert len(set(expected[3])) > 5, "nothing to compare"
    assert send(sampler, PROMPTS, TEMPERATURES, LENGTHS, SEEDS) == expected


def test_xla_writes_the_same():
    model = build(cell="lstm", levels=1, embedding=12, tied=True).model
    plain = Sampler(model, CHARACTERS)
    compiled = Sampler(model, CHARACTERS, compiled=True)
    rows = PROMPTS, TEMPERATURES, LENGTHS, SEEDS
    assert send(compiled, *rows) == send(plain, *rows)
    texts = tf.constant(["", "a", "abc", "ab" * 100])
    np.testing.assert_allclose(
        scoring(compiled)(texts), scoring(plain)(texts), rtol=1e-5
    )


def test_a_row_depends_on_nothing_but_itself(sampler):
    together = send(sampler, PROMPTS, TEMPERATURES, LENGTHS, SEEDS)
    order = [2, 0, 3]
    some = [[x[i] for i in order] for x in (PROMPTS, TEMPERATURES, LENGTHS, SEEDS)]
    assert send(sampler, *some) == [together[i] for i in order]
    (longer,) = send(sampler, PROMPTS[3:], TEMPERATURES[3], 110, SEEDS[3])
    assert longer[:90] == together[3]
    (other,) = send(sampler, PROMPTS[3:], TEMPERATURES[3], 90, 7)
    assert other != together[3]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_streamed_parts_are_the_whole(sampler, temperature):
    parts = streamed(sampler, "abc", temperature, 2 * PIECE + 5, 4)
    assert [len(part) for part in parts] == [PIECE, PIECE, 5]
    assert ["".join(parts)] == send(sampler, ["abc"], temperature, 2 * PIECE + 5, 4)
    assert streamed(sampler, "abc", 1.0, 0, 0) == []


def test_a_text_ends_before_the_stop_text(model, sampler):
    length = 3 * PIECE
    (whole,) = send(sampler, ["abc"], 1.0, length, 5)
    # One inside of a piece, and one that two pieces share.
    for place in (10, PIECE - 1):
        stop = whole[place : place + 3]
        stopping = Sampler(model, CHARACTERS, stop=CHARACTERS.ids(stop))
        expected = whole[: whole.index(stop)]
        assert send(stopping, ["abc"], 1.0, length, 5) == [expected]
        assert "".join(streamed(stopping, "abc", 1.0, length, 5)) == expected
    # What the prompt says does not stop it, nor what would come after the end.
    assert len(send(stopping, ["abc" + stop], 1.0, 2, 5)[0]) == 2
    end = whole.index(stop)
    assert send(stopping, ["abc"], 1.0, end + 2, 5) == [whole[: end + 2]]


def test_top_k_and_top_p(model, run, sampler):
    greedy = send(sampler, ["abc"], 0.0, 80)
    for options in ({"top_k": 1}, {"top_p": 0.0}):
        assert send(Sampler(model, CHARACTERS, **options), ["abc"], 1.0, 80) == (greedy)
    three = Sampler(model, CHARACTERS, top_k=3)
    ids = CHARACTERS.ids("abc" + send(three, ["abc"], 5.0, 40)[0])
    logits = run(ids[None], begins(ids[None]))[0][0]
    logits[:, CHARACTERS.unknown] = -np.inf
    ranks = [(row > row[i]).sum() for row, i in zip(logits, ids[1:], strict=False)]
    assert set(ranks[2:]) == {0, 1, 2}
    # More than there are: all.
    many = Sampler(model, CHARACTERS, top_k=500)
    assert send(many, ["abc"], 1.0, 20) == send(sampler, ["abc"], 1.0, 20)


def test_requests_that_make_no_sense_have_a_defined_answer(model, sampler):
    greedy, likely = send(sampler, ["abc"] * 2, [0.0, 1e-6], 20)
    assert greedy == likely
    for temperature in (-1.0, float("nan"), 1e-45):
        assert send(sampler, ["abc"], temperature, 20) == [greedy]
    assert len(set(send(sampler, ["abc"], float("inf"), 200)[0])) == len(CHARACTERS.own)
    assert send(sampler, ["abc"] * 2, 1.0, [-5, 0]) == ["", ""]
    assert send(sampler, []) == []
    # What the model does not know, it never writes.
    weights = model.get_weights()
    bias = weights[-1].copy()
    bias[CHARACTERS.unknown] = 1e4
    model.set_weights([*weights[:-1], bias])
    try:
        response = send(sampler, [b"\xff\xfe", b"\0", "?"], [0.0, 1.0, 1.0], 50)
    finally:
        model.set_weights(weights)
    assert set("".join(response)) <= set(CHARACTERS.own)


def test_of_a_long_prompt_the_end_is_read(sampler, monkeypatch):
    monkeypatch.setattr(serving, "LONGEST_PROMPT", 10)
    monkeypatch.setattr(serving, "LONGEST", 30)
    fresh = Sampler(sampler.model, CHARACTERS)
    response = send(fresh, ["ab" * 100, "abab", ""], 1.0, 1000)
    assert [len(t) for t in response] == [30, 30, 30]
    assert response == send(sampler, ["ab" * 5, "abab", ""], 1.0, 30)


def test_score_is_the_sum_of_the_log_probabilities(run, signatures):
    """Of a model without a start: of all characters but the first."""
    texts = ["", "g", "ab", "語 äß\n?", "abc dg " * 20]
    response = signatures("score", text=tf.constant(texts))
    assert response["length"].numpy().tolist() == [len(t) for t in texts]
    for text, log_prob in zip(texts, response["log_prob"].numpy(), strict=True):
        ids = CHARACTERS.ids(text)
        if len(ids) < 2:
            assert log_prob == 0.0
            continue
        logits, _ = run(ids[None], begins(ids[None]))
        log_probs = tf.nn.log_softmax(logits[0]).numpy()
        expected = log_probs[np.arange(len(ids) - 1), ids[1:]].sum()
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    none = signatures("score", text=tf.constant([], tf.string))
    assert none["log_prob"].shape == none["length"].shape == (0,)


def test_step_by_step_is_the_model(model, run, sampler, signatures):
    states = [tf.fill([2, 12], 9.0) for _ in sampler.names]  # A reset wipes them out.
    ids = np.array([CHARACTERS.ids("abc"), CHARACTERS.ids("語 ä")])

    def step(ids, reset, states):
        states = dict(zip(sampler.names, states, strict=True))
        return signatures(
            "step", token=tf.constant(ids), reset=tf.constant(reset), **states
        )

    got = []
    for t in range(3):
        response = step(ids[:, t], [t == 0, t == 0], states)
        states = [response[name] for name in sampler.names]
        got.append(response["logits"])
    whole, _ = run(ids, begins(ids))
    np.testing.assert_allclose(np.stack(got, 1), whole, rtol=1e-4, atol=1e-5)
    # A token that is none is the unknown one.
    row = [tf.repeat(state[:1], 2, 0) for state in states]
    odd, expected = (
        step(ids, [True] * 2, row) for ids in ([-5, 99], [CHARACTERS.unknown] * 2)
    )
    np.testing.assert_array_equal(odd["logits"], expected["logits"])


def test_encode_and_decode_signatures(signatures):
    response = signatures("encode", text=tf.constant(["語a", ""]))
    assert response["tokens"].numpy().tolist() == [
        CHARACTERS.ids("語a").tolist(),
        [0, 0],
    ]
    assert response["length"].numpy().tolist() == [2, 0]

    def decode(before, token):
        before, token = tf.constant(before, tf.int32), tf.constant(token, tf.int32)
        return signatures("decode", before=before, token=token)["text"]

    texts = decode([-1, 1, 99], [1, 99, -1]).numpy()
    assert [text.decode() for text in texts] == ["\n", "\ufffd", "\ufffd"]
    assert decode([], []).shape == (0,)


# The start of a text

WITH_START = characters_of("\nabcdefg äß語")
STARTS = [
    {},
    {"start": "zeros"},
    {"start": "zeros", "embedding": 6},
    {"embedding": 12, "tied": True},
    {"start": "zeros", "embedding": 12, "tied": True},
]
NAMES = ["token", "zeros", "zeros-embedding", "token-tied", "zeros-tied"]


def build_with_start(**options):
    """As `build`, with biases, which alone speak behind a start of zeros."""
    answerer = build(WITH_START, **options)
    draw = np.random.default_rng(0)
    for weight in answerer.model.trainable_variables:
        if weight.name == "bias":
            weight.assign(draw.standard_normal(weight.shape))
    return answerer


def log_probs_by_hand(answerer, text):
    """ln p of every character behind the start, by the model's own function."""
    model = answerer.model
    ids = np.append(np.int32(WITH_START.start), WITH_START.ids(text))[None]
    states = {n: np.zeros((1, 12), "float32") for n in ("level_0_h", "level_1_h")}
    inputs = {"tokens": ids, "reset": begins(ids), **states}
    log_probs = tf.nn.log_softmax(model(inputs)["logits"][0]).numpy()
    return log_probs[np.arange(len(text)), ids[0, 1:]]


@pytest.mark.parametrize("options", STARTS, ids=NAMES)
def test_the_first_character_is_scored_too(options):
    answerer = build_with_start(**options)
    chosen = CharLM.Options()
    texts = [*WITH_START.own, "?", "", "abc", "語 ?\n" * 30]
    answers = answerer.answers(texts, chosen, "score")
    log_probs = [answer["log_prob"] for answer in answers]
    assert [answer["length"] for answer in answers] == [len(t) for t in texts]
    # All texts of one character; "?" stands for all that it does not know.
    assert np.exp(log_probs[: WITH_START.size]).sum() == pytest.approx(1, rel=1e-5)
    assert np.ptp(log_probs[: WITH_START.size]) > 0.1
    for text, log_prob in zip(texts, log_probs, strict=True):
        expected = log_probs_by_hand(answerer, text).sum()
        assert log_prob == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_what_is_written_begins_at_the_start_too():
    answerer = build_with_start()
    scores = answerer.answers(list(WITH_START.own), CharLM.Options(), "score")
    best = max(scores, key=lambda answer: answer["log_prob"])["text"]
    chosen = CharLM.Options(temperature=0.0, length=5)
    answers = answerer.answers(["", "ab"], chosen)
    assert answers[0]["continuation"][0] == best
    streamed = answerer.task.stream(answerer, "ab", chosen)
    assert "".join(streamed) == answerer.task.show(answers[1])


def test_the_zero_vector_is_no_vector_of_a_character():
    """The first logits are those of a state that nothing has entered but biases."""
    answerer = build_with_start(start="zeros", cell="elman", levels=1)
    recurrent = answerer.model.get_layer("level_0")
    dense = answerer.model.get_layer("logits")
    h = np.tanh(np.array(recurrent.cell.bias))
    expected = h @ np.array(dense.kernel) + np.array(dense.bias)
    inputs = {"tokens": np.array([[WITH_START.start]]), "reset": np.array([[True]])}
    states = {"level_0_h": np.ones((1, 12), "float32")}
    got = answerer.model({**inputs, **states})["logits"][0, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_step_takes_the_start_and_encode_gives_it():
    answerer = build_with_start()
    chosen = CharLM.Options()
    encode = answerer.function("encode", chosen)
    response = encode(text=tf.constant(["ab", ""]))
    expected = [[WITH_START.start, *WITH_START.ids("ab")], [WITH_START.start, 0, 0]]
    assert response["tokens"].numpy().tolist() == expected
    assert response["length"].numpy().tolist() == [3, 1]
    states = {n: tf.zeros([1, 12]) for n in ("level_0_h", "level_1_h")}
    step = answerer.function("step", chosen)
    token, reset = tf.constant([WITH_START.start]), tf.constant([True])
    logits = step(token=token, reset=reset, **states)["logits"]
    first = log_probs_by_hand(answerer, "b")[0]
    b = WITH_START.ids("b")[0]
    assert float(tf.nn.log_softmax(logits)[0, b]) == pytest.approx(first, rel=1e-4)
    # It is never written, so it has no text.
    decode = answerer.function("decode", chosen)
    text = decode(before=tf.constant([-1]), token=token)["text"]
    assert text.numpy()[0].decode() == "\ufffd"
