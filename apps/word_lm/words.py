"""Tokens and their ids: how a line becomes words, in the graph, and words a line."""

import collections
import json
import logging
import re

import numpy as np
import tensorflow as tf

from ..core.errors import UserError
from ..core.settings.json_text import read_json

# What one token is, as RE2 has it: no white space in it, punctuation for itself.
_WORD = r"[\p{L}\p{M}\p{N}]+(?:['’\-][\p{L}\p{M}\p{N}]+|[.,]\p{N}+)*"
_TOKEN = {
    "words": rf"<EOS>|<UNK>|{_WORD}|[^\s]",  # don't, well-known, 3.14; and each mark
    "characters": r"<EOS>|<UNK>|[^\s]",
}
_CHINESE = "[\u3001-\u9fff\uff01-\uffee]"
_BETWEEN_CHINESE = re.compile(f"(?<={_CHINESE}) +(?={_CHINESE})")
_BUCKETS = 2**62  # of token hashes: two words in one never occur


def segment(lines, tokenizer):
    """Lines with one space between tokens; string tensor (batch,), in the graph.

    Bytes that are no UTF-8 become the replacement character. `jieba` has no graph:
    lines must have gone through `cut_by_jieba` before, and are split at spaces here.
    """
    lines = tf.strings.unicode_transcode(lines, "UTF-8", "UTF-8", errors="replace")
    lines = tf.strings.regex_replace(lines, r"[\s\p{Z}]", " ")
    if tokenizer in _TOKEN:
        lines = tf.strings.regex_replace(lines, f"({_TOKEN[tokenizer]})", r"\1 ")
    return tf.strings.strip(tf.strings.regex_replace(lines, " +", " "))


def cut_by_jieba(lines):
    """Chinese lines, list of str, with spaces between words as jieba sees them.

    Spaces between Chinese characters count for nothing: a tagged text has them.
    """
    try:
        import jieba
    except ImportError:
        raise UserError(
            "--tokenizer=jieba needs the package jieba, which is not installed. Run: "
            "pip install jieba. Or take --tokenizer=characters, which needs nothing."
        ) from None
    jieba.setLogLevel(logging.WARNING)
    lines = [_BETWEEN_CHINESE.sub("", line) for line in lines]
    return [" ".join(jieba.cut(line)) for line in lines]


def tokenize(lines, tokenizer):
    """A list of str as list of lists of str, outside of a graph."""
    if tokenizer == "jieba":
        lines = cut_by_jieba(lines)
    encoded = [line.encode("utf-8", "replace") for line in lines]
    return [
        line.decode().split(" ") if line else []
        for line in segment(tf.constant(encoded, tf.string), tokenizer).numpy()
    ]


class Words:
    """The vocabulary: id 0 is <UNK>, 1 is <EOS>, then the text's own tokens.

    Args:
        own: the tokens with the ids 2, 3 ..., most frequent first.
        tokenizer: how lines were split, one of `config.TOKENIZERS`.
        rare: number of different tokens of the training text for which <UNK> stands.
    """

    unknown, end = 0, 1
    special = ("<UNK>", "<EOS>")

    def __init__(self, own, tokenizer, rare):
        self.tokenizer, self.rare = tokenizer, rare
        self.tokens = [*self.special, *own]
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        hashes = tf.strings.to_hash_bucket_fast(self.tokens, _BUCKETS).numpy()
        self._order = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._order]

    @classmethod
    def build(cls, lines, tokenizer, size=0, min_count=1):
        """The tokens of `lines`, list of lists of str.

        Args:
            size: ids at most, the two special ones included; 0: no limit.
            min_count: a rarer token is <UNK>.

        Raises:
            UserError: no token is left.
        """
        counts = collections.Counter(token for line in lines for token in line)
        for name in ("<UNK>", "<EOS>", "<unk>", "<eos>"):  # As some texts hold them.
            counts.pop(name, None)
        # Equal counts in the order of the alphabet: the same on every machine.
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        own = [token for token in ranked if counts[token] >= min_count]
        if size:
            own = own[: size - len(cls.special)]
        if not own:
            raise UserError(
                f"The vocabulary would be empty: no token occurs {min_count} times or "
                "more. Lower --min-count, or check the files and --tokenizer."
            )
        return cls(own, tokenizer, len(counts) - len(own))

    @property
    def size(self):
        """Number of ids."""
        return len(self.tokens)

    @property
    def separator(self):
        """What stands between two tokens of a line."""
        return " " if self.tokenizer in ("words", "spaces") else ""

    def ids(self, tokens):
        """A list of str as int32 array, outside of a graph."""
        return np.array([self._ids.get(t, self.unknown) for t in tokens], np.int32)

    def prepare(self, lines):
        """A list of str, ready for `encode`: only jieba must be run before a graph."""
        return cut_by_jieba(lines) if self.tokenizer == "jieba" else lines

    def encode(self, lines):
        """String tensor (batch,) -> ids int32 (batch, longest), lengths int32 (batch,).

        Every line begins with <EOS>, whether it says so or not, because a sentence
        begins behind one. Behind a line's end stand <EOS>. An export needs no table
        for these stock operations.
        """
        tokens = tf.strings.split(segment(lines, self.tokenizer), " ")
        # An empty line splits into one empty token.
        tokens = tf.ragged.boolean_mask(tokens, tokens != "")
        hashes = tf.strings.to_hash_bucket_fast(tokens.flat_values, _BUCKETS)
        places = tf.searchsorted(tf.constant(self._hashes), hashes)
        places = tf.minimum(places, self.size - 1)
        ids = tf.gather(tf.constant(self._order), places)
        # Another token may fall into the bucket.
        same = tf.gather(tf.constant(self.tokens), ids) == tokens.flat_values
        ids = tf.where(same, ids, self.unknown)
        ids = tokens.with_flat_values(ids).to_tensor(self.end)  # (batch, longest)
        lengths = tf.cast(tokens.row_lengths(), tf.int32)

        begun = (lengths > 0) & tf.reduce_all(ids[:, :1] == self.end, axis=1)
        before = tf.pad(ids, [[0, 0], [1, 0]], constant_values=self.end)
        as_it_is = tf.pad(ids, [[0, 0], [0, 1]], constant_values=self.end)
        ids = tf.where(begun[:, None], as_it_is, before)
        lengths = tf.where(begun, lengths, lengths + 1)
        return ids[:, : tf.reduce_max(tf.concat([lengths, [1]], axis=0))], lengths

    def decode(self, ids, lengths=None):
        """Ids (batch, time) -> string (batch,); only the first `lengths` of each.

        The text of some tokens begins with the text of the first of them.
        """
        tokens = tf.gather(tf.constant(self.tokens), ids)
        if lengths is not None:
            tokens = tf.RaggedTensor.from_tensor(tokens, lengths)
        text = tf.strings.reduce_join(tokens, axis=-1, separator=self.separator)
        if self.tokenizer == "words":  # "sat , and" is printed "sat, and".
            text = tf.strings.regex_replace(text, r" ([,.;:!?%)\]}”])", r"\1")
        return text

    def to_json(self):
        return json.dumps(
            {
                "tokenizer": self.tokenizer,
                "rare": self.rare,
                "tokens": self.tokens[len(self.special) :],
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text):
        saved = read_json(text, {"tokenizer": str, "rare": int, "tokens": [str]})
        return cls(saved["tokens"], saved["tokenizer"], saved["rare"])
