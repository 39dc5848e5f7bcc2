"""Labelled texts from tables."""

import types

import pytest

from saccade.apps.core.data import labelled, splits
from saccade.apps.core.data.splits import by_hash
from saccade.apps.core.errors import UserError


def config(path, **settings):
    common = {"text_column": "text", "label_column": "label", "split_column": ""}
    common |= {"split": "80/10/10", "skip_bad": False, "bad_at_most": 50.0}
    return types.SimpleNamespace(data=str(path), **common | settings)


def write(path, text):
    path.write_bytes(text.encode())
    return path


def rows_of(splits):
    """All rows of three splits, sorted."""
    parts = (splits.train, splits.validation, splits.test)
    return sorted(
        pair for p in parts for pair in zip(p["text"], p["label"], strict=True)
    )


TABLES = {
    "csv": '\ufefflabel,text,id\n1,"good, and\n""new""",a\r\n-1, bad ,b\n0,so so,c\n',
    "tsv": "\ufefftext\tlabel\ngood\t1\n bad \t-1\r\nso so\t0\n",
    "jsonl": '{"text": "good", "label": 1}\n\n{"text": " bad ", "label": -1}\n'
    '{"text": "so so", "label": "0"}\n',
}


@pytest.mark.parametrize("ending", TABLES)
def test_every_form_of_a_table(tmp_path, ending):
    path = write(tmp_path / f"reviews.{ending}", TABLES[ending])
    good = 'good, and\n"new"' if ending == "csv" else "good"
    expected = sorted([(good, "1"), (" bad ", "-1"), ("so so", "0")])
    assert rows_of(labelled.read_splits(config(path, split="100/0/0"))) == expected
    folder = labelled.read_splits(config(tmp_path, split="100/0/0"))
    assert rows_of(folder) == expected


def test_lines_of_fasttext(tmp_path):
    text = "__label__good the room\n\n  __label__bad __label__old a bed \n"
    path = write(tmp_path / "reviews.txt", text)
    settings = config(path, split="100/0/0")
    splits = labelled.read_splits(settings, separator="+")
    assert rows_of(splits) == [("a bed", "bad+old"), ("the room", "good")]
    with pytest.raises(UserError, match="line 3: .* 2, bad and old; .*--label-separat"):
        labelled.read_splits(settings)
    for bad in ("no label", "__label__x", "__label__ x"):
        write(path, f"__label__good a\n{bad}\n")
        with pytest.raises(UserError, match="reviews.txt, line 2: expected __label__"):
            labelled.read_splits(config(path))


