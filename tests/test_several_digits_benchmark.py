"""The benchmark of several digits: who is asked what, and that it runs."""

import json

import numpy as np
import pytest

from saccade.apps.glimpse import APP
from saccade.apps.glimpse.config import Config

from .apps.glimpse import test_several
from .benchmark import load_benchmark

several = load_benchmark("several_digits")
SMALL = test_several.SMALL | {"image_size": 44, "builtin_size": 200}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return APP.train(Config(**SMALL), tmp_path_factory.mktemp("several") / "run")


def test_more_looks_begin_as_fewer_do(run):
    task, model = several.longer(run)
    assert task.looks == run.task.looks + 2
    images = np.random.default_rng(0).random((3, 44, 44, 1)).astype("float32")
    more, fewer = (
        network({"image": images})["logits"] for network in (model, run.model)
    )
    assert more.shape == (3, 8, fewer.shape[2])
    np.testing.assert_allclose(more[:, :6], fewer, atol=1e-5)


@pytest.mark.slow
def test_it_runs(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(several, "BATCH", 16)
    out = tmp_path / "several.json"
    several.main([str(run.folder), "--steps", "10", "--out", str(out)])
    report = json.loads(out.read_text("utf-8"))
    assert [row["who"] for row in report["rows"]] == [
        "glimpses",
        "CNN",
        "glimpses, one digit more",
        "CNN, one digit more",
    ]
    for row in report["rows"]:
        assert 0 <= row["whole"] <= row["count"] <= 100
    assert report["rows"][0]["of_3"] is None and report["rows"][2]["of_3"] is not None
    # It has no head for a third digit.
    assert report["rows"][3]["of_3"] == 0
    # The CNN's figures stay, those of the run are made again.
    several.main([str(run.folder), "--steps", "0", "--out", str(out)])
    assert json.loads(out.read_text("utf-8")) == report
    if several.RESULTS.exists():
        kept = json.loads(several.RESULTS.read_text("utf-8"))
        assert kept.keys() == report.keys()
