"""The command line: what it passes on, what it prints, what it refuses."""

import functools
import json
import os
import pathlib

import matplotlib.figure
import numpy as np
import pytest
import typer.testing

from saccade import apps
from saccade.apps import load_config_module
from saccade.apps.cli import cli, loading, main
from saccade.apps.cli.requests import Words, read_requests
from saccade.apps.core.errors import UserError
from saccade.apps.core.report import plot


class FakeRun:
    """Of captioning: its task, and a model that repeats what it is asked."""

    folder = "runs/captioning/one"
    metrics = {"exact_match": 50.0, "decode": "greedy"}
    streams = False
    received = None

    @functools.cached_property
    def task(self):
        app = apps.load("captioning")
        return app.task_for(app.Config())

    def evaluate(self, data=None, **options):
        FakeRun.received = (data, options)
        return self.metrics

    def predict(self, requests, signature="serving_default", **options):
        names = [str(request["image"]) for request in requests]
        FakeRun.received = (names, signature, options)
        answers = []
        for i, name in enumerate(names):
            answers.append({"caption": f"said {name}", "score": -0.5 - i, "ok": True})
            if "bad" in name:
                answers[-1] |= {"ok": False, "error": "is broken"}
        return answers

    def draw(self, requests, answers):
        figure = matplotlib.figure.Figure()
        figure.suptitle(f"{len(requests)} of {len(answers)}")
        return figure

    def export(self, to="saved_models", labels=()):
        FakeRun.received = (to, labels)
        return f"{to}/captioning/1"

    def inspect(self, path, out=None):
        FakeRun.received = (path, out)
        return {"units": 3}


class FakeApp:
    trained = loaded = described = None

    def __init__(self, name="captioning"):
        self.Config = apps.load(name).Config
        self.task_for = apps.load(name).task_for

    def train(self, config, out, resume, strategy):
        FakeApp.trained = (config, out, resume, strategy)
        return FakeRun()

    def load(self, folder):
        FakeApp.loaded = folder
        return FakeRun()

    def describe_data(self, config):
        FakeApp.described = config
        return {"pictures": 3}


@pytest.fixture
def saccade(monkeypatch):
    """Run the command line against a fake app; returns typer's result."""
    monkeypatch.setattr(loading, "load", FakeApp)

    def call(*arguments, **options):
        return typer.testing.CliRunner().invoke(cli, list(arguments), **options)

    return call


def test_train_passes_the_apps_options_on(saccade):
    done = saccade(
        "train", "captioning", "--preset", "tiny", "--cell=gru", "--steps", "7", "--jit"
    )
    assert done.exit_code == 0, done.output
    config, *others = FakeApp.trained
    assert (config.cell, config.steps, config.jit) == ("gru", 7, True)
    assert config.image_size == 32  # of the preset
    assert others == [None, False, "none"]
    assert "exact match" in done.output and "50.00" in done.output


def test_the_same_command_with_resume_goes_on(saccade, tmp_path):
    folder = tmp_path / "one"
    words = ["train", "captioning", "--minutes=15", "--out", str(folder), "--resume"]
    done = saccade(*words)
    assert done.exit_code == 0, done.output
    assert FakeApp.trained[1:] == (str(folder), True, "none")
    assert "not read again" not in done.stderr
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    done = saccade(*words)
    assert "config.json; not read again: --minutes=15" in done.stderr


def test_train_chooses_the_preset_by_the_data(saccade):
    saccade("train", "captioning")
    assert FakeApp.trained[0].positions  # of the preset default, for drawn scenes
    saccade("train", "captioning", "--data", "somewhere")
    assert FakeApp.trained[0].minutes == 15 and not FakeApp.trained[0].positions


def test_train_help_shows_the_apps_options_and_an_example(saccade):
    shown = saccade("train", "captioning", "--help").output
    assert "--caption-column" in shown and "saccade train captioning --data" in shown


def default_shown(help, flag):
    (row,) = (line for line in help.splitlines() if line.split()[:1] == [flag])
    return row.split()[1]


@pytest.mark.parametrize(
    "words", [[], ["--data", "somewhere"], ["--preset", "tiny", "--rounds=9"]]
)
def test_train_help_shows_what_the_same_words_train_with(saccade, words):
    shown = saccade("train", "captioning", *words, "--help").output
    assert saccade("train", "captioning", *words).exit_code == 0
    config = FakeApp.trained[0]
    for name in ("data", "image_size", "steps", "rounds", "builtin_size"):
        flag = "--" + name.replace("_", "-")
        assert default_shown(shown, flag) == str(getattr(config, name))