def test_a_folder_per_label(tmp_path, caplog):
    for name, label in (("a", "good"), ("b", "good"), ("c", "bad")):
        (tmp_path / label).mkdir(exist_ok=True)
        write(tmp_path / label / f"{name}.txt", f"\ufefftext {name}\r\n")
    assert not caplog.text
    (tmp_path / "empty").mkdir()
    for name in ("notes.md", "good/a.doc", ".hidden", "empty/x", "bad/c", "bad/x"):
        (tmp_path / name).write_text("x")
    splits = labelled.read_splits(config(tmp_path, split="100/0/0"))
    expected = [("text a", "good"), ("text b", "good"), ("text c", "bad")]
    assert rows_of(splits) == expected
    left_out = "bad/c, bad/x, empty/, which holds no .txt files, empty/x, good/a.doc"
    assert f"a folder of .txt files; left out {left_out} and 1 mo" in caplog.text
    write(tmp_path / "bad" / "d.txt", " \n")
    with pytest.raises(UserError, match="bad/d.txt: is empty"):
        labelled.read_splits(config(tmp_path))
    (tmp_path / "bad" / "d.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(UserError, match="bad/d.txt, line 2: byte 0xff is no UTF-8"):
        labelled.read_splits(config(tmp_path))


def test_only_a_table_has_columns(tmp_path):
    path = write(tmp_path / "t.txt", "__label__good the room\n")
    topic = {"topic": ("--topic-column", "about")}
    with pytest.raises(UserError, match="--topic-column expected a table .*t.txt has"):
        labelled.read_splits(config(path), topic)
    with pytest.raises(UserError, match="--split-column expected a table"):
        labelled.read_splits(config(path, split_column="part"))
    (tmp_path / "folders" / "good").mkdir(parents=True)
    write(tmp_path / "folders" / "good" / "a.txt", "the room")
    with pytest.raises(
        UserError, match="--topic-column expected a table .*folders has"
    ):
        labelled.read_splits(config(tmp_path / "folders"), topic)


def test_further_columns_and_rows_without_a_label(tmp_path):
    path = write(tmp_path / "t.csv", "text,label,about\na,x,bed\nb,,view\n")
    further = {"topic": ("--topic-column", "about")}
    settings = config(path, split="100/0/0")
    found = labelled.read_splits(settings, further, "|").train
    assert sorted(zip(found["topic"], found["label"], strict=True)) == [
        ("bed", "x"),
        ("view", ""),
    ]
    with pytest.raises(UserError, match="line 3: expected a label, received ''"):
        labelled.read_splits(settings, further)
    gone = {"topic": ("--topic-column", "gone")}
    with pytest.raises(UserError, match=r"'gone' \(--topic-column\)"):
        labelled.read_splits(settings, gone)


def test_a_row_goes_where_the_hash_of_its_text_says(tmp_path):
    lines = [f"{text} {i},{i % 2}" for text in ("a", "b") for i in range(40)]
    path = write(tmp_path / "t.csv", "\n".join(["text,label", *lines, *lines]))
    splits = labelled.read_splits(config(path, split="60/20/20"))
    for name in ("train", "validation", "test"):
        texts = getattr(splits, name)["text"]
        assert texts and {by_hash("60/20/20", text) for text in texts} == {name}
    assert len(rows_of(splits)) == 160


@pytest.mark.parametrize("split", ["80/10/20", "80/20", "0/50/50", "nan/0/0", "a/b/c"])
def test_shares_are_three_percentages_that_sum_to_100(tmp_path, split):
    path = write(tmp_path / "t.csv", "text,label\na,x\n")
    with pytest.raises(UserError, match=f"--split expected three .*received '{split}'"):
        labelled.read_splits(config(path, split=split))


def test_the_first_of_a_file_sorted_by_label_are_of_all_labels(tmp_path):
    lines = [f"text {label}{i},{label}" for label in "ab" for i in range(200)]
    path = write(tmp_path / "t.csv", "\n".join(["text,label", *lines]))
    splits = labelled.read_splits(config(path))
    assert 15 < splits.train["label"][:50].count("a") < 35
    again = labelled.read_splits(config(path))
    assert again.sha256 == splits.sha256


def test_a_column_of_splits(tmp_path):
    text = "text,label,part\na,x,train\nb,y,TEST\nc,x,val\n"
    splits = labelled.read_splits(
        config(write(tmp_path / "t.csv", text), split_column="part")
    )
    parts = (splits.train, splits.validation, splits.test)
    assert [part["text"] for part in parts] == [["a"], ["c"], ["b"]]


BAD = {
    "no text": ("t.csv", "text,label\nok,a\n ,b\n", "t.csv, line 3: expected a text"),
    "no label": ("t.tsv", "text\tlabel\nok\t \n", "t.tsv, line 2: expected a label"),
    "a number": ("t.jsonl", '{"text": 5, "label": 1}', "line 1: expected a text, .* 5"),
    "null": ("t.jsonl", '{"text": "a", "label": null}', "expected a label, .*None"),
    "half an emoji": ("t.jsonl", '{"text": "\\ud83d", "label": 1}', "expected a text"),
    "a column more": ("t.csv", "text,label\nok,a,b\n", "line 2: expected 2 columns"),
    "no column": ("t.csv", "review,label\nok,a\n", r"'text' \(--text-column\)"),
    "semicolons": (
        "t.csv",
        "text;label\nok;a\n",
        "columns are: text;label. The header has semicolons, where a .csv has commas",
    ),
    "tabs": ("t.csv", "text\tlabel\nok\ta\n", "The header has tabs, where a .csv"),
    "commas": ("t.tsv", "text,label\nok,a\n", "The header has commas, where .* tabs"),
    "no rows": ("t.csv", "text,label\n", "t.csv: expected at least one row"),
    "another split": ("t.csv", "text,label,part\na,b,c\n", "line 2: .* 'c'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_an_error_that_says_where(tmp_path, case):
    name, text, message = BAD[case]
    column = "part" if case == "another split" else ""
    path = write(tmp_path / name, text)
    with pytest.raises(UserError, match=message):
        labelled.read_splits(config(path, split_column=column))


def test_bad_rows_are_skipped_and_counted(tmp_path, caplog):
    path = write(tmp_path / "t.csv", "text,label\na,x\n,x\nb,\nc,y\nd,x\n")
    splits = labelled.read_splits(config(path, skip_bad=True, split="100/0/0"))
    assert rows_of(splits) == [("a", "x"), ("c", "y"), ("d", "x")]
    assert "Skipped 2 of 5 rows" in caplog.text and "line 3" in caplog.text
    with pytest.raises(UserError, match="2 of 5 rows are bad, 40.0 %"):
        labelled.read_splits(config(path, skip_bad=True, bad_at_most=39.0))


def test_where_there_is_no_table(tmp_path):
    for data in ("", tmp_path / "gone", tmp_path):
        with pytest.raises(
            UserError, match="expected builtin, a file or|labelled texts"
        ):
            labelled.read_splits(config(data))


def test_an_empty_test_split_has_a_reason():
    by_shares = splits.why_no_test(config("t.csv", split="100/0/0"), "text")
    assert "--split=100/0/0" in by_shares
    assert "'part'" in splits.why_no_test(config("t.csv", split_column="part"), "text")
