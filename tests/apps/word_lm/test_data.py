"""Texts of words: sources, tokens, what a stream looks like."""

import dataclasses
import gzip
import os
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import ConfigError, UserError
from saccade.apps.word_lm import data
from saccade.apps.word_lm.config import Config, tiny
from saccade.apps.word_lm.words import Words, tokenize


def config(path, **options):
    return Config(data=str(path), **{"min_count": 1, "split": "50/50"} | options)


def words_of(text, words):
    return [words.tokens[i] for i in text.ids]


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
        ("spaces", "The cat, which  sat.", "The cat, which sat."),
        ("characters", "历史 重演。ab", "历 史 重 演 。 a b"),
        ("words", "", ""),
        ("characters", "  ", ""),
    ],
)  # fmt: skip
def test_tokens(tokenizer, line, tokens):
    assert tokenize([line, "x"], tokenizer) == [tokens.split(), ["x"]]


def test_the_graph_gives_the_ids_of_python():
    lines = ["the cat , which", "", "a dog <EOS> <UNK> the unheard", "<EOS> cat"]
    words = Words("the cat which , a dog".split(), "spaces", rare=1)
    ids, lengths = tf.function(words.encode)(tf.constant(lines))
    for line, row, length in zip(lines, ids.numpy(), lengths.numpy(), strict=True):
        line = "<EOS> " + line.removeprefix("<EOS> ")
        np.testing.assert_array_equal(row[:length], words.ids(line.split()))
        assert (row[length:] == words.end).all()
    np.testing.assert_array_equal(ids[2, :7], [1, 6, 7, 1, 0, 2, 0])
    np.testing.assert_array_equal(lengths, [5, 1, 7, 2])
    assert words.encode(tf.constant([], tf.string))[0].shape == (0, 1)


@pytest.mark.parametrize("tokenizer", ["words", "characters", "spaces"])
def test_the_end_of_a_sentence_can_be_written(tokenizer):
    words = Words(["a", "b"], tokenizer, rare=0)
    ids, _ = words.encode(tf.constant(["a <EOS> b"]))
    np.testing.assert_array_equal(ids[0, :4], [1, 2, 1, 3])


def test_bytes_that_are_no_utf8_are_unknown():
    words = Words(["a", "b"], "characters", rare=0)
    ids, lengths = words.encode(tf.constant([b"a\xffb"]))
    np.testing.assert_array_equal(ids, [[1, 2, 0, 3]])
    np.testing.assert_array_equal(lengths, [4])


@pytest.mark.parametrize(
    "tokenizer, line",
    [("words", "the cat, and."), ("spaces", "a , b"), ("characters", "历史。")],
)
def test_what_is_decoded_is_encoded_again(tokenizer, line):
    words = Words.build(tokenize([line], tokenizer), tokenizer)
    ids, lengths = words.encode(tf.constant([line, ""]))
    decoded = words.decode(ids[:, 1:], lengths - 1)
    np.testing.assert_array_equal(words.encode(decoded)[0], ids)
    assert decoded.numpy().tolist() == [line.encode(), b""]


def test_vocabulary_by_count_and_by_size():
    lines = [["b", "a", "c", "b", "<unk>", "<unk>", "a", "d"]]
    assert Words.build(lines, "spaces").tokens[2:] == ["a", "b", "c", "d"]
    few = Words.build(lines, "spaces", min_count=2)
    assert (few.tokens[2:], few.rare) == (["a", "b"], 2)
    one = Words.build(lines, "spaces", size=3)
    assert (one.tokens, one.rare, one.size) == (["<UNK>", "<EOS>", "a"], 3, 3)
    with pytest.raises(UserError, match="no token occurs 3 times.*--min-count"):
        Words.build(lines, "spaces", min_count=3)


def test_words_survive_json():
    words = Words(["the", "历史"], "words", rare=7)
    loaded = Words.from_json(words.to_json())
    assert vars(loaded).keys() == vars(words).keys()
    assert (loaded.tokens, loaded.tokenizer, loaded.rare) == (
        words.tokens,
        "words",
        7,
    )


# Streams


def test_every_line_ends_and_begins_anew(tmp_path):
    (tmp_path / "a.txt").write_text("a b\n\nc\na a\nb\n")
    splits = data.load_data(config(tmp_path))
    train = splits.train
    tokens = words_of(train, splits.words)
    assert tokens == "<EOS> a b <EOS> <EOS> c <EOS>".split()
    np.testing.assert_array_equal(np.flatnonzero(train.begins), [0, 4])
    assert words_of(splits.test, splits.words)[:4] == "<EOS> a a <EOS>".split()


