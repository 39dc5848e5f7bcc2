"""The data set behind the README's captioning figures can be built by a stranger."""

import csv
import io
import json
import tarfile

import pytest
from PIL import Image

from .benchmark import load_benchmark


@pytest.fixture(scope="module")
def build():
    return load_benchmark("build_emoji_captions")


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def test_builds_rows_and_pictures_from_the_packages(build, tmp_path):
    def part(unified, image):
        return {"unified": unified, "image": image, "has_img_google": True}

    wave, tone = "\U0001f44b", "\U0001f3fb"
    entries = [
        {
            **part("1F44B", "1f44b.png"),
            "category": "People",
            "subcategory": "hand",
            "skin_variations": {"1F3FB": part("1F44B-1F3FB", "1f44b-1f3fb.png")},
        },
        {**part("2603-FE0F", "2603-fe0f.png"), "category": "T", "subcategory": "sky"},
        {**part("2604", "2604.png"), "category": "T", "subcategory": "nameless"},
    ]
    picture = io.BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 128)).save(picture, "PNG")
    images = ("1f44b", "1f44b-1f3fb", "2603-fe0f", "2604")
    pack(
        tmp_path / build.PICTURES,
        {
            "emoji.json": json.dumps(entries).encode(),
            **{f"img/google/64/{name}.png": picture.getvalue() for name in images},
        },
    )
    names = {
        "annotations": {wave: "hand", "\u2603": "snowman"},
        "annotationsDerived": {wave + tone: "hand: light"},
    }
    for kind, package in build.NAMES.items():
        response = {
            e: {"tts": [n], "default": [n, "x"]} for e, n in names[kind].items()
        }
        content = json.dumps({kind: {"annotations": response}}).encode()
        files = {f"{kind}/{lang}/annotations.json": content for lang in build.LANGUAGES}
        pack(tmp_path / package, files)

    build.main(tmp_path, tmp_path / "built")
    rows = read(tmp_path / "built/captions.tsv")
    assert [(row["id"], row["en"], row["skin"]) for row in rows] == [
        ("1f44b", "hand", "0"),
        ("1f44b-1f3fb", "hand: light", "1"),
        ("2603-fe0f", "snowman", "0"),
    ]
    assert rows[0]["split"] == rows[1]["split"]  # A variant goes with its base.
    assert rows[0]["keywords_zh"] == "hand|x"
    for row in rows:
        stored = Image.open(tmp_path / "built" / row["image"])
        assert stored.mode == "P" and stored.size == (64, 64)
        assert stored.convert("RGBA").getpixel((9, 9)) == (255, 0, 0, 128)


def test_the_split_rule_is_that_of_the_set_we_measured_on(build, saccade_data):
    rows = read(saccade_data / "emoji_captions/captions.tsv")
    assert len(rows) == 3778
    for row in rows:
        if row["skin"] == "1":
            assert row["split_composed"] == build.split_by_hash(row["id"])
        else:
            assert row["split_composed"] == "train"
            assert row["split"] == build.split_by_hash(row["id"].upper())
