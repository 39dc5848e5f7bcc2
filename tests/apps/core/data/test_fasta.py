"""FASTA: wrapped lines, headers, and what is none."""

import pytest

from saccade.apps.core.data import fasta
from saccade.apps.core.errors import UserError


def test_records(tmp_path):
    path = tmp_path / "a.fa"
    path.write_bytes(b"\xef\xbb\xbf>a|EI more\r\nAC GT\r\nacg\r\n; a remark\n\n>b\n")
    first, second = fasta.read(path)
    assert first == (f"{path}, line 1", "a|EI more", "ACGTacg")
    assert first.name == "a|EI"
    assert second == (f"{path}, line 6", "b", "") and second.name == "b"


def test_no_header(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text("\nACGT\n>a\nAC\n")
    with pytest.raises(UserError, match="a.fa, line 2: expected FASTA.*'ACGT'"):
        fasta.read(path)


def test_what_is_written_is_read():
    records = [("a|x", "ACGT" * 40), ("b", "A")]
    text = fasta.write(records)
    assert max(map(len, text.split("\n"))) == 60
    found = fasta.parse(text, "file")
    assert [(r.header, r.sequence) for r in found] == records
