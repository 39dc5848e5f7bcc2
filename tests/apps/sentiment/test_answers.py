"""What a verdict says of itself: occlusion, several labels, a language model before."""

import json

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.char_lm import APP as CHAR_LM
from saccade.apps.core.data.rows import Examples
from saccade.apps.core.errors import ConfigError, UserError
from saccade.apps.core.report import html, plot
from saccade.apps.sentiment import APP, explain
from saccade.apps.sentiment.config import Config

from ...groups import of_apps

SECONDS = {"embedding": 8, "units": 8, "steps": 120, "rounds": 1, "learning_rate": 0.02}


@pytest.fixture(**of_apps("sentiment"))
def name(request):
    return request.param


def counts(inputs):
    """Class 1 is as likely as many tokens 5 there are, of ten."""
    share = tf.reduce_sum(tf.cast(inputs["tokens"] == 5, tf.float32), axis=1) / 10
    return tf.stack([1 - share, share], axis=1)


def test_occlusion_leaves_one_token_out_and_so_far_ends_the_text():
    tokens = tf.constant([[5, 6, 5, 3, 0], [5, 3, 0, 0, 0], [3, 0, 0, 0, 0]])
    inputs = {"tokens": tokens}
    found = explain.by_token(counts, inputs, counts(inputs))
    after = found["after"].numpy()
    np.testing.assert_allclose(after[0, :4, 1], [0.1, 0.1, 0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(after[0, :4].sum(axis=-1), 1, atol=1e-6)
    assert not after[tokens == 0].any()
    # Class 0 is likelier, and without a 5 still more: so a 5 makes it less sure.
    odds = np.log([0.8 / 0.2, 0.9 / 0.1])
    expected = [odds[0] - odds[1], 0, odds[0] - odds[1], 0, 0]
    np.testing.assert_allclose(found["occlusion"][0], expected, atol=1e-4)
    np.testing.assert_allclose(found["occlusion"][2], np.zeros(5), atol=1e-6)


def test_variants_are_read_in_chunks():
    tokens = np.random.default_rng(0).integers(4, 8, [9, 17]).astype(np.int32)
    tokens[:, -1] = 3
    inputs = {"tokens": tf.constant(tokens)}
    found = explain.by_token(counts, inputs, counts(inputs))
    for row, t in ((0, 0), (4, 9), (8, 15)):
        alone = {"tokens": np.delete(tokens[row : row + 1], t, axis=1)}
        likeliest = int(np.argmax(counts(inputs)[row]))
        p, q = counts(inputs)[row, likeliest], counts(alone)[0, likeliest]
        expected = explain.log_odds(p) - explain.log_odds(q)
        np.testing.assert_allclose(found["occlusion"][row, t], expected, atol=1e-4)


def test_an_explained_answer_is_the_answer(run):
    texts = ["the room is not bad and the staff is good .", "bad .", "bad"]
    plain = run.predict(texts)
    for answer, told in zip(plain, run.predict(texts, "explain"), strict=True):
        assert told["label"] == answer["label"]
        last = answer["tokens"].index("<end>")
        np.testing.assert_allclose(
            told["after"][last], answer["probabilities"], atol=1e-5
        )
        assert not np.any(told["after"][last + 1 :])


def test_an_explained_answer_shows_the_words_that_count_most(run):
    (answer,) = run.predict(["the room is not bad ."], "explain")
    occlusion = dict(zip(answer["tokens"], answer["occlusion"], strict=True))
    del occlusion["<end>"]
    words = sorted(occlusion, key=lambda word: -abs(occlusion[word]))[:3]
    expected = ", ".join(f"{word} {occlusion[word]:+.2f}" for word in words)
    plain = f"{answer['label']}  ({answer['score']:.2f})"
    assert run.task.show(answer) == f"{plain}; what counts most: {expected}"
    panels = run.task.panels([{"text": "the room is not bad ."}], [answer])
    assert panels[0][0].startswith(f"{plain}: ")


def test_labels_that_the_run_does_not_know_are_named(run, caplog):
    figures = run.measure(Examples(text=["bad", "nice"], label=["negative", "odd"]))
    assert figures["accuracy"] <= 50
    assert "labels that were not in training" in caplog.text
    assert "right there: 'odd' (1)." in caplog.text


def test_a_blank_text_has_no_verdict(run):
    for signature in ("serving_default", "explain"):
        blank, text = run.predict([" \n", "bad"], signature)
        assert not blank["ok"] and blank["label"] == ""
        assert "the text is empty or white space" in blank["error"]
        assert text["ok"] and text["label"]


def test_tokens_stand_where_they_say(run):
    text = "The ROOM  isn't bad 😀!"
    (answer,) = run.predict([text])
    pieces = [t for t in answer["tokens"] if t not in ("", "<end>")]
    places = zip(answer["start"], answer["end"], strict=True)
    assert [text[a:b] for a, b in places][: len(pieces)] == pieces
    assert "".join(pieces) == text.replace(" ", "")
    assert answer["start"][len(pieces)] == len(text)


def test_a_threshold_leaves_the_unsure_without_a_label(run):
    texts = ["the", "the room is not bad and the staff is good ."]
    scores = [answer["score"] for answer in run.predict(texts)]
    between = sum(scores) / 2
    answers = run.predict(texts, threshold=between)
    assert [bool(a["label"]) for a in answers] == [s >= between for s in scores]
    flat = run.predict(texts, temperature=1000.0)
    assert max(answer["score"] for answer in flat) < 0.51
    with pytest.raises(ConfigError, match="temperature: expected a number above 0"):
        run.predict(texts, temperature=0.0)


def test_pictures_and_pages_show_every_character(run, tmp_path):
    texts = ["the room is <b>not</b> bad", "语 😀"]
    answers = run.predict(texts, "explain")
    page = run.page([{"text": t} for t in texts], answers)
    assert page.startswith("<!DOCTYPE html>") and "<b>" not in page
    assert "src=" not in page and "http" not in page
    run.draw([{"text": t} for t in texts], answers).savefig(tmp_path / "v.png")
    shown = html.spans("a\nb", np.array([0.0, 0.5, 1.0]), np.array([0, 0, 1], bool))
    assert shown.count("<i") == 3 and "<s></s>" in shown and 'c19 u"' in shown
    assert plot.LOW_HIGH(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.01)


def test_several_labels_at_once(tmp_path):
    rows = [
        (text, "|".join(label for label in ("food", "room") if label in text))
        for text in ("food", "room", "food and room", "room or food", "nothing", "all")
        for _ in range(12)
    ]
    lines = [json.dumps({"text": t, "label": v, "part": "train"}) for t, v in rows]
    lines += [
        json.dumps({"text": t, "label": v, "part": "test"}) for t, v in rows[::12]
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    config = Config(
        data=str(tmp_path),
        split_column="part",
        label_separator="|",
        dropout=0.0,
        **SECONDS,
    )
    run = APP.train(config, out=tmp_path / "run")
    assert run.assets.labels == ("food", "room")
    assert run.metrics["accuracy"] == 100 and run.metrics["micro_f1"] == 100
    labels = [answer["label"] for answer in run.predict(["room and food", "nothing"])]
    assert labels == ["food|room", ""]
    assert run.predict(["food"], threshold=1.0)[0]["label"] == ""
    with pytest.raises(ConfigError, match="class_weights: expected none with"):
        Config(label_separator="|", class_weights="balanced")


def test_a_language_model_is_where_training_starts(tmp_path):
    text = "der Raum ist gut .\n" * 40  # 760 characters, 685 of them to learn from
    (tmp_path / "t.txt").write_text(text)
    settings = {"embedding": 8, "units": 8, "levels": 1, "cell": "gru"}
    before = CHAR_LM.train(
        CHAR_LM.Config(
            data=str(tmp_path / "t.txt"),
            steps=2,
            rounds=1,
            batch_size=2,
            window=8,
            **settings,
        ),
        out=tmp_path / "lm",
    )
    rows = ["der Raum,1", "gut ist,0"] * 4
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    config = Config(
        data=str(tmp_path / "t.csv"),
        tokenizer="characters",
        bidirectional=True,
        start_from=str(before.folder),
        split="100/0/0",
        **settings,
    )
    task = APP.task_for(config)
    task = task.learn(task.read().train)
    model = task.build_model()
    task.begin(model)
    known = before.assets.tokenizer
    vectors = before.model.get_layer("embedding").get_weights()[0]
    ours = model.get_layer("embedding").get_weights()[0]
    id_of = task.assets.tokenizer.id_of
    np.testing.assert_array_equal(ours[id_of("m")], vectors[known.id_of("m")])
    cell = model.get_layer("level_0").forward_layer.cell
    for own, learned in zip(
        cell.get_weights(), before.model.get_layer("level_0").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(own, learned)

    for wrong, message in (
        ({"units": 9}, "the same --cell and --units"),
        ({"embedding": 7}, "--embedding 8 as in that run; this model has 7"),
        ({"start_from": str(tmp_path)}, "--start-from expected the folder of a run"),
    ):
        other = APP.task_for(Config(**vars(config) | wrong)).bound(assets=task.assets)
        with pytest.raises(UserError, match=message):
            other.begin(other.build_model())


LECTURE = {
    "topics": {"我爱人工智能": "科技"},
    "victims": {"张三打了李四": "李四", "李四打了张三": "张三"},
}


@pytest.mark.slow
@pytest.mark.parametrize("builtin", LECTURE)
def test_examples_of_the_lectures_that_were_never_learned_from(tmp_path, builtin):
    config = Config(**APP.config.PRESETS["tiny"] | {"builtin": builtin})
    run = APP.train(config, out=tmp_path / "run")
    assert run.metrics["accuracy"] >= 98  # of 100
    answers = run.predict(list(LECTURE[builtin]))
    assert [answer["label"] for answer in answers] == list(LECTURE[builtin].values())
