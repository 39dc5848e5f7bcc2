"""Texts of the character language model: sources, splits, errors."""

import os
import pathlib
import re

import numpy as np
import pytest

from saccade.apps.char_lm import data
from saccade.apps.char_lm.config import PRESETS, Config
from saccade.apps.core.errors import ConfigError, UserError


def text_of(splits, part):
    ids = getattr(splits, part).ids
    return splits.characters.decode(ids[None]).numpy()[0].decode()


def test_builtin_has_one_alphabet_and_the_same_text_every_time():
    first, second = (data.load_data(Config()) for _ in range(2))
    assert first.sha256 == second.sha256
    assert first.characters.own == data.ALPHABET
    assert len(first.train) > 3_000_000 and first.train.begins.sum() > 100
    assert first.test is first.validation
    assert "def __init__(self" in text_of(first, "validation")
    assert not np.any(first.train.ids == 0)


def test_hello():
    splits = data.load_data(Config(data="hello"))
    assert text_of(splits, "train").startswith("hellohello")
    assert splits.characters.size == 5


def test_a_file_is_cut_in_its_order(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(200))
    (tmp_path / "text.txt").write_text(text, "utf-8")
    splits = data.load_data(Config(data=str(tmp_path / "text.txt"), split="80/10/10"))
    parts = [text_of(splits, part) for part in ("train", "validation", "test")]
    assert "".join(parts) == text and [len(p) for p in parts] == [160, 20, 20]


def test_a_folder_is_a_document_a_file(tmp_path):
    for name, text in {
        "b.txt": "zweite",
        "a.md": "erste\r\n",
        "README.md": "x",
    }.items():
        (tmp_path / name).write_text(text, "utf-8", newline="")
    (tmp_path / "picture.png").write_bytes(b"\xff\xd8")
    splits = data.load_data(Config(data=str(tmp_path), split="75/25"))
    assert text_of(splits, "train") == "erste\nzwe"
    np.testing.assert_array_equal(np.flatnonzero(splits.train.begins), [0, 6])
    assert text_of(splits, "validation") == "\ufffd" * 1 + "te"  # i: only there


def test_the_rare_are_unknown(tmp_path):
    (tmp_path / "text.txt").write_text("aab" * 10 + "c" + "ab" * 10, "utf-8")
    config = Config(data=str(tmp_path / "text.txt"), min_count=2)
    splits = data.load_data(config)
    assert splits.characters.own == "ab"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"first\nsec\xffond", r"line 2: byte 0xff is no UTF-8.*iconv"),
        (b" \n", "is empty"),
        (b"abc", "longer text"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path, content, message):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        data.load_data(Config(data=str(tmp_path / "text.txt")))


def test_bad_files_are_counted_and_skipped(tmp_path, caplog):
    for i in range(8):
        (tmp_path / f"{i}.txt").write_text("hello world, " * 20)
    bad = {"a.txt": b"\xff", "b.txt": b""}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "c.txt").mkdir()
    (tmp_path / "d.txt").symlink_to(tmp_path / "nowhere")
    settings = {"data": str(tmp_path), "skip_bad": True}
    with pytest.raises(UserError, match="4 of 12 files are bad, .*--bad-at-most=10"):
        data.load_data(Config(**settings))
    splits = data.load_data(Config(**settings, bad_at_most=34))
    assert len(splits.train) + len(splits.validation) == 8 * 13 * 20
    assert "Skipped 4 of 12 files:" in caplog.text
    assert "a.txt, line 1: byte 0xff is no UTF-8" in caplog.text
    for name, why in (
        ("b", "is empty"),
        ("c", "Is a directory"),
        ("d", "No such file"),
    ):
        assert re.search(f"{name}.txt.* {why}", caplog.text)
    with pytest.raises(UserError, match="a.txt, line 1"):
        data.load_data(Config(data=str(tmp_path)))
    for i in range(8):
        (tmp_path / f"{i}.txt").unlink()
    with pytest.raises(UserError, match="none of 4 files is sound"):
        data.load_data(Config(**settings, bad_at_most=100))


def test_bad_sources_are_errors(tmp_path):
    with pytest.raises(UserError, match="nothing at"):
        data.load_data(Config(data=str(tmp_path / "missing.txt")))
    with pytest.raises(UserError, match="nothing at .xxx"):
        data.load_data(Config(data="x" * 5000))  # longer than a name can be
    with pytest.raises(UserError, match=r"no text in the folder"):
        data.load_data(Config(data=str(tmp_path)))
    for split in ("90", "90/20", "a/b", "100/0", "50/-10/60"):
        with pytest.raises(UserError, match="--split"):
            data.load_data(Config(data="hello", split=split))


def test_tied_weights_need_an_embedding():
    with pytest.raises(ConfigError, match="--embedding"):
        Config(tied=True)


def test_tfds_without_network_names_the_folder(tmp_path):
    config = Config(data="tfds:no_such_text", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="--data-dir"):
        data.load_data(config)


def test_tiny_shakespeare_in_order():
    root = os.environ.get("SACCADE_DATA")
    if not root or not (pathlib.Path(root).parent / "tfds/tiny_shakespeare").exists():
        pytest.skip("needs a prepared tiny_shakespeare beside SACCADE_DATA")
    folder = pathlib.Path(root).parent / "tfds"
    splits = data.load_data(Config(data="tfds:tiny_shakespeare", data_dir=str(folder)))
    assert (len(splits.train), len(splits.validation)) == (1_003_855, 111_539)
    assert text_of(splits, "train").startswith("First Citizen:\nBefore we proceed")


def test_what_data_says_about_itself():
    config = PRESETS["hello"]()
    facts = data.describe(config, data.load_data(config))
    assert facts["training"] == "1,800 characters" and facts["test"] == "as validation"
