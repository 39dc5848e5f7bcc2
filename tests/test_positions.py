"""benchmarks/positions.py: what it measures, on few steps."""

import json

import pytest

from .benchmark import load_benchmark

positions = load_benchmark("positions")


def test_sentences_are_moved_with_their_labels():
    (one,) = positions.sentences(1, 0)
    text, labels = positions.in_front(one)
    assert text == positions.WORDS + one[0]
    assert labels[len(positions.WORDS) :] == one[1] and len(labels) == len(text)
    text, labels = positions.behind(one)
    assert labels[: len(one[0])] == one[1] and len(labels) == len(text)


@pytest.mark.slow
def test_only_the_recurrent_network_finds_names_at_new_places(tmp_path):
    positions.main(["--steps", "400", "--json", str(tmp_path / "p.json")])
    rows = json.loads((tmp_path / "p.json").read_text())["rows"]
    assert rows["MLP"]["same_places"] > 80 and rows["MLP"]["new_places"] < 20
    assert rows["GRU"]["same_places"] > 80 and rows["GRU"]["new_places"] > 80
    counts = rows["GRU"]["parameters"].values()
    assert len(set(counts)) == 1
    counts = list(rows["MLP"]["parameters"].values())
    assert counts == sorted(set(counts))
