"""Characters and their ids, in the graph: stock operations, no lookup table."""

import json

import numpy as np
import tensorflow as tf

from ..errors import UserError
from ..settings.json_text import read_json

UNKNOWN = 0xFFFD  # Unicode's replacement character
CODES = 0x110000  # how many there are


def _codes(text):
    """The characters' numbers in Unicode, uint32 (n,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


class Characters:
    """Characters of a language model: id 0 is what it does not know, then its own.

    Args:
        own: str, the characters with the ids 1, 2 ...
    """

    unknown = 0

    def __init__(self, own):
        self.own = own
        codes = [UNKNOWN, *map(ord, own)]
        self._codes = np.array(codes, np.int32)
        self._ids = np.zeros(CODES, np.int32)  # by code
        self._ids[self._codes[1:]] = np.arange(1, len(codes))
        self._order = np.argsort(self._codes).astype(np.int32)

    @classmethod
    def build(cls, texts, min_count=1):
        """The characters of `texts`, the most frequent first.

        Args:
            texts: iterable of str. min_count: a rarer character is unknown.
        """
        counts = np.zeros(CODES, np.int64)
        for text in texts:
            counts += np.bincount(_codes(text), minlength=CODES)
        counts[UNKNOWN] = 0
        own = np.flatnonzero(counts >= min_count)
        own = own[np.argsort(-counts[own], kind="stable")]
        if not len(own):
            raise UserError(
                f"The data has no character that occurs {min_count} times or more. "
                "Lower --min-count, or check the files."
            )
        return cls("".join(map(chr, own)))

    @property
    def size(self):
        """Number of ids."""
        return len(self._codes)

    def ids(self, text):
        """A str as int32 array, outside of a graph."""
        return self._ids[_codes(text)]

    def encode(self, texts):
        """String tensor (batch,) -> ids int32 (batch, longest), lengths int32 (batch,).

        Bytes that are no UTF-8 become the unknown character. Behind a text's end stand
        zeros.
        """
        ragged = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        codes = ragged.to_tensor(UNKNOWN)  # (batch, longest)
        ordered = tf.constant(self._codes[self._order])
        places = tf.searchsorted(ordered, tf.reshape(codes, [-1]))
        places = tf.minimum(tf.reshape(places, tf.shape(codes)), self.size - 1)
        ids = tf.gather(tf.constant(self._order), places)
        known = tf.gather(ordered, places) == codes
        lengths = tf.cast(ragged.row_lengths(), tf.int32)
        return tf.where(known, ids, self.unknown), lengths

    def decode(self, ids, lengths=None):
        """Ids (batch, time) -> string (batch,); only the first `lengths` of each."""
        codes = tf.gather(tf.constant(self._codes), ids)
        if lengths is not None:
            codes = tf.RaggedTensor.from_tensor(codes, lengths)
        return tf.strings.unicode_encode(codes, "UTF-8")

    def to_json(self):
        return json.dumps({"characters": self.own}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        return cls(read_json(text, {"characters": str})["characters"])
