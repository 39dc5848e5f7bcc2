"""Which rows are sound, and how they are split."""

import math
import os
import pathlib
import warnings

from PIL import Image

from ..core.data.places import path_of
from ..core.data.sieve import sift
from ..core.errors import UserError
from ..core.inputs.pictures import MAX_PIXELS
from ..core.inputs.vocabulary import normalised
from . import scenes
from .examples import Examples, Splits

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "restval": "train",  # COCO's pictures that Karpathy's split leaves over
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


def checked(config, rows):
    """The rows whose picture opens, whose caption says something, and whose split is
    one; a picture's rows are all in one.

    Raises:
        UserError: for the first bad row; with --skip-bad the bad ones are counted, and
            only too many of them are an error.
    """
    errors = [row.error or _split_error(row) for row in rows]
    errors = _caption_errors(rows, errors)
    errors = _two_splits_errors(rows, errors)
    if config.skip_bad or not any(errors):  # opening all of them takes the longest
        verdicts = {}  # A picture of five captions is opened once.
        for i, row in enumerate(rows):
            if not errors[i]:
                if row.picture not in verdicts:
                    verdicts[row.picture] = _picture_error(row.picture)
                errors[i] = verdicts[row.picture]
    named = [e and f"{row.where}: {e}" for row, e in zip(rows, errors, strict=True)]
    return sift(config, rows, named, "rows")


def _split_error(row):
    if row.split is None or row.split.strip().lower() in SPLIT_NAMES:
        return ""
    return f"expected train, val or test as its split, received {row.split!r}"


def _caption_errors(rows, errors):
    texts = [row.caption if isinstance(row.caption, str) else "" for row in rows]
    return [
        error or ("" if words else f"the caption is empty: {row.caption!r}")
        for row, error, words in zip(rows, errors, normalised(texts), strict=True)
    ]


def _two_splits_errors(rows, errors):
    first = {}  # picture -> its first row's split
    found = []
    for row, error in zip(rows, errors, strict=True):
        if not error and row.split is not None:
            name = SPLIT_NAMES[row.split.strip().lower()]
            if first.setdefault(row.picture, name) != name:
                error = (
                    f"expected every row of a picture in one split; {row.picture} is "
                    f"in {first[row.picture]} above and in {name} here"
                )
        found.append(error)
    return found


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
    """Rows to splits: by their own, else by the hash of the picture's name.

    All captions of a picture stay together, and without splits of the rows the same
    picture falls into the same split whatever else is in the table.
    """
    parts = {"train": {}, "validation": {}, "test": {}}  # name -> picture -> captions
    for row in rows:
        name = _split_of_row(config, row)
        parts[name].setdefault(str(row.picture), []).append(row.caption)
    splits = Splits(*(Examples(list(p), list(p.values())) for p in parts.values()))
    if not splits.train.files:
        raise UserError(f"{config.data}: no picture falls into the training split.")
    return splits


def _split_of_row(config, row):
    if row.split is not None:
        return SPLIT_NAMES[row.split.strip().lower()]
    # The path as the table has it: the same on every machine.
    base = path_of(config.image_dir or config.data)
    base = base if base.is_dir() else base.parent
    name = pathlib.Path(os.path.relpath(row.picture, base)).as_posix()
    return _split_by_hash(config.split, name)


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
