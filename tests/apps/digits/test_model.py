"""The three networks, each as a functional model and as a Sequential."""

import types

import keras
import numpy as np
import pytest

from saccade.apps.core.errors import ConfigError
from saccade.apps.digits import build_model, build_sequential
from saccade.apps.digits.config import Config

LABELS = types.SimpleNamespace(labels=tuple("0123456789"))
NETWORKS = ("perceptron", "mlp", "cnn")


def settings(**changed):
    return Config(**{"filters": (4, 6), "hidden": (12, 8), "turn": 0.0, **changed})


def images(config, count=3):
    shape = count, config.side, config.side, config.channels
    return np.random.default_rng(0).random(shape, np.float32)


CASES = [
    *({"network": network} for network in NETWORKS),
    *({"padding": padding} for padding in ("valid", "same", "pad")),
    *({"padding": padding, "kernel": 4} for padding in ("same", "pad")),
    {"pool": "average", "pool_size": 3, "strides": 2},
    {"channels": 3, "centre": False, "image_size": 20},
    {"dropout": 0.5, "l1": 1e-3, "l2": 1e-3},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_with_copied_weights_both_forms_are_equal(case):
    config = settings(**case)
    functional, sequential = (
        build_model(config, LABELS),
        build_sequential(config, LABELS),
    )
    assert isinstance(sequential, keras.Sequential)
    shapes = [[w.shape for w in m.weights] for m in (functional, sequential)]
    assert shapes[0] == shapes[1]
    draw = np.random.default_rng(1)
    weights = [draw.normal(size=shape).astype("float32") / 9 for shape in shapes[0]]
    functional.set_weights(weights)
    sequential.set_weights(weights)
    x = images(config)
    expected = functional({"image": x}, training=False)["logits"]
    assert expected.shape == (3, 10)
    np.testing.assert_array_equal(sequential(x, training=False), expected)
    # What the regularisers add to the loss is the same, too.
    assert np.allclose(sum(functional.losses, 0.0), sum(sequential.losses, 0.0))


def test_both_forms_drop_alike_in_training():
    config = settings(network="mlp", dropout=0.5, seed=3)
    models = build_model(config, LABELS), build_sequential(config, LABELS)
    models[1].set_weights(models[0].get_weights())
    x = images(config)
    dropped = models[0]({"image": x}, training=True)["logits"]
    np.testing.assert_array_equal(models[1](x, training=True), dropped)
    kept = models[0]({"image": x}, training=False)["logits"]
    assert not np.array_equal(dropped, kept)


def sides(model):
    """Heights behind every convolution and pooling."""
    kinds = keras.layers.Conv2D, keras.layers.MaxPooling2D
    return [layer.output.shape[1] for layer in model.layers if isinstance(layer, kinds)]


@pytest.mark.parametrize(
    "padding, expected",
    [
        ("valid", [24, 12, 8, 4]),
        ("same", [28, 14, 14, 7]),
        ("pad", [28, 14, 14, 7]),
    ],
)
def test_padding_says_how_large_a_picture_stays(padding, expected):
    config = settings(padding=padding, kernel=5, convolutions=1)
    assert sides(build_model(config, LABELS)) == expected


def test_padding_by_hand_is_same():
    x, outputs = images(settings()), []
    for padding in ("same", "pad"):
        keras.utils.set_random_seed(0)
        model = build_model(settings(padding=padding, kernel=4), LABELS)
        outputs.append(model({"image": x}, training=False)["logits"])
    np.testing.assert_allclose(*outputs, atol=1e-5)


def test_windows_below_their_size_overlap():
    config = settings(pool_size=3, strides=1, convolutions=1)
    assert sides(build_model(config, LABELS)) == [28, 28, 28, 28]


def test_the_penalties_are_sums_over_the_kernels():
    config = settings(network="perceptron", l1=0.5, l2=0.25)
    model = build_model(config, LABELS)
    kernel, bias = model.get_weights()
    model.set_weights([kernel, bias + 9])
    (loss,) = model.losses
    expected = 0.5 * np.abs(kernel).sum() + 0.25 * (kernel**2).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert not build_model(settings(), LABELS).losses


def test_a_picture_of_which_filters_leave_nothing_is_an_error():
    smallest = settings(padding="valid", kernel=7, convolutions=1)
    assert sides(build_model(smallest, LABELS)) == [22, 11, 5, 3]
    with pytest.raises(ConfigError, match="same or pad with kernel=9.* of 28 pixels"):
        settings(padding="valid", kernel=9)
    with pytest.raises(ConfigError, match="padding"):
        settings(padding="valid", centre=False, image_size=16, kernel=7)
