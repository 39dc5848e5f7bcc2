"""Text to ids and back, in the graph: words, given words, characters or subwords.

Stock TensorFlow operations on constants only: an export needs neither a lookup table
nor this code.

    units        tokens of "The well-known cat, 3.14"
    words        The  well-known  cat  ,  3.14
    spaces       The  well-known  cat,  3.14         words that were cut before
    characters   every code point, white space too
    subwords     " well" "-" "kn" "own" ...          learned pieces, the longest first

Characters and subwords come back exactly where all are known, or unknown ones are
written as their bytes (`fallback="bytes"`). Words come back up to white space: which
marks stand close to their neighbours is learned by majority, see `spacing`. What is no
UTF-8 becomes U+FFFD everywhere.
"""

import collections
import functools
import json
import math
import re
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..errors import UserError
from ..settings.json_text import read_json
from . import spacing, subwords
from .subwords import CODES, Trie

UNITS = ("words", "spaces", "characters", "subwords")
SPECIAL = ("<pad>", "<unk>", "<start>", "<end>")
REPLACEMENT = "\ufffd"  # stands for what no token stands for
_ROLES = {
    "pad": ("<pad>",),
    "unknown": ("<unk>",),
    "start": ("<start>", "<s>", "<bos>"),
    "end": ("<end>", "</s>", "<eos>"),
}
# As RE2 writes it.
WHITE = r"\s\p{Z}"
_LETTERS = r"[\p{L}\p{M}\p{N}]+"
WORD = rf"{_LETTERS}(?:['’\-]{_LETTERS}|[.,]\p{{N}}+)*"  # don't, well-known, 3.14
# Each mark for itself, but an emoji with its skin tone and what it is joined to.
_MODIFIER = r"[\p{M}\x{1F3FB}-\x{1F3FF}]"
MARK = rf"[^{WHITE}](?:{_MODIFIER}|\x{{200D}}[^{WHITE}])*"
_PATTERNS = {"words": f"{WORD}|{MARK}", "spaces": f"[^{WHITE}]+"}
# Within these subwords are learned; a space belongs to the word behind it.
_CHUNK = rf" ?{_LETTERS}|[^{WHITE}\p{{L}}\p{{M}}\p{{N}}]+|[{WHITE}]"
_CUT = "\0"  # Where one token ends; a NUL in a text of words is U+FFFD.
_BUCKETS = 2**63 - 1  # of token hashes
_COUNTED = 2**20  # characters that are counted at a time
_BATCH = 4096  # texts that are cut at a time outside of a graph
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def normalise_for_scores(text):
    """What of a text counts in scores, where both sides go through it.

    Lower case, no punctuation, single spaces. Punctuation and symbols of every script
    are dropped, not replaced by a space: "medium-light" counts as "mediumlight", and
    "medium light" is something else. Bytes that are no UTF-8 are dropped.

    Args:
        text: string tensor of any shape. Returns: the same.
    """
    # The replacement character is itself a symbol, and goes with them.
    text = _repaired(text)
    text = tf.strings.lower(text, encoding="utf-8")
    text = tf.strings.regex_replace(text, r"[\p{P}\p{S}]", "")
    return tf.strings.strip(tf.strings.regex_replace(text, f"[{WHITE}]+", " "))


def normalised_for_scores(texts, units="words"):
    """`normalise_for_scores` of a list of str; without spaces if characters count."""
    if not texts:
        return []
    texts = [t.decode() for t in normalise_for_scores(_tensor(texts)).numpy()]
    return [t.replace(" ", "") for t in texts] if units == "characters" else texts


class Encoded(NamedTuple):
    """Tokens and where in the original strings they stand; each (batch, longest).

    `lengths` is int32 (batch,). `starts` to `ends`, int32, are the code points of a
    token, `byte_starts` to `byte_ends`, int32, its bytes; zeros where there is none.
    Bytes that are no UTF-8 count as the one code point U+FFFD that they become.
    """

    ids: Any
    lengths: Any
    starts: Any
    ends: Any
    byte_starts: Any
    byte_ends: Any


class _Flat(NamedTuple):
    """The tokens of all texts, one behind the other.

    ids: int32 (tokens,). starts, ends: int32 (tokens,), code points in their own text.
    rows: int32 (tokens,), their text. row_lengths: int32 (batch,), tokens of each.
    nth: int32 (tokens,), for a byte its place in its character, else 0.
    is_byte: bool (tokens,).
    """

    ids: Any
    starts: Any
    ends: Any
    rows: Any
    row_lengths: Any
    nth: Any
    is_byte: Any


