"""Texts of words: sources, tokens, what a stream looks like."""

import dataclasses
import gzip
import json
import os
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import ConfigError, UserError
from saccade.apps.core.inputs.chinese import cut_by_jieba
from saccade.apps.core.tasks.describe import describe
from saccade.apps.word_lm import data, vocabulary
from saccade.apps.word_lm.config import PRESETS, Config, kinds
from saccade.apps.word_lm.task import WordLM, task_for

TINY = Config(**PRESETS["tiny"])


def config(path, **options):
    return Config(data=str(path), **{"min_count": 1, "split": "50/50"} | options)


def learned(config):
    """The task with its words, and the splits."""
    task = task_for(config)
    splits = task.read()
    return task.learn(splits.train), splits


def words_of(task, documents):
    return [task.assets.tokens[i] for i in task.text(documents).ids]


def learned_words(lines, tokenizer, **options):
    return vocabulary.learn(
        lines, Config(**{"tokenizer": tokenizer, "min_count": 1} | options)
    )


def tokens_of(lines, tokenizer, lower=False):
    """The lines with one space between tokens."""
    words = learned_words(lines, tokenizer, lower=lower)
    return [" ".join(words.tokens[i] for i in ids) for ids in words.ids(lines)]


# Tokens


@pytest.mark.parametrize(
    "tokenizer, line, tokens",
    [
        ("words", "The cat, which sat.", "The cat , which sat ."),
        ("words", "don't - well-known: 3.14 or 1,000!", "don't - well-known : "
         "3.14 or 1,000 !"),
        ("words", " a\t b　c ", "a b c"),
        ("words", "«Ça va?»", "« Ça va ? »"),
        ("words", "a<unk>", "a < unk >"),
        ("words", "历史 重演ab。", "历 史 重 演 ab 。"),
        ("spaces", "The cat, which  sat.", "The cat, which sat."),
        ("characters", "历史 重演。ab", "历 史 重 演 。 a b"),
        ("words", "", ""),
        ("characters", "  ", ""),
    ],
)  # fmt: skip
def test_tokens(tokenizer, line, tokens):
    assert tokens_of([line, "x"], tokenizer) == [tokens, "x"]


@pytest.mark.parametrize("tokenizer", ["words", "spaces", "characters"])
def test_lower_case_of_every_script_but_not_of_special_tokens(tokenizer):
    lines = ["The CAT <EOS> ÄÖ ΣΩ <UNK>", "<eos> a"]
    plain = tokens_of(lines, tokenizer, lower=True)
    letters = str.split if tokenizer != "characters" else list
    expected = [*letters("the"), *letters("cat"), "<EOS>", *letters("äö")]
    assert plain[0].split() == [*expected, *letters("σω"), "<UNK>"]
    assert plain[1] == "<EOS> a"
    words = learned_words(lines, tokenizer, lower=True)
    line = words.ids(plain[0])
    ids, lengths = words.encode(tf.constant(["The CAT <EOS> ÄÖ ΣΩ <UNK>", "thE"]))
    np.testing.assert_array_equal(ids[0, 1 : lengths[0]], line)
    assert not (ids[1, 1 : lengths[1]] == words.unknown).numpy().any()
    again = vocabulary.from_json(words.to_json())
    np.testing.assert_array_equal(
        again.encode(tf.constant(["THE"]))[0], ids[1:, :][:, : lengths[1]]
    )
    assert (words.encode(tf.constant(["THE"]))[0] != words.unknown).numpy().all()


