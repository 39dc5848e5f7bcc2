"""What a training keeps after every round: history, checkpoint, the best weights.

A checkpoint holds every variable of the model (weights, BatchNormalization's means, the
state of every SeedGenerator, which Keras saves nowhere) and of the optimizer. Every
file is written whole, the checkpoint's manifest last, so that a kill at any moment
leaves a checkpoint that can be read.
"""

import contextlib
import csv
import json
import logging
import time
import zipfile

import keras
import numpy as np

from ..errors import UserError
from ..files.whole import make_folder, replacing, write_text
from ..settings.json_text import read_json
from . import replicas, workers

log = logging.getLogger("saccade")


class Rounds(keras.callbacks.Callback):
    """After every round: score, history, checkpoint, and the best model so far.

    Of several workers only the first, the chief, scores and writes; the others wait.

    Args:
        enough: function of a round's figures -> whether the training may end with it.
        average: rounds at most whose weights' mean is scored and kept; training goes on
            from those of the last one.

    Attributes:
        history: a dict of figures for each round. is_best: of the last one, whether no
            other scored higher. ended: whether it was enough.
    """

    def __init__(self, model, folder, score, kept=None, enough=None, average=1):
        super().__init__()
        self.trained, self.folder, self.score = model, folder, score
        self.strategy = model.distribute_strategy
        self.writes = workers.is_chief(self.strategy)
        self.kept = model if kept is None else kept
        self.enough = enough or (lambda figures: False)
        self.average, self.last_weights = average, []  # of rounds: lists of arrays
        self.history, self.is_best, self.ended = [], False, False
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if self.writes:
            self._keep_round(epoch, logs)
        self.ended = bool(workers.of_chief(int(self.ended), self.strategy))
        self.model.stop_training = self.ended
        self.write_checkpoint(epoch + 1)
        if self.writes:
            self._write_history()
        workers.wait(self.strategy)

    def _keep_round(self, epoch, logs):
        with self._averaged():
            self._score_and_save(epoch, logs)

    def _score_and_save(self, epoch, logs):
        figures = {k: float(v) for k, v in {**logs, **self.score()}.items()}
        logs.update(figures)  # TensorBoard shows them too.
        seconds = time.perf_counter() - self.started
        best = max((row["val_score"] for row in self.history), default=-np.inf)
        self.history.append(
            {"round": epoch + 1, "seconds": round(seconds, 1), **figures}
        )
        self.ended = bool(self.enough(figures))
        self.is_best = figures["val_score"] >= best
        if self.is_best:
            save_model(self.kept, self.folder / "model.keras")

    @contextlib.contextmanager
    def _averaged(self):
        """Inside, the model has the mean weights of the last rounds."""
        if self.average == 1:
            yield
            return
        variables = averaged_variables(self.trained)
        own = [replicas.read(v, self.strategy) for v in variables]
        self.last_weights = [*self.last_weights, own][-self.average :]
        for variable, several in zip(
            variables, zip(*self.last_weights, strict=True), strict=True
        ):
            replicas.write(variable, np.mean(several, axis=0), self.strategy)
        try:
            yield
        finally:
            for variable, value in zip(variables, own, strict=True):
                replicas.write(variable, value, self.strategy)

    def restore(self):
        """Load the last checkpoint; returns the number of rounds that are done."""
        manifest = self._checkpoint / "manifest.json"
        if not manifest.exists():
            log.warning(
                "%s holds no checkpoint: starting from the beginning.", self.folder
            )
            return 0
        saved = self.reload()
        self.history, self.ended = saved["history"], saved.get("ended", False)
        if self.history:
            self.started -= self.history[-1]["seconds"]
        if self.writes:  # It may have been killed before it did these.
            self._write_history()
            self._remove_all_but(saved["file"])
        return saved["rounds"]

    def reload(self):
        """Put the model into the state of the last checkpoint; returns its manifest."""
        saved = json.loads((self._checkpoint / "manifest.json").read_text())
        variables = all_variables(self.trained)
        arrays = _read_arrays(self._checkpoint / saved["file"])
        shapes = [replicas.whole_shape(v, self.strategy) for v in variables]
        arrays, last = arrays[: len(shapes)], arrays[len(shapes) :]
        size = len(averaged_variables(self.trained))
        self.last_weights = [last[i : i + size] for i in range(0, len(last), size)]
        if [a.shape for a in arrays] != shapes:
            raise UserError(
                f"The checkpoint in {self._checkpoint} was written by another model "
                "than the run's config.json describes. Train into a new folder."
            )
        for variable, array in zip(variables, arrays, strict=True):
            replicas.write(variable, array, self.strategy)
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

    def write_checkpoint(self, rounds):
        variables = all_variables(self.trained)
        arrays = [replicas.read(v, self.strategy) for v in variables]
        if not self.writes:
            return
        arrays += [array for weights in self.last_weights for array in weights]
        make_folder(self._checkpoint)
        name = f"round-{rounds}.npz"
        size = sum(array.nbytes for array in arrays)
        with replacing(self._checkpoint / name, size) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, *arrays)
        manifest = {
            "rounds": rounds,
            "file": name,
            "ended": self.ended,
            "history": self.history,
        }
        write_text(self._checkpoint / "manifest.json", json.dumps(manifest, indent=1))
        self._remove_all_but(name)

    def _remove_all_but(self, name):
        for old in self._checkpoint.glob("round-*.npz"):
            if old.name != name:
                old.unlink()

    def _write_history(self):
        if not self.history:
            return
        # Some figures are of some rounds only, such as one that needs two classes.
        names = list(dict.fromkeys(name for row in self.history for name in row))
        with replacing(self.folder / "history.csv") as temporary:
            with open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(self.history)


def save_model(model, path):
    with replacing(path) as temporary:
        model.save(temporary)


def rounds_done(folder, rounds):
    """Rounds that the checkpoint in a run's folder has, of so many: all where fewer
    were enough, or where there is no checkpoint that can be read."""
    try:
        text = (folder / "checkpoint/manifest.json").read_text("utf-8")
        saved = read_json(text, {"rounds": int})
    except (OSError, ValueError):
        return rounds
    return rounds if saved.get("ended") else saved["rounds"]


def _read_arrays(path):
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return [arrays[name] for name in arrays.files]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The checkpoint {path} is missing or damaged ({error}). Delete the folder "
            "it is in: --resume then starts from the beginning."
        ) from None


def averaged_variables(model):
    """What a mean of weights is taken of: no states of random numbers."""
    return [
        v
        for v in model.variables
        if "float" in keras.backend.standardize_dtype(v.dtype)
    ]


def all_variables(model):
    """Everything a step may change, in an order that depends on the model alone."""
    if not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
