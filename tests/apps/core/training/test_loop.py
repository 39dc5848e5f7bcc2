"""Training that is interrupted: budgets, checkpoints, best weights.

This file is also the program that `test_kill_and_resume` kills: it trains in the
folder that is its argument.
"""

import csv
import json
import logging
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.data.order import index_batches
from saccade.apps.core.errors import UserError
from saccade.apps.core.training import checkpoints, loop
from saccade.apps.core.training.fit import whole_calls

STEPS, ROUNDS, BATCH = 3, 6, 8


def build():
    """A small model with everything that has a state: dropout, statistics, Adam."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.4),
            keras.layers.Dense(1),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.02, STEPS * ROUNDS)
    model.compile(keras.optimizers.Adam(schedule), "mse")
    return model


def batches(first_step):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((50, 5)).astype("float32")
    y = x[:, :1] * x[:, 1:2]

    def make(step, indices):
        return tf.gather(x, indices), tf.gather(y, indices)

    return index_batches(len(x), BATCH, seed=4, first_step=first_step).map(make)


def train(folder, resume=False, score=None, pause=0.0):
    """Train `build()` in `folder`; the score goes up and down from round to round."""
    model = build()

    def steady():
        time.sleep(pause)
        return {"val_score": score_after(model.optimizer.iterations.numpy())}

    loop.train(model, batches, STEPS, ROUNDS, folder, score or steady, resume)
    return model


def score_after(steps):
    """The best round is neither the first nor the last."""
    return -abs(float(steps) - 3 * STEPS)


def everything(model):
    """All that the next step depends on, by name."""
    variables = [*model.variables, *model.optimizer.variables]
    return {f"{i} {v.path}": np.array(v) for i, v in enumerate(variables)}


def checkpoint(folder):
    """The state after the last round (the model itself leaves with the best)."""
    manifest = json.loads((folder / "checkpoint/manifest.json").read_text())
    with np.load(folder / "checkpoint" / manifest["file"]) as arrays:
        state = [arrays[name] for name in arrays.files]
    history = [
        {k: v for k, v in row.items() if k != "seconds"} for row in manifest["history"]
    ]
    return state, history


def rounds_done(folder):
    manifest = folder / "checkpoint/manifest.json"
    return json.loads(manifest.read_text())["rounds"] if manifest.exists() else 0


def assert_equal(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, train(folder)


# Budgets


def test_steps_for_leaves_everything_as_it_was(monkeypatch):
    model = build()
    checkpoints.Rounds(model, pathlib.Path(), None)
    model.optimizer.build(model.trainable_variables)
    before = everything(model)
    clock = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(clock))
    steps = loop.steps_for(2, model, batches)
    # Every step takes 0.5 s by this clock; a tenth is kept for validation.
    assert steps == int(120 / 0.55)
    after = everything(model)
    assert after.keys() == before.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_training_after_steps_for_is_the_same(uninterrupted, tmp_path):
    model = build()
    loop.steps_for(0.001, model, batches)

    def score():
        return {"val_score": score_after(model.optimizer.iterations.numpy())}

    loop.train(model, batches, STEPS, ROUNDS, tmp_path, score)
    assert_equal(checkpoint(tmp_path)[0], checkpoint(uninterrupted[0])[0])


# Interruption


def test_the_best_weights_are_kept(uninterrupted):
    folder, model = uninterrupted
    _, history = checkpoint(folder)
    scores = [row["val_score"] for row in history]
    assert np.argmax(scores) != len(scores) - 1, "the last round is no test of this"
    state, _ = checkpoint(folder)
    best = keras.models.load_model(folder / "model.keras", compile=False)
    assert_equal(model.get_weights(), best.get_weights())
    assert not np.array_equal(model.get_weights()[0], state[0])


@pytest.mark.parametrize("stopped_after", [None, 2], ids=["whole", "resumed"])
def test_the_mean_of_the_last_rounds_is_scored_and_kept(tmp_path, stopped_after):
    """After rounds 1, 2, 3 ...: the mean of 1; of 1 and 2; of 1 to 3; of 2 to 4."""
    own, seen, model = [], [], build()

    def score(limit=None):
        seen.append([np.array(w) for w in model.trainable_weights])
        if len(seen) == limit:
            raise KeyboardInterrupt
        return {"val_score": float(len(seen))}

    def fit(limit=None, resume=False):
        class Noting(checkpoints.Rounds):
            def on_epoch_end(self, epoch, logs=None):
                own.append([np.array(w) for w in model.trainable_weights])
                super().on_epoch_end(epoch, logs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "Rounds", Noting)
            loop.train(
                model,
                batches,
                STEPS,
                5,
                tmp_path,
                lambda: score(limit),
                resume,
                average=3,
            )

    if stopped_after:
        with pytest.raises(KeyboardInterrupt):
            fit(limit=stopped_after + 1)
        own.pop()
        seen.pop()
        model = build()
        fit(resume=True)
    else:
        fit()
    assert len(own) == len(seen) == 5
    for i, mean in enumerate(seen):
        last = own[max(0, i - 2) : i + 1]
        for k, weight in enumerate(mean):
            expected = np.mean([weights[k] for weights in last], axis=0)
            np.testing.assert_allclose(weight, expected, atol=1e-6)
    assert_equal([np.array(w) for w in model.trainable_weights], seen[-1])
    best = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert_equal([np.array(w) for w in best.trainable_weights], seen[-1])


def test_a_figure_may_come_in_some_rounds_only(tmp_path):
    figures = iter([{}, {"val_mcc": 0.5}, {}])

    def score():
        return {"val_score": 0.0, **next(figures)}

    loop.train(build(), batches, STEPS, 3, tmp_path, score)
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert [row["val_mcc"] for row in rows] == ["", "0.5", ""]
    assert [row["val_score"] for row in rows] == ["0.0"] * 3


def test_a_part_that_only_training_has(tmp_path):
    """As the baseline of REINFORCE: set after building, not in a loaded model."""
    model = build()
    model.baseline = keras.layers.Dense(1)
    model.baseline.build((None, 2))
    visible = []

    def score():
        visible.append(model.get_weights())
        return {"val_score": -float(len(visible))}

    loop.train(model, batches, STEPS, 2, tmp_path, score)
    assert_equal(model.get_weights(), visible[0])


def test_kill_and_resume(uninterrupted, tmp_path):
    with subprocess.Popen(
        [sys.executable, __file__, str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as child:
        deadline = time.monotonic() + 90
        while rounds_done(tmp_path) < 2:
            assert child.poll() is None, child.stderr.read().decode()
            assert time.monotonic() < deadline, "no second round in 90 s"
            time.sleep(0.02)
        child.kill()
    assert 2 <= rounds_done(tmp_path) < ROUNDS, "killed too late to prove anything"

    model = train(tmp_path, resume=True)
    state, history = checkpoint(tmp_path)
    expected_state, expected_history = checkpoint(uninterrupted[0])
    assert_equal(state, expected_state)
    assert history == expected_history
    assert_equal(model.get_weights(), uninterrupted[1].get_weights())
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + ROUNDS
    assert len(list((tmp_path / "checkpoint").glob("round-*"))) == 1


def test_resume_when_all_rounds_are_done_changes_nothing(uninterrupted):
    folder, model = uninterrupted
    before = checkpoint(folder)
    again = train(folder, resume=True)
    assert_equal(again.get_weights(), model.get_weights())
    assert_equal(checkpoint(folder)[0], before[0])


@pytest.fixture
def ctrl_c():
    """Python's own handler, which a process in the background of a shell lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_keeps_the_best_weights(ctrl_c, tmp_path):
    model = build()
    visible = []

    def score():
        visible.append(model.get_weights())
        if len(visible) == 3:
            signal.raise_signal(signal.SIGINT)
        return {"val_score": -float(len(visible))}  # the first round is the best

    with pytest.raises(KeyboardInterrupt):
        loop.train(model, batches, STEPS, ROUNDS, tmp_path, score)
    assert_equal(model.get_weights(), visible[0])
    best = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert_equal(best.get_weights(), visible[0])
    assert rounds_done(tmp_path) == 2
    assert not list(tmp_path.glob("**/.writing-*"))


