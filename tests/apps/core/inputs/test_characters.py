"""Characters: text to ids and back, in the graph and outside."""

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.characters import Characters

TEXTS = ["abba 历史", "b"]


def test_the_most_frequent_character_comes_first():
    characters = Characters.build(TEXTS)
    assert characters.own == "ba 历史" and characters.size == 6
    assert Characters.build(TEXTS, min_count=2).own == "ba"


@pytest.mark.parametrize("text", ["abba 历史", "", "b", "aXb", "\0", "😀b"])
def test_graph_and_python_give_the_same_ids(text):
    characters = Characters.build(TEXTS)
    ids, lengths = characters.encode(tf.constant([text, "ab"]))
    row = np.array(ids[0, : lengths[0]])
    np.testing.assert_array_equal(row, characters.ids(text))
    known = "".join(c if c in characters.own else "\ufffd" for c in text)
    assert characters.decode(ids, lengths).numpy()[0].decode() == known


def test_what_is_unknown_and_what_is_no_utf8_has_id_0():
    characters = Characters.build(TEXTS)
    ids, lengths = characters.encode(tf.constant([b"aX\xffb", b""]))
    np.testing.assert_array_equal(ids, [[2, 0, 0, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(lengths, [4, 0])


def test_an_empty_batch():
    ids, lengths = Characters.build(TEXTS).encode(tf.constant([], tf.string))
    assert ids.shape[0] == 0 and lengths.shape == (0,)


def test_json_round_trip():
    characters = Characters.build(["\\\"\n\t历😀'"])
    again = Characters.from_json(characters.to_json())
    assert again.own == characters.own


def test_no_character_left_is_an_error():
    with pytest.raises(UserError, match="--min-count"):
        Characters.build(["ab"], min_count=2)
