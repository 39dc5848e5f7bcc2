"""One's own pictures and captions: which file holds them, and tables of them."""

import os

from ..core.data import tables
from ..core.data.encodings import read_utf8
from ..core.data.places import path_of
from ..core.errors import UserError
from .annotations import read_flickr, read_json
from .rows import Row, pictures_beside, place


def read_rows(config):
    """The rows of the file that `config.data` names, in its order."""
    if not config.data:  # as from a variable that is not set
        raise UserError(
            "--data expected builtin, tfds:NAME, a file or a folder; received nothing."
        )
    path = find_file(path_of(config.data))
    folder = path_of(config.image_dir) if config.image_dir else None
    read = _reader_of(path)
    if config.split_column and read is not read_table:
        raise UserError(
            f"{path}: --split-column={config.split_column} expected a table, received "
            "a file without columns."
        )
    rows = read(config, path, folder)
    if not rows:
        raise UserError(f"{path}: expected at least one caption, found none.")
    return rows


def _reader_of(path):
    name = path.name.lower()
    if name.endswith((".csv", ".tsv", ".jsonl")):
        return read_table
    if name.endswith(".json"):
        return read_json
    if name.endswith(".txt"):
        header = read_utf8(path).partition("\n")[0]
        if "," in header and "\t" not in header:
            return read_table
    return read_flickr


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
    found = [
        file
        for file in sorted(path.iterdir())
        if file.name.lower().endswith(endings) or file.name.lower() == "captions.txt"
    ]
    if not found:
        raise UserError(
            f"Expected a file of captions ({' '.join(endings)}, or captions.txt) in "
            f"{path}, found none. A table captions.csv with the columns image, a "
            "file's name, and caption will do."
        )
    if len(found) > 1:
        raise UserError(
            f"Expected one file of captions in {path}; found "
            f"{', '.join(p.name for p in found)}. Name the one with --data."
        )
    return found[0]


def read_table(config, path, folder):
    """CSV, TSV or JSON lines, with named columns; Kaggle's captions.txt is CSV."""
    is_text = path.suffix.lower() == ".txt"
    folder = folder or (pictures_beside(path) if is_text else path.parent)
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
        picture, error = place(folder, name)
        captions = record.values[config.caption_column]
        split = None
        if config.split_column:
            split = str(record.values[config.split_column])
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
    return tables.read_csv(path, wanted, lambda cells: _names_picture(folder, cells))


def _names_picture(folder, cells):
    """Whether one of the cells in a row of CSV is a picture's file."""
    for cell in cells:
        picture, error = place(folder, cell)
        if picture and not error and os.path.isfile(picture):  # or too long
            return True
    return False
