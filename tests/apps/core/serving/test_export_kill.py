"""An export that is killed leaves no version that a server could half load.

A subprocess exports and kills itself with SIGKILL right before or after one of the
steps of an export; the test then looks at the folder as TF Serving does.
"""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
import tensorflow as tf

from saccade.apps.core.serving import export, server, warm_up

from .test_export import make_run, write

# Exports the run of test_export.py; dies at the given call of the given step.
DRIVER = """
import importlib.util, os, random, signal, sys, threading
import pathlib

tests, to, step, moment, count = sys.argv[1:]
spec = importlib.util.spec_from_file_location("test_export", tests)
test_export = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test_export)
from saccade.apps.core.serving import export

calls = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def killing(function):
    def wrapped(*arguments, **options):
        global calls
        calls += 1
        now = calls == int(count)
        if now and moment == "before":
            die()
        if now and moment == "during":  # or soon after
            threading.Timer(random.uniform(0, 0.3), die).start()
        result = function(*arguments, **options)
        if now and moment == "after":
            die()
        return result
    return wrapped

owner, _, name = step.rpartition(".")
owner = {
    "": export,
    "os": os,
    "path": pathlib.Path,
    "server": export.server,
}[owner]
setattr(owner, name, killing(getattr(owner, name)))
test_export.write(test_export.make_run(scale=2.0), to, ["stable"])
"""
# Each step, and how often an export calls it.
STEPS = {
    "remove_leftovers": 1,
    "save": 1,
    "write_warm_up": 1,
    "model_card": 1,
    "write_card": 1,
    "path.chmod": 1,
    "os.fsync": 1,
    "os.rename": 1,
    "server.write_server_files": 1,
    "os.replace": 2,  # batching.config, models.config
}
POINTS = [
    (step, moment, count)
    for step, calls in STEPS.items()
    for count in range(1, calls + 1)
    for moment in ("before", "after")
]
POINTS += [("save", "during", 1), ("write_warm_up", "during", 1)]


def driver(to, *words):
    tests = pathlib.Path(__file__).with_name("test_export.py")
    return [sys.executable, "-c", DRIVER, tests, to, *map(str, words)]


def check(to, versions):
    """Every version there is loads and answers, and the server's files are whole."""
    base = to / "lengths"
    assert server.versions(base) == versions
    for version in versions:
        loaded = tf.saved_model.load(str(base / str(version)))
        answer = loaded.signatures["serving_default"](text=tf.constant(["abc"]))
        assert answer["echo"].numpy().tolist() == [b"abc"]
        assert json.loads((base / str(version) / "model_card.json").read_text("utf-8"))
        warm_up_file = base / str(version) / warm_up.FILE
        records = [r.numpy() for r in tf.data.TFRecordDataset(str(warm_up_file))]
        assert len(records) == len(server.BATCH_SIZES)
    server.read_labels(to)
    written = (to / server.BATCHING).read_text("utf-8")
    assert written == server.BATCHING_TEXT


def litter(to):
    return [str(p) for p in to.rglob("*") if p.name.startswith(export.WRITING)]


# A point takes seconds, because the subprocess imports TensorFlow. All of them, in any
# order: SACCADE_KILLS=26.
KILLS = int(os.environ.get("SACCADE_KILLS", "3"))


@pytest.mark.slow
def test_killed_at_any_point_it_leaves_nothing_half(tmp_path):
    """One after the other in one folder, so that litter would pile up."""
    points = [("os.rename", "before", 1), ("os.rename", "after", 1)]
    others = [point for point in POINTS if point not in points]
    # Others each time: a failure names its point, and needs no seed to be repeated.
    points += random.SystemRandom().sample(others, min(KILLS, len(POINTS)) - 2)
    write(make_run(), tmp_path, ["stable"])
    versions, left = [1], []
    for point in points:
        step, moment, _ = point
        done = subprocess.run(driver(tmp_path, *point), capture_output=True, text=True)
        assert done.returncode == -9, f"{point}: {done.stderr}"
        placed = ("os.rename", "after") == (step, moment)
        placed = placed or step in ("os.replace", "server.write_server_files")
        if moment == "during":
            placed = len(server.versions(tmp_path / "lengths")) > len(versions)
        if placed:
            versions.append(versions[-1] + 1)
        check(tmp_path, versions)
        left = left or litter(tmp_path)
    assert left, "none of the kills left a half version: they came at no bad moment"
    versions.append(versions[-1] + 1)
    target = write(make_run(scale=3.0), tmp_path, ["stable"])
    assert int(target.name) == versions[-1]
    check(tmp_path, versions)
    assert not litter(tmp_path)
    assert server.read_labels(tmp_path) == {"lengths": {"stable": versions[-1]}}


@pytest.mark.slow
def test_what_a_living_export_writes_is_not_removed(tmp_path):
    """A second export begins while another one, in a process of its own, is at work."""
    (tmp_path / "lengths").mkdir()
    code = (
        "import sys, tempfile, pathlib\n"
        "from saccade.apps.core.serving.export import WRITING\n"
        "from saccade.apps.core.files.locks import locked\n"
        "folder = pathlib.Path(tempfile.mkdtemp(prefix=WRITING, dir=sys.argv[1]))\n"
        "with locked(folder):\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "lengths"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        folder = pathlib.Path(other.stdout.readline().strip())
        try:
            write(make_run(), tmp_path)
            assert folder.is_dir(), "the work of a living process is gone"
        finally:
            other.kill()
    write(make_run(), tmp_path)
    assert not folder.exists(), "the work of a dead process is still there"
    check(tmp_path, [1, 2])
