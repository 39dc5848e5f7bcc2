"""Annotation files: COCO's JSON, and Flickr8k's lines."""

import io
import json

from ..core.data.encodings import read_utf8
from ..core.errors import UserError
from .rows import Row, pictures_beside, place


def read_coco(config, path, folder):
    """COCO's captions JSON: `images` and `annotations`."""
    text = read_utf8(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_coco(path, error) from None
    images, annotations = (
        content.get(key) if isinstance(content, dict) else None
        for key in ("images", "annotations")
    )
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise _not_coco(path, "it is no object with these two lists")
    folder = folder or pictures_beside(path)
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
        rows.append(Row(where, picture, annotation["caption"], error=error))
    return rows


def _coco_images(path, images):
    """Of the list `images`: dict, an id -> the name of a file; a row with its error for
    each that has no such names."""
    names, bad = {}, []
    for index, image in enumerate(images):
        fields = image if isinstance(image, dict) else {}
        number, name = fields.get("id"), fields.get("file_name")
        if not isinstance(number, int | str) or not isinstance(name, str):
            error = "expected an image with id and file_name"
        elif names.setdefault(number, name) != name:
            error = f"a second image with the id {number}"
        else:
            continue
        bad.append(Row(f"{path}, images[{index}]", error=error))
    return names, bad


def _not_coco(path, error):
    return UserError(
        f"{path}: expected COCO's captions JSON with `images` (id, file_name) and "
        f"`annotations` (image_id, caption); {error}."
    )


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
        rows.append(Row(where, picture, caption, error=error))
    return rows
