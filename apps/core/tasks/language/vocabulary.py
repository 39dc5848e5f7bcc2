"""The vocabulary of a language model: a tokenizer, and what stands before a text."""

import json
import re

import tensorflow as tf

from ...inputs.tokenizer import Tokenizer
from ...settings.json_text import read_json

# The same characters for Python and for RE2, in the graph.
_WHITE = "[\t\n\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


def without_white_space(text):
    """A str without what separates words."""
    return re.sub(_WHITE, "", text)


class Vocabulary:
    """A `Tokenizer` as a language model reads it.

    Args:
        tokenizer: Tokenizer. The unknown token has the id 0. If it has an <end>, every
            piece of a document is a sentence, behind which that stands.
        with_start: whether a token stands before every text: the <end> of the sentence
            before, or if there is none, the id `size`, beyond what can be written.
        white_space: whether white space is read; without it, it is dropped.
    """

    def __init__(self, tokenizer, with_start=False, white_space=True):
        self.tokenizer, self.white_space = tokenizer, white_space
        self.size, self.unknown = tokenizer.size, tokenizer.unknown
        self.own, self.rare = tokenizer.own, tokenizer.rare
        self.end = tokenizer.end
        first = self.size if self.end is None else self.end
        self.start = first if with_start else None
        self.decode, self.decode_step = tokenizer.decode, tokenizer.decode_step

    @property
    def tokens(self):
        """All tokens, list of str, by their ids."""
        return self.tokenizer.tokens

    @property
    def blank(self):
        """What is read of an empty text where there is no start: a line break, behind
        which a text may begin, or else the most frequent token."""
        known = self.tokenizer.id_of("\n")
        return self.tokenizer.id_of(self.own[0]) if known is None else known

    def ids(self, text):
        """A str as int32 array, a list of str as list of them, outside of a graph;
        without start and end."""
        if self.white_space:
            return self.tokenizer.ids(text)
        if isinstance(text, str):
            return self.tokenizer.ids(without_white_space(text))
        return self.tokenizer.ids([without_white_space(one) for one in text])

    def encode(self, texts):
        """Strings (batch,) -> ids int32 (batch, longest), lengths int32 (batch,).

        The start stands first, where there is one; a text that begins with it gets no
        second one. Behind a text's end stands the tokenizer's `padding`.
        """
        if not self.white_space:
            texts = tf.strings.regex_replace(texts, _WHITE, "")
        ids, lengths = self.tokenizer.encode(texts)
        if self.start is None:
            return ids, lengths
        padding = self.tokenizer.padding
        begun = (lengths > 0) & tf.reduce_all(ids[:, :1] == self.start, axis=1)
        started = tf.pad(ids, [[0, 0], [1, 0]], constant_values=self.start)
        as_it_is = tf.pad(ids, [[0, 0], [0, 1]], constant_values=padding)
        ids = tf.where(begun[:, None], as_it_is, started)
        lengths = tf.where(begun, lengths, lengths + 1)
        return ids[:, : tf.reduce_max(tf.concat([lengths, [1]], axis=0))], lengths

    def to_json(self):
        """JSON text from which `from_json` makes the same vocabulary."""
        saved = json.loads(self.tokenizer.to_json())
        saved["with_start"] = self.start is not None
        saved["white_space"] = self.white_space
        return json.dumps(saved, ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        """Reads what `to_json` wrote.

        Raises:
            UserError: it is something else.
        """
        saved = read_json(text, {"with_start": bool, "white_space": bool})
        tokenizer = Tokenizer.from_json(text)
        return cls(tokenizer, saved["with_start"], saved["white_space"])
