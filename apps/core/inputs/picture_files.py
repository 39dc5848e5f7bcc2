"""What is wrong with a picture file, without decoding it in the graph."""

import math
import os
import warnings

from PIL import Image

from .pictures import MAX_PIXELS

# As Pillow calls them; MPO is what many cameras write, a JPEG with previews.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP")


def missing(picture):
    """That there is no such file, or ""."""
    # A path's own is_file raises where a name is too long.
    return "" if os.path.isfile(picture) else f"there is no picture {picture}"


def error_of(picture):
    """Why a picture cannot be used, or "". Several times faster than decoding it."""
    if picture is None:
        return "the picture's name is empty"
    try:
        if error := missing(picture):
            return error
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
