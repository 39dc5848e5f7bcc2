import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from saccade.apps.captioning import APP, data
from saccade.apps.captioning.config import PRESETS, Config
from saccade.apps.captioning.scenes import builtin
from saccade.apps.captioning.task import task_for
from saccade.apps.core.data import manifest
from saccade.apps.core.data.drawn import COLOURS
from saccade.apps.core.data.rows import Row
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs import pictures
from saccade.apps.core.tasks.describe import describe

# The builtin scenes


# Of 1000 training scenes and their 166 others; changes with every change of a scene.
SCENES = "4aeba4b218c1754c69262ba3082488574b82e0f3843218939ac2b7583ccebff0"


@pytest.fixture(scope="module")
def scenes():
    return builtin(Config(builtin_size=1000))


def all_sentences(examples):
    return [sentence for captions in examples["captions"] for sentence in captions]


def objects_of(sentence):
    """The "red circle"s of a sentence."""
    words = sentence.split()
    return [
        f"{colour} {shape}"
        for colour, shape in zip(words, words[1:], strict=False)
        if colour in COLOURS
    ]


def pairs_of(examples):
    """The unordered pairs of objects that occur together."""
    pairs = set()
    for captions in examples["captions"]:
        names = sorted(objects_of(captions[0]))
        pairs |= {(a, b) for a in names for b in names if a < b}
    return pairs


def test_builtin_has_the_sizes_asked_for(scenes):
    assert [len(part) for part in (scenes.train, scenes.validation, scenes.test)] == [
        1000,
        66,
        100,
    ]
    for part in (scenes.train, scenes.validation, scenes.test):
        assert len(part["image"]) == len(part["captions"]) == len(part["boxes"])


def test_builtin_is_the_same_everywhere(scenes):
    """The scenes, not the pixels: those depend on Pillow's way to draw an edge."""
    written = [
        (
            part["captions"],
            [[(o["word"], *np.round(o["box"], 6)) for o in b] for b in part["boxes"]],
        )
        for part in (scenes.train, scenes.validation, scenes.test)
    ]
    written = json.dumps(written, default=float).encode()
    assert hashlib.sha256(written).hexdigest() == SCENES
    again = builtin(Config(builtin_size=1000, seed=5))
    assert again.train["image"] == scenes.train["image"]
    assert again.test["captions"] == scenes.test["captions"]


def test_a_small_builtin_is_the_beginning_of_a_large_one(scenes):
    small = builtin(Config(builtin_size=50))
    assert small.train["image"] == scenes.train["image"][:50]
    assert small.test["image"] == scenes.test["image"][:40]


@pytest.mark.parametrize(
    "config", [Config(**PRESETS["tiny"]), Config()], ids=["tiny", "default"]
)
def test_builtin_holds_out_combinations_but_no_words(config, monkeypatch):
    # Only the words count.
    monkeypatch.setattr("saccade.apps.core.data.drawn.draw", lambda *_: b"")
    splits = data.load_data(config)
    train, test = splits.train, splits.test
    known = {word for sentence in all_sentences(train) for word in sentence.split()}
    for part in (splits.validation, test):
        assert {w for s in all_sentences(part) for w in s.split()} <= known
        singles = {name for s in all_sentences(part) for name in objects_of(s)}
        assert singles <= {n for s in all_sentences(train) for n in objects_of(s)}
        # Every scene has a pair of objects that training never shows together.
        visible = pairs_of(train)
        for captions in part["captions"]:
            names = sorted(objects_of(captions[0]))
            assert any((a, b) not in visible for a in names for b in names if a < b)
    assert not set(all_sentences(train)) & set(all_sentences(test))
    assert not set(all_sentences(splits.validation)) & set(all_sentences(test))


def test_builtin_boxes_hold_their_objects(scenes):
    for part in (scenes.train, scenes.test):
        for file, boxes, captions in zip(
            part["image"][:60], part["boxes"][:60], part["captions"][:60], strict=True
        ):
            pixels = pictures.read([file], 64)[0].numpy().astype(int)
            background = pixels[0, 0] if not _inside(boxes, 0, 0) else pixels[-1, -1]
            names = objects_of(captions[0])
            for o in boxes:
                x0, y0, x1, y1 = (64 * edge for edge in o["box"])
                assert 0 <= x0 < x1 <= 64 + 1e-9
                assert 0 <= y0 < y1 <= 64 + 1e-9
                assert x1 - x0 > 14
                middle = pixels[int((y0 + y1) / 2), int((x0 + x1) / 2)]
                colours = [n.split()[0] for n in names if n.split()[1] == o["word"]]
                assert any(
                    np.abs(middle - COLOURS[colour]).max() <= 2 for colour in colours
                )
                pixels[
                    int(y0) : int(np.ceil(y1)) + 1, int(x0) : int(np.ceil(x1)) + 1
                ] = background
            assert np.all(pixels == background)  # Nothing lies outside of the boxes.


