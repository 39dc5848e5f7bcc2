"""The benchmarks of digits and of one-hot windows run, and what they measure is so."""

import json
import math

import numpy as np
import pytest

from .benchmark import load_benchmark

digits, fixed_length = load_benchmark("digits"), load_benchmark("fixed_length")


@pytest.mark.parametrize("length", [2, 8, 24])
def test_half_of_the_sequences_have_an_a_before_a_b(length):
    ids, labels = fixed_length.sequences(np.random.default_rng(0), 100, length)
    assert ids.shape == (100, length) and labels.mean() == 0.5
    assert ids.min() >= 1 and ids.max() <= fixed_length.SYMBOLS
    words = ["".join(map(str, row)) for row in ids]
    assert [("12" in word) for word in words] == labels.astype(bool).tolist()


def test_a_window_cuts_and_pads():
    ids = np.array([[1, 2, 3]])
    assert fixed_length.in_window(ids, 2).tolist() == [[1, 2]]
    assert fixed_length.in_window(ids, 5).tolist() == [[1, 2, 3, 0, 0]]


def test_the_mlp_sees_symbols_one_hot_and_nothing_in_empty_places():
    model = fixed_length.mlp(3)
    seen = model.layers[2](model.layers[1](model.layers[0](np.array([[1, 4, 0]]))))
    assert np.array(seen).tolist() == [[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]]
    # Of every window as many weights as it has places; the GRU has the same for all.
    sizes = [fixed_length.mlp(window).count_params() for window in (3, 6)]
    assert sizes[1] - sizes[0] == 3 * fixed_length.SYMBOLS * 64


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 180])
def test_an_edge_has_the_slope_that_is_said(degrees):
    picture, slope, near = digits.edge(degrees)
    dy, dx = np.gradient(picture)
    angle = math.radians(degrees)
    along = dx * math.cos(angle) + dy * math.sin(angle)
    assert near.sum() > 50
    # NumPy's differences are over two pixels, and flatten a little.
    np.testing.assert_allclose(along[near], slope[near], atol=0.07)


def test_scharr_is_righter_about_directions():
    rows = digits.directions(step=15)
    assert [row["degrees"] for row in rows] == list(range(0, 181, 15))
    worst = {n: max(row[f"{n}_degrees"] for row in rows) for n in ("sobel", "scharr")}
    assert 0 < worst["scharr"] < worst["sobel"] / 3 < 1
    for row in rows:  # edges to and fro are alike
        opposite = rows[-1 - rows.index(row)]
        assert row["sobel_length"] == pytest.approx(opposite["sobel_length"])


def test_a_perceptron_cannot_learn_xor():
    accuracy = digits.xor(epochs=40)
    assert accuracy["perceptron"] <= 75 and accuracy["mlp"] == 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, quick",
    [
        ("digits", ["--count", "200", "--epochs", "1"]),
        ("fixed_length", ["--count", "200", "--epochs", "1"]),
    ],
)
def test_they_run_and_the_results_have_their_shape(name, quick, tmp_path, capsys):
    benchmark = {"digits": digits, "fixed_length": fixed_length}[name]
    out = tmp_path / "figures.json"
    benchmark.main([*quick, "--out", str(out)])
    assert capsys.readouterr().out
    made = json.loads(out.read_text("utf-8"))
    kept = json.loads(benchmark.RESULTS.read_text("utf-8"))
    assert made.keys() == kept.keys()
    for part, rows in made.items():
        if isinstance(rows, list):
            assert [row.keys() for row in rows] == [row.keys() for row in kept[part]]
            for row in rows:
                numbers = [v for v in row.values() if not isinstance(v, str)]
                assert np.isfinite(numbers).all(), row
