"""Pictures in a folder per class."""

import types

import numpy as np
import pytest
from PIL import Image

from saccade.apps.core.data import labelled, picture_folders
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs import pictures
from saccade.apps.core.inputs.kinds import Picture

KIND = Picture(16)


def config(path, **settings):
    common = {"split": "60/20/20", "skip_bad": False, "bad_at_most": 50.0}
    return types.SimpleNamespace(data=str(path), **common | settings)


def paint(path, shade=0, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (16, 16), shade).save(path, **how)
    return path


def read(path):
    return picture_folders.read_rows(config(path), KIND)


def split(settings):
    rows = picture_folders.read_rows(settings, KIND)
    return labelled.split_rows(settings, rows, "name", "pictures", paths=("image",))


def test_the_folder_of_a_picture_is_its_label_and_numbers_go_by_size(tmp_path, caplog):
    names = ["a/2.png", "a/10.PNG", "a/x.jpg", "b c/1.webp", "b c/01.bmp", "10/1.gif"]
    for name in names:
        paint(tmp_path / name)
    paint(tmp_path / ".hidden" / "1.png")
    paint(tmp_path / "a" / ".1.png")
    (tmp_path / "9").mkdir()
    rows = read(tmp_path)
    order = ["10/1.gif", *names[:3], "b c/01.bmp", "b c/1.webp"]
    assert [row.values["name"] for row in rows] == order
    assert [row.values["label"] for row in rows] == ["10", *"aaa", "b c", "b c"]
    assert [row.values["image"] for row in rows] == [str(tmp_path / n) for n in order]
    assert not any(row.error or row.split for row in rows)
    assert "left out 9/, which holds no pictures." in caplog.text


def test_folders_may_lie_in_a_folder_per_split(tmp_path):
    names = ["Train/ada/1.png", "val/ada/2.png", "test/bob/1.png"]
    for name in names:
        paint(tmp_path / name)
    rows = {row.values["name"]: row for row in read(tmp_path)}
    assert [rows[name].split for name in names] == ["Train", "val", "test"]
    assert [rows[name].values["label"] for name in names] == ["ada", "ada", "bob"]
    parts = split(config(tmp_path))
    assert parts.test["label"] == ["bob"] and parts.validation["label"] == ["ada"]
    paint(tmp_path / "carl" / "1.png")  # then train is a class like all others
    (row,) = [row for row in read(tmp_path) if row.values["label"] == "carl"]
    assert row.split is None


def test_bad_pictures_are_errors_that_name_the_file(tmp_path):
    good = paint(tmp_path / "a" / "1.png").read_bytes()
    bad = {"2.png": b"", "3.png": good[:40], "4.jpg": b"no picture"}
    for name, content in bad.items():
        (tmp_path / "a" / name).write_bytes(content)
    rows = read(tmp_path)
    assert not rows[0].error
    for name, row in zip(bad, rows[1:], strict=True):
        assert str(tmp_path / "a" / name) in row.error
    assert "2.png is broken" in rows[1].error
    with pytest.raises(UserError, match="2.png is broken.*--skip-bad"):
        split(config(tmp_path))
    skipping = config(tmp_path, skip_bad=True, bad_at_most=90, split="100/0/0")
    assert split(skipping).train["name"] == ["a/1.png"]


def test_what_is_no_picture_is_named_in_one_warning(tmp_path, caplog):
    for label in ("a", "b"):
        paint(tmp_path / label / "1.png")
    for name in ("notes.md", "a/labels.csv", "b/scan.pgm"):
        (tmp_path / name).write_text("x")
    (tmp_path / "b" / "folder.png").mkdir()
    assert len(read(tmp_path)) == 2
    (record,) = caplog.records
    assert "left out a/labels.csv, b/scan.pgm, notes.md." in record.getMessage()


def test_no_folder_and_no_pictures(tmp_path):
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        read(tmp_path / "nowhere")
    paint(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"a folder per class .*\.webp.*found none"):
        read(tmp_path)


def test_splits_do_not_hang_on_where_the_folder_lies(tmp_path):
    for place in ("here", "there"):
        for i in range(20):
            paint(tmp_path / place / f"{i % 2}" / f"{i}.png", i)
    here, there = (split(config(tmp_path / p)) for p in ("here", "there"))
    assert here.train["name"] == there.train["name"] and len(here.test)
    assert here.sha256 == there.sha256  # by what the files hold, not by their names
    paint(tmp_path / "there" / "0" / "0.png", 99)
    assert split(config(tmp_path / "there")).sha256 != here.sha256


def test_a_picture_lies_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:8] = 255
    path = tmp_path / "a" / "1.jpg"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    (row,) = read(tmp_path)
    shown = pictures.read([row.values["image"]], 16).numpy()[0, :, :, 0]
    assert shown[:6].max() < 30 and shown[10:].min() > 225
