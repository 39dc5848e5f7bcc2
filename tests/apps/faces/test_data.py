"""The data of faces: who is in which split, and what is drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from saccade.apps.core.errors import UserError
from saccade.apps.faces import APP, data, drawing


def test_strangers_of_validation_and_test_are_different_ones():
    splits = data.read(APP.Config(builtin_size=10))
    persons = {
        name: set(getattr(splits, name)["label"])
        for name in ("train", "validation", "test")
    }
    assert len(persons["train"]) == data.PERSONS
    strangers = [persons[name] - persons["train"] for name in ("validation", "test")]
    assert [len(some) for some in strangers] == [data.UNSEEN, data.UNSEEN]
    assert not strangers[0] & strangers[1]
    assert persons["test"] & persons["train"]
    # No picture twice, in whatever split.
    images = [p for name in persons for p in getattr(splits, name)["image"]]
    assert len(set(images)) == len(images) == 10 * (data.PERSONS + 2 * data.UNSEEN)


def test_a_person_is_drawn_alike_and_never_the_same():
    assert drawing.person("ada") == drawing.person("ada") != drawing.person("bob")
    assert drawing.pictures("ada", 3) == drawing.pictures("ada", 5)[:3]
    pixels = [
        np.asarray(Image.open(io.BytesIO(picture)), float)
        for picture in drawing.pictures("ada", 5)
    ]
    assert all(p.shape == (64, 64, 3) and p.std() > 20 for p in pixels)
    assert all(abs(pixels[0] - other).mean() > 3 for other in pixels[1:])


def test_a_folder_per_person_is_read_and_strangers_are_counted(tmp_path):
    for split, person in (("train", "ada"), ("train", "bob"), ("test", "eve")):
        folder = tmp_path / split / person
        folder.mkdir(parents=True)
        for i, picture in enumerate(drawing.pictures(person, 3)):
            (folder / f"{i}.png").write_bytes(picture)
    facts = APP.describe_data(APP.Config(data=str(tmp_path)))
    assert facts["train examples"] == 6 and facts["test examples"] == 3
    assert facts["persons not in training"] == 1
    assert facts["pictures of a person"] == "3 to 3"


def test_nobody_is_called_unknown(tmp_path):
    for person in ("ada", "unknown"):
        (tmp_path / "train" / person).mkdir(parents=True)
        (tmp_path / "train" / person / "1.png").write_bytes(
            drawing.pictures(person, 1)[0]
        )
    config = APP.Config(data=str(tmp_path))
    with pytest.raises(UserError, match="called 'unknown'.*Rename the folder"):
        APP.describe_data(config)


def test_the_faces_of_att_are_forty_persons_by_ten(saccade_data):
    splits = data.read(APP.Config(data=str(saccade_data / "faces_orl")))
    parts = (splits.train, splits.validation, splits.test)
    assert sum(map(len, parts)) == 400
    assert len({label for part in parts for label in part["label"]}) == 40
