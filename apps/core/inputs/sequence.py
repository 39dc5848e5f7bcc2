"""Sequence: the bases of DNA or RNA, as an input kind.

A letter stands for one base or, as IUPAC has it, for one of several. Its code is a set
of bases, a bit for each: A 1, C 2, G 4, T and U 8, R (A or G) 5, N (any) 15; 0 is
padding. So the complement of a code is its bits in reverse order, and how likely each
base is are its bits over their number.
"""

import os
import pathlib
import re

import numpy as np

from ..data import fasta
from ..data.texts import read_or_why
from ..errors import UserError
from .kinds import Kind, as_text

BASES = "ACGT"
IUPAC = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "U": "T"},
    **{"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
    **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}
CODES = {
    letter: sum(1 << BASES.index(base) for base in bases)
    for letter, bases in IUPAC.items()
}
ANY = CODES["N"]
# Of every byte: its code, in lower case too; 0 for what is no letter of a sequence.
TABLE = np.zeros(256, np.int32)
for _letter, _code in CODES.items():
    TABLE[[ord(_letter), ord(_letter.lower())]] = _code
# By code, float32 (16, 4): how likely each base is, all 0 for padding.
PROBABILITIES = np.array([[c >> b & 1 for b in range(4)] for c in range(16)], "float32")
PROBABILITIES /= np.maximum(PROBABILITIES.sum(axis=1, keepdims=True), 1)

NO_LETTER = re.compile(f"[^{''.join(IUPAC)}]")
EXPECTED = "expected letters of bases (A C G T, U, or IUPAC's such as N)"


def normalised(text):
    """A sequence in upper case, T for U, without white space: equal ones are equal."""
    return "".join(text.split()).upper().replace("U", "T")


def why_no_sequence(text, most=0):
    """What is wrong with a normalised sequence, or "".

    Args:
        most: letters at most; 0: no limit.
    """
    if not text:
        return f"{EXPECTED}, received none"
    if wrong := NO_LETTER.search(text):
        return f"{EXPECTED}, received {wrong[0]!r} in place {wrong.start() + 1}"
    if most and len(text) > most:
        return (
            f"expected at most {most} bases, received {len(text)}; --signature scan "
            "reads longer ones window by window"
        )
    return ""


class Named(str):
    """A sequence with the name that its file gives it."""

    name = ""


class Sequence(Kind):
    """A sequence of bases: str or bytes are its letters, a `pathlib.Path` is a file of
    one. White space does not count, nor whether letters are small.

    `decode` gives codes int32 (batch, time), padded with 0; a row that is not ok is one
    N.

    Args:
        examples: two sequences. most: bases at most; a longer one is not ok.
    """

    files = True
    help = "letters of bases; a plain word is a file of them or FASTA, also .gz"

    def __init__(self, examples, most):
        self._examples, self.most = examples, most
        self.refused = (
            f"is no sequence: expected 1 to {most} letters of bases (A C G T, U, or "
            "IUPAC's such as N)"
        )

    def values(self, path):
        """The sequences of a file, one for every record; a file that cannot be read is
        its path, of which `encode` says why."""
        path = pathlib.Path(path)
        text, error = read_or_why(path)
        return [path] if error or not fasta.is_fasta(text) else named(text, path)

    def from_pipe(self, content):
        text = as_text(content)
        return named(text, "-") if fasta.is_fasta(text) else [text]

    def name_of(self, value):
        return value.name if isinstance(value, Named) else ""

    def letters(self, value):
        """A value, normalised, and "", or "" and why it cannot be read."""
        if isinstance(value, os.PathLike):
            text, error = read_or_why(value)
            if error:
                return "", error
            if fasta.is_fasta(text):
                records = fasta.parse(text, value)
                if len(records) != 1:
                    return "", f"{value} holds {len(records)} sequences, expected one"
                text = records[0].sequence
            return normalised(text), ""
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return normalised(value), ""

    def encode(self, value):
        letters, error = self.letters(value)
        error = error or why_no_sequence(letters, self.most)
        return letters.encode("utf-8", "surrogatepass"), error

    def specs(self, name):
        import tensorflow as tf

        return [tf.TensorSpec([None], tf.string, name)]

    def decode(self, sequence):
        import tensorflow as tf

        letters = tf.strings.regex_replace(sequence, r"\s+", "")
        # One more than allowed is enough to tell; a megabyte must not widen a batch.
        letters = tf.strings.substr(letters, 0, self.most + 1)
        lengths = tf.strings.length(letters)
        width = tf.reduce_max(tf.concat([[1], lengths], axis=0))
        letters = tf.io.decode_raw(letters, tf.uint8, fixed_length=width)
        codes = tf.gather(TABLE, tf.cast(letters, tf.int32))  # (batch, width)
        known = tf.reduce_sum(tf.cast(codes > 0, tf.int32), axis=1)
        ok = (known == lengths) & (lengths > 0) & (lengths <= self.most)
        one = ANY * tf.one_hot(0, width, dtype=tf.int32)
        return tf.where(ok[:, None], codes, one), ok

    def column(self, values):
        import tensorflow as tf

        encoded, errors = zip(*map(self.encode, values), strict=True)
        for value, error in zip(values, errors, strict=True):
            if error:
                raise UserError(f"{str(value)[:40]!r}: {error}.")
        # A byte a base: padded they would be as wide as the longest.
        bytes_of = tf.RaggedTensor.from_row_lengths(
            np.frombuffer(b"".join(encoded), np.uint8), list(map(len, encoded))
        )

        def look_up(indices):
            letters = tf.gather(bytes_of, indices).to_tensor()
            return tf.gather(TABLE, tf.cast(letters, tf.int32))

        return look_up

    def examples(self):
        return list(self._examples)

    def text_of(self, value):
        return value if isinstance(value, str) else str(self.letters(value)[0])


def named(text, path):
    """The sequences of FASTA, with their names; list of `Named`."""
    found = []
    for record in fasta.parse(text, path):
        value = Named(record.sequence)
        value.name = record.name
        found.append(value)
    return found
