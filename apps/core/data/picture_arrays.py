"""Labelled pictures as numbers: idx files, .npz, and .csv with a pixel in a cell."""

import csv
import io
import pathlib
import re
import typing
import zipfile
import zlib

import numpy as np
from PIL import Image

from ..errors import UserError
from .encodings import read_content, read_utf8
from .rows import Row

IDX = re.compile(r"(.*)images(.*)idx3-ubyte(\.gz)?", re.IGNORECASE)
BROKEN = zipfile.BadZipFile, zlib.error
TEST = re.compile(r"t10k|test", re.IGNORECASE)


class Part(typing.NamedTuple):
    """Pictures of a file and their labels."""

    where: str
    pictures: np.ndarray  # uint8 (n, height, width) or (n, height, width, 3)
    labels: np.ndarray  # (n,)
    split: str | None  # as the file names it


def is_one(path):
    """Whether a path is a file of one of these forms."""
    is_form = IDX.fullmatch(path.name) or path.suffix.lower() in (".npz", ".csv")
    return bool(is_form) and path.is_file()


def read_rows(path):
    """The rows of a file that `is_one`, list of `Row`, see `rows_of`.

    Raises:
        UserError: it is not what it should be.
    """
    if path.suffix.lower() == ".npz":
        return [row for part in npz_parts(path) for row in rows_of(part)]
    if path.suffix.lower() == ".csv":
        return csv_rows(path)
    return rows_of(idx_part(path))


def rows_of(part):
    """`Row`s with `image`, the bytes of a PNG; `label`, str; and `name`, str, where the
    picture stands."""
    count, labels = len(part.pictures), len(part.labels)
    if count != labels:
        raise UserError(
            f"{part.where}: expected a label for each of {count} pictures, received "
            f"{labels}."
        )
    names = [f"{pathlib.Path(part.where).name} {i}" for i in range(count)]
    return [
        Row(name, {"image": png(p), "label": str(label), "name": name}, part.split)
        for name, p, label in zip(names, part.pictures, part.labels, strict=True)
    ]


def png(pixels):
    """The bytes of a PNG. pixels: uint8 (height, width) or (height, width, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


# idx, as MNIST comes


def idx_part(path):
    """The pictures of an idx file; their labels stand beside it, in the file that is
    called likewise: train-images-idx3-ubyte and train-labels-idx1-ubyte, also .gz."""
    name = re.sub("images", "labels", path.name, flags=re.IGNORECASE)
    labels = path.with_name(name.replace("idx3", "idx1"))
    if not labels.is_file():
        raise UserError(
            f"{path}: expected its labels beside it; there is no {labels.name}."
        )
    split = "test" if TEST.search(path.name) else None
    return Part(str(path), read_idx(path, 3), read_idx(labels, 1), split)


def read_idx(path, axes):
    """An idx file of bytes: its magic number 00 00 08 and the number of axes, the
    length of each in four bytes, the highest first, and the numbers; uint8."""
    content = read_content(path)
    magic, head = bytes((0, 0, 8, axes)), 4 + 4 * axes
    if content[:4] != magic or len(content) < head:
        raise UserError(
            f"{path}: expected an idx file of bytes with {axes} axes, which begins "
            f"with {magic.hex(' ')}; received {content[:4].hex(' ') or 'no bytes'}."
        )
    shape = tuple(np.frombuffer(content[4:head], ">u4").tolist())
    size = int(np.prod(shape, dtype=object))
    if len(content) - head != size:
        raise UserError(
            f"{path}: expected {size:,} numbers, as its shape {shape} says; received "
            f"{len(content) - head:,}."
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


# NumPy


def npz_parts(path):
    """The parts of an .npz: x_train and y_train, x_test and y_test, as Keras has them;
    or x and y."""
    names = {"x": None, "x_train": "train", "x_val": "val", "x_test": "test"}
    try:
        # Without pickles, which would be programs.
        with np.load(io.BytesIO(read_content(path))) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, *BROKEN) as error:
        raise UserError(f"{path} cannot be read as .npz: {error}.") from None
    parts = [
        Part(f"{path}, {x}", arrays[x], arrays[x.replace("x", "y", 1)], split)
        for x, split in names.items()
        if x in arrays and x.replace("x", "y", 1) in arrays
    ]
    if not parts:
        raise UserError(
            f"{path}: expected the arrays x_train and y_train, x_test and y_test, or x "
            f"and y; received {', '.join(arrays) or 'none'}."
        )
    for part in parts:
        pixels = part.pictures
        right = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)
        if pixels.dtype != np.uint8 or not right:
            raise UserError(
                f"{part.where}: expected uint8 (pictures, height, width) or (pictures, "
                f"height, width, 3); received {pixels.dtype} {pixels.shape}."
            )
        if part.labels.ndim != 1 or part.labels.dtype.kind not in "iuU":
            raise UserError(
                f"{part.where}: expected a number or a name as the label of each "
                f"picture; received {part.labels.dtype} {part.labels.shape}."
            )
    return parts


# A pixel in every cell


def csv_rows(path):
    """The rows of a .csv: a label, then the grey pixels of a square, row by row, 0 to
    255. A first line that holds a word is a header; its column `label` may stand
    anywhere."""
    rows, at = [], 0
    for number, cells in enumerate(csv.reader(io.StringIO(read_utf8(path))), 1):
        if number == 1 and not all(cell.strip().isdecimal() for cell in cells):
            at = cells.index("label") if "label" in cells else 0
        elif cells:
            rows.append(csv_row(path, number, cells, at))
    return rows


def csv_row(path, number, cells, at):
    where = f"{path}, line {number}"
    label, numbers = cells[at].strip() if at < len(cells) else "", cells.copy()
    del numbers[at : at + 1]
    side = int(len(numbers) ** 0.5)
    try:
        pixels = np.array([int(cell) for cell in numbers], np.uint8)
        if not (side and side**2 == len(pixels) and label):
            raise ValueError
        pixels = pixels.reshape(side, side)
    except (ValueError, OverflowError):
        error = (
            "expected a label and the pixels of a square, whole numbers from 0 to 255; "
            f"received {len(cells)} cells, {', '.join(cells)[:40]!r} ..."
        )
        return Row(where, error=error)
    name = f"{path.name} {number}"
    return Row(where, {"image": png(pixels), "label": label, "name": name})