def _inside(boxes, x, y):
    return any(
        b[0] * 64 <= x + 1 and b[1] * 64 <= y + 1 for b in (o["box"] for o in boxes)
    )


def test_builtin_sentences_say_what_the_boxes_show(scenes):
    for captions, boxes in zip(
        scenes.train["captions"], scenes.train["boxes"], strict=True
    ):
        middles = [
            ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in (o["box"] for o in boxes)
        ]
        shapes = [o["word"] for o in boxes]
        words = captions[0].split()
        if len(boxes) == 1:
            width = boxes[0]["box"][2] - boxes[0]["box"][0]
            assert words[1] == ("large" if width > 0.3 else "small")
            assert len(captions) == 1
        elif len(boxes) == 2:
            (ax, ay), (bx, by) = middles
            first, second = (n.split()[1] for n in objects_of(captions[0]))
            if "left" in words:
                assert bx - ax > 2 * abs(by - ay)
                assert [first, second] == shapes
            else:
                assert "above" in words
                upper, lower = shapes if ay < by else shapes[::-1]
                assert abs(by - ay) > 2 * abs(bx - ax)
                assert [first, second] == [upper, lower]
            opposite = {"left": "right", "above": "below"}
            turned = captions[1].split()
            assert turned[3] == opposite[words[3]]
            assert objects_of(captions[1]) == objects_of(captions[0])[::-1]
        else:
            assert [n.split()[1] for n in objects_of(captions[0])] == shapes
            assert middles[0][0] < middles[1][0] < middles[2][0]


# One's own pictures


def write_picture(path, colour="red", form="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    picture = Image.blend(
        Image.new("RGB", (30, 20), colour), Image.fromarray(noise), 0.3
    )
    picture.save(file, form)
    path.write_bytes(file.getvalue())


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "sub/c.png"):
        write_picture(tmp_path / name)
    write_picture(tmp_path / "d.jpg", form="JPEG")
    return tmp_path


def everything(splits):
    """{file name: captions} over all splits."""
    found = {}
    for part in (splits.train, splits.validation, splits.test):
        for file, captions in zip(part["image"], part["captions"], strict=True):
            found[pathlib.Path(file).name] = captions
    return found


ALL = {"split": "100/0/0"}
TSV = """\
image\tcaption\tpart
a.png\tA "cat"\ttrain
b.png\tdog, big\tval
a.png\tcat\ttrain
"""


def load(path, **settings):
    return data.load_data(Config(data=str(path), **(ALL | settings)))


def test_tsv_without_quoting_and_with_several_rows_a_picture(folder):
    (folder / "captions.tsv").write_text(TSV)
    for path in (folder, folder / "captions.tsv"):
        splits = load(path)
        assert everything(splits) == {
            "a.png": ['A "cat"', "cat"],
            "b.png": ["dog, big"],
        }
        assert all(os.path.isabs(file) for file in splits.train["image"])
        assert "boxes" not in splits.train


def test_csv_with_quoting_and_other_columns(folder):
    rows = 'text,where\n"a cat, a ""big"" one",sub/c.png\n"two\nlines",d.jpg\n'
    (folder / "x.csv").write_text("\ufeff" + rows)
    splits = load(folder, image_column="where", caption_column="text")
    assert everything(splits) == {
        "c.png": ['a cat, a "big" one'],
        "d.jpg": ["two\nlines"],
    }


def test_jsonl_also_with_lists_of_captions(folder):
    rows = [
        {"image": "a.png", "caption": ["one", "two"]},
        {"image": "b.png", "caption": "x"},
    ]
    text = "\n\n".join(json.dumps(row) for row in rows)
    (folder / "x.jsonl").write_text(text)
    assert everything(load(folder)) == {"a.png": ["one", "two"], "b.png": ["x"]}


@pytest.mark.parametrize("caption", [[], None, "", ["fine", None], {"text": "no"}, 5])
def test_jsonl_without_a_caption(folder, caption):
    rows = [{"image": "b.png", "caption": "x"}, {"image": "a.png", "caption": caption}]
    (folder / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match=r"x\.jsonl, line 2: the caption is empty: "):
        load(folder)
    assert everything(load(folder, skip_bad=True, bad_at_most=100))["b.png"] == ["x"]


def test_picture_folder_elsewhere_and_absolute_paths(folder, tmp_path_factory):
    table = tmp_path_factory.mktemp("table") / "x.csv"
    table.write_text(f"image,caption\na.png,one\n{folder / 'b.png'},two\n")
    found = everything(load(table, image_dir=str(folder)))
    assert found == {"a.png": ["one"], "b.png": ["two"]}


