"""Texts of the character language model: sources, splits, errors."""

import os
import pathlib
import re

import numpy as np
import pytest

from saccade.apps.char_lm import data
from saccade.apps.char_lm.config import PRESETS, Config
from saccade.apps.char_lm.task import task_for
from saccade.apps.core.errors import ConfigError, UserError
from saccade.apps.core.tasks.describe import describe


def text_of(documents):
    return "".join(piece for _, piece in documents)


def learned(config):
    """The task with its characters, and the splits."""
    task = task_for(config)
    splits = task.read()
    return task.learn(splits.train), splits


def test_builtin_has_one_alphabet_and_the_same_text_every_time():
    task, first = learned(Config())
    assert first.sha256 == data.read(Config()).sha256
    assert "".join(task.assets.own) == data.ALPHABET
    text = task.text(first.train)
    assert len(first.train) > 3_000_000 and text.begins.sum() > 100
    assert first.test is first.validation
    assert "def __init__(self" in text_of(first.validation)
    assert not np.any(text.ids == 0)
    # The start is no character: one stands before every document.
    assert len(text) == len(first.train) + len(text.starts)
    assert (text.ids[text.begins] == task.assets.size).all()


def test_hello():
    task, splits = learned(Config(data="hello"))
    assert text_of(splits.train).startswith("hellohello")
    assert task.assets.size == 5


def test_a_file_is_cut_in_its_order(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(200))
    (tmp_path / "text.txt").write_text(text, "utf-8")
    splits = data.read(Config(data=str(tmp_path / "text.txt"), split="80/10/10"))
    parts = [text_of(part) for part in (splits.train, splits.validation, splits.test)]
    assert "".join(parts) == text and [len(p) for p in parts] == [160, 20, 20]


def test_a_folder_is_a_document_a_file(tmp_path):
    for name, text in {
        "b.txt": "zweite",
        "a.md": "erste\r\n",
        "README.md": "x",
    }.items():
        (tmp_path / name).write_text(text, "utf-8", newline="")
    (tmp_path / "picture.png").write_bytes(b"\xff\xd8")
    task, splits = learned(Config(data=str(tmp_path), split="75/25"))
    assert text_of(splits.train) == "erste\nzwe"
    # The start before it moves the second by one.
    np.testing.assert_array_equal(
        np.flatnonzero(task.text(splits.train).begins), [0, 6 + 1]
    )
    ids = task.text(splits.validation).ids[1:]
    decoded = task.assets.decode(ids[None]).numpy()[0].decode()
    assert decoded == "\ufffd" * 1 + "te"  # i: only there


def test_the_rare_are_unknown(tmp_path):
    (tmp_path / "text.txt").write_text("aab" * 10 + "c" + "ab" * 10, "utf-8")
    config = Config(data=str(tmp_path / "text.txt"), min_count=2)
    task, _ = learned(config)
    assert task.assets.own == ["a", "b"]


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
        data.read(Config(data=str(tmp_path / "text.txt")))


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
        data.read(Config(**settings))
    splits = data.read(Config(**settings, bad_at_most=34))
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
        data.read(Config(data=str(tmp_path)))
    for i in range(8):
        (tmp_path / f"{i}.txt").unlink()
    with pytest.raises(UserError, match="none of 4 files is sound"):
        data.read(Config(**settings, bad_at_most=100))


def test_bad_sources_are_errors(tmp_path):
    with pytest.raises(UserError, match="nothing at"):
        data.read(Config(data=str(tmp_path / "missing.txt")))
    with pytest.raises(UserError, match="nothing at .xxx"):
        data.read(Config(data="x" * 5000))  # longer than a name can be
    with pytest.raises(UserError, match=r"no text in the folder"):
        data.read(Config(data=str(tmp_path)))
    for split in ("90", "90/20", "a/b", "100/0", "50/-10/60"):
        with pytest.raises(UserError, match="--split"):
            data.read(Config(data="hello", split=split))


def test_tied_weights_need_an_embedding():
    with pytest.raises(ConfigError, match="--embedding"):
        Config(tied=True)


def test_tfds_without_network_names_the_folder(tmp_path):
    config = Config(data="tfds:no_such_text", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="--data-dir"):
        data.read(config)


def test_tiny_shakespeare_in_order():
    root = os.environ.get("SACCADE_DATA")
    if not root or not (pathlib.Path(root).parent / "tfds/tiny_shakespeare").exists():
        pytest.skip("needs a prepared tiny_shakespeare beside SACCADE_DATA")
    folder = pathlib.Path(root).parent / "tfds"
    splits = data.read(Config(data="tfds:tiny_shakespeare", data_dir=str(folder)))
    assert (len(splits.train), len(splits.validation)) == (1_003_855, 111_539)
    assert text_of(splits.train).startswith("First Citizen:\nBefore we proceed")


def test_what_data_says_about_itself():
    task = task_for(Config(**PRESETS["hello"]))
    facts = describe(task, task.read())
    assert facts["different characters"] == 4
    assert facts["example 1"] == repr("hello" * 12)
    assert facts["example 2"] == repr(("hello" * 14)[600 % 5 :][:60])
    assert facts["one batch"].startswith("tokens int32 (4, 10), reset bool (4, 10)")
    assert facts["training"] == "1,800 characters" and facts["test"] == "as validation"
