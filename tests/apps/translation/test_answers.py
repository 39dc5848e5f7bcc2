"""What an answer says: the best, the others, the alignment, and how likely."""

import dataclasses
import types

import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.translation import APP, scores
from saccade.apps.translation.config import Config, Options
from saccade.apps.translation.task import Translation, Vocabularies, learn_tokens

from ...groups import of_apps


@pytest.fixture(**of_apps("translation"))
def name(request):
    return request.param


TEXTS = ["28. November 2026", "2026年11月28日", "vrijdag 3 mei 1907"]


# Of what is trained


def test_dates_are_right_and_say_where_they_come_from(trained):
    answers = trained.run.predict(TEXTS)
    right = ["2026-11-28", "2026-11-28", "1907-05-03"]
    got = [answer["translation"] for answer in answers]
    assert sum(a == b for a, b in zip(got, right, strict=True)) >= 2, got
    for text, answer in zip(TEXTS, answers, strict=True):
        assert answer["source_tokens"] == [*text, "<end>"]
        assert answer["tokens"][-1] == "<end>" and answer["ended"]
        assert "".join(answer["tokens"][:-1]) == answer["translation"]
        shape = len(answer["tokens"]), len(answer["source_tokens"])
        assert answer["alignment"].shape == shape
        np.testing.assert_allclose(answer["alignment"].sum(-1), 1, atol=1e-4)
    # The year's last digit is copied from where it stands.
    place = answers[0]["alignment"][3].argmax()
    assert abs(place - TEXTS[0].index("6")) <= 1


def test_a_translation_has_the_probability_that_score_gives_it(trained):
    run = trained.run
    answers = run.predict(TEXTS, n_best=3)
    for text, answer in zip(TEXTS, answers, strict=True):
        requests = [{"text": text, "translation": t} for t in answer["n_best"]]
        scored = run.predict(requests, "score")
        assert scored[0]["log_prob"] == pytest.approx(answer["log_prob"], abs=1e-3)
        for given, rank in zip(scored, answer["n_best_score"], strict=True):
            length = len(given["token_log_prob"])
            assert given["log_prob"] == pytest.approx(
                sum(given["token_log_prob"]), abs=1e-4
            )
            assert rank == pytest.approx(
                given["log_prob"] / ((5 + length) / 6), abs=1e-3
            )
        np.testing.assert_allclose(
            scored[0]["alignment"], answer["alignment"], atol=1e-3
        )


def test_the_others_are_less_likely_and_different(trained):
    (answer,) = trained.run.predict(TEXTS[:1], n_best=5)
    assert answer["n_best"][0] == answer["translation"]
    assert len(set(answer["n_best"])) == 5
    ranks = list(answer["n_best_score"])
    assert ranks == sorted(ranks, reverse=True)
    lines = trained.run.task.show(answer).split("\n")
    assert len(lines) == 5 and lines[4].startswith("    5. ")


def test_a_request_sets_beam_and_length_for_its_row(trained):
    signature = trained.signatures["with_options"]
    rows = {
        "text": tf.constant(TEXTS[:1] * 3),
        "beam": [1, 5, 5],
        "length_penalty": [1.0, 1.0, 1.0],
        "coverage_penalty": [0.0, 0.0, 0.0],
        "length": [0, 0, 4],
    }
    answer = signature(**{name: tf.constant(value) for name, value in rows.items()})
    greedy = trained.run.predict(TEXTS[:1], beam=1)[0]
    assert answer["translation"][0].numpy().decode() == greedy["translation"]
    assert answer["ended"].numpy().tolist() == [True, True, False]
    assert len(answer["translation"][2].numpy()) == 4
    # A row with one hypothesis has no other, and none is shown.
    assert answer["n_best_score"][0, 1] < -1e6 < answer["n_best_score"][1, 1]
    export = trained.loaded_export
    narrow, wide = (export.predict(TEXTS[:1], beam=beam)[0] for beam in (2, 99))
    assert len(narrow["n_best"]) == len(narrow["n_best_score"]) == 2
    assert len(wide["n_best"]) == trained.run.config.serve_beam


