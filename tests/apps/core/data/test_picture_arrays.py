"""Labelled pictures as numbers: idx, npz and csv."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from saccade.apps.core.data import picture_arrays
from saccade.apps.core.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 6), np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def idx(array):
    shape = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + shape + array.tobytes()


def write_idx(folder, name="train", pack=bytes, ending="", pixels=PIXELS):
    images = folder / f"{name}-images-idx3-ubyte{ending}"
    images.write_bytes(pack(idx(pixels)))
    labels = folder / f"{name}-labels-idx1-ubyte{ending}"
    labels.write_bytes(pack(idx(LABELS)))
    return images


def pixels_of(row):
    return np.asarray(Image.open(io.BytesIO(row.values["image"])))


def assert_rows(rows, pixels=PIXELS, labels="31415"):
    assert not any(row.error for row in rows)
    assert "".join(row.values["label"] for row in rows) == labels
    assert len({row.values["name"] for row in rows}) == len(rows)
    for row, expected in zip(rows, pixels, strict=True):
        np.testing.assert_array_equal(pixels_of(row), expected)


@pytest.mark.parametrize("pack, ending", [(bytes, ""), (gzip.compress, ".gz")])
@pytest.mark.parametrize("name, split", [("train", None), ("t10k", "test")])
def test_idx(tmp_path, pack, ending, name, split):
    path = write_idx(tmp_path, name, pack, ending)
    assert picture_arrays.is_one(path)
    assert not picture_arrays.is_one(path.with_name(f"{name}-labels-idx1-ubyte"))
    rows = picture_arrays.read_rows(path)
    assert_rows(rows)
    assert {row.split for row in rows} == {split}


def test_what_is_no_idx(tmp_path):
    path = write_idx(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    whole = path.read_bytes()
    for content, message in (
        (b"", "begins with 00 00 08 03; received no bytes"),
        (whole[:9], "begins with"),
        (b"\0\0\x0d\x03" + whole[4:], "received 00 00 0d 03"),
        (whole[:-1], r"expected 120 numbers, as its shape \(5, 4, 6\) says; .* 119"),
        (whole + b"x", "received 121"),
        (whole[:4] + b"\xff" * 12, "expected 79,228,162"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            picture_arrays.read_rows(path)
    path.write_bytes(whole)
    labels.write_bytes(idx(LABELS[:4]))
    with pytest.raises(UserError, match="a label for each of 5 pictures, received 4"):
        picture_arrays.read_rows(path)
    labels.unlink()
    with pytest.raises(UserError, match="there is no train-labels-idx1-ubyte"):
        picture_arrays.read_rows(path)


def test_npz_with_splits_and_without(tmp_path):
    path = tmp_path / "digits.npz"
    names = LABELS.astype("U1")
    np.savez(path, x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:2], y_test=names[:2])
    rows = picture_arrays.read_rows(path)
    assert [row.split for row in rows] == ["train"] * 5 + ["test"] * 2
    assert_rows(rows[:5])
    assert_rows(rows[5:], PIXELS[:2], "31")
    colours = np.stack([PIXELS, PIXELS // 2, 255 - PIXELS], axis=-1)
    np.savez(path, x=colours, y=LABELS)
    rows = picture_arrays.read_rows(path)
    assert_rows(rows, colours)
    assert {row.split for row in rows} == {None}


def test_what_is_no_npz_of_pictures(tmp_path):
    path = tmp_path / "digits.npz"
    for arrays, message in (
        ({"images": PIXELS}, "x_train and y_train, .* received images"),
        ({"x": PIXELS / 255, "y": LABELS}, "expected uint8 .* received float64"),
        ({"x": PIXELS[0], "y": LABELS}, r"received uint8 \(4, 6\)"),
        ({"x": PIXELS, "y": LABELS / 2}, "as the label .* received float64"),
        ({"x": PIXELS, "y": LABELS[:, None]}, r"received uint8 \(5, 1\)"),
        ({"x": PIXELS, "y": LABELS[:3]}, "a label for each of 5 .* received 3"),
        ({"x": PIXELS, "y": np.array([{}] * 5)}, "cannot be read as .npz"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(UserError, match=message):
            picture_arrays.read_rows(path)
    for content in (b"", b"no zip", path.read_bytes()[:99]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as .npz"):
            picture_arrays.read_rows(path)


@pytest.mark.parametrize("header", ["label first", "label last", "none"])
def test_csv(tmp_path, header):
    square, path = PIXELS[:, :, :4], tmp_path / "digits.csv"
    lines = []
    if header != "none":
        lines.append([f"pixel{i}" for i in range(16)])
    lines += [[str(value) for value in picture.ravel()] for picture in square]
    labels = ["label"] * (header != "none") + [str(label) for label in LABELS]
    for line, label in zip(lines, labels, strict=True):
        line.insert(16 if header == "label last" else 0, label)
    path.write_text("\ufeff" + "\r\n".join(",".join(line) for line in lines))
    assert_rows(picture_arrays.read_rows(path), square)


def test_a_bad_row_of_csv_names_its_line(tmp_path):
    path = tmp_path / "digits.csv"
    good = "7,0,1,2,255"
    bad = ["7,0,1,2", "7,0,1,2,256", "7,0,1,2,-1", "7,0,1,2,x", ",0,1,2,3", "7"]
    path.write_text("\n".join([good, *bad, "", good]))
    rows = picture_arrays.read_rows(path)
    assert [bool(row.error) for row in rows] == [False, *[True] * 6, False]
    for number, (line, row) in enumerate(zip(bad, rows[1:], strict=False), 2):
        assert row.where == f"{path}, line {number}"
        assert f"received {len(line.split(','))} cells" in row.error
