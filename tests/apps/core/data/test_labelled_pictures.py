"""Labelled pictures of all sources, in three splits."""

import types

import numpy as np
import pytest
from PIL import Image

from saccade.apps.core.data import labelled_pictures
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.kinds import Picture

KIND = Picture(16)


def config(path, **settings):
    common = {"split": "60/20/20", "skip_bad": False, "bad_at_most": 50.0}
    common |= {"data_dir": ""}
    return types.SimpleNamespace(data=str(path), **common | settings)


def read(path, **settings):
    return labelled_pictures.read_splits(config(path, **settings), KIND)


def arrays(count):
    pixels = np.arange(count * 9, dtype=np.uint8).reshape(count, 3, 3)
    return pixels, np.arange(count) % 2


def sizes(splits):
    return len(splits.train), len(splits.validation), len(splits.test)


def test_a_test_split_without_validation_gets_it_from_training(tmp_path):
    (pixels, labels), path = arrays(200), tmp_path / "x.npz"
    np.savez(path, x_train=pixels, y_train=labels, x_test=pixels[:9], y_test=labels[:9])
    train, validation, test = sizes(read(path))
    assert test == 9 and train + validation == 200
    assert 30 < validation < 70  # a quarter, as 60 : 20 says
    assert sizes(read(path, split="100/0/0")) == (200, 0, 9)


def test_splits_of_their_own_are_kept(tmp_path):
    (pixels, labels), path = arrays(20), tmp_path / "x.npz"
    parts = {"train": slice(0, 12), "val": slice(12, 17), "test": slice(17, 20)}
    named = {f"x_{name}": pixels[part] for name, part in parts.items()}
    named |= {f"y_{name}": labels[part] for name, part in parts.items()}
    np.savez(path, **named)
    assert sizes(read(path)) == sizes(read(tmp_path)) == (12, 5, 3)


def test_without_splits_all_three_are_by_hash(tmp_path):
    (pixels, labels), path = arrays(200), tmp_path / "x.npz"
    np.savez(path, x=pixels, y=labels)
    train, validation, test = sizes(read(path))
    assert train + validation + test == 200 and min(validation, test) > 20


def test_a_folder_per_class(tmp_path):
    for i in range(20):
        folder = tmp_path / str(i % 2)
        folder.mkdir(exist_ok=True)
        Image.fromarray(arrays(20)[0][i]).save(folder / f"{i}.png")
    assert sum(sizes(read(tmp_path))) == 20
    (tmp_path / "0" / "0.png").write_bytes(b"torn")
    with pytest.raises(UserError, match="0.png is broken"):
        read(tmp_path)
    assert sum(sizes(read(tmp_path, skip_bad=True))) == 19


def test_what_is_none_of_them(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    for path in (tmp_path / "x.txt", tmp_path / "nothing", ""):
        with pytest.raises(UserError, match="--data expected builtin, tfds:NAME"):
            read(path)


def test_mnist(saccade_data):
    """Prepared beside the data sets; see benchmarks/DATA.md."""
    prepared = saccade_data.parent / "tfds"
    if not (prepared / "mnist").is_dir():
        pytest.skip(f"no tfds:mnist is prepared in {prepared}")
    splits = read("tfds:mnist", data_dir=str(prepared), split="90/10/0")
    train, validation, test = sizes(splits)
    assert train + validation == 60_000 and test == 10_000
    assert 5_500 < validation < 6_500
    assert sorted(set(splits.test["label"])) == list("0123456789")


def test_a_set_without_labels(saccade_data):
    prepared = saccade_data.parent / "tfds"
    if not (prepared / "tiny_shakespeare").is_dir():
        pytest.skip(f"no tfds:tiny_shakespeare is prepared in {prepared}")
    with pytest.raises(UserError, match="features image and label, received text"):
        read("tfds:tiny_shakespeare", data_dir=str(prepared))
