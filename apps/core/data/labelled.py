"""Labelled texts: a text and its label in every row of a table (.csv, .tsv, .jsonl); in
every line of a file as fastText has it (.txt, `__label__good the text`); or in every
file of a folder per label (good/*.txt, bad/*.txt)."""

import logging
import re

from ..errors import UserError
from ..settings.fields import is_utf8
from . import manifest, splits, tables
from .encodings import read_utf8
from .places import path_of
from .rows import Examples, Row, Splits
from .sieve import sift
from .texts import read_or_why

log = logging.getLogger("saccade")

EXAMPLE = "A table reviews.csv with the columns text and label will do."
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
NAMED = 5  # files at most, in the warning of those that are not read
FASTTEXT = re.compile(r"\s*((?:__label__\S+\s+)+)(\S.*)")


def read_splits(config, further=None, separator=""):
    """The texts that `config.data` names, in three splits with the columns `text` and
    `label`, both str.

    Without a split column a row goes where the hash of its text says, so that equal
    texts stay together. The order of each split is by another hash: many files are
    sorted by label, and validation takes the first examples.

    Args:
        config: with `data`, `text_column`, `label_column`, `split_column`, `split`,
            `skip_bad` and `bad_at_most`.
        further: columns with other texts: name -> (option, column).
        separator: what stands between the labels of a cell, which may then have several
            or none.

    Raises:
        UserError: there is no such table or column, a row is bad (see `sieve.sift`),
            or none is left to learn from.
    """
    further = further or {}
    rows = read_rows(config, further, separator)
    return split_rows(config, rows, "text", "rows")


def split_rows(config, rows, key, what, paths=()):
    """The sound ones of rows, in three splits with the columns that all of them have.

    Args:
        config: with `data`, `split`, `skip_bad` and `bad_at_most`.
        rows: list of `Row`. key: the column by whose hash a row is split where it names
            no split, and ordered. what: rows are, in the plural. paths: see `Splits`.

    Raises:
        UserError: a row is bad (see `sieve.sift`), or none is left to learn from.
    """
    errors = [row.error and f"{row.where}: {row.error}" for row in rows]
    rows = sift(config, rows, errors, what)
    parts = {"train": [], "validation": [], "test": []}
    for row in rows:
        name = splits.split_of(row.split, config.split, row.values[key])
        parts[name].append(row)
    if not parts["train"]:
        one = what.removesuffix("s")
        raise UserError(f"{config.data}: no {one} falls into the training split.")
    for part in parts.values():
        part.sort(key=lambda row: splits.hash_of(f"order {row.values[key]}"))
    shared = [c for c in rows[0].values if all(c in row.values for row in rows)]
    examples = (Examples.from_rows(part, shared) for part in parts.values())
    return Splits(*examples, paths=paths)


def read_rows(config, further, separator):
    """All rows, also the bad ones: list of `Row`."""
    folders = _label_folders(config.data)
    if folders:
        _no_columns(config, further, f"the folder {config.data} has no columns")
        read = {file for folder in folders for file in folder.glob("*.txt")}
        warn_of_unread(path_of(config.data), read, ".txt files")
        rows = _rows_of_folders(folders)
    else:
        endings = (*manifest.TABLES, ".txt")
        path = manifest.find_file(
            config.data, endings, (), EXAMPLE, "labelled texts", made=""
        )
        rows = _rows_of_file(config, path, further, separator)
    if not rows:
        raise UserError(f"{config.data}: expected at least one row, found none.")
    return rows


def _no_columns(config, further, why):
    """An error where an option names a column all the same."""
    options = [option for option, _ in further.values()]
    options += ["--split-column"] if config.split_column else []
    if options:
        raise UserError(
            f"{options[0]} expected a table (.csv, .tsv, .jsonl); {why}. Leave the "
            "option out, or make a table of it."
        )


def _rows_of_file(config, path, further, separator):
    if path.suffix.lower() == ".txt":
        _no_columns(config, further, f"{path} has lines __label__NAME and no columns")
        return _rows_of_fasttext(path, separator)
    wanted = {
        "--text-column": ("text", config.text_column),
        "--label-column": ("label", config.label_column),
        **{option: (name, column) for name, (option, column) in further.items()},
    }
    if config.split_column:
        wanted["--split-column"] = ("split", config.split_column)
    records = tables.read(
        path, {option: column for option, (_, column) in wanted.items()}
    )
    columns = dict(wanted.values())
    return [_row(columns, record, bool(separator)) for record in records]


