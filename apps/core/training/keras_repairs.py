"""Repairs of Keras 3.15's `fit` under tf.distribute: keras#20585 and a clipping fault.

`MultiWorkerMirroredStrategy` fails in `fit` for two reasons, and a third fault makes
every strategy of several replicas train other weights than one device would:

1. Before the first step `fit` draws a batch to learn its shapes. It takes the mean of
   the replicas' parts for that, which asks all workers for values that only one has.
   One replica's part has the same shapes.
2. The metrics of a step, one number from every replica, are averaged along an axis of
   length batch, which a number does not have.
3. Gradients are clipped in every replica, before they are summed. Only the sum is the
   gradient of the global batch, so it is what must be clipped.

This file replaces the four functions of Keras in question, and is the only one that
imports `keras.src`. With one replica they do what they did. When Keras repairs itself,
this file and the call of `repair` can go.
"""

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import optimizer as keras_optimizer
from keras.src.backend.tensorflow import trainer as keras_trainer

from ..errors import UserError

WRITTEN_FOR = "3.15."

_Trainer = keras_trainer.TensorFlowTrainer
_Optimizer = keras_optimizer.TFOptimizer
_reduce = keras_trainer.reduce_per_replica
_clip = _Optimizer._clip_gradients
_sum = _Optimizer._all_reduce_sum_gradients


def repair():
    """Put the repaired functions in Keras' places; once or often, it is the same.

    Raises:
        UserError: another Keras than the one that was read for this.
    """
    if not keras.__version__.startswith(WRITTEN_FOR):
        raise UserError(
            "Training on several devices repairs functions inside Keras, and knows "
            f"those of Keras {WRITTEN_FOR}*; received Keras {keras.__version__}. "
            f'Install it (pip install "keras=={WRITTEN_FOR}*"), or train on one device '
            "with --strategy none."
        )
    _Trainer._maybe_symbolic_build = build_from_one_part
    keras_trainer.reduce_per_replica = reduce_numbers
    _Optimizer._clip_gradients = clip_nothing_yet
    _Optimizer._all_reduce_sum_gradients = sum_and_clip


def build_from_one_part(trainer, iterator=None, data_batch=None):
    """Repair 1: build the model from one replica's part of a batch."""
    if trainer._distribute_strategy is None:  # As Keras does: built when traced.
        return
    strategy = trainer.distribute_strategy
    if iterator is not None:
        for _, _, batches in iterator:
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0],
                next(batches),
            )
            break
    with strategy.scope():
        trainer._symbolic_build(data_batch=data_batch)


def reduce_numbers(values, strategy, reduction):
    """Repair 2: the mean over all replicas of all workers, axis or not."""
    if reduction != "auto" or not _several_workers(strategy):
        return _reduce(values, strategy, reduction)
    return keras.tree.map_structure(
        lambda value: strategy.reduce("MEAN", value, axis=None), values
    )


def clip_nothing_yet(optimizer, gradients):
    """Repair 3: a replica's own gradients stay as they are ..."""
    return gradients if _several_replicas() else _clip(optimizer, gradients)


def sum_and_clip(optimizer, gradients_and_variables):
    """... and their sum is clipped."""
    summed = _sum(optimizer, gradients_and_variables)
    if not _several_replicas():
        return summed
    gradients, variables = zip(*summed, strict=True)
    return list(zip(_clip(optimizer, gradients), variables, strict=True))


def _several_replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def _several_workers(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
