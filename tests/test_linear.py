"""The linear rival of a sentiment run: weights and McNemar's test by hand."""

import json
import types

import numpy as np
import pytest
import scipy.sparse

from saccade.apps.core.data.rows import Examples, Splits
from saccade.apps.core.errors import UserError
from saccade.apps.core.run import Run
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.sentiment import APP

from .benchmark import load_benchmark

linear = load_benchmark("linear")


def test_log_count_ratios_by_hand():
    counts = scipy.sparse.csr_matrix([[1, 0, 1], [1, 1, 0], [0, 1, 0]])
    # 1 + counts: 3, 2, 2 of 7 in the positive texts, 1, 2, 1 of 4 in the other
    ratios = linear.log_count_ratios(counts, np.array([True, True, False]))
    np.testing.assert_allclose(ratios, np.log([12 / 7, 4 / 7, 8 / 7]))


def test_a_feature_counts_by_its_ratio():
    """An n-gram of both labels alike says nothing, however often it is there."""
    counts = scipy.sparse.csr_matrix([[1, 1, 0]] * 3 + [[1, 0, 1]] * 3)
    model = linear.NBLogisticRegression().fit(counts, np.repeat([0, 1], 3))
    np.testing.assert_allclose(model.ratios_, np.log([1, 1 / 4, 4]), atol=1e-12)
    same = model.decision_function(scipy.sparse.csr_matrix([[0, 0, 1], [1, 0, 1]]))
    assert same[0] == same[1] > 0
    assert model.predict(counts).tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "ours, theirs, expected",
    [
        # 5 against 1: 2 (1 + 6) / 64
        ("aaaaabaa", "bbbbbaaa", (5, 1, 14 / 64)),
        ("abab", "baba", (2, 2, 1.0)),
        ("aab", "aab", (0, 0, 1.0)),
    ],
)
def test_mcnemar_by_hand(ours, theirs, expected):
    found = linear.mcnemar(ours, theirs, "a" * len(ours))
    assert list(found) == ["only_ours", "only_theirs", "p"]
    assert tuple(found.values()) == pytest.approx(expected)


def splits_of(rows, *names):
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    examples = Examples(**columns)
    return Splits(examples, examples, examples)


def accuracies(splits, **settings):
    answers, _ = linear.rivals(splits, APP.Config(**settings))
    truth = np.array(splits.test["label"])
    return {name: np.mean(truth == labels) for name, labels in answers.items()}


def test_pairs_of_words_tell_what_words_do_not():
    rows = [("not good , bad", "bad"), ("not bad , good", "good")] * 4
    found = accuracies(splits_of(rows, "text", "label"))
    assert found == {"majority": 0.5, "naive Bayes": 1, "linear": 1}


def test_three_labels_of_chinese():
    rows = [("很好", "1"), ("很差", "-1"), ("很大", "0"), ("很大的", "0")] * 3
    found = accuracies(splits_of(rows, "text", "label"), tokenizer="characters")
    assert found == {"majority": 0.5, "naive Bayes": 1, "linear": 1}


def test_the_topic_stands_in_front():
    rows = [("很大", "空间", "1"), ("很大", "油耗", "-1")] * 3
    splits = splits_of(rows, "text", "topic", "label")
    assert linear.texts_of(splits.test)[:2] == ["空间：很大", "油耗：很大"]
    assert accuracies(splits, tokenizer="characters")["linear"] == 1


def run_of(**settings):
    """A run whose network always gives the first label."""
    task = APP.task_for(APP.Config(units=2, embedding=2, **settings))
    task = task.learn(task.read().train)
    model = task.build_model()
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    return Run(APP, Answerer(task, model), None)


def test_all_are_measured_on_the_same_rows(monkeypatch, tmp_path, capsys):
    run = run_of(builtin_size=1000)
    splits = run.task.read()
    monkeypatch.setattr(linear, "APP", types.SimpleNamespace(load=lambda path: run))
    linear.main(["RUN", "--json", str(tmp_path / "linear.json")])
    report = json.loads((tmp_path / "linear.json").read_text("utf-8"))
    rows, test = report["rows"], len(splits.test)
    assert report["texts"] == [len(splits.train), len(splits.validation), test]
    # Of every pair of reviews one is positive and one negative.
    for constant in ("majority", "network"):
        assert rows[constant] == pytest.approx({"accuracy": 50, "macro_f1": 100 / 3})
    assert rows["linear"]["accuracy"] > 70
    differ = report["mcnemar"]
    gap = (differ["only_theirs"] - differ["only_ours"]) / test
    assert 100 * gap == pytest.approx(rows["linear"]["accuracy"] - 50)
    assert differ["p"] < 1e-3
    printed = capsys.readouterr().out
    for name, figures in rows.items():
        (line,) = (one for one in printed.splitlines() if one.strip().startswith(name))
        assert f"{figures['accuracy']:.1f}" in line
    assert f"the network {differ['only_ours']} times" in " ".join(printed.split())


def test_without_a_test_split_there_is_nothing_to_compare():
    with pytest.raises(UserError, match="a test split with rows; received .* and 0"):
        linear.measure(run_of(builtin_size=100, split="80/20/0"))


@pytest.mark.parametrize(
    "folder, column, sizes, accuracy",
    [
        ("sentiment_zh_hotel", "review", [6203, 772, 790], 89.1),
        ("sentiment_zh_waimai", "review", [9562, 1234, 1191], 89.9),
    ],
)
def test_chinese_reviews(saccade_data, folder, column, sizes, accuracy):
    """What the linear model reaches on real reviews."""
    config = APP.Config(
        data=str(saccade_data / folder),
        text_column=column,
        tokenizer="characters",
        skip_bad=True,
    )
    splits = APP.task_for(config).read()
    assert [len(p) for p in (splits.train, splits.validation, splits.test)] == sizes
    answers, _ = linear.rivals(splits, config)
    right = np.array(answers["linear"]) == splits.test["label"]
    assert 100 * right.mean() == pytest.approx(accuracy, abs=0.5)