def test_words_of_older_versions_have_their_letters_as_they_are():
    words = vocabulary.from_json('{"tokenizer": "words", "rare": 0, "tokens": ["The"]}')
    assert words.encode(tf.constant(["The the"]))[0].numpy().tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(
    "tokenizer, text, printed",
    [
        ("words", "a, b <EOS>", "a, b <EOS>"),
        ("spaces", "a b", "a b"),
        ("characters", "a b", "ab"),
        ("jieba", "a b", "ab"),
    ],
)
def test_what_older_versions_wrote_has_the_same_ids(tokenizer, text, printed):
    saved = {
        "tokenizer": tokenizer,
        "rare": 5,
        "tokens": ["a", ",", "b"],
        "lower": True,
    }
    words = vocabulary.from_json(json.dumps(saved))
    ids, lengths = words.encode(tf.constant([text.upper()]))
    expected = [["<EOS>", "a", ",", "b"].index(t) + 1 for t in text if t in "a,b"]
    np.testing.assert_array_equal(ids[0, : len(expected) + 1], [1, *expected])
    assert words.rare == 5
    assert words.decode(ids[:, 1:], lengths - 1).numpy()[0].decode() == printed


@pytest.mark.parametrize(
    "line", ['he said: "well, (so) and/or 5 cats."', "the cat , which sat ."]
)
def test_what_is_printed_reads_as_a_person_writes(line):
    words = learned_words([line], "words")
    ids, lengths = words.encode(tf.constant([line]))
    printed = words.decode(ids[:, 1:], lengths - 1).numpy()[0].decode()
    assert printed == line.replace(" ,", ",").replace(" .", ".")


def test_the_graph_gives_the_ids_of_python():
    lines = ["the cat , which", "", "a dog <EOS> <UNK> the unheard", "<EOS> cat"]
    words = vocabulary.words("the cat which , a dog".split(), "spaces", rare=1)
    ids, lengths = tf.function(words.encode)(tf.constant(lines))
    for line, row, length in zip(lines, ids.numpy(), lengths.numpy(), strict=True):
        line = "<EOS> " + line.removeprefix("<EOS> ")
        np.testing.assert_array_equal(row[:length], words.ids(line.strip()))
        assert (row[length:] == words.end).all()
    np.testing.assert_array_equal(ids[2, :7], [1, 6, 7, 1, 0, 2, 0])
    np.testing.assert_array_equal(lengths, [5, 1, 7, 2])
    assert words.encode(tf.constant([], tf.string))[0].shape == (0, 1)


@pytest.mark.parametrize("tokenizer", ["words", "characters", "spaces"])
def test_the_end_of_a_sentence_can_be_written(tokenizer):
    words = vocabulary.words(["a", "b"], tokenizer, rare=0)
    ids, _ = words.encode(tf.constant(["a <EOS> b"]))
    np.testing.assert_array_equal(ids[0, :4], [1, 2, 1, 3])


def test_bytes_that_are_no_utf8_are_unknown():
    words = vocabulary.words(["a", "b"], "characters", rare=0)
    ids, lengths = words.encode(tf.constant([b"a\xffb"]))
    np.testing.assert_array_equal(ids, [[1, 2, 0, 3]])
    np.testing.assert_array_equal(lengths, [4])


@pytest.mark.parametrize(
    "tokenizer, line",
    [("words", "the cat, and."), ("spaces", "a , b"), ("characters", "历史。")],
)
def test_what_is_decoded_is_encoded_again(tokenizer, line):
    words = learned_words([line], tokenizer)
    ids, lengths = words.encode(tf.constant([line, ""]))
    decoded = words.decode(ids[:, 1:], lengths - 1)
    np.testing.assert_array_equal(words.encode(decoded)[0], ids)
    assert decoded.numpy().tolist() == [line.encode(), b""]


def test_vocabulary_by_count_and_by_size():
    lines = ["b a c b <unk> <unk> a d"]
    assert learned_words(lines, "spaces").tokens[2:] == ["a", "b", "c", "d"]
    few = learned_words(lines, "spaces", min_count=2)
    assert (few.tokens[2:], few.rare) == (["a", "b"], 2)
    one = learned_words(lines, "spaces", vocabulary_size=3)
    assert (one.tokens, one.rare, one.size) == (["<UNK>", "<EOS>", "a"], 3, 3)
    with pytest.raises(UserError, match="none occurs 3 times.*--min-count"):
        learned_words(lines, "spaces", min_count=3)


