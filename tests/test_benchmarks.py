"""The benchmarks run, and everybody in them says the same."""

import importlib.util
import json
import pathlib

import pytest

FILE = pathlib.Path(__file__).parents[1] / "benchmarks/decode.py"


@pytest.fixture(scope="module")
def decode():
    spec = importlib.util.spec_from_file_location("benchmark_decode", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
