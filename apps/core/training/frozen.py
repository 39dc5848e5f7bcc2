"""A network at the beginning of a model that training leaves as it is: what it makes of
each different input is computed once, before the first step, and the rest is trained on
that."""

import dataclasses
import functools
import logging
import os

import keras
import tensorflow as tf

from ..data import kept
from ..data.parts import DATA_SERVICE
from . import batches
from .progress import shown

log = logging.getLogger("saccade")

COMPUTED = 32  # inputs at a time


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Where a model may be cut in two for training.

    name: of an input kind and of the model's input that it becomes, unchanged by
        `Task.augment` and `Task.features`.
    network: a keras.Model that makes features of that input alone; no step changes
        it, and it draws nothing at random.
    rest: a keras.Model of the whole's own layers, which takes the features in the
        place of that input.
    """

    name: str
    network: keras.Model
    rest: keras.Model

    def column(self, kind, values):
        """As `Kind.column`, of the features. What occurs in several rows is computed
        and kept once."""
        return kept.each_once(values, lambda different: self._kept(kind, different))

    def _kept(self, kind, values):
        output = self.network.output
        about = len(values), output.shape[1:], output.dtype
        log.info(
            "%s is not trained: what it makes of %d different values of %s is computed "
            "once, %s.",
            self.network.name,
            len(values),
            self.name,
            kept.kept_in(*about),
        )
        return kept.picker(self._chunks(kind, values), *about)

    def _chunks(self, kind, values):
        for first in shown(range(0, len(values), COMPUTED), self.network.name):
            some = values[first : first + COMPUTED]
            inputs = kind.column(some)(tf.range(len(some), dtype=tf.int64))
            yield self._run(tf.cast(inputs, self.network.input.dtype))

    @functools.cached_property
    def _run(self):
        inputs = self.network.input
        return tf.function(
            lambda inputs: self.network(inputs, training=False),
            input_signature=[tf.TensorSpec(inputs.shape, inputs.dtype)],
        )


def split(task, model):
    """What a training fits, and on what.

    Returns:
        the keras.Model that `fit` trains, `model` or one that shares its weights; and
        a function of examples -> as `Task.batches`.
    """
    frozen = None
    if not os.environ.get(DATA_SERVICE):  # which has no network
        frozen = task.frozen(model)
    if frozen is None:
        return task.trainer(model), task.batches
    make = functools.partial(batches.of_examples, task, frozen=frozen)
    return task.trainer(frozen.rest), make
