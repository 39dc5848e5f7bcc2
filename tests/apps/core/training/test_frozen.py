"""What a frozen network makes of an input is computed once; nothing else changes."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade import apps
from saccade.apps.core.data import kept
from saccade.apps.core.tasks import backbones
from saccade.apps.core.training import fit, frozen

from ...runs import assert_same_run, train_shortly

STEPS = 3
SMALL = {
    "builtin_size": 40,
    "image_size": 64,  # four regions
    "backbone": "mobilenet",
    "units": 8,
    "embedding": 8,
    "dropout": 0.3,
    "batch_size": 4,
    "steps": 2 * STEPS,
    "rounds": 2,
}


def a_small_one(name, size, weights):
    """A backbone in the place of Keras', which take seconds to build. efficientnetv2
    draws at random there, too."""
    pixels = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(8, 32, 32, activation="relu")(pixels)
    x = keras.layers.BatchNormalization()(x)
    if name == "efficientnetv2":
        x = keras.layers.Dropout(0.2)(x)
    return keras.Model(pixels, x, name=name)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(backbones, "build_backbone", a_small_one)


def config_of(app, **settings):
    return dataclasses.replace(app.presets["tiny"](), **SMALL | settings)


def learned(name, **settings):
    """The task of an app and its splits."""
    app = apps.load(name)
    task = app.task_for(config_of(app, **settings))
    splits = task.read()
    return task.learn(splits.train), splits


def built(task):
    keras.utils.set_random_seed(task.config.seed)
    return task.build_model()


def values_of(model):
    """All variables of the layers; the baseline of REINFORCE is none of them."""
    return [v.numpy() for layer in model.layers for v in layer.variables]


def trained(task, splits, computed_once):
    """All variables of the model after some steps, and what was fitted."""
    model = built(task)
    fitted, batches_of = task.trainer(model), task.batches
    if computed_once:
        fitted, batches_of = frozen.split(task, model)
    fit.compile_trainer(fitted, task, task.config.steps)
    batches = batches_of(splits.train)(0)
    fitted.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    return values_of(model), fitted, model


def test_the_weights_are_those_of_a_training_on_pictures():
    assert_same_weights("vqa", 1024)


@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_the_weights_of_captioning_too(attention, quick):
    assert_same_weights("captioning", 8, attention=attention)


def assert_same_weights(name, features, **settings):
    task, splits = learned(name, **settings)
    with_features, fitted, model = trained(task, splits, True)
    with_pictures, whole, same = trained(task, splits, False)
    assert fitted.input["image"].shape[1:] == (2, 2, features)
    assert model.input["image"].shape[1:] == (64, 64, 3)
    assert whole is same and type(fitted) is type(whole)
    for got, expected in zip(with_features, with_pictures, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "fixed"),
    [
        ({}, True),
        ({"fine_tune": True}, False),
        ({"backbone": "small"}, False),
        ({"shift": 0.1}, False),
        ({"zoom": 0.1}, False),
        ({"backbone": "efficientnetv2"}, False),  # which drops parts at random
        ({"fusion": "question"}, False),  # which sees no picture
    ],
)
def test_only_what_never_changes_is_computed_once(settings, fixed, quick, monkeypatch):
    task, _ = learned("vqa", **settings)
    model = built(task)
    assert (task.frozen(model) is not None) == fixed
    fitted, batches_of = frozen.split(task, model)
    assert (fitted is model, batches_of == task.batches) == (not fixed, not fixed)
    monkeypatch.setenv("SACCADE_DATA_SERVICE", "grpc://localhost:1")
    assert frozen.split(task, model)[0] is model


@pytest.mark.parametrize("limit", [0, kept.MAX_MEMORY])
def test_a_column_is_what_the_network_makes_of_each_value(
    limit, quick, monkeypatch, caplog
):
    monkeypatch.setattr(kept, "MAX_MEMORY", limit)
    monkeypatch.setattr(frozen, "COMPUTED", 3)
    task, splits = learned("vqa")
    part, kind = task.frozen(built(task)), task.kinds()["image"]
    different = list(dict.fromkeys(splits.train["image"]))[:7]
    images = [different[i] for i in (0, 1, 2, 3, 4, 5, 6, 2, 0)]
    with caplog.at_level("INFO", "saccade"):
        look_up = part.column(kind, images)
    assert "mobilenet" in caplog.text and "7 different" in caplog.text
    assert ("temporary file" in caplog.text) == (limit == 0)
    rows = tf.data.Dataset.from_tensors([7, 3, 8]).map(look_up).get_single_element()
    pixels = kind.column(images)(tf.constant([7, 3, 8], tf.int64))
    expected = part.network(pixels, training=False)
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-6)


def test_a_run_takes_pictures_and_resumes_bit_equal(quick, tmp_path):
    app = apps.load("captioning")
    short = train_shortly(app, config_of(app), tmp_path)
    assert short.model.input["image"].shape[1:] == (2, 2, 8)
    resumed = app.train(out=short.killed, resume=True)
    assert_same_run(short.killed, short.run.folder)
    for run in (short.run, resumed, app.load(short.killed)):
        assert run.model.input["image"].shape[1:] == (64, 64, 3)
    for a, b in zip(*map(values_of, (resumed.model, short.run.model)), strict=True):
        np.testing.assert_array_equal(a, b)
