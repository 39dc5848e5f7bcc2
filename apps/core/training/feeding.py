"""Feeding `fit`: every replica gets its part of each global batch."""

import tensorflow as tf

from ..data.parts import Part, from_data_service
from ..errors import UserError
from .devices import several


def check_rows(rows, strategy):
    """Raises UserError where the replicas cannot have equal parts of a batch."""
    replicas = strategy.num_replicas_in_sync
    if rows % replicas:
        raise UserError(
            f"--batch-size expected a multiple of {replicas}, the number of replicas "
            f"among which it is divided; received {rows}. The nearest are "
            f"{rows // replicas * replicas or replicas} and "
            f"{(rows // replicas + 1) * replicas}."
        )


def feed(strategy, batches, first_step):
    """What `fit` reads: global batches, or every replica its part of them.

    Args:
        batches: function of the first step and, called with several replicas, of a
            `Part` -> endless `tf.data.Dataset` of (inputs, targets, weights). The parts
            side by side must be the whole.

    Where the environment has DATA_SERVICE, tf.data services compute them.
    """
    if not several(strategy):
        return from_data_service(batches(first_step))

    def local(context):
        """The parts of this worker's replicas, in turn; no worker reads the others'."""
        replicas = strategy.num_replicas_in_sync
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here
        parts = [
            from_data_service(batches(first_step, Part(i, replicas)), i)
            for i in range(first, first + here)
        ]
        turns = tf.data.Dataset.range(here).repeat()
        return tf.data.Dataset.choose_from_datasets(parts, turns)

    return strategy.distribute_datasets_from_function(local)
