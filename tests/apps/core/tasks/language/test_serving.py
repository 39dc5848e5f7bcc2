"""Sampling and scoring in one graph, beside plain Python over the same model."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.characters import Characters
from saccade.apps.core.tasks.language import serving
from saccade.apps.core.tasks.language.model import build_language_model
from saccade.apps.core.tasks.language.serving import PIECE, Sampler
from saccade.layers import decoding

CHARACTERS = Characters("\nabcdefg äß語")
START = 1


def build(**options):
    """A model that nothing taught, with weights large enough to have opinions."""
    config = {
        "cell": "gru",
        "units_rnn": 12,
        "levels": 2,
        "embedding": 0,
        "tied": False,
        "dropout": 0.3,
        "seed": 0,
    }
    keras.utils.set_random_seed(1)
    config = types.SimpleNamespace(**{**config, **options})
    model = build_language_model(CHARACTERS.size, config)
    model.set_weights([2.5 * w for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def sampler(model):
    return Sampler(model, CHARACTERS, START)


def send(sampler, text, temperature=1.0, length=100, seed=0):
    """Continuations as list of str; one number is for all rows."""
    rows = len(text)

    def column(value, dtype):
        return tf.constant(np.broadcast_to(np.array(value, dtype), rows))

    response = sampler.respond(
        tf.constant([t.encode() if isinstance(t, str) else t for t in text], tf.string),
        column(temperature, "float32"),
        column(length, "int32"),
        column(seed, "int32"),
    )
    texts = [t.decode() for t in response["continuation"].numpy()]
    assert [len(t) for t in texts] == response["length"].numpy().tolist()
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
    ids = CHARACTERS.ids(prompt)[None] if prompt else np.array([[START]])
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
    model = build(cell="lstm", levels=1, embedding=12, tied=True)
    plain = Sampler(model, CHARACTERS, START)
    compiled = Sampler(model, CHARACTERS, START, compiled=True)
    rows = PROMPTS, TEMPERATURES, LENGTHS, SEEDS
    assert send(compiled, *rows) == send(plain, *rows)
    texts = tf.constant(["", "a", "abc", "ab" * 100])
    np.testing.assert_allclose(
        compiled.respond_score(texts)["log_prob"],
        plain.respond_score(texts)["log_prob"],
        rtol=1e-5,
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
    parts = list(sampler.stream("abc", temperature, 2 * PIECE + 5, 4))
    assert [len(part) for part in parts] == [PIECE, PIECE, 5]
    assert ["".join(parts)] == send(sampler, ["abc"], temperature, 2 * PIECE + 5, 4)
    assert list(sampler.stream("abc", 1.0, 0, 0)) == []


def test_a_text_ends_before_the_stop_text(model, sampler):
    length = 3 * PIECE
    (whole,) = send(sampler, ["abc"], 1.0, length, 5)
    # One inside of a piece, and one that two pieces share.
    for place in (10, PIECE - 1):
        stop = whole[place : place + 3]
        stopping = Sampler(model, CHARACTERS, START, stop=stop)
        expected = whole[: whole.index(stop)]
        assert send(stopping, ["abc"], 1.0, length, 5) == [expected]
        assert "".join(stopping.stream("abc", 1.0, length, 5)) == expected
    # What the prompt says does not stop it, nor what would come after the end.
    assert len(send(stopping, ["abc" + stop], 1.0, 2, 5)[0]) == 2
    end = whole.index(stop)
    assert send(stopping, ["abc"], 1.0, end + 2, 5) == [whole[: end + 2]]
    with pytest.raises(UserError, match="never seen"):
        Sampler(model, CHARACTERS, START, stop="a?")


def test_top_k_and_top_p(model, run, sampler):
    greedy = send(sampler, ["abc"], 0.0, 80)
    for options in ({"top_k": 1}, {"top_p": 0.0}):
        assert send(Sampler(model, CHARACTERS, START, **options), ["abc"], 1.0, 80) == (
            greedy
        )
    three = Sampler(model, CHARACTERS, START, top_k=3)
    ids = CHARACTERS.ids("abc" + send(three, ["abc"], 5.0, 40)[0])
    logits = run(ids[None], begins(ids[None]))[0][0]
    logits[:, CHARACTERS.unknown] = -np.inf
    ranks = [(row > row[i]).sum() for row, i in zip(logits, ids[1:], strict=False)]
    assert set(ranks[2:]) == {0, 1, 2}
    # More than there are: all.
    many = Sampler(model, CHARACTERS, START, top_k=500)
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
    fresh = Sampler(sampler.model, CHARACTERS, START)
    response = send(fresh, ["ab" * 100, "abab", ""], 1.0, 1000)
    assert [len(t) for t in response] == [30, 30, 30]
    assert response == send(sampler, ["ab" * 5, "abab", ""], 1.0, 30)


def test_score_is_the_sum_of_the_log_probabilities(run, sampler):
    texts = ["", "g", "ab", "語 äß\n?", "abc dg " * 20]
    response = sampler.respond_score(tf.constant(texts))
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
    none = sampler.respond_score(tf.constant([], tf.string))
    assert none["log_prob"].shape == none["length"].shape == (0,)


def test_step_by_step_is_the_model(model, run, sampler):
    functions = serving.signatures(model, CHARACTERS, START)
    states = [tf.fill([2, 12], 9.0) for _ in sampler.names]  # A reset wipes them out.
    ids = np.array([CHARACTERS.ids("abc"), CHARACTERS.ids("語 ä")])
    got = []
    for t in range(3):
        reset = tf.constant([t == 0, t == 0])
        response = functions["step"](tf.constant(ids[:, t]), reset, *states)
        states = [response[name] for name in sampler.names]
        got.append(response["logits"])
    whole, _ = run(ids, begins(ids))
    np.testing.assert_allclose(np.stack(got, 1), whole, rtol=1e-4, atol=1e-5)
    # A token that is none is the unknown one.
    row = [state[:1] for state in states]
    odd, expected = (
        functions["step"](
            tf.constant(ids), [True] * 2, *(tf.repeat(s, 2, 0) for s in row)
        )
        for ids in ([-5, 99], [CHARACTERS.unknown] * 2)
    )
    np.testing.assert_array_equal(odd["logits"], expected["logits"])


def test_encode_and_decode_signatures(model):
    functions = serving.signatures(model, CHARACTERS, START)
    response = functions["encode"](tf.constant(["語a", ""]))
    assert response["tokens"].numpy().tolist() == [
        CHARACTERS.ids("語a").tolist(),
        [0, 0],
    ]
    assert response["length"].numpy().tolist() == [2, 0]
    tokens = tf.constant([1, 99, -1])
    texts = functions["decode"](tf.constant([-1, 1, 99]), tokens)["text"].numpy()
    assert [text.decode() for text in texts] == ["\n", "\ufffd", "\ufffd"]
    none = tf.zeros([0], tf.int32)
    assert functions["decode"](none, none)["text"].shape == (0,)
