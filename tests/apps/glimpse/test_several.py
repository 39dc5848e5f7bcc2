"""Several digits: what is right after each look, the end, figures by length."""

import numpy as np
import pytest

from saccade.apps.core.data.rows import Examples
from saccade.apps.core.training.fit import compile_trainer
from saccade.apps.glimpse import APP
from saccade.apps.glimpse.config import Config
from saccade.apps.glimpse.model import rewards_of
from saccade.apps.glimpse.scores import edit_distance, sequence_metrics

SMALL = {
    "scene": "several",
    "image_size": 30,
    "digits": 2,
    "glimpses": 2,
    "builtin_size": 60,
    "hidden": 8,
    "glimpse": 8,
    "units": 8,
    "earlier": 0.5,
    "jit": False,
    "batch_size": 16,
    "steps": 4,
    "rounds": 2,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return APP.train(Config(**SMALL), tmp_path_factory.mktemp("several") / "run")


def test_places_are_drawn_less_widely_at_the_end():
    """By the learning rate of the step before the last: of four steps the first warms
    up, and the cosine of the others is at 2 / 3 of its way."""
    config = Config(**SMALL, std=0.2, std_last=0.04)
    task = APP.task_for(config)
    splits = task.read()
    task = task.learn(splits.train)
    trainer = task.trainer(task.build_model())
    compile_trainer(trainer, task, config.steps)
    std, found = trainer.get_layer("glimpses").std, []
    for _, batch in zip(
        range(config.steps), task.batches(splits.train)(0), strict=False
    ):
        trainer.train_on_batch(*batch)
        found.append(float(std))
    rates = [1 / 20, 1, 3 / 4, 1 / 4]  # of the peak, at each step
    expected = [0.04 + 0.16 * rate for rate in rates]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_is_right_after_each_look(run):
    examples = Examples(label=["7", "31"])
    end = len(run.task.assets.labels)
    pairs = run.task.targets(examples)
    assert pairs.targets["logits"].tolist() == [
        [7, 7, end, end, end, end],
        [3, 3, 1, 1, end, end],
    ]
    assert pairs.weights["logits"].tolist() == [
        [0.5, 1, 0.5, 1, 0, 0],
        [0.5, 1, 0.5, 1, 0.5, 1],
    ]


@pytest.mark.parametrize("reward", ["right", "likelihood"])
def test_a_place_is_worth_what_is_believed_of_the_digit_it_was_chosen_for(reward):
    config = Config(**SMALL | {"reward": reward})
    targets = np.array([[0, 0, 1, 1, 2, 2]])
    shares = np.full((1, 6, 3), 0.25, "float32")
    for look, right in enumerate([0, 0, 0, 1, 0, 0]):
        shares[0, look, right] = 0.5
    weights = np.array([[0.5, 1, 0.5, 1, 0, 0]])
    found = np.array(rewards_of(config, targets, np.log(shares), weights))
    half = 1.0 if reward == "right" else np.log(0.5)
    # The place of the next digit is chosen after the last look at the one before.
    np.testing.assert_allclose(found, [[half, half, half, 0, 0, 0]], atol=1e-6)


def test_answers_end_where_the_network_says(run):
    examples = run.task.read().test
    answers = run.predict(examples["image"], samples=2)
    for answer in answers:
        assert len(answer["text"]) == answer["length"] <= 3
        assert answer["path"].shape == (6, 2) and answer["scores"].shape == (6, 11)
        after = answer["scores"][1::2]
        np.testing.assert_allclose(answer["stop_scores"], after[:, -1])
        likeliest = np.argmax(after, axis=-1)
        ends = np.flatnonzero(likeliest == 10)
        length = ends[0] if len(ends) else 3
        assert answer["text"] == "".join(map(str, likeliest[:length]))
        probability = after.max(-1)[: length + 1].prod()
        assert answer["score"] == pytest.approx(probability, rel=1e-4)
    assert {"accuracy", "count_accuracy", "edit_distance"} <= set(run.evaluate())


@pytest.mark.slow
def test_an_export_answers_the_same(run, tmp_path):
    contents = run.task.read().test["image"][:3]
    export = APP.load(run.export(tmp_path))
    for ours, theirs in zip(
        run.predict(contents), export.predict(contents), strict=True
    ):
        assert ours["text"] == theirs["text"]
        np.testing.assert_allclose(ours["path"], theirs["path"], atol=1e-5)


def test_the_animation_goes_through_all_digits(run):
    contents = run.task.read().test["image"][:1]
    assert len(run.draw(contents, run.predict(contents)).frames) == 6


@pytest.mark.parametrize(
    "text, other, distance",
    [("", "", 0), ("12", "", 2), ("123", "13", 1), ("21", "12", 2), ("345", "845", 1)],
)
def test_edit_distance(text, other, distance):
    assert edit_distance(text, other) == edit_distance(other, text) == distance


def test_figures_by_length():
    figures = sequence_metrics(["1", "2", "12", "1"], ["1", "3", "12", "123"])
    assert figures["accuracy"] == 50 and figures["count_accuracy"] == 75
    assert figures["edit_distance"] == 0.75
    assert figures["by_length"] == {
        "1": {"examples": 2, "accuracy": 50.0},
        "2": {"examples": 1, "accuracy": 100.0},
        "3": {"examples": 1, "accuracy": 0.0},
    }