@pytest.mark.parametrize("place", ["", "images"])
def test_coco(folder, place):
    content = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "d.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "caption": "A cat."},
            {"id": 2, "image_id": 8, "caption": "A dog."},
            {"id": 3, "image_id": 7, "caption": "Cats!"},
        ],
    }
    if place:
        (folder / place).mkdir()
        for name in ("a.png", "d.jpg"):
            (folder / name).rename(folder / place / name)
    (folder / "captions.json").write_text(json.dumps(content))
    assert everything(load(folder)) == {
        "a.png": ["A cat.", "Cats!"],
        "d.jpg": ["A dog."],
    }
    content["annotations"][1]["image_id"] = 9
    (folder / "captions.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="captions.json, annotation 2: no image with"):
        load(folder)


def coco(images, annotations):
    """COCO's JSON of the pictures a.png (7) and d.jpg (8) with a caption each."""
    return json.dumps(
        {
            "images": [
                {"id": 7, "file_name": "a.png"},
                {"id": 8, "file_name": "d.jpg"},
                *images,
            ],
            "annotations": [
                {"id": 1, "image_id": 7, "caption": "A cat."},
                {"id": 2, "image_id": 8, "caption": "A dog."},
                *annotations,
            ],
        }
    )


def test_coco_without_ids_of_its_annotations(folder):
    content = {
        "images": [{"id": "seven", "file_name": "a.png"}],
        "annotations": [
            {"image_id": "seven", "caption": "A cat."},
            {"image_id": "eight", "caption": "A dog."},
        ],
    }
    (folder / "captions.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"json, annotations\[1\]: no image with the "):
        load(folder)
    assert everything(load(folder, skip_bad=True, bad_at_most=50)) == {
        "a.png": ["A cat."]
    }


def karpathy(*images):
    """The JSON of Karpathy's splits, with what else it holds."""
    return json.dumps(
        {
            "images": [
                {
                    "sentids": list(range(len(sentences))),
                    "imgid": number,
                    "sentences": [
                        {"tokens": s.lower().split(), "raw": s, "sentid": i}
                        for i, s in enumerate(sentences)
                    ],
                    "split": split,
                    **names,
                }
                for number, (names, split, sentences) in enumerate(images)
            ],
            "dataset": "coco",
        }
    )


@pytest.mark.parametrize("place", ["", "images", "Images"])
@pytest.mark.parametrize("inner", ["", "val2014"])
def test_karpathy_with_its_splits(folder, place, inner):
    """Flickr's files have no `filepath`; of COCO's pictures some have them in one
    folder."""
    names = ("a.png", "b.png", "d.jpg")
    (folder / place / inner).mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).rename(folder / place / inner / name)
    coco = [{"filename": name, "filepath": "val2014"} for name in names]
    flickr = [{"filename": str(pathlib.PurePath(inner, name))} for name in names]
    for a, b, d in (coco, flickr):
        (folder / "dataset.json").write_text(
            karpathy(
                (a, "restval", ["A cat.", "Cats!"]),
                (b, "val", ["A bird."]),
                (d, "test", ["A dog."]),
            )
        )
        splits = load(folder, split="0.001/98.999/1")  # which counts for nothing here
        assert splits.train["captions"] == [["A cat.", "Cats!"]]
        assert splits.validation["captions"] == [["A bird."]]
        assert splits.test["captions"] == [["A dog."]]
        assert pathlib.Path(splits.test["image"][0]).name == "d.jpg"


def test_karpathy_with_bad_entries(folder, caplog):
    good = {"filename": "a.png"}, "train", ["A cat."]
    bad = [
        ((5, "train", ["x"]), r"images\[1\]: expected an image with filename"),
        ((good[0], 7, ["x"]), r"images\[1\]: expected an image with filename, split"),
        ((good[0], "train", []), r"images\[1\]: expected an image with .* sentences"),
        ((good[0], "mine", ["x"]), r"sentences\[0\]: expected train, val or test"),
        ((good[0], "val", ["x"]), r"sentences\[0\]: expected every row of a picture"),
        (({"filename": "../a.png"}, "val", ["x"]), r"sentences\[0\]: .* lies outside"),
        (({"filename": "b.png"}, "val", ["?!"]), r"sentences\[0\]: the caption is emp"),
        (
            ({"filename": "a.png", "filepath": ".."}, "val", ["x"]),
            r"images\[1\].sentences\[0\]: the picture '../a.png' lies outside",
        ),
    ]
    for (names, *entry), why in bad:
        names = names if isinstance(names, dict) else {"filename": names}
        text = karpathy(good, (names, *entry))
        (folder / "dataset.json").write_text(text)
        with pytest.raises(UserError, match=f"dataset.json, .*{why}"):
            load(folder)
        splits = load(folder, skip_bad=True, bad_at_most=50)
        assert everything(splits) == {"a.png": ["A cat."]}
    for entry in (None, [], {"sentences": 7}, {"filename": "a.png", "split": "val"}):
        content = json.loads(karpathy(good))
        content["images"].append(entry)
        (folder / "dataset.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"images\[1\]: expected an image with "):
            load(folder)


def test_why_karpathy_has_no_test(folder):
    text = karpathy(({"filename": "a.png"}, "train", ["A cat."]))
    (folder / "dataset.json").write_text(text)
    config = Config(data=str(folder))
    assert not len(data.load_data(config).test)
    assert re.search("has splits of its own, and no pic", data.why_no_test(config))


KAGGLE = """\
image,caption
a.png,A cat .
a.png,"A cat , a ""big"" one"
d.jpg,A dog .
"""


@pytest.mark.parametrize("place", ["Images", "images", ""])
def test_kaggle(folder, place):
    (folder / place).mkdir(exist_ok=True)
    for name in ("a.png", "d.jpg"):
        (folder / name).rename(folder / place / name)
    (folder / "captions.txt").write_text(KAGGLE)
    (folder / "readme.txt").write_text("of these pictures, all are small\n")
    for path in (folder, folder / "captions.txt"):
        assert everything(load(path)) == {
            "a.png": ["A cat .", 'A cat , a "big" one'],
            "d.jpg": ["A dog ."],
        }
    with pytest.raises(
        UserError, match=r"captions.txt, line 1: .* column 'text' \(--c"
    ):
        load(folder, caption_column="text")


def test_tokens_in_a_text_of_any_name(folder):
    """Its first line has a tab, and so is no header."""
    (folder / "captions.txt").write_text("a.png#0\tA cat, a dog\n")
    assert everything(load(folder)) == {"a.png": ["A cat, a dog"]}


@pytest.mark.parametrize(
    ("file", "text"), [("x.json", coco([], [])), ("x.token", "a.png#0\tA cat\n")]
)
def test_a_split_column_of_a_file_without_columns(folder, file, text):
    (folder / file).write_text(text)
    with pytest.raises(UserError, match="--split-column=part expected a table, rec"):
        load(folder, split_column="part")


def test_flickr8k(folder):
    (folder / "Flickr8k.token.txt").write_text(
        "a.png#0\tA cat .\na.png#1\tThe cat\nd.jpg#0\tA dog\n"
    )
    assert everything(load(folder)) == {
        "a.png": ["A cat .", "The cat"],
        "d.jpg": ["A dog"],
    }


# Splits


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "TEST")]
)
def test_a_split_column(folder, names):
    rows = zip(("a.png", "b.png", "d.jpg"), names, strict=True)
    (folder / "x.tsv").write_text(
        "image\tcaption\tpart\n" + "".join(f"{i}\tx\t{n}\n" for i, n in rows)
    )
    splits = load(folder, split_column="part")
    parts = (splits.train, splits.validation, splits.test)
    assert [pathlib.Path(p["image"][0]).name for p in parts] == [
        "a.png",
        "b.png",
        "d.jpg",
    ]


