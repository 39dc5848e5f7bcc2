"""Sets of tensorflow-datasets, through every app: prepared ones, mocked ones, none."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from saccade.apps.captioning import data as captioning
from saccade.apps.captioning import tensorflow_sets
from saccade.apps.captioning.config import Config as CaptioningConfig
from saccade.apps.char_lm import data as char_lm
from saccade.apps.char_lm.config import Config as CharConfig
from saccade.apps.core.data import prepared
from saccade.apps.core.errors import UserError
from saccade.apps.word_lm import data as word_lm
from saccade.apps.word_lm.config import Config as WordConfig

APPS = {
    "captioning": (captioning, CaptioningConfig),
    "char_lm": (char_lm, CharConfig),
    "word_lm": (word_lm, WordConfig),
}
# Sets that each app could be trained on, as their makers describe them.
SETS = [
    ("captioning", "coco_captions", ("train", "val", "test")),
    ("char_lm", "tiny_shakespeare", ("train", "validation", "test")),
    ("word_lm", "lm1b", ("train", "test")),
    ("word_lm", "imdb_reviews", ("train", "test")),
]


def mocked(name, splits, folder):
    """What lies on disk beside a set's records: its description."""
    builder = tfds.builder(name, data_dir=folder)
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[20],
            num_bytes=2000,
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=builder.data_path,
                dataset_name=name,
                split=split,
                filetype_suffix="tfrecord",
            ),
        )
        for split in splits
    ]
    builder.info.set_splits(tfds.core.SplitDict(infos))
    pathlib.Path(builder.data_path).mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)


def described(builder, split, **_):
    """Records of coco_captions as they are read: encoded pictures, texts."""
    assert set(builder.info.features["captions"].feature) == {"id", "text"}
    picture = tf.io.encode_png(tf.zeros([4, 4, 3], tf.uint8))
    texts = tf.constant([f"{split} a", f"{split} b"])
    record = {"image": picture, "captions": {"text": texts}}
    return tf.data.Dataset.from_tensors(record).repeat(20)


@pytest.mark.parametrize(("app", "name", "splits"), SETS)
def test_sets_that_only_their_description_is_there_of(app, name, splits, tmp_path):
    mocked(name, splits, tmp_path)
    data, config_class = APPS[app]
    config = config_class(data=f"tfds:{name}", data_dir=str(tmp_path))
    # The mock cannot make up captions beside pictures that stay encoded.
    made_up = described if app == "captioning" else None
    with tfds.testing.mock_data(20, data_dir=str(tmp_path), as_dataset_fn=made_up):
        found = data.load_data(config)
    assert len(found.train) and len(found.validation) and len(found.test)
    small = config
    if app != "captioning":
        small = config_class(**{**vars(config), "batch_size": 2, "window": 4})
    facts = data.describe(small, found)
    assert facts["lies in"].startswith(str(tmp_path / name))
    assert [facts[f"example {i}"] for i in (1, 2, 3)]


def test_prepared_sets_that_do_not_fit():
    folder = _prepared_sets()
    with pytest.raises(UserError, match="image and captions, received image, label"):
        captioning.load_data(CaptioningConfig(data="tfds:mnist", data_dir=folder))
    for data, config_class in (APPS["char_lm"], APPS["word_lm"]):
        with pytest.raises(UserError, match="no feature 'text'; it has image, label"):
            data.load_data(config_class(data="tfds:mnist", data_dir=folder))


@pytest.mark.parametrize("app", ["char_lm", "word_lm"])
def test_prepared_texts(app):
    data, config_class = APPS[app]
    config = config_class(data="tfds:tiny_shakespeare", data_dir=_prepared_sets())
    facts = data.describe(config, data.load_data(config))
    assert facts["lies in"].endswith("tiny_shakespeare/1.0.0, 1.1 MB")
    assert "First Citizen:" in facts["example 1"]


def _prepared_sets():
    folder = pathlib.Path(os.environ.get("SACCADE_DATA", "")).parent / "tfds"
    if not os.environ.get("SACCADE_DATA") or not folder.is_dir():
        pytest.skip("SACCADE_DATA is not set, or has no folder tfds beside it")
    return str(folder)


@pytest.mark.parametrize(("app", "name", "_"), SETS)
def test_without_a_network_the_folder_to_fill_is_named(
    app, name, _, tmp_path, monkeypatch
):
    def no_network():
        raise OSError("Name or service not known")

    monkeypatch.setattr(prepared, "check_network", no_network)
    data, config_class = APPS[app]
    with pytest.raises(UserError) as error:
        data.load_data(config_class(data=f"tfds:{name}", data_dir=str(tmp_path)))
    message = str(error.value)
    assert f"copy FOLDER/{name} to {tmp_path}/{name}" in message
    assert f"tfds build {name} --data_dir FOLDER" in message
    assert "Name or service not known" in message


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Pictures with captions that are made, not downloaded."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="png"),
            "caption": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        for i in range(6):
            picture = np.full((4, 4, 3), 10 * i, np.uint8)
            yield i, {"image": picture, "caption": f"shade {i}"}


def test_what_is_missing_is_downloaded_with_a_progress_bar(
    tmp_path, monkeypatch, capfd, caplog
):
    monkeypatch.setattr(prepared, "check_network", lambda: None)
    config = CaptioningConfig(data="tfds:tiny_pictures", data_dir=str(tmp_path))
    with caplog.at_level("INFO", "saccade"):
        splits = captioning.load_data(config)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [6, 3, 3]
    assert "Downloading tfds:tiny_pictures" in caplog.text
    shown = capfd.readouterr()
    assert "Generating train examples" in shown.err + shown.out
    caplog.clear()
    again = captioning.load_data(config)
    assert again.train.captions == splits.train.captions and not caplog.text


def test_pictures_of_a_large_set_are_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "check_network", lambda: None)
    config = CaptioningConfig(data="tfds:tiny_pictures", data_dir=str(tmp_path))
    small = captioning.load_data(config)
    monkeypatch.setattr(tensorflow_sets, "IN_MEMORY", 0)
    large = captioning.load_data(config)
    assert large.sha256 == small.sha256
    files = [pathlib.Path(file) for file in large.train.files]
    assert all(file.is_file() for file in files)
    del large
    assert not any(file.exists() for file in files)
