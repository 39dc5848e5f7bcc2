"""Pictures of digits and their labels: drawn here, from tensorflow-datasets, or one's
own; as they are, or composed to scenes.

`--data` takes

- `builtin`: digits of a few strokes, dark on light or light on dark;
- `tfds:NAME`: a set with the features `image` and `label`, as `tfds:mnist`;
- a path: what the app digits reads, too: a folder with a folder of pictures per class,
  `7/a.png`, perhaps inside of `train` and `test` (or `val`); MNIST's idx files; an
  `.npz` with `x_train`, `y_train`, `x_test` and `y_test`; a `.csv` with a label and the
  pixels of a square in every row.

`--scene` composes other pictures of them, white on black: as many as there are in a
split, each of digits of that split alone, the same for every seed and on every machine.
"""

import io
import random

import numpy as np
from PIL import Image

from ..core.data import drawn, labelled_pictures, splits
from ..core.data.picture_arrays import png
from ..core.data.rows import Examples, Row, Splits
from ..core.errors import UserError

SIDE = 28  # pixels of a digit that is moved about, as MNIST has it
SMALL = 14  # of one of several
PIECE = 8  # of clutter


def read(config, kind):
    """The pictures that `config.data` names, see `labelled_pictures.read_splits`,
    composed to scenes."""
    if config.data == "builtin":
        found = labelled_pictures.split_rows(config, builtin_rows(config))
    else:
        found = labelled_pictures.read_splits(config, kind)
    if config.scene == "digit":
        return found
    parts = (found.train, found.validation, found.test)
    names = ("train", "validation", "test")
    return Splits(*(composed(config, *pair) for pair in zip(parts, names, strict=True)))


def builtin_rows(config):
    """Digits as a hand would draw them, list of `Row`: somewhere, of some size; for
    scenes in the middle, light on dark."""
    draw, rows = random.Random("saccade glimpse"), []
    for i in range(config.builtin_size):
        digit, name = draw.choice(list(drawn.DIGITS)), f"drawing {i}"
        values = {"image": picture(draw, digit, config), "label": digit, "name": name}
        rows.append(Row(name, values))
    return rows


def picture(draw, digit, config):
    """The bytes of a PNG."""
    pens = (0.06, 0.09)
    if config.scene == "digit":
        return drawn.draw_digit(draw, digit, config.image_size, (0.45, 0.6), 0.1, pens)
    return drawn.draw_digit(draw, digit, SIDE, (0.6, 0.7), 0.0, pens, any_colour=False)


# Scenes


def composed(config, examples, split):
    """Scenes of one split's digits, `Examples` with the same columns."""
    digits = [light_on_dark(*pair) for pair in _pairs(examples, "image", "name")]
    labels, rows = examples["label"], {"image": [], "label": [], "name": []}
    for i in range(len(digits)):
        seed = splits.hash_of(f"{config.scene} {split} {i}")
        draw = np.random.default_rng(seed)
        if config.scene == "several":
            chosen = draw.integers(len(digits), size=1 + draw.integers(config.digits))
            canvas = side_by_side(draw, [digits[j] for j in chosen], config.image_size)
            label = "".join(labels[j] for j in chosen)
        else:
            canvas = np.zeros((config.image_size, config.image_size), np.uint8)
            if config.scene == "cluttered":
                add_clutter(draw, canvas, digits, config.clutter)
            put(canvas, digits[i], *draw.integers(config.image_size - SIDE + 1, size=2))
            label = labels[i]
        rows["image"].append(png(canvas))
        rows["label"].append(label)
        rows["name"].append(f"{config.scene} {examples['name'][i]}")
    return Examples(**rows)


def _pairs(examples, *columns):
    return zip(*(examples[name] for name in columns), strict=True)


def light_on_dark(image, name):
    """A picture of the data as uint8 (SIDE, SIDE), its paper black.

    Raises:
        UserError: it cannot be read.
    """
    try:
        file = io.BytesIO(image) if isinstance(image, bytes) else image
        with Image.open(file) as opened:
            grey = opened.convert("L")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: the picture cannot be read: {error}.") from None
    if grey.size != (SIDE, SIDE):
        grey = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(grey)
    return 255 - pixels if pixels.mean() > 127 else pixels


def put(canvas, digit, x, y):
    """A digit onto a canvas, in place: the lighter of the two."""
    part = canvas[y : y + len(digit), x : x + digit.shape[1]]
    np.maximum(part, digit, out=part)


def add_clutter(draw, canvas, digits, count):
    """Pieces of other digits, in place (Mnih et al. 2014, section 4.1)."""
    for _ in range(count):
        digit = digits[draw.integers(len(digits))]
        # Of its middle: a corner is empty.
        x, y = draw.integers(4, SIDE - 4 - PIECE + 1, size=2)
        put(
            canvas,
            digit[y : y + PIECE, x : x + PIECE],
            *draw.integers(len(canvas) - PIECE + 1, size=2),
        )


def side_by_side(draw, digits, side):
    """Digits of half the size from left to right, each at a height of its own, with
    gaps of any width: uint8 (side, side)."""
    canvas = np.zeros((side, side), np.uint8)
    room = side - SMALL * len(digits)
    before = np.sort(draw.integers(room + 1, size=len(digits)))
    for i, (digit, gap) in enumerate(zip(digits, before, strict=True)):
        means = digit.reshape(SMALL, 2, SMALL, 2).mean((1, 3))
        small = np.uint8(np.round(means))
        put(canvas, small, SMALL * i + gap, draw.integers(side - SMALL + 1))
    return canvas


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    return labelled_pictures.why_no_test(config)
