"""The benchmark of draw runs, and what it measures is so."""

import json

import numpy as np
import pytest

from .benchmark import load_benchmark

draw = load_benchmark("draw")


class Reader:
    """Reads a square as "0" and all else as "1", unsure of what is small."""

    def predict(self, contents):
        return [self.answer(c) for c in contents]

    def answer(self, content):
        ink = draw.data.pixels([content], 28)[0]
        rows = np.flatnonzero(ink.any(axis=1))
        columns = np.flatnonzero(ink.any(axis=0))
        square = len(rows) == len(columns)
        return {"label": "0" if square else "1", "score": min(1, ink.sum() / 20)}


def canvas(*boxes):
    picture = np.zeros((28, 28), bool)
    for top, left, height, width in boxes:
        picture[top : top + height, left : left + width] = True
    return picture


def test_parts_hang_together_by_corners_and_specks_are_none():
    found = draw.parts(
        canvas((2, 2, 5, 5), (7, 7, 4, 4), (20, 20, 4, 4), (0, 27, 1, 1))
    )
    assert [part.sum() for part in found] == [41, 16]


def test_a_reader_counts_digits_that_it_is_sure_of():
    pictures = np.array(
        [
            canvas((2, 2, 5, 5), (15, 15, 4, 8)),  # two
            canvas((2, 2, 5, 5)),  # one
            canvas((2, 2, 5, 5), (15, 15, 3, 4)),  # of the second it is not sure
            canvas((2, 2, 5, 5), (15, 15, 5, 5), (15, 2, 5, 5)),  # three
        ]
    )
    seen = draw.read(Reader(), pictures, 2)
    assert seen["right"] == 25
    assert 0 < seen["entropy"] < 1


def test_the_nearest_picture_is_counted_by_pixels():
    training = np.array([canvas((0, 0, 3, 3)), canvas((9, 9, 9, 9))])
    pictures = np.array([canvas((0, 0, 3, 4)), canvas((9, 9, 9, 9))])
    assert draw.nearest(pictures, training) == {"mean": 1.5, "least": 0.0}


@pytest.mark.slow
def test_the_plain_network_is_the_same_and_is_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(draw, "SIZES", {"small": (8, 2, 4, 3, 2)})
    out = tmp_path / "figures.json"
    draw.main(["speed", "--repeats", "1", "--no-xla", "--out", str(out)])
    rows = json.loads(out.read_text("utf-8"))["speed"]
    assert [row["network"] for row in rows] == ["DRAW", "plain"]
    assert all(row["ms"] > 0 for row in rows) and capsys.readouterr().out
