"""The family of tasks whose answer is a label."""

import types

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.data.rows import Examples
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.core.tasks.classify import Classes, Classify


def task(class_weights="none", labels=("a", "b", "c")):
    config = types.SimpleNamespace(class_weights=class_weights, label_smoothing=0.2)
    return Classify(config, Classes(labels))


def test_classes_come_back_from_json():
    tokenizer = Tokenizer(["good", "不"], lower=True)
    for classes in (
        Classes(("-1", "ä"), tokenizer, (4, 9)),
        Classes(("x", "y")),
    ):
        again = Classify(None).assets_from_json(classes.to_json())
        assert again.to_json() == classes.to_json()
        assert (again.labels, again.widths) == (classes.labels, classes.widths)
    assert again.tokenizer is None


def test_labels_are_learned():
    learned = task().learn(Examples(x=[1, 2, 3], label=["1", "-1", "1"]))
    assert learned.assets.labels == ("-1", "1")


def test_what_looks_like_no_column_of_labels_is_asked_about(caplog):
    names = [f"label {i:02}" for i in range(30)]
    learned = task().learn(Examples(label=names))
    assert "There are 30 labels in 30 rows of the training split" in caplog.text
    shown = learned.labels_shown(Examples(label=[*names, names[0]]))
    assert shown.startswith("label 00 (2), label 01 (1), ")
    assert shown.endswith("label 19 (1) and 10 more")
    caplog.clear()
    task().learn(Examples(label=["a", "b"] * 15))
    task().learn(Examples(label=names[:4]))  # too few to tell
    assert not caplog.text


def test_labels_that_were_not_in_training_are_named():
    assert task().remark(Examples(label=["a", "b"])) == ""
    remark = task().remark(Examples(label=["a", "y", "x", "x"]))
    assert "Of 4 examples" in remark and remark.endswith(": 'x' (2), 'y' (1).")
    remark = task().remark(Examples(label=[*"aefghijk"]))
    assert remark.endswith("'i' (1) and 2 more.") and "'a'" not in remark


def test_targets_are_places_of_labels():
    pairs = task().targets(Examples(label=["c", "a", "c"]))
    assert pairs.owner.tolist() == [0, 1, 2]
    assert pairs.targets["logits"].tolist() == [2, 0, 2]
    assert pairs.weights["logits"].tolist() == [1, 1, 1]


def test_balanced_classes_weigh_alike():
    labels = ["a"] * 6 + ["b"] * 3 + ["c"]
    weights = task("balanced").targets(Examples(label=labels)).weights["logits"]
    for part in (weights[:6], weights[6:9], weights[9:]):
        assert part.sum() == pytest.approx(10 / 3)


def test_the_loss_is_smoothed_cross_entropy():
    logits = np.log([[0.5, 0.25, 0.25]]).astype("float32")
    loss = task().loss()["logits"].call(tf.constant([0]), tf.constant(logits))
    expected = -(0.8 * np.log(0.5) + 0.2 * np.log([0.5, 0.25, 0.25]).mean())
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def test_an_answer_names_all_labels():
    probabilities = tf.constant([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    answer = task().answer({}, {"probabilities": probabilities}, None)
    assert answer["label"].numpy().tolist() == [b"b", b"a"]
    np.testing.assert_allclose(answer["score"], [0.7, 0.5])
    assert answer["labels"].numpy().tolist() == [[b"a", b"b", b"c"]] * 2
    shown = task().show({"label": "b", "score": 0.701})
    assert shown == "b  (0.70)"
    assert task().show({"label": "", "score": 0.55}) == "no label  (0.55)"


def test_figures_say_how_they_were_measured():
    answers = [{"ok": True, "label": label, "score": 1.0} for label in "aab"]
    figures = task().measure(answers, Examples(label=["a", "b", "b"]))
    assert figures["accuracy"] == pytest.approx(100 * 2 / 3)
    assert figures["measured_on"] == "3 examples, the likeliest of 3 labels"
    with pytest.raises(UserError, match="Example 1: is no text"):
        task().measure([answers[0], {"ok": False, "error": "is no text"}], None)
