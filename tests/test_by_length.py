"""Accuracy by length of the text."""

import re

import numpy as np
import pytest

from saccade.apps.core.app import App
from saccade.apps.core.errors import UserError

from .benchmark import load_benchmark

lengths = load_benchmark("by_length")


def test_parts_hold_equally_many_texts_from_short_to_long():
    draw = np.random.default_rng(0).permutation(12)
    right = {"Elman": draw < 5, "GRU": np.full(12, True)}
    rows = lengths.by_length(10 + draw, right)
    assert [(row["tokens"], row["texts"]) for row in rows] == [
        ("10 to 12", 3),
        ("13 to 15", 3),
        ("16 to 17", 2),
        ("18 to 19", 2),
        ("20 to 21", 2),
    ]
    assert [row["Elman"] for row in rows] == pytest.approx([100, 200 / 3, 0, 0, 0])
    assert {row["GRU"] for row in rows} == {100}


def test_too_few_texts_are_an_error():
    with pytest.raises(UserError, match="at least 5 texts.* received 4"):
        lengths.by_length([1, 2, 3, 4], {})


@pytest.mark.slow
def test_the_three_cells_are_trained_alike(monkeypatch, tmp_path, capsys):
    runs, train = [], App.train

    def watched(*arguments, **options):
        runs.append(train(*arguments, **options))
        return runs[-1]

    monkeypatch.setattr(App, "train", watched)
    picture = tmp_path / "lengths.png"
    settings = "--builtin-size=400 --units=3 --embedding=3 --steps=4 --rounds=1"
    lengths.main(["--plot", str(picture), *settings.split(), "--no-lower"])
    assert [run.config.cell for run in runs] == ["elman", "gru", "lstm"]
    assert {(r.config.units, r.config.lower, r.config.steps) for r in runs} == {
        (3, False, 4)
    }
    rows = re.findall(
        r"^ *(\d+) to (\d+) +(\d+) +([\d.]+) +([\d.]+) +([\d.]+)",
        capsys.readouterr().out,
        re.MULTILINE,
    )
    shortest, longest, texts, *shares = np.array(rows, float).T
    assert (shortest <= longest).all() and (longest[:-1] <= shortest[1:]).all()
    assert len(texts) == 5 and texts.max() - texts.min() <= 1
    # All parts together are the test split.
    for run, share in zip(runs, shares, strict=True):
        whole = np.average(share, weights=texts)
        assert whole == pytest.approx(run.metrics["accuracy"], abs=0.06)
    assert picture.stat().st_size > 5000
