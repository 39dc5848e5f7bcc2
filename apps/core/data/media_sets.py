"""Pictures and captions of tensorflow-datasets."""

import os
import pathlib
import tempfile
import weakref

from ..errors import UserError
from ..files.scratch import no_room
from . import prepared
from .rows import Examples, Splits

# Bytes of a tfds set's pictures in memory at most; beyond, they are temporary files.
IN_MEMORY = 2**28


def from_tfds(config):
    """A set with the features `image` and `captions` (or `caption`).

    A set seldom comes with captions in its test split, so the second half of its
    validation split is the test.
    """
    import tensorflow_datasets as tfds

    builder = prepared.builder(config.data, config.data_dir)
    features = builder.info.features
    key = "captions" if "captions" in features else "caption"
    if "image" not in features or key not in features:
        raise UserError(
            f"{config.data}: expected the features image and captions, received "
            f"{', '.join(features)}. Use a set of pictures with captions, as "
            "tfds:coco_captions."
        )
    splits = builder.info.splits
    held_out = next((s for s in ("validation", "val", "test") if s in splits), None)
    if "train" not in splits or not held_out:
        raise UserError(
            f"{config.data}: expected the splits train and validation or test, "
            f"received {', '.join(splits)}."
        )
    # Only what is needed; COCO has an id beside every caption's text, and boxes.
    one_caption = getattr(features[key], "feature", None)
    in_dict = isinstance(one_caption, tfds.features.FeaturesDict)
    wanted = tfds.decode.PartialDecoding(
        {"image": True, key: {"text": True} if in_dict else True},
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    folder = None
    if builder.info.dataset_size > IN_MEMORY:
        folder = tempfile.TemporaryDirectory(prefix="saccade-")
    train, rest = (
        _examples_of(
            builder.as_dataset(split=split, decoders=wanted),
            key,
            folder and os.path.join(folder.name, split),
        )
        for split in ("train", held_out)
    )
    half = len(rest) // 2
    whole = Splits(train, rest[:half], rest[half:], paths=("image",))
    if folder:
        weakref.finalize(whole, folder.cleanup)
    return whole


def _examples_of(dataset, key, folder):
    """A tfds split with encoded pictures and captions as `key`, as Examples; the
    pictures as files in `folder`, where it is not None."""
    pictures, sentences = [], []
    if folder:
        os.mkdir(folder)
    for number, record in enumerate(dataset.as_numpy_iterator()):
        captions = record[key]
        if isinstance(captions, dict):
            captions = captions["text"]
        if isinstance(captions, bytes):
            captions = [captions]
        picture = record["image"]
        if folder:
            picture = os.path.join(folder, str(number))
            try:
                pathlib.Path(picture).write_bytes(record["image"])
            except OSError as error:
                raise no_room(error) from None
        pictures.append(picture)
        sentences.append([text.decode() for text in captions])
    return Examples(image=pictures, captions=sentences)
