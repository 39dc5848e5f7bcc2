"""Sets of tensorflow-datasets, through every app: prepared ones, mocked ones, none."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from saccade import apps
from saccade.apps.core.data import media_sets, prepared
from saccade.apps.core.errors import UserError
from saccade.apps.core.tasks.describe import describe

# Sets that each app could be trained on, as their makers describe them.
SETS = [
    ("captioning", "coco_captions", ("train", "val", "test")),
    ("char_lm", "tiny_shakespeare", ("train", "validation", "test")),
    ("word_lm", "lm1b", ("train", "test")),
    ("word_lm", "imdb_reviews", ("train", "test")),
    ("digits", "mnist", ("train", "test")),
]


def task_of(app, **settings):
    loaded = apps.load(app)
    return loaded.task_for(loaded.Config(**settings))


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


def labelled(builder, split, **_):
    """Records of mnist as they are read: encoded pictures, labels."""
    pictures = tf.constant([tf.io.encode_png(tf.zeros([4, 4, 1], tf.uint8)).numpy()])
    labels = tf.data.Dataset.range(20).map(lambda i: i % 10)
    return labels.map(lambda label: {"image": pictures[0], "label": label})


SMALL = {
    "char_lm": {"batch_size": 2, "window": 4},
    "word_lm": {"batch_size": 2, "window": 4},
    "digits": {"split": "50/25/25"},
}
# The mock cannot make up what stands beside pictures that stay encoded.
MADE_UP = {"captioning": described, "digits": labelled}


@pytest.mark.parametrize(("app", "name", "splits"), SETS)
def test_sets_that_only_their_description_is_there_of(app, name, splits, tmp_path):
    mocked(name, splits, tmp_path)
    settings = {"data": f"tfds:{name}", "data_dir": str(tmp_path)}
    settings |= SMALL.get(app, {})
    task = task_of(app, **settings)
    made_up = MADE_UP.get(app)
    with tfds.testing.mock_data(20, data_dir=str(tmp_path), as_dataset_fn=made_up):
        found = task.read()
    assert len(found.train) and len(found.validation) and len(found.test)
    facts = describe(task, found)
    assert facts["lies in"].startswith(str(tmp_path / name))
    assert [facts[f"example {i}"] for i in (1, 2, 3)]


def test_prepared_sets_that_do_not_fit():
    folder = _prepared_sets()
    with pytest.raises(UserError, match="image and captions, received image, label"):
        task_of("captioning", data="tfds:mnist", data_dir=folder).read()
    for app in ("char_lm", "word_lm"):
        with pytest.raises(UserError, match="no feature 'text'; it has image, label"):
            task_of(app, data="tfds:mnist", data_dir=folder).read()


@pytest.mark.parametrize("app", ["char_lm", "word_lm"])
def test_prepared_texts(app):
    task = task_of(app, data="tfds:tiny_shakespeare", data_dir=_prepared_sets())
    facts = describe(task, task.read())
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
    task = task_of(app, data=f"tfds:{name}", data_dir=str(tmp_path))
    with pytest.raises(UserError) as error:
        task.read()
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
    settings = {"data": "tfds:tiny_pictures", "data_dir": str(tmp_path)}
    with caplog.at_level("INFO", "saccade"):
        splits = task_of("captioning", **settings).read()
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [6, 3, 3]
    assert "Downloading tfds:tiny_pictures" in caplog.text
    shown = capfd.readouterr()
    assert "Generating train examples" in shown.err + shown.out
    caplog.clear()
    again = task_of("captioning", **settings).read()
    assert again.train["captions"] == splits.train["captions"]
    assert not [record for record in caplog.records if record.name == "saccade"]


def test_pictures_of_a_large_set_are_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "check_network", lambda: None)
    settings = {"data": "tfds:tiny_pictures", "data_dir": str(tmp_path)}
    small = task_of("captioning", **settings).read()
    monkeypatch.setattr(media_sets, "IN_MEMORY", 0)
    large = task_of("captioning", **settings).read()
    assert large.sha256 == small.sha256
    files = [pathlib.Path(file) for file in large.train["image"]]
    assert all(file.is_file() for file in files)
    del large
    assert not any(file.exists() for file in files)
