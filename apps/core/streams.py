"""Truncated backpropagation through time: long texts as parallel streams of windows.

A text of n tokens is cut into `rows` streams that lie side by side. Training reads a
window of each at a time and carries the state from one window into the next, so the
network remembers further back than it learns (Williams & Peng 1990). The state is
carried as numbers, through which no gradient flows, and put back where a document
begins.
"""

import keras
import numpy as np
import tensorflow as tf

from .config import UserError


class Text:
    """Documents one after the other, as ids.

    Args:
        documents: list of integer arrays, at least two tokens in all.
    """

    def __init__(self, documents):
        documents = [np.asarray(d, np.int32) for d in documents if len(d)]
        self.ids = np.concatenate([np.zeros(0, np.int32), *documents])
        self.begins = np.zeros(len(self.ids), bool)  # where a document begins
        self.begins[np.cumsum([0, *map(len, documents)])[:-1]] = True

    def __len__(self):
        return len(self.ids)


def train_windows(text, rows, window, seed, first_step=0):
    """An endless stream of windows for `Carrier` and `fit`.

    Step s is a pure function of (text, rows, window, seed, s). A pass goes through the
    text once; where the streams of pass k begin is drawn from (seed, k), so that the
    windows' edges do not fall on the same places every time.

    Args:
        text: Text. rows: streams side by side. window: tokens per step and row.
        first_step: number of windows to leave out at the beginning.

    Returns:
        `tf.data.Dataset` of ({"tokens" int32, "reset" bool}, targets int32, weights
        float32), each (rows, window). The weight is 0 where the target is the first
        token of a document, which nothing before it tells.
    """
    length = len(text) // rows  # of a stream
    windows = (length - 1) // window  # per pass
    if windows < 1:
        raise UserError(
            f"Expected at least {rows * (window + 1)} tokens for {rows} streams of "
            f"windows of {window}, received {len(text)}. Lower --batch-size or "
            "--window, or give it a longer text."
        )
    ids, begins = tf.constant(text.ids), tf.constant(text.begins)
    starts = tf.range(rows, dtype=tf.int64)[:, None] * length

    def cut(step):
        k, w = step // windows, step % windows
        shift = tf.random.stateless_uniform(
            [], tf.stack([seed, tf.cast(k, tf.int32)]), 0, len(text), tf.int64
        )
        places = starts + shift + w * window + tf.range(window + 1, dtype=tf.int64)
        places %= len(text)
        tokens, new = tf.gather(ids, places), tf.gather(begins, places)
        stream_begins = (w == 0) & (tf.range(window) == 0)
        inputs = {"tokens": tokens[:, :-1], "reset": new[:, :-1] | stream_begins}
        return inputs, tokens[:, 1:], tf.cast(~new[:, 1:], tf.float32)

    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    return steps.map(cut, num_parallel_calls=2, deterministic=True).prefetch(4)


class Carrier(keras.Model):
    """A model with explicit state, fed windows in order; it holds the state between.

    Args:
        model: keras.Model of {"tokens", "reset", a tensor per state} -> {"logits", the
            states by the same names}.
        rows: streams side by side.

    The state stands in non-trainable variables, so that a checkpoint of the carrier's
    variables holds it.
    """

    def __init__(self, model, rows, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.carried = {
            name: self.add_weight(
                shape=(rows, model.input[name].shape[-1]),
                initializer="zeros",
                trainable=False,
                name=name,
            )
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
    early, which count for nothing: so every token is told with a state behind it, as if
    the text were read through from its beginning.

    Args:
        model: as in `Carrier`; measured as it is when the function is called.

    Returns:
        function of a Text -> float, nats per token: the mean cross-entropy of all
        tokens but the first of each document.
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

    def measure(text):
        if np.count_nonzero(~text.begins) == 0:
            raise UserError(
                f"A loss needs a document of at least 2 tokens; received {len(text)} "
                f"tokens in {text.begins.sum()} documents."
            )
        streams = max(1, min(rows, len(text) // max(1, 2 * warm_up)))
        length = -(-(len(text) - 1) // streams)
        firsts = np.arange(streams)[:, None] * length
        leads = np.where(firsts > 0, warm_up, 0)
        steps = -(-(length + leads.max()) // window)
        offsets = np.arange(steps * window)
        places = firsts - leads + offsets  # (streams, steps * window)
        counted = (offsets >= leads) & (offsets < leads + length)
        counted &= places + 1 < len(text)
        places = np.minimum(places, len(text) - 2)
        counted &= ~text.begins[places + 1]
        reset = text.begins[places] | (offsets == 0)

        states = [tf.zeros([streams, model.input[n].shape[-1]]) for n in names]
        total = 0.0
        for step in range(steps):
            now = slice(step * window, (step + 1) * window)
            loss, states = run(
                tf.constant(text.ids[places[:, now]]),
                tf.constant(reset[:, now]),
                tf.constant(text.ids[places[:, now] + 1]),
                tf.constant(counted[:, now], tf.float32),
                states,
            )
            total += float(loss)
        return total / counted.sum()

    return measure
