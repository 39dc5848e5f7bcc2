"""Truncated backpropagation through time: long texts as parallel streams of windows.

A text of n tokens is cut into `rows` streams that lie side by side. Training reads a
window of each at a time and carries the state from one window into the next, so the
network remembers further back than it learns (Williams & Peng 1990). The state is
carried as numbers, through which no gradient flows, and put back where a document
begins.
"""

import os
import tempfile

import keras
import numpy as np
import rich.filesize
import tensorflow as tf

from ...data.parts import DATA_SERVICE, WHOLE
from ...data.places import spec_text
from ...errors import UserError
from ...files.scratch import Scratch
from ...training.replicas import own_variable

# Tokens of a text in memory at most; beyond, they lie in a file.
IN_MEMORY = 2**24
BATCH = 2**20  # characters of which the ids are found at a time


class Documents:
    """Texts as they are read, before there is a vocabulary: the examples of a language
    model, which need not lie in memory.

    Args:
        pieces: function without arguments -> iterator of (whether a document begins
            with it, a piece of it, str).
        length: how much text it is, in the unit that people count it in.
    """

    def __init__(self, pieces, length):
        self._pieces, self._length = pieces, length
        self._vocabulary = self._text = None

    def __iter__(self):
        return self._pieces()

    def __len__(self):
        return self._length

    def text(self, vocabulary):
        """The `Text` in ids of a vocabulary, its `start` before every document and its
        `end` behind every piece; that of the last vocabulary is kept."""
        if self._vocabulary is not vocabulary:
            pieces = self._ids(vocabulary)
            self._text = Text.from_pieces(pieces, vocabulary.size + 1)
            self._vocabulary = vocabulary
        return self._text

    def _ids(self, vocabulary):
        """Yields (whether a document begins with it, int32 array)."""
        nothing = np.zeros(0, np.int32)
        start, end = (
            nothing if token is None else np.array([token], np.int32)
            for token in (vocabulary.start, vocabulary.end)
        )
        for some in _batches(self):
            begins, pieces = zip(*some, strict=True)
            ids = vocabulary.ids(list(pieces))
            for first, piece in zip(begins, ids, strict=True):
                yield first, np.concatenate([start if first else nothing, piece, end])


def _batches(pieces):
    """Lists of (begins, piece), each of about BATCH characters or of one piece."""
    some, length = [], 0
    for begins, piece in pieces:
        some.append((begins, piece))
        length += len(piece)
        if length >= BATCH:
            yield some
            some, length = [], 0
    if some:
        yield some


class Text:
    """Documents one after the other, as ids.

    A text of more than IN_MEMORY tokens lies in a `Scratch` file: memory stays as it
    is, however long the text.

    Args:
        documents: iterable of integer arrays.
        vocabulary_size: number of different ids, which says how many bytes each takes.
    """

    def __init__(self, documents, vocabulary_size=2**31):
        self._fill(((True, d) for d in documents), vocabulary_size)

    @classmethod
    def from_pieces(cls, pieces, vocabulary_size=2**31):
        """Of (whether a document begins with it, integer array), one after another."""
        text = cls.__new__(cls)
        text._fill(pieces, vocabulary_size)
        return text

    def _fill(self, pieces, vocabulary_size):
        self._type = np.min_scalar_type(vocabulary_size - 1)
        self._file = None
        self._length, starts, kept = 0, [], []
        for begins, ids in pieces:
            if not len(ids):
                continue
            if begins:
                starts.append(self._length)
            self._length += len(ids)
            kept.append(np.asarray(ids, self._type))
            if self._length > IN_MEMORY:
                self._file = self._file or Scratch()
                for piece in kept:
                    self._file.append(piece)
                kept.clear()
        self._kept = np.concatenate([np.zeros(0, self._type), *kept])
        self.starts = np.array(starts, np.int64)  # places where documents begin

    def __len__(self):
        return self._length

    @property
    def nbytes(self):
        """Bytes that the ids take, in memory or in the file."""
        return len(self) * self._type.itemsize

    @property
    def in_memory(self):
        return self._file is None

    def cut(self, firsts, count):
        """Tokens from some places on; behind its end the text begins again.

        Args:
            firsts: int (rows,), places. count: number of tokens.

        Returns:
            tokens int32 (rows, count); bool (rows, count), where a document begins.
        """
        places = (np.asarray(firsts)[:, None] + np.arange(count)) % len(self)
        if not self.in_memory:
            tokens = np.stack([self._read(row[0], count) for row in places])
        else:
            tokens = self._kept[places]
        nearest = np.searchsorted(self.starts, places).clip(max=len(self.starts) - 1)
        return tokens.astype(np.int32), self.starts[nearest] == places

    def _read(self, first, count):
        """As `cut`, one row of the file."""
        size = self._type.itemsize
        content = self._file.read(first * size, count * size)
        ids = np.frombuffer(content, self._type)
        if len(ids) == count:
            return ids
        return np.concatenate([ids, self._read(0, count - len(ids))])

    @property
    def ids(self):
        """All tokens, int32 (n,), in memory."""
        if not self.in_memory:
            return self._read(0, len(self)).astype(np.int32)
        return self._kept.astype(np.int32)

    @property
    def begins(self):
        """Where documents begin, bool (n,)."""
        begins = np.zeros(len(self), bool)
        begins[self.starts] = True
        return begins

    def pieces(self, size=2**22):
        """(whether a document begins with it, int32 array of at most `size`), in order;
        `from_pieces` makes a text of them."""
        for first, behind in zip(
            self.starts, [*self.starts[1:], len(self)], strict=True
        ):
            for place in range(first, behind, size):
                tokens, _ = self.cut([place], min(size, behind - place))
                yield place == first, tokens[0]


