"""The benchmarks run, and everybody in them says the same."""

import json
import subprocess
import sys

import pytest

from .benchmark import FOLDER, load_benchmark
from .machine import seconds


@pytest.fixture(scope="module")
def decode():
    return load_benchmark("decode")


@pytest.fixture(scope="module")
def layers():
    return load_benchmark("layers")


@pytest.fixture(scope="module")
def crf():
    return load_benchmark("crf")


@pytest.fixture(scope="module")
def language():
    return load_benchmark("language")


@pytest.fixture(scope="module")
def war_and_peace():
    return load_benchmark("war_and_peace")


@pytest.mark.slow
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


@pytest.mark.slow
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
    measured = {line["what"]: line["measured"] for line in report["targets"]}
    behind = "points slower than both of two copies of keras.layers"
    assert 0 <= measured.pop(behind) <= len(report["rows"])
    assert min(measured.values()) > 0
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert ("torch is not installed" in capsys.readouterr().out) == (
        layers.torch is None
    )


def test_slower_is_what_copies_of_keras_do_not_explain(layers):
    row = {"keras": 1.0, "copy": 1.2, "ours": 1.1}
    assert layers.copies(row) == pytest.approx(1.2)
    assert not layers.slower(row)
    assert layers.slower(row | {"ours": 1.25})


@pytest.mark.slow
def test_crf_runs(crf, tmp_path, capsys):
    """Everybody finds the same, or `main` ends with an error."""
    crf.main(["--quick", "--json", str(tmp_path / "crf.json")])
    report = json.loads((tmp_path / "crf.json").read_text("utf-8"))
    assert [row["what"] for row in report["rows"]] == [crf.LEARN, crf.ANSWER]
    printed = capsys.readouterr().out
    for row in report["rows"]:
        times = [row[who] for who in ("plain", "XLA", "unrolled")]
        ratio = times[-1] / min(times[:2])
        assert row["against_unrolled"] == pytest.approx(ratio)
        assert all(f"{ms:.2f}" in printed for ms in times)
        assert ("torchcrf" in row) == (crf.torchcrf is not None)
    assert f"product: {report['product_ms']:.1f} ms" in printed
    assert ("torchcrf is not installed" in printed) == (crf.torchcrf is None)


@pytest.mark.slow
def test_crf_ends_where_somebody_finds_something_else(crf, monkeypatch):
    def wrong(chain):
        return 1 - crf.unrolled_viterbi(chain)

    runs = crf.contestants

    def contestants(chain, tags):
        parts = (crf.unrolled_log_likelihood, wrong, chain, tags)
        return runs(chain, tags) | {"unrolled": crf.tensorflow_runs(*parts)}

    monkeypatch.setattr(crf, "contestants", contestants)
    with pytest.raises(SystemExit, match="Viterbi, 4 steps, 5 tags: unrolled finds"):
        crf.main(["--quick"])


@pytest.mark.slow
def test_language_runs(language, tmp_path, capsys):
    """Everybody does the same work, or `main` ends with an error."""
    language.main(["--toy", "--out", str(tmp_path / "language.json")])
    report = json.loads((tmp_path / "language.json").read_text("utf-8"))
    who = {(r["who"], r["form"]) for r in report["training"]}
    assert {("saccade", "XLA"), ("keras", "XLA"), ("keras", "plain")} <= who
    assert (("torch", "eager") in who) == (language.torch is not None)
    assert {(r["who"], r["batch"]) for r in report["sampling"]} == {
        (who, batch) for who in ("saccade", "loop") for batch in (1, 64)
    }
    for row in report["training"] + report["sampling"]:
        assert row["characters_per_second"] > 0
    losses = [r["first_loss"] for r in report["training"]]
    assert max(losses) - min(losses) < 1e-3
    printed = capsys.readouterr().out
    for line in report["targets"]:
        assert f"{line['measured']:.2f}" in printed
    assert ("torch is not installed" in printed) == (language.torch is None)


