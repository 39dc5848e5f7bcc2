"""From tokens to those that follow, or to their probability: one graph for all of it.

    read     tokens of texts -> logits and states behind the last one, log-probability
    write    logits and states -> tokens, one drawn after the other

Both go through a text in pieces of PIECE tokens. That bounds the memory that a long
text takes; it gives XLA, which compiles anew for every shape, one that no text's length
changes; and it lets a reader see a text while it is being written.

Only stock TensorFlow operations, so that a SavedModel needs none of this code.
"""

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from .....layers import decoding
from .streams import state_names

PIECE = 64
# Of a longer prompt only the end is read: no state reaches back further, and a server
# must not be held up by one request.
LONGEST_PROMPT = 10_000
# Tokens that one call writes at most, for the same reason.
LONGEST = 100_000

# The loops are TensorFlow's already; without a search for others it is made sooner.
graph = functools.partial(tf.function, autograph=False)


def prompts(vocabulary, text):
    """Strings (batch,) as ids and lengths: never empty, never too long; 0 behind."""
    ids, lengths = vocabulary.encode(text)
    if vocabulary.start is None:  # Something must be read.
        ids = tf.pad(ids, [[0, 0], [0, 1]])
        ids = tf.where(lengths[:, None] == 0, vocabulary.blank, ids)
        lengths = tf.maximum(lengths, 1)
    kept = tf.minimum(lengths, LONGEST_PROMPT)
    longest = tf.minimum(tf.shape(ids)[1], LONGEST_PROMPT)
    places = tf.range(longest) + (lengths - kept)[:, None]
    inside = tf.minimum(places, tf.shape(ids)[1] - 1)
    ids = tf.gather(ids, inside, axis=1, batch_dims=1)
    return tf.where(places < lengths[:, None], ids, 0), kept


class Writing(NamedTuple):
    """Where the writing of a batch of texts stands.

    count: int32 scalar, tokens written.
    logits: float32 (batch, vocabulary), of the token to be written next.
    states: dict of float32 (batch, units).
    ends: int32 (batch,), the number of tokens at which each text ends.
    recent: int32 (batch, length of the stop text), the tokens written last; -1 before.
    """

    count: Any
    logits: Any
    states: Any
    ends: Any
    recent: Any


