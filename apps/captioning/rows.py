"""A row: one caption of one picture, as a file names them."""

import pathlib
import typing


class Row(typing.NamedTuple):
    """One caption of one picture."""

    where: str  # it was written: the file, and the line or the entry
    picture: pathlib.Path | None = None
    caption: str = ""
    split: str | None = None  # as the file names it; None: as --split says
    error: str = ""  # why the row cannot be used


def place(folder, name):
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


def pictures_beside(path):
    """The folder `images` or `Images` beside a file, else the file's folder."""
    for name in ("images", "Images"):
        if (path.parent / name).is_dir():
            return path.parent / name
    return path.parent