def test_documents_are_one_text_each(tmp_path):
    (tmp_path / "a.txt").write_text("a b\nc\n")
    (tmp_path / "b.txt").write_text("a\nb\nc\nd\n")
    options = {"context": "document", "split": "75/25", "min_count": 2}
    splits = data.load_data(config(tmp_path, **options))
    expected = "<EOS> a b <EOS> c <EOS> <EOS> a <EOS> b <EOS>"
    assert (
        words_of(splits.train, splits.words)
        == expected.replace(" c ", " <UNK> ").split()
    )
    np.testing.assert_array_equal(np.flatnonzero(splits.train.begins), [0, 6])


def test_share_of_unknown_counts_the_targets():
    texts = data.streams([[["a", "x"], ["x"]]], Words(["a"], "spaces", 1), "sentence")
    assert data.unknown_share(data.Text(texts)) == 2 / 5  # a x <EOS>, x <EOS>


# Sources


def test_builtin_is_the_same_everywhere():
    splits = data.load_data(tiny())
    assert splits.words.size == 94
    assert splits.sha256.startswith("4931d8c6df5184cf")
    assert data.unknown_share(splits.test) == 0
    facts = data.describe(tiny(), splits)
    assert facts["example 1"] == "the doctors often have slept."
    assert {facts[f"example {i}"].split()[-1][-1] for i in (1, 2, 3)} == {"."}
    assert facts["one batch"].startswith("tokens int32 (")
    assert "40,701 tokens" in facts["training"]


def test_tagged_and_gzip(tmp_path):
    path = tmp_path / "news.txt.gz"
    path.write_bytes(gzip.compress("迈向/v  充满/v\n１/2/m  。/w\n".encode()))
    splits = data.load_data(config(path, format="tagged", tokenizer="spaces"))
    assert words_of(splits.train, splits.words)[1:-1] == ["迈向", "充满"]
    assert data.read(config(path, format="tagged"))[0][1] == "１/2 。"
    split = data.load_data(config(path, format="tagged", tokenizer="characters"))
    assert words_of(split.train, split.words)[1:-1] == list("迈向充满")


def test_a_tagged_text_read_as_text_is_noticed(tmp_path, caplog):
    path = tmp_path / "news.txt"
    path.write_text("The/DT cat/NN ./.\nIt/PRP sat/VBD ./.\n")
    data.read(config(path))
    assert "--format=tagged" in caplog.text
    caplog.clear()
    path.write_text("The cat and/or the dog.\nIt sat.\n")
    data.read(config(path))
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
        data.load_data(config(path, **options))


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(UserError, match="found nothing at"):
        data.load_data(config(tmp_path / "none"))
    with pytest.raises(UserError, match="Found no text in the folder"):
        data.load_data(config(tmp_path))
    (tmp_path / "a.txt.gz").write_bytes(b"plain")
    with pytest.raises(UserError, match="is no gzip"):
        data.load_data(config(tmp_path))


def test_lines_without_tags_are_counted_and_skipped(tmp_path, caplog):
    path = tmp_path / "news.txt"
    path.write_text("a/x b/y\n" * 9 + "plain\n")
    documents = data.read(config(path, format="tagged", skip_bad=True))
    assert documents == [["a b"] * 9]
    assert "Skipped 1 of 10 lines:" in caplog.text
    assert "news.txt, line 10" in caplog.text
    with pytest.raises(UserError, match="1 of 10 lines are bad, .*--bad-at-most=9"):
        data.read(config(path, format="tagged", skip_bad=True, bad_at_most=9))
    with pytest.raises(UserError, match="line 10: .* found 'plain'.*skips such lines"):
        data.read(config(path, format="tagged"))
    path.write_text("plain\ntext\n")
    with pytest.raises(UserError, match="none of 2 lines is sound"):
        data.read(config(path, format="tagged", skip_bad=True, bad_at_most=100))


def test_lines_stay_with_their_files(tmp_path):
    (tmp_path / "a.txt").write_text("a/x b/y\nplain\nc/z\n")
    (tmp_path / "b.txt").write_text("plain\n")
    (tmp_path / "c.txt").write_text("d/x\n")
    settings = {"format": "tagged", "skip_bad": True, "bad_at_most": 50}
    documents = data.read(config(tmp_path, **settings))
    assert documents == [["a b", "c"], [], ["d"]]


def test_jieba_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(UserError, match="pip install jieba"):
        tokenize(["历史总是不断重演"], "jieba")


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_jieba_cuts_words(capfd):
    pytest.importorskip("jieba", reason="jieba is not installed")
    for line in ("历史总是不断重演", "历 史总 是 不断重演"):
        assert tokenize([line], "jieba") == [["历史", "总是", "不断", "重演"]]


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
    splits = data.load_data(real)
    assert len(splits.train.ids) + len(splits.test.ids) == 1_121_447 + 2 * 19_484
    assert splits.train.begins.sum() == 17_536  # 90 % of the lines
    assert 0.02 < data.unknown_share(splits.train) < 0.03
