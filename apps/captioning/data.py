"""Pictures and their captions: drawn here, from tensorflow-datasets, or one's own.

`--data` takes

- `builtin`: scenes of coloured shapes, see `scenes.builtin`;
- `tfds:NAME`: a set with the features `image` and `captions`, `tfds:coco_captions`;
- a path: a file of one of the forms below, or a folder with exactly one of them:
  - a table (`.csv`, `.tsv`, `.jsonl`) with a column of picture files (paths relative to
    the table) and a column of captions; several rows may name one picture, in `.jsonl`
    a caption may be a list of them; `.tsv` has no quoting; `--split-column` names a
    column with train, val or test;
  - COCO's annotation JSON (`images`, `annotations`); the pictures lie beside it, in a
    folder `images`, or in `--image-dir`;
  - Flickr8k's token file, lines of `name.jpg#0<tab>caption`.

A picture must lie inside the folder that its path is relative to, links followed: a
table from somebody else has no say over other files of this machine.
"""

import csv
import dataclasses
import json
import math
import os
import pathlib
import tempfile
import typing
import warnings
import weakref

from PIL import Image

from ..core.data import prepared
from ..core.data.places import lies_in, path_of
from ..core.data.sieve import report_skipped
from ..core.errors import UserError
from ..core.files.scratch import no_room
from ..core.inputs.pictures import MAX_PIXELS, kept_in
from ..core.inputs.vocabulary import Vocabulary, normalised
from . import scenes
from .examples import Examples, Splits

# Bytes of a tfds set's pictures in memory at most; beyond, they are temporary files.
IN_MEMORY = 2**28

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


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


# One's own pictures


class Row(typing.NamedTuple):
    """One caption of one picture, and where it was written: file and line."""

    where: str
    picture: pathlib.Path
    caption: str
    split: str = ""
    error: str = ""  # why the picture must not be read


def read_rows(config):
    """The rows of the file that `config.data` names, in its order."""
    if not config.data:  # as from a variable that is not set
        raise UserError(
            "--data expected builtin, tfds:NAME, a file or a folder; received nothing."
        )
    path = find_file(path_of(config.data))
    folder = path_of(config.image_dir) if config.image_dir else None
    readers = {
        ".csv": read_table,
        ".tsv": read_table,
        ".jsonl": read_table,
        ".json": read_coco,
    }
    read = readers.get(path.suffix.lower(), read_flickr)
    try:
        rows = read(config, path, folder)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected text in UTF-8; {error}.") from None
    if not rows:
        raise UserError(f"{path}: expected at least one caption, found none.")
    return rows


def find_file(path):
    """The file itself, or the one table, annotation or token file in the folder."""
    if os.path.isfile(path):  # False where no file can be called so
        return path
    if not os.path.isdir(path):
        raise UserError(
            "--data expected builtin, tfds:NAME, a file or a folder; there is no "
            f"{path}."
        )
    endings = (".csv", ".tsv", ".jsonl", ".json", ".token", ".token.txt")
    found = [p for p in sorted(path.iterdir()) if p.name.lower().endswith(endings)]
    if not found:
        raise UserError(
            f"Expected a file of captions ({' '.join(endings)}) in {path}, found none. "
            "A table captions.csv with the columns image, a file's name, and caption "
            "will do."
        )
    if len(found) > 1:
        raise UserError(
            f"Expected one file of captions in {path}; found "
            f"{', '.join(p.name for p in found)}. Name the one with --data."
        )
    return found[0]


def read_table(config, path, folder):
    """CSV, TSV or JSON lines, with named columns."""
    wanted = {
        "--image-column": config.image_column,
        "--caption-column": config.caption_column,
    }
    if config.split_column:
        wanted["--split-column"] = config.split_column
    rows = []
    is_json = path.suffix.lower() == ".jsonl"
    for where, record in (_json_lines if is_json else _columns)(path):
        missing = [f"{c!r} ({o})" for o, c in wanted.items() if c not in record]
        if missing:
            raise UserError(
                f"{where if is_json else f'{path}, line 1'}: expected a column "
                f"{' and a column '.join(missing)}; the columns are: "
                f"{', '.join(record)}."
            )
        name = str(record[config.image_column] or "")
        picture, error = _place(folder or path.parent, name)
        captions = record[config.caption_column]
        split = str(record[config.split_column]) if config.split_column else ""
        if not captions or not isinstance(captions, list):
            captions = [captions]  # an empty list too: `checked` reports it as empty
        for caption in captions:
            rows.append(Row(where, picture, caption, split, error))
    return rows


def _columns(path):
    """(where, {column: text}) for every row of a CSV or TSV file."""
    style = {}
    if path.suffix.lower() == ".tsv":
        style = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, **style)
        try:
            columns = next(reader, [])
            for cells in reader:
                where = f"{path}, line {reader.line_num}"
                if len(cells) not in (0, len(columns)):
                    raise UserError(
                        f"{where}: expected {len(columns)} columns like the header's, "
                        f"received {len(cells)}."
                    )
                if cells:
                    yield where, dict(zip(columns, cells, strict=True))
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: {error}.") from None


def _json_lines(path):
    """(where, dict) for every line of a JSON lines file that is not blank."""
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where}: expected JSON; {error}.") from None
            if not isinstance(record, dict):
                raise UserError(f"{where}: expected a JSON object, {{...}}.")
            yield where, record


