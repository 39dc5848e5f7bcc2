"""A disk that is full: the error says so, and what was saved before is as it was."""

import builtins
import errno
import io
import os
import pathlib
import shutil
import subprocess

import keras
import pytest

from saccade import apps
from saccade.apps.core.errors import UserError

from . import victim
from .test_kill import state_of

ROUNDS = 4


class FullDisk(io.FileIO):
    """A file on a disk with room for ten bytes."""

    def write(self, data):
        if self.tell() < 10:
            return super().write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """The disk of a test, without room for one file."""

    full = None  # the end of the name under which that one is written

    def fill(self, path):
        self.full = "-" + pathlib.Path(path).name


@pytest.fixture
def disk(monkeypatch):
    disk, really = Disk(), io.open

    def open_file(file, mode="r", *arguments, **options):
        name = str(file)
        if not (disk.full and "w" in mode and name.endswith(disk.full)):
            return really(file, mode, *arguments, **options)
        opened = io.BufferedWriter(FullDisk(name, "w"))
        return opened if "b" in mode else io.TextIOWrapper(opened, "utf-8")

    for owner in (builtins, io):
        monkeypatch.setattr(owner, "open", open_file)
    return disk


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    victim.train(folder, rounds=ROUNDS)
    return folder


def trained_until(folder, round_, act):
    """Train until the disk refuses; `act` is called before that round is saved."""
    done = []

    def score():
        done.append(len(done) + 1)
        if done[-1] == round_:
            act()
        return {"val_score": float(done[-1])}

    with pytest.raises(UserError) as refused:
        victim.train(folder, rounds=ROUNDS, score=score)
    assert done[-1] == round_
    return str(refused.value)


def assert_intact_then_resumed(folder, rounds, uninterrupted):
    """That many rounds are kept, and nothing half; with room it ends as it should."""
    state, history = state_of(folder)
    assert len(history) == rounds
    keras.models.load_model(folder / "model.keras", compile=False)
    assert len((folder / "history.csv").read_text().splitlines()) >= rounds
    assert not list(folder.glob("**/.writing-*"))

    victim.train(folder, resume=True, rounds=ROUNDS)
    # The history holds the scores of `trained_until`; else equal.
    assert state_of(folder)[0] == state_of(uninterrupted)[0]
    assert not list(folder.glob("**/.writing-*"))


@pytest.mark.parametrize(
    "name",
    [
        "model.keras",
        "checkpoint/round-3.npz",
        "checkpoint/manifest.json",
        "history.csv",
    ],
)
def test_no_room_for_a_file(name, disk, uninterrupted, tmp_path):
    message = trained_until(tmp_path, 3, lambda: disk.fill(name))
    path = tmp_path / name
    assert message.startswith(f"Could not write {path}: No space left on device.")
    assert "MB are free there" in message and "MB are needed" in message
    assert "--resume" in message
    disk.full = None
    rounds = 3 if name == "history.csv" else 2  # the manifest was in place before
    assert_intact_then_resumed(tmp_path, rounds, uninterrupted)


def test_no_room_at_all_shows_before_the_first_step(disk, tmp_path):
    app = apps.load("char_lm")
    for name in ("assets.json", "config.json", "round-0.npz"):
        disk.fill(name)
        with pytest.raises(UserError, match=f"Could not write .*{name}: No space left"):
            app.train(app.presets["hello"](), out=tmp_path, resume=True)
        assert not list(tmp_path.glob("history.csv"))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        UserError, match="Could not write .*checkpoint: Not a directory"
    ):
        victim.train(tmp_path / "file")


# A real one


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words).returncode:
        pytest.skip("this user may not mount a small disk (tmpfs)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, but=0):
    """Write a file that leaves `but` bytes of the disk."""
    free = shutil.disk_usage(folder).free
    (folder / "ballast").write_bytes(b"\0" * (free - but))


@pytest.mark.parametrize("left", [0, 4096], ids=["nothing", "a page"])
def test_a_full_disk(left, small_disk, uninterrupted):
    run = small_disk / "run"
    message = trained_until(run, 3, lambda: fill(small_disk, left))
    assert "No space left on device" in message and str(run) in message
    (small_disk / "ballast").unlink()
    assert_intact_then_resumed(run, 2, uninterrupted)


def test_a_disk_that_is_full_from_the_beginning(small_disk):
    fill(small_disk)
    with pytest.raises(UserError, match="Could not write .*: No space left on device"):
        victim.train(pathlib.Path(small_disk) / "run")
