"""Pictures in black and white: drawn here, from tensorflow-datasets, or one's own.

`--data` takes what the app digits takes: `builtin`, `tfds:NAME` with the features
`image` and `label`, a folder of pictures per class, MNIST's idx files, an `.npz`, a
`.csv`; labels are not learned.

Nats per picture mean something only for pixels that are 0 or 1. So every picture is
made binary once, when it is read: a pixel is ink with a probability of its brightness,
drawn by a generator with the seed 0. A threshold would make the pictures easier, a new
draw in every epoch would make another data set; neither compares with this.
"""

import io
import math
import pathlib
import random

import numpy as np
from PIL import Image

from ..core.data import drawn, labelled_pictures, picture_arrays
from ..core.data.rows import Examples, Row, Splits

SIDE = 16  # pixels of a builtin glyph
SEED = 0  # of the draws that make pictures binary
APART = 11 / 28  # of the side: how far two pictures on a canvas are apart, at least

CORNERS = [(x, y) for x in (0.28, 0.72) for y in (0.28, 0.72)]
# Strokes in a unit box, x to the right, y down.
STROKES = [
    [(0.1, 0.5), (0.9, 0.5)],
    [(0.5, 0.1), (0.5, 0.9)],
    [(0.15, 0.15), (0.85, 0.85)],
    [(0.85, 0.15), (0.15, 0.85)],
    [
        (0.5 + 0.4 * math.cos(i * math.pi / 8), 0.5 + 0.4 * math.sin(i * math.pi / 8))
        for i in range(17)
    ],
]


def read(config, kind):
    """The pictures that `config.data` names, in three splits with the columns `image`,
    the bytes of a PNG of 0 and 255, and `name`.

    Args:
        config: a `Config`. kind: the `Picture` of a row.
    """
    if config.data == "builtin":
        rows = builtin_rows(config.builtin_size)
        splits = labelled_pictures.split_rows(config, rows)
    else:
        splits = labelled_pictures.read_splits(config, kind)
    draw = np.random.default_rng(SEED)
    parts = (splits.train, splits.validation, splits.test)
    return Splits(*(binary(part, config, draw) for part in parts))


def builtin_rows(count):
    """Glyphs of two strokes in two of four corners, the same for every seed and on
    every machine: list of `Row`."""
    draw, rows = random.Random("saccade glyphs"), []
    for i in range(count):
        corners = draw.sample(CORNERS, 2)
        strokes = [placed(draw.choice(STROKES), corner) for corner in corners]
        values = {
            "image": crisp(drawn.draw_strokes(strokes, SIDE, 0.09, 255, 0)),
            "label": "glyph",
            "name": f"glyph {i}",
        }
        rows.append(Row(values["name"], values))
    return rows


def crisp(content):
    """A grey PNG in black and white, so that no pixel of a glyph is left to chance."""
    return picture_arrays.png(np.where(grey(content, SIDE) > 0.5, 255, 0).astype("u1"))


def placed(stroke, corner):
    """A stroke in a corner, about half as large as the picture."""
    x, y = corner
    return [(x + 0.5 * (a - 0.5), y + 0.5 * (b - 0.5)) for a, b in stroke]


def binary(examples, config, draw):
    """`Examples` of pictures as they are learned. draw: a `numpy.random.Generator`."""
    names = list(examples["name"]) if len(examples) else []
    pictures = [
        grey(image, config.image_size) for image in (examples["image"] if names else [])
    ]
    if config.scene == "two" and names:
        others = draw.permutation(len(pictures))
        pairs = zip(pictures, others, strict=True)
        pictures = [two(one, pictures[other], draw) for one, other in pairs]
        names = [f"{a} and {names[b]}" for a, b in zip(names, others, strict=True)]
    encoded = [
        picture_arrays.png(np.where(draw.random(p.shape) < p, 255, 0).astype(np.uint8))
        for p in pictures
    ]
    return Examples(image=encoded, name=names)


def grey(image, size):
    """The brightness of a picture, float32 (size, size), from 0 to 1, ink bright.

    Args:
        image: bytes or a path.
    """
    content = image if isinstance(image, bytes) else pathlib.Path(image).read_bytes()
    picture = Image.open(io.BytesIO(content)).convert("L")
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BOX)
    values = np.asarray(picture, np.float32) / 255
    return 1 - values if is_dark_on_light(values) else values


def is_dark_on_light(values):
    """Whether most of a picture's edge is bright: then that is paper."""
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    return edge.mean() > 0.5


def two(one, other, draw):
    """Two pictures at half their size somewhere on one canvas, side by side or one
    above the other."""
    size = len(one)
    half = size // 2
    while True:
        places = draw.integers(0, size - half + 1, (2, 2))
        if np.abs(places[0] - places[1]).max() >= APART * size:
            break
    canvas = np.zeros((size, size), np.float32)
    for picture, (y, x) in zip((one, other), places, strict=True):
        cut = picture[: 2 * half, : 2 * half].reshape(half, 2, half, 2)
        window = canvas[y : y + half, x : x + half]
        np.maximum(window, cut.mean(axis=(1, 3)), out=window)
    return canvas


def pixels(images, size):
    """Encoded pictures as bool (n, size, size): where there is ink."""
    return np.array([grey(image, size) > 0.5 for image in images])
