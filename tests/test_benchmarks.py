"""The benchmarks run, and everybody in them says the same."""

import importlib.util
import json
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"


def benchmark(name):
    spec = importlib.util.spec_from_file_location(
        f"benchmark_{name}", FOLDER / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def decode():
    return benchmark("decode")


@pytest.fixture(scope="module")
def layers():
    return benchmark("layers")


def test_decode_runs(decode, tmp_path, capsys):
    decode.main(["--quick", "--out", str(tmp_path / "decode.json")])
    report = json.loads((tmp_path / "decode.json").read_text("utf-8"))
    who = {(r["decode"], r["who"], r["form"]) for r in report["rows"]}
    for name in ("greedy", "beam 2"):
        assert {(name, "saccade", "plain"), (name, "saccade", "XLA")} <= who
        assert (name, "tutorial", "step") in who
    printed = capsys.readouterr().out
    if decode.keras_hub is None:
        assert "keras_hub is not installed" in printed
    else:
        assert {("greedy", "keras_hub", "XLA"), ("beam 2", "keras_hub", "XLA")} <= who
    for row in report["rows"]:
        assert row["captions_per_second"] > 0
        if row["who"] != "keras_hub":  # It goes on behind the end in beam search.
            assert row["same_captions"] == 1, row


def test_results_are_those_of_the_program(decode):
    """The committed figures have the shape that the program writes."""
    if not decode.RESULTS.exists():
        pytest.skip("no results here yet: python benchmarks/decode.py")
    report = json.loads(decode.RESULTS.read_text("utf-8"))
    assert report["settings"]["repeats"] >= 7
    assert report["settings"]["pictures"] == 64
    assert {r["decode"] for r in report["rows"]} == {"greedy", "beam 5"}
    for row in report["rows"]:
        assert row["fastest"] <= row["seconds"] <= row["slowest"]


def test_layers_run(layers, tmp_path, capsys):
    out = tmp_path / "layers.json"
    layers.main(
        ["--grid", "toy", "--cells", "GRU", "--repeats", "1", "--out", str(out)]
    )
    report = json.loads(out.read_text("utf-8"))
    assert [(r["cell"], r["pass"]) for r in report["rows"]] == [
        ("GRU", "forward"),
        ("GRU", "both"),
    ]
    for row in report["rows"]:
        assert row["ours"] > 0 and row["keras"] > 0
        assert (row["torch"] is None) == (layers.torch is None)
    assert all(line["measured"] > 0 for line in report["targets"])
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert ("torch is not installed" in capsys.readouterr().out) == (
        layers.torch is None
    )