def rows_of(count):
    return [
        Row("x", {"media": pathlib.Path(f"{i}.png"), "text": "a"}) for i in range(count)
    ]


def split_rows(config, rows):
    folder = pathlib.Path(config.data)
    return manifest.split_rows(config, rows, folder, "image", "captions")


def test_split_by_shares():
    config = Config(data="x", split="80/15/5")
    splits = split_rows(config, rows_of(2000))
    assert len(splits.train) == pytest.approx(1600, abs=60)
    assert len(splits.validation) == pytest.approx(300, abs=50)
    assert len(splits.test) == pytest.approx(100, abs=35)
    # A picture stays where it is when the table grows.
    more = split_rows(config, rows_of(3000))
    assert set(splits.test["image"]) <= set(more.test["image"])


@pytest.mark.parametrize("split", ["90/10", "a/b/c", "90/-5/15", "0/50/50", ""])
def test_split_by_impossible_shares(split):
    with pytest.raises(
        UserError, match=f"percentages that sum to 100, .*; received '{split}'"
    ):
        split_rows(Config(data="x", split=split), rows_of(1))


def test_a_picture_in_two_splits(folder):
    (folder / "x.tsv").write_text(
        "image\tcaption\tpart\na.png\tx\ttrain\na.png\ty\ttest\n"
    )
    with pytest.raises(
        UserError, match=r"x.tsv, line 3: .* in train above and in test"
    ):
        load(folder, split_column="part")