def test_what_is_cut_off_is_said(trained):
    (answer,) = trained.run.predict(TEXTS[:1], length=4)
    assert len(answer["translation"]) == 4 and not answer["ended"]
    assert "cut off: no end within --length" in trained.run.task.show(answer)


def test_the_picture_has_both_sentences(trained):
    run = trained.run
    figure = run.draw(TEXTS, run.predict(TEXTS))
    assert len(figure.axes) == 3
    for axes, text in zip(figure.axes, TEXTS, strict=True):
        across = [label.get_text() for label in axes.get_xticklabels()]
        assert "".join(across) == text.replace(" ", "␣") + "<end>"
    titles = [text.get_text() for text in figure.texts]
    for title, text in zip(titles, TEXTS, strict=True):
        assert title.startswith(text) and "→" in title


def test_bytes_and_unknown_words_have_names(trained):
    (answer,) = trained.run.predict(["3. Mai 1951 \N{GRINNING FACE}"])
    assert answer["source_tokens"][-5:] == ["\N{GRINNING FACE}", "·", "·", "·", "<end>"]
    task = untrained()
    request = {"text": "the cat", "translation": "die Zoë"}
    answerer = Answerer(task, task.build_model())
    (scored,) = answerer.answers([request], Options(), "score")
    assert scored["tokens"] == ["die", "<unk>", "<end>"]


def test_a_file_is_a_sentence_a_line(trained, tmp_path):
    path = tmp_path / "dates.txt"
    path.write_text(f"\ufeff{TEXTS[0]}\r\n\n{TEXTS[1]}\n", "utf-8")
    assert trained.app.task_for(trained.run.config).kinds()["text"].values(path) == [
        TEXTS[0],
        TEXTS[1],
    ]


def test_a_long_text_is_drawn_on_one_page(trained):
    text = "28. November 2026 war ein Tag. " * 8
    figure = trained.run.draw([text], trained.run.predict([text]))
    assert figure.get_size_inches()[0] < 26


# Without training


def untrained(**settings):
    """A task of words with a model that nobody trained."""
    config = Config(
        tokenizer="words",
        min_count=1,
        units=4,
        embedding=4,
        attention_units=3,
        max_length=6,
        **settings,
    )
    tokenizers = [
        Tokenizer(words.split()) for words in ("the cat sat", "die katze saß")
    ]
    return Translation(config, Vocabularies(*tokenizers, (4, 8)))


def answered(task, text, ids, looked, **options):
    """`answer` of token ids, and for each where it looked most."""
    alignment = np.eye(8, dtype="float32")[looked][None, None]
    tensors = {
        "tokens": tf.constant([[ids]]),
        "score": tf.constant([[-1.0]]),
        "log_prob": tf.constant([[-1.0]]),
        "alignment": tf.constant(alignment),
    }
    settings = types.SimpleNamespace(replace_unknown=True, **options)
    return task.answer({"text": tf.constant([text])}, tensors, settings)


def test_an_unknown_word_is_copied_from_where_it_looked():
    task = untrained()
    unknown, end = task.vocabulary.unknown, task.vocabulary.end
    katze = task.vocabulary.id_of("katze")
    answer = answered(task, "the Zoë sat", [unknown, katze, unknown, end], [1, 0, 3, 3])
    # The third looked at <end> most, and at nothing else: nothing is copied.
    assert answer["translation"][0].numpy().decode().split() == ["Zoë", "katze", "the"]
    tokens = [t.decode() for t in answer["tokens"][0].numpy()]
    assert tokens == ["Zoë", "katze", "the", "<end>"]


def test_without_copies_no_unknown_word_is_written():
    task = untrained()
    answerer = Answerer(task, task.build_model())
    options = Options(replace_unknown=False, n_best=5)
    answers = answerer.answers(["the cat", "Zoë"], options)
    written = " ".join(text for answer in answers for text in answer["n_best"])
    assert "\ufffd" not in written and written.strip()


