"""Continuing and measuring texts where the contract of all apps does not say it."""

import dataclasses
import inspect
import json
import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.char_lm import APP, task
from saccade.apps.char_lm.vocabulary import characters as characters_of
from saccade.apps.core.errors import UserError
from saccade.apps.core.run import Run
from saccade.apps.core.tasks import signatures as core_signatures
from saccade.apps.core.tasks.signatures import Answerer

from ...groups import of_apps
from ...machine import seconds


@pytest.fixture(**of_apps("char_lm"))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained Run would take seconds, and nothing here depends on what it learned."""
    new = APP.task_for(APP.presets["hello"]())
    new = new.learn(new.read().train)
    answerer = Answerer(new, new.build_model())
    return Run(APP, answerer, tmp_path_factory.mktemp("run"))


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
    monkeypatch.setattr(core_signatures, "BATCH", 2)
    assert run.predict(prompts, length=8) == at_once
    assert [answer["prompt"] for answer in at_once] == prompts


def test_the_stop_text_may_be_written_as_in_a_shell():
    new = APP.task_for(APP.Config(), characters_of("ab\n\t", with_start=False))
    assert new.stop_tokens(APP.Options(stop="a\\n\\n\\t")) == [1, 3, 3, 4]
    assert new.stop_tokens(APP.Options()) == []
    with pytest.raises(UserError, match="never seen"):
        new.stop_tokens(APP.Options(stop="a?"))


def test_a_stop_text_that_cannot_be_written_is_an_error(run):
    for answer in (run.predict, lambda some, **o: list(run.stream(*some, **o))):
        with pytest.raises(UserError, match="'x', of which it has never seen"):
            answer(["hel"], stop="x")


def test_a_stream_is_the_prompt_and_the_text_as_it_comes(run, tmp_path):
    options = {"length": 150, "seed": 3}
    (answer,) = run.predict(["hello"], **options)
    parts = list(run.stream("hello", **options))
    assert len(parts) >= 4 and parts[0] == "hello"
    assert "".join(parts[1:]) == answer["continuation"]
    assert "".join(parts) == run.task.show(answer)

    files = [tmp_path / "gone.txt", tmp_path / "a.txt"]
    files[1].write_text("hello")
    assert list(run.stream(files[1], **options)) == parts
    with pytest.raises(UserError, match="gone.txt: .* No such file"):
        list(run.stream(files[0], **options))


def test_a_text_has_a_score(run, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    texts = ["hello", tmp_path / "a.txt", "", tmp_path / "gone.txt"]
    answers = run.predict(texts, signature="score")
    assert [answer["ok"] for answer in answers] == [True, True, True, False]
    assert answers[0] == answers[1]
    assert (answers[0]["text"], answers[0]["length"]) == ("hello", 5)
    perplexity = math.exp(-answers[0]["log_prob"] / 5)
    assert answers[0]["perplexity"] == pytest.approx(perplexity)
    assert run.task.show(answers[0]) == (
        f"log p {answers[0]['log_prob']:.2f} of 5 characters, "
        f"perplexity {perplexity:.2f}"
    )
    assert (answers[2]["log_prob"], answers[2]["length"]) == (0, 0)
    assert "No such file" in answers[3]["error"] and answers[3]["log_prob"] == 0


def test_evaluate_gives_the_loss_in_three_units(run):
    response = run.evaluate()
    documents = run.task.read().test
    test = run.task.text(documents)
    tokens = test.ids[None]
    reset = np.arange(len(test))[None] == 0
    states = {"level_0_h": np.zeros((1, 16), "float32")}
    logits = run.model({"tokens": tokens, "reset": reset, **states})["logits"][0]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(test.ids[1:], logits[:-1])
    np.testing.assert_allclose(response["nats"], np.mean(losses), rtol=1e-4)
    np.testing.assert_allclose(response["bits"], response["nats"] / math.log(2))
    np.testing.assert_allclose(response["perplexity"], math.exp(response["nats"]))
    assert response["measured_on"] == "validation"
    assert response["characters"] == len(documents) == len(losses)
    assert run.metrics == response


def test_other_data_is_measured_in_the_characters_of_the_model(run, tmp_path):
    """Its own ids for the same letters would be another text."""
    (tmp_path / "other.txt").write_text("hello" * 300 + "olleh?" * 100)
    other = APP.task_for(APP.Config(data=str(tmp_path / "other.txt")))
    splits = other.read()
    assert other.learn(splits.train).assets.own != run.assets.own
    text = run.task.text(splits.test)
    end = (b"hello" * 300 + b"olleh?" * 100).decode()[-len(splits.test) :]
    np.testing.assert_array_equal(text.ids[1:], run.assets.ids(end))
    np.testing.assert_array_equal(np.flatnonzero(text.begins), [0])
    assert run.evaluate(other.config.data)["nats"] == run.evaluate(splits.test)["nats"]


# Before there was a start


def test_a_run_without_a_start_answers_as_before(run, tmp_path):
    """What older versions have left: units by another name, no start, and weights of a
    network that knows none."""
    old = characters_of("helo", with_start=False)
    assert APP.task_for(run.config).assets_from_json(old.to_json()).start is None
    task_without = APP.task_for(run.config, old)
    model = task_without.build_model()
    model.save(tmp_path / "model.keras")
    settings = dataclasses.asdict(run.config) | {"units_rnn": run.config.units}
    del settings["units"], settings["start"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "assets.json").write_text('{"characters": "helo"}')

    loaded = APP.load(tmp_path)
    assert loaded.config.units == run.config.units and loaded.assets.start is None
    assert loaded.model.count_params() == run.model.count_params() - 16
    for got, expected in zip(
        loaded.model.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    scores = loaded.predict(["h", "hel"], signature="score")
    assert (scores[0]["log_prob"], scores[0]["length"]) == (0, 1)
    ids = old.ids("hel")[None]
    reset, states = ids == -1, {"level_0_h": np.zeros((1, 16), "float32")}
    logits = model({"tokens": ids, "reset": reset, **states})["logits"][0]
    log_probs = tf.nn.log_softmax(logits).numpy()
    by_hand = log_probs[0, ids[0, 1]] + log_probs[1, ids[0, 2]]
    assert scores[1]["log_prob"] == pytest.approx(by_hand, rel=1e-5)
    (greedy,) = loaded.predict(["hel"], temperature=0.0, length=1)
    assert greedy["continuation"] == "helo"[np.argmax(logits[-1, 1:])]


def test_there_is_no_picture_of_an_answer(run):
    with pytest.raises(UserError, match="char_lm has no picture"):
        run.draw([], [])


def test_an_export_takes_what_a_request_can_hold(trained):
    export = trained.loaded_export
    (short,) = export.predict(["import "], length=5, seed=4, temperature=0.0)
    assert short["length"] == 5
    with pytest.raises(UserError, match="answers as it was exported; received top_k"):
        export.predict(["import "], top_k=3)
    parts = list(export.stream("import ", length=5, temperature=0.0))
    assert parts == ["import ", *short["continuation"]]


def test_the_first_characters_probabilities_sum_to_one(signatures, trained):
    """Those that it knows, and all others as one."""
    texts = [*trained.run.assets.own, "語"]
    log_probs = signatures["score"](text=tf.constant(texts))["log_prob"].numpy()
    assert np.exp(log_probs).sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.processes
def test_the_streaming_client_of_the_docstring_works(export):
    text = inspect.getdoc(task)
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
