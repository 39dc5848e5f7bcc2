"""Sobel and Scharr: against NumPy, their borders, and what a layer must do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import Scharr, Sobel

WEIGHTS = {Sobel: [1, 2, 1], Scharr: [3, 10, 3]}
MODES = {"reflect": "reflect", "zero": "constant", "valid": None}
both = pytest.mark.parametrize("layer", WEIGHTS)


def pictures(height=7, width=6, channels=2):
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (3, height, width, channels)).astype("float64")


def by_hand(images, layer, border):
    """(dy, dx) as a sum over the nine places of a window."""
    if MODES[border]:
        images = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], MODES[border])
    across = np.outer(WEIGHTS[layer], [-1, 0, 1])
    height, width = images.shape[1] - 2, images.shape[2] - 2
    parts = []
    for kernel in (across.T, across):
        parts.append(
            sum(
                kernel[i, j] * images[:, i : i + height, j : j + width]
                for i in range(3)
                for j in range(3)
            )
        )
    return parts


@both
@pytest.mark.parametrize("border", MODES)
def test_the_gradient_is_the_sum_over_a_window(layer, border):
    images = pictures()
    dy, dx = by_hand(images, layer, border)
    made = {
        output: np.array(layer(border, output, dtype="float64")(images))
        for output in ("gradient", "magnitude", "direction")
    }
    np.testing.assert_array_equal(made["gradient"], np.stack([dy, dx], axis=-1))
    np.testing.assert_allclose(made["magnitude"], np.hypot(dx, dy), rtol=1e-14)
    np.testing.assert_allclose(made["direction"], np.arctan2(dy, dx), rtol=1e-14)


def test_signs_brighter_to_the_right_and_below_is_positive():
    ramp = np.arange(5.0)[None, None, :, None] * np.ones((1, 4, 1, 1))
    dy, dx = np.moveaxis(np.array(Sobel("valid")(ramp)), -1, 0)
    assert (dx == 8).all() and (dy == 0).all()
    (down,) = np.array(Sobel("valid", "direction")(np.swapaxes(ramp, 1, 2)))
    np.testing.assert_allclose(down, np.pi / 2)


@both
@pytest.mark.parametrize("border", MODES)
def test_no_pictures(layer, border):
    assert layer(border)(pictures()[:0]).shape[0] == 0
    compiled = tf.function(layer(border), jit_compile=True)
    assert compiled(pictures()[:0]).shape[0] == 0


@both
def test_equals_keras_sobel_edges(layer):
    images = pictures().astype("float32")
    edges = keras.ops.image.sobel_edges(images)
    same = np.array_equal(layer()(images), edges)
    assert same == (layer is Sobel)


@both
@pytest.mark.parametrize("border", MODES)
@pytest.mark.parametrize("output", ["gradient", "magnitude", "direction"])
def test_saves_loads_and_knows_its_shape(layer, border, output, tmp_path):
    images = pictures().astype("float32")
    inputs = keras.Input((None, 6, 2))
    model = keras.Model(inputs, layer(border, output)(inputs))
    expected = model.predict(images, verbose=0)
    shape = model.layers[-1].compute_output_shape(images.shape)
    assert shape == expected.shape and not model.weights
    assert model.output_shape[2:] == expected.shape[2:]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)


@both
def test_the_same_under_xla_and_in_half_precision(layer):
    images = pictures().astype("float32")
    plain = layer(output="magnitude")(images)
    compiled = tf.function(layer(output="magnitude"), jit_compile=True)(images)
    np.testing.assert_allclose(compiled, plain, rtol=1e-6)
    half = layer(dtype="mixed_float16")(images)
    assert half.dtype == tf.float16  # whole numbers below 2048 are exact in it
    small = layer()(np.floor(images / 32))
    np.testing.assert_array_equal(
        layer(dtype="mixed_float16")(np.floor(images / 32)), small
    )


@both
@pytest.mark.parametrize("output", ["gradient", "magnitude"])
def test_slopes_flow_through_and_are_finite_where_nothing_is(layer, output):
    images = tf.constant(pictures().astype("float32")) * [[[[1.0, 0.0]]]]
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(layer(output=output)(images) ** 2)
    slopes = tape.gradient(total, images).numpy()
    assert np.isfinite(slopes).all() and slopes[..., 0].any()


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="border: .* 'valid'.; received 'same'"):
        Sobel("same")
    with pytest.raises(ValueError, match="output: .* 'direction'.; received 'angle'"):
        Scharr(output="angle")
    with pytest.raises(ValueError, match=r"of 3 pixels .*'valid'.*\(1, 2, 5, 1\)"):
        Sobel("valid")(np.zeros((1, 2, 5, 1)))
    with pytest.raises(ValueError, match=r"expected \(batch, height, width, channels"):
        Sobel()(np.zeros((4, 5, 1)))
