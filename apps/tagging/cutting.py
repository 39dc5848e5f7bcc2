"""Texts to tokens, in the graph, with where each of them stands.

A text that is cut already has `CUT` behind each token; every other one is cut by a
pattern. Both give the same: a source, the text as a person would write it, and tokens
that are parts of it.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ..core.inputs.tokenizer import MARK, WHITE, WORD

CUT = "\x1f"  # U+001F, unit separator
PATTERNS = {
    "words": f"{WORD}|{MARK}",
    "spaces": f"[^{WHITE}]+",
    "characters": MARK,
}

# Treebanks cut these off: do n't, Ada 's, we 'll.
CLITIC = r"(\pL)((?i:n['’]t|['’](?:s|m|d|re|ve|ll)))"


def given(tokens):
    """Tokens, list of str, as a text that is cut already."""
    return "".join(token + CUT for token in tokens)


class Cut(NamedTuple):
    """The tokens of a batch of texts.

    sources: string (batch,), the texts without marks, what is no UTF-8 as U+FFFD.
    tokens: ragged string (batch, tokens). lengths: int32 (batch,), how many.
    starts, ends: int32 (batch, longest), code points; byte_starts, byte_ends: bytes, of
        `sources`; zeros behind the last token.
    """

    sources: Any
    tokens: Any
    lengths: Any
    starts: Any
    ends: Any
    byte_starts: Any
    byte_ends: Any


def cut(texts, units):
    """Strings (batch,) -> `Cut`. units: of `PATTERNS`."""
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
    cut_already = tf.strings.regex_full_match(texts, f"(?s).*{CUT}.*")
    between = "" if units == "characters" else " "
    marked = tf.strings.regex_replace(texts, f"({PATTERNS[units]})", f"\\1{CUT}")
    if units == "words":
        marked = tf.strings.regex_replace(marked, f"{CLITIC}{CUT}", f"\\1{CUT}\\2{CUT}")
    marked = tf.where(
        cut_already,
        tf.strings.regex_replace(texts, f"{CUT}([^{CUT}])", f"{CUT}{between}\\1"),
        marked,
    )
    pieces = tf.strings.split(marked, CUT)  # each with the white space before it
    pieces = pieces[:, :-1]  # behind the last mark nothing is left but white space
    tokens = tf.ragged.map_flat_values(
        tf.strings.regex_replace, pieces, f"^[{WHITE}]+", ""
    )

    def places(unit):
        sizes = [
            tf.ragged.map_flat_values(tf.strings.length, t, unit).to_tensor(0)
            for t in (pieces, tokens)
        ]
        ends = tf.cumsum(sizes[0], axis=1)
        real = sizes[0] > 0
        return tf.where(real, ends - sizes[1], 0), tf.where(real, ends, 0)

    starts, ends = places("UTF8_CHAR")
    byte_starts, byte_ends = places("BYTE")
    return Cut(
        tf.strings.regex_replace(marked, CUT, ""),
        tokens,
        tf.cast(tokens.row_lengths(), tf.int32),
        starts,
        ends,
        byte_starts,
        byte_ends,
    )