def test_data_describes_what_the_same_words_train_with(saccade):
    for words in ([], ["--data=somewhere"], ["--preset", "tiny", "--split=80/10/10"]):
        saccade("data", "captioning", *words)
        saccade("train", "captioning", *words)
        assert FakeApp.described == FakeApp.trained[0]


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
@pytest.mark.parametrize("app", [[], ["captioning"]], ids=["no_app", "app"])
def test_help_shows_inputs_and_options_with_their_defaults(saccade, verb, app):
    shown = saccade(verb, *app, "--help")
    assert shown.exit_code == 0
    options = load_config_module("captioning").Options()
    read, table = shown.output.split("What captioning reads")[1].split(
        "How captioning answers"
    )
    assert "--image" in read and "a picture file" in read
    table = table.split("What ")[0]
    for name, value in vars(options).items():
        assert default_shown(table, "--" + name.replace("_", "-")) == str(value)
    assert f"saccade {verb} captioning" in shown.output and "--beam 5" in shown.output


@pytest.mark.parametrize("verb", ["data", "train", "evaluate", "predict"])
def test_without_an_app_the_help_is_shown_and_the_status_is_2(saccade, verb):
    shown = saccade(verb)
    assert shown.exit_code == 2
    assert f"Example: saccade {verb}" in shown.output


def test_train_says_why_there_are_no_scores(saccade, monkeypatch):
    monkeypatch.setattr(FakeRun, "metrics", {})
    done = saccade("train", "captioning")
    assert done.exit_code == 0
    assert "No scores: the test split is empty." in done.output
    assert f"saccade evaluate captioning {FakeRun.folder} --data" in done.output
    assert f"run: {FakeRun.folder}" in done.output


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "captioning", "--bogus", "1"], "bogus"),
        (["train", "captioning", "--sed=1"], "Did you mean"),
        (["train", "captioning", "--cell=lstn"], "lstm"),
        (["train", "captioning", "--preset=huge"], "tiny, default, demo, pictures"),
        (["train", "captionin"], "captioning"),
        (["predict", "captioning"], "at least one input"),
        (["data", "captioning", "--preset=huge"], "tiny, default, demo, pictures"),
        (["evaluate", "captioning", "--beam=0"], "beam"),
    ],
)
def test_wrong_words_get_an_error_that_helps(saccade, arguments, message):
    refused = saccade(*arguments)
    assert isinstance(refused.exception, UserError)
    assert message in str(refused.exception)


def test_the_console_script_prints_the_error_and_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["saccade", "train", "captioning", "--bogus=1"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_path_that_the_system_refuses_is_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["saccade", "export", "captioning", "x" * 5000])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: File name too long: xxx")


def test_an_app_in_the_place_of_a_verb_gets_a_hint(saccade):
    refused = saccade("captioning", "--help")
    assert refused.exit_code == 2
    assert "a verb comes first, as in" in refused.output
    assert "saccade train captioning" in refused.output


def test_ctrl_c_says_how_to_go_on(saccade, monkeypatch):
    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeApp, "train", interrupted)
    stopped = saccade("train", "captioning")
    assert stopped.exit_code == 130
    assert "--resume" in stopped.output


