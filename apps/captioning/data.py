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

from ..core.data import manifest, splits
from ..core.data.encodings import read_utf8
from ..core.data.media_sets import from_tfds
from ..core.data.places import path_of
from ..core.errors import UserError
from ..core.inputs.picture_files import error_of
from ..core.inputs.tokenizer import normalised_for_scores
from . import scenes
from .annotations import read_flickr, read_json

ENDINGS = (*manifest.TABLES, ".json", ".token", ".token.txt")
EXAMPLE = (
    "A table captions.csv with the columns image, a file's name, and caption will do."
)


def load_data(config):
    """The pictures that `config.data` names, in three splits."""
    if config.data == "builtin":
        return scenes.builtin(config)
    if config.data.startswith("tfds:"):
        return from_tfds(config)
    rows = manifest.checked(config, read_rows(config), caption_errors, error_of)
    folder = path_of(config.image_dir or config.data)
    return manifest.split_rows(config, rows, folder, "image", "captions")


def read_rows(config):
    """The rows of the file that `config.data` names, in its order."""
    path = manifest.find_file(config.data, ENDINGS, ("captions.txt",), EXAMPLE)
    folder = path_of(config.image_dir) if config.image_dir else None
    is_text = path.suffix.lower() == ".txt"
    if path.suffix.lower() in manifest.TABLES or is_text and has_commas(path):
        beside = manifest.pictures_beside(path) if is_text else path.parent
        rows = manifest.read_table(
            path,
            folder or beside,
            config.image_column,
            config.caption_column,
            config.split_column,
        )
    elif config.split_column:
        raise UserError(
            f"{path}: --split-column={config.split_column} expected a table, received "
            "a file without columns."
        )
    else:
        read = read_json if path.suffix.lower() == ".json" else read_flickr
        rows = read(config, path, folder)
    if not rows:
        raise UserError(f"{path}: expected at least one caption, found none.")
    return rows


def has_commas(path):
    """Whether a text file is a table, as Kaggle's captions.txt, not lines with tabs."""
    header = read_utf8(path).partition("\n")[0]
    return "," in header and "\t" not in header


def caption_errors(captions):
    """What is wrong with each of a list of captions, or ""."""
    texts = [text if isinstance(text, str) else "" for text in captions]
    return [
        "" if words else f"the caption is empty: {caption!r}"
        for caption, words in zip(captions, normalised_for_scores(texts), strict=True)
    ]


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    if config.data.startswith("tfds:"):
        return f"{config.data} holds no two pictures beside those for training"
    if not config.split_column and any(row.split for row in read_rows(config)):
        return f"{config.data} has splits of its own, and no picture in test"
    return splits.why_no_test(config, "picture")