class Tokenizer:
    """The tokens of a model and their ids: the special ones, the bytes, then its own.

    Args:
        tokens: list of str, its own, most frequent first.
        units: "words", "spaces", "characters" or "subwords".
        special: names of the special tokens, which have the first ids. Of these roles
            one may exist: <pad>, <unk>, <start> (<s>, <bos>), <end> (</s>, <eos>), in
            upper or lower case.
        lower: whether texts are lowered before their tokens are sought. Characters and
            subwords are lowered one by one ("İ" stays as it is).
        fallback: "unknown", or "bytes": an unknown character is written as its bytes
            in UTF-8, for which there are 256 more tokens. Not for words.
        rare: number of different tokens for which <unk> stands.
        written: whether special tokens are part of the text: `encode` finds their names
            in it, `decode` prints them. Else a text cannot hold them, they print
            nothing, and the unknown token prints U+FFFD.
        separator: what stands between the tokens of units="spaces".
        rules: how marks are spaced, see `spacing.learn`.

    Raises:
        UserError: an argument is wrong, or a token occurs twice.
        ValueError: two tokens have one hash.
    """

    def __init__(
        self,
        tokens,
        units="words",
        special=SPECIAL,
        lower=False,
        fallback="unknown",
        rare=0,
        written=False,
        separator=" ",
        rules=None,
    ):
        self.units, self.special, self.lower = units, tuple(special), lower
        self.fallback, self.rare, self.written = fallback, rare, written
        self.separator, self.rules = separator, dict(rules or {})
        self._check_options()
        own = list(tokens)
        bytes_ = _BYTES if fallback == "bytes" else ()
        self._first_byte = len(self.special)
        self._first_own = len(self.special) + len(bytes_)
        self.tokens = [*self.special, *bytes_, *own]
        self.pad, self.unknown = self._id_of_role("pad"), self._id_of_role("unknown")
        self.start, self.end = self._id_of_role("start"), self._id_of_role("end")
        if self.unknown is None and not bytes_:
            raise UserError(
                "Expected a special token <unk>, or fallback='bytes'; received "
                f"special={self.special}."
            )
        # What is found in texts.
        names = [*enumerate(self.special)] if written else []
        if lower:
            names = [(id_, _lowered(token)) for id_, token in names]
        names += enumerate(own, self._first_own)
        self._found = {token: id_ for id_, token in names}
        if len(self._found) < len(names) or "" in self._found:
            counts = collections.Counter(token for _, token in names)
            wrong = [token for token in counts if counts[token] > 1 or not token]
            raise UserError(f"Expected different tokens, none empty; not {wrong[:3]}.")
        if not self._found:
            raise UserError("Expected a token or more, received none.")
        if units in _PATTERNS:
            self._hash()
        else:
            self._check_characters(own)
            self._trie = Trie(self._found)
        self._texts = self._texts_of_ids()

    def _check_options(self):
        if self.units not in UNITS:
            raise UserError(
                f"Expected units {', '.join(map(repr, UNITS))}; received "
                f"{self.units!r}."
            )
        if self.fallback not in ("unknown", "bytes"):
            raise UserError(
                f"Expected fallback 'unknown' or 'bytes', received {self.fallback!r}."
            )
        if self.fallback == "bytes" and self.units in _PATTERNS:
            raise UserError(
                "fallback='bytes' needs units 'characters' or 'subwords'; received "
                f"{self.units!r}."
            )

    def _id_of_role(self, role):
        ids = [i for i, s in enumerate(self.special) if s.lower() in _ROLES[role]]
        if len(ids) > 1:
            raise UserError(f"Expected one token for {role}, received {self.special}.")
        return ids[0] if ids else None

    def _check_characters(self, own):
        long = [token for token in own if len(token) != 1]
        if self.units == "characters" and long:
            raise UserError(f"Expected single characters, received {long[:3]}.")

    def _hash(self):
        names = list(self._found)
        hashes = tf.strings.to_hash_bucket_fast(names, _BUCKETS).numpy()
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        if (self._hashes[1:] == self._hashes[:-1]).any():
            i = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])[0]
            raise ValueError(
                f"The tokens {names[order[i]]!r} and {names[order[i + 1]]!r} have the "
                "same hash. Leave one of them out."
            )
        self._hashed_names = [names[i] for i in order]
        self._hashed_ids = np.array([self._found[n] for n in self._hashed_names])

    # Learning

    @classmethod
    def build(
        cls,
        texts,
        units="words",
        size=0,
        min_count=1,
        special=SPECIAL,
        lower=False,
        fallback="unknown",
        written=False,
        separator=" ",
    ):
        """The tokens of texts, the most frequent first; equal counts by the alphabet.

        Args:
            texts: iterable of str. Only words and subwords need memory for more than
                one of them.
            size: ids at most, the special ones and the bytes included; 0: no limit.
            min_count: a token that is rarer is unknown. Of subwords: a character, and a
                pair of pieces to be joined, which must occur twice or more.
            others: as in `Tokenizer`.

        Raises:
            UserError: no token is left.
        """
        options = {"special": special, "lower": lower, "fallback": fallback}
        options |= {"written": written, "separator": separator}
        draft = cls(["a"], units, **options)
        words, rules = {}, {}
        if units == "characters":
            texts = map(draft._without_names, texts)
            counts = _count_characters(texts, lower)
        elif units == "subwords":
            words = _count_chunks(texts, lower)
            counts = _characters_of(words)
        else:
            counts, neighbours = draft._count_words(texts)
            rules = spacing.learn(neighbours) if units == "words" else {}
        counts.pop(REPLACEMENT, None)
        if written:  # As some texts hold them, <unk> for <UNK> too.
            names = {name.lower() for name in special}
            counts = {t: n for t, n in counts.items() if t.lower() not in names}
        # Equal counts in the order of the alphabet: the same on every machine.
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        own = [token for token in ranked if counts[token] >= min_count]
        room = max(size - draft._first_own, 0)
        own = own[:room] if size else own
        if not own:
            raise UserError(
                f"The vocabulary would be empty: of {len(counts)} different tokens "
                f"none occurs {min_count} times or more, or {size=} leaves no room for "
                f"one beside the {draft._first_own} special tokens and bytes. Lower "
                "--min-count, or check the data."
            )
        rare = len(counts) - len(own)
        if units == "subwords" and (not size or len(own) < room):
            room = room - len(own) if size else 0
            own += subwords.learn(words, own, room, max(min_count, 2))
        return cls(own, units, rare=rare, rules=rules, **options)

    def _count_words(self, texts):
        """Counter of the tokens, and what `spacing.learn` takes."""

        def cut(texts):
            tokens, *places = self._cut_words(texts)
            return *tf.unique_with_counts(self._as_sought(tokens)), *places

        cut = _compiled(cut)
        counts, neighbours = collections.Counter(), collections.Counter()
        for some in _batches(texts):
            different, index, times, *places = (t.numpy() for t in cut(_tensor(some)))
            different = [token.decode() for token in different]
            for token, count in zip(different, times.tolist(), strict=True):
                counts[token] += count
            if self.units == "words":
                neighbours.update(_neighbours(different, index, *places))
        return counts, neighbours

    # Properties

    @property
    def size(self):
        """Number of ids."""
        return len(self.tokens)

    @property
    def own(self):
        """The tokens that are neither special nor bytes: list of str."""
        return self.tokens[self._first_own :]

    @property
    def padding(self):
        """The id behind a text's end: that of <pad>, else of <end>, else 0."""
        ids = [id_ for id_ in (self.pad, self.end) if id_ is not None]
        return ids[0] if ids else 0

    def id_of(self, token):
        """The id of a token, special or not, or None."""
        if token in self.special:
            return self.special.index(token)
        return self._found.get(token)

    # Text to ids

    def encode(self, texts, max_length=None, end=False):
        """Strings (batch,) -> ids int32 (batch, longest), lengths int32 (batch,).

        Behind a text's end stands `padding`.

        Args:
            max_length: int, the width of `ids`; a longer text is cut.
            end: whether <end> is put behind each text; it stays where one is cut.
        """
        if max_length is not None and max_length < 1:
            raise ValueError(f"Expected room for a token, received {max_length=}.")
        if end and self.end is None:
            raise ValueError(f"Expected a special token <end>, not {self.special}.")
        ids = self._ragged(self._flat(texts))
        if max_length is not None:
            ids = ids[:, : max_length - int(end)]
        if end:
            ends = tf.fill([ids.nrows(out_type=tf.int32), 1], self.end)
            ids = tf.concat([ids, ends], axis=1)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        return ids.to_tensor(self.padding, shape=[None, max_length]), lengths

    def encode_with_offsets(self, texts):
        """Strings (batch,) -> `Encoded`, all tokens and where they stand in `texts`."""
        flat = self._flat(texts)
        byte_starts, byte_ends = _byte_offsets(texts, flat)
        dense = [
            self._ragged(flat, values).to_tensor(0)
            for values in (flat.starts, flat.ends, byte_starts, byte_ends)
        ]
        ids = self._ragged(flat).to_tensor(self.padding)
        return Encoded(ids, flat.row_lengths, *dense)

    def split(self, texts):
        """Strings (batch,) -> ragged strings (batch, tokens), as they stand in them."""
        if self.units in _PATTERNS:
            return self._ragged_words(texts)
        codes = _decoded(texts)
        flat = self._cut_characters(codes)
        pieces = tf.RaggedTensor.from_row_lengths(
            codes.flat_values, flat.ends - flat.starts, validate=False
        )
        return self._ragged(flat, tf.strings.unicode_encode(pieces, "UTF-8"))

    def ids(self, text):
        """A str as int32 array, a list of str as list of them; outside of a graph."""
        if isinstance(text, str):
            return self._ids_of_one(text)
        if self.units == "characters":
            return [self._ids_of_one(one) for one in text]
        rows = []
        for some in _batches(text):
            flat = self._compiled_flat(_tensor(some))
            edges = np.cumsum(flat.row_lengths.numpy())[:-1]
            rows += np.split(flat.ids.numpy(), edges)
        return rows

    def lengths(self, texts):
        """Number of tokens of each str of a list, without <end>: list of int."""
        return [len(row) for row in self.ids(texts)]

    def _ids_of_one(self, text):
        if self.units == "characters" and self._without_names(text) == text:
            ids = self._table[_codes(text)]
            if self.fallback == "unknown" or (ids >= 0).all():
                return ids
        return self._compiled_flat(_tensor([text])).ids.numpy()

    def _without_names(self, text):
        """A str without the special tokens that are written in it."""
        if not self.written:
            return text
        return self._names.sub("", text)

    @functools.cached_property
    def _names(self):
        flags = re.IGNORECASE if self.lower else 0
        return re.compile("|".join(map(re.escape, self.special)), flags)

    @functools.cached_property
    def _compiled_flat(self):
        return _compiled(self._flat)

    @functools.cached_property
    def _table(self):
        """Ids of all code points, int32 (CODES,)."""
        table = np.full(CODES, -1 if self.unknown is None else self.unknown, np.int32)
        if self.fallback == "bytes":
            table[:] = -1
        table[list(map(ord, self.own))] = range(self._first_own, self.size)
        if self.lower:
            table[_lower_pairs()[0]] = table[_lower_pairs()[1]]
        return table

    def _ragged(self, flat, values=None):
        values = flat.ids if values is None else values
        return tf.RaggedTensor.from_row_lengths(
            values, flat.row_lengths, validate=False
        )

    def _flat(self, texts):
        """Strings (batch,) -> `_Flat`, nothing left out."""
        if self.units in _PATTERNS:
            tokens, starts, ends, rows = self._cut_words(texts)
            nothing = tf.zeros_like(starts)
            counts = _counts(rows, texts)
            ids = self._look_up(tokens)
            return _Flat(ids, starts, ends, rows, counts, nothing, nothing > 0)
        codes = _decoded(texts)
        flat = self._cut_characters(codes)
        if self.fallback == "bytes":
            return self._with_bytes(flat, codes)
        return flat._replace(ids=tf.where(flat.ids < 0, self.unknown, flat.ids))

    # Words

    def _cut_words(self, texts):
        """Strings (batch,) -> tokens string, starts, ends, rows int32; each (tokens,).

        The texts are cut behind each token, white space before it included. So the
        lengths of the pieces say where all of them are.
        """
        pattern = _PATTERNS[self.units]
        if self.written and self.units == "words":
            names = "|".join(_escaped(name) for name in self.special)
            case = "i" if self.lower else ""
            pattern = f"(?{case}:{names})|{pattern}"
        texts = tf.strings.regex_replace(_repaired(texts), r"\x00", REPLACEMENT)
        texts = tf.strings.regex_replace(texts, f"({pattern})", rf"\1{_CUT}")
        if self.units == "words":
            chinese = rf"{_CUT}\1{_CUT}"
            texts = tf.strings.regex_replace(texts, r"(\p{Han}\p{M}*)", chinese)
        pieces = tf.strings.split(texts, _CUT)
        rows = tf.cast(pieces.value_rowids(), tf.int32)
        lengths = tf.strings.length(pieces.flat_values, "UTF8_CHAR")
        tokens = tf.strings.regex_replace(pieces.flat_values, f"^[{WHITE}]+", "")
        behind = tf.concat([[0], tf.cumsum(lengths)], axis=0)
        firsts = tf.gather(behind, tf.cast(pieces.row_starts(), tf.int32))
        ends = behind[1:] - tf.gather(firsts, rows)
        starts = ends - tf.strings.length(tokens, "UTF8_CHAR")
        kept = tf.where(tokens != "")[:, 0]
        tokens, starts, ends, rows = (
            tf.gather(values, kept) for values in (tokens, starts, ends, rows)
        )
        return tokens, starts, ends, rows

    def _ragged_words(self, texts):
        tokens, *_, rows = self._cut_words(texts)
        counts = _counts(rows, texts)
        return tf.RaggedTensor.from_row_lengths(tokens, counts, validate=False)

    def _as_sought(self, tokens):
        return tf.strings.lower(tokens, encoding="utf-8") if self.lower else tokens

    def _look_up(self, tokens):
        """Strings (tokens,) -> ids int32."""
        tokens = self._as_sought(tokens)
        hashes = tf.strings.to_hash_bucket_fast(tokens, _BUCKETS)
        places = tf.searchsorted(tf.constant(self._hashes), hashes)
        places = tf.minimum(places, len(self._hashes) - 1)
        # A token that is not ours may have the hash of one that is.
        found = tf.gather(tf.constant(self._hashed_names), places) == tokens
        ids = tf.gather(tf.constant(self._hashed_ids, tf.int32), places)
        return tf.where(found, ids, self.unknown)

    # Characters and subwords

    def _cut_characters(self, codes):
        """Ragged code points (batch, characters) -> `_Flat` with -1 for unknown."""
        values = codes.flat_values
        if self.lower:
            values = _lower_codes(values)
        splits = tf.cast(codes.row_splits, tf.int32)
        firsts, lengths, ids = self._trie.cut(values, splits)
        rows = tf.gather(tf.cast(codes.value_rowids(), tf.int32), firsts)
        starts = firsts - tf.gather(splits, rows)
        counts = tf.math.unsorted_segment_sum(
            tf.ones_like(rows), rows, tf.size(splits) - 1
        )
        nothing = tf.zeros_like(starts)
        return _Flat(ids, starts, starts + lengths, rows, counts, nothing, nothing > 0)

    def _with_bytes(self, flat, codes):
        """`flat` with the bytes of each unknown character in its place."""
        splits = tf.cast(codes.row_splits, tf.int32)
        places = tf.gather(splits, flat.rows) + flat.starts
        codes = tf.gather(codes.flat_values, places)
        codes = _lower_codes(codes) if self.lower else codes
        is_byte = flat.ids < 0
        widths = tf.where(is_byte, _utf8_width(codes), 1)
        before = tf.cumsum(widths, exclusive=True)
        index = tf.repeat(tf.range(tf.size(widths)), widths)
        nth = tf.range(tf.size(index)) - tf.gather(before, index)
        is_byte = tf.gather(is_byte, index)
        bytes_ = _utf8_byte(tf.gather(codes, index), tf.gather(widths, index), nth)
        ids = tf.where(is_byte, self._first_byte + bytes_, tf.gather(flat.ids, index))
        counts = tf.math.unsorted_segment_sum(
            widths, flat.rows, tf.size(flat.row_lengths)
        )
        starts, ends, rows = (
            tf.gather(v, index) for v in (flat.starts, flat.ends, flat.rows)
        )
        return _Flat(ids, starts, ends, rows, counts, nth, is_byte)

    # Ids to text

    def decode(self, ids, lengths=None, unknown=None):
        """Ids (..., time) -> strings (...), as a person writes them.

        Every separator is written before its token and depends on those before only, so
        the text of the first tokens is where the text of all begins. For that, bytes at
        the end that begin a character but do not finish it are not written; others that
        are no UTF-8 become U+FFFD.

        Args:
            ids: integers, each less than `size`.
            lengths: integers (...), how many of each row are its text. Without them it
                goes to the first <end> or <pad>, or if these are `written`, to the end.
            unknown: strings (..., time), what is written for <unk> at each place; None:
                U+FFFD.
        """
        ids = tf.cast(ids, tf.int32)
        shape = tf.shape(ids)
        flat = tf.reshape(ids, [tf.reduce_prod(shape[:-1]), shape[-1]])
        if lengths is not None:
            lengths = tf.reshape(tf.cast(lengths, tf.int32), [-1])
        printed = self._printed(flat, lengths)
        tokens = tf.ragged.boolean_mask(flat, printed)
        pieces = tf.gather(tf.constant(self._texts), tokens.flat_values)
        if unknown is not None:
            others = tf.boolean_mask(tf.reshape(unknown, tf.shape(flat)), printed)
            pieces = tf.where(tokens.flat_values == self.unknown, others, pieces)
        if self.units in _PATTERNS:
            separators = self._separators(tokens)
            pieces = tf.strings.join([separators, pieces])
        texts = tf.strings.reduce_join(tokens.with_flat_values(pieces), axis=-1)
        if self.fallback == "bytes":
            texts = _repaired(_without_unfinished(texts))
        texts = tf.reshape(texts, shape[:-1])
        return tf.ensure_shape(texts, ids.shape[:-1])

    def decode_step(self, before, ids):
        """What the next token adds to each text; joined, it is what `decode` gives.

        Args:
            before: int32 (batch,), -1 where a text begins, else what the call before
                returned. That holds what the spacing depends on; of a text of one token
                it is the token.
            ids: int32 (batch,), each less than `size`.

        Returns:
            strings (batch,); int32 (batch,), `before` of the next call.

        Raises:
            ValueError: of fallback="bytes", where a token is a part of a character.
        """
        if self.fallback == "bytes":
            raise ValueError("Expected fallback='unknown', received 'bytes'.")
        texts = tf.gather(tf.constant(self._texts), ids)
        begins = before < 0
        if self.units not in _PATTERNS:
            return texts, tf.where(texts != "", ids, before)
        state = tf.where(begins, 0, before)
        if self.units == "spaces":
            glued, following = begins, ids
        else:
            previous, state = state % self.size, state // self.size
            outer, inside = state % 4, state // 4 % 2 == 1
            glued = begins | self._glued(ids, previous, outer, inside)
            classes = tf.gather(tf.constant(self._spacing[0]), previous)
            outer = tf.where(begins, spacing.WORD, classes)
            inside = tf.cast(inside != (ids == self._quote), tf.int32)
            following = ids + self.size * (outer + 4 * inside)
        separator = self.separator if self.units == "spaces" else " "
        printed = texts != ""
        separators = tf.where(printed & ~glued, separator, "")
        following = tf.where(printed, following, before)
        return tf.strings.join([separators, texts]), following

    def _texts_of_ids(self):
        """What each id prints: bytes, none for a special token that is not written."""
        special = [name if self.written else "" for name in self.special]
        if self.unknown is not None and not self.written:
            special[self.unknown] = REPLACEMENT
        texts = [name.encode() for name in special]
        texts += [bytes([byte]) for byte in range(self._first_own - self._first_byte)]
        return texts + [token.encode() for token in self.own]

    def _printed(self, ids, lengths):
        """Which of ids (batch, time) print something; bool."""
        printed = tf.gather(tf.constant([text != b"" for text in self._texts]), ids)
        if lengths is not None:
            return printed & tf.sequence_mask(lengths, tf.shape(ids)[1])
        over = tf.zeros_like(ids, tf.bool)
        for id_ in () if self.written else (self.pad, self.end):
            if id_ is not None:
                over |= ids == id_
        return printed & (tf.cumsum(tf.cast(over, tf.int32), axis=1) == 0)

    def _separators(self, tokens):
        """What stands before each of ragged tokens (batch, time); string (tokens,)."""
        rows = tokens.value_rowids()
        same_row = tf.concat([[False], rows[1:] == rows[:-1]], axis=0)[: tf.size(rows)]
        if self.units == "spaces":
            return tf.where(same_row, self.separator, "")
        ids = tokens.flat_values
        classes = _shifted(tf.gather(tf.constant(self._spacing[0]), ids))
        outer = _shifted(tf.where(same_row, classes, spacing.WORD))
        is_quote = tf.cast(ids == self._quote, tf.int32)
        seen = tf.cumsum(is_quote, exclusive=True)
        seen_before_row = tf.gather(
            tf.concat([seen, [0]], axis=0), tf.cast(tokens.row_starts(), tf.int32)
        )
        inside = (seen - tf.gather(seen_before_row, rows)) % 2 == 1
        apart = same_row & ~self._glued(ids, _shifted(ids), outer, inside)
        return tf.where(apart, " ", "")

    def _glued(self, ids, previous, outer, inside):
        """Whether no space stands before each token; all (tokens,).

        Args:
            ids, previous: int32, the token and that before it. outer: int32, the class
                of the one before both, WORD where there is none. inside: bool, whether
                straight quotes are open before the token.
        """
        classes, before, behind = self._spacing
        classes = tf.constant(classes)
        place = 4 * ids + tf.gather(classes, previous)
        glued = tf.gather(tf.constant(before.ravel()), place)
        place = 16 * previous + 4 * outer + tf.gather(classes, ids)
        glued |= tf.gather(tf.constant(behind.ravel()), place)
        return glued | (inside & ((ids == self._quote) | (previous == self._quote)))

    @property
    def _quote(self):
        """The id of the straight double quote, -1 if there is none."""
        return self._found.get(spacing.QUOTE, -1)

    @functools.cached_property
    def _spacing(self):
        texts = ["a"] * self._first_own + self.own
        return spacing.tables(texts, self.rules)

    # JSON

    def to_json(self):
        """JSON text from which `from_json` makes the same tokenizer."""
        names = ("units", "lower", "fallback", "rare", "written", "separator", "rules")
        saved = {name: getattr(self, name) for name in names}
        saved |= {"special": self.special, "tokens": self.own}
        return json.dumps(saved, ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        """Reads what `to_json` wrote.

        Raises:
            UserError: it is something else.
        """
        fields = {"units": str, "lower": bool, "fallback": str, "rare": int}
        fields |= {"written": bool, "separator": str, "rules": dict}
        fields |= {"special": [str], "tokens": [str]}
        saved = read_json(text, fields)
        rules = saved["rules"]
        if not all(type(rule) is int and 0 <= rule < 2**20 for rule in rules.values()):
            raise UserError(
                f"Expected rules of 20 bits a mark, received {str(rules)[:80]}."
            )
        return cls(**{name: saved[name] for name in fields})


def learn_tokenizer(texts, config, fallback="unknown"):
    """`Tokenizer.build` by the settings of a config: `tokenizer`, the units,
    `vocabulary_size`, `min_count` and `lower`."""
    return Tokenizer.build(
        texts,
        config.tokenizer,
        config.vocabulary_size,
        config.min_count,
        lower=config.lower,
        fallback=fallback,
    )


# In the graph


def _repaired(texts):
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")


def _decoded(texts):
    """Ragged code points (batch, characters)."""
    return tf.strings.unicode_decode(texts, "UTF-8", errors="replace")


def _shifted(values):
    """Each one's predecessor; the first keeps its own."""
    return tf.concat([values[:1], values[:-1]], axis=0)


def _counts(rows, texts):
    """How many tokens each text has, int32 (batch,)."""
    return tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, tf.size(texts))


