"""What a trained dna model answers: where it looks, mutations, windows, pictures."""

import csv
import json
import math

import matplotlib.colors
import numpy as np
import pytest
import tensorflow as tf
import typer.testing

from saccade.apps.cli import cli
from saccade.apps.core.data import fasta
from saccade.apps.dna import builtin, logo, scores
from saccade.apps.dna.config import EXAMPLES
from saccade.apps.dna.task import log_mean, log_odds

from ...groups import of_apps


@pytest.fixture(**of_apps("dna"))
def name(request):
    return request.param


def odds(answer, label):
    p = dict(zip(answer["labels"], answer["probabilities"], strict=True))[label]
    return math.log(p / (1 - p))


def test_saliency_hits_planted_motifs(run, splits):
    """Of sequences with motifs, the absolute saliency of a planted base is at least
    twice that of another."""
    figures = run.metrics
    assert figures["on_motif"] > 2 * figures["motif_share"]
    test = splits.test
    answers = run.predict(test["sequence"])
    donors = [
        np.argmax(np.abs(answer["saliency"]))
        for answer, label in zip(answers, test["label"], strict=True)
        if label == answer["label"] == "donor"
    ]
    # What decides on a donor is in nearly all the GT, or a base beside it.
    middle = builtin.JUNCTION
    inside = [middle - 3 <= place < middle + 6 for place in donors]
    assert len(donors) > 3 and np.mean(inside) > 0.8


def test_effect_is_what_a_replacement_does(run):
    sequence = EXAMPLES[1]
    (before,) = run.predict([sequence], "mutate")
    effect, label = before["effect"], before["label"]
    assert effect.shape == (60, 4) and before["bases"] == [*"ACGT"]
    for place, base in ((30, "A"), (31, "C"), (5, "T")):
        changed = sequence[:place] + base + sequence[place + 1 :]
        (after,) = run.predict([changed])
        expected = odds(after, label) - odds(before, label)
        got = effect[place]["ACGT".index(base)]
        assert got == pytest.approx(expected, abs=1e-3)
    own = [effect[i]["ACGT".index(base)] for i, base in enumerate(sequence)]
    np.testing.assert_allclose(own, 0, atol=1e-4)
    # The GT at the junction matters more than anything outside of the motif.
    assert np.abs(effect[30:32]).max() > 3 * np.abs(effect[45:]).max()


def test_padding_is_zero(signatures):
    rows = tf.constant([EXAMPLES[0], EXAMPLES[1][:41]])
    for signature in ("serving_default", "mutate"):
        outputs = signatures[signature](sequence=rows)
        assert outputs["saliency"].shape == (2, 60)
        assert not outputs["saliency"][1, 41:].numpy().any()
        assert outputs["saliency"][1, :41].numpy().any()
    assert not outputs["effect"][1, 41:].numpy().any()


def test_a_long_sequence_is_scanned(run):
    """A donor inside of 700 bases is found where it lies, and every window is what the
    window alone is."""
    draw = np.random.default_rng(0)
    long = "".join(draw.choice([*"ACGT"], 700))
    long = long[:200] + EXAMPLES[1] + long[260:]
    short = EXAMPLES[0][:30]
    found, alone = run.predict([long, short], "scan")
    assert found["windows"] == 700 - 60 + 1 == len(found["label"])
    np.testing.assert_array_equal(found["start"], np.arange(641))
    for start in (0, 200, 640):
        (window,) = run.predict([long[start : start + 60]])
        np.testing.assert_allclose(
            found["probabilities"][start], window["probabilities"], atol=1e-5
        )
        assert found["label"][start] == window["label"]
    assert found["label"][200] == "donor"
    assert "windows; the surest: donor" in run.task.show(found)
    assert alone["windows"] == 1 and alone["label"] == [
        run.predict([short])[0]["label"]
    ]
    (sparse,) = run.predict([long], "scan", stride=100)
    np.testing.assert_array_equal(sparse["start"], np.arange(0, 641, 100))
    assert sparse["label"][2] == "donor"


def test_the_strongest_mutations_are_shown(run):
    effect = np.zeros((4, 4))
    effect[2, 3], effect[2, 1], effect[0, 0] = -2.5, 2.0, 1.0
    answer = {"label": "donor", "score": 0.9, "bases": [*"ACGT"], "effect": effect}
    shown = run.task.show(answer)
    assert shown.startswith("donor  (0.90); the strongest mutations: base 3 as T -2.50")
    assert "-2.50, base 1 as A +1.00, base 2 as" in shown


