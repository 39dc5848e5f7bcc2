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

from ..core.data import drawn, labelled, picture_folders, prepared, splits
from ..core.data.places import path_of
from ..core.data.rows import Row
from ..core.errors import UserError
from . import arrays

SIDE = 28  # pixels of a builtin picture


def read(config, kind):
    """The pictures that `config.data` names, in three splits with the columns `image`,
    `label` and `name`.

    Args:
        kind: the `Picture` of a request.

    Raises:
        UserError: there is no such data, a picture is bad (see `sieve.sift`), or none
            is left to learn from.
    """
    if config.data == "builtin":
        rows = builtin_rows(config)
    elif config.data.startswith("tfds:"):
        rows = tfds_rows(config)
    else:
        rows = file_rows(config, kind)
    rows = with_validation(config, rows)
    return labelled.split_rows(config, rows, "name", "pictures", paths=("image",))


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
    size = draw.uniform(0.45, 0.75)
    x, y = (0.5 + draw.uniform(-0.1, 0.1) for _ in range(2))
    strokes = [
        [(x + size * a, y + size * b) for a, b in stroke]
        for stroke in drawn.handwritten(draw, digit)
    ]
    dark, light = draw.randint(0, 60), draw.randint(195, 255)
    ink, paper = (dark, light) if draw.random() < 0.5 else (light, dark)
    return drawn.draw_strokes(strokes, SIDE, draw.uniform(0.06, 0.1), ink, paper)


def tfds_rows(config):
    """The rows of a set of tensorflow-datasets, list of `Row`."""
    import tensorflow_datasets as tfds

    builder = prepared.builder(config.data, config.data_dir)
    features = builder.info.features
    if not {"image", "label"} <= features.keys():
        raise UserError(
            f"{config.data}: expected the features image and label, received "
            f"{', '.join(features)}. Use a set of pictures with labels, as tfds:mnist."
        )
    encoded = {"image": tfds.decode.SkipDecoding()}
    rows = []
    for split in builder.info.splits:
        if splits.error_of(split):
            continue  # as "extra"; no one says what it is for
        found = builder.as_dataset(split=split, decoders=encoded, shuffle_files=False)
        for i, record in enumerate(found.as_numpy_iterator()):
            label, name = features["label"].int2str(record["label"]), f"{split} {i}"
            values = {"image": record["image"], "label": label, "name": name}
            rows.append(Row(f"{config.data}, {name}", values, split))
    return rows


def file_rows(config, kind):
    """The rows of a file or a folder, list of `Row`."""
    path = path_of(config.data)
    if arrays.is_one(path):
        return arrays.read_rows(path)
    if not path.is_dir():
        raise UserError(
            "--data expected builtin, tfds:NAME, a folder of pictures per class, idx "
            f"files, an .npz or a .csv; received {config.data!r}, which is none."
        )
    found = [file for file in sorted(path.iterdir()) if arrays.is_one(file)]
    if not found:
        return picture_folders.read_rows(config, kind)
    return [row for file in found for row in arrays.read_rows(file)]


def with_validation(config, rows):
    """The rows; if some are for testing and none for validation, those for training are
    divided by the first two numbers of `--split`."""
    given = [row.split and splits.NAMES[row.split.strip().lower()] for row in rows]
    if "test" not in given or "validation" in given:
        return rows
    train, validation, _ = splits.percentages(config.split)
    divided = []
    for row, split in zip(rows, given, strict=True):
        if split != "test" and not row.error:
            part = splits.by_shares(train, validation, 0, row.values["name"])
            row = row._replace(split=part)
        divided.append(row)
    return divided


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    return (
        f"--split={config.split} gives it no picture of {config.data}; a larger last "
        "number, as in 80/10/10, or more pictures would"
    )
