"""Annotation files: COCO's and Karpathy's JSON, and Flickr8k's lines."""

import io
import json
import os

from ..core.data.encodings import read_utf8
from ..core.data.manifest import pictures_beside, place
from ..core.data.rows import Row
from ..core.errors import UserError


def read_json(config, path, folder):
    """COCO's captions JSON, `images` and `annotations`; or Karpathy's, `images` with
    their sentences and the splits that papers use."""
    text = read_utf8(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unknown_json(path, error) from None
    fields = content if isinstance(content, dict) else {}
    images, annotations = fields.get("images"), fields.get("annotations")
    folder = folder or pictures_beside(path)
    if isinstance(images, list) and isinstance(annotations, list):
        return _coco_rows(path, images, annotations, folder)
    if isinstance(images, list) and any("sentences" in _fields(i) for i in images):
        return _karpathy_rows(path, images, folder)
    keys = ", ".join([*fields][:10]) or "none"
    raise _unknown_json(path, f"its keys are: {keys}")


def _unknown_json(path, error):
    return UserError(
        f"{path}: expected COCO's captions JSON, with the lists `images` (id, "
        "file_name) and `annotations` (image_id, caption), or Karpathy's, with a list "
        f"`images` (filename, split, sentences); {error}."
    )


def _fields(entry):
    """The entry itself, or a dict without keys where it is no object of JSON."""
    return entry if isinstance(entry, dict) else {}


def _row(where, picture, caption, split=None, error=""):
    return Row(where, {"media": picture, "text": caption}, split, error)


def _coco_rows(path, images, annotations, folder):
    names, rows = _coco_images(path, images)
    for index, annotation in enumerate(annotations):
        where, error = f"{path}, annotations[{index}]", ""
        if not isinstance(annotation, dict):
            rows.append(Row(where, error="expected an object, {...}"))
            continue
        if "id" in annotation:
            where = f"{path}, annotation {annotation['id']}"
        missing = [key for key in ("image_id", "caption") if key not in annotation]
        image = annotation.get("image_id")
        if missing:
            keys = ", ".join(annotation) or "none"
            error = f"expected {' and '.join(missing)}, received {keys}"
        elif not isinstance(image, int | str) or image not in names:
            error = f"no image with the id {image}"
        if error:
            rows.append(Row(where, error=error))
            continue
        picture, error = place(folder, names[image])
        rows.append(_row(where, picture, annotation["caption"], error=error))
    return rows


def _coco_images(path, images):
    """Of the list `images`: dict, an id -> the name of a file; a row with its error for
    each that has no such names."""
    names, bad = {}, []
    for index, image in enumerate(images):
        number, name = (_fields(image).get(key) for key in ("id", "file_name"))
        if not isinstance(number, int | str) or not isinstance(name, str):
            error = "expected an image with id and file_name"
        elif names.setdefault(number, name) != name:
            error = f"a second image with the id {number}"
        else:
            continue
        bad.append(Row(f"{path}, images[{index}]", error=error))
    return names, bad


def _karpathy_rows(path, images, folder):
    """A row for every sentence; its picture is `filepath/filename`, or `filename` where
    the folder has no `filepath`."""
    rows = []
    for index, image in enumerate(images):
        where, fields = f"{path}, images[{index}]", _fields(image)
        name, split = fields.get("filename"), fields.get("split")
        sentences, inner = fields.get("sentences"), fields.get("filepath")
        has_sentences = isinstance(sentences, list) and sentences
        if not (isinstance(name, str) and isinstance(split, str) and has_sentences):
            error = "expected an image with filename, split and sentences"
            rows.append(Row(where, error=error))
            continue
        if isinstance(inner, str) and os.path.isdir(folder / inner):
            name = f"{inner}/{name}"
        picture, error = place(folder, name)
        for number, sentence in enumerate(sentences):
            caption = _fields(sentence).get("raw")
            here = f"{where}.sentences[{number}]"
            rows.append(_row(here, picture, caption, split, error))
    return rows


def read_flickr(config, path, folder):
    """Flickr8k's lines of `name.jpg#0<tab>caption`."""
    folder = folder or pictures_beside(path)
    rows = []
    lines = io.StringIO(read_utf8(path), newline=None)
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        name, tab, caption = line.partition("\t")
        if not tab or "#" not in name:
            error = (
                f"expected `name.jpg#0<tab>caption`, received {line[:60]!r}. Tables "
                "need the ending .csv, .tsv or .jsonl"
            )
            rows.append(Row(where, error=error))
            continue
        picture, error = place(folder, name.rpartition("#")[0])
        rows.append(_row(where, picture, caption, error=error))
    return rows
