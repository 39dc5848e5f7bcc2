"""Tables with named columns, row by row: CSV, TSV and JSON lines.

CSV is quoted as RFC 4180 says: a cell in quotes may hold commas, line breaks and
doubled quotes. One quote too few or too many makes the rows behind it part of a cell,
which shows no sign of it. So a quote counts as lost, and the row in which it opens as
bad, where

- no quote closes it, or its closing quote is followed by anything but a comma or the
  end of a line;
- its row goes on over several lines and has not as many columns as the header;
- its row goes on over several lines, and more of them than belong to one row hold what
  every row has, such as the name of a picture (`names_row`).

Reading goes on in the line behind the quote, so that no other row is lost with it. A
quote inside of a cell that does not begin with one stands for itself, as in `12" wide`.
TSV has no quoting.
"""

import csv
import io
import itertools
import json
import logging
import pathlib
import re
import typing

from ..errors import UserError
from ..files.whole import write_text
from .encodings import read_utf8

log = logging.getLogger("saccade")

ENDINGS = (".csv", ".tsv", ".jsonl")  # of what is read and written


class Record(typing.NamedTuple):
    """One row of a table."""

    where: str  # the file, and the line in which the row begins
    values: dict  # column -> what stands there
    error: str = ""  # why the row cannot be used; it has no values then


def _no_row(cells):
    return False


def read(path, wanted, names_row=_no_row, columns=()):
    """The rows of a table by the ending of its file: .jsonl, .tsv, else CSV; each may
    be gzip, with .gz behind it."""
    ending = pathlib.Path(str(path).removesuffix(".gz")).suffix.lower()
    if ending == ".jsonl":
        return read_json_lines(path, wanted)
    if ending == ".tsv":
        return read_tsv(path, wanted, columns)
    return read_csv(path, wanted, names_row, columns)


def read_csv(path, wanted, names_row=_no_row, columns=()):
    """The rows of a CSV file with a header, an iterator of `Record`.

    Args:
        wanted: dict, an option -> the column it names.
        names_row: whether cells, list of str, hold what every row has and what lines
            of a quoted cell do not, such as the name of a picture that is there.
        columns: the names of the first cells of each row, where there may be no header:
            that is, if all wanted ones are among them and not in the first row. Cells
            behind these are left out.

    Raises:
        UserError: the header lacks a column, or a quote of it is lost.
    """
    lines = list(io.StringIO(read_utf8(path), newline=""))
    return _records(path, wanted, _csv_rows(lines, names_row), columns)


def read_tsv(path, wanted, columns=()):
    """As `read_csv`, of cells between tabs, without quoting."""
    lines = io.StringIO(read_utf8(path), newline=None)
    rows = (
        (number, line.rstrip("\n").split("\t"), "")
        for number, line in enumerate(lines, 1)
        if line != "\n"
    )
    return _records(path, wanted, rows, columns)


def read_json_lines(path, wanted):
    """As `read_csv`, of a file with a JSON object in every line that is not blank. The
    objects need not have the same keys, so there is no fault of a header."""
    for number, line in enumerate(io.StringIO(read_utf8(path), newline=None), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Record(where, {}, f"expected JSON; {error}")
            continue
        if isinstance(values, dict):
            error = _missing(wanted, values)
        else:
            error = "expected a JSON object, {...}"
        yield Record(where, {} if error else values, error)


def write(path, rows):
    """Rows as a table, whole or not at all: .csv, .tsv or .jsonl, by the ending.

    Args:
        rows: list of dicts, which need not have the same keys. In a cell of .csv and
            .tsv, what is neither text nor number stands as JSON.

    Raises:
        UserError: another ending.
    """
    ending = pathlib.Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise UserError(
            f"Expected the ending .csv, .tsv or .jsonl for a table; received {path}."
        )
    rows = [as_lists(row) for row in rows]
    if ending == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_text(path, "".join(lines))
        return
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(text, delimiter="\t" if ending == ".tsv" else ",")
    writer.writerow(columns)
    for row in rows:
        cells = [_cell(row.get(name, "")) for name in columns]
        if ending == ".tsv":  # which has no quoting
            cells = [re.sub(r"[\t\r\n]+", " ", cell) for cell in cells]
        writer.writerow(cells)
    write_text(path, text.getvalue())


def as_lists(row):
    """A dict with lists in the place of arrays, so that JSON takes it."""
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in row.items()}


def _cell(value):
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _records(path, wanted, rows, columns):
    """Records of rows (number of the line, cells, error), the first perhaps a header.

    Args:
        columns: as in `read_csv`.
    """
    first = next(rows, None)
    rows = itertools.chain([first] if first else [], rows)
    needed = set(wanted.values())
    if first and needed <= set(columns) and not needed & set(first[1]):
        log.info(
            "%s has no header with %s: its first columns are read as %s.",
            path,
            " and ".join(sorted(needed)),
            ", ".join(columns),
        )
        return _without_header(path, columns, rows)
    return _with_header(path, wanted, rows)


