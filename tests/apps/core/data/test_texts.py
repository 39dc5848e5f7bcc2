"""Texts from files, in pieces."""

import gzip

import pytest

from saccade.apps.core.data.texts import TextFile, read_text
from saccade.apps.core.errors import UserError

TEXT = "äß\r\n猫 😀\rx\n\ny"


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("ending", [".txt", ".txt.gz"])
def test_pieces_join_to_the_text(tmp_path, size, ending):
    """Wherever a piece ends: inside a character, between the two of a line's end."""
    path = tmp_path / f"text{ending}"
    content = b"\xef\xbb\xbf" + TEXT.encode()
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    file = TextFile(path, size)
    for _ in range(2):  # as often as one likes
        pieces = list(file)
        assert "".join(pieces) == "äß\n猫 😀\nx\n\ny"
        assert max(map(len, pieces)) <= size + 1
    assert read_text(path) == "".join(pieces)


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_bad_byte_is_named_with_its_line(tmp_path, size):
    path = tmp_path / "text.txt"
    path.write_bytes("eins\nzw\u00f6i\n".encode() + b"dr\xffi\nvier")
    with pytest.raises(UserError, match=r"text.txt, line 3: byte 0xff is no UTF-8"):
        list(TextFile(path, size))


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n" * 5])
def test_an_empty_text_is_an_error(tmp_path, content):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(UserError, match="text.txt is empty"):
        list(TextFile(tmp_path / "text.txt", 4))


@pytest.mark.parametrize("keep", [3, 20, -9])
def test_a_torn_gzip_is_an_error(tmp_path, keep):
    whole = gzip.compress(b"a text that is long enough" * 10)
    (tmp_path / "text.gz").write_bytes(whole[:keep])
    with pytest.raises(UserError, match="no gzip"):
        list(TextFile(tmp_path / "text.gz", 7))
