"""The benchmark of glimpses compares equal networks; its results have their shape."""

import json

import numpy as np
import pytest

from .benchmark import load_benchmark

glimpse = load_benchmark("glimpse")
SMALL = {"image_size": 16, "glimpses": 3, "hidden": 6, "glimpse": 7, "units": 5}


@pytest.mark.parametrize("scales", [1, 2])
def test_both_networks_are_the_same_and_learn_the_same(scales):
    config = glimpse.Config(**SMALL, scales=scales)
    images, labels, noise = glimpse.batch_of(config, 4)
    pair = glimpse.networks(config, images, noise)
    steps = [glimpse.step_of(network, config, False) for network in pair]
    losses = [[float(step(images, labels, noise)) for _ in range(3)] for step in steps]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    assert losses[0][0] != losses[0][2]


@pytest.mark.slow
def test_it_runs_and_the_results_have_their_shape(tmp_path, capsys):
    out = tmp_path / "figures.json"
    glimpse.main(["--rows", "4", "--seconds", "0", "--out", str(out)])
    assert "plain" in capsys.readouterr().out
    made = json.loads(out.read_text("utf-8"))
    kept = json.loads(glimpse.RESULTS.read_text("utf-8"))
    assert made.keys() == kept.keys()
    for row, expected in zip(made["steps"], kept["steps"], strict=True):
        assert row.keys() == expected.keys()
        assert (row["network"], row["xla"]) == (expected["network"], expected["xla"])