def test_a_source_read_from_its_end_is_aligned_in_its_order():
    task = untrained(reverse_source=True)
    model = task.build_model()
    features = task.features({"text": tf.constant(["the cat sat", "cat"])})
    end = task.assets.source.end
    assert features["source"][:, 0].numpy().tolist() == [end, end]
    (long, short) = Answerer(task, model).answers(["the cat sat", "cat"], Options())
    assert long["source_tokens"] == ["the", "cat", "sat", "<end>"]
    assert short["alignment"].shape[1] == 2
    inputs = {**features, "tokens": tf.constant([[2], [2]])}
    raw = model(inputs)["attention"].numpy()[:, 0]
    np.testing.assert_allclose(long["alignment"][0], raw[0, 3::-1], atol=1e-5)
    np.testing.assert_allclose(short["alignment"][0], raw[1, 1::-1], atol=1e-5)


def test_no_attention_no_alignment():
    task = untrained(attention="none")
    answerer = Answerer(task, task.build_model())
    (answer,) = answerer.answers(["the cat"], Options())
    assert "alignment" not in answer and answer["tokens"]
    with pytest.raises(UserError, match="coverage-penalty expected a model with"):
        answerer.answers(["the cat"], Options(coverage_penalty=0.5))
    with pytest.raises(UserError, match="--attention=soft"):
        task.draw(["the cat"], [answer])
    (scored,) = answerer.answers(
        [{"text": "the cat", "translation": "die katze"}], Options(), "score"
    )
    assert scored["log_prob"] < 0


@pytest.mark.parametrize("units", ["characters", "subwords"])
def test_every_text_comes_back_as_it_was(units):
    config = Config(tokenizer=units, min_count=2, vocabulary_size=300)
    tokenizer = learn_tokens(["a cat sat", "a dog sat"] * 3, config)
    for text in ("a cat", "Zoë 😀\t語  x", "  two  spaces ", "\u2028line"):
        ids, lengths = tokenizer.encode(tf.constant([text]))
        assert tokenizer.decode(ids, lengths)[0].numpy().decode() == text


def test_figures_are_those_of_sacrebleu():
    texts = ["Ein Mann geht.", "der Hund"]
    references = [["Ein Mann geht.", "Ein Mann läuft."], ["Der Hund"]]
    found = scores.figures(texts, references, "de")
    streams = [["Ein Mann geht.", "Der Hund"], ["Ein Mann läuft.", None]]
    assert found["bleu"] == sacrebleu.BLEU().corpus_score(texts, streams).score
    assert found["chrf"] == sacrebleu.CHRF().corpus_score(texts, streams).score
    assert found["exact_match"] == 50 and found["sentences"] == 2
    assert found["bleu_lower"] > found["bleu"]
    assert "tok:13a" in found["bleu_signature"]
    for language in ("zh", "zh-CN", "ZH_TW"):
        chinese = scores.figures(["他 走。"], [["他走。"]], language)
        assert "tok:zh" in chinese["bleu_signature"]


def test_equal_sources_are_one_row_of_several_translations():
    config = dataclasses.replace(APP.presets["tiny"](), builtin_size=300)
    task = APP.task_for(config)
    train = task.read().train
    task = task.learn(train)
    pairs = task.targets(train)
    count = sum(map(len, train["translations"]))
    assert len(pairs.owner) == count == len(pairs.targets["logits"])
    for before, after in zip(
        pairs.inputs["tokens"][:20], pairs.targets["logits"][:20], strict=True
    ):
        assert list(before) == [task.vocabulary.start, *after[:-1]]
        assert after[-1] == task.vocabulary.end


def test_the_command_line_has_what_score_reads():
    from saccade.apps.cli.requests import flags_of, kinds_of

    assert flags_of("translation")["--translation"] == "translation"
    assert "translation" not in kinds_of("translation", every=False)