def _utf8_width(codes):
    """How many bytes code points have."""
    return 1 + sum(tf.cast(codes >= low, tf.int32) for low in (0x80, 0x800, 0x10000))


def _utf8_byte(codes, widths, nth):
    """The nth of the bytes of code points."""
    shifted = tf.bitwise.right_shift(codes, 6 * tf.maximum(widths - 1 - nth, 0))
    leads = tf.gather(tf.constant([0, 0, 0xC0, 0xE0, 0xF0]), widths)
    return tf.where(nth == 0, leads | shifted, 0x80 | (shifted & 0x3F))


def _byte_offsets(texts, flat):
    """Where tokens start and end in the bytes of `texts`; int32 (tokens,) each."""
    _, offsets = tf.strings.unicode_decode_with_offsets(texts, "UTF-8", "replace")
    whole = tf.cast(tf.strings.length(texts), tf.int64)[:, None]
    edges = tf.concat([offsets, whole], axis=1)  # (batch, characters + 1)
    firsts = tf.gather(tf.cast(edges.row_starts(), tf.int32), flat.rows)
    starts = tf.cast(tf.gather(edges.flat_values, firsts + flat.starts), tf.int32)
    ends = tf.cast(tf.gather(edges.flat_values, firsts + flat.ends), tf.int32)
    # A wrong byte is one, but U+FFFD, which is written for it, has three.
    nth = tf.minimum(starts + flat.nth, ends - 1)
    return tf.where(flat.is_byte, nth, starts), tf.where(flat.is_byte, nth + 1, ends)


