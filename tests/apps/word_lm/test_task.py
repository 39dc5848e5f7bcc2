"""Scores, ranks and continuations, from a run and from its export."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import UserError
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.word_lm import APP, data, vocabulary

from ...groups import of_apps


@pytest.fixture(**of_apps("word_lm"))
def name(request):
    return request.param


GOOD = "the cat , which already saw the old boats , was hungry ."
BAD = "the cat , which already saw the old boats , were hungry ."


def test_tiny_reaches_what_its_docstring_claims(run):
    assert run.metrics["agreement_percent"] >= 90
    assert run.metrics["nats"] < 1.76
    assert run.metrics["perplexity"] == pytest.approx(math.exp(run.metrics["nats"]))
    assert run.metrics["unknown_percent"] == 0
    assert run.metrics["vocabulary"] == 99


def score(run, lines):
    return run.predict(lines, signature="score")


def test_the_lectures_pair_comes_out_right(run):
    """A clause with nouns of no number stands between the subject and its verb."""
    clause = "which already ate a bunch of food"
    was_cat, were_cat, was_cats, were_cats = (
        answer["log_prob"]
        for answer in score(
            run,
            [
                f"the {subject}, {clause}, {verb} full"
                for subject in ("cat", "cats")
                for verb in ("was", "were")
            ],
        )
    )
    assert was_cat > were_cat
    assert were_cats > was_cats


def by_hand(run, line):
    """ln p of each word of a line and of <EOS>, from the definition: every word by a
    run through all that stands before it."""
    words = run.assets
    ids = [words.end, *words.ids(line), words.end]
    response = []
    for t in range(1, len(ids)):
        inputs = {
            "tokens": np.array([ids[:t]], np.int32),
            "reset": np.zeros((1, t), bool),
            "level_0_h": np.zeros((1, 64), np.float32),
            "level_0_c": np.zeros((1, 64), np.float32),
        }
        logits = np.array(run.model(inputs)["logits"])[0, -1].astype(np.float64)
        response.append(logits[ids[t]] - np.log(np.sum(np.exp(logits))))
    return response


def test_a_score_is_the_sum_over_words_and_the_end(run, tmp_path):
    lines = [GOOD, "the dog", "an unheard zebra .", GOOD + " " + GOOD * 9]
    (tmp_path / "lines.txt").write_text("\n".join([*lines, "", "  "]))
    kind = run.task.signature("score").kinds["text"]
    scores = score(run, kind.values(tmp_path / "lines.txt"))
    assert [answer["line"] for answer in scores] == lines
    for line, answer in zip(lines[:3], scores, strict=False):
        expected = by_hand(run, line)
        assert answer["log_prob"] == pytest.approx(sum(expected), rel=1e-4)
        assert answer["length"] == len(expected)
        assert answer["perplexity"] == pytest.approx(
            math.exp(-sum(expected) / len(expected)), rel=1e-4
        )
    assert [answer["unknown"] for answer in scores[:3]] == [0, 0, 3]
    assert scores[3]["log_prob"] < scores[0]["log_prob"]


def test_scores_are_what_evaluate_measures(run):
    text = data.sentences([[GOOD, BAD]], run.config)
    scores = score(run, [GOOD, BAD])
    nats = -sum(answer["log_prob"] for answer in scores)
    tokens = sum(answer["length"] for answer in scores)
    figures = run.evaluate(text)
    assert figures["tokens"] == tokens
    assert figures["nats"] == pytest.approx(nats / tokens, rel=1e-4)


def test_the_likelier_has_the_higher_score(run):
    shuffled = "hungry . the boats were old cat the already saw which , was ,"
    answers = score(run, [shuffled, BAD, GOOD])
    ranked = sorted(answers, key=lambda answer: -answer["rank_score"])
    assert [answer["line"] for answer in ranked] == [GOOD, BAD, shuffled]
    shown = [run.task.show(answer) for answer in ranked]
    assert [line.split(maxsplit=5)[5] for line in shown] == [s["line"] for s in ranked]
    assert [float(line.split()[0]) for line in shown] == [
        pytest.approx(s["rank_score"], abs=0.01) for s in ranked
    ]


def test_unknown_words_share_their_probability():
    """Untrained, every token has the same probability, <UNK> too."""
    task = APP.task_for(
        APP.presets["tiny"](), vocabulary.words(["a", "b"], "spaces", rare=50)
    )
    model = task.build_model()
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    answerer = Answerer(task, model)
    lines = ["a b", "a zebra"]
    known, unknown = answerer.answers(lines, task.Options(), "score")
    assert known["log_prob"] == pytest.approx(-3 * math.log(4))
    assert unknown["log_prob"] == pytest.approx(-3 * math.log(4))
    assert known["rank_score"] == known["log_prob"]
    difference = unknown["log_prob"] - unknown["rank_score"]
    assert difference == pytest.approx(math.log(50), rel=1e-5)
    assert (known["unknown"], unknown["unknown"]) == (0, 1)


def test_continuations_are_sentences(run):
    prompts = ["the cat , which", "", "the dog was old .\nthe cats"]
    some = run.predict(prompts, temperature=0, length=40)
    for answer, prompt in zip(some, prompts, strict=True):
        assert answer["prompt"] == prompt and answer["ok"]
        assert answer["continuation"].endswith(".")
        assert "<EOS>" not in answer["continuation"]
        assert answer["length"] < 40
    (longer,) = run.predict(prompts[:1], temperature=0, length=40, stop=False)
    assert longer["length"] == 40
    assert longer["continuation"].startswith(some[0]["continuation"] + " <EOS>")


def test_a_line_break_ends_a_sentence(run):
    """In the graph; one at the end of a prompt, as files have it, does not."""
    options = {"temperature": 0, "length": 12}
    prompts = ["the dog was old .\nthe cats", "the dog was old . <EOS> the cats"]
    prompts += ["the cats\n\n", "the cats"]
    answers = run.predict(prompts, **options)
    texts = [answer["continuation"] for answer in answers]
    assert texts[0] == texts[1] and texts[2] == texts[3]
    assert [answer["prompt"] for answer in answers[2:]] == ["the cats"] * 2
    encode = run.answerer.function("encode", run.task.Options())
    ids = encode(text=tf.constant(prompts))["tokens"].numpy()
    np.testing.assert_array_equal(ids[0], ids[1])
    np.testing.assert_array_equal(ids[2], ids[3])
    assert (ids[0] == run.assets.end).sum() == 2 < len(ids[0])


def test_a_draw_depends_on_its_seed_alone(run):
    alone = run.predict(["the cat"], seed=3)[0]["continuation"]
    together = run.predict(["the old dog", "the cat"], seed=3)
    assert together[1]["continuation"] == alone
    assert "".join(run.stream("the cat", seed=3)) == f"the cat {alone}"
    seeds = {run.predict(["the cat"], seed=s)[0]["continuation"] for s in (1, 2, 3)}
    assert len(seeds) > 1


def test_what_is_shown_is_the_prompt_and_its_continuation(run):
    (answer,) = run.predict(["the cat"])
    assert run.task.show(answer) == f"the cat {answer['continuation']}"
    # Chinese words do not stand apart.
    assert run.task.show({"prompt": "历史", "continuation": "重演"}) == "历史重演"
    assert run.task.show({"prompt": "", "continuation": "the"}) == "the"


def test_a_missing_file_spoils_no_other(run, tmp_path):
    for signature in ("serving_default", "score"):
        answers = run.predict([tmp_path / "none", "the cat"], signature)
        assert [answer["ok"] for answer in answers] == [False, True]
        assert "No such file" in answers[0]["error"]
    with pytest.raises(UserError, match="No such file"):
        list(run.stream(tmp_path / "none"))


def test_export_scores_and_steps_alike(run, signatures):
    lines = [GOOD, BAD, "", "an unheard zebra"]
    response = signatures["score"](text=tf.constant(lines))
    here = score(run, lines)
    for key in ("log_prob", "length", "unknown", "rank_score"):
        got = response[key].numpy()
        np.testing.assert_allclose(got, [s[key] for s in here], rtol=1e-4)
    assert response["length"][2] == 1  # <EOS> alone

    # What each token adds to the text: the parts joined are the text.
    sentence = "the cat has slept, it seems."
    ids = signatures["encode"](text=tf.constant([sentence]))["tokens"].numpy()[0, 1:]
    before = np.array([-1, *ids[:-1]], np.int32)
    parts = signatures["decode"](before=tf.constant(before), token=tf.constant(ids))
    whole = run.assets.decode(ids[None]).numpy()[0]
    assert b"".join(parts["text"].numpy()) == whole

    # The score again, a step at a time.
    coded = signatures["encode"](text=tf.constant([GOOD]))["tokens"].numpy()[0]
    ids = coded[: len(GOOD.split()) + 1]
    assert ids[0] == run.assets.end
    states = {name: tf.ones([1, 64]) for name in ("level_0_h", "level_0_c")}
    total = 0.0
    for t, target in enumerate([*ids[1:], run.assets.end]):
        states = signatures["step"](
            token=tf.constant(ids[t : t + 1]), reset=tf.constant([t == 0]), **states
        )
        total += float(tf.nn.log_softmax(states.pop("logits"))[0, target])
        assert states.pop("ok")
    assert total == pytest.approx(here[0]["log_prob"], rel=1e-4)


def test_export_continues_as_the_run_does(run, trained):
    prompts = ["the cat , which", "", "\xff"]
    loaded = trained.loaded_export
    assert loaded.predict(prompts, seed=1) == run.predict(prompts, seed=1)
    with pytest.raises(UserError, match="answers as it was exported; received stop"):
        loaded.predict(prompts, stop=False)
    for prompt, more in ((prompts[0], {}), ("历史\n", {"stop": False})):
        options = {"seed": 1, "length": 9, **more}
        assert "".join(loaded.stream(prompt, **options)) == "".join(
            run.stream(prompt, **options)
        )


def test_other_data_is_read_in_the_runs_words(run, tmp_path):
    (tmp_path / "a.txt").write_text("the cat was hungry .\nthe zebra was hungry .\n")
    config = APP.Config(data=str(tmp_path / "a.txt"), split="50/50")
    figures = run.evaluate(APP.task_for(config).read().test)
    assert figures["tokens"] == 6
    assert figures["unknown_percent"] == pytest.approx(100 / 6)


def test_a_model_of_one_hot_words_and_two_levels():
    words = vocabulary.words(["a", "b"], "spaces", rare=0)
    config = APP.Config(embedding=0, tied=False, levels=2, units=4)
    keras.utils.set_random_seed(0)
    task = APP.task_for(config, words)
    answerer = Answerer(task, task.build_model())
    (answer,) = answerer.answers(["a b a"], task.Options(), "score")
    assert answer["length"] == 4 and -12 < answer["log_prob"] < 0
