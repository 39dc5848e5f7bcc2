"""Manifests: tables that name a media file and say something about it, a row each."""

import functools
import os
import pathlib

from ..errors import UserError
from . import splits, tables
from .places import path_of
from .rows import Examples, Row, Splits
from .sieve import sift

TABLES = tables.ENDINGS


def find_file(data, endings, names, example, what="captions", made="tfds:NAME"):
    """The file that a path names: itself, or the one of its kind in a folder.

    Args:
        data: the path. endings: tuple, of the files that are looked for in a folder.
        names: tuple, further names of such files. example: a sentence that says what
            would do, for the error. what: is in the file, in the plural.
        made: what --data may be beside builtin, a file and a folder, or "".
    """
    expected = ", ".join(filter(None, ["--data expected builtin", made, "a file"]))
    if not data:  # as from a variable that is not set
        raise UserError(f"{expected} or a folder; received nothing.")
    path = path_of(data)
    if os.path.isfile(path):  # False where no file can be called so
        return path
    if not os.path.isdir(path):
        raise UserError(f"{expected} or a folder; there is no {path}.")
    found = [
        file
        for file in sorted(path.iterdir())
        if file.name.lower().endswith(endings) or file.name.lower() in names
    ]
    if not found:
        wanted = ", or ".join(filter(None, [" ".join(endings), " ".join(names)]))
        raise UserError(
            f"Expected a file of {what} ({wanted}) in {path}, found none. {example}"
        )
    if len(found) > 1:
        raise UserError(
            f"Expected one file of {what} in {path}; found "
            f"{', '.join(p.name for p in found)}. Name the one with --data."
        )
    return found[0]


def pictures_beside(path):
    """The folder `images` or `Images` beside a file, else the file's folder."""
    for name in ("images", "Images"):
        if (path.parent / name).is_dir():
            return path.parent / name
    return path.parent


def place(folder, name):
    """The path of the file that a table names, and why it must not be read or "".

    It must lie inside of the folder that its path is relative to, links followed: a
    table from somebody else has no say over other files of this machine.
    """
    if not name:
        return None, ""
    file = folder / name
    try:
        if file.resolve().is_relative_to(folder.resolve()):
            return file, ""
    except (OSError, RuntimeError, ValueError) as error:  # loops of links, NUL bytes
        return file, f"the picture {name!r} has no place ({error})"
    return file, (
        f"the picture {name!r} lies outside of {folder}. If it should, name the folder "
        "that holds all pictures with --image-dir"
    )


def read_table(path, folder, media, text, split=""):
    """Rows of CSV (also .txt), TSV or JSON lines, with `media`, a path in `folder`, and
    `text`; where a text is a list, a row for each of it.

    Args:
        media, text, split: the columns that hold them; split: "" where none does.
    """
    wanted = {"--image-column": media, "--caption-column": text}
    if split:
        wanted["--split-column"] = split
    rows = []
    for record in tables.read(path, wanted, lambda cells: _names_file(folder, cells)):
        if record.error:
            rows.append(Row(record.where, error=record.error))
            continue
        file, error = place(folder, str(record.values[media] or ""))
        texts = record.values[text]
        if not texts or not isinstance(texts, list):
            texts = [texts]  # an empty list too: it is found to be empty later
        name = str(record.values[split]) if split else None
        rows += [
            Row(record.where, {"media": file, "text": one}, name, error)
            for one in texts
        ]
    return rows


def _names_file(folder, cells):
    """Whether one of the cells in a row of CSV is a file of the folder."""
    for cell in cells:
        file, error = place(folder, cell)
        if file and not error and os.path.isfile(file):  # or too long
            return True
    return False


def checked(config, rows, text_errors, media_error):
    """The sound rows: the file opens, the text says something, the split is one, and a
    file's rows are all in one.

    Args:
        text_errors: function (list of values) -> list of what is wrong with each or "".
        media_error: function (path) -> what is wrong with the file, or "".

    Raises:
        UserError: for the first bad row; with --skip-bad the bad ones are counted, and
            only too many of them are an error.
    """
    errors = [row.error or splits.error_of(row.split) for row in rows]
    wrong = text_errors([row.values.get("text") for row in rows])
    errors = [error or why for error, why in zip(errors, wrong, strict=True)]
    errors = _two_splits_errors(rows, errors)
    if config.skip_bad or not any(errors):  # opening all of them takes the longest
        once = functools.cache(
            media_error
        )  # A picture of five captions is opened once.
        pairs = zip(errors, rows, strict=True)
        errors = [error or once(row.values["media"]) for error, row in pairs]
    named = [e and f"{row.where}: {e}" for row, e in zip(rows, errors, strict=True)]
    return sift(config, rows, named, "rows")


def _two_splits_errors(rows, errors):
    first = {}  # file -> its first row's split
    found = []
    for row, error in zip(rows, errors, strict=True):
        if not error and row.split is not None:
            name, media = splits.split_of(row.split, "", ""), row.values["media"]
            if first.setdefault(media, name) != name:
                error = (
                    f"expected every row of a picture in one split; {media} is in "
                    f"{first[media]} above and in {name} here"
                )
        found.append(error)
    return found


def split_rows(config, rows, folder, media, texts):
    """Rows to splits: by their own, else by the hash of the file's path in `folder`.

    All texts of a file stay together, and without splits of the rows the same file
    falls into the same split whatever else is in the table.

    Args:
        media, texts: the names of the columns, of which the second has a list each.
    """
    folder = folder if folder.is_dir() else folder.parent
    parts = {"train": {}, "validation": {}, "test": {}}  # split -> file -> its texts
    for row in rows:
        file = row.values["media"]
        # The path as the table has it: the same on every machine.
        key = pathlib.Path(os.path.relpath(file, folder)).as_posix()
        name = splits.split_of(row.split, config.split, key)
        parts[name].setdefault(str(file), []).append(row.values["text"])
    if not parts["train"]:
        raise UserError(f"{config.data}: no picture falls into the training split.")
    examples = (
        Examples(**{media: list(part), texts: list(part.values())})
        for part in parts.values()
    )
    return Splits(*examples, paths=(media,))
