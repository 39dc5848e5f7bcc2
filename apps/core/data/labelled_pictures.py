"""Labelled pictures: a set of tensorflow-datasets, a folder per class, or arrays."""

from ..errors import UserError
from . import labelled, picture_arrays, picture_folders, prepared, splits
from .places import path_of
from .rows import Row


def read_splits(config, kind):
    """The pictures that `config.data` names, in three splits with the columns `image`,
    bytes or the path of a file; `label` and `name`, str. Which split a picture belongs
    to, where the data does not say, is a hash of its name.

    Args:
        config: with `data`, `data_dir`, `split`, `skip_bad` and `bad_at_most`.
        kind: the `Picture` of a request.

    Raises:
        UserError: there is no such data, a picture is bad (see `sieve.sift`), or none
            is left to learn from.
    """
    if config.data.startswith("tfds:"):
        rows = tfds_rows(config)
    else:
        rows = file_rows(config, kind)
    return split_rows(config, with_validation(config, rows))


def split_rows(config, rows):
    """Rows with these columns in three splits, see `labelled.split_rows`."""
    return labelled.split_rows(config, rows, "name", "pictures", paths=("image",))


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
            continue  # as "extra": nothing says what it is for
        found = builder.as_dataset(split=split, decoders=encoded, shuffle_files=False)
        for i, record in enumerate(found.as_numpy_iterator()):
            label, name = features["label"].int2str(record["label"]), f"{split} {i}"
            values = {"image": record["image"], "label": label, "name": name}
            rows.append(Row(f"{config.data}, {name}", values, split))
    return rows


def file_rows(config, kind):
    """The rows of a file or a folder, list of `Row`."""
    path = path_of(config.data)
    if picture_arrays.is_one(path):
        return picture_arrays.read_rows(path)
    if not (config.data and path.is_dir()):
        raise UserError(
            "--data expected builtin, tfds:NAME, a folder of pictures per class, idx "
            f"files, an .npz or a .csv; received {config.data!r}, which is none."
        )
    found = [file for file in sorted(path.iterdir()) if picture_arrays.is_one(file)]
    if not found:
        return picture_folders.read_rows(config, kind)
    return [row for file in found for row in picture_arrays.read_rows(file)]


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
    return splits.why_no_share(config, "picture")