def test_words_survive_json():
    words = vocabulary.words(["the", "历史"], "words", rare=7)
    loaded = vocabulary.from_json(words.to_json())
    assert vars(loaded).keys() == vars(words).keys()
    assert loaded.to_json() == words.to_json()
    assert (loaded.tokens, loaded.tokenizer.units, loaded.rare) == (
        words.tokens,
        "words",
        7,
    )


# Streams


def test_every_line_ends_and_begins_anew(tmp_path):
    (tmp_path / "a.txt").write_text("a b\n\nc\na a\nb\n")
    task, splits = learned(config(tmp_path))
    tokens = words_of(task, splits.train)
    assert tokens == "<EOS> a b <EOS> <EOS> c <EOS>".split()
    begins = task.text(splits.train).begins
    np.testing.assert_array_equal(np.flatnonzero(begins), [0, 4])
    assert words_of(task, splits.test)[:4] == "<EOS> a a <EOS>".split()


def test_documents_are_one_text_each(tmp_path):
    (tmp_path / "a.txt").write_text("a b\nc\n")
    (tmp_path / "b.txt").write_text("a\nb\nc\nd\n")
    options = {"context": "document", "split": "75/25", "min_count": 2}
    task, splits = learned(config(tmp_path, **options))
    expected = "<EOS> a b <EOS> c <EOS> <EOS> a <EOS> b <EOS>"
    assert words_of(task, splits.train) == expected.replace(" c ", " <UNK> ").split()
    begins = task.text(splits.train).begins
    np.testing.assert_array_equal(np.flatnonzero(begins), [0, 6])


def test_share_of_unknown_counts_the_targets():
    task = WordLM(Config(tokenizer="spaces"), vocabulary.words(["a"], "spaces", 1))
    text = task.text(data.sentences([["a x", "x"]], task.config))
    counts = task.counts(text)  # a x <EOS>, x <EOS>
    assert counts == {"unknown_percent": pytest.approx(100 * 2 / 5), "tokens": 5}


# Sources


def test_builtin_is_the_same_everywhere():
    task, splits = learned(TINY)
    assert task.assets.size == 99
    assert splits.sha256.startswith("e05e5b3d73dcc695")
    assert task.counts(task.text(splits.test))["unknown_percent"] == 0
    facts = describe(task_for(TINY), splits)
    assert facts["example 1"] == "the doctors often have slept."
    assert {facts[f"example {i}"].split()[-1][-1] for i in (1, 2, 3)} == {"."}
    assert facts["one batch"].startswith("tokens int32 (")
    assert "40,712 tokens" in facts["training"]


def test_tagged_and_gzip(tmp_path):
    path = tmp_path / "news.txt.gz"
    path.write_bytes(gzip.compress("迈向/v  充满/v\n１/2/m  。/w\n".encode()))
    task, splits = learned(config(path, format="tagged", tokenizer="spaces"))
    assert words_of(task, splits.train)[1:-1] == ["迈向", "充满"]
    assert data.read_lines(config(path, format="tagged"))[0][1] == "１/2 。"
    task, splits = learned(config(path, format="tagged", tokenizer="characters"))
    assert words_of(task, splits.train)[1:-1] == list("迈向充满")


def test_a_tagged_text_read_as_text_is_noticed(tmp_path, caplog):
    path = tmp_path / "news.txt"
    path.write_text("The/DT cat/NN ./.\nIt/PRP sat/VBD ./.\n")
    data.read_lines(config(path))
    assert "--format=tagged" in caplog.text
    caplog.clear()
    path.write_text("The cat and/or the dog.\nIt sat.\n")
    data.read_lines(config(path))
    assert not caplog.text


