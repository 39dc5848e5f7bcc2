"""Pictures in a folder per class: `ada/1.png`, `ada/2.jpg`, `bob/1.png`; or the same
once per split: `train/ada/1.png`, `test/ada/7.png`."""

import re

from ..errors import UserError
from . import splits
from .labelled import warn_of_unread
from .places import path_of
from .rows import Row


def read_rows(config, kind):
    """All pictures, also the bad ones, in natural order: 2.png before 10.png.

    A file with the ending of a picture is a row, one that cannot be read a row with its
    error; other files are named in one warning. What is hidden, and folders without a
    file, count for nothing.

    Args:
        config: with `data`. kind: the `Picture` that requests hold, which knows the
            endings of pictures and what is wrong with a file.

    Returns:
        list of `Row` with the values `image`, the path, str; `label`, the name of its
        folder; and `name`, str: the path inside of `config.data`, by which rows are
        split on every machine alike.

    Raises:
        UserError: there is no such folder, or no picture in folders in it.
    """
    root = path_of(config.data)
    if not root.is_dir():
        raise UserError(
            "--data expected a folder that holds a folder of pictures per class; "
            f"there is no folder {root}."
        )
    files = [
        (file, split)
        for folder, split in _class_folders(root)
        for file in _inside(folder)
        if file.suffix.lower() in kind.endings and not file.is_dir()
    ]
    if not files:
        raise UserError(
            f"{root}: expected a folder per class with pictures "
            f"({' '.join(kind.endings)}) in it, as {root / 'NAME' / '1.png'}; found "
            "none."
        )
    warn_of_unread(root, {file for file, _ in files}, "pictures")
    return [_row(root, file, split, kind.error_of(file)) for file, split in files]


def _row(root, file, split, error):
    name = file.relative_to(root).as_posix()
    values = {"image": str(file), "label": file.parent.name, "name": name}
    return Row(str(file.parent), values, split, error)


def _class_folders(root):
    """The folders of classes, each with its split or None: list of pairs."""
    folders = [path for path in _inside(root) if path.is_dir()]
    if not all(folder.name.lower() in splits.NAMES for folder in folders):
        return [(folder, None) for folder in folders]
    return [
        (inside, folder.name)
        for folder in folders
        for inside in _inside(folder)
        if inside.is_dir()
    ]


def _inside(folder):
    """What lies in a folder and is not hidden, in natural order; list of paths."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(found, key=_natural)


def _natural(path):
    """A key by which numbers inside of names go by their size."""
    parts = re.split(r"(\d+)", path.name)
    return [(part.zfill(20), part) for part in parts]
