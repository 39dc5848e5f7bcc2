"""The agreement benchmark asks what it says, and its answers are the model's."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from .benchmark import load_benchmark


@pytest.fixture(scope="module")
def agreement():
    return load_benchmark("agreement")


def numbers(words, agreement):
    """The numbers of the nouns among `words`."""
    forms = {form: n for noun in agreement.NOUNS for n, form in enumerate(noun)}
    return [forms[w] for w in words if w in forms]


def test_questions_are_what_they_are_said_to_be(agreement):
    questions = agreement.draw_questions(8, np.random.default_rng(0))
    assert len(questions) == 8 * 20
    for q in questions:
        assert q.words[q.verb] == ("was", "were")[q.number]
        assert [n for n in q.words if n in agreement.IDS] == q.words
        between = q.words[3 : q.verb - 1]
        assert q.words[2] == q.words[q.verb - 1] == ","
        assert len(between) == q.distance and "," not in between
        nouns = numbers(q.words, agreement)
        assert nouns[0] == q.number
        assert all((n != q.number) == q.other for n in nouns[1:])
        assert len(nouns) > 1 or q.distance <= 3
    for distance in agreement.DISTANCES:
        kinds = [(q.number, q.other) for q in questions if q.distance == distance]
        assert all(kinds.count(kind) == 2 for kind in set(kinds)) and len(kinds) == 8


def test_no_tested_subject_heads_a_clause_in_training(agreement):
    words = agreement.training_words(2000, 10, np.random.default_rng(1))
    text = " ".join(words).split(" <eos> ")
    heads = {s.split()[1] for s in text if " , " in s}
    short = {s.split()[1] for s in text if " , " not in s}
    nouns = {q.words[1] for q in agreement.draw_questions(40, np.random.default_rng(0))}
    half = len(agreement.NOUNS) // 2
    assert heads == {form for noun in agreement.NOUNS[:half] for form in noun}
    assert nouns == {form for noun in agreement.NOUNS[half:] for form in noun} <= short
    longest = max(len(s.split()) for s in text if " , " in s)
    assert longest == 10 + len("the cats , , were tired".split())


def test_answers_are_those_of_the_model(agreement):
    """A model that holds for likelier what agrees with the last noun it read: right
    without attractors, wrong with them."""
    ids = agreement.IDS
    sign = np.zeros(len(ids), np.float32)  # of a noun: -1 singular, 1 plural
    for noun in agreement.NOUNS:
        sign[ids[noun[0]]], sign[ids[noun[1]]] = -1, 1
    logit = np.zeros((1, len(ids)), np.float32)
    logit[0, ids["was"]], logit[0, ids["were"]] = -1, 1

    tokens = keras.Input((None,), dtype="int32", name="tokens")
    reset = keras.Input((None,), dtype="bool", name="reset")
    state = keras.Input((1,), name="level_0_h")
    read = ops.take(sign, tokens, axis=0)  # (batch, time)
    places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    nouns = ops.where(ops.equal(read, 0), 0, places)
    newest = ops.max(  # (batch, time): where the last noun stood
        ops.where(places[:, None, :] <= places[:, :, None], nouns[:, None, :], 0),
        axis=2,
    )
    last = ops.take_along_axis(read, newest, axis=1)
    logits = ops.matmul(last[:, :, None], logit)
    model = keras.Model(
        {"tokens": tokens, "reset": reset, "level_0_h": state},
        {"logits": logits, "level_0_h": state},
    )
    questions = agreement.draw_questions(4, np.random.default_rng(0))
    right = agreement.answers(model, questions, rows=3)
    assert right.tolist() == [not q.other or q.distance <= 3 for q in questions]
    with_attractors = agreement.accuracy(right, questions, True)
    assert with_attractors == [1.0] * 3 + [0.0] * 17
    assert agreement.accuracy(right, questions, False) == [1.0] * 20


def test_cells_get_equal_parameter_counts(agreement):
    budget = agreement.parameters_of("lstm", 64)
    for cell in agreement.CELLS:
        units = agreement.units_for(cell, budget)
        assert 0.97 * budget < agreement.parameters_of(cell, units) <= budget


def test_it_runs(agreement, tmp_path, capsys):
    agreement.main(["--toy", "--out", str(tmp_path / "agreement.json")])
    report = json.loads((tmp_path / "agreement.json").read_text("utf-8"))
    assert [row["cell"] for row in report["rows"]] == list(agreement.CELLS)
    for row in report["rows"]:
        shares = row["same_number"] + row["attractors"]
        assert len(shares) == 40 and all(0 <= share <= 1 for share in shares)
    assert (tmp_path / "agreement.png").stat().st_size > 10_000
    assert "LSTM" in capsys.readouterr().out


def test_the_committed_result_is_the_programs(agreement):
    path = agreement.RESULTS / "agreement.json"
    report = json.loads(path.read_text("utf-8"))
    assert report["trained_to"] == list(agreement.TRAINED)
    kinds = [(r["cell"], r["trained_to"], r["seed"]) for r in report["rows"]]
    assert len(set(kinds)) == len(kinds) == 3 * 2 * report["seeds"]