def test_why_there_is_no_test_split(folder):
    path = folder / "captions.csv"
    rows = ["image,caption,part"] + ["a.png,red,train", "b.png,blue,val"]
    path.write_text("\n".join(rows))
    for settings, reason in (
        ({"split_column": "part"}, "no row of .* has test in the column 'part'"),
        (ALL, "--split=100/0/0 gives it no picture of .*captions.csv"),
    ):
        config = Config(data=str(path), **settings)
        assert not len(data.load_data(config).test)
        assert re.search(reason, data.why_no_test(config))


# What can be wrong with a table

BAD = {
    "missing picture": ("none.png\tx", r"line 3: there is no picture .*none.png"),
    "no picture's name": ("\tx", r"line 3: the picture's name is empty"),
    "truncated png": ("cut.png\tx", r"line 3: the picture .*cut.png is broken"),
    "truncated jpeg": ("cut.jpg\tx", r"line 3: the picture .*cut.jpg is broken"),
    "text as a picture": ("x.tsv\tx", r"line 3: the picture .*x.tsv is broken"),
    "empty picture": ("empty.png\tx", r"line 3: the picture .*empty.png is broken"),
    "another format": (
        "e.tiff\tx",
        r"line 3: the picture .*e.tiff is TIFF, not a JPEG",
    ),
    "empty caption": ("b.png\t", r"line 3: the caption is empty: ''"),
    "punctuation as a caption": (
        "b.png\t ?! ",
        r"line 3: the caption is empty: ' \?! '",
    ),
}


@pytest.fixture
def bad(folder):
    for name in ("a.png", "d.jpg"):
        whole = (folder / name).read_bytes()
        (folder / f"cut.{name[2:]}").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    write_picture(folder / "e.tiff", form="TIFF")
    return folder


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named(bad, name):
    row, message = BAD[name]
    (bad / "x.tsv").write_text(f"image\tcaption\na.png\tfine\n{row}\n")
    with pytest.raises(UserError, match=r"x\.tsv, " + message):
        load(bad / "x.tsv")


def test_skip_bad_counts(bad, caplog):
    rows = "\n".join(row for row, _ in BAD.values())
    (bad / "x.tsv").write_text(f"image\tcaption\na.png\tfine\n{rows}\nb.png\tgood\n")
    with caplog.at_level(logging.WARNING, "saccade"):
        splits = load(bad / "x.tsv", skip_bad=True, bad_at_most=100)
    assert everything(splits) == {"a.png": ["fine"], "b.png": ["good"]}
    (message,) = caplog.messages
    assert message.startswith(f"Skipped {len(BAD)} of {len(BAD) + 2} rows:\n")
    for number in range(len(BAD)):
        assert f"x.tsv, line {number + 3}: " in message


