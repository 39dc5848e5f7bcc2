"""What a trained model of glimpses answers: a path, beliefs, an animation."""

import csv
import dataclasses

import numpy as np
import pytest

from saccade.apps.core.errors import UserError
from saccade.apps.glimpse import APP, drawing
from saccade.layers import GlimpseSensor

from ...groups import of_apps


@pytest.fixture(**of_apps("glimpse"))
def name(request):
    return request.param


def test_it_begins_in_the_middle_and_believes_after_every_look(run, splits):
    looks, contents = run.config.glimpses, splits.test["image"][:5]
    for answer in run.predict(contents):
        assert answer["path"].shape == (looks, 2) and not answer["path"][0].any()
        assert np.abs(answer["path"]).max() <= 1
        assert answer["scores"].shape == (looks, 10)
        np.testing.assert_allclose(answer["scores"].sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(answer["scores"][-1], answer["probabilities"])
        best = answer["labels"][np.argmax(answer["probabilities"])]
        assert answer["label"] == best and answer["score"] == answer["scores"][-1].max()


def test_one_path_is_always_the_same_and_drawn_ones_depend_on_the_seed(run, splits):
    contents = splits.test["image"][:3]

    def paths(rows=contents, **options):
        return np.stack([a["path"] for a in run.predict(rows, **options)])

    np.testing.assert_array_equal(paths(), paths(seed=4))
    drawn, other = paths(samples=2), paths(samples=2, seed=4)
    assert np.all(drawn[:, 1:] != other[:, 1:])
    # A row's draws depend neither on its neighbours nor on how many paths there are.
    np.testing.assert_allclose(paths(contents[2:], samples=5), drawn[2:], atol=1e-5)


def test_the_beliefs_of_several_paths_are_averaged(run, splits):
    contents = splits.test["image"][:4]

    def scores(samples):
        answers = run.predict(contents, samples=samples, seed=7)
        return np.stack([answer["scores"] for answer in answers])

    two, three = scores(2), scores(3)
    third = 3 * three - 2 * two
    np.testing.assert_allclose(third.sum(-1), 1, atol=1e-4)
    assert third.min() > -1e-4 and np.abs(two - three).max() > 1e-4


def test_the_animation_shows_every_look(run, splits):
    contents = [splits.test["image"][0], b"torn", splits.test["image"][1]]
    animation = run.draw(contents, run.predict(contents))
    assert len(animation.frames) == run.config.glimpses
    assert animation.milliseconds[-1] > animation.milliseconds[0]
    changed = [
        np.any(a != b)
        for a, b in zip(animation.frames, animation.frames[1:], strict=False)
    ]
    assert all(changed) and animation.gif().startswith(b"GIF89a")
    with pytest.raises(UserError, match="No picture could be read"):
        run.draw([b"torn"], run.predict([b"torn"]))


def test_of_many_pictures_it_says_how_many_are_drawn(run, splits, caplog):
    contents = [splits.test["image"][i] for i in range(5)]
    with caplog.at_level("INFO", "saccade"):
        run.draw(contents, run.predict(contents))
    assert "Drawn are the first 4 of 5 pictures." in caplog.text


def test_a_frame_has_the_boxes_the_path_and_the_belief(run, splits):
    content = splits.test["image"][0]
    (answer,) = run.predict([content])
    picture, config = run.task.seen(content), run.config
    frame = drawing.figure(config, [(picture, {**answer, "truth": "x"})], look=2)
    left, middle, right = frame.axes
    np.testing.assert_array_equal(left.images[0].get_array(), picture)
    assert left.get_title() == f"look 3 of {config.glimpses}"
    path = drawing.pixel_of(answer["path"], len(picture))
    for box, scale in zip(left.patches, range(config.scales), strict=True):
        side = config.patch * 2**scale
        np.testing.assert_allclose([box.get_width(), box.get_height()], side)
        np.testing.assert_allclose(np.add(box.get_xy(), side / 2), path[2])
    np.testing.assert_allclose(left.lines[0].get_xydata(), path[:3])
    bars = [bar.get_width() for bar in right.patches]
    np.testing.assert_allclose(bars, answer["scores"][2])
    assert "is x" in right.get_title() and middle.images


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, -0.25), (-1.0, 1.0), (0.9, 0.9)])
def test_the_drawn_patches_are_the_sensors(place):
    picture = np.random.default_rng(0).random((16, 16)).astype("float32")
    place = np.round(np.array(place) * 8) / 8  # whole pixels
    sensor = GlimpseSensor(4, 3)
    seen = sensor(picture[None, ..., None], place[None].astype("float32"))
    for scale in range(3):
        patch = drawing.patch_of(picture, place, 4, 2**scale)
        np.testing.assert_allclose(patch, seen[0, scale, ..., 0], atol=1e-5)


@pytest.mark.slow
def test_the_preset_for_a_gpu_learns_in_its_first_steps(tmp_path):
    config = dataclasses.replace(
        APP.presets["paper"](), builtin_size=600, steps=50, rounds=2, batch_size=32
    )
    run = APP.train(config, tmp_path / "run")
    with open(run.folder / "history.csv", encoding="utf-8") as file:
        first, last = [float(row["loss"]) for row in csv.DictReader(file)]
    assert np.isfinite(last) and last < first
