"""Labelled texts: tables (.csv, .tsv, .jsonl), a text and its label in every row."""

import re

from ..errors import UserError
from ..settings.fields import is_utf8
from . import manifest, splits, tables
from .rows import Examples, Row, Splits
from .sieve import sift

EXAMPLE = "A table reviews.csv with the columns text and label will do."
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def read_splits(config):
    """The table that `config.data` names, in three splits with the columns `text` and
    `label`, both str.

    Without a split column a row goes where the hash of its text says, so that equal
    texts stay together. The order of each split is by another hash: many files are
    sorted by label, and validation takes the first examples.

    Args:
        config: with `data`, `text_column`, `label_column`, `split_column`, `split`,
            `skip_bad` and `bad_at_most`.

    Raises:
        UserError: there is no such table or column, a row is bad (see `sieve.sift`),
            or none is left to learn from.
    """
    rows = read_rows(config)
    errors = [row.error and f"{row.where}: {row.error}" for row in rows]
    rows = sift(config, rows, errors, "rows")
    parts = {"train": [], "validation": [], "test": []}
    for row in rows:
        name = splits.split_of(row.split, config.split, row.values["text"])
        parts[name].append(row)
    if not parts["train"]:
        raise UserError(f"{config.data}: no row falls into the training split.")
    for part in parts.values():
        part.sort(key=_place)
    return Splits(*(Examples.from_rows(p, ("text", "label")) for p in parts.values()))


def _place(row):
    return splits.hash_of(f"order {row.values['text']}")


def read_rows(config):
    """All rows, also the bad ones: list of `Row`."""
    path = manifest.find_file(
        config.data, manifest.TABLES, (), EXAMPLE, "labelled texts", made=""
    )
    wanted = {
        "--text-column": config.text_column,
        "--label-column": config.label_column,
    }
    if config.split_column:
        wanted["--split-column"] = config.split_column
    rows = [_row(config, record) for record in tables.read(path, wanted)]
    if not rows:
        raise UserError(f"{path}: expected at least one row, found none.")
    return rows


def _row(config, record):
    if record.error:
        return Row(record.where, error=record.error)
    text, label = (
        record.values[column] for column in (config.text_column, config.label_column)
    )
    split = None
    if config.split_column:
        split = str(record.values[config.split_column])
    error = _text_error(text) or _label_error(label) or splits.error_of(split)
    if error:
        return Row(record.where, error=error)
    return Row(record.where, {"text": text, "label": str(label).strip()}, split)


def _text_error(text):
    is_text = isinstance(text, str) and text.strip() and is_utf8(text)
    return "" if is_text else f"expected a text, received {text!r}"


def _label_error(label):
    name = str(label).strip() if isinstance(label, str | int | float) else ""
    is_label = name and is_utf8(name)
    return "" if is_label else f"expected a label, received {label!r}"


def labels_in(labels):
    """The different ones of a list of labels: numbers by size, words by the alphabet;
    tuple of str.

    Raises:
        UserError: there are not two.
    """
    different = sorted(set(labels))
    if len(different) < 2:
        raise UserError(
            f"Expected two labels or more in the training split, found {different}. "
            "Name the column that holds them with --label-column."
        )
    if all(NUMBER.fullmatch(label) for label in different):
        different.sort(key=float)
    return tuple(different)