# Torn checkpoints


@pytest.fixture(scope="module")
def interrupted_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")
    rounds = iter(range(ROUNDS))

    def score():
        if next(rounds) == 2:
            raise KeyboardInterrupt
        return {"val_score": 0.0}

    with pytest.raises(KeyboardInterrupt):
        train(folder, score=score)
    return folder


@pytest.fixture
def interrupted(interrupted_once, tmp_path):
    """A folder whose training stopped after two rounds."""
    return shutil.copytree(interrupted_once, tmp_path / "run")


def test_killed_before_the_manifest_starts_from_the_beginning(
    interrupted, uninterrupted, caplog
):
    (interrupted / "checkpoint/manifest.json").unlink()
    with caplog.at_level(logging.WARNING, "saccade"):
        train(interrupted, resume=True)
    assert "no checkpoint" in caplog.text
    assert_equal(checkpoint(interrupted)[0], checkpoint(uninterrupted[0])[0])


def test_leftovers_of_a_killed_writer_do_no_harm(interrupted, uninterrupted):
    (interrupted / "checkpoint/.writing-1-round-3.npz").write_bytes(b"half")
    (interrupted / ".writing-1-model.keras").write_bytes(b"half")
    train(interrupted, resume=True)
    assert_equal(checkpoint(interrupted)[0], checkpoint(uninterrupted[0])[0])


@pytest.mark.parametrize("damage", ["cut", "empty", "missing"])
def test_damaged_checkpoint_is_an_error_that_names_it(interrupted, damage):
    file = interrupted / "checkpoint/round-2.npz"
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    with pytest.raises(UserError, match="round-2.npz"):
        train(interrupted, resume=True)


def test_checkpoint_of_another_model_is_an_error(interrupted):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(UserError, match="another model"):
        loop.train(
            model, batches, STEPS, ROUNDS, interrupted, lambda: {"val_score": 0.0}, True
        )


def test_training_that_diverges_says_so(tmp_path):
    model = build()

    def broken(first_step):
        return batches(first_step).map(lambda x, y: (x, y * float("nan")))

    with pytest.raises(UserError, match="loss became nan in round 1"):
        loop.train(model, broken, STEPS, ROUNDS, tmp_path, lambda: {"val_score": 0.0})
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.parametrize(
    "per_round, per_call, steps, of_a_call",
    [
        (640, 10, 640, 10),
        (639, 10, 639, 9),
        (15, 10, 14, 7),
        (11, 10, 10, 10),
        (7, 10, 7, 7),
        (1, 10, 1, 1),
    ],
)
def test_a_round_is_whole_calls_and_loses_few_steps(
    per_round, per_call, steps, of_a_call
):
    assert whole_calls(per_round, per_call) == (steps, of_a_call)


if __name__ == "__main__":
    train(pathlib.Path(sys.argv[1]), pause=0.3)
