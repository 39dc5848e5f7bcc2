"""What the kinds of an input take and refuse."""

import sys

import numpy as np
import tensorflow as tf

from saccade.apps.core.inputs.kinds import Seed, Text


def test_a_text_may_refuse_to_be_blank_as_python_and_in_the_graph():
    characters = [chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
    white = [c for c in characters if c.isspace()]
    texts = ["", *characters, "".join(white), "".join(white) + "a", " \n\na\n "]
    blank = ["", *white, "".join(white)]
    kind, any_text = Text(["a", "b"], blank=False), Text(["a", "b"])
    assert [text for text in texts if kind.encode(text)[1]] == blank
    encoded = [text.encode() for text in texts]
    oks = kind.decode(encoded)[1].numpy()
    assert [text for text, ok in zip(texts, oks, strict=True) if not ok] == blank
    assert not any(any_text.encode(text)[1] for text in blank)
    assert any_text.decode(encoded)[1].numpy().all()


def test_bytes_that_are_no_text_are_not_blank():
    kind = Text(["a", "b"], blank=False)
    contents = [b"\xff", b" \xe3\x80", b"\0"]
    assert kind.decode(contents)[1].numpy().all()
    assert [kind.encode(content) for content in contents] == [(c, "") for c in contents]
    assert "expected at least one character" in kind.encode(b" ")[1]


def test_a_seed_is_a_whole_number_of_32_bits_in_any_form():
    kind = Seed()
    for value in (7, "7", " 7 ", np.int64(7)):
        assert kind.encode(value) == (7, "")
    for value in (-1, 2**31, "x", "-1", "7.0", 7.0, True, None, "9" * 5000, "\u0667"):
        seed, error = kind.encode(value)
        assert seed == 0 and "from 0 to 2147483647, received" in error, value
    _, ok = kind.decode(tf.constant([0, -1, 2**31 - 1]))
    assert ok.numpy().tolist() == [True, False, True]


def test_a_word_names_one_seed_or_those_from_one_to_another():
    kind = Seed()
    assert kind.from_word("3") == ["3"]
    assert kind.from_word("3..5") == ["3", "4", "5"]
    for word in ("5..3", "a..b", "..", "1..", "3.5", "0..999999999"):
        assert kind.from_word(word) == [word]
        assert kind.encode(word)[1]
