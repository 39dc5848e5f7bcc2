"""kill -9 at any moment: `--resume` goes on and ends equal to the bit.

SACCADE_KILLS says how many kills each kind of trainer must survive at random moments
(default 2; the figure of docs/results: 20), SACCADE_KILLS_SEED which ones. All kills of
a kind hit one and the same training: killed, resumed, killed, resumed ... until it
ends. The kills are printed (`pytest -s`).
"""

import collections
import json
import logging
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from saccade import apps
from saccade.apps.core.errors import UserError

from ..apps.runs import assert_same_run
from ..machine import seconds
from . import victim
from .kinds import IN_BOTH_TIERS, KINDS, settings_of

KILLS = int(os.environ.get("SACCADE_KILLS", "2"))
SEED = int(os.environ.get("SACCADE_KILLS_SEED", "0"))
ROUNDS = 2 * KILLS
PATIENCE = seconds(300)  # seconds without a word from a training


class Victim:
    """`saccade train` in a process of its own, and what it said it was about to do.

    told: list of (what, when).
    """

    def __init__(self, arguments, log):
        ours, theirs = os.pipe()
        self.lines, self.pipe, self.log = [], os.fdopen(ours, "rb", 0), log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, victim.__file__, "train", str(theirs), *arguments],
                stdout=output,
                stderr=output,
                pass_fds=[theirs],
            )
        os.close(theirs)

    def listen(self):
        """The next thing it said; None when it has ended."""
        ready, _, _ = select.select([self.pipe], [], [], PATIENCE)
        assert ready, f"nothing heard for {PATIENCE} s; see {self.log}"
        line = self.pipe.readline().decode().strip()
        if not line:
            self.pipe.close()
            self.process.wait()
            return None
        self.lines.append((line, time.monotonic()))
        return line

    def listen_to_the_end(self):
        while self.listen():
            pass
        return self.process.returncode

    def sleep(self, seconds):
        """Sleep, at most until it says the next thing: a phase may be shorter than it
        once was, and nobody can kill what has ended."""
        select.select([self.pipe], [], [], seconds)

    def kill(self):
        """Returns what it was doing."""
        self.process.send_signal(signal.SIGKILL)
        status = self.listen_to_the_end()
        assert status == -signal.SIGKILL, f"it had ended before, with status {status}"
        return self.lines[-1][0]


def durations(lines):
    """How long each kind of phase took, seconds: the first word -> the median."""
    lengths = collections.defaultdict(list)
    for (what, begun), (_, ended) in zip(lines[:-1], lines[1:], strict=True):
        lengths[what.split()[0]].append(ended - begun)
    return {kind: float(np.median(times)) for kind, times in lengths.items()}


def rounds_done(folder):
    manifest = folder / "checkpoint/manifest.json"
    return json.loads(manifest.read_text())["rounds"] if manifest.exists() else 0


def kill_once(arguments, folder, log, draw, phase, length):
    """Start a training, kill it in a phase, at a moment of it; returns what it did.

    The phase may be one of the round that comes next or of the one after that.
    """
    least = rounds_done(folder) + draw.choice([1, 2])
    share = draw.random()
    training = Victim(arguments, log)
    begun = 0
    while (what := training.listen()) is not None:
        kind, *rest = what.split()
        if kind == "training":
            begun = int(rest[0])
        if kind == phase and (begun >= least or phase in ("starting", "evaluating")):
            break
    assert what is not None, f"it ended before it came to {phase}; see {log}"
    training.sleep(share * length)
    hit = training.kill()
    print(f"  aimed at {phase} +{share * length:.4f} s; hit: {hit}")
    return hit


def arguments_of(kind, folder):
    name, settings = settings_of(
        kind, rounds=ROUNDS, steps=ROUNDS * 4, batch_size=8, dropout=0.2
    )
    settings = {"preset": "tiny", **settings}
    return [name, "--out", str(folder), *map(word, settings, settings.values())]


def word(name, value):
    """A setting as an option of the command line."""
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"--{name.replace('_', '-')}={value}"


