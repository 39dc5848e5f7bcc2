"""Sentences with a label for every token, in the formats of the field.

columns   a token and its labels in every line, with spaces or TABs between, an
          empty line behind each sentence (CoNLL 2003, BMES files, WNUT)
CoNLL-U   ten columns with TABs; ranges ("1-2") and empty nodes ("1.1") are no words
slashes   a sentence in every line, as word/TAG word/TAG
"""

import collections
import re

from ..core.data.encodings import read_utf8
from ..core.data.places import path_of
from ..core.data.rows import Row
from ..core.errors import UserError
from .cutting import given

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps")
PARTS = {"train": "train", "dev": "val", "valid": "val", "val": "val", "test": "test"}
SLASHED = re.compile(r"\S*\S/\S+")


def read_rows(config):
    """The sentences that `config.data` names: list of `Row` with `text`, cut already,
    and `labels`, list of str.

    Raises:
        UserError: there is no such file or column.
    """
    rows = []
    for path, split in files(config.data):
        lines = read_lines(path)
        if not any(line.strip() for line in lines):
            raise UserError(f"{path}: expected sentences, found an empty file.")
        for number, pairs in sentences(lines, config.column, path):
            where = f"{path}, line {number}"
            if isinstance(pairs, str):
                rows.append(Row(where, split=split, error=pairs))
                continue
            tokens, labels = map(list, zip(*pairs, strict=True))
            values = {"text": given(tokens), "labels": labels}
            rows.append(Row(where, values, split))
    return rows


def files(data):
    """The files with their splits, None where a hash decides: list of (path, split)."""
    expected = "--data expected builtin, a file, or a folder with train, dev and test"
    if not data:
        raise UserError(f"{expected} files; received nothing.")
    path = path_of(data)
    if path.is_file():
        return [(path, None)]
    if not path.is_dir():
        raise UserError(f"{expected} files; there is no {path}.")
    found = {}
    for file in sorted(path.iterdir()):
        name = file.name.lower()
        split = next((s for part, s in PARTS.items() if part in name), None)
        if not file.is_file() or not split or name.endswith((".md", ".json")):
            continue
        if split in found:
            raise UserError(
                f"{path}: expected one file of each split; {found[split].name} and "
                f"{file.name} are both of {split}. Name one file, or make a folder of "
                "three."
            )
        found[split] = file
    if "train" not in found:
        names = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
        raise UserError(
            f"{path}: expected a file with train in its name, and such with dev and "
            f"test; found {names}."
        )
    return [(file, split) for split, file in found.items()]


def read_lines(path):
    """The lines of a text file, gzipped or not: list of str."""
    # Not splitlines(), which also ends a line at U+2028 and U+0085.
    return re.split(r"\r\n|\n|\r", read_utf8(path))


def sentences(lines, column, path):
    """The sentences in lines: pairs of the number of the first line, and list of
    (token, label), or str: why it cannot be used."""
    filled = [line for line in lines if line.strip() and not line.startswith("# ")]
    some = filled[:200]
    if all(len(line.split("\t")) == 10 for line in some):
        pair = conllu_pair(column, path)
        return by_blank_lines(lines, pair, lambda line: line.startswith("#"))
    words = [word for line in some for word in line.split()]
    if all(map(SLASHED.fullmatch, words)):
        return slashed(lines)
    pair = column_pair(column, path)
    # A # may be a token; a comment has another number of columns than most lines.
    counts = collections.Counter(map(len, map(columns_in, some)))
    usual = counts.most_common(1)[0][0]

    def is_comment(line):
        return line.startswith("#") and len(columns_in(line)) != usual

    return by_blank_lines(lines, pair, is_comment)


def slashed(lines):
    for number, line in enumerate(lines, 1):
        words = line.split()
        wrong = [word for word in words if not SLASHED.fullmatch(word)]
        if wrong:
            yield number, f"expected word/TAG, received {wrong[0][:60]!r}"
        elif words:
            yield number, [tuple(word.rsplit("/", 1)) for word in words]


def by_blank_lines(lines, pair, is_comment):
    """As `sentences`.

    Args:
        pair: function (line) -> (token, label), None for no token, or str: why not.
        is_comment: function (line) -> whether it is left out.
    """
    first, pairs, error = 0, [], ""
    for number, line in enumerate([*lines, ""], 1):
        if not line.strip():
            if error or pairs:
                yield first, error or pairs
            pairs, error = [], ""
        elif not (line.startswith("-DOCSTART-") or is_comment(line)):
            first = first if error or pairs else number
            found = pair(line)
            if isinstance(found, str):
                error = error or found
            elif found:
                pairs.append(found)


def conllu_pair(column, path):
    column = column or "upos"
    if column not in CONLLU:
        raise UserError(
            f"--column: expected for the CoNLL-U file {path} one of "
            f"{', '.join(CONLLU[2:])}; received {column!r}."
        )
    place = CONLLU.index(column)

    def pair(line):
        cells = line.split("\t")
        if len(cells) != 10:
            return f"expected 10 columns with TABs between, received {line[:60]!r}"
        if "-" in cells[0] or "." in cells[0]:
            return None
        return cells[1], cells[place]

    return pair


def columns_in(line):
    """What stands between TABs, or else between spaces: list of str."""
    cells = [cell.strip() for cell in line.split("\t")]
    return cells if len(cells) > 1 else line.split()


def column_pair(column, path):
    if column and not re.fullmatch(r"-?[1-9]\d*", column):
        raise UserError(
            f"--column: expected the number of a column of {path}, 1 for the first, or "
            f"-1 for the last; received {column!r}."
        )
    place = int(column or -1)

    def pair(line):
        cells = columns_in(line)
        wanted = max(2, place, -place)
        if len(cells) < wanted or not cells[0] or not cells[place - (place > 0)]:
            return f"expected {wanted} columns or more, received {line.strip()[:60]!r}"
        return cells[0], cells[place - (place > 0)]

    return pair


def why_no_test(config):
    """Why the test split of a file is empty: half a sentence."""
    if path_of(config.data).is_dir():
        return f"no file in {config.data} has test in its name"
    return f"--split={config.split} gives it no sentence of {config.data}"
