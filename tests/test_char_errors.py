"""The error analysis of a character model counts what it says it counts."""

import json

import numpy as np
import pytest

from saccade.apps.core.tasks.language.streams import Documents, Text, loss_meter

from .benchmark import FOLDER, load_benchmark
from .groups import each_app


@pytest.fixture(scope="module")
def errors():
    return load_benchmark("char_errors")


def test_classes(errors):
    found = errors.class_of("  ab_c 1(\n'z", rare={"z"})
    assert [errors.CLASSES[i] for i in found] == [
        "indentation",
        "indentation",
        "first letter of a word",
        "letter inside a word",
        "other punctuation",
        "letter inside a word",
        "space",
        "digit",
        "bracket",
        "line end",
        "quote",
        "rare character",
    ]


def test_what_stood_there_before_is_remembered(errors):
    ids = np.array([1, 2, 3, 9, 1, 2, 3, 9, 1, 2, 3, 8])
    near = errors.remembered(ids, length=3, span=4)
    np.testing.assert_array_equal(np.flatnonzero(near), [7, 8, 9, 10])
    assert not errors.remembered(ids, length=3, span=3).any()


def test_rare_words(errors):
    train = "the the the cat"
    rare = errors.in_rare_words("the cat", train, most=1)
    assert "".join("x" if r else "." for r in rare) == "....xxx"


def test_every_error_has_one_cause(errors):
    text = "ab, ab cd"
    network = np.array([0.1, 0.9, 0.2, 0.45, 0.3, 0.6, 0.1, 0.2, 0.4])
    ngrams = np.full((2, len(text)), 0.1)
    ngrams[1, 2] = 0.8
    found = errors.causes(text, text, np.arange(len(text)), network, ngrams)
    assert np.sum([where for _, where in found], axis=0).tolist() == [
        int(p < errors.RIGHT) for p in network
    ]
    assert found[0][0] == "an n-gram knew" and np.flatnonzero(found[0][1]) == [2]


@each_app("char_lm")
def test_the_log_probabilities_are_the_models(errors, run):
    text = Text([run.assets.ids("def main(self):\n    return 1\n" * 20)])
    response = errors.log_probs(run.model, text)
    assert -np.mean(response[1:]) == pytest.approx(
        loss_meter(run.model)(text), rel=1e-5
    )


@each_app("char_lm")
def test_the_starts_of_documents_are_read_and_not_counted(errors, run):
    pieces = [(True, "import os\n"), (True, "def f():\n"), (False, "    pass\n")]
    documents = Documents(lambda: iter(pieces * 30), 28 * 30)
    text = errors.without_start(documents, run.assets)
    found = errors.log_probs_of(run.model, run.assets, documents)
    assert len(found) == len(text) == len(documents)
    assert errors.spelled(text.ids, run.assets) == "".join(p for _, p in pieces * 30)
    assert np.isfinite(found).all()  # and with a start even the first of a document
    measured = loss_meter(run.model)(documents.text(run.assets))
    assert -np.mean(found) == pytest.approx(measured, rel=1e-5)
    report = errors.analyse(run.model, run.assets, documents, documents)
    assert report["characters"] == len(documents) - 60
    assert report["network_nats"] == pytest.approx(
        -np.mean(found[~text.begins]), rel=1e-5
    )


def test_the_committed_result_is_the_programs(errors):
    report = json.loads((FOLDER / "results/char_errors.json").read_text("utf-8"))
    *orders, together = report["orders"]
    assert [row["order"] for row in orders] == list(errors.ORDERS)
    assert together["order"] == "any order"
    best = min(orders, key=lambda row: row["nats"])
    assert report["best_order"] == best["order"]
