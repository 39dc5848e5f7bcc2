"""Labelled sentences from the People's Daily corpus."""

import gzip

import pytest

from .benchmark import load_benchmark

daily = load_benchmark("peoples_daily")

CORPUS = """\
迈向/v  新/a  世纪/n
中共中央/nt  总书记/n  江/nr  泽民/nr  、/w  李/nr  鹏/nr  乔/nr  石/nr
中国/ns  北京/ns  马克思/nr  恩格斯/nr
诸葛/nr  亮/nr  、/w  陈/nr  访问/v  １/２/m
新华社/nt  记者/n  剑武/nr  安/nr  远远/nr
"""


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt.gz"
    path.write_bytes(gzip.compress(CORPUS.encode()))
    return path


def spans(sentence):
    """[(characters, kind)] of the entities, from BIO tags."""
    found = []
    for token, tag in sentence:
        if tag.startswith("B-"):
            found.append((token, tag[2:]))
        elif tag.startswith("I-"):
            assert found[-1][1] == tag[2:]
            found[-1] = (found[-1][0] + token, tag[2:])
    return found


def all_of(corpus, form):
    splits = daily.sentences_of(corpus, form, blocks=True)
    return [sentence for split in splits.values() for sentence in split]


def test_words_are_as_they_are_given(corpus):
    first, *_, fourth, _ = all_of(corpus, "words")
    assert first == [("迈向", "v"), ("新", "a"), ("世纪", "n")]
    assert fourth[-1] == ("１/２", "m")


def test_a_surname_and_the_word_behind_it_are_one_name(corpus):
    assert [spans(sentence) for sentence in all_of(corpus, "entities")] == [
        [],
        [
            ("中共中央", "ORG"),
            ("江泽民", "PER"),
            ("李鹏", "PER"),
            ("乔石", "PER"),
        ],
        [("中国", "LOC"), ("北京", "LOC"), ("马克思", "PER"), ("恩格斯", "PER")],
        [("诸葛亮", "PER"), ("陈", "PER")],
        [("新华社", "ORG"), ("剑武", "PER"), ("安远远", "PER")],
    ]


@pytest.mark.parametrize("form", ["entities", "joint"])
def test_no_character_is_lost(corpus, form):
    for words, found in zip(all_of(corpus, "words"), all_of(corpus, form), strict=True):
        assert [c for c, _ in found] == [c for word, _ in words for c in word]


def test_joint_tags_say_where_words_begin_and_end(corpus):
    _, second, *_ = all_of(corpus, "joint")
    assert [tag for _, tag in second[:8]] == [
        *("B-nt", "I-nt", "I-nt", "E-nt", "B-n", "I-n", "E-n", "S-nr")
    ]


def test_splits():
    by_number = [daily.split_of(i, 20) for i in range(20)]
    assert by_number == (["dev", *["train"] * 8, "test"]) * 2
    by_block = [daily.split_of(i, 20, blocks=True) for i in range(20)]
    assert by_block == ["train"] * 16 + ["dev"] * 2 + ["test"] * 2


def test_files_and_counts(corpus, tmp_path, capsys):
    out = tmp_path / "made" / "entities"
    daily.main([str(corpus), str(out), "--as", "entities"])

    assert (out / "dev.conll").read_bytes().decode() == (
        "迈\tO\n向\tO\n新\tO\n世\tO\n纪\tO\n\n"
    )
    assert (out / "test.conll").read_bytes() == b""
    assert (out / "train.conll").read_text("utf-8").count("\n\n") == 4
    assert capsys.readouterr().out.splitlines() == [
        f"{out / 'train.conll'}: 4 sentences, 45 tokens, "
        "{'PER': 9, 'LOC': 2, 'ORG': 2}",
        f"{out / 'dev.conll'}: 1 sentences, 5 tokens, {{'PER': 0, 'LOC': 0, 'ORG': 0}}",
        f"{out / 'test.conll'}: 0 sentences, 0 tokens, "
        "{'PER': 0, 'LOC': 0, 'ORG': 0}",
    ]