class Sampler:
    """A language model that continues texts and says how probable they are.

    Args:
        model: keras.Model, see `build_language_model`.
        vocabulary: has `decode(ids, lengths) -> strings (batch,)`, `size`, `unknown`.
        top_k: int, draw among the k likeliest tokens; 0: all.
        top_p: float, draw among the fewest likely tokens whose probabilities sum to at
            least p (Holtzman et al. 2020).
        stop: sequence of tokens, before which a text ends.
        compiled: whether XLA compiles what is between the strings, which takes seconds
            for each number of rows. One row is then written several times as fast, 64
            are not (LSTM, 256 units, 97 characters, 2 cores).

    The unknown token is never written.
    """

    def __init__(self, model, vocabulary, top_k=0, top_p=1.0, stop=(), compiled=False):
        self.model, self.vocabulary = model, vocabulary
        self.top_k, self.top_p, self.stop = top_k, float(top_p), list(stop)
        self.compiled = compiled
        self.names = state_names(model)

        def maybe_compiled(function):
            return graph(function, jit_compile=True) if compiled else function

        self._read_piece = maybe_compiled(self.read_piece)
        self._write_piece = maybe_compiled(self.write_piece)
        # Graphs that are made once, when they are first used.
        ids = tf.TensorSpec([1, None], tf.int32)
        one = tf.TensorSpec([1], tf.int32)
        self._stream_begin = graph(self.begin, input_signature=[ids, one, one])
        self._stream_piece = graph(self._write_piece)

    # Reading

    def read(self, ids, lengths):
        """The states behind texts of different lengths, and their log-probabilities.

        The texts are pushed to the right, so that all of them end together. Before a
        text's first token stands padding; `reset` at that token makes the model forget
        what it made of it.

        Args:
            ids: int32 (batch, longest). lengths: int32 (batch,).

        Returns:
            logits float32 (batch, vocabulary), of the token behind the text; states;
            log_prob float32 (batch,), sum over t = 2 ... n of ln p(x_t | x_1 ...
            x_{t-1}), which is 0 for no token or one.
        """
        batch, longest = tf.shape(ids)[0], tf.shape(ids)[1]
        # XLA wants one width; else a short text need not be as long as a piece.
        width = PIECE if self.compiled else tf.clip_by_value(longest, 1, PIECE)
        pieces = (longest + width - 1) // width
        firsts = pieces * width - lengths  # where the texts begin, (batch,)

        def body(i, logits, states, log_prob):
            places = i * width + tf.range(width + 1) - firsts[:, None]  # in the text
            tokens = tf.gather(
                ids, tf.clip_by_value(places, 0, longest - 1), axis=1, batch_dims=1
            )
            counted = (places[:, :-1] >= 0) & (places[:, 1:] < lengths[:, None])
            logits, states, more = self._read_piece(
                tokens, places[:, :-1] == 0, tf.cast(counted, tf.float32), states
            )
            # In double precision: a book has millions of characters.
            return i + 1, logits, states, log_prob + tf.cast(more, tf.float64)

        _, logits, states, log_prob = tf.while_loop(
            lambda i, *_: i < pieces,
            body,
            (
                0,
                tf.zeros([batch, self.vocabulary.size]),
                self.zeros(batch),
                tf.zeros([batch], tf.float64),
            ),
        )
        return logits, states, tf.cast(log_prob, tf.float32)

    def read_piece(self, tokens, reset, weights, states):
        """Read all tokens but the last, which is only the target of the one before.

        Args:
            tokens: int32 (batch, time + 1). reset: bool, weights: float32, both
                (batch, time). states: dict.

        Returns:
            the last logits (batch, vocabulary), the states, the log-probabilities of
            the tokens behind each, summed by `weights`, (batch,).
        """
        inputs = {"tokens": tokens[:, :-1], "reset": reset, **states}
        outputs = self.model(inputs, training=False)
        logits = tf.cast(outputs["logits"], tf.float32)
        # What does not count may be a token that is never written.
        targets = tf.where(weights > 0, tokens[:, 1:], 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        states = {name: outputs[name] for name in self.names}
        return logits[:, -1], states, -tf.reduce_sum(losses * weights, axis=1)

    def zeros(self, batch):
        """States (batch, units) by name; what they are does not matter at a reset."""
        sizes = {name: self.model.input[name].shape[-1] for name in self.names}
        return {name: tf.zeros([batch, size]) for name, size in sizes.items()}

    # Writing

    def begin(self, ids, lengths, length):
        """Where writing starts: behind prompts, as `read` takes them, for `length`
        tokens each."""
        logits, states, _ = self.read(ids, lengths)
        recent = tf.fill([tf.shape(ids)[0], len(self.stop)], -1)
        ends = tf.clip_by_value(length, 0, LONGEST)
        return Writing(tf.constant(0), logits, states, ends, recent)

    def write_piece(self, writing, temperature, seed):
        """The next PIECE tokens of every text.

        Token number t of a text is drawn by a number that depends on (its seed, t) and
        on nothing else: not on the other texts, not on the pieces.

        Args:
            writing: Writing, its `count` a multiple of PIECE.
            temperature: float32 (batch,); 0 or less: the likeliest token.
            seed: int32 (batch,).

        Returns:
            ids int32 (batch, PIECE), which mean nothing beyond `ends`; Writing.
        """
        count = writing.count
        piece = tf.fill(tf.shape(seed), count // PIECE)
        draws = decoding.uniform(PIECE, tf.stack([seed, piece], axis=1))
        rows = seed.shape[0]

        def body(t, logits, states, ends, recent, ids):
            tokens = self.choose(logits, temperature, draws[:, t])
            ids = tf.where(tf.range(PIECE) == t, tokens[:, None], ids)
            if self.stop:
                recent = tf.concat([recent[:, 1:], tokens[:, None]], axis=1)
                found = tf.reduce_all(recent == self.stop, axis=1) & (count + t < ends)
                ends = tf.where(found, count + t + 1 - len(self.stop), ends)
            new, states = self.step(tokens, states)
            return t + 1, tf.ensure_shape(new, logits.shape), states, ends, recent, ids

        ids = tf.zeros([tf.shape(seed)[0], PIECE], tf.int32)
        _, logits, states, ends, recent, ids = tf.while_loop(
            lambda t, logits, states, ends, *_: tf.reduce_any(count + t < ends),
            body,
            (
                0,
                tf.ensure_shape(writing.logits, [rows, self.vocabulary.size]),
                writing.states,
                writing.ends,
                writing.recent,
                ids,
            ),
            maximum_iterations=PIECE,
        )
        return ids, Writing(count + PIECE, logits, states, ends, recent)

    def choose(self, logits, temperature, draws):
        """Tokens (batch,) by logits (batch, vocabulary); draws in [0, 1), (batch,)."""
        never = tf.one_hot(self.vocabulary.unknown, self.vocabulary.size, -1e9, 0.0)
        logits += never
        drawn = temperature > 0
        divisor = tf.where(drawn, tf.maximum(temperature, 1e-6), 1.0)[:, None]
        log_probs = decoding.filter_top_k_top_p(logits, divisor, self.top_k, self.top_p)
        likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return tf.where(drawn, decoding.categorical(log_probs, draws), likeliest)

    def step(self, tokens, states, reset=None):
        """One token per row: logits float32 (batch, vocabulary), states."""
        reset = tf.zeros_like(tokens, tf.bool) if reset is None else reset
        inputs = {"tokens": tokens[:, None], "reset": reset[:, None], **states}
        outputs = self.model(inputs, training=False)
        states = {
            name: tf.ensure_shape(outputs[name], states[name].shape)
            for name in self.names
        }
        return tf.cast(outputs["logits"][:, 0], tf.float32), states

    def write(self, ids, lengths, temperature, length, seed):
        """Tokens behind prompts: ids int32 (batch, time), lengths int32 (batch,).

        Args, each (batch,) but for `ids`:
            ids, lengths: as in `read`.
            temperature: float32; logits are divided by it. 0, less or no number: the
                likeliest token is taken.
            length: int32, tokens to write, 0 to LONGEST; what is outside is taken as
                the nearest of the two.
            seed: int32, of the draws: a row's depend on its own seed only.
        """
        writing = self.begin(ids, lengths, length)
        pieces = (tf.reduce_max(writing.ends) + PIECE - 1) // PIECE
        pieces = tf.maximum(pieces, 1)  # so that there is one, of nothing if need be
        shape = [ids.shape[0], PIECE]
        written = tf.TensorArray(tf.int32, pieces, element_shape=shape)

        def body(i, writing, written):
            piece, writing = self._write_piece(writing, temperature, seed)
            return i + 1, writing, written.write(i, piece)

        _, writing, written = tf.while_loop(
            lambda i, writing, _: (
                (i == 0) | tf.reduce_any(writing.count < writing.ends)
            ),
            body,
            (0, writing, written),
            maximum_iterations=pieces,
        )
        tokens = tf.transpose(written.stack(), [1, 0, 2])  # (batch, pieces, PIECE)
        return tf.reshape(tokens, [tf.shape(ids)[0], pieces * PIECE]), writing.ends

    def stream(self, ids, lengths, temperature, length, seed):
        """Yields the text of one continuation in parts; joined, it is that of `write`.

        Args:
            ids, lengths: as in `read`, of one row. temperature, length, seed: numbers.

        What might become the stop text is held back until it is clear. The vocabulary's
        text of some tokens must begin with its text of the first of them.
        """
        temperature = tf.constant([temperature], tf.float32)
        seed = tf.constant([seed], tf.int32)
        writing = self._stream_begin(ids, lengths, tf.constant([length]))
        written, shown = tf.zeros([1, 0], tf.int32), ""
        while writing.count < writing.ends[0]:
            more, writing = self._stream_piece(writing, temperature, seed)
            written = tf.concat([written, more], axis=1)
            end, count = int(writing.ends[0]), int(writing.count)
            sure = end if count >= end else count - max(len(self.stop) - 1, 0)
            (text,) = self.vocabulary.decode(written, tf.constant([sure])).numpy()
            text = text.decode()
            yield text[len(shown) :]
            shown = text


@functools.lru_cache(maxsize=4)
def sampler(model, vocabulary, top_k, top_p, stop):
    """A `Sampler`; the last ones are kept, because making the graph takes longer than
    writing a page."""
    return Sampler(model, vocabulary, top_k, top_p, stop)
