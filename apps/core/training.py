"""Training that can be interrupted: budgets, rounds, checkpoints, best weights.

The resume rule: the order of the data and every random draw are pure functions of
(seed, step), or stand in a checkpoint. A checkpoint holds every variable of the model
(weights, BatchNormalization's means, the state of every SeedGenerator, which Keras
saves nowhere) and of the optimizer.
"""

import csv
import json
import logging
import os
import pathlib
import statistics
import sys
import time
import zipfile

import keras
import numpy as np

from .config import UserError

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
        batches: function of the first step -> endless `tf.data.Dataset` for `fit`.
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
    """
    rounds_kept = Rounds(model, pathlib.Path(folder), score, kept)
    done = rounds_kept.restore() if resume else 0
    try:
        if done < rounds:
            model.fit(
                batches(done * steps_per_round),
                initial_epoch=done,
                epochs=rounds,
                steps_per_epoch=steps_per_round,
                shuffle=False,  # It comes shuffled; Keras would warn.
                callbacks=[
                    rounds_kept,
                    keras.callbacks.TensorBoard(pathlib.Path(folder) / "tensorboard"),
                    keras.callbacks.TerminateOnNaN(),
                ],
                verbose=1 if sys.stdout.isatty() else 2,
            )
    finally:
        rounds_kept.restore_best()


def steps_for(minutes, model, batches):
    """How many training steps fit into `minutes`, by timing the first ones.

    The timed steps are undone, so the training that follows is the same as one that
    was given the number of steps.
    """
    before = [np.array(variable) for variable in _variables(model)]
    times = []
    for _, batch in zip(range(WARM_UP_STEPS + TIMED_STEPS), batches(0), strict=False):
        started = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - started)
    for variable, value in zip(_variables(model), before, strict=True):
        variable.assign(value)
    model.reset_metrics()
    step = statistics.median(times[WARM_UP_STEPS:])
    steps = max(1, int(minutes * 60 / (step * (1 + OVERHEAD))))
    log.info("%.0f ms a step: %d steps in %g minutes", step * 1e3, steps, minutes)
    return steps


class Rounds(keras.callbacks.Callback):
    """After every round: score, history, checkpoint, and the best model so far."""

    def __init__(self, model, folder, score, kept=None):
        super().__init__()
        self.trained, self.folder, self.score = model, folder, score
        self.kept = model if kept is None else kept
        self.history = []
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise UserError(
                f"The loss became {logs['loss']} in round {epoch + 1}: the training "
                "diverged. Lower --learning-rate; the rounds before are kept."
            )
        figures = {k: float(v) for k, v in {**logs, **self.score()}.items()}
        logs.update(figures)  # The progress bar and TensorBoard show them too.
        seconds = time.perf_counter() - self.started
        best = max((row["val_score"] for row in self.history), default=-np.inf)
        self.history.append(
            {"round": epoch + 1, "seconds": round(seconds, 1), **figures}
        )
        if figures["val_score"] >= best:
            save_model(self.kept, self.folder / "model.keras")
        self._write_checkpoint(epoch + 1)
        self._write_history()

    def restore(self):
        """Load the last checkpoint; returns the number of rounds that are done."""
        manifest = self._checkpoint / "manifest.json"
        if not manifest.exists():
            log.warning(
                "%s holds no checkpoint: starting from the beginning.", self.folder
            )
            return 0
        saved = json.loads(manifest.read_text())
        self.history = saved["history"]
        if self.history:
            self.started -= self.history[-1]["seconds"]
        variables = _variables(self.trained)
        arrays = _read_arrays(self._checkpoint / saved["file"])
        if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
            raise UserError(
                f"The checkpoint in {self._checkpoint} was written by another model "
                "than the run's config.json describes. Train into a new folder."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self._write_history()  # It may have been killed before it wrote that.
        return saved["rounds"]

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
        self._checkpoint.mkdir(parents=True, exist_ok=True)
        name = f"round-{rounds}.npz"
        arrays = [np.array(variable) for variable in _variables(self.trained)]
        with replacing(self._checkpoint / name) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, *arrays)
        manifest = {"rounds": rounds, "file": name, "history": self.history}
        write_text(self._checkpoint / "manifest.json", json.dumps(manifest, indent=1))
        for old in self._checkpoint.glob("round-*.npz"):
            if old.name != name:
                old.unlink()

    def _write_history(self):
        with replacing(self.folder / "history.csv") as temporary:
            with open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(self.history[0]))
                writer.writeheader()
                writer.writerows(self.history)


class replacing:
    """Write a file beside its place and rename it there: whole or not at all."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        # The ending stays: some writers choose the format by it.
        self.temporary = self.path.with_name(f".writing-{os.getpid()}-{self.path.name}")

    def __enter__(self):
        return self.temporary

    def __exit__(self, kind, value, traceback):
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_model(model, path):
    with replacing(path) as temporary:
        model.save(temporary)


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
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