# Files with two good rows, and one bad one: how it is called, and why it is bad.
BAD_ROWS = {
    "too many columns": (
        "x.csv",
        "image,caption\na.png,A cat.\nb.png,a dog, big\nd.jpg,A dog.\n",
        "line 3: expected 2 columns like the header's, received 3",
    ),
    "too few columns": (
        "x.tsv",
        "image\tcaption\na.png\tA cat.\nd.jpg\tA dog.\nb.png\n",
        "line 4: expected 2 columns like the header's, received 1",
    ),
    "a lost quote": (
        "x.csv",
        'image,caption\na.png,A cat.\nb.png,"a bird\nd.jpg,A dog.\n',
        "line 3: a quote opens a cell here, and it is closed nowhere",
    ),
    "broken JSON": (
        "x.jsonl",
        '{"image": "a.png", "caption": "A cat."}\n{"image": "b.p\n'
        '{"image": "d.jpg", "caption": "A dog."}\n',
        "line 2: expected JSON; ",
    ),
    "JSON without the column": (
        "x.jsonl",
        '{"image": "a.png", "caption": "A cat."}\n{"image": "b.png"}\n'
        '{"image": "d.jpg", "caption": "A dog."}\n',
        "line 2: expected a column 'caption'",
    ),
    "a token line without a tab": (
        "x.token",
        "a.png#0\tA cat.\nb.png#0 A bird.\nd.jpg#0\tA dog.\n",
        "line 2: expected `name.jpg#0<tab>caption`, received 'b.png#0 A bird.'",
    ),
    "an annotation without a caption": (
        "x.json",
        coco([], [{"id": 3, "image_id": 8}]),
        "annotation 3: expected caption, received id, image_id",
    ),
    "an annotation without an image": (
        "x.json",
        coco([], [{"caption": "A bird."}]),
        "annotations[2]: expected image_id, received caption",
    ),
    "an annotation of a removed picture": (
        "x.json",
        coco([], [{"id": 3, "image_id": 9, "caption": "A bird."}]),
        "annotation 3: no image with the id 9",
    ),
    "an annotation of no picture at all": (
        "x.json",
        coco([], [{"id": 3, "image_id": [7], "caption": "A bird."}]),
        "annotation 3: no image with the id [7]",
    ),
    "an annotation that is none": (
        "x.json",
        coco([], ["A bird."]),
        "annotations[2]: expected an object",
    ),
    "an image without a name": (
        "x.json",
        coco([{"id": 9}], []),
        "images[2]: expected an image with id and file_name",
    ),
    "an image that is none": ("x.json", coco([7], []), "images[2]: expected an image"),
    "two images of one number": (
        "x.json",
        coco([{"id": 7, "file_name": "b.png"}], []),
        "images[2]: a second image with the id 7",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_skip_bad_leaves_out_every_bad_row(folder, name, caplog):
    file, text, why = BAD_ROWS[name]
    (folder / file).write_text(text)
    named = re.escape(f"{folder / file}, {why}")
    with pytest.raises(UserError, match=f"^{named}.*--skip-bad counts and skips such"):
        load(folder)
    with caplog.at_level(logging.WARNING, "saccade"):
        splits = load(folder, skip_bad=True, bad_at_most=34)
    assert everything(splits) == {"a.png": ["A cat."], "d.jpg": ["A dog."]}
    (message,) = caplog.messages
    assert re.match(f"Skipped 1 of 3 rows:\n  {named}", message)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("b.png\tx\tfold 1", "expected train, val or test as its split, received 'f"),
        ("b.png\tx\t", "expected train, val or test as its split, received ''"),
        ("a.png\tx\ttest", "expected every row of a picture in one split; .*a.png is"),
    ],
)
def test_skip_bad_leaves_out_rows_of_no_split(folder, row, why, caplog):
    (folder / "x.tsv").write_text(
        f"image\tcaption\tpart\na.png\tfine\ttrain\n{row}\nd.jpg\tgood\tval\n"
    )
    with pytest.raises(UserError, match=f"x.tsv, line 3: {why}"):
        load(folder, split_column="part")
    splits = load(folder, split_column="part", skip_bad=True, bad_at_most=34)
    assert everything(splits) == {"a.png": ["fine"], "d.jpg": ["good"]}
    assert re.search(f"Skipped 1 of 3 rows:\n.*x.tsv, line 3: {why}", caplog.text)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("x.csv", "image,text\na.png,x\n", "line 1: expected a column 'caption'"),
        ("x.csv", 'image,"caption\na.png,x\n', "line 1: a quote opens a cell here"),
        ("x.tsv", "image\na.png\n", "line 1: expected a column 'caption'"),
        ("x.json", '{"images": []}', "expected COCO's captions JSON"),
        ("x.json", '{"images": [], "annotations": []', "expected COCO's captions JSON"),
    ],
)
def test_skip_bad_does_not_help_a_header(folder, file, text, why):
    (folder / file).write_text(text)
    with pytest.raises(UserError, match=why):
        load(folder, skip_bad=True, bad_at_most=100)


def test_pictures_are_opened_where_nothing_else_is_wrong(folder, monkeypatch):
    """Thousands of them take minutes; a row without a caption is found before."""
    monkeypatch.setattr(data, "error_of", lambda picture: f"opened {picture}")
    (folder / "x.tsv").write_text("image\tcaption\na.png\tfine\nb.png\t\n")
    with pytest.raises(UserError, match="line 3: the caption is empty"):
        load(folder)
    (folder / "x.tsv").write_text("image\tcaption\na.png\tfine\n")
    with pytest.raises(UserError, match="line 2: opened .*a.png"):
        load(folder)


def test_too_many_bad_rows(bad):
    rows = "a.png\tfine\n" * 9 + "none.png\tx\n"
    (bad / "x.tsv").write_text(f"image\tcaption\n{rows}")
    load(bad / "x.tsv", skip_bad=True)  # 10 percent
    (bad / "x.tsv").write_text(f"image\tcaption\n{rows}none.png\tx\n")
    with pytest.raises(UserError) as error:
        load(bad / "x.tsv", skip_bad=True)
    assert "2 of 11 rows are bad, 18.2 %" in str(error.value)
    assert "--bad-at-most=10" in str(error.value) and "line 11" in str(error.value)