def test_a_file_on_the_command_line(run, tmp_path, monkeypatch):
    monkeypatch.setattr(type(run.app), "load", lambda app, path: run)
    (tmp_path / "a.fa").write_text(
        f">one\n{EXAMPLES[0][:30]}\n{EXAMPLES[0][30:]}\n>two\n{EXAMPLES[1]}\n"
        ">three\nACXT\n"
    )

    def predict(*words):
        words = ["predict", "dna", str(run.folder), *map(str, words)]
        return typer.testing.CliRunner().invoke(cli, words)

    done = predict(tmp_path / "a.fa")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("one: promoter") and lines[1].startswith("two: donor")
    assert "three: expected letters of bases" in done.stderr
    assert "received 'X' in place 3" in done.stderr
    # Answers as FASTA: the name, and the class behind it.
    done = predict(tmp_path / "a.fa", "--to", tmp_path / "b.fasta")
    records = fasta.read(tmp_path / "b.fasta")
    assert [r.header for r in records] == ["one|promoter", "two|donor"]
    assert [r.sequence for r in records] == EXAMPLES
    # As a table or as JSON: the name is a column.
    done = predict(tmp_path / "a.fa", "--to", tmp_path / "b.csv")
    assert "three: expected letters of bases" in done.stderr
    rows = list(csv.DictReader((tmp_path / "b.csv").read_text().splitlines()))
    assert list(rows[0])[:3] == ["name", "sequence", "label"]
    assert [row["name"] for row in rows] == ["one", "two", "three"]
    assert "received 'X' in place 3" in rows[2]["error"]
    lines = predict(tmp_path / "a.fa", "--json").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["one", "two", "three"]
    done = predict("--sequence", EXAMPLES[0], "--json")
    answer = json.loads(done.stdout)
    assert answer["label"] == "promoter" and len(answer["saliency"]) == 60
    # The picture asks for mutations by itself.
    done = predict("--sequence", EXAMPLES[0], "--plot", tmp_path / "a.png")
    assert done.exit_code == 0 and (tmp_path / "a.png").stat().st_size > 10_000


def test_the_odds_of_what_is_sure():
    """Where float32 calls p one, its log-odds still have a value and a slope."""
    logits = tf.constant([[[30.0, 0.0, -5.0]], [[1.0, 2.0, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_p = log_mean(logits)
        found = log_odds(log_p, tf.constant([0, 1]))
    others = [math.log(1 + math.exp(-5)), math.log(math.e + 1)]
    np.testing.assert_allclose(found, [30 - others[0], 2 - others[1]], rtol=1e-5)
    slopes = tape.gradient(found, logits).numpy()
    np.testing.assert_allclose([slopes[0, 0, 0], slopes[1, 0, 1]], 1, rtol=1e-5)
    # Of members the probabilities are averaged, not the logits.
    two = tf.constant([[[2.0, 0.0], [0.0, 1.0]]])
    mean = np.mean(tf.nn.softmax(two), axis=1)
    np.testing.assert_allclose(np.exp(log_mean(two)), mean, rtol=1e-5)


# Pictures


def test_letters_are_as_high_as_their_saliency():
    sequence, saliency = "ACGTN", np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    effect = np.zeros((5, 4))
    effect[1, 0] = -4.0
    answer = {"label": "none", "saliency": saliency, "effect": effect}
    figure = logo.figure([(sequence, answer, "x")])
    letters, image, _ = figure.axes
    assert len(letters.patches) == 5
    for patch, letter, height in zip(letters.patches, sequence, saliency, strict=True):
        box = patch.get_path().get_extents()
        assert (box.y0, box.y1) == pytest.approx(sorted((0.0, height)), abs=1e-6)
        colour = matplotlib.colors.to_rgb(logo.COLOURS.get(letter, logo.OTHER))
        assert patch.get_facecolor()[:3] == colour
    (map_,) = image.images
    np.testing.assert_array_equal(map_.get_array(), effect.T)
    red = map_.cmap(map_.norm(-4.0))
    assert red[0] > 2 * red[2]  # less likely


def test_known_motifs_are_marked():
    boxes = logo.known_motifs(EXAMPLES[0], "promoter")
    assert boxes == [("-35 box", 16, 22), ("-10 box", 39, 45)]
    ((_, start, end),) = logo.known_motifs(EXAMPLES[1], "EI")
    assert EXAMPLES[1][start:end] == "GT" and start == 30
    assert logo.known_motifs(EXAMPLES[1], "none") == []
    assert logo.known_motifs("A" * 60, "promoter") == []
    assert logo.known_motifs("ACG", "+") == []
    ((_, start, end),) = logo.known_motifs("CCAGCCTT"[:8], "IE")
    assert (start, end) == (2, 4)


def test_of_a_long_sequence_the_strongest_part_is_drawn():
    saliency = np.zeros(400)
    saliency[250:260] = -1.0
    first = logo.window_of(saliency)
    assert first <= 250 and 260 <= first + logo.WIDTH
    assert logo.window_of(saliency[:50]) == 0


# Figures


def test_figures_of_labels():
    def answer(label, *probabilities):
        return {"label": label, "labels": ["a", "b"], "probabilities": probabilities}

    answers = [answer("a", 0.9, 0.1), answer("a", 0.6, 0.4), answer("b", 0.2, 0.8)]
    figures = scores.of_labels(answers, ["a", "b", "b"], ("a", "b"))
    assert figures["errors"] == 1
    assert figures["error_a"] == 0 and figures["error_b"] == 50
    assert figures["auroc"] == figures["auprc"] == 100
    # tp tn - fp fn over the root of (1 + 0) (1 + 1) (2 - 1 + 0 ...): by hand 1/2.
    assert figures["mcc"] == pytest.approx(0.5)
    alone = scores.of_labels(answers[:1], ["a"], ("a", "b"))
    assert alone == {"errors": 0, "error_a": 0.0}
    # Another fold may have its labels in another order.
    other = {"label": "b", "labels": ["b", "a"], "probabilities": (0.8, 0.2)}
    again = scores.of_labels([*answers[:2], other], ["a", "b", "b"], ("a", "b"))
    assert again == figures


def test_share_of_saliency_on_motifs():
    answers = [{"saliency": np.array([1.0, -3.0, 0.0, 0.0])}] * 2
    planted = [[False, True, False, False], [False] * 4]
    figures = scores.on_motif(answers, planted)
    assert figures == {"on_motif": 75.0, "motif_share": 25.0}
    assert scores.on_motif(answers, [[False] * 4] * 2) == {}
