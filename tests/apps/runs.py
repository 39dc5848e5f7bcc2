"""What all tests of an app share: trained once, exported once, freed at the end."""

import contextlib
import csv
import dataclasses
import functools
import json
import pathlib
import shutil
import tempfile
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade import apps
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.core.training import loop
from saccade.apps.core.training.fit import fit

from .expected import EXPECTED
from .kept import Kept


class Trained:
    """An app with what is trained of it; each part is made when it is first needed.

    Args:
        name: of the app.
        base: a folder to write into.
        how: what is done with what an earlier session kept, see `Kept`.
    """

    def __init__(self, name, base, how=None):
        assert name in EXPECTED, f"add an entry for {name} to EXPECTED"
        self.app, self.expected = apps.load(name), EXPECTED[name]
        self.kept = Kept(name, how)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))

    @functools.cached_property
    def run(self):
        """A Run of preset `tiny` on `builtin`."""
        config, made = self.app.presets["tiny"](), []
        folder = self.folder / "run"

        def train(out):
            made.append(self.app.train(config, out=out))

        taken = self.kept.made("run", folder, train)
        return self.app.load(folder) if taken else made[0]

    @functools.cached_property
    def loaded_run(self):
        """That run, read from its folder."""
        return self.app.load(self.run.folder)

    @functools.cached_property
    def export(self):
        """The version folder of the run's export, moved from where it was written."""
        moved = self.folder / "moved" / "1"
        moved.parent.mkdir()

        def write(folder):
            shutil.move(self.run.export(self.folder / "exported"), folder)
            shutil.rmtree(self.folder / "exported")

        self.kept.made("export", moved, write)
        return moved

    @functools.cached_property
    def loaded_export(self):
        """The export as an `Export`."""
        return self.app.load(self.export)

    @functools.cached_property
    def signatures(self):
        """The export's functions by name, loaded by TensorFlow alone."""
        return tf.saved_model.load(str(self.export)).signatures

    @functools.cached_property
    def small(self):
        """The settings of `tiny` with little data."""
        return dataclasses.replace(self.app.presets["tiny"](), **self.expected.small)

    @functools.cached_property
    def splits(self):
        """The data of `small`."""
        return self.app.task_for(self.small).read()

    @functools.cached_property
    def good(self):
        """Good requests, tensor name -> rows."""
        return self.expected.requests(self.splits)

    def requests(self, kinds):
        """The good requests as `predict` takes them, of these kinds: a list."""
        columns = [self.good[kind.specs(name)[0].name] for name, kind in kinds.items()]
        if len(kinds) == 1:
            return columns[0]
        return [
            dict(zip(kinds, row, strict=True)) for row in zip(*columns, strict=True)
        ]

    @functools.cached_property
    def inputs(self):
        """The good requests to `serving_default`."""
        return self.requests(self.app.task_for(self.small).kinds())

    @functools.cached_property
    def short(self):
        """A training of two steps, each a round: see `Short`."""
        return train_shortly(self.app, self.small, self.folder / "short")


@functools.lru_cache(maxsize=1)
def trained(name, base, how=None):
    """`Trained` of an app: one object until another app comes, or the group ends."""
    return Trained(name, base, how)


# Short trainings

SHORT = {
    "steps": 2,
    "rounds": 2,
    "batch_size": 8,
    "dropout": 0.2,
    "seed": 5,
    "jit": False,
    # Decay moves a weight that has no gradient; it must move by its gradient.
    "weight_decay": 0.0,
}


def shortened(config, **changes):
    """A config for a `Short` training: of `SHORT` what its app has, and changes."""
    names = {field.name for field in dataclasses.fields(config)}
    short = {name: value for name, value in SHORT.items() if name in names}
    return dataclasses.replace(config, **short | changes)


@dataclasses.dataclass(frozen=True)
class Short:
    """A training of two rounds of one step.

    run: the Run.
    killed: a copy of its folder as it was after the first round, as a kill leaves it.
    model: what was trained, compiled; for a language model it holds the Run's model.
    before: the trainable variables before the first step.
    after: those after it.
    batches: the `tf.data.Dataset` that it was fed.
    """

    run: Any
    killed: pathlib.Path
    model: Any
    before: list
    after: list
    batches: Any


class AfterFirstRound(keras.callbacks.Callback):
    """Notes the weights around the first step, and copies the folder behind it."""

    def __init__(self, folder, copy):
        super().__init__()
        self.folder, self.copy = folder, copy

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:
            self.before = [np.array(v) for v in self.model.trainable_variables]

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.after = [np.array(v) for v in self.model.trainable_variables]
            shutil.copytree(self.folder, self.copy)


def train_shortly(app, config, folder):
    """A `Short` training, in `folder`/whole."""
    note = AfterFirstRound(folder / "whole", folder / "killed")
    fed = []
    keras_fit = keras.Model.fit

    def fit_and_note(model, batches, *, callbacks, **options):
        fed.append(batches)
        return keras_fit(model, batches, callbacks=[*callbacks, note], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit_and_note)
        run = app.train(shortened(config), out=note.folder)
    (batches,) = fed
    return Short(run, note.copy, note.model, note.before, note.after, batches)


class NotTrained(Exception):
    """Raised in the place of a training."""


def ready_to_fit(app, config, folder, model=None):
    """The compiled model, and the batches that a training by `config` begins with.

    Args:
        model: of the app, where its shapes and weights do not matter; else one is
            built.
    """
    caught = []

    def train(model, batches, *others, **options):
        caught.append((model, batches(0)))
        raise NotTrained

    keras.utils.set_random_seed(0)
    task = app.task_for(config)
    splits = task.read()
    task = task.learn(splits.train)
    answerer = Answerer(task, model or task.build_model())
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(NotTrained):
        patch.setattr(loop, "train", train)
        fit(task, answerer, splits, folder, False, lambda config: None)
    return caught[0]


def assert_same_run(got, expected):
    """Everything a run leaves behind, but for the seconds and the logs."""
    for name in ("config.json", "assets.json", "metrics.json"):
        assert (got / name).read_text() == (expected / name).read_text(), name

    def rows(folder):
        with open(folder / "history.csv", newline="") as file:
            return [{**row, "seconds": ""} for row in csv.DictReader(file)]

    def state(folder):
        (file,) = (folder / "checkpoint").glob("round-*.npz")
        with np.load(file) as arrays:
            return [arrays[name] for name in arrays.files]

    assert rows(got) == rows(expected)
    manifests = [
        json.loads((f / "checkpoint/manifest.json").read_text())
        for f in (got, expected)
    ]
    assert manifests[0]["rounds"] == manifests[1]["rounds"]
    for a, b in zip(state(got), state(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list(got.glob("**/.writing-*"))