@pytest.mark.parametrize("kind", IN_BOTH_TIERS)
def test_killed_at_random_moments(kind, tmp_path):
    log = tmp_path / "output"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = Victim(arguments_of(kind, whole), log)
    assert uninterrupted.listen_to_the_end() == 0, log.read_text()
    length = durations(uninterrupted.lines)

    draw = random.Random(f"{SEED} {kind}")
    phases = ["starting", "training", "validating", "writing", "moving"]
    hits = collections.Counter()
    print(f"\n{kind}: {KILLS} kills, SACCADE_KILLS_SEED={SEED}")
    arguments = [*arguments_of(kind, killed), "--resume"]
    for i in range(KILLS):
        # The last one when all is trained: then only the figures are missing.
        phase = draw.choice(phases) if i < KILLS - 1 else "evaluating"
        pause = length.get(phase, 0.05)
        if phase == "evaluating":  # Nothing is said at its end.
            pause /= 2
        hit = kill_once(arguments, killed, log, draw, phase, pause)
        hits[hit.split()[0]] += 1
    resumed = Victim(arguments, log)
    assert resumed.listen_to_the_end() == 0, log.read_text()
    assert_same_run(killed, whole)
    app = apps.load(KINDS[kind][0])
    for a, b in zip(
        app.load(killed).model.get_weights(),
        app.load(whole).model.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    print(f"  survived {KILLS} of {KILLS}: {dict(hits)}")


@pytest.mark.slow
def test_killed_at_every_write(tmp_path):
    """Before, amid and after each of them, from the first checkpoint to the last."""
    done = subprocess.run(
        [sys.executable, victim.__file__, "die", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    kills = [line for line in lines if line.startswith("killed: ")]
    print(f"\nkilled and resumed {len(kills)} times", *kills, sep="\n  ")
    for name in ("model.keras", "round-2.npz", "manifest.json", "history.csv"):
        assert sum(name in line for line in kills) >= 3, f"no kill aimed at {name}"

    whole = tmp_path / str(len(kills) + 1)
    expected = keras.models.load_model(whole / "model.keras", compile=False)
    for n in range(1, len(kills) + 1):
        folder = tmp_path / str(n)
        model = victim.train(folder, resume=True)
        for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=kills[n - 1])
        assert state_of(folder) == state_of(whole), kills[n - 1]
        assert not list(folder.glob("**/.writing-*")), kills[n - 1]
        assert len(list(folder.glob("checkpoint/*.npz"))) == 1, kills[n - 1]


def state_of(folder):
    """The checkpoint's arrays as bytes, and the history without the seconds."""
    manifest = json.loads((folder / "checkpoint/manifest.json").read_text())
    with np.load(folder / "checkpoint" / manifest["file"]) as arrays:
        state = [arrays[name].tobytes() for name in arrays.files]
    return state, [{**row, "seconds": 0} for row in manifest["history"]]


# Killed before there was anything to go on with


def hello(**settings):
    app = apps.load("char_lm")
    config = app.presets["hello"]()
    return app, type(config)(**{**vars(config), "steps": 4, "jit": False, **settings})


@pytest.mark.parametrize("found", ["nothing", "empty", "assets", "torn config"])
def test_resume_before_the_config_is_written_begins(found, tmp_path, caplog):
    app, config = hello()
    folder = tmp_path / "run"
    if found != "nothing":
        folder.mkdir()
    if found in ("assets", "torn config"):
        (folder / "assets.json").write_text("{}")
    if found == "torn config":
        (folder / ".writing-999999999-config.json").write_text('{"data": "he')
    with caplog.at_level(logging.WARNING, "saccade"):
        run = app.train(config, out=folder, resume=True)
    assert f"{folder} holds no run: starting from the beginning" in caplog.text
    whole = app.train(config, out=tmp_path / "whole")
    assert_same_run(folder, whole.folder)
    assert run.metrics == whole.metrics


def test_resume_before_the_first_checkpoint_begins(tmp_path, caplog):
    app, config = hello()
    whole = app.train(config, out=tmp_path / "whole")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "assets.json"):
        shutil.copy(whole.folder / name, folder)
    with caplog.at_level(logging.WARNING, "saccade"):
        app.train(out=folder, resume=True)
    assert f"{folder} holds no checkpoint" in caplog.text
    assert_same_run(folder, whole.folder)


def test_resume_of_what_is_no_run_is_an_error(tmp_path):
    app, config = hello()
    (tmp_path / "holiday.jpg").write_bytes(b"")
    for path in (tmp_path, tmp_path / "holiday.jpg"):
        with pytest.raises(UserError, match="expected a config.json"):
            app.train(config, out=path, resume=True)


def test_resume_on_other_data_is_an_error(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("hello world " * 100)
    app, config = hello(data=str(text))
    app.train(config, out=tmp_path / "run")
    text.write_text("other words " * 100)
    with pytest.raises(UserError, match="has changed since this run began"):
        app.train(out=tmp_path / "run", resume=True)


def test_leftovers_of_the_dead_are_removed_and_no_others(tmp_path):
    with subprocess.Popen(["sleep", "600"]) as alive:
        try:
            ended = subprocess.Popen(["true"])
            ended.wait()
            (tmp_path / "checkpoint").mkdir()
            names = {
                f".writing-{ended.pid}-model.keras": False,
                f"checkpoint/.writing-{ended.pid}-round-3.npz": False,
                f".writing-{os.getpid()}-history.csv": False,
                f".writing-{alive.pid}-model.keras": True,
                "notes.txt": True,
            }
            for name in names:
                (tmp_path / name).write_bytes(b"half")
            victim.train(pathlib.Path(tmp_path), resume=True, rounds=1)
            assert {name: (tmp_path / name).exists() for name in names} == names
        finally:
            alive.kill()
