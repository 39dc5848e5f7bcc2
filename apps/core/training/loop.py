"""Training that can be interrupted: budgets, rounds, checkpoints, best weights.

The resume rule: the order of the data and every random draw are pure functions of
(seed, step), or stand in a checkpoint. A checkpoint holds every variable of the model
(weights, BatchNormalization's means, the state of every SeedGenerator, which Keras
saves nowhere) and of the optimizer. Every file is written beside its place and renamed
there, the checkpoint's manifest last, so that a kill at any moment leaves whole files.
"""

import contextlib
import csv
import errno
import json
import logging
import os
import pathlib
import shutil
import statistics
import sys
import time
import zipfile

import keras
import numpy as np

from ..errors import UserError
from ..files.locks import locked
from ..settings.fields import read_json
from . import devices
from .not_finite import NotFinite

log = logging.getLogger("saccade")

WARM_UP_STEPS, TIMED_STEPS = 3, 12
# What a round costs beside its steps (validation, checkpoint), as a share of them.
OVERHEAD = 0.1


def train(
    model, batches, steps_per_round, rounds, folder, score, resume=False, kept=None
):
    """Fit `model`, with a validation and a checkpoint after every round.

    Args:
        model: a compiled keras.Model.
        batches: function of the first step -> endless `tf.data.Dataset` for `fit`; see
            `distribution.feed` for several devices.
        steps_per_round, rounds: their product is the number of steps.
        folder: the run's folder; receives `model.keras` (the best so far),
            `history.csv`, `tensorboard/` and `checkpoint/`.
        score: function without arguments -> dict of validation figures of the model
            as it is; "val_score" decides which weights are the best, the higher the
            better.
        resume: go on from the folder's checkpoint, if there is one.
        kept: the part of the model that `model.keras` keeps; None: all of it.

    Ctrl-C ends it early with a KeyboardInterrupt. In every case the model leaves
    with the best weights.

    Raises:
        UserError: a loss or a weight is no finite number, see `not_finite`; a file
            cannot be written, for instance because the disk is full; the checkpoint
            is damaged or of another model. What was saved before stays as it is.
    """
    folder = pathlib.Path(folder)
    strategy = model.distribute_strategy
    rounds_kept = Rounds(model, folder, score, kept)
    if rounds_kept.writes:
        remove_leftovers(folder)
    done = rounds_kept.restore() if resume else 0
    if done >= rounds:
        log.info("%s is complete: all of its %d rounds are done.", folder, rounds)
    devices.check_same(
        str(done),
        strategy,
        f"The workers find different checkpoints in {folder}. Expected one folder that "
        "all of them see, for instance on a network disk.",
    )
    if not done:
        # The state before the first step: a folder that cannot be written shows now,
        # not after the first round, and that round too can be run again.
        rounds_kept._write_checkpoint(0)
    watching = [keras.callbacks.TensorBoard(folder / "tensorboard")]
    try:
        if done < rounds:
            model.fit(
                devices.feed(strategy, batches, done * steps_per_round),
                initial_epoch=done,
                epochs=rounds,
                steps_per_epoch=steps_per_round,
                shuffle=False,  # It comes shuffled; Keras would warn.
                callbacks=[
                    NotFinite(  # first: what it refuses must not be saved
                        _variables(model),
                        batches,
                        steps_per_round,
                        rounds_kept.reload,
                        folder,
                    ),
                    rounds_kept,
                    *(watching if rounds_kept.writes else ()),
                ],
                verbose=(1 if sys.stdout.isatty() else 2) * rounds_kept.writes,
            )
    finally:
        rounds_kept.restore_best()