def test_nothing_good_is_left(bad):
    (bad / "x.tsv").write_text("image\tcaption\nnone.png\tx\n")
    with pytest.raises(UserError, match="none of 1 rows is sound"):
        load(bad / "x.tsv", skip_bad=True, bad_at_most=100)


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        (
            "x.tsv",
            TSV,
            {"caption_column": "text"},
            r"column 'text' \(--caption-column\); the columns are: image, caption, p",
        ),
        ("x.tsv", TSV, {"split_column": "fold"}, r"'fold' \(--split-column\)"),
        ("x.tsv", TSV, {"image_column": "file"}, r"'file' \(--image-column\)"),
        (
            "x.tsv",
            TSV,
            {"split_column": "caption"},
            "line 2: expected train, val or test",
        ),
        ("x.tsv", "", {}, "at least one caption, found none"),
        ("x.tsv", "image\tcaption\n", {}, "at least one caption, found none"),
        (
            "x.tsv",
            "image\tcaption\na.png\n",
            {},
            "line 2: expected 2 columns .* received 1",
        ),
        ("x.csv", "image,caption\na.png,a,b\n", {}, "line 2: expected 2 columns"),
        ("x.jsonl", "{}\n", {}, "line 1: expected a column 'image'"),
        ("x.jsonl", '\n{"image": \n', {}, "line 2: expected JSON"),
        ("x.jsonl", "[1]\n", {}, "line 1: expected a JSON object"),
        (
            "x.json",
            "{}",
            {},
            "x.json: expected COCO's captions JSON, .* its keys are: none",
        ),
        (
            "x.json",
            "[1]",
            {},
            "x.json: expected COCO's captions JSON, .* Karpathy's, ",
        ),
        (
            "x.json",
            "{",
            {},
            "x.json: expected COCO's captions JSON, .* Karpathy's, ",
        ),
        ("x.token", "a.png a cat\n", {}, "line 1: expected `name.jpg#0<tab>caption`"),
    ],
)
def test_a_bad_file_is_named(folder, name, content, settings, message):
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load(folder, **settings)
    assert str(folder / name) in str(error.value)


def test_a_lost_quote_in_a_csv(folder):
    """The line that the quote opens in is named, and no other row is lost."""
    rows = 'image,caption\na.png,"a cat\nb.png,a dog\nd.jpg,a ruler of 12"\n'
    (folder / "x.csv").write_text(rows)
    with pytest.raises(UserError, match=r"x\.csv, line 2: a quote opens a cell here"):
        load(folder)
    found = everything(load(folder, skip_bad=True, bad_at_most=50))
    assert found == {"b.png": ["a dog"], "d.jpg": ['a ruler of 12"']}
    long = "a cat,\n" + "and again, " * 500  # longer than a name of a file can be
    (folder / "x.csv").write_text(f'image,caption\na.png,"{long}"\n')
    assert everything(load(folder)) == {"a.png": [long]}
    rows = 'image,caption\na.png,"a cat,\nb.png is not it, nor\nd.jpg"\nd.jpg,x\n'
    (folder / "x.csv").write_text(rows)
    assert everything(load(folder)) == {
        "a.png": ["a cat,\nb.png is not it, nor\nd.jpg"],
        "d.jpg": ["x"],
    }


def test_not_utf8(folder):
    (folder / "x.csv").write_bytes(b"image,caption\na.png,caf\xe9\n")
    with pytest.raises(UserError, match=r"x.csv, line 2: byte 0xe9 is no UTF-8. It "):
        load(folder)


def test_folders_without_a_single_table(folder):
    with pytest.raises(UserError, match="found none"):
        load(folder)
    for name in ("x.csv", "y.tsv"):
        (folder / name).write_text("image,caption\n")
    with pytest.raises(UserError, match=r"found x.csv, y.tsv. Name the one"):
        load(folder)
    for name in ("captions.txt", "dataset_coco.json", "notes.txt"):
        (folder / name).write_text("")
    found = "found captions.txt, dataset_coco.json, x.csv, y.tsv. Name the one"
    with pytest.raises(UserError, match=found):
        load(folder)
    with pytest.raises(UserError, match="there is no .*nowhere"):
        load(folder / "nowhere")
    with pytest.raises(UserError, match="there is no .*nowhere"):
        load(folder / ("nowhere" * 1000))  # longer than a name can be
    with pytest.raises(UserError, match="there is no ~nobody_is_called_so"):
        data.load_data(Config(data="~nobody_is_called_so/nowhere"))


# tensorflow-datasets


