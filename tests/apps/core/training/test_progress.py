"""What a training says while it runs."""

import io
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from saccade.apps import REGISTRY, load
from saccade.apps.core.training import checkpoints, fit, loop
from saccade.apps.core.training.progress import RoundsShown

STEPS, ROUNDS = 2, 4


def batches(first_step):
    x = np.linspace(0, 1, 8, dtype="float32").reshape(4, 2)
    return tf.data.Dataset.from_tensors((x, x[:, :1])).repeat()


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


@pytest.fixture
def train(model, tmp_path):
    """Train by rounds whose validation gives these scores; returns their number."""

    def call(scores, resume=False, enough=None):
        given = iter(scores)
        visible = []

        def score():
            visible.append(next(given))
            return {"val_exact_match": visible[-1], "val_score": visible[-1]}

        loop.train(
            model,
            batches,
            STEPS,
            ROUNDS,
            tmp_path,
            score,
            resume,
            in_words=lambda figures: f"exact match {figures['val_exact_match']:.1f} %",
            enough=enough,
        )
        return len(visible)

    return call


def test_a_line_for_every_round_with_its_score_in_words(train, capsys):
    train([10.0, 30.0, 20.0, 30.0])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == ROUNDS
    expected = r"round 2 of 4, 0:00:\d\d: training loss 0\.\d{3}, exact match 30\.0 %"
    assert re.fullmatch(expected + ", best so far", lines[1])
    assert lines[2].endswith("exact match 20.0 %")
    assert not any("val_" in line for line in lines)


def test_a_bar_on_a_terminal_and_lines_above_it(model, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    keeper = checkpoints.Rounds(model, tmp_path, lambda: {"val_score": 1.0})
    with RoundsShown(keeper, STEPS, ROUNDS, lambda figures: "", console=console) as bar:
        model.fit(
            batches(0),
            epochs=ROUNDS,
            steps_per_epoch=STEPS,
            callbacks=[keeper, bar],
            verbose=0,
        )
        assert bar.bar.tasks[0].completed == STEPS * ROUNDS
        bar.bar.refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    assert "step 8 of 8" in shown and "round 4 of 4, 0:00:" in shown


def test_nothing_of_a_worker_that_is_not_the_chief(model, capsys):
    keeper = types.SimpleNamespace(history=[])
    with RoundsShown(keeper, STEPS, ROUNDS, lambda figures: "", silent=True) as bar:
        model.fit(batches(0), steps_per_epoch=STEPS, callbacks=[bar], verbose=0)
    assert capsys.readouterr().out == ""


# --stop-at


def test_a_score_that_is_enough_ends_the_training(train, tmp_path):
    def enough(figures):
        return figures["val_exact_match"] >= 25

    assert train([10.0, 30.0, 50.0, 60.0], enough=enough) == 2
    assert checkpoints.rounds_done(tmp_path, ROUNDS) == ROUNDS, "nothing is left to do"
    assert train([50.0], resume=True, enough=enough) == 0


def task_of(best, stop_at):
    config = types.SimpleNamespace(stop_at=stop_at)
    return types.SimpleNamespace(best=best, config=config)


@pytest.mark.parametrize(
    ("best", "stop_at", "score", "expected"),
    [
        ("accuracy", 90.0, 90.0, True),
        ("accuracy", 90.0, 89.9, False),
        ("accuracy", 0.0, 100.0, False),
        ("-nats", 1.5, 1.4, True),
        ("-nats", 1.5, 1.6, False),
        ("-nats", 0.0, 0.0, False),
    ],
)
def test_what_is_enough(best, stop_at, score, expected, caplog):
    figures = {"loss": 1.0, f"val_{best.removeprefix('-')}": score}
    with caplog.at_level("INFO", "saccade"):
        assert fit.enough(task_of(best, stop_at), figures) is expected
    assert ("was asked for" in caplog.text) is expected


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_app_says_what_its_best_figure_is(name):
    app = load(name)
    task = app.task_for(app.Config())
    assert task.best.removeprefix("-") in task.in_words
    for words in task.in_words.values():
        assert re.search(r"[a-zA-Z]", words.format(1.0))
