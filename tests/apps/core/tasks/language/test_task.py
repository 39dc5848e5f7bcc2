"""Training a language model: the plan of its steps, the toy, and the resume rule."""

import dataclasses
import math
import pathlib
import shutil

import keras
import numpy as np
import pytest

from saccade.apps.char_lm import APP
from saccade.apps.core.errors import UserError
from saccade.apps.core.tasks.language import task as language
from saccade.apps.core.tasks.language.streams import Documents
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.core.training import checkpoints, fit, loop

HELLO = APP.presets["hello"]()


def train(config, folder, resume=False, planned=lambda config: None):
    """The answerer, and the config that `fit` returns."""
    keras.utils.set_random_seed(config.seed)
    task = APP.task_for(config)
    splits = task.read()
    task = task.learn(splits.train)
    answerer = Answerer(task, task.build_model())
    folder = pathlib.Path(folder)
    config = fit.fit(task, answerer, splits, folder, resume, planned)
    return answerer, config


def planned_training(config, monkeypatch):
    """(config, carrier, steps per round, rounds) with which training would start."""
    caught = []

    def caught_train(carrier, batches, per_round, rounds, *others, **options):
        caught.append((carrier, per_round, rounds))

    monkeypatch.setattr(loop, "train", caught_train)
    _, config = train(config, "unused")
    return config, *caught[0]


def test_the_hello_toy_is_learnt(tmp_path):
    """The last validation is below 0.05 nats; guessing among four letters is 1.39."""
    train(HELLO, tmp_path)
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
        HELLO, steps=steps, rounds=rounds, steps_per_call=steps_per_call
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
    requested = dataclasses.replace(HELLO, steps=0, minutes=1.0, rounds=3)
    _, config = train(requested, "unused", planned=written.append)
    assert config.steps == 60
    assert written == [config, "training"]


@pytest.mark.parametrize("steps, warm_up", [(200, 40), (1000, 50), (2600, 52)])
def test_the_learning_rate_rises_and_falls_over_the_planned_steps(
    steps, warm_up, monkeypatch
):
    requested = dataclasses.replace(HELLO, steps=steps)
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
        HELLO,
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
    train(config, tmp_path / "whole")
    assert not (tmp_path / "killed/checkpoint/round-2.npz").exists()
    with np.load(tmp_path / "killed/checkpoint/round-1.npz") as saved:
        same = [np.array_equal(saved[name], carried[0]) for name in saved.files]
    assert carried[0].any()
    assert sum(same) == 1, "the checkpoint does not hold the carried state"

    # Far from where it stopped: every draw must come from the seed or the checkpoint.
    keras.random.normal((3,))
    train(config, tmp_path / "killed", resume=True)
    ends = [tmp_path / f"{name}/checkpoint/round-2.npz" for name in ("whole", "killed")]
    with np.load(ends[0]) as whole, np.load(ends[1]) as resumed:
        assert whole.files == resumed.files
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], resumed[name])


def test_figures_are_one_loss_in_three_units():
    got = language.figures(math.log(2))
    assert got == pytest.approx({"nats": math.log(2), "bits": 1.0, "perplexity": 2.0})
    assert np.isfinite(np.float32(language.figures(1e6)["perplexity"]))


@pytest.mark.parametrize("start", ["token", "zeros"])
def test_a_training_teaches_how_a_text_begins(start, tmp_path, monkeypatch):
    """Half of the documents begin with h and half with o, and no other letter."""
    config = dataclasses.replace(HELLO, start=start, jit=False, steps=150)
    task = APP.task_for(config)
    pieces = [(True, word) for word in ("hell", "oleh")] * 100
    documents = Documents(lambda: iter(pieces), 800)
    keras.utils.set_random_seed(0)
    task = task.learn(documents)
    model = task.build_model()
    trainer = task.trainer(model)
    fit.compile_trainer(trainer, task, config.steps)
    trainer.fit(task.batches(documents)(0), steps_per_epoch=config.steps, verbose=0)
    answers = Answerer(task, model).answers(list("helo"), task.Options(), "score")
    chances = [math.exp(answer["log_prob"]) for answer in answers]
    assert chances == pytest.approx([0.5, 0, 0, 0.5], abs=0.15)


def test_other_texts_are_measured_in_the_tokens_of_the_model():
    task = APP.task_for(HELLO)
    task = task.learn(task.read().train)
    answerer = Answerer(task, task.build_model())
    documents = Documents(lambda: iter([(True, "he"), (False, "?o"), (True, "l")]), 5)
    found = task.evaluate(answerer, documents, task.Options())
    assert (found["characters"], found["unknown_percent"]) == (5, 20)
    scores = answerer.answers(["he?o", "l"], task.Options(), "score")
    nats = -sum(score["log_prob"] for score in scores) / 5
    assert found["nats"] == pytest.approx(nats, rel=1e-5)
    some = task.evaluate(answerer, documents, task.Options(), most=5)
    (first,) = answerer.answers(["he?o"], task.Options(), "score")
    assert some["nats"] == pytest.approx(-first["log_prob"] / 4, rel=1e-5)
    with pytest.raises(UserError, match="draws nothing"):
        task.evaluate(answerer, documents, task.Options(temperature=1.0))


class Process:
    """An `Answering` of a run's own functions, as an export or a server is one."""

    def __init__(self, answerer):
        self.answerer = answerer

    def _function(self, signature):
        return self.answerer.function(signature, self.answerer.task.Options())

    def inputs_of(self, signature):
        specs = self._function(signature).input_signature
        return {spec.name: list(spec.shape) for spec in specs}

    def call(self, signature, **inputs):
        return self._function(signature)(**inputs)


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1},
        {"temperature": 0.0},
        {"top_k": 2, "top_p": 0.9},
        {"stop": "lo", "seed": 3, "temperature": 2.0},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("prompt", ["hel", ""])
def test_a_stream_by_steps_is_the_answer(prompt, options):
    keras.utils.set_random_seed(2)
    task = APP.task_for(HELLO)
    task = task.learn(task.read().train)
    answerer = Answerer(task, task.build_model())
    chosen = task.Options(**options, length=70)
    (answer,) = answerer.answers([prompt], chosen)
    stranger = APP.task_for(APP.Config())  # knows neither the settings nor the letters
    parts = list(stranger.stream_by_steps(Process(answerer), prompt, chosen))
    assert "".join(parts) == task.show(answer)
    assert parts[0] == prompt and max(map(len, parts[1:]), default=0) <= 1
    assert len(parts) == 1 + answer["length"]


def test_a_model_without_a_start_needs_a_prompt():
    task = APP.task_for(HELLO)
    task = task.bound(assets=task.assets_from_json('{"characters": "helo"}'))
    answerer = Answerer(task, task.build_model())
    with pytest.raises(UserError, match="at least one character"):
        list(task.stream_by_steps(Process(answerer), "", task.Options()))
    # In one graph it reads its most frequent character instead.
    some = answerer.answers(["", "h"], task.Options(length=20))
    assert some[0]["continuation"] == some[1]["continuation"]
