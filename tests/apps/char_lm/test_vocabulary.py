"""Characters: text to ids and back, in the graph and outside."""

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.char_lm import vocabulary
from saccade.apps.core.errors import UserError

TEXTS = ["abba 历史", "b"]


def test_the_most_frequent_character_comes_first():
    characters = vocabulary.learn(TEXTS)
    assert "".join(characters.own) == "ba 历史" and characters.size == 6
    assert vocabulary.learn(TEXTS, min_count=2).own == ["b", "a"]


@pytest.mark.parametrize("text", ["abba 历史", "", "b", "aXb", "\0", "😀b"])
def test_graph_and_python_give_the_same_ids(text):
    characters = vocabulary.learn(TEXTS)
    ids, lengths = characters.encode(tf.constant([text, "ab"]))
    assert (ids[:, 0] == characters.start).numpy().all()
    ids, lengths = ids[:, 1:], lengths - 1
    row = np.array(ids[0, : lengths[0]])
    np.testing.assert_array_equal(row, characters.ids(text))
    known = "".join(c if c in characters.own else "\ufffd" for c in text)
    assert characters.decode(ids, lengths).numpy()[0].decode() == known


def test_what_is_unknown_and_what_is_no_utf8_has_id_0():
    characters = vocabulary.characters("ba 历史", with_start=False)
    ids, lengths = characters.encode(tf.constant([b"aX\xffb", b""]))
    np.testing.assert_array_equal(ids, [[2, 0, 0, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(lengths, [4, 0])


def test_an_empty_batch():
    ids, lengths = vocabulary.learn(TEXTS).encode(tf.constant([], tf.string))
    assert ids.shape[0] == 0 and lengths.shape == (0,)


def test_json_round_trip():
    characters = vocabulary.learn(["\\\"\n\t历😀'"])
    again = vocabulary.from_json(characters.to_json())
    assert again.own == characters.own and again.start == characters.start


@pytest.mark.parametrize("more, start", [("", None), (', "start": true', 3)])
def test_what_older_versions_wrote_has_the_same_ids(more, start):
    characters = vocabulary.from_json('{"characters": "ba"' + more + "}")
    assert characters.start == start and characters.size == 3
    np.testing.assert_array_equal(characters.ids("abc"), [2, 1, 0])


def test_without_a_start_something_is_read_of_an_empty_text():
    assert vocabulary.characters("ab\n", with_start=False).blank == 3
    assert vocabulary.characters("ab", with_start=False).blank == 1


def test_no_character_left_is_an_error():
    with pytest.raises(UserError, match="--min-count"):
        vocabulary.learn(["ab"], min_count=2)
