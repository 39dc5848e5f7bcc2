"""The benchmarks of translation: the figures are right, and everybody says the same."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from saccade.apps.core.errors import UserError
from saccade.apps.core.settings.json_text import to_json
from saccade.apps.translation import APP

from .benchmark import FOLDER, load_benchmark
from .machine import seconds

translation = load_benchmark("translation")

NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo"]
DOES = {"sleeps": "schläft", "laughs": "lacht", "sings": "singt", "waits": "wartet"}
TINY = {"units": 8, "embedding": 8, "attention_units": 8, "steps": 2, "rounds": 1}


# Figures


def sentences(count):
    """So many of seven words, no word in two of them."""
    return [" ".join(f"w{i}n{j}" for j in range(7)) for i in range(count)]


def test_chance_does_not_explain_what_is_always_better():
    right, wrong = sentences(30), ["other words alone stand here now"] * 30
    references = [[text] for text in right]
    p = translation.paired_bootstrap(right, wrong, references, samples=99)
    assert p == {"bleu": pytest.approx(0.01), "chrf": pytest.approx(0.01)}


def test_chance_explains_what_is_as_often_worse():
    right, wrong = sentences(30), ["other words alone stand here now"] * 30
    references = [[text] for text in right]
    ours, theirs = right[:16] + wrong[16:], wrong[:15] + right[15:]
    p = translation.paired_bootstrap(ours, theirs, references, samples=99)
    assert 0.2 < p["bleu"] < 1 and 0.2 < p["chrf"] < 1
    assert p == translation.paired_bootstrap(ours, theirs, references, samples=99)


def test_chance_explains_that_nothing_differs():
    texts, references = sentences(5), [["w0n0 w0n1 w0n2 w0n3"]] * 5
    same = translation.paired_bootstrap(texts, texts, references, samples=9)
    assert same == {"bleu": 1, "chrf": 1}


@pytest.mark.parametrize(
    ("language", "rule"), [("", "13a"), ("de", "13a"), ("zh-CN", "zh"), ("ja", "char")]
)
def test_words_are_those_of_the_scores(language, rule):
    assert translation.scores.tokenizer_of(language) == rule
    found = translation.scores.figures(["-"], [["-"]], language)
    assert f"tok:{rule}|" in found["bleu_signature"]


def test_chance_is_judged_by_the_words_of_the_language():
    """Without spaces 13a finds one word per sentence, and no difference."""
    right = ["我们今天去公园散步", "他昨天买了一本新书", "孩子们在河边玩水呢"] * 5
    near = [text[:-1] + "吗" for text in right]
    far = ["天气预报说会下雨的"] * 15
    references = [[text] for text in right]
    blind = translation.paired_bootstrap(near, far, references, "de", 99)
    seeing = translation.paired_bootstrap(near, far, references, "zh", 99)
    assert blind["bleu"] == 1
    assert seeing["bleu"] == pytest.approx(0.01)


def test_parts_by_length_hold_equally_many_sentences():
    draw = np.random.default_rng(0).permutation(12)
    texts, references = sentences(12), [[text] for text in sentences(12)]
    short = [text if n < 5 else "-" for text, n in zip(texts, draw, strict=True)]
    systems = {"all": texts, "short": short}
    rows = translation.by_length(10 + draw, systems, references)
    assert [(row["tokens"], row["sentences"]) for row in rows] == [
        ("10 to 12", 3),
        ("13 to 15", 3),
        ("16 to 17", 2),
        ("18 to 19", 2),
        ("20 to 21", 2),
    ]
    assert [row["all"] for row in rows] == pytest.approx([100] * 5)
    # The second part has two right sentences and a wrong word: precise, but too short.
    second = 100 * (14 / 15) ** 0.25 * np.exp(1 - 21 / 15)
    assert [row["short"] for row in rows] == pytest.approx([100, second, 0, 0, 0])


def test_too_few_sentences_for_parts_are_an_error():
    with pytest.raises(UserError, match="at least 5 sentences.* received 4"):
        translation.by_length([1, 2, 3, 4], {}, [["a"]] * 4)


def test_seen_is_what_any_reference_says():
    trained = [["eins zwei", "drei"], ["vier"]]
    references = [["fünf", "drei"], ["eins"], ["vier"], ["Vier"], ["eins zwei "]]
    found = translation.is_seen(references, trained)
    assert found.tolist() == [True, False, True, False, False]


def test_seen_and_unseen_have_figures_of_their_own():
    texts = sentences(5)
    references = [[text] for text in texts]
    answers = texts[:3] + ["zzz"] * 2
    seen = np.array([True, True, True, False, False])
    found = translation.by_seen(answers, references, seen)
    assert [found[name]["sentences"] for name in ("seen", "unseen")] == [3, 2]
    assert found["seen"]["bleu"] == pytest.approx(100)
    assert found["seen"]["chrf"] == pytest.approx(100)
    assert found["unseen"]["bleu"] == found["unseen"]["chrf"] == 0
    every = translation.by_seen(answers, references, np.full(5, True))
    assert every["unseen"] == {"sentences": 0}
    assert every["seen"]["sentences"] == 5


def test_runs_are_called_as_their_folders_where_these_differ():
    assert translation.names_of(["runs/a", "b/"]) == ["a", "b"]
    for same in (["x/run", "y/run"], [".", "y/run"]):
        assert translation.names_of(same) == same


def test_runs_of_other_data_are_an_error():
    def loaded(name, sha256, target):
        config = APP.Config(data="d", source="en", target=target)
        run = types.SimpleNamespace(folder=name, config=config)
        return run, types.SimpleNamespace(sha256=sha256)

    first = loaded("first", "1", "de")
    translation.expect_same_data(first, loaded("second", "1", "de"))
    for second in (loaded("second", "2", "de"), loaded("second", "1", "fr")):
        with pytest.raises(UserError, match="same data; first.*second read d"):
            translation.expect_same_data(first, second)


def test_a_run_of_another_app_is_an_error(tmp_path):
    from saccade.apps.sentiment import APP as other

    text = to_json(other.Config(), "sentiment")
    (tmp_path / "config.json").write_text(text, "utf-8")
    with pytest.raises(UserError, match="of translation, received those of sent"):
        translation.main([str(tmp_path)])


# Runs


@pytest.fixture(scope="module")
def dates_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dates") / "run"
    settings = {**APP.config.PRESETS["tiny"], **TINY, "builtin_size": 300}
    return APP.train(APP.Config(**settings), folder)


@pytest.fixture(scope="module")
def pair_of_runs(tmp_path_factory):
    """Runs on the same files with attention and without; of the ten sentences of the
    test split six have a translation that the training has too."""
    folder = tmp_path_factory.mktemp("pairs")
    pairs = [
        (f"{name} {does}.", f"{name} {tut}.")
        for name in NAMES
        for does, tut in DOES.items()
    ]
    train, val, test = pairs[:20], pairs[20:24], pairs[24:28]
    test += [(f"Now {en}", de) for en, de in pairs[:6]]
    for part, rows in {"train": train, "val": val, "test": test}.items():
        for language, column in zip(("en", "de"), zip(*rows, strict=True), strict=True):
            text = "".join(f"{line}\n" for line in column)
            (folder / f"{part}.{language}").write_text(text, "utf-8")
    config = APP.Config(
        data=str(folder), source="en", target="de", tokenizer="words", **TINY
    )
    bare = dataclasses.replace(config, attention="none")
    return [APP.train(c, folder / c.attention) for c in (config, bare)]


def cells(printed, first):
    """What stands behind the first cell of a line."""
    return re.findall(rf"^ *{re.escape(first)} +(.+?) *$", printed, re.MULTILINE)


@pytest.mark.slow
def test_two_runs_are_compared(pair_of_runs, tmp_path, capsys):
    ours, bare = pair_of_runs
    picture = tmp_path / "by_length.png"
    words = [str(run.folder) for run in pair_of_runs]
    translation.main([*words, "--quick", "--beam", "2", "--plot", str(picture)])
    printed = capsys.readouterr().out
    for run in pair_of_runs:
        found = run.evaluate(beam=2, length_penalty=1.0)
        (line,), keys = cells(printed, run.folder.name), translation.MAIN.values()
        assert line.split() == [f"{found[key]:.2f}" for key in keys]
    assert f"bleu: {found['bleu_signature']}" in printed
    assert f"chrf: {found['chrf_signature']}" in printed
    test = ours.task.read().test
    references = test["translations"]
    texts = [translation.translate(run, test, {"beam": 2}) for run in pair_of_runs]
    seen = np.array([text.startswith("Now") for text in test["text"]])
    parts = [translation.by_seen(some, references, seen) for some in texts]
    for name, count in {"seen": 6, "unseen": 4}.items():
        expected = [f"{part[name]['chrf']:.2f}" for part in parts]
        lines = [line.split() for line in cells(printed, name)]
        assert [(line[0], line[2]) for line in lines] == [
            (str(count), chrf) for chrf in expected
        ]
    p = translation.paired_bootstrap(*texts, references, "de", 50)
    assert f"50 samples: p = {p['bleu']:.3g} by BLEU, {p['chrf']:.3g}" in printed
    parts = re.findall(r"^ *\d+ to \d+ +(\d+) ", printed, re.MULTILINE)
    assert parts == ["2"] * 5
    assert picture.stat().st_size > 5000


@pytest.mark.slow
def test_dates_by_unseen_patterns_are_counted_apart(dates_run, capsys):
    translation.main([str(dates_run.folder), "--quick"])
    printed = capsys.readouterr().out
    count = min(len(dates_run.task.read().test), translation.QUICK["sentences"])
    most = translation.QUICK["sentences"]
    for name, dates in {"test split": count, "unseen patterns": most}.items():
        assert [line.split()[0] for line in cells(printed, name)] == [str(dates)]
    assert "bootstrap" not in printed


@pytest.mark.slow
def test_a_run_whose_data_has_changed_is_an_error(dates_run, tmp_path):
    shutil.copytree(dates_run.folder, tmp_path / "run")
    (tmp_path / "run/data.json").write_text('{"sha256": "0"}', "utf-8")
    with pytest.raises(UserError, match="data in builtin has changed"):
        translation.main([str(tmp_path / "run")])


@pytest.mark.slow
def test_runs_that_do_not_fit_are_errors(dates_run, pair_of_runs):
    dates, pairs = str(dates_run.folder), str(pair_of_runs[0].folder)
    with pytest.raises(UserError, match="trained on the same data"):
        translation.main([dates, pairs])
    with pytest.raises(UserError, match="received .* twice"):
        translation.main([dates, dates])
    with pytest.raises(UserError, match="name OTHER_RUN"):
        translation.main([dates, "--plot", "by_length.png"])


@pytest.mark.slow
def test_errors_of_the_program_have_no_traceback(tmp_path):
    words = [sys.executable, FOLDER / "translation.py", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds(120))
    assert done.returncode == 1
    assert f"{tmp_path} is no run's folder" in done.stderr
    assert "Traceback" not in done.stderr


# Speed


@pytest.fixture(scope="module")
def speed():
    return load_benchmark("translation_speed")


@pytest.mark.slow
def test_speed_runs(speed, tmp_path, capsys):
    speed.main(["--quick", "--json", str(tmp_path / "speed.json")])
    report = json.loads((tmp_path / "speed.json").read_text("utf-8"))
    printed = capsys.readouterr().out
    forms = [("ours", "plain"), ("ours", "XLA"), ("loop", "plain"), ("loop", "XLA")]
    found = {(row["who"], row["form"]): row for row in report["decoding"]}
    assert list(found) == [*forms, ("one by one", "plain")]
    for row in found.values():
        each = 1e3 * row["sentences"] / row["ms"]
        ratio = each / found["loop", "plain"]["sentences_per_second"]
        assert row["sentences_per_second"] == pytest.approx(each)
        assert row["against_loop"] == pytest.approx(ratio)
        assert f"{each:.1f}" in printed
    found = {(row["who"], row["form"]): row for row in report["training"]}
    assert {who for who, _ in found} == {"ours", "keras"} and len(found) == 4
    for (_, form), row in found.items():
        ratio = found["keras", form]["ms"] / row["ms"]
        assert row["against_keras"] == pytest.approx(ratio)
        assert f"{row['ms']:.1f}" in printed
        first, *others = row["first_losses"]
        assert max(others) < first - 1e-3  # Something was learned.
    assert f"product: {report['product_ms']:.1f} ms" in printed


@pytest.mark.slow
def test_a_python_loop_finds_what_the_graph_finds(speed):
    """One beam search, two programs, and neither writes an end."""
    task = speed.task_of(speed.QUICK)
    model, beam = task.build_model(), speed.QUICK.beam
    for vote in model.get_layer("decoder").votes:
        vote.kernel.assign(20 * vote.kernel)
    source = speed.tf.constant(speed.random_tokens(speed.QUICK, 6, seed=5))
    tokens = speed.ours(task, model, beam)(source)
    assert tokens.shape == (6, speed.QUICK.steps)
    assert tokens.min() > task.vocabulary.end
    assert len({tuple(row) for row in tokens}) > 3
    alone = speed.one_by_one(speed.loop(task, model, beam))
    np.testing.assert_array_equal(speed.loop(task, model, beam)(source), tokens)
    np.testing.assert_array_equal(alone(source), tokens)
    # It is the beam that decides: one hypothesis alone finds other sentences.
    assert not np.array_equal(speed.loop(task, model, 1)(source), tokens)


@pytest.mark.slow
def test_speed_ends_where_somebody_writes_something_else(speed, monkeypatch):
    loop = speed.loop

    def other(task, model, beam, jit=False):
        run = loop(task, model, beam, jit)
        return lambda source: run(source)[:, ::-1]

    monkeypatch.setattr(speed, "loop", other)
    with pytest.raises(SystemExit, match="loop plain writes something else"):
        speed.measure_decoding(speed.QUICK, repeats=1)


@pytest.mark.parametrize("other", [[3.001, 2.0, 1.0], [3.0, 2.01, 1.0]])
def test_speed_ends_where_somebody_learns_something_else(speed, monkeypatch, other):
    def trainers(sizes):
        losses = {("ours", "plain"): [3.0, 2.0, 1.0], ("keras", "plain"): found}
        return {name: iter(values).__next__ for name, values in losses.items()}

    monkeypatch.setattr(speed, "trainers", trainers)
    monkeypatch.setattr(speed, "medians", lambda runs, **rounds: dict.fromkeys(runs, 1))
    found = [3.00009, 2.0009, 1.0]
    assert len(speed.measure_training(speed.QUICK)) == 2
    found = other
    with pytest.raises(SystemExit, match="keras plain has other losses"):
        speed.measure_training(speed.QUICK)