def _without_unfinished(texts):
    """Byte strings (batch,) without bytes at their end that a character begins with."""
    last = tf.strings.substr(tf.strings.join(["\0\0\0", texts]), -3, 3)
    last = tf.cast(tf.io.decode_raw(last, tf.uint8), tf.int32)
    last = tf.reshape(last, [-1, 3])  # of no texts too
    follows = (last >= 0x80) & (last < 0xC0)
    one = last[:, 2] >= 0xC2
    two = (last[:, 1] >= 0xE0) & follows[:, 2]
    three = (last[:, 0] >= 0xF0) & follows[:, 1] & follows[:, 2]
    unfinished = tf.where(one, 1, tf.where(two, 2, tf.where(three, 3, 0)))
    lengths = tf.strings.length(texts) - unfinished
    return tf.strings.substr(texts, tf.zeros_like(lengths), lengths)


def _lower_codes(codes):
    """Code points, each lowered for itself."""
    upper, lower = map(tf.constant, _lower_pairs())
    places = tf.minimum(tf.searchsorted(upper, codes), len(_lower_pairs()[0]) - 1)
    is_upper = tf.gather(upper, places) == codes
    return tf.where(is_upper, tf.gather(lower, places), codes)


def _escaped(name):
    """A name as RE2 pattern: every sign of ASCII that is no letter is escaped."""
    return "".join(
        rf"\{c}" if c.isascii() and not c.isalnum() and c != "_" else c for c in name
    )


