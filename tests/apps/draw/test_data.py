"""The data of draw: made binary once, inverted where it must be, two on a canvas."""

import dataclasses
import io

import numpy as np
from PIL import Image

from saccade.apps.core.data import picture_arrays
from saccade.apps.draw import APP, data

SMALL = dataclasses.replace(APP.presets["tiny"](), builtin_size=200)


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def grey_pictures(tmp_path, brightness=100):
    """A folder with pictures of one grey on black, and its settings."""
    for split in ("train", "validation", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        for i in range(6):
            pixels = np.zeros((16, 16), np.uint8)
            pixels[3:13, 3:13] = brightness
            path = tmp_path / split / "a" / f"{i}.png"
            path.write_bytes(picture_arrays.png(pixels))
    return dataclasses.replace(SMALL, data=str(tmp_path))


def test_a_pixel_is_ink_as_often_as_it_is_bright(tmp_path):
    splits = APP.task_for(grey_pictures(tmp_path)).read()
    pictures = [opened(image) for image in splits.train["image"]]
    assert all(set(np.unique(p)) == {0, 255} for p in pictures)
    inside = np.mean([p[3:13, 3:13] > 0 for p in pictures])
    assert abs(inside - 100 / 255) < 4 * np.sqrt(0.24 / 600)
    # Drawn for every picture anew, and the same at every reading.
    assert len({p.tobytes() for p in pictures}) == 6
    again = APP.task_for(grey_pictures_there(tmp_path)).read()
    assert again.train["image"] == splits.train["image"]
    assert again.sha256 == splits.sha256


def grey_pictures_there(tmp_path):
    return dataclasses.replace(SMALL, data=str(tmp_path), seed=3)


def test_dark_on_light_is_turned_into_light_on_dark():
    pixels = np.full((16, 16), 255, np.uint8)
    pixels[5:9, 5:9] = 0
    values = data.grey(picture_arrays.png(pixels), 16)
    assert values[6, 6] == 1 and values[0, 0] == 0 and values.sum() == 16


def test_glyphs_are_two_strokes_in_two_corners():
    splits = APP.task_for(SMALL).read()
    pictures = data.pixels(splits.train["image"], 16)
    corners = pictures.reshape(-1, 2, 8, 2, 8).any(axis=(2, 4)).sum(axis=(1, 2))
    assert (corners >= 2).all() and corners.mean() < 3
    assert len({p.tobytes() for p in pictures}) > 60  # of 150


def test_two_pictures_on_a_canvas_at_half_their_size():
    draw = np.random.default_rng(0)
    one, other = np.zeros((2, 28, 28), np.float32)
    one[8:20, 8:20], other[8:20, 8:20] = 1, 0.5
    for _ in range(20):
        canvas = data.two(one, other, draw)
        assert canvas.shape == (28, 28) and (canvas == 1).sum() == 36
        assert (canvas == 0.5).sum() == 36  # they hide nothing of each other
    scene = APP.task_for(dataclasses.replace(SMALL, scene="two")).read()
    assert scene.train["name"][0].count(" and ") == 1