def steps_for(minutes, model, batches):
    """How many training steps fit into `minutes`, by timing the first ones.

    The timed steps are undone, so the training that follows is the same as one that
    was given the number of steps.
    """
    strategy = model.distribute_strategy
    before = [devices.read(v, strategy) for v in _variables(model)]
    if devices.several(strategy):
        times = _times_of_calls(model, devices.feed(strategy, batches, 0))
    else:
        times = _times_of_steps(model, batches(0))
    for variable, value in zip(_variables(model), before, strict=True):
        devices.write(variable, value, strategy)
    model.reset_metrics()
    step = statistics.median(times[WARM_UP_STEPS:])
    steps = max(1, int(minutes * 60 / (step * (1 + OVERHEAD))))
    steps = devices.of_chief(steps, strategy)
    log.info("%.0f ms a step: %d steps in %g minutes", step * 1e3, steps, minutes)
    return steps


def _times_of_steps(model, dataset):
    times = []
    for _, batch in zip(range(WARM_UP_STEPS + TIMED_STEPS), dataset, strict=False):
        started = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - started)
    return times


def _times_of_calls(model, dataset):
    """As `_times_of_steps`, by `fit`, which alone knows how to feed several devices."""
    per_call = model.steps_per_execution
    moments = [time.perf_counter()]
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: moments.append(time.perf_counter())
    )
    steps = (WARM_UP_STEPS + TIMED_STEPS) * per_call
    model.fit(
        dataset, steps_per_epoch=steps, callbacks=[note], shuffle=False, verbose=0
    )
    return list(np.diff(moments) / per_call)


class Rounds(keras.callbacks.Callback):
    """After every round: score, history, checkpoint, and the best model so far.

    Of several workers only the first, the chief, scores and writes; the others wait.
    """

    def __init__(self, model, folder, score, kept=None):
        super().__init__()
        self.trained, self.folder, self.score = model, folder, score
        self.strategy = model.distribute_strategy
        self.writes = devices.is_chief(self.strategy)
        self.kept = model if kept is None else kept
        self.history = []
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if self.writes:
            self._keep_round(epoch, logs)
        self._write_checkpoint(epoch + 1)
        if self.writes:
            self._write_history()
        devices.wait(self.strategy)

    def _keep_round(self, epoch, logs):
        figures = {k: float(v) for k, v in {**logs, **self.score()}.items()}
        logs.update(figures)  # The progress bar and TensorBoard show them too.
        seconds = time.perf_counter() - self.started
        best = max((row["val_score"] for row in self.history), default=-np.inf)
        self.history.append(
            {"round": epoch + 1, "seconds": round(seconds, 1), **figures}
        )
        if figures["val_score"] >= best:
            save_model(self.kept, self.folder / "model.keras")

    def restore(self):
        """Load the last checkpoint; returns the number of rounds that are done."""
        manifest = self._checkpoint / "manifest.json"
        if not manifest.exists():
            log.warning(
                "%s holds no checkpoint: starting from the beginning.", self.folder
            )
            return 0
        saved = self.reload()
        self.history = saved["history"]
        if self.history:
            self.started -= self.history[-1]["seconds"]
        if self.writes:  # It may have been killed before it did these.
            self._write_history()
            self._remove_all_but(saved["file"])
        return saved["rounds"]

    def reload(self):
        """Put the model into the state of the last checkpoint; returns its manifest."""
        saved = json.loads((self._checkpoint / "manifest.json").read_text())
        variables = _variables(self.trained)
        arrays = _read_arrays(self._checkpoint / saved["file"])
        shapes = [devices.whole_shape(v, self.strategy) for v in variables]
        if [a.shape for a in arrays] != shapes:
            raise UserError(
                f"The checkpoint in {self._checkpoint} was written by another model "
                "than the run's config.json describes. Train into a new folder."
            )
        for variable, array in zip(variables, arrays, strict=True):
            devices.write(variable, array, self.strategy)
        return saved

    def restore_best(self):
        path = self.folder / "model.keras"
        if path.exists():
            # Not by a loaded model's weights: a part that exists in training only,
            # as the baseline of REINFORCE, is missing there.
            self.kept.load_weights(path)

    @property
    def _checkpoint(self):
        return self.folder / "checkpoint"

    def _write_checkpoint(self, rounds):
        variables = _variables(self.trained)
        arrays = [devices.read(v, self.strategy) for v in variables]
        if not self.writes:
            return
        make_folder(self._checkpoint)
        name = f"round-{rounds}.npz"
        size = sum(array.nbytes for array in arrays)
        with replacing(self._checkpoint / name, size) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, *arrays)
        manifest = {"rounds": rounds, "file": name, "history": self.history}
        write_text(self._checkpoint / "manifest.json", json.dumps(manifest, indent=1))
        self._remove_all_but(name)

    def _remove_all_but(self, name):
        for old in self._checkpoint.glob("round-*.npz"):
            if old.name != name:
                old.unlink()

    def _write_history(self):
        if not self.history:
            return
        with replacing(self.folder / "history.csv") as temporary:
            with open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(self.history[0]))
                writer.writeheader()
                writer.writerows(self.history)