def _row(columns, record, no_label):
    """A `Row` of a record. columns: name -> the column that holds it."""
    if record.error:
        return Row(record.where, error=record.error)
    values = {name: record.values[column] for name, column in columns.items()}
    split, label = values.pop("split", None), values.pop("label")
    split = None if split is None else str(split)
    error = next(filter(None, map(_text_error, values.values())), "")
    if not (no_label and label in ("", None)):
        error = error or _label_error(label)
    error = error or splits.error_of(split)
    if error:
        return Row(record.where, error=error)
    label = "" if label is None else label
    return Row(record.where, values | {"label": str(label).strip()}, split)


def _rows_of_fasttext(path, separator):
    """Lines `__label__a __label__b the text`; the labels stand with the separator
    between, without which there may be one only."""
    rows = []
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        if not line.strip():
            continue
        where, found = f"{path}, line {number}", FASTTEXT.fullmatch(line)
        if not found:
            error = f"expected __label__NAME and a text, received {line[:60]!r}"
            rows.append(Row(where, error=error))
            continue
        labels = [word.removeprefix("__label__") for word in found[1].split()]
        text, error = found[2].strip(), ""
        if len(labels) > 1 and not separator:
            error = (
                f"expected one label, received {len(labels)}, {' and '.join(labels)}; "
                'texts may have several with --label-separator "|"'
            )
        values = {"text": text, "label": separator.join(labels)}
        rows.append(Row(where, values, error=error or _text_error(text)))
    return rows


def _label_folders(data):
    """The folders in a folder that hold .txt files, sorted; none where a table lies
    beside them."""
    path = path_of(data)
    if not data or not path.is_dir():
        return []
    if any(file.suffix.lower() in manifest.TABLES for file in path.iterdir()):
        return []
    inside = sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] != ".")
    return [folder for folder in inside if any(folder.glob("*.txt"))]


def _rows_of_folders(folders):
    rows = []
    for folder in folders:
        for file in sorted(folder.glob("*.txt")):
            text, error = read_or_why(file)
            where, error = str(file), error.removeprefix(str(file)).strip(" .:")
            if error.startswith(", line "):
                line, _, error = error.partition(": ")
                where += line
            values = {"text": text.strip(), "label": folder.name}
            rows.append(Row(where, values, error=error or _text_error(text)))
    return rows


def warn_of_unread(path, read, what):
    """A warning of what lies in a folder of labels and is none of the files that are
    read. read: set of paths. what: the files of a label are, in the plural."""
    used = {folder for file in read for folder in file.parents}
    unread = []
    for found in sorted(path.rglob("*")):
        if any(part.startswith(".") for part in found.relative_to(path).parts):
            continue
        name = str(found.relative_to(path))
        if found.is_file() and found not in read:
            unread.append(name)
        elif found.is_dir() and found.parent == path and found not in used:
            unread.append(f"{name}/, which holds no {what}")
    if unread:
        more = f" and {len(unread) - NAMED} more" if len(unread) > NAMED else ""
        log.warning(
            "%s: a label is the name of a folder of %s; left out %s%s.",
            path,
            what,
            ", ".join(unread[:NAMED]),
            more,
        )


def _text_error(text):
    is_text = isinstance(text, str) and text.strip() and is_utf8(text)
    return "" if is_text else f"expected a text, received {text!r}"


def _label_error(label):
    name = str(label).strip() if isinstance(label, str | int | float) else ""
    is_label = name and is_utf8(name)
    return "" if is_label else f"expected a label, received {label!r}"


def labels_in(labels, option="--label-column"):
    """The different ones of a list of labels: numbers by size, words by the alphabet;
    tuple of str.

    Args:
        option: which names their column.

    Raises:
        UserError: there are not two.
    """
    different = sorted(set(labels))
    if len(different) < 2:
        raise UserError(
            f"Expected two labels or more in the {len(labels)} rows of the training "
            f"split, found {different}. Give more rows, or name the column that holds "
            f"the labels with {option}."
        )
    if all(NUMBER.fullmatch(label) for label in different):
        different.sort(key=float)
    return tuple(different)