def read_coco(config, path, folder):
    """COCO's captions JSON: `images` and `annotations`."""
    text = path.read_text("utf-8-sig")
    try:
        content = json.loads(text)
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        said = [(a["id"], a["image_id"], a["caption"]) for a in content["annotations"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: expected COCO's captions JSON with `images` (id, file_name) and "
            f"`annotations` (id, image_id, caption); {type(error).__name__}: {error}."
        ) from None
    folder = folder or _pictures_beside(path)
    rows = []
    for number, image, caption in said:
        where = f"{path}, annotation {number}"
        if not isinstance(image, int | str) or image not in names:
            raise UserError(f"{where}: no image with the id {image}.")
        picture, error = _place(folder, names[image])
        rows.append(Row(where, picture, caption, error=error))
    return rows


def read_flickr(config, path, folder):
    """Flickr8k's lines of `name.jpg#0<tab>caption`."""
    folder = folder or _pictures_beside(path)
    rows = []
    for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        name, tab, caption = line.partition("\t")
        if not tab or "#" not in name:
            raise UserError(
                f"{where}: expected `name.jpg#0<tab>caption`, received {line[:60]!r}. "
                "Tables need the ending .csv, .tsv or .jsonl."
            )
        picture, error = _place(folder, name.rpartition("#")[0])
        rows.append(Row(where, picture, caption, error=error))
    return rows


def _place(folder, name):
    """The path of the picture that a table names, and why it must not be read or ""."""
    if not name:
        return None, ""
    picture = folder / name
    try:
        if picture.resolve().is_relative_to(folder.resolve()):
            return picture, ""
    except (OSError, RuntimeError, ValueError) as error:  # loops of links, NUL bytes
        return picture, f"the picture {name!r} has no place ({error})"
    return picture, (
        f"the picture {name!r} lies outside of {folder}. If it should, name the folder "
        "that holds all pictures with --image-dir"
    )


def _pictures_beside(path):
    beside = path.parent / "images"
    return beside if beside.is_dir() else path.parent


def checked(config, rows):
    """The rows whose picture opens and whose caption says something.

    Raises:
        UserError: for the first bad row; with --skip-bad the bad ones are counted, and
            only too many of them are an error.
    """
    texts = [row.caption if isinstance(row.caption, str) else "" for row in rows]
    verdicts = {}  # A picture of five captions is opened once.
    good, bad = [], []
    for row, words in zip(rows, normalised(texts), strict=True):
        if not row.error and row.picture not in verdicts:
            verdicts[row.picture] = _picture_error(row.picture)
        error = row.error or verdicts[row.picture]
        if not error and not words:
            error = f"the caption is empty: {row.caption!r}"
        if not error:
            good.append(row)
        elif config.skip_bad:
            bad.append(f"{row.where}: {error}")
        else:
            raise UserError(
                f"{row.where}: {error}. (--skip-bad counts and skips such rows.)"
            )
    report_skipped(config, bad, len(rows), "rows")
    if not good:
        raise UserError(f"{config.data}: no usable row is left of {len(rows)}.")
    return good


# As Pillow calls them; MPO is what many cameras write, a JPEG with previews.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP")


def _picture_error(picture):
    """Why a picture cannot be used, or "". Several times faster than decoding it."""
    if picture is None:
        return "the picture's name is empty"
    try:
        if not picture.is_file():
            return f"there is no picture {picture}"
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


def split_rows(config, rows):
    """Rows to splits: by their column, else by the hash of the picture's name.

    All captions of a picture stay together, and without a column the same picture
    falls into the same split whatever else is in the table.
    """
    parts = {"train": {}, "validation": {}, "test": {}}  # name -> picture -> captions
    first = {}  # picture -> its first row's split
    for row in rows:
        name = _split_of_row(config, row)
        if first.setdefault(row.picture, name) != name:
            raise UserError(
                f"{row.where}: expected every row of a picture in one split; "
                f"{row.picture} is in {first[row.picture]} above and in {name} here."
            )
        parts[name].setdefault(str(row.picture), []).append(row.caption)
    splits = Splits(*(Examples(list(p), list(p.values())) for p in parts.values()))
    if not splits.train.files:
        raise UserError(f"{config.data}: no picture falls into the training split.")
    return splits


def _split_of_row(config, row):
    if not config.split_column:
        # The path as the table has it: the same on every machine.
        base = path_of(config.image_dir or config.data)
        base = base if base.is_dir() else base.parent
        name = pathlib.Path(os.path.relpath(row.picture, base)).as_posix()
        return _split_by_hash(config.split, name)
    name = SPLIT_NAMES.get(row.split.strip().lower())
    if name is None:
        raise UserError(
            f"{row.where}: expected train, val or test in column "
            f"{config.split_column!r}, received {row.split!r}."
        )
    return name


def _split_by_hash(shares, name):
    try:
        train, validation, test = (float(share) for share in shares.split("/"))
        if train <= 0 or validation < 0 or test < 0:
            raise ValueError
    except ValueError:
        raise UserError(
            f"--split expected three percentages like 90/5/5, received {shares!r}."
        ) from None
    position = scenes.hash_of(name) % 10_000 / 10_000 * (train + validation + test)
    if position < train:
        return "train"
    return "validation" if position < train + validation else "test"


# tensorflow-datasets


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
    whole = Splits(
        train,
        Examples(rest.files[:half], rest.captions[:half]),
        Examples(rest.files[half:], rest.captions[half:]),
    )
    if folder:
        weakref.finalize(whole, folder.cleanup)
    return whole


def _examples_of(dataset, key, folder):
    """A tfds split with encoded pictures and captions as `key`, as Examples; the
    pictures as files in `folder`, where it is not None."""
    examples = Examples()
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
        examples.files.append(picture)
        examples.captions.append([text.decode() for text in captions])
    return examples
