"""Which rows are sound, and how they are split."""

import math
import os
import pathlib
import warnings

from PIL import Image

from ..core.data.places import path_of
from ..core.data.sieve import report_skipped
from ..core.errors import UserError
from ..core.inputs.pictures import MAX_PIXELS
from ..core.inputs.vocabulary import normalised
from . import scenes
from .examples import Examples, Splits

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


def checked(config, rows):
    """The rows whose picture opens and whose caption says something.

    Raises:
        UserError: for the first bad row; with --skip-bad the bad ones are counted, and
            only too many of them are an error.
    """
    texts = [row.caption if isinstance(row.caption, str) else "" for row in rows]
    verdicts = {}  # A picture of five captions is opened once.
    good, bad = [], []
    for row, words in zip(rows, normalised(texts), strict=True):
        if not row.error and row.picture not in verdicts:
            verdicts[row.picture] = _picture_error(row.picture)
        error = row.error or verdicts[row.picture]
        if not error and not words:
            error = f"the caption is empty: {row.caption!r}"
        if not error:
            good.append(row)
        elif config.skip_bad:
            bad.append(f"{row.where}: {error}")
        else:
            raise UserError(
                f"{row.where}: {error}. (--skip-bad counts and skips such rows.)"
            )
    report_skipped(config, bad, len(rows), "rows")
    if not good:
        raise UserError(f"{config.data}: no usable row is left of {len(rows)}.")
    return good


# As Pillow calls them; MPO is what many cameras write, a JPEG with previews.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP")


def _picture_error(picture):
    """Why a picture cannot be used, or "". Several times faster than decoding it."""
    if picture is None:
        return "the picture's name is empty"
    try:
        if not picture.is_file():
            return f"there is no picture {picture}"
        with warnings.catch_warnings():
            # Pillow warns of a bomb; what it warns of is more than we take.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(picture) as opened:
                if opened.format not in FORMATS:
                    return (
                        f"the picture {picture} is {opened.format}, not a JPEG, PNG, "
                        "GIF, BMP or WebP"
                    )
                if math.prod(opened.size) > MAX_PIXELS:
                    return f"the picture {picture} has more than {MAX_PIXELS} pixels"
                if opened.format == "PNG":
                    opened.verify()  # every checksum, without inflating
                else:
                    opened.draft("RGB", (8, 8))  # a JPEG at an eighth of its size
                    opened.load()
    except Exception as error:  # Pillow raises many kinds for broken files.
        return f"the picture {picture} is broken ({error})"
    return ""


def split_rows(config, rows):
    """Rows to splits: by their column, else by the hash of the picture's name.

    All captions of a picture stay together, and without a column the same picture
    falls into the same split whatever else is in the table.
    """
    parts = {"train": {}, "validation": {}, "test": {}}  # name -> picture -> captions
    first = {}  # picture -> its first row's split
    for row in rows:
        name = _split_of_row(config, row)
        if first.setdefault(row.picture, name) != name:
            raise UserError(
                f"{row.where}: expected every row of a picture in one split; "
                f"{row.picture} is in {first[row.picture]} above and in {name} here."
            )
        parts[name].setdefault(str(row.picture), []).append(row.caption)
    splits = Splits(*(Examples(list(p), list(p.values())) for p in parts.values()))
    if not splits.train.files:
        raise UserError(f"{config.data}: no picture falls into the training split.")
    return splits


def _split_of_row(config, row):
    if not config.split_column:
        # The path as the table has it: the same on every machine.
        base = path_of(config.image_dir or config.data)
        base = base if base.is_dir() else base.parent
        name = pathlib.Path(os.path.relpath(row.picture, base)).as_posix()
        return _split_by_hash(config.split, name)
    name = SPLIT_NAMES.get(row.split.strip().lower())
    if name is None:
        raise UserError(
            f"{row.where}: expected train, val or test in column "
            f"{config.split_column!r}, received {row.split!r}."
        )
    return name


def _split_by_hash(shares, name):
    try:
        train, validation, test = (float(share) for share in shares.split("/"))
        if train <= 0 or validation < 0 or test < 0:
            raise ValueError
    except ValueError:
        raise UserError(
            f"--split expected three percentages like 90/5/5, received {shares!r}."
        ) from None
    position = scenes.hash_of(name) % 10_000 / 10_000 * (train + validation + test)
    if position < train:
        return "train"
    return "validation" if position < train + validation else "test"
