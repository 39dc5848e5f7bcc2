"""Pictures of digits and their labels: drawn here, from tensorflow-datasets, or one's
own.

`--data` takes

- `builtin`: digits of a few strokes, dark on light or light on dark;
- `tfds:NAME`: a set with the features `image` and `label`, as `tfds:mnist`;
- a path:
  - a folder with a folder of pictures per class, `7/a.png`, perhaps inside of `train`
    and `test` (or `val`);
  - MNIST's own files, `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, also `.gz`: their folder, or one
    of the files with pictures;
  - an `.npz` with `x_train`, `y_train`, `x_test` and `y_test` (and `x_val`, `y_val`),
    or with `x` and `y`: pictures uint8 (n, height, width) or (n, height, width, 3);
  - a `.csv` with a label and the pixels of a square in every row, with or without a
    header, as Kaggle has MNIST.

Where the data has a test split but none for validation, `--split` cuts that out of the
training split.
"""

import random

from ..core.data import drawn, labelled_pictures
from ..core.data.rows import Row

SIDE = 28  # pixels of a builtin picture


def read(config, kind):
    """The pictures that `config.data` names, see `labelled_pictures.read_splits`."""
    if config.data != "builtin":
        return labelled_pictures.read_splits(config, kind)
    return labelled_pictures.split_rows(config, builtin_rows(config))


def builtin_rows(config):
    """Digits as a hand would draw them, the same for every seed and on every machine;
    list of `Row`."""
    draw, rows = random.Random("saccade digits"), []
    for i in range(config.builtin_size):
        digit, name = draw.choice(list(drawn.DIGITS)), f"drawing {i}"
        values = {"image": picture(draw, digit), "label": digit, "name": name}
        rows.append(Row(name, values))
    return rows


def picture(draw, digit):
    """The bytes of a PNG: a digit somewhere, of some size, dark on light or light on
    dark."""
    return drawn.draw_digit(draw, digit, SIDE, (0.45, 0.75), 0.1, (0.06, 0.1))
