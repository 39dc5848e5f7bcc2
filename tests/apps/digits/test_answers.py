"""What a trained model of digits answers: any picture, edges, a figure."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageOps

from saccade.apps.core.data import drawn
from saccade.apps.core.errors import UserError
from saccade.apps.digits import APP
from saccade.layers import Scharr, Sobel

from ...groups import of_apps


@pytest.fixture(**of_apps("digits"))
def name(request):
    return request.param


def test_builtin_is_the_same_everywhere():
    splits = APP.task_for(APP.Config(builtin_size=60)).read()
    again = APP.task_for(APP.Config(builtin_size=60, seed=5)).read()
    assert splits.sha256 == again.sha256
    more = APP.task_for(APP.Config(builtin_size=90)).read()
    assert set(splits.train["image"]) <= set(more.train["image"])
    assert set(splits.train["label"]) == set(drawn.DIGITS)


def drawing(digit, side=200, at=(0.3, 0.6), size=0.45, seed=0):
    """A digit in a corner of a large picture."""
    strokes = [
        [(at[0] + size * x, at[1] + size * y) for x, y in stroke]
        for stroke in drawn.handwritten(random.Random(seed), digit)
    ]
    return drawn.draw_strokes(strokes, side, 0.1 * size, ink=20, paper=245)


def test_a_drawing_is_read_inverted_or_not_wherever_it_stands(run):
    plain = [drawing(digit) for digit in drawn.DIGITS]
    inverted = []
    for content in plain:
        file = io.BytesIO()
        ImageOps.invert(Image.open(io.BytesIO(content))).save(file, "PNG")
        inverted.append(file.getvalue())
    elsewhere = [drawing(digit, at=(0.7, 0.35)) for digit in drawn.DIGITS]
    for contents in (plain, inverted, elsewhere):
        labels = [answer["label"] for answer in run.predict(contents)]
        right = sum(a == b for a, b in zip(labels, drawn.DIGITS, strict=True))
        assert right >= 9, labels


def test_filters_are_the_layers(run, splits):
    contents = splits.test["image"][:3]
    seen = run.task.seen(contents)
    answers = run.predict(contents, "filters")
    for layer, key in ((Sobel(), "sobel"), (Scharr(), "scharr")):
        expected = np.array(layer(seen))[:, :, :, 0]
        for answer, edges in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer[key], edges, atol=1e-5)
    for answer in answers:
        length = np.linalg.norm(answer["sobel"], axis=-1)
        np.testing.assert_allclose(answer["magnitude"], length, atol=1e-4)
        assert f"the steepest {length.max():.1f}" in run.task.show(answer)


def test_draws_what_the_network_saw_and_how_likely_each_label_is(run, splits):
    contents = [*splits.test["image"][:2], b"torn", splits.test["image"][2]]
    answers = run.predict(contents)
    figure = run.task.draw(contents, answers)
    shown = [axes for axes in figure.axes if axes.images]
    seen = run.task.seen([contents[0], contents[1], contents[3]])
    assert len(shown) == 3
    for axes, picture in zip(shown, seen, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), picture[..., 0])
    bars = [axes for axes in figure.axes if axes.patches]
    for axes, answer in zip(bars, [answers[0], answers[1], answers[3]], strict=True):
        widths = [bar.get_width() for bar in axes.patches]
        np.testing.assert_allclose(widths, answer["probabilities"])
    assert answers[0]["label"] in shown[0].get_title()


def test_what_cannot_be_drawn(run, splits):
    contents = splits.test["image"][:1]
    with pytest.raises(UserError, match="draws what serving_default answers"):
        run.task.draw(contents, run.predict(contents, "filters"))
    with pytest.raises(UserError, match="No picture could be read"):
        run.task.draw([b"torn"], run.predict([b"torn"]))


def test_in_training_pictures_turn_where_they_should(run, splits):
    task = run.task.bound(run.config)
    pixels = run.task.kinds()["image"].column(splits.train["image"][:4])([0, 1, 2, 3])
    values = {"image": pixels}
    assert task.augment(values, [0, 1]) is values  # tiny turns nothing
    turning = APP.task_for(APP.Config(turn=12.0))
    changed = turning.augment(values, [0, 1])["image"].numpy()
    assert (changed != pixels.numpy()).mean() > 0.05
