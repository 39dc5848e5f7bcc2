"""What the kinds of an input take and refuse."""

import sys

from saccade.apps.core.inputs.kinds import Text


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