def _without_header(path, columns, rows):
    """Records of rows (number of the line, cells, error)."""
    for number, cells, error in rows:
        if not error and len(cells) < len(columns):
            error = f"expected {len(columns)} columns or more, received {len(cells)}"
        values = {} if error else dict(zip(columns, cells, strict=False))
        yield Record(f"{path}, line {number}", values, error)


def _with_header(path, wanted, rows):
    """Records of rows (number of the line, cells, error), the first a header."""
    number, columns, error = next(rows, (0, [], ""))
    if number and not error:
        error = _missing(wanted, columns)
        error += error and _other_mark(columns)
    if error:
        raise UserError(f"{path}, line {number}: {error}.")
    for number, cells, error in rows:
        where = f"{path}, line {number}"
        if not error and len(cells) != len(columns):
            error = (
                f"expected {len(columns)} columns like the header's, received "
                f"{len(cells)}"
            )
        yield Record(
            where, {} if error else dict(zip(columns, cells, strict=True)), error
        )


def _missing(wanted, columns):
    missing = [f"{c!r} ({o})" for o, c in wanted.items() if c not in columns]
    if not missing:
        return ""
    return (
        f"expected a column {' and a column '.join(missing)}; the columns are: "
        f"{', '.join(columns)}"
    )


def _other_mark(columns):
    """What to say of a header that is one cell, where its cells stand between marks of
    another form of table, or ""."""
    marks = {",": "commas", ";": "semicolons", "\t": "tabs"}
    found = [name for mark, name in marks.items() if mark in columns[0]]
    if len(columns) > 1 or not found:
        return ""
    return (
        f". The header has {' and '.join(found)}, where a .csv has commas between its "
        "columns and a .tsv tabs"
    )


# CSV

CLOSED = re.compile(r'"[^"]*(?:""[^"]*)*"(?=[,\r\n]|\Z)')
BARE = re.compile(r"[^,\r\n]*")
LINE_END = re.compile(r"\r\n|\r|\n")
SEVERAL = "several lines of its row are rows by themselves"


def _csv_rows(lines, names_row):
    """(number of its first line, cells, error) for every row that is not blank; where a
    quote is lost, the number of the line in which it opens, and reading goes on in the
    next."""
    start, width = 0, 0  # where the reader begins; cells of the header
    while start < len(lines):
        reader = csv.reader(_lines_from(lines, start), strict=True)
        first, error = start, ""
        while first < len(lines) and not error:
            cells, error = _next_row(reader)
            end = start + reader.line_num
            row = lines[first:end]
            error = error or _why_several(row, cells, width, names_row)
            if not error:
                if cells:
                    width = width or len(cells)
                    yield first + 1, cells, ""
                first = end
        if error:
            offset, error = _lost_quote(row, error, names_row)
            first += offset + 1
            yield first, [], error
        start = first


def _lines_from(lines, start):
    return (lines[i] for i in range(start, len(lines)))


def _next_row(reader):
    """The cells of the next row and "", or None and what is wrong with it."""
    try:
        return next(reader), ""
    except csv.Error as error:
        return None, str(error)


def _why_several(row, cells, width, names_row):
    """Why the lines that have been read as one row must be several, or ""."""
    if len(row) < 2:
        return ""
    if width and len(cells) != width:
        return (
            f"its row then goes on over {len(row)} lines and has {len(cells)} columns, "
            f"where the header has {width}"
        )
    if _rows_among(row, names_row) > names_row(cells):
        return SEVERAL
    return ""


def _rows_among(lines, names_row):
    """How many of the lines look like rows by themselves."""
    parts = ([cell.strip('" \r\n') for cell in line.split(",")] for line in lines)
    return sum(len(cells) > 1 and names_row(cells) for cells in parts)


def _lost_quote(row, error, names_row):
    """How many lines of a bad row come before the one with the lost quote, and what is
    wrong; without a quote, no line and the error itself."""
    long, unclosed = _suspects("".join(row))
    if long is None and unclosed is None:
        return 0, error
    if unclosed is None:
        line = long
    elif long is not None and _rows_among(row[: unclosed + 1], names_row) > 1:
        line, error = long, SEVERAL
    else:
        line, error = unclosed, "it is closed nowhere, or text follows where it is"
    return line, (
        f"a quote opens a cell here, and {error}. Close it, and double every quote "
        "inside of a cell"
    )


def _suspects(text):
    """Of a row: in which of its lines, from 0, the first cell begins that goes on over
    several; and the cell whose quote is not closed. None where there is no such cell.
    """
    at, long = 0, None
    while at < len(text):
        if text[at] != '"':
            at = BARE.match(text, at).end() + 1
            continue
        cell = CLOSED.match(text, at)
        if not cell:
            return long, _lines_before(text, at)
        if long is None and LINE_END.search(cell[0]):
            long = _lines_before(text, at)
        at = cell.end() + 1
    return long, None


def _lines_before(text, at):
    return len(LINE_END.findall(text, 0, at))
