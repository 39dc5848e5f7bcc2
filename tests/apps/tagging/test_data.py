"""Sentences in every format, and labels in every scheme."""

import gzip
import logging
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.apps.core.errors import UserError
from saccade.apps.tagging import builtin, data, formats, schemes
from saccade.apps.tagging.config import Config
from saccade.apps.tagging.task import tokens_of

CONLLU = """\
# text = She isn't in New York
1\tShe\tshe\tPRON\tPRP\t_\t0\troot\t_\t_
2-3\tisn't\t_\t_\t_\t_\t_\t_\t_\t_
2\tis\tbe\tAUX\tVBZ\t_\t1\tcop\t_\t_
3\tn't\tnot\tPART\tRB\t_\t1\tadvmod\t_\t_
3.1\tgone\tgo\tVERB\tVBN\t_\t_\t_\t_\t_
4\tNew York\tNew York\tPROPN\tNNP\t_\t1\tobl\t_\t_
"""
FORMATS = {
    "tabs.conll": ("-DOCSTART- O\n\nAda\tNNP\tB-P\nsleeps\tV\tO\n\n#\tX\tO\n", "", 2),
    "spaces, no last line end.txt": ("Ada NNP B-P\nsleeps V O\n\n# X O", "", 2),
    "windows.txt": ("\ufeffAda\tB-P\r\nsleeps\tO\r\n\r\n\r\n#\tO\r\n", "", 2),
    "second column.txt": ("Ada B-P x\nsleeps O y\n\n# O z\n", "2", 2),
    "counted from the end.txt": ("Ada B-P x\nsleeps O y\n\n# O z\n", "-2", 2),
    "comments.txt": ("# id 1 2\nAda B-P\nsleeps O\n\n# text = #\n# O\n", "", 2),
    "slashes.txt": ("Ada/B-P  sleeps/O\n#/O\n", "", 2),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_formats(name, packed, tmp_path):
    text, column, count = FORMATS[name]
    file = tmp_path / (name + ".gz" * packed)
    content = text.encode()
    file.write_bytes(gzip.compress(content) if packed else content)

    rows = formats.read_rows(Config(data=str(file), column=column))

    assert [row.error for row in rows] == [""] * count
    assert [tokens_of(row.values["text"]) for row in rows] == [["Ada", "sleeps"], ["#"]]
    assert [row.values["labels"] for row in rows] == [["B-P", "O"], ["O"]]


@pytest.mark.parametrize(
    "column, labels",
    [("", ["PRON", "AUX", "PART", "PROPN"]), ("xpos", ["PRP", "VBZ", "RB", "NNP"])],
)
def test_conllu_leaves_ranges_and_empty_nodes_out(column, labels, tmp_path):
    (tmp_path / "a.conllu").write_text(CONLLU)

    (row,) = formats.read_rows(Config(data=str(tmp_path / "a.conllu"), column=column))

    assert row.values["labels"] == labels
    assert tokens_of(row.values["text"]) == ["She", "is", "n't", "New_York"]


def test_a_folder_with_three_files(tmp_path):
    for name in ("en-train.txt", "en-dev.txt", "en-test.txt"):
        (tmp_path / name).write_text(f"{name[3]} O\nAda B-P\n")
    (tmp_path / "README.md").write_text("about train, dev and test")

    splits = data.read(Config(data=str(tmp_path)))

    found = [part["text"] for part in (splits.train, splits.validation, splits.test)]
    assert [[tokens_of(t) for t in texts] for texts in found] == [
        [["t", "Ada"]],
        [["d", "Ada"]],
        [["t", "Ada"]],
    ]
    assert splits.train["labels"] == [["O", "S-P"]]


@pytest.mark.parametrize(
    "files, settings, message",
    [
        ({}, {}, "expected a file with train in its name.*found nothing"),
        ({"train.a": "a O\n", "train.b": "a O\n"}, {}, "expected one file of each"),
        ({"train.a": " \n"}, {}, "expected sentences, found an empty file"),
        ({"train.a": "a O\nb\n"}, {}, "line 1: expected 2 columns or more, .*'b'"),
        ({"train.a": "a O\n"}, {"column": "x"}, "--column: expected the number"),
        ({"train.a": "a O\n"}, {"column": "3"}, "expected 3 columns"),
        ({"train.a": CONLLU}, {"column": "9"}, "--column: expected for the CoNLL-U"),
        ({"train.a": "a/n b/v\nc\n"}, {}, "expected 2 columns"),
    ],
)
def test_bad_files(files, settings, message, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        data.read(Config(data=str(tmp_path), **settings))


def test_bad_sentences_are_counted_not_lost(tmp_path, caplog):
    good = "\n".join(f"a{i} O\nAda B-P\n" for i in range(30))
    (tmp_path / "train.txt").write_text(good + "\nbroken\n")
    with caplog.at_level(logging.WARNING):
        splits = data.read(Config(data=str(tmp_path), skip_bad=True))
    assert len(splits.train) == 30
    assert "Skipped 1 of 31 sentences" in caplog.text and "line 91" in caplog.text


# Schemes

TEXTS = {
    "BIO": "O B-X I-X B-X O B-Y",
    "BIOES": "O B-X E-X S-X O S-Y",
    "BMES": "O B-X E-X S-X O S-Y",
    "IOB1": "O I-X I-X B-X O I-Y",
}
BILOU = "O B-X L-X U-X O U-Y"
FOUND = [("X", 1, 3), ("X", 3, 4), ("Y", 5, 6)]


@pytest.mark.parametrize("scheme", TEXTS)
def test_entities_in_every_scheme(scheme):
    labels = TEXTS[scheme].split()
    assert schemes.entities(labels) == FOUND
    mended, wrong = schemes.repaired([labels], "BIO")
    assert mended == [TEXTS["BIO"].split()] and wrong == 0


def test_what_breaks_the_scheme_is_mended_and_counted(tmp_path, caplog):
    text = "a B-X\nb I-X\nc O\n\nd B-X\ne O\nf I-X\ng I-Y\n"
    (tmp_path / "train.txt").write_text(text)
    with caplog.at_level(logging.WARNING):
        splits = data.read(Config(data=str(tmp_path), scheme="BIO"))
    assert ["B-X", "O", "B-X", "B-Y"] in splits.train["labels"]
    assert "2 labels do not go with the one before" in caplog.text


def test_bilou_is_bioes_by_other_letters():
    mended, wrong = schemes.repaired([BILOU.split()], "BIOES")
    assert mended == [TEXTS["BIOES"].split()] and wrong == 0


def test_a_single_odd_label_is_named(tmp_path, caplog):
    (tmp_path / "train.txt").write_text("a B-X\nb I-X\nc foo\n\nd O\ne B-X\n")
    with caplog.at_level(logging.WARNING):
        data.read(Config(data=str(tmp_path)))
    assert "All labels but foo are those of entities" in caplog.text


sentences = st.lists(
    st.tuples(st.sampled_from(["", "X", "Y"]), st.integers(1, 4)), max_size=5
)


@given(sentences, st.sampled_from(["BIO", "BIOES", "BMES"]))
@settings(max_examples=100, deadline=None)
def test_entities_come_back_from_every_scheme(spans, scheme):
    found, place = [], 0
    for kind, length in spans:
        if kind:
            found.append((kind, place, place + length))
        place += length
    labels = schemes.written(found, place, scheme)
    assert schemes.entities(labels) == found


def test_scheme_of():
    assert schemes.scheme_of(["O", "B-X", "I-X"]) == "BIO"
    assert schemes.scheme_of(["B", "M", "E", "S"]) == "BMES"
    assert schemes.scheme_of(["0", "1"]) == "01"
    assert schemes.scheme_of(["NOUN", "VERB", "I"]) == ""
    assert schemes.scheme_of(["O"]) == ""


# Builtin


def test_builtin_is_the_lectures():
    """王刚和李明去上班了 is one of the sentences, with its labels 110110000."""
    for _, words in builtin.grammar():
        characters, labels = builtin.labelled(words, "names")
        if "".join(characters) == "王刚和李明去上班了":
            assert "".join(labels) == "110110000"
            break
    else:
        raise AssertionError("not among them")


@pytest.mark.parametrize("column", data.COLUMNS)
def test_left_side_only_is_what_the_grammar_says(column):
    """The share of right labels of who answers by it, on sentences that are drawn, is
    that of the whole grammar; the whole sentence tells every label."""
    best = builtin.left_only(column)
    right = total = 0.0
    by_text = {}
    for share, words in builtin.grammar():
        characters, labels = builtin.labelled(words, column)
        text = "".join(characters)
        assert by_text.setdefault(text, labels) == labels
        right += share * sum(
            best[text[: i + 1]] == label for i, label in enumerate(labels)
        )
        total += share * len(labels)
    exact = right / total
    assert 0.5 < exact < 0.97

    draw = random.Random(0)
    chances, all_words = zip(*builtin.grammar(), strict=True)
    hits = []
    for words in draw.choices(all_words, chances, k=4000):
        characters, labels = builtin.labelled(words, column)
        text = "".join(characters)
        hits += [best[text[: i + 1]] == label for i, label in enumerate(labels)]
    assert sum(hits) / len(hits) == pytest.approx(exact, abs=0.01)