def train_windows(text, rows, window, seed, first_step=0, part=WHOLE):
    """An endless stream of windows for `Carrier` and `fit`.

    Step s is a pure function of (text, rows, window, seed, s). A pass goes through the
    text once; where the streams of pass k begin is drawn from (seed, k), so that the
    windows' edges do not fall on the same places every time.

    Args:
        text: Text. rows: streams side by side. window: tokens per step and row.
        first_step: number of windows to leave out at the beginning.
        part: `data.parts.Part`, which of the streams to read.

    Returns:
        `tf.data.Dataset` of ({"tokens" int32, "reset" bool}, targets int32, weights
        float32), each (rows of the part, window). The weight is 0 where the target
        would be the first token of a document, which nothing before it predicts; the
        target there is 0.
    """
    length = len(text) // rows  # of a stream
    windows = (length - 1) // window  # per pass
    if windows < 1:
        raise UserError(
            f"Expected at least {rows * (window + 1)} tokens for {rows} streams of "
            f"windows of {window}, received {len(text)}. Lower --batch-size or "
            "--window, or give it a longer text."
        )
    starts = tf.range(rows, dtype=tf.int64)[part.of(rows)] * length
    cut_windows = reader(text, window + 1)

    def cut(step):
        k, w = step // windows, step % windows
        shift = tf.random.stateless_uniform(
            [], tf.stack([seed, tf.cast(k, tf.int32)]), 0, len(text), tf.int64
        )
        tokens, new = cut_windows(starts + shift + w * window)
        stream_begins = (w == 0) & (tf.range(window) == 0)
        inputs = {"tokens": tokens[:, :-1], "reset": new[:, :-1] | stream_begins}
        targets = tf.where(new[:, 1:], 0, tokens[:, 1:])
        return inputs, targets, tf.cast(~new[:, 1:], tf.float32)

    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    return steps.map(cut, num_parallel_calls=2, deterministic=True).prefetch(4)


def batch_facts(config, text):
    """What a training step reads of a `Text`, and where that is kept, for people.

    Raises:
        UserError: the text is too short for `config`.
    """
    windows = train_windows(text, config.batch_size, config.window, config.seed)
    place = "memory" if text.in_memory else f"a file of {tempfile.gettempdir()}"
    inputs, targets, weights = windows.element_spec
    return {
        "one batch": spec_text({**inputs, "targets": targets, "weights": weights}),
        "while training": f"ids, {rich.filesize.decimal(text.nbytes)} in {place}",
    }


