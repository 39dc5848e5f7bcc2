"""Text in the graph: how it is normalised, and the vocabulary of a model."""

import collections
import json

import tensorflow as tf

from ..errors import UserError
from ..settings.json_text import read_json

# Unicode's punctuation (P) and symbols (S); marks, letters and digits stay.
_PUNCTUATION = r"[\p{P}\p{S}]"


def normalise(text):
    """Lower case, no punctuation, single spaces; a string tensor of any shape.

    Punctuation and symbols of every script are dropped, not replaced by a space:
    "medium-light" becomes "mediumlight". Bytes that are no UTF-8 are dropped, so the
    result always is.
    """
    # The replacement character is itself a symbol, and goes with them.
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.lower(text, encoding="utf-8")
    text = tf.strings.regex_replace(text, _PUNCTUATION, "")
    return tf.strings.strip(tf.strings.regex_replace(text, r"[\s\p{Z}]+", " "))


class Vocabulary:
    """Tokens and their ids: 0 padding, 1 <unk>, 2 <start>, 3 <end>, then the text's.

    Args:
        tokens: the text's own tokens, most frequent first.
        units: "words", or "characters" for languages written without spaces.
    """

    pad, unknown, start, end = 0, 1, 2, 3
    special = ("", "<unk>", "<start>", "<end>")

    def __init__(self, tokens, units="words"):
        if units not in ("words", "characters"):
            raise UserError(
                f"Expected units 'words' or 'characters', received {units!r}."
            )
        self.units = units
        self.tokens = [*self.special, *tokens]
        self._ids = {token: i for i, token in enumerate(self.tokens) if i > 0}

    @classmethod
    def build(cls, texts, units="words", max_size=None, min_count=1):
        """The tokens of `texts`, the most frequent first.

        Args:
            texts: list of str.
            units: as in `Vocabulary`.
            max_size: ids at most, the four special ones included.
            min_count: a token that is rarer becomes <unk>.

        Raises:
            UserError: no token is left.
        """
        counts = collections.Counter(
            token for text in normalised(texts) for token in _split(text, units)
        )
        # Equal counts in the order of the alphabet: the same on every machine.
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        kept = [token for token in ranked if counts[token] >= min_count]
        if max_size is not None:
            kept = kept[: max_size - len(cls.special)]
        if not kept:
            raise UserError(
                f"The vocabulary would be empty: no token of {len(texts)} texts occurs "
                f"{min_count} times or more. Lower --min-count, or check the column."
            )
        return cls(kept, units)

    @property
    def size(self):
        """Number of ids, the special ones included."""
        return len(self.tokens)

    def canonical(self, texts):
        """`texts` as `decode` would print them: what a caption is compared with."""
        separator = " " if self.units == "words" else ""
        return [separator.join(_split(t, self.units)) for t in normalised(texts)]

    def lengths(self, texts):
        """Number of tokens of each text, <end> included: list of int."""
        return [len(_split(text, self.units)) + 1 for text in normalised(texts)]

    def encode(self, texts, max_length):
        """Ids of a list of n texts: the tokens, <end>, then padding.

        A text that is too long is cut, and still ends in <end>. There is no <start>.

        Returns:
            int32 (n, max_length).
        """
        if max_length < 1:
            raise ValueError(f"Expected room for <end>, received {max_length=}.")
        rows = []
        for text in normalised(texts):
            ids = [self._ids.get(t, self.unknown) for t in _split(text, self.units)]
            ids = [*ids[: max_length - 1], self.end]
            rows.append(ids + [self.pad] * (max_length - len(ids)))
        return tf.constant(rows, tf.int32, shape=(len(rows), max_length))

    def decode(self, ids):
        """Text of ids, up to the first <end> or padding.

        Stock operations on a constant: it needs no lookup table in an export.

        Args:
            ids: integers (..., time), each less than `size`.

        Returns:
            string (...); words are joined by spaces, characters by nothing.
        """
        over = tf.cast((ids == self.end) | (ids == self.pad), tf.int32)
        written = tf.cumsum(over, axis=-1) == 0  # (..., time)
        tokens = tf.where(written, tf.gather(tf.constant(self.tokens), ids), "")
        separator = " " if self.units == "words" else ""
        text = tf.strings.reduce_join(tokens, axis=-1, separator=separator)
        return tf.strings.strip(text)

    def to_json(self):
        """JSON text from which `from_json` makes the same vocabulary."""
        own = self.tokens[len(self.special) :]
        return json.dumps({"units": self.units, "tokens": own}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        saved = read_json(text, {"units": str, "tokens": [str]})
        return cls(saved["tokens"], saved["units"])


def normalised(texts):
    """`normalise` for a list of Python strings."""
    if not texts:
        return []
    # Half an emoji, as JSON can hold it, is no UTF-8; it becomes "?" and is dropped.
    encoded = [text.encode(errors="replace") for text in texts]
    return [t.decode() for t in normalise(tf.constant(encoded)).numpy()]


def _split(text, units):
    return text.split() if units == "words" else list(text.replace(" ", ""))
