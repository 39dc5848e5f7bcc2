"""Continuing and measuring texts where the contract of all apps does not say it."""

import inspect
import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.char_lm import config, data, model, serve
from saccade.apps.core.app import App
from saccade.apps.core.errors import UserError
from saccade.apps.core.run import Run

from ...groups import of_apps
from ...machine import seconds


@pytest.fixture(**of_apps("char_lm"))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained Run would take seconds, and nothing here depends on what it learned."""
    settings = config.hello()
    splits = data.load_data(settings)
    settings, characters = data.learn(settings, splits)
    parts = {"config": config, "data": data, "model": model, "serve": serve}
    app = App("char_lm", "", training=None, **parts)
    built = model.build_model(settings, characters)
    return Run(app, settings, characters, built, tmp_path_factory.mktemp("run"))


def test_prompts_are_texts_bytes_or_files(run, tmp_path):
    (tmp_path / "prompt.txt").write_bytes(b"\xef\xbb\xbfhel\r\n")
    (tmp_path / "bad.txt").write_bytes(b"hel\xff")
    inputs = ["hel", b"hel", tmp_path / "prompt.txt", tmp_path / "bad.txt", tmp_path]
    inputs += [tmp_path / "gone", "", "\udcff"]
    answer = run.predict(inputs, length=9, seed=2)
    assert [s["ok"] for s in answer] == [
        True,
        True,
        True,
        False,
        False,
        False,
        True,
        True,
    ]
    assert answer[0] == answer[1] == run.predict(["hel"], length=9, seed=2)[0]
    assert answer[0]["prompt"] == "hel" and answer[2]["prompt"] == "hel\n"
    for good in (*answer[:3], *answer[6:]):
        assert good["length"] == len(good["continuation"]) == 9
        assert set(good["continuation"]) <= set("helo")
    errors = ["bad.txt, line 1", "is a folder", "No such file"]
    for bad, error in zip(answer[3:6], errors, strict=True):
        assert error in bad["error"] and bad["continuation"] == "" == bad["prompt"]
    assert run.predict([]) == []


def test_many_prompts_are_answered_in_their_order(run, monkeypatch):
    prompts = ["h", "he", "hel", "l" * 70, "o"]
    at_once = run.predict(prompts, length=8)
    monkeypatch.setattr(serve, "BATCH", 2)
    assert run.predict(prompts, length=8) == at_once
    assert [answer["prompt"] for answer in at_once] == prompts


def test_the_stop_text_may_be_written_as_in_a_shell():
    characters = data.Characters("ab\n\t")
    fixed = serve.fixed(characters, config.Decode(stop="a\\n\\n"))
    assert fixed["stop"] == "a\n\n" and fixed["start"] == 3
    assert serve.fixed(data.Characters("ab"), config.Decode())["start"] == 1


def test_the_terminal_shows_the_prompt_and_the_text_as_it_comes(run, tmp_path):
    options = {"length": 150, "seed": 3}
    (answer,) = run.predict(["hello"], **options)
    parts = list(serve.terminal_parts(run, ["hello"], options))
    assert len(parts) > 4 and parts[0] == "hello" and parts[-1] == "\n"
    assert "".join(parts[1:-1]) == answer["continuation"]

    files = [tmp_path / "gone.txt", tmp_path / "a.txt"]
    files[1].write_text("hello")
    shown = []
    with pytest.raises(UserError, match="gone.txt: .* No such file"):
        for part in serve.terminal_parts(run, files, options):
            shown.append(part)
    assert "".join(shown) == f"==> {files[1]} <==\nhello{answer['continuation']}\n"
    with pytest.raises(UserError, match="at least one character"):
        list(serve.terminal_parts(run, [""], options))


def test_evaluate_gives_the_loss_in_three_units(run):
    response = run.evaluate()
    test = data.load_data(run.config).test
    tokens = test.ids[None]
    reset = np.arange(len(test))[None] == 0
    states = {"level_0_h": np.zeros((1, 16), "float32")}
    logits = run.model({"tokens": tokens, "reset": reset, **states})["logits"][0]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(test.ids[1:], logits[:-1])
    np.testing.assert_allclose(response["nats"], np.mean(losses), rtol=1e-4)
    np.testing.assert_allclose(response["bits"], response["nats"] / math.log(2))
    np.testing.assert_allclose(response["perplexity"], math.exp(response["nats"]))
    assert response["measured_on"] == "validation" and response["characters"] == len(
        test
    )
    assert run.metrics == response


def test_other_data_is_measured_in_the_characters_of_the_model(run, tmp_path):
    """Its own ids for the same letters would be another text."""
    (tmp_path / "other.txt").write_text("hello" * 300 + "olleh?" * 100)
    other = str(tmp_path / "other.txt")
    splits = data.load_data(config.Config(data=other))
    assert splits.characters.own != run.assets.own
    examples = serve.test_examples(config.Config(data=other), run.assets)
    end = (b"hello" * 300 + b"olleh?" * 100).decode()[-len(examples) :]
    np.testing.assert_array_equal(examples.ids, run.assets.ids(end))
    np.testing.assert_array_equal(examples.begins, splits.test.begins)
    assert run.evaluate(other)["nats"] == run.evaluate(examples)["nats"]


def test_there_is_no_picture_of_an_answer(run):
    with pytest.raises(UserError, match="char_lm has no picture"):
        run.draw([], [])


def test_an_export_takes_what_a_request_can_hold(trained):
    export = trained.loaded_export
    (short,) = export.predict(["import "], length=5, seed=4, temperature=0.0)
    assert short["length"] == 5
    with pytest.raises(UserError, match="decodes as it was exported; received top_k"):
        export.predict(["import "], top_k=3)
    parts = list(
        serve.terminal_parts(export, ["import "], {"length": 5, "temperature": 0.0})
    )
    assert parts == ["import ", short["continuation"], "\n"]


@pytest.mark.processes
def test_the_streaming_client_of_the_docstring_works(export):
    text = inspect.getdoc(serve)
    begin = text.index("    import sys")
    client = textwrap.dedent(text[begin:])
    done = subprocess.run(
        [sys.executable, "-I", "-c", client, export, "def main(", "30"],
        capture_output=True,
        text=True,
        timeout=seconds(120),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("def main(")
    assert len(done.stdout) == len("def main(") + 30 + 1