def reader(text, count):
    """`Text.cut` of `count` tokens as a function for `tf.data`."""
    if text.in_memory:  # A graph, which a tf.data service can take to another machine.
        ids, begins = tf.constant(text.ids), tf.constant(text.begins)

        def gather(firsts):
            places = (firsts[:, None] + tf.range(count, dtype=tf.int64)) % len(text)
            return tf.gather(ids, places), tf.gather(begins, places)

        return gather

    if os.environ.get(DATA_SERVICE):
        raise UserError(
            f"A tf.data service cannot take a text of more than {IN_MEMORY:,} tokens, "
            f"received {len(text):,}. Train without {DATA_SERVICE}: cutting a text "
            "into windows costs next to nothing."
        )

    def read(firsts):
        tokens, begins = tf.numpy_function(
            lambda firsts: text.cut(firsts, count), [firsts], [tf.int32, tf.bool]
        )
        shape = [firsts.shape[0], count]
        return tf.ensure_shape(tokens, shape), tf.ensure_shape(begins, shape)

    return read


class Carrier(keras.Model):
    """A model with explicit state, fed windows in order; it holds the state between.

    Args:
        model: keras.Model of {"tokens", "reset", a tensor per state} -> {"logits", the
            states by the same names}.
        rows: streams side by side, of one replica.

    The state stands in non-trainable variables, so that a checkpoint of the carrier's
    variables holds it. Every replica has its own, those of the streams it reads.
    """

    def __init__(self, model, rows, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.carried = {
            name: own_variable((rows, model.input[name].shape[-1]), name)
            for name in state_names(model)
        }
        self.built = True

    def call(self, inputs, training=False):
        states = {name: state.value for name, state in self.carried.items()}
        outputs = self.model({**inputs, **states}, training=training)
        for name, state in self.carried.items():
            state.assign(outputs[name])
        return outputs["logits"]


def state_names(model):
    """The names of a model's states, in the order of its inputs."""
    return [name for name in model.input if name not in ("tokens", "reset")]


def loss_meter(model, rows=32, window=100, warm_up=200):
    """A function that measures the loss of `model` on a text, its state carried.

    The text is read in `rows` streams at once. All but the first begin `warm_up` tokens
    early, which count for nothing: so every token is predicted with a state behind it,
    as if the text were read through from its beginning.

    Args:
        model: as in `Carrier`; measured as it is when the function is called.

    Returns:
        function of a Text and of how many tokens of it to read (None: all) -> float,
        nats per token: the mean cross-entropy of all tokens but the first of each
        document.
    """
    names = state_names(model)

    @tf.function(jit_compile=True)
    def run(tokens, reset, targets, weights, states):
        given = dict(zip(names, states, strict=True))
        outputs = model({"tokens": tokens, "reset": reset, **given}, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            targets, tf.cast(outputs["logits"], tf.float32)
        )
        return tf.reduce_sum(losses * weights), [outputs[name] for name in names]

    def measure(text, most=None):
        tokens = len(text) if most is None else min(most, len(text))
        if tokens == np.searchsorted(text.starts, tokens):
            raise UserError(
                f"A loss needs a document of at least 2 tokens; received {len(text)} "
                f"tokens in {len(text.starts)} documents."
            )
        streams = max(1, min(rows, tokens // max(1, 2 * warm_up)))
        length = -(-(tokens - 1) // streams)
        firsts = np.arange(streams) * length
        leads = np.where(firsts > 0, warm_up, 0)
        states = [tf.zeros([streams, model.input[n].shape[-1]]) for n in names]
        total = count = 0.0
        for step in range(-(-(length + leads.max()) // window)):
            begin = firsts - leads + step * window
            ids, begins = text.cut(begin, window + 1)
            offsets = step * window + np.arange(window)  # in the stream
            counted = (offsets >= leads[:, None]) & (offsets < leads[:, None] + length)
            counted &= begin[:, None] + np.arange(window) + 1 < tokens
            counted &= ~begins[:, 1:]
            loss, states = run(
                tf.constant(ids[:, :-1]),
                tf.constant(begins[:, :-1] | (offsets == 0)),
                tf.constant(np.where(counted, ids[:, 1:], 0)),
                tf.constant(counted, tf.float32),
                states,
            )
            total += float(loss)
            count += counted.sum()
        return float(total / count)

    return measure
