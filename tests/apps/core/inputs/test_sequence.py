"""Sequences of bases as an input: letters, files, what is no sequence."""

import gzip

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs.sequence import (
    CODES,
    IUPAC,
    PROBABILITIES,
    Sequence,
    normalised,
)

KIND = Sequence(["ACGT", "GG"], 20)


def test_a_code_is_the_set_of_its_bases():
    for letter, bases in IUPAC.items():
        expected = [(base in bases) / len(bases) for base in "ACGT"]
        np.testing.assert_allclose(PROBABILITIES[CODES[letter]], expected)
    assert CODES["U"] == CODES["T"] and not PROBABILITIES[0].any()
    # The complement of a code is its bits in reverse order.
    pairs = {"A": "T", "C": "G", "R": "Y", "K": "M", "B": "V", "D": "H", "S": "S"}
    for letter, other in pairs.items():
        assert f"{CODES[letter]:04b}"[::-1] == f"{CODES[other]:04b}"


def test_letters_in_the_graph():
    rows = [
        "ACGT",
        "ac gu\nN",
        "R",
        "",
        "ACGX",
        "A\0C",
        b"\xff\xc3",
        "A" * 20,
        "A" * 21,
    ]
    codes, ok = KIND.decode(tf.constant(rows))
    assert ok.numpy().tolist() == [True] * 3 + [False] * 4 + [True, False]
    np.testing.assert_array_equal(codes[0, :5], [1, 2, 4, 8, 0])
    np.testing.assert_array_equal(codes[1, :6], [1, 2, 4, 8, 15, 0])
    assert codes[2, 0] == CODES["R"] == 5
    # A row that is not ok is one N, so that no row is empty.
    for row in (3, 4, 5, 6, 8):
        assert codes[row, 0] == 15 and not codes[row, 1:].numpy().any()
    assert KIND.decode(tf.constant([], tf.string))[0].shape == (0, 1)


def test_what_python_says_of_a_value_is_what_the_graph_says():
    rows = ["ACGT", "acgu nn", "", "ACGX", "A\0C", "é", "A" * 21, "A-C"]
    _, ok = KIND.decode(tf.constant(rows))
    for value, sound in zip(rows, ok.numpy(), strict=True):
        encoded, error = KIND.encode(value)
        assert (not error) == sound, value
        if sound:
            assert encoded.decode() == normalised(value)


def test_an_error_says_what_was_expected_and_what_came():
    assert "received 'X' in place 4" in KIND.encode("ACGXA")[1]
    assert "at most 20 bases, received 21" in KIND.encode("A" * 21)[1]
    assert "received none" in KIND.encode(" \n")[1]
    with pytest.raises(UserError, match="'ACX'.*received 'X' in place 3"):
        KIND.column(["ACGT", "ACX"])


def test_a_column_is_what_decode_gives():
    values = ["ACGT", "gg", "RYN", "A"]
    look_up = KIND.column(values)
    expected, _ = KIND.decode(tf.constant(values))
    np.testing.assert_array_equal(look_up(tf.range(4, dtype=tf.int64)), expected)
    np.testing.assert_array_equal(look_up(tf.constant([3, 3], tf.int64)), [[1], [1]])


def test_files(tmp_path):
    fasta = ">one first\nACGT\nAC\n\n>two\nggg\n"
    (tmp_path / "a.fasta").write_text(fasta)
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(fasta.encode()))
    for name in ("a.fasta", "a.fa.gz"):
        values = KIND.values(str(tmp_path / name))
        assert values == ["ACGTAC", "ggg"]
        assert list(map(KIND.name_of, values)) == ["one", "two"]
    assert KIND.from_pipe(fasta.encode()) == values
    plain = tmp_path / "plain.txt"
    plain.write_text("acg\nTTT\n")
    (value,) = KIND.values(str(plain))
    assert KIND.encode(value) == (b"ACGTTT", "") and KIND.name_of(value) == ""
    assert "holds 2 sequences" in KIND.encode(tmp_path / "a.fasta")[1]
    (gone,) = KIND.values(tmp_path / "gone.fa")
    assert "gone.fa" in KIND.encode(gone)[1]
