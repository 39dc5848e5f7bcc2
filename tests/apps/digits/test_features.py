"""What the networks see: any picture as MNIST's are."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from saccade.apps.core.inputs import pictures
from saccade.apps.digits import config, features

SEVEN = [(0.1, 0.1), (0.9, 0.1), (0.4, 1.0)]


def drawing(width=28, height=28, at=(14, 14), size=20, ink=255, paper=0, pen=2):
    """A seven; at: its middle, size: its height in pixels."""
    picture = Image.new(
        "RGB" if isinstance(ink, tuple) else "L", (width, height), paper
    )
    x, y = at
    points = [(x + size * (a - 0.5), y + size * (b - 0.5)) for a, b in SEVEN]
    ImageDraw.Draw(picture).line(points, ink, pen)
    return picture


def seen(picture, size=28, **settings):
    """What a network sees of a picture of Pillow's, float (side, side, channels)."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    pixels = pictures.read([file.getvalue()], size)
    made = features.as_seen(config.Config(image_size=size, **settings), pixels)
    return made.numpy()[0]


def middle(image):
    """The centre of mass (row, column) of (side, side, 1)."""
    mass = image[..., 0].astype(float)
    places = np.indices(mass.shape)
    return (places * mass).sum(axis=(1, 2)) / mass.sum()


def box(image):
    rows, columns = (np.flatnonzero((image[..., 0] > 0.2).any(axis)) for axis in (1, 0))
    return np.ptp(rows) + 1, np.ptp(columns) + 1


def test_the_digit_fills_its_box_and_its_mass_is_in_the_middle():
    for at, size in (((14, 14), 20), ((9, 18), 12), ((16, 12), 8)):
        image = seen(drawing(at=at, size=size))
        assert image.shape == (28, 28, 1) and image.dtype == np.float32
        assert 19 <= max(box(image)) <= 21
        np.testing.assert_allclose(middle(image), 14, atol=0.8)


def test_a_picture_like_mnists_stays_as_it_is_wherever_the_digit_stood():
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:17] = 255  # 20 high, as theirs
    pixels[4:8, 8:17] = 200
    original = seen(Image.fromarray(pixels))
    for offset in ((0, 0), (3, 0), (-2, 2), (0, -3)):
        moved = np.roll(pixels, offset, (0, 1))
        np.testing.assert_array_equal(seen(Image.fromarray(moved)), original)
    found = Image.fromarray(np.uint8(255 * original[..., 0]))
    np.testing.assert_array_equal(seen(found), original)
    assert sorted(np.uint8(255 * original).ravel()) == sorted(pixels.ravel())


def test_dark_on_light_is_as_light_on_dark():
    light = drawing()
    dark = Image.fromarray(255 - np.asarray(light))
    np.testing.assert_allclose(seen(dark), seen(light), atol=1e-5)


def test_faint_ink_on_grey_paper_is_as_black_on_white():
    strong, faint = drawing(), drawing(ink=150, paper=200)
    np.testing.assert_allclose(seen(faint), seen(strong), atol=1e-5)


@pytest.mark.parametrize("shape", [(56, 28), (28, 56), (20, 100)])
@pytest.mark.parametrize("ink, paper", [(255, 0), (0, 255)])
def test_white_bars_beside_a_picture_are_no_part_of_it(shape, ink, paper):
    """A picture that is no square lies on white."""
    width, height = shape
    at = 2 * width, 2 * height
    image = seen(drawing(4 * width, 4 * height, at, 48, ink, paper, pen=6), size=112)
    plain = seen(drawing(112, 112, (56, 56), 48, pen=6), size=112)
    assert np.corrcoef(image.ravel(), plain.ravel())[0, 1] > 0.8


def test_more_pixels_show_a_small_digit_better():
    small = drawing(280, 280, (80, 200), 40, pen=4)
    large = seen(drawing(280, 280, (140, 140), 200, pen=20), size=280)
    errors = [np.abs(seen(small, size=size) - large).mean() for size in (28, 112)]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_blank(level):
    assert not seen(Image.new("L", (28, 28), level)).any()
    noise = np.random.default_rng(0).integers(-10, 10, (28, 28))
    noisy = Image.fromarray(np.uint8(np.clip(level + noise, 0, 255)))
    assert not seen(noisy).any()


def test_colours_stay_three_channels():
    red = drawing(ink=(255, 0, 0), paper=(0, 0, 255))
    image = seen(red, channels=3)
    assert image.shape == (28, 28, 3)
    np.testing.assert_allclose(image[..., 0], image[..., 2], atol=1e-5)
    assert not image[..., 1].any()
    assert seen(red).shape == (28, 28, 1)


def test_as_it_is_without_centring():
    picture = drawing(at=(9, 9), size=10)
    image = seen(picture, centre=False)
    np.testing.assert_allclose(image[..., 0], np.asarray(picture) / 255, atol=1e-3)
    assert seen(picture, 40, centre=False, channels=3).shape == (40, 40, 3)


def test_mnist_keeps_its_places(saccade_data):
    """Of a thousand pictures all but a few come out as they were, but for a scale."""
    tfds = pytest.importorskip("tensorflow_datasets")
    prepared = saccade_data.parent / "tfds"
    if not (prepared / "mnist").is_dir():
        pytest.skip(f"no tfds:mnist is prepared in {prepared}")
    data = tfds.load("mnist", split="train[:1000]", data_dir=prepared, batch_size=-1)
    raw = data["image"].numpy()
    made = features.as_seen(config.Config(), tf.repeat(raw, 3, axis=-1)).numpy()
    scaled = raw / raw.max(axis=(1, 2, 3), keepdims=True)
    same = np.abs(made - scaled).max(axis=(1, 2, 3)) < 1e-3
    assert same.mean() > 0.98


def test_turning_is_drawn_by_the_seed_and_keeps_the_middle():
    picture = np.asarray(drawing(ink=255, paper=20))
    pixels = tf.constant(np.repeat(picture[None, :, :, None], 3, -1).repeat(4, 0))
    first, again, other = (pictures.turned(pixels, 15.0, [0, s]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == tf.uint8 and not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])  # each by itself
    assert first.numpy().min() == 20  # beyond the picture is its edge
    np.testing.assert_array_equal(pictures.turned(pixels, 0.0, [0, 1]), pixels)