def test_evaluate_takes_a_run_and_options_of_an_answer(saccade, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = saccade("evaluate", "captioning", str(tmp_path), "--beam", "3", "--json")
    assert FakeApp.loaded == str(tmp_path)
    assert FakeRun.received == (None, {"beam": 3})
    assert json.loads(done.stdout)["decode"] == "greedy"


def test_of_figures_of_many_labels_the_first_are_shown(saccade, monkeypatch):
    confusion = {f"<{i}>": {"right": 1} for i in range(23)}
    monkeypatch.setattr(FakeRun, "metrics", {"confusion": confusion})
    shown = saccade("evaluate", "captioning").output
    assert "<19>" in shown and "<20>" not in shown
    assert "and 3 more, see --json of `saccade evaluate`" in shown
    whole = json.loads(saccade("evaluate", "captioning", "--json").stdout)
    assert whole["confusion"] == confusion


def test_export_takes_a_run_a_folder_and_labels(saccade):
    done = saccade("export", "captioning", "--to", "there", "--labels", "a, b")
    assert FakeRun.received == ("there", ["a", "b"])
    assert done.stdout == "exported: there/captioning/1\n"


def test_what_an_export_cannot_do_is_an_error(saccade, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    folder = str(tmp_path)
    for arguments in (
        ["evaluate", "captioning", folder],
        ["export", "captioning", folder],
    ):
        refused = saccade(*arguments)
        assert isinstance(refused.exception, UserError)
        assert "received the export" in str(refused.exception)
    assert saccade("predict", "captioning", folder, "x.png").exit_code == 0
    assert FakeApp.loaded == folder


def test_every_verb_shows_an_example_that_begins_with_it(saccade):
    for command in cli.registered_commands:
        verb = command.name or command.callback.__name__
        shown = saccade(verb, "--help")
        assert shown.exit_code == 0
        assert f"Example: saccade {verb}" in shown.output


def test_starting_noise_is_hidden_unless_the_start_fails(monkeypatch, capfd):
    def noisy(name):
        os.write(2, b"noise of C++")
        if name == "broken":
            raise ImportError("no such library")

    monkeypatch.setattr(loading, "load", noisy)
    loading.load_quietly("captioning")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError):
        loading.load_quietly("broken")
    os.write(2, b", and after")
    assert capfd.readouterr().err == "noise of C++, and after"


def test_predict_takes_files_patterns_and_standard_input(
    saccade, tmp_path, monkeypatch
):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    saccade("predict", "captioning", "x.png", "*.png", "-", input="y.png\n\nz.png\n")
    assert FakeApp.loaded is None
    assert FakeRun.received[0] == ["x.png", "a.png", "b.png", "y.png", "z.png"]


def test_predict_prints_a_line_per_input_and_fails_for_bad_ones(
    saccade, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("bad.png").write_bytes(b"no picture")
    inputs = ["bad.png", "bad-*.png", "good.png"]
    # The first plain word would be the run, were it the folder of one.
    done = saccade("predict", "captioning", *inputs)
    assert FakeRun.received[0] == inputs
    assert done.stdout == "good.png: said good.png  (-2.50)\n"
    assert done.stderr.splitlines() == ["bad.png: is broken", "bad-*.png: is broken"]
    assert done.exit_code == 1
    assert saccade("predict", "captioning", "good.png").exit_code == 0


def test_only_the_folder_of_a_run_is_taken_for_a_run(saccade, tmp_path):
    (tmp_path / "pictures").mkdir()
    saccade("predict", "captioning", str(tmp_path / "pictures"))
    assert FakeRun.received[0] == [str(tmp_path / "pictures")]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("{}")
    saccade("predict", "captioning", str(tmp_path / "run"), "a.png")
    assert FakeApp.loaded == str(tmp_path / "run")
    assert FakeRun.received[0] == ["a.png"]


def test_an_input_has_an_option_by_its_name(saccade):
    saccade("predict", "captioning", "--image", "a.png", "--image=b.png", "--beam=2")
    assert FakeRun.received == (["a.png", "b.png"], "serving_default", {"beam": 2})
    refused = saccade("predict", "captioning", "--image", "a.png", "b.png")
    assert "Expected --image once, as an option or by files" in str(refused.exception)
    refused = saccade("predict", "captioning", "--image")
    assert "as in --image VALUE; received none" in str(refused.exception)


def test_a_file_with_brackets_in_its_name_is_no_pattern(saccade, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("cat[1].png").write_bytes(b"")
    saccade("predict", "captioning", "cat[1].png")
    assert FakeRun.received[0] == ["cat[1].png"]


def test_predict_json_has_an_answer_per_line(saccade):
    lines = saccade("predict", "captioning", "a", "b", "--json").stdout.splitlines()
    answers = [{"caption": f"said {n}", "ok": True} for n in "ab"]
    for line, answer, score in zip(lines, answers, (-0.5, -1.5), strict=True):
        assert json.loads(line) == answer | {"score": score}


def test_a_table_goes_in_and_one_comes_out(saccade, tmp_path):
    (tmp_path / "in.csv").write_text("image,note\na.png,1\nbad.png,2\n")
    words = ["--table", str(tmp_path / "in.csv"), "--to", str(tmp_path / "out.csv")]
    done = saccade("predict", "captioning", *words)
    assert done.exit_code == 1 and "written:" in done.stderr
    a, bad = (str(tmp_path / name) for name in ("a.png", "bad.png"))
    assert FakeRun.received[0] == [a, bad]  # relative to the table
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "note,image,caption,score,ok,error",
        f"1,{a},said {a},-0.5,true,",
        f"2,{bad},said {bad},-1.5,false,is broken",
    ]
    assert f"{tmp_path / 'in.csv'}, line 3: is broken\n" in done.stderr
    refused = saccade("predict", "captioning", "a.png", *words)
    assert "--table holds the requests" in str(refused.exception)
    (tmp_path / "in.csv").write_text("picture\na.png\n")
    refused = saccade("predict", "captioning", *words)
    message = "expected a column 'image' (called so, for the input --image); the "
    assert message + "columns are: picture." in str(refused.exception)


def test_a_column_that_is_called_as_a_part_of_the_answer_is_kept(saccade, tmp_path):
    (tmp_path / "in.csv").write_text("ok,caption,given_caption,image\nno,x,y,a\n")
    words = ["--table", str(tmp_path / "in.csv"), "--to", str(tmp_path / "out.jsonl")]
    assert saccade("predict", "captioning", *words).exit_code == 0
    image = str(tmp_path / "a")
    answer = {"caption": f"said {image}", "score": -0.5, "ok": True}
    others = {"given_ok": "no", "given_caption": "x", "given_given_caption": "y"}
    written = json.loads((tmp_path / "out.jsonl").read_text())
    assert written == {**others, "image": image, **answer}
    done = saccade("predict", "captioning", *words[:2], "--json")
    assert json.loads(done.stdout) == others | answer


def test_a_table_without_rows_gives_one_without_rows(saccade, tmp_path):
    (tmp_path / "in.csv").write_text("image\n")
    words = ["--table", str(tmp_path / "in.csv"), "--to", str(tmp_path / "out.jsonl")]
    assert saccade("predict", "captioning", *words).exit_code == 0
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_of_many_failures_the_first_are_named(saccade, tmp_path):
    words = [f"bad{i}" for i in range(23)]
    done = saccade("predict", "captioning", *words, "--to", str(tmp_path / "out.csv"))
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines[:20] == [f"bad{i}: is broken" for i in range(20)]
    assert lines[20] == "and 3 more without an answer"


@pytest.mark.parametrize(
    "app, words, message",
    [
        ("captioning", ["--to=a.txt"], "--to expected a file with the ending .csv, "),
        ("captioning", ["--to=a"], ".tsv or .jsonl; received a."),
        ("captioning", ["--plot=a.doc"], "--plot expected a file with the ending .eps"),
        ("captioning", ["--plot=png"], "received png."),
        ("captioning", ["--plot=a.html"], "received a.html"),
        ("sentiment", ["--plot=a.doc"], ".html or .htm; received a.doc."),
        ("dna", ["--to=a.txt"], ".csv, .tsv, .jsonl, .fasta, .fa or .fna; received"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error_before_a_model_is_loaded(
    saccade, monkeypatch, app, words, message
):
    monkeypatch.setattr(FakeApp, "load", None)
    refused = saccade("predict", app, "x.png", *words)
    assert isinstance(refused.exception, UserError)
    assert message in str(refused.exception)


def test_answers_are_sorted_by_a_figure(saccade):
    done = saccade("predict", "captioning", "a", "bad", "c", "--sort", "score")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["a", "c"]
    words = ["predict", "captioning", "a", "bad", "c", "--sort=score", "--json"]
    lines = [json.loads(line) for line in saccade(*words).stdout.splitlines()]
    assert [line["ok"] for line in lines] == [True, True, False]
    refused = saccade("predict", "captioning", "a", "--sort", "scor")
    assert "one of caption, score, ok; received 'scor'" in str(refused.exception)


def test_answers_are_drawn(saccade, tmp_path):
    file = tmp_path / "looked.png"
    done = saccade("predict", "captioning", "a.png", "--plot", str(file))
    assert file.exists() and f"drawn: {file}" in done.stderr


def test_an_animation_is_drawn_into_a_gif_and_into_nothing_else(
    saccade, monkeypatch, tmp_path
):
    frames = [np.full((4, 4, 3), grey, np.uint8) for grey in (0, 255)]
    monkeypatch.setattr(FakeRun, "draw", lambda *_: plot.Animation(frames))
    file = tmp_path / "looks.gif"
    saccade("predict", "captioning", "a.png", "--plot", str(file))
    assert file.read_bytes().startswith(b"GIF89a")
    refused = saccade("predict", "captioning", "a.png", "--plot", f"{file}.png")
    assert "expected a file with the ending .gif" in str(refused.exception)
    # Known beforehand, it is said before a model is loaded.
    monkeypatch.setattr(FakeApp, "load", None)
    task = type(apps.load("captioning").task_for(None))
    monkeypatch.setattr(task, "animates", True)
    refused = saccade("predict", "captioning", "a.png", "--plot", "a.png")
    assert "--plot expected a file with the ending .gif; received a.png." == str(
        refused.exception
    )


class FakeWriter(FakeRun):
    """Of an app that reads texts and writes them in parts."""

    streams = True

    def __init__(self, ok=True):
        self.ok = ok

    @functools.cached_property
    def task(self):
        app = apps.load("char_lm")
        return app.task_for(app.Config())

    def stream(self, request, **options):
        FakeRun.received = (request["text"], options)
        if not self.ok:
            raise UserError("there is no such text")
        yield from ("in parts", ", one by one")

    def predict(self, requests, signature="serving_default", **options):
        FakeRun.received = ([r["text"] for r in requests], options)
        return [{"continuation": "語", "ok": self.ok} for _ in requests]

    def draw(self, requests, answers):
        raise UserError("no picture")


@pytest.fixture
def writer(saccade, monkeypatch):
    monkeypatch.setattr(FakeApp, "load", lambda self, folder: FakeWriter())
    return saccade


def test_predict_continues_a_prompt(writer):
    options = ["--prompt", "ROMEO:", "--length", "50", "--top-k=5", "--stop", "\\n"]
    done = writer("predict", "char_lm", *options)
    assert done.stdout == "in parts, one by one\n"
    assert FakeRun.received == ("ROMEO:", {"length": 50, "top_k": 5, "stop": "\\n"})


def test_predict_takes_texts_from_files_and_standard_input(
    writer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        pathlib.Path(name).write_text("text")
    words = ["predict", "char_lm", "gone", "*.txt", "-"]
    done = writer(*words, "--json", input="zwölf\nlines\n")
    assert done.exit_code == 0
    paths = [pathlib.Path(name) for name in ("gone", "a.txt", "b.txt")]
    assert FakeRun.received == ([*paths, "zwölf\nlines\n"], {})
    refused = writer("predict", "char_lm", "-", input=b"\xff")
    assert "no UTF-8" in str(refused.exception)
    done = writer("predict", "char_lm", "a.txt", "b.txt")
    assert done.stdout == (
        "==> a.txt <==\nin parts, one by one\n==> b.txt <==\nin parts, one by one\n"
    )


def test_predict_of_texts_as_json(writer, monkeypatch):
    done = writer("predict", "char_lm", "--prompt", "x", "--json", "--seed=3")
    assert json.loads(done.stdout) == {"continuation": "語", "ok": True}
    assert "語" in done.stdout and FakeRun.received == (["x"], {"seed": 3})
    monkeypatch.setattr(FakeApp, "load", lambda self, folder: FakeWriter(ok=False))
    assert writer("predict", "char_lm", "gone", "--json").exit_code == 1
    failed = writer("predict", "char_lm", "gone")
    assert failed.exit_code == 1 and "there is no such text" in failed.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["char_lm"], "Expected at least one input: --prompt, a file"),
        (["char_lm", "file", "--prompt", "x"], "once, as an option or by files"),
        (["char_lm", "--prompt", "x", "--plot", "x.png"], "no picture"),
        (["char_lm", "--prompt", "x", "--top-p=2"], "top_p: expected a number"),
        (["char_lm", "--prompt", "x", "--beam=2"], "beam"),
        (["captioning", "--prompt", "x"], "received '--prompt'"),
        (["char_lm", "--prmpt", "x"], "received '--prmpt'. Did you mean '--prompt'?"),
    ],
)
def test_a_prompt_with_wrong_words_is_an_error(writer, arguments, message):
    refused = writer("predict", *arguments)
    assert isinstance(refused.exception, UserError)
    assert message in str(refused.exception)


def test_an_input_of_another_signature_names_it():
    task = apps.load("vqa").task_for(apps.load("vqa").Config())
    words = Words(["cat.jpg"], {"question": ["what?"], "choices": ["cat|dog"]})
    with pytest.raises(
        UserError,
        match="--choices belongs to --signature choose; what is asked here reads "
        "--image and --question",
    ):
        read_requests(task.kinds(), words, "", task.readers)


def test_inspect_passes_the_file_on_and_shows_the_facts(saccade, tmp_path, monkeypatch):
    (tmp_path / "text.py").write_text("x")
    monkeypatch.chdir(tmp_path)
    done = saccade("inspect", "char_lm", "text.py")
    assert FakeApp.loaded is None and FakeRun.received == ("text.py", None)
    assert "units" in done.output and "3" in done.output
    saccade("inspect", "char_lm", "run", "text.py", "--out", "cells")
    assert FakeApp.loaded == "run" and FakeRun.received == ("text.py", "cells")
    for words, message in (
        (["gone.py"], "found none at gone.py"),
        (["a", "run", "text.py"], "Expected \\[RUN\\] \\[FILE\\]"),
    ):
        with pytest.raises(UserError, match=message):
            raise saccade("inspect", "char_lm", *words).exception