# Outside of a graph


def _compiled(function):
    """A function of strings (batch,) as one graph for all batches."""
    several = tf.TensorSpec([None], tf.string)
    return tf.function(function, input_signature=[several]).get_concrete_function()


@functools.cache
def _lower_pairs():
    """Code points that are lowered to one other, and those; int32, sorted."""
    pairs = [
        (code, ord(chr(code).lower()))
        for code in range(0x20000)  # No script beyond has two cases.
        if len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)
    ]
    upper, lower = np.array(pairs, np.int32).T
    return np.ascontiguousarray(upper), np.ascontiguousarray(lower)


def _lowered(text):
    """A str, each character lowered for itself."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _codes(text):
    """The code points of a str, uint32 (n,); half an emoji is U+FFFD."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    halves = (codes >= 0xD800) & (codes < 0xE000)
    return np.where(halves, ord(REPLACEMENT), codes) if halves.any() else codes


def _tensor(texts):
    """A list of str as string tensor (n,); half an emoji is U+FFFD."""
    return tf.constant([_encoded(text) for text in texts], tf.string, [len(texts)])


def _encoded(text):
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _codes(text).astype("<u4").tobytes().decode("utf-32-le").encode()


def _batches(texts, characters=math.inf):
    """Lists of up to _BATCH of them; of less from so many characters on."""
    some, length = [], 0
    for text in texts:
        some.append(text)
        length += len(text)
        if len(some) == _BATCH or length >= characters:
            yield some
            some, length = [], 0
    if some:
        yield some