def test_networks_of_the_table_are_equally_large(war_and_peace):
    """The formula is that of the model, and the units meet the number within 1 %."""
    from saccade.apps.char_lm.config import Config
    from saccade.apps.core.tasks.language.model import build_language_model

    wanted = war_and_peace.parameters("lstm", 1, 256, 83)
    for cell in war_and_peace.CELLS:
        for levels in war_and_peace.LEVELS:
            small = Config(cell=cell, levels=levels, units=3)
            built = build_language_model(5, small)
            assert built.count_params() == war_and_peace.parameters(cell, levels, 3, 5)
            units = war_and_peace.units_for(cell, levels, wanted, 83)
            got = war_and_peace.parameters(cell, levels, units, 83)
            assert abs(got - wanted) < 0.01 * wanted


@pytest.mark.slow
def test_war_and_peace_goes_on_where_it_was_killed(
    war_and_peace, tmp_path, monkeypatch
):
    from saccade.apps.core.training import checkpoints

    words = ["--toy", "--cells", "gru", "--levels", "1", "2", "--out", str(tmp_path)]
    write, killed = checkpoints.Rounds.write_checkpoint, []

    def write_and_die(rounds, done):
        write(rounds, done)
        if rounds.folder.name == "gru-2" and not killed:
            killed.append(done)
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Rounds, "write_checkpoint", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        war_and_peace.main(words)
    table = json.loads((tmp_path / "table.json").read_text("utf-8"))
    assert [r["levels"] for r in table["rows"]] == [1]
    done = (tmp_path / "gru-1/model.keras").stat().st_mtime_ns

    war_and_peace.main([*words, "--ngram", "3"])
    table = json.loads((tmp_path / "table.json").read_text("utf-8"))
    names = [(r["model"], r.get("levels")) for r in table["rows"]]
    assert names == [
        ("gru", 1),
        ("gru", 2),
        ("3-gram, kneser_ney", None),
        ("3-gram, witten_bell", None),
    ]
    assert (tmp_path / "gru-1/model.keras").stat().st_mtime_ns == done
    for row in table["rows"]:
        assert 0 < row["test_nats"] < 2 and 0 < row["validation_nats"] < 2
    lines = (tmp_path / "table.md").read_text("utf-8").splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + 4

    with pytest.raises(ValueError, match="'steps': 4.*'steps': 9.*new folder"):
        war_and_peace.same_as_before(tmp_path, {"steps": 9})


@pytest.mark.slow
def test_input_runs(tmp_path):
    # As a program: its processes load it again.
    words = [FOLDER / "input.py", "--toy", "--out", tmp_path / "input.json"]
    subprocess.run([sys.executable, *words], check=True, timeout=seconds(300))
    report = json.loads((tmp_path / "input.json").read_text("utf-8"))
    assert [row["kind"] for row in report["rows"]] == ["pictures", "text"]
    for row in report["rows"]:
        assert 0 <= row["waiting"] < 1
        assert 100 < row["peak_mb"] < 10_000
        assert row["ms_per_step"] > 0


@pytest.mark.slow
def test_windows_run(tmp_path):
    words = [FOLDER / "windows.py", "--data", "hello", "--windows", "5", "10"]
    words += ["--characters", "800", "--batch-size", "4", "--units", "4", "--no-jit"]
    words += ["--out", tmp_path / "windows.json"]
    subprocess.run([sys.executable, *words], check=True, timeout=seconds(300))
    report = json.loads((tmp_path / "windows.json").read_text("utf-8"))
    assert [(row["window"], row["steps"]) for row in report["rows"]] == [
        (5, 40),
        (10, 20),
    ]
    for row in report["rows"]:
        assert row["ms_a_step"] > 0 and 0 < row["nats"] < 5
        assert 100 < row["peak_mb"] < 10_000


@pytest.mark.slow
def test_first_steps_run(tmp_path):
    first_step = load_benchmark("first_step")
    out = tmp_path / "first_step.json"
    words = ["--apps", "digits", "--preset", "tiny", "--steps", "4", "--out", out]
    first_step.main(list(map(str, words)))
    with_xla, without = json.loads(out.read_text("utf-8"))["rows"]
    assert (with_xla["xla"], without["xla"]) == (True, False)
    for row in (with_xla, without):
        assert row["first_s"] * 1e3 > row["ms"] > 0
        assert row["shapes"] == row["compiled"] == 1


def test_when_xla_is_repaid():
    first_step = load_benchmark("first_step")
    quick, slow = {"ms": 10.0, "first_s": 9.0}, {"ms": 30.0, "first_s": 3.0}
    assert first_step.repaid(quick, slow) == 300
    assert first_step.repaid(slow, quick) is None
