"""Faces and whose they are: drawn here, or one's own.

`--data` takes

- `builtin`: drawn faces, see `builtin`;
- a path: a folder with a folder of pictures per person (`ada/1.png`, `ada/2.jpg`),
  split by `--split`; or with a folder for each of train, validation and test, which
  hold such folders.

A person without a picture in the training split is unknown to the model: of such ones
it is measured whether two pictures show the same.
"""

from ..core.data import labelled_pictures, picture_folders, splits
from ..core.data.rows import Examples, Splits
from . import drawing
from .config import kinds

PERSONS = 20  # of the builtin data, in training
UNSEEN = 4  # others in validation, and others again in test


def read(config):
    """The pictures that `config.data` names, in three splits with the columns `image`
    and `label`, the person's name."""
    if config.data == "builtin":
        return builtin(config)
    rows = picture_folders.read_rows(config, kinds(config)["image"])
    return labelled_pictures.split_rows(config, rows)


def builtin(config):
    """Drawn faces; the same for every seed and on every machine.

    The pictures of 20 persons are in all splits; four more persons are in validation
    only, and four in test only, with all their pictures.
    """
    parts = {name: ([], []) for name in ("train", "validation", "test")}
    for i in range(PERSONS + 2 * UNSEEN):
        name = f"person {i + 1:02}"
        for k, picture in enumerate(drawing.pictures(name, config.builtin_size)):
            images, labels = parts[split_of(config, i, k, name)]
            images.append(picture)
            labels.append(name)
    return Splits(*(Examples(image=x, label=y) for x, y in parts.values()))


def split_of(config, person, picture, name):
    """The split of a builtin picture, by its number and its person's."""
    if person >= PERSONS:
        return "validation" if person < PERSONS + UNSEEN else "test"
    return splits.by_hash(config.split, f"{name}, {picture}")