def _neighbours(different, index, starts, ends, rows):
    """Yields what `spacing.learn` counts, of tokens that are `different[index]`."""
    classes = np.array([spacing.token_class(token) for token in different], np.int32)
    names = np.array([*different, *spacing.EXAMPLES], object)
    is_mark = classes == spacing.MARK
    shown = np.where(is_mark, np.arange(len(different)), len(different) + classes)
    classes, shown = classes[index], shown[index]
    same_row = rows[1:] == rows[:-1]
    outer = np.full(len(index), spacing.WORD)
    outer[1:][same_row] = classes[:-1][same_row]
    touch = starts[1:] == ends[:-1]
    return zip(
        outer[:-1][same_row].tolist(),
        names[shown[:-1][same_row]].tolist(),
        names[shown[1:][same_row]].tolist(),
        touch[same_row].tolist(),
        strict=True,
    )


def _count_characters(texts, lower):
    counts = np.zeros(CODES, np.int64)
    for some in _batches(texts, _COUNTED):
        # Many short texts at once: to go through Unicode for each is slow.
        codes = _codes("".join(some))
        counts[: codes.max(initial=0) + 1] += np.bincount(codes, minlength=1)
    if lower:
        upper, its_lower = _lower_pairs()
        np.add.at(counts, its_lower, counts[upper])
        counts[upper] = 0
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}


def _count_chunks(texts, lower):
    """The words and marks of texts, white space before them included."""

    def cut(texts):
        texts = tf.strings.regex_replace(_repaired(texts), r"\x00", REPLACEMENT)
        texts = tf.strings.regex_replace(texts, f"({_CHUNK})", rf"\1{_CUT}")
        return tf.strings.split(texts, _CUT).flat_values

    cut = _compiled(cut)
    counts = collections.Counter()
    for some in _batches(texts):
        counts.update(cut(_tensor(some)).numpy().tolist())
    words = collections.Counter()
    for word, count in counts.items():
        word = word.decode()
        words[_lowered(word) if lower else word] += count
    return words


def _characters_of(words):
    counts = collections.Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts
