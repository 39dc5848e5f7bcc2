"""Tables, row by row, and quotes that are lost in them."""

import csv
import io
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from saccade.apps.core.data import tables
from saccade.apps.core.errors import UserError

WANTED = {"--image-column": "image", "--caption-column": "caption"}
NAMES = [f"{letter}.png" for letter in "abcdefgh"]


def names_row(cells):
    """Whether they name one of the pictures, as captioning finds out."""
    return bool(set(cells) & set(NAMES))


def read(path, text):
    path.write_text(text, "utf-8", newline="")
    return list(tables.read_csv(path, WANTED, names_row))


def cells(records):
    """The rows that can be used."""
    return [tuple(r.values.values()) for r in records if not r.error]


def number(record):
    return int(re.search(r"line (\d+)$", record.where)[1])


def written(rows, quoting=csv.QUOTE_MINIMAL, newline="\n"):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=quoting, lineterminator=newline)
    writer.writerows([("image", "caption"), *rows])
    return file.getvalue()


# What is legal


@pytest.mark.parametrize(
    "caption",
    [
        "two\nlines, with, commas",
        "two\r\nlines\n\n\nand more, of them\n",
        'a "big" cat',
        '"Hello", said the cat',
        ", and so on",
        "a.png is not this one,\nnor is it that.png, which is larger",
        "\u2028 is no end of a line",
        "",
    ],
)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_caption_may_hold_anything_inside_quotes(tmp_path, caption, quoting):
    rows = [("a.png", caption), ("b.png", "dog"), ("c.png", caption)]
    records = read(tmp_path / "x.csv", written(rows, quoting))
    assert cells(records) == rows
    assert number(records[0]) == 2


def test_a_quote_inside_of_a_bare_cell_stands_for_itself(tmp_path):
    text = 'image,caption\na.png,12" wide\nb.png,a cat"\n\nc.png,x\n'
    records = read(tmp_path / "x.csv", text)
    assert cells(records) == [
        ("a.png", '12" wide'),
        ("b.png", 'a cat"'),
        ("c.png", "x"),
    ]
    assert list(map(number, records)) == [2, 3, 5]


pieces = st.sampled_from(("a", "b", " ", ",", '"', "\n", "\r\n", "\t", "猫", "\u2028"))
captions = st.lists(pieces, max_size=12).map("".join)
tables_of_captions = st.lists(captions, min_size=1, max_size=len(NAMES)).map(
    lambda some: list(zip(NAMES, some, strict=False))
)
quotings = st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
shared_folder = hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    deadline=None,
)


@hypothesis.given(tables_of_captions, quotings, st.sampled_from(("\n", "\r\n")))
@shared_folder
def test_what_a_writer_writes_is_read(tmp_path, rows, quoting, newline):
    records = read(tmp_path / "x.csv", written(rows, quoting, newline))
    assert not [r.error for r in records if r.error]
    assert cells(records) == rows


# Lost quotes


def test_a_lost_quote_does_not_swallow_the_rows_behind_it(tmp_path):
    """Forty rows were read as six."""
    rows = [f'{NAMES[i % 8]},"a cat, number {i}"' for i in range(40)]
    rows[3] = rows[3].removesuffix('"')
    records = read(tmp_path / "x.csv", "\n".join(["image,caption", *rows]))
    assert len(records) == 40
    assert [number(r) for r in records if r.error] == [5]
    (error,) = (r.error for r in records if r.error)
    assert "a quote opens a cell here" in error and "closed nowhere" in error
    assert cells(records)[3] == ("e.png", "a cat, number 4")


@pytest.mark.parametrize(
    ("text", "bad", "good"),
    [
        ('a.png,"a cat\nb.png,dog\n', {2: "closed nowhere"}, "b"),
        ('a.png,"Hi" she said\nb.png,dog\n', {2: "text follows"}, "b"),
        ('a.png,"two\nlines"\nb.png,"x\nc.png,y\n', {4: "closed nowhere"}, "ac"),
        ('"a.png","x"\n"b.png,"y"\n"c.png","z"\n', {3: "text follows"}, "ac"),
        # The next quote closes the cell, so that all is well but the rows inside.
        (
            'a.png,"a cat\nb.png,dog\nc.png,12"\n',
            {2: "several lines of its row are rows"},
            "bc",
        ),
        ('a.png,,"\nb.png,","\n', {2: "several lines of its row are rows"}, "b"),
        ('a.png,\n,"\nb.png,"\n,a"\n', {3: "several lines of its row are rows"}, "ab"),
        ('a.png,"a cat\nb.png,dog\nc.png,", and"\n', {2: "has 3 columns"}, "bc"),
    ],
)
def test_the_line_of_a_lost_quote_is_named(tmp_path, text, bad, good):
    records = read(tmp_path / "x.csv", "image,caption\n" + text)
    found = {number(r): r.error for r in records if r.error}
    assert list(found) == list(bad)
    for line, why in bad.items():
        assert why in found[line]
    assert [row[0] for row in cells(records)] == [f"{name}.png" for name in good]


def test_lines_of_a_cell_in_a_bad_row_are_taken_for_rows(tmp_path):
    """Better than the other way round: such a row names no picture."""
    records = read(tmp_path / "x.csv", 'image,caption\na.png,"one\ntwo","three"\n')
    assert "has 3 columns" in records[0].error
    assert cells(records) == [('two"', "three")]


def test_a_lost_quote_in_the_header_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"x\.csv, line 1: a quote opens a cell here"):
        read(tmp_path / "x.csv", 'image,"caption\na.png,a cat\n')


def test_a_cell_that_is_too_long_is_a_bad_row(tmp_path):
    long = "a" * 200_000
    text = f'image,caption\na.png,{long}\nb.png,"{long}"\nc.png,"{long}\nd.png,x\n'
    records = read(tmp_path / "x.csv", text)
    assert [number(r) for r in records if r.error] == [2, 3, 4]
    assert all("field larger than" in r.error for r in records[:2])
    assert "closed nowhere" in records[2].error
    assert cells(records) == [("d.png", "x")]


@hypothesis.given(tables_of_captions, quotings, st.data())
@shared_folder
def test_no_row_vanishes_with_a_quote(tmp_path, rows, quoting, data):
    """Whichever quote is taken away: there are as many rows as before, and each that
    stands in one line is there, or its line is named."""
    text = written(rows, quoting)
    at = data.draw(st.sampled_from([i for i, c in enumerate(text) if c == '"'] or [0]))
    hypothesis.assume(text[at] == '"')
    try:
        records = read(tmp_path / "x.csv", text[:at] + text[at + 1 :])
    except UserError as error:
        assert "line 1: " in str(error)  # the header's
        return
    read_names = [row[0] for row in cells(records)]
    found = [name for name in NAMES if any(name in cell for cell in read_names)]
    bad = [number(r) for r in records if r.error]
    assert len(found) + len(bad) >= len(rows), (found, bad)
    for i, (name, caption) in enumerate(rows):
        if "\n" not in caption:
            assert name in found or written(rows[:i], quoting).count("\n") + 1 in bad


# Headers and the other forms


def test_faults_of_one_row_are_carried_by_it(tmp_path):
    (tmp_path / "x.tsv").write_text('image\tcaption\na.png\t"x\nb.png\nc.png\ty\tz\n')
    records = list(tables.read_tsv(tmp_path / "x.tsv", WANTED))
    assert cells(records) == [("a.png", '"x')]
    assert [r.error for r in records[1:]] == [
        f"expected 2 columns like the header's, received {n}" for n in (1, 3)
    ]
    lines = ['{"image": "a.png", "caption": "x"}', "", "{", "[]", '{"image": 1}', "{}"]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    records = list(tables.read_json_lines(tmp_path / "x.jsonl", WANTED))
    assert list(map(number, records)) == [1, 3, 4, 5, 6]
    assert cells(records) == [("a.png", "x")]
    assert "expected JSON; " in records[1].error
    assert "expected a JSON object" in records[2].error
    assert records[3].error == (
        "expected a column 'caption' (--caption-column); the columns are: image"
    )


@pytest.mark.parametrize("reader", [tables.read_csv, tables.read_tsv])
def test_a_header_without_a_column_is_an_error(tmp_path, reader):
    (tmp_path / "x").write_text("image\na.png\n")
    with pytest.raises(UserError, match=r"x, line 1: expected a column 'caption'"):
        list(reader(tmp_path / "x", WANTED))
    (tmp_path / "x").write_text("")
    assert list(reader(tmp_path / "x", WANTED)) == []
