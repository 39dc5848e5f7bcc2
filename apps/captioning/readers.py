"""One's own pictures and captions: the forms of files, read to rows."""

import json
import os
import pathlib
import typing

from ..core.data import tables
from ..core.data.places import path_of
from ..core.errors import UserError


class Row(typing.NamedTuple):
    """One caption of one picture, and where it was written: file and line."""

    where: str
    picture: pathlib.Path | None = None
    caption: str = ""
    split: str = ""
    error: str = ""  # why the row cannot be used


def read_rows(config):
    """The rows of the file that `config.data` names, in its order."""
    if not config.data:  # as from a variable that is not set
        raise UserError(
            "--data expected builtin, tfds:NAME, a file or a folder; received nothing."
        )
    path = find_file(path_of(config.data))
    folder = path_of(config.image_dir) if config.image_dir else None
    readers = {
        ".csv": read_table,
        ".tsv": read_table,
        ".jsonl": read_table,
        ".json": read_coco,
    }
    read = readers.get(path.suffix.lower(), read_flickr)
    try:
        rows = read(config, path, folder)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected text in UTF-8; {error}.") from None
    if not rows:
        raise UserError(f"{path}: expected at least one caption, found none.")
    return rows


def find_file(path):
    """The file itself, or the one table, annotation or token file in the folder."""
    if os.path.isfile(path):  # False where no file can be called so
        return path
    if not os.path.isdir(path):
        raise UserError(
            "--data expected builtin, tfds:NAME, a file or a folder; there is no "
            f"{path}."
        )
    endings = (".csv", ".tsv", ".jsonl", ".json", ".token", ".token.txt")
    found = [p for p in sorted(path.iterdir()) if p.name.lower().endswith(endings)]
    if not found:
        raise UserError(
            f"Expected a file of captions ({' '.join(endings)}) in {path}, found none. "
            "A table captions.csv with the columns image, a file's name, and caption "
            "will do."
        )
    if len(found) > 1:
        raise UserError(
            f"Expected one file of captions in {path}; found "
            f"{', '.join(p.name for p in found)}. Name the one with --data."
        )
    return found[0]


def read_table(config, path, folder):
    """CSV, TSV or JSON lines, with named columns."""
    folder = folder or path.parent
    wanted = {
        "--image-column": config.image_column,
        "--caption-column": config.caption_column,
    }
    if config.split_column:
        wanted["--split-column"] = config.split_column
    rows = []
    for record in _records(path, wanted, folder):
        if record.error:
            rows.append(Row(record.where, error=record.error))
            continue
        name = str(record.values[config.image_column] or "")
        picture, error = _place(folder, name)
        captions = record.values[config.caption_column]
        split = str(record.values[config.split_column]) if config.split_column else ""
        if not captions or not isinstance(captions, list):
            captions = [captions]  # an empty list too: `checked` reports it as empty
        for caption in captions:
            rows.append(Row(record.where, picture, caption, split, error))
    return rows


def _records(path, wanted, folder):
    ending = path.suffix.lower()
    if ending == ".jsonl":
        return tables.read_json_lines(path, wanted)
    if ending == ".tsv":
        return tables.read_tsv(path, wanted)
    return tables.read_csv(path, wanted, lambda line: _names_picture(folder, line))


def _names_picture(folder, line):
    """Whether one of several cells in a line of CSV is a picture's file."""
    cells = line.split(",")
    for cell in cells if len(cells) > 1 else []:
        picture, error = _place(folder, cell.strip('" \r\n'))
        if picture and not error and picture.is_file():
            return True
    return False


def read_coco(config, path, folder):
    """COCO's captions JSON: `images` and `annotations`."""
    text = path.read_text("utf-8-sig")
    try:
        content = json.loads(text)
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        said = [(a["id"], a["image_id"], a["caption"]) for a in content["annotations"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: expected COCO's captions JSON with `images` (id, file_name) and "
            f"`annotations` (id, image_id, caption); {type(error).__name__}: {error}."
        ) from None
    folder = folder or _pictures_beside(path)
    rows = []
    for number, image, caption in said:
        where = f"{path}, annotation {number}"
        if not isinstance(image, int | str) or image not in names:
            raise UserError(f"{where}: no image with the id {image}.")
        picture, error = _place(folder, names[image])
        rows.append(Row(where, picture, caption, error=error))
    return rows


def read_flickr(config, path, folder):
    """Flickr8k's lines of `name.jpg#0<tab>caption`."""
    folder = folder or _pictures_beside(path)
    rows = []
    for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        name, tab, caption = line.partition("\t")
        if not tab or "#" not in name:
            raise UserError(
                f"{where}: expected `name.jpg#0<tab>caption`, received {line[:60]!r}. "
                "Tables need the ending .csv, .tsv or .jsonl."
            )
        picture, error = _place(folder, name.rpartition("#")[0])
        rows.append(Row(where, picture, caption, error=error))
    return rows


def _place(folder, name):
    """The path of the picture that a table names, and why it must not be read or ""."""
    if not name:
        return None, ""
    picture = folder / name
    try:
        if picture.resolve().is_relative_to(folder.resolve()):
            return picture, ""
    except (OSError, RuntimeError, ValueError) as error:  # loops of links, NUL bytes
        return picture, f"the picture {name!r} has no place ({error})"
    return picture, (
        f"the picture {name!r} lies outside of {folder}. If it should, name the folder "
        "that holds all pictures with --image-dir"
    )


def _pictures_beside(path):
    beside = path.parent / "images"
    return beside if beside.is_dir() else path.parent