class replacing:
    """Write a file beside its place and rename it there: whole or not at all.

    Args:
        path: of the file.
        size: bytes that it will have, for the error; None: as many as it has.

    Raises:
        UserError: it cannot be written; what was at `path` before is still there.
    """

    def __init__(self, path, size=None):
        self.path, self.size = pathlib.Path(path), size
        # The ending stays: some writers choose the format by it.
        self.temporary = self.path.with_name(f".writing-{os.getpid()}-{self.path.name}")

    def __enter__(self):
        return self.temporary

    def __exit__(self, kind, value, traceback):
        try:
            if kind is None:
                # To the disk itself: some tell only now that they are full, and a
                # power cut must not leave a new name on old or missing bytes.
                with open(self.temporary, "rb") as file:
                    os.fsync(file.fileno())
                os.replace(self.temporary, self.path)
                return
        except OSError as error:
            value = error
        self.temporary.unlink(missing_ok=True)
        if isinstance(value, OSError):
            raise _cannot_write(self.path, value, self.size) from value


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_model(model, path):
    with replacing(path) as temporary:
        model.save(temporary)


def make_folder(path):
    """As `mkdir -p`, with an error for users."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextlib.contextmanager
def only_one(folder):
    """An error where another process trains in this folder."""
    with locked(folder, wait=False) as held:
        if held is False:
            raise UserError(
                f"Another process is training in {folder}. Let it end, stop it, or "
                "name another folder with --out."
            )
        yield


def rounds_done(folder):
    """Rounds that the checkpoint in a run's folder has; None where there is none that
    can be read."""
    try:
        text = (folder / "checkpoint/manifest.json").read_text("utf-8")
        return read_json(text, {"rounds": int})["rounds"]
    except (OSError, ValueError):
        return None


def remove_leftovers(folder):
    """Delete what processes that were killed while writing left in a run's folder."""
    for path in [*folder.glob(".writing-*"), *folder.glob("checkpoint/.writing-*")]:
        writer = path.name.split("-")[1]
        # Our own number: in a container every process may have the same one.
        if writer == str(os.getpid()) or not _is_alive(writer):
            path.unlink(missing_ok=True)


def _is_alive(pid):
    try:
        os.kill(int(pid), 0)  # sends nothing
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _cannot_write(path, error, size=None):
    """The UserError for an OSError while writing `path`; the size as in `replacing`."""
    room = ""
    if size is None and path.is_file():
        size = path.stat().st_size
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = next(p for p in path.absolute().parents if p.exists())
        free = shutil.disk_usage(folder).free
        room = f" {free / 1e6:,.2f} MB are free there"
        room += f", about {size / 1e6:,.2f} MB are needed." if size else "."
    return UserError(
        f"Could not write {path}: {error.strerror or error}.{room} What was saved "
        "before is as it was. Mend that, for instance make room, and go on with the "
        "same command and --resume."
    )


def _read_arrays(path):
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return [arrays[name] for name in arrays.files]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The checkpoint {path} is missing or damaged ({error}). Delete the folder "
            "it is in: --resume then starts from the beginning."
        ) from None


def _variables(model):
    """Everything a step may change, in an order that depends on the model alone."""
    if not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
