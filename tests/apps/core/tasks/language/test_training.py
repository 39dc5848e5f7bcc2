"""Training a language model: the plan of its steps, the toy, and the resume rule."""

import dataclasses
import math
import pathlib
import shutil

import keras
import numpy as np
import pytest

from saccade.apps.char_lm import config as settings
from saccade.apps.char_lm import data, model
from saccade.apps.core.tasks.language import training
from saccade.apps.core.training import checkpoints, loop


def fit(config, folder, resume=False, planned=lambda config: None):
    """The model, and the config that `fit` returns."""
    keras.utils.set_random_seed(config.seed)
    splits = data.load_data(config)
    config, characters = data.learn(config, splits)
    built = model.build_model(config, characters)
    folder = pathlib.Path(folder)
    config = training.fit(built, config, characters, splits, folder, resume, planned)
    return built, config


def planned_training(config, monkeypatch):
    """(config, carrier, steps per round, rounds) with which training would start."""
    caught = []

    def train(carrier, batches, per_round, rounds, *others, **options):
        caught.append((carrier, per_round, rounds))

    monkeypatch.setattr(loop, "train", train)
    _, config = fit(config, "unused")
    return config, *caught[0]


def test_the_hello_toy_is_learnt(tmp_path):
    """The last validation is below 0.05 nats; guessing among four letters is 1.39."""
    fit(settings.hello(), tmp_path)
    *_, last = (tmp_path / "history.csv").read_text().splitlines()
    heads = (tmp_path / "history.csv").read_text().splitlines()[0].split(",")
    row = dict(zip(heads, map(float, last.split(",")), strict=True))
    assert row["val_nats"] < 0.05
    assert row["val_bits"] == pytest.approx(row["val_nats"] / math.log(2))
    assert row["val_perplexity"] == pytest.approx(math.exp(row["val_nats"]))
    assert row["val_score"] == -row["val_nats"]


@pytest.mark.parametrize(
    "steps, rounds, steps_per_call",
    [
        (200, 2, 10),
        (195, 10, 10),
        (95, 10, 10),
        (4, 2, 10),
        (7, 2, 3),
        (3, 10, 10),
        (1, 1, 1),
        (23, 2, 10),
    ],
)
def test_a_round_is_a_whole_number_of_calls(steps, rounds, steps_per_call, monkeypatch):
    requested = dataclasses.replace(
        settings.hello(), steps=steps, rounds=rounds, steps_per_call=steps_per_call
    )
    config, carrier, per_round, got_rounds = planned_training(requested, monkeypatch)
    assert got_rounds == min(rounds, steps)
    assert per_round % config.steps_per_call == 0
    assert carrier.steps_per_execution == config.steps_per_call <= steps_per_call
    assert config.steps == got_rounds * per_round <= steps
    # At most a step of every call of a round is lost, and one of every round.
    calls = per_round // config.steps_per_call
    assert steps - config.steps < got_rounds * (1 + calls)
    # The config that is written down plans the same again.
    again, _, *same = planned_training(config, monkeypatch)
    assert (again, *same) == (config, per_round, got_rounds)


def test_minutes_become_steps_before_the_first(monkeypatch):
    written = []
    monkeypatch.setattr(loop, "steps_for", lambda minutes, *_: int(60 * minutes))
    monkeypatch.setattr(loop, "train", lambda *_, **__: written.append("training"))
    requested = dataclasses.replace(settings.hello(), steps=0, minutes=1.0, rounds=3)
    _, config = fit(requested, "unused", planned=written.append)
    assert config.steps == 60
    assert written == [config, "training"]


@pytest.mark.parametrize("steps, warm_up", [(200, 40), (1000, 50), (2600, 52)])
def test_the_learning_rate_rises_and_falls_over_the_planned_steps(
    steps, warm_up, monkeypatch
):
    requested = dataclasses.replace(settings.hello(), steps=steps)
    _, carrier, *_ = planned_training(requested, monkeypatch)
    rates = [float(carrier.optimizer._learning_rate(step)) for step in range(steps + 1)]
    peak = requested.learning_rate
    assert rates[0] == pytest.approx(peak / 20)
    assert max(rates) == pytest.approx(peak) == rates[warm_up]
    assert (np.diff(rates[warm_up:]) < 0).all()
    assert rates[steps] == pytest.approx(peak / 100)


def test_killed_and_resumed_training_ends_bit_equal(tmp_path, monkeypatch):
    """A kill is played by a copy of the folder as it was after the first round."""
    config = dataclasses.replace(
        settings.hello(),
        cell="gru",
        dropout=0.3,
        jit=False,
        steps=12,
        rounds=2,
        steps_per_call=3,
    )
    write = checkpoints.Rounds.write_checkpoint
    carried = []

    def write_and_copy(rounds, done):
        write(rounds, done)
        if done == 1:
            (state,) = rounds.trained.carried.values()
            carried.append(np.array(state))
            shutil.copytree(rounds.folder, tmp_path / "killed")

    monkeypatch.setattr(checkpoints.Rounds, "write_checkpoint", write_and_copy)
    fit(config, tmp_path / "whole")
    assert not (tmp_path / "killed/checkpoint/round-2.npz").exists()
    with np.load(tmp_path / "killed/checkpoint/round-1.npz") as saved:
        same = [np.array_equal(saved[name], carried[0]) for name in saved.files]
    assert carried[0].any()
    assert sum(same) == 1, "the checkpoint does not hold the carried state"

    # Far from where it stopped: every draw must come from the seed or the checkpoint.
    keras.random.normal((3,))
    fit(config, tmp_path / "killed", resume=True)
    ends = [tmp_path / f"{name}/checkpoint/round-2.npz" for name in ("whole", "killed")]
    with np.load(ends[0]) as whole, np.load(ends[1]) as resumed:
        assert whole.files == resumed.files
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], resumed[name])


def test_figures_are_one_loss_in_three_units():
    got = training.figures(math.log(2), "val_")
    assert got == pytest.approx(
        {"val_nats": math.log(2), "val_bits": 1.0, "val_perplexity": 2.0}
    )
    assert np.isfinite(np.float32(training.figures(1e6)["perplexity"]))
