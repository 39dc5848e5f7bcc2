"""Pictures and their captions: drawn here, from tensorflow-datasets, or one's own.

`--data` takes

- `builtin`: scenes of coloured shapes, see `scenes.builtin`;
- `tfds:NAME`: a set with the features `image` and `captions`, `tfds:coco_captions`;
- a path: a file of one of the forms below, or a folder with exactly one of them, by its
  ending:
  - a table (`.csv`, `.tsv`, `.jsonl`) with a column of picture files (paths relative to
    the table) and a column of captions; several rows may name one picture, in `.jsonl`
    a caption may be a list of them; `.tsv` has no quoting; `--split-column` names a
    column with train, val or test;
  - Kaggle's `captions.txt`: a table with commas and the header `image,caption`;
  - COCO's annotation JSON: `images` (`id`, `file_name`) and `annotations` (`image_id`,
    `caption`, and mostly an `id`);
  - Karpathy's JSON, as `dataset_coco.json`: `images` (`filename`, perhaps `filepath`,
    `split`, `sentences` with `raw`); its splits are taken, restval as train;
  - Flickr8k's token file (`.token`, `.token.txt`), lines of `name.jpg#0<tab>caption`.

But for the first form, the pictures lie in a folder `images` or `Images` beside the
file, or else beside it themselves. Of each form, `--image-dir` names another folder.

A picture must lie inside the folder that its path is relative to, links followed: a
table from somebody else has no say over other files of this machine.
"""

import dataclasses

from ..core.data.places import lies_in
from ..core.inputs.pictures import kept_in
from ..core.inputs.vocabulary import Vocabulary
from . import scenes
from .checks import checked, split_rows
from .readers import read_rows
from .tensorflow_sets import from_tfds


def load_data(config):
    """The pictures that `config.data` names, in three splits."""
    if config.data == "builtin":
        return scenes.builtin(config)
    if config.data.startswith("tfds:"):
        return from_tfds(config)
    rows = read_rows(config)
    return split_rows(config, checked(config, rows))


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    if config.data.startswith("tfds:"):
        return f"{config.data} holds no two pictures beside those for training"
    if config.split_column:
        return f"no row of {config.data} has test in the column {config.split_column!r}"
    if any(row.split is not None for row in read_rows(config)):
        return f"{config.data} has splits of its own, and no picture in test"
    return (
        f"--split={config.split} gives it no picture of {config.data}; a larger last "
        "number, as in 80/10/10, or more pictures would"
    )


def learn(config, splits):
    """The vocabulary of the training captions, and the longest caption's length."""
    sentences = [s for captions in splits.train.captions for s in captions]
    vocabulary = Vocabulary.build(
        sentences, config.units, config.vocabulary_size, config.min_count
    )
    if not config.max_length:
        longest = max(vocabulary.lengths(sentences))
        config = dataclasses.replace(config, max_length=longest)
    return config, vocabulary


def assets_from_json(text):
    return Vocabulary.from_json(text)


def describe(config, splits):
    """What is in the data, for people."""
    facts = {"lies in": lies_in(config, builtin="drawn by every command")}
    for name in ("train", "validation", "test"):
        examples = getattr(splits, name)
        captions = sum(len(c) for c in examples.captions)
        facts[f"{name} pictures"] = len(examples)
        facts[f"{name} captions"] = captions
    sentences = [s for captions in splits.train.captions for s in captions]
    vocabulary = Vocabulary.build(sentences)
    lengths = vocabulary.lengths(sentences)
    facts["words"] = vocabulary.size - len(Vocabulary.special)
    facts["longest caption"] = f"{max(lengths) - 1} words"
    facts["mean caption"] = f"{sum(lengths) / len(lengths) - 1:.1f} words"
    side = config.image_size
    facts["one example"] = f"image uint8 ({side}, {side}, 3), caption string"
    facts["while training"] = kept_in(len(splits.train), side)
    step = max(1, len(splits.train) // 3)
    for i in range(0, len(splits.train), step)[:3]:
        picture = splits.train.files[i]
        name = f"picture {i}" if isinstance(picture, bytes) else picture
        facts[f"example {i // step + 1}"] = f"{name}: {splits.train.captions[i][0]}"
    return facts


def example():
    """One raw request: {"image_bytes": a batch of one PNG}."""
    return {"image_bytes": [scenes.example()]}