class TinyCaptions(tfds.core.GeneratorBasedBuilder):
    """Three pictures a split, with the features of coco_captions."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        text = {"id": np.int64, "text": tfds.features.Text()}
        features = {
            "image": tfds.features.Image(encoding_format="png"),
            "captions": tfds.features.Sequence(text),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ("train", "val")}

    def _generate_examples(self, split):
        for i in range(4):
            captions = [{"id": i, "text": f"{split} {i}"}, {"id": i, "text": "a dot"}]
            picture = np.full((20, 30, 3), 10 * i, np.uint8)
            yield i, {"image": picture, "captions": captions}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyCaptions(data_dir=folder).download_and_prepare()
    return folder


def test_tfds(prepared):
    splits = data.load_data(Config(data="tfds:tiny_captions", data_dir=str(prepared)))
    assert [len(p) for p in (splits.train, splits.validation, splits.test)] == [4, 2, 2]
    captions = (
        splits.train["captions"]
        + splits.validation["captions"]
        + splits.test["captions"]
    )
    assert sorted(c[0] for c in captions) == [
        f"{s} {i}" for s in ("train", "val") for i in range(4)
    ]
    assert all(c[1] == "a dot" for c in captions)
    # Still encoded: the one decoder sees them, like all others.
    assert all(file.startswith(b"\x89PNG") for file in splits.train["image"])
    number = int(splits.train["captions"][0][0].split()[1])
    assert pictures.read(splits.train["image"][:1], 30)[0, 15, 15, 0] == 10 * number


def test_coco_captions_has_the_features_that_are_read(tmp_path):
    """The set itself is large; what it looks like comes with tensorflow-datasets."""
    features = tfds.builder("coco_captions", data_dir=tmp_path).info.features
    assert isinstance(features["image"], tfds.features.Image)
    assert set(features["captions"].feature) == {"id", "text"}


def test_tfds_that_is_not_prepared(tmp_path):
    settings = {"data": "tfds:coco_captions", "data_dir": str(tmp_path)}
    with pytest.raises(UserError) as error:
        data.load_data(Config(**settings))
    assert f"prepared in {tmp_path}" in str(error.value)
    assert "tfds build coco_captions --data_dir FOLDER" in str(error.value)
    settings["data"] = "tfds:no_such_set"
    with pytest.raises(UserError, match="no_such_set: .* has no set of this") as error:
        data.load_data(Config(**settings))
    assert len(str(error.value)) < 500  # tfds would list all its sets.


def test_tfds_without_captions(prepared):
    class TinyLabels(tfds.core.GeneratorBasedBuilder):
        """No captions at all."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"image": tfds.features.Image(), "label": np.int64}
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in ("train", "test")}

        def _generate_examples(self):
            yield 0, {"image": np.zeros((4, 4, 3), np.uint8), "label": 1}

    TinyLabels(data_dir=prepared).download_and_prepare()
    with pytest.raises(UserError, match="image and captions, received image, label"):
        data.load_data(Config(data="tfds:tiny_labels", data_dir=str(prepared)))


# Between the data and the model


def test_learn_fills_in_the_vocabulary_and_the_length(scenes):
    task = task_for(Config()).learn(scenes.train)
    config, vocabulary = task.config, task.assets
    sentences = all_sentences(scenes.train)
    assert config.max_length == max(len(s.split()) for s in sentences) + 1
    assert {w for s in sentences for w in s.split()} == set(vocabulary.tokens[4:])
    kept = task_for(dataclasses.replace(config, max_length=5)).learn(scenes.train)
    assert kept.config.max_length == 5
    again = task.assets_from_json(vocabulary.to_json())
    assert again.tokens == vocabulary.tokens


def test_example_is_a_picture_as_a_client_sends_it():
    contents = APP.example()["image_bytes"][0]
    assert Image.open(io.BytesIO(contents)).size == (64, 64)


def test_describe(scenes):
    facts = describe(task_for(Config()), scenes)
    assert facts["train examples"] == 1000
    assert facts["captions"] == len(all_sentences(scenes.train))
    assert facts["test examples"] == 100
    assert facts["longest caption"] == "10 words"
    assert facts["example 1"].partition(": ")[2] in all_sentences(scenes.train)
    assert "image uint8 (64, 64, 64, 3), tokens int32 (64, 11)" in facts["one batch"]
    assert facts["while training"] == "pictures decoded once, 12.3 MB in memory"


# Real pictures


@pytest.mark.parametrize(
    ("column", "sizes"),
    [("split_composed", (3418, 188, 172)), ("split", (3093, 343, 342))],
)
def test_emoji(saccade_data, column, sizes):
    config = Config(
        data=str(saccade_data / "emoji_captions"),
        caption_column="en",
        split_column=column,
    )
    splits = data.load_data(config)
    parts = (splits.train, splits.validation, splits.test)
    assert tuple(len(part) for part in parts) == sizes
    pixels = pictures.read(splits.test["image"], 64)
    assert pixels.shape == (sizes[2], 64, 64, 3)