@pytest.mark.parametrize(
    "content, options, message",
    [
        (b"a b\n\xff\n", {}, "line 2: byte 0xff is no UTF-8.*iconv"),
        (b" \n\n", {}, "is empty"),
        (b"a/b\n\nplain\n", {"format": "tagged"}, "a.txt, line 3: .*word/TAG.*'plain'"),
        (b"one line\n", {"split": "80/20"}, "The validation text .* holds no line"),
        (b"a\nb\n", {"split": "90"}, "two or three percentages"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path, content, options, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        data.read(config(path, **options))


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(UserError, match="found nothing at"):
        data.read(config(tmp_path / "none"))
    with pytest.raises(UserError, match="Found no text in the folder"):
        data.read(config(tmp_path))
    (tmp_path / "a.txt.gz").write_bytes(b"plain")
    with pytest.raises(UserError, match="is no gzip"):
        data.read(config(tmp_path))


def test_lines_without_tags_are_counted_and_skipped(tmp_path, caplog):
    path = tmp_path / "news.txt"
    path.write_text("a/x b/y\n" * 9 + "plain\n")
    documents = data.read_lines(config(path, format="tagged", skip_bad=True))
    assert documents == [["a b"] * 9]
    assert "Skipped 1 of 10 lines:" in caplog.text
    assert "news.txt, line 10" in caplog.text
    with pytest.raises(UserError, match="1 of 10 lines are bad, .*--bad-at-most=9"):
        data.read_lines(config(path, format="tagged", skip_bad=True, bad_at_most=9))
    with pytest.raises(UserError, match="line 10: .* found 'plain'.*skips such lines"):
        data.read_lines(config(path, format="tagged"))
    path.write_text("plain\ntext\n")
    with pytest.raises(UserError, match="none of 2 lines is sound"):
        data.read_lines(config(path, format="tagged", skip_bad=True, bad_at_most=100))


def test_lines_stay_with_their_files(tmp_path):
    (tmp_path / "a.txt").write_text("a/x b/y\nplain\nc/z\n")
    (tmp_path / "b.txt").write_text("plain\n")
    (tmp_path / "c.txt").write_text("d/x\n")
    settings = {"format": "tagged", "skip_bad": True, "bad_at_most": 50}
    documents = data.read_lines(config(tmp_path, **settings))
    assert documents == [["a b", "c"], [], ["d"]]


def test_jieba_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(UserError, match="pip install jieba"):
        data.sentences([["历史总是不断重演"]], Config(tokenizer="jieba"))


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jieba_cuts_words(capfd):
    pytest.importorskip("jieba", reason="jieba is not installed")
    cut = "历史 总是 不断 重演"
    for line in ("历史总是不断重演", "历 史总 是 不断重演"):
        documents = data.sentences([[line]], Config(tokenizer="jieba"))
        assert list(documents) == [(True, cut)]
    # What is cut stays so, and so do lines: a request goes through it again.
    both = cut_by_jieba(f"历史总是不断重演\nthe  cat {cut}")
    assert both == f"{cut}\nthe cat {cut}" == cut_by_jieba(both)
    sent, error = kinds(Config(tokenizer="jieba"))["text"].encode("历史总是")
    assert (sent.decode(), error) == ("历史 总是", "")


def test_config_refuses_what_cannot_be():
    with pytest.raises(ConfigError, match="tied: expected an embedding.*--no-tied"):
        Config(embedding=0, tied=True)
    with pytest.raises(ConfigError, match="vocabulary_size: expected 3 or more"):
        Config(vocabulary_size=2)


needs_data = pytest.mark.skipif(
    "SACCADE_DATA" not in os.environ,
    reason="SACCADE_DATA does not name the folder of the real data sets",
)


@needs_data
def test_peoples_daily():
    folder = pathlib.Path(os.environ["SACCADE_DATA"])
    folder /= "pos_ner_zh_peoples_daily_199801"
    real = dataclasses.replace(
        Config(), data=str(folder), format="tagged", tokenizer="spaces"
    )
    task, splits = learned(real)
    train, test = task.text(splits.train), task.text(splits.test)
    assert len(train.ids) + len(test.ids) == 1_121_447 + 2 * 19_484
    assert train.begins.sum() == 17_536  # 90 % of the lines
    assert 2 < task.counts(train)["unknown_percent"] < 3
