"""Scenes are composed of one split's digits, and what the sensor sees is ink."""

import io

import numpy as np
import pytest
from PIL import Image

from saccade.apps.core.data import drawn, picture_arrays
from saccade.apps.core.errors import ConfigError, UserError
from saccade.apps.glimpse import APP, data, features
from saccade.apps.glimpse.config import Config


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def read(**options):
    return APP.task_for(Config(builtin_size=80, **options)).read()


def test_builtin_is_the_same_everywhere():
    splits, again = read(image_size=40), read(image_size=40, seed=5)
    assert splits.sha256 == again.sha256
    assert set(splits.train["label"]) == set(drawn.DIGITS)
    assert pixels_of(splits.train["image"][0]).shape == (40, 40)


@pytest.mark.parametrize("scene", ["translated", "cluttered"])
def test_one_digit_is_moved_about(scene):
    splits = read(scene=scene, image_size=60)
    again = read(scene=scene, image_size=60, seed=5)
    assert splits.sha256 == again.sha256
    plain = APP.task_for(Config(builtin_size=80, scene=scene, image_size=60))
    sources = data.labelled_pictures.split_rows(
        plain.config, data.builtin_rows(plain.config)
    )
    corners = set()
    for split in ("train", "validation", "test"):
        before, after = getattr(sources, split), getattr(splits, split)
        assert before["label"] == after["label"]
        for source, content in zip(before["image"], after["image"], strict=True):
            canvas, digit = pixels_of(content), pixels_of(source)
            assert canvas.shape == (60, 60)
            windows = np.lib.stride_tricks.sliding_window_view(canvas, (28, 28))
            found = np.argwhere(np.all(windows >= digit, axis=(2, 3)))
            corners.update(map(tuple, found[:1]))
            assert len(found)
            if scene == "translated":
                assert canvas.sum(dtype=int) == digit.sum(dtype=int)
    assert len(corners) > 20


def test_clutter_is_more_ink():
    translated, cluttered = (
        np.mean([pixels_of(p) for p in read(scene=s, image_size=60).train["image"]])
        for s in ("translated", "cluttered")
    )
    assert translated * 1.2 < cluttered < translated * 4


def test_several_digits_stand_in_reading_order():
    digits = [np.full((28, 28), grey, np.uint8) for grey in (40, 90, 140, 190)]
    draw = np.random.default_rng(0)
    for _ in range(20):
        canvas = data.side_by_side(draw, digits, 60)
        firsts = [np.argwhere(canvas == d[0, 0])[:, 1].min() for d in digits]
        assert firsts == sorted(firsts) and np.all(np.diff(firsts) >= 14)
        assert [np.sum(canvas == d[0, 0]) for d in digits] == [14 * 14] * 4


@pytest.mark.parametrize("dark_on_light", [False, True])
def test_ink_is_light_whatever_the_paper(dark_on_light):
    picture = np.full((20, 20), 30, np.uint8)
    picture[8:12, 5:9] = 230
    picture = 255 - picture if dark_on_light else picture
    expected = np.zeros((20, 20))
    expected[8:12, 5:9] = 1
    seen = features.as_seen(np.repeat(picture[None, ..., None], 3, axis=-1))
    np.testing.assert_allclose(seen[0, ..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(
        data.light_on_dark(picture_arrays.png(picture), "a") > 127,
        np.asarray(Image.fromarray(np.uint8(expected * 255)).resize((28, 28), 2)) > 127,
    )


def test_a_blank_picture_has_no_ink_and_a_wide_one_none_beside_it():
    blank = np.full((1, 20, 20, 3), 250, np.uint8)
    assert not np.any(features.as_seen(blank))
    wide = np.full(
        (1, 20, 20, 3), 255, np.uint8
    )  # as `pictures.decode` puts it on white
    wide[:, 5:15] = 10
    wide[:, 8:10, 3:6] = 200
    seen = np.array(features.as_seen(wide))[0, ..., 0]
    assert seen.sum() == pytest.approx(6) and not seen[:5].any() and not seen[15:].any()


def test_what_does_not_fit_or_cannot_be_read():
    with pytest.raises(
        ConfigError, match="image_size: expected 36 at least.*--preset tr"
    ):
        Config(scene="translated", image_size=20)
    with pytest.raises(
        ConfigError, match="expected 42 at least with scene=several and"
    ):
        Config(scene="several", image_size=40)
    with pytest.raises(ConfigError, match="patch: expected 5 at least with filters=8"):
        Config(patch=4, filters=8)
    with pytest.raises(UserError, match="drawing 3: the picture cannot be read"):
        data.light_on_dark(b"torn", "drawing 3")
