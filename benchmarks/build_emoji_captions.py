"""Builds the captioning data set emoji_captions from its three npm packages.

    npm pack emoji-datasource-google@16.0.0 \\
             cldr-annotations-modern@45.0.0 cldr-annotations-derived-modern@45.0.0
    python benchmarks/build_emoji_captions.py . "$SACCADE_DATA/emoji_captions"

The first argument is the folder of the three .tgz files, the second the folder to
write: captions.tsv and noto64/*.png. DATA.md says what they mean.
"""

import csv
import hashlib
import io
import json
import pathlib
import sys
import tarfile

from PIL import Image

LANGUAGES = ("en", "zh", "de")
NAMES = {
    "annotations": "cldr-annotations-modern-45.0.0.tgz",
    "annotationsDerived": "cldr-annotations-derived-modern-45.0.0.tgz",
}
PICTURES = "emoji-datasource-google-16.0.0.tgz"
COLUMNS = (
    "id image split split_composed skin twemoji category subcategory en zh de "
    "keywords_en keywords_zh"
).split()
COLOURS = 64


def main(packages, target):
    """Write captions.tsv and noto64/ into `target`."""
    packages, target = pathlib.Path(packages), pathlib.Path(target)
    (target / "noto64").mkdir(parents=True, exist_ok=True)
    names = {language: read_names(packages, language) for language in LANGUAGES}
    rows = []
    with tarfile.open(packages / PICTURES) as archive:
        for entry in json.load(archive.extractfile("package/emoji.json")):
            for part in (entry, *entry.get("skin_variations", {}).values()):
                row = describe(entry, part, names)
                if row is None:
                    continue
                stored = f"package/img/google/64/{part['image']}"
                picture = Image.open(io.BytesIO(archive.extractfile(stored).read()))
                picture.convert("RGBA").quantize(COLOURS).save(
                    target / row["image"], optimize=True
                )
                rows.append(row)
    rows.sort(key=lambda row: row["id"])
    with open(target / "captions.tsv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(
            file, COLUMNS, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n"
        )
        table.writeheader()
        table.writerows(rows)
    print(f"{len(rows)} pictures in {target}")


def read_names(packages, language):
    """Emoji without variation selectors -> what CLDR calls it in this language."""
    names = {}
    for kind, package in NAMES.items():
        with tarfile.open(packages / package) as archive:
            stored = f"package/{kind}/{language}/annotations.json"
            found = json.load(archive.extractfile(stored))[kind]["annotations"]
        names |= {plain(emoji): annotation for emoji, annotation in found.items()}
    return names


def describe(entry, part, names):
    """The row of one picture, or None where a name or the picture is missing.

    Args:
        entry: the base emoji; part: itself or one of its skin-tone variants.
        names: per language, the result of `read_names`.
    """
    emoji = plain("".join(chr(int(code, 16)) for code in part["unified"].split("-")))
    annotations = {language: names[language].get(emoji, {}) for language in LANGUAGES}
    if not part["has_img_google"] or not all(
        "tts" in annotation for annotation in annotations.values()
    ):
        return None
    name = part["unified"].lower()
    is_variant = part is not entry
    return {
        "id": name,
        "image": f"noto64/{part['image']}",
        "split": split_by_hash(entry["unified"]),
        "split_composed": split_by_hash(name) if is_variant else "train",
        "skin": int(is_variant),
        "twemoji": int(not is_variant),
        "category": entry["category"],
        "subcategory": entry["subcategory"],
        **{lang: found["tts"][0] for lang, found in annotations.items()},
        "keywords_en": "|".join(annotations["en"].get("default", [])),
        "keywords_zh": "|".join(annotations["zh"].get("default", [])),
    }


def split_by_hash(name):
    """A tenth to test, a tenth to validation, the same on every machine."""
    bucket = (
        int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % 10
    )
    return {0: "test", 1: "val"}.get(bucket, "train")


def plain(emoji):
    """The emoji without the selectors that CLDR leaves out of its keys."""
    return emoji.replace("\ufe0f", "")


if __name__ == "__main__":
    main(*sys.argv[1:])
