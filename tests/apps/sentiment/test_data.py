"""Texts: the builtin ones, a table with topics, and real sets."""

import pytest

from saccade.apps.core.errors import UserError
from saccade.apps.sentiment import APP
from saccade.apps.sentiment.config import Config
from saccade.apps.sentiment.data import builtin
from saccade.apps.sentiment.grammar import bag

SIZE = 2000
PAIRED = ("english", "chinese", "victims")


def parts_of(name):
    splits = builtin(Config(builtin_size=SIZE, builtin=name))
    return splits.train, splits.validation, splits.test


@pytest.mark.parametrize("name", PAIRED)
def test_every_text_has_a_partner_of_the_same_words(name):
    parts = parts_of(name)
    assert sum(map(len, parts)) == SIZE and min(map(len, parts)) > SIZE / 40
    bags = []
    for part in parts:
        texts, labels = part["text"], part["label"]
        assert all(a != b for a, b in zip(labels[::2], labels[1::2], strict=True))
        found = [bag(text) for text in texts]
        assert found[::2] == found[1::2]
        assert all(a != b for a, b in zip(texts[::2], texts[1::2], strict=True))
        bags.append(set(found))
    # No pair is in two splits.
    assert sum(map(len, bags)) == len(set.union(*bags))


@pytest.mark.parametrize("name", [*PAIRED, "topics"])
def test_no_text_stands_for_two_labels_or_in_two_splits(name):
    parts = parts_of(name)
    for part in parts:
        labels = dict(zip(part["text"], part["label"], strict=True))
        assert [labels[text] for text in part["text"]] == part["label"]
    assert not set(parts[0]["text"]) & {*parts[1]["text"], *parts[2]["text"]}


def test_what_is_asked_later_is_never_learned_from():
    assert "我爱人工智能" not in parts_of("topics")[0]["text"]
    assert not {"张三打了李四", "李四打了张三"} & set(parts_of("victims")[0]["text"])


def test_the_builtin_reviews_are_the_same_everywhere():
    train = parts_of("english")[0]
    again = builtin(Config(builtin_size=SIZE, seed=7)).train
    assert again["text"] == train["text"]
    assert train["text"][:2] == [
        "although the ending is awful , the style is lovely .",
        "although the style is lovely , the ending is awful .",
    ]


@pytest.mark.parametrize("name", PAIRED)
def test_a_bag_of_words_cannot_tell(name):
    facts = APP.describe_data(Config(builtin_size=SIZE, builtin=name))
    assert facts["bag of words"] == "50.0 % accuracy"


def test_a_bag_of_words_learns_where_words_tell():
    """Of what it cannot tell it is not the learner that is to blame."""
    facts = APP.describe_data(Config(builtin_size=SIZE, builtin="topics"))
    assert float(facts["bag of words"].split()[0]) > 90  # of four topics


# One's own


def write(folder, rows, header="text,label,part"):
    (folder / "t.csv").write_text("\n".join([header, *rows]), "utf-8")
    return str(folder)


def test_a_label_that_training_lacks_counts_as_wrong(tmp_path):
    rows = ["good,1,train", "bad,0,train", "bad,0,test", "so so,5,test"]
    config = Config(data=write(tmp_path, rows), split_column="part")
    task = APP.task_for(config)
    splits = task.read()
    assert task.learn(splits.train).bag_of_words(splits.train, splits.test) == 50
    with pytest.raises(UserError, match="'gone' .--text-column"):
        APP.task_for(Config(data=str(tmp_path), text_column="gone")).read()


def test_a_topic_is_an_input(tmp_path):
    rows = ["good,1,price", "bad,0,staff"]
    data = write(tmp_path, rows, "text,label,about")
    task = APP.task_for(Config(data=data, topic_column="about", split="100/0/0"))
    assert list(task.kinds()) == ["text", "topic"]
    assert sorted(task.read().train["topic"]) == ["price", "staff"]
    write(tmp_path, ["good,1,"], "text,label,about")
    with pytest.raises(UserError, match="line 2: expected a text, received ''"):
        task.read()


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
