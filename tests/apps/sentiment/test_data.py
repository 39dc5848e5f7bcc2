"""Reviews: the builtin ones, and a real set."""

import numpy as np
import pytest

from saccade.apps.core.errors import UserError
from saccade.apps.sentiment import APP, bag_of_words
from saccade.apps.sentiment.config import Config
from saccade.apps.sentiment.data import builtin

SIZE = 2000


@pytest.fixture(scope="module")
def splits():
    return builtin(Config(builtin_size=SIZE))


def test_every_review_has_a_partner_of_the_same_words(splits):
    parts = (splits.train, splits.validation, splits.test)
    assert sum(map(len, parts)) == SIZE and min(map(len, parts)) > SIZE / 20
    bags = []
    for part in parts:
        texts, labels = part["text"], part["label"]
        assert labels == ["positive", "negative"] * (len(part) // 2)
        found = [tuple(sorted(text.split())) for text in texts]
        assert found[::2] == found[1::2]
        assert all(a != b for a, b in zip(texts[::2], texts[1::2], strict=True))
        bags.append(set(found))
    # No pair is in two splits.
    assert sum(map(len, bags)) == len(set.union(*bags))


def test_no_review_stands_for_both_verdicts(splits):
    for part in (splits.train, splits.validation, splits.test):
        verdicts = dict(zip(part["text"], part["label"], strict=True))
        assert [verdicts[text] for text in part["text"]] == part["label"]


def test_the_builtin_reviews_are_the_same_everywhere(splits):
    again = builtin(Config(builtin_size=SIZE, seed=7))
    assert again.sha256 == splits.sha256
    assert splits.train["text"][:2] == [
        "after two months , the camera is not pleasing , but the battery is good .",
        "after two months , the battery is good , but the camera is not pleasing .",
    ]


def test_a_bag_of_words_cannot_tell(splits):
    facts = APP.describe_data(Config(builtin_size=SIZE))
    assert facts["bag of words"] == "50.0 % accuracy"


def test_a_bag_of_words_learns_where_words_tell():
    """Of what it cannot tell it is not the learner that is to blame."""
    draw = np.random.default_rng(0)
    classes = draw.integers(0, 3, 300)
    texts = [np.append(draw.integers(4, 20, 6), 20 + c) for c in classes]
    train, test = slice(200), slice(200, None)
    right = bag_of_words.accuracy(
        texts[train], classes[train], texts[test], classes[test]
    )
    assert right == 100


def test_a_label_that_training_lacks_counts_as_wrong(tmp_path):
    rows = ["good,1,train", "bad,0,train", "bad,0,test", "so so,5,test"]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,part", *rows]))
    config = Config(data=str(tmp_path), split_column="part")
    task = APP.task_for(config)
    splits = task.read()
    assert task.learn(splits.train).bag_of_words(splits.train, splits.test) == 50
    with pytest.raises(UserError, match="'gone' .--text-column"):
        APP.task_for(Config(data=str(tmp_path), text_column="gone")).read()


def test_real_reviews(saccade_data, tmp_path):
    """Chinese hotel reviews: a BOM, quoted newlines, and an empty one."""
    config = Config(
        data=str(saccade_data / "sentiment_zh_hotel"),
        text_column="review",
        tokenizer="characters",
        max_length=60,
        steps=150,
        rounds=1,
    )
    with pytest.raises(UserError, match=r"htl_all.csv, line \d+: expected a text"):
        APP.task_for(config).read()
    run = APP.train(Config(**vars(config) | {"skip_bad": True}), out=tmp_path / "run")
    assert run.assets.labels == ("0", "1")
    figures = run.metrics
    print(figures)
    assert 60 < figures["majority"] < 75
    assert figures["accuracy"] > figures["majority"] + 5
