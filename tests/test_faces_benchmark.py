"""The benchmark of faces runs, and divides the pictures as it says."""

import re

import numpy as np
import pytest

from saccade.apps.core.data.rows import Examples
from saccade.apps.faces import drawing

from .benchmark import load_benchmark

faces = load_benchmark("faces")


def test_a_division_takes_so_many_of_each_person():
    rows = Examples(label=[*"abab"], name=["b/1", "a/2", "b/0", "a/1"])
    rows = faces.in_order(rows)
    assert rows["name"] == ["a/1", "a/2", "b/0", "b/1"]
    chosen = faces.of_each(rows, lambda own: own[:1])
    assert len(chosen) == 2 and {rows["label"][i] for i in chosen} == {"a", "b"}


def test_the_threshold_is_of_the_other_folds():
    near, far = np.linspace(0.1, 0.5, 50), np.linspace(0.6, 1.0, 200)
    same = np.repeat([True, False], [50, 200])
    fold = np.concatenate([near, far]), same
    stricter = np.concatenate([near - 0.1, far - 0.3]), same
    accepted, recognised, threshold = faces.by_threshold_of_others([fold, stricter], 0)
    assert threshold == pytest.approx(np.quantile(far - 0.3, 0.01))
    assert accepted == 0 and recognised == 100 * np.mean(near <= threshold)


@pytest.mark.slow
def test_it_runs(tmp_path, capsys):
    for i in range(8):
        name = f"person {i}"
        (tmp_path / name).mkdir()
        for k, content in enumerate(drawing.pictures(name, 7)):
            (tmp_path / name / f"{k}.png").write_bytes(content)

    faces.main(str(tmp_path), "--steps=1", "--batch-size=4", "--filters=4,4,4,4")

    shown = capsys.readouterr().out
    for name in ("first", "random"):
        assert re.search(rf"^{name}: rank-1 [\d.]+.* %, pixels [\d.]+", shown, re.M)
    assert len(re.findall(r"^unseen.*: AUC", shown, re.M)) == 2
    assert "unseen, threshold of the other folds: FAR" in shown
