"""Batches of examples for `fit`: a pure function of (seed, step).

What the input kinds decode is worked out once and looked up; `Task.features` runs per
batch, in tf.data. Texts of all lengths come in batches of similar ones, padded to one
of a few widths, because a graph is optimised, and under XLA compiled, per shape.
"""

import numpy as np
import tensorflow as tf

from ..data.order import index_batches, length_batches
from ..data.parts import WHOLE

# Widths of an open axis: few shapes, and little padding.
WIDTHS = [w for k in range(1, 13) for w in (2 * 2**k, 3 * 2**k)]  # 4, 6, 8, 12, 16 ...
QUANTILES = (0.5, 0.8, 0.95, 1.0)  # of the lengths, for XLA
MEASURED = 512  # rows at a time


def of_examples(task, examples, frozen=None):
    """See `Task.batches`. frozen: a `Frozen`, whose features stand in the place of its
    input; or None."""
    config, kinds = task.config, task.row_kinds()
    columns = {
        name: frozen.column(kind, examples[name])
        if frozen and name == frozen.name
        else kind.column(examples[name])
        for name, kind in kinds.items()
    }
    pairs = task.targets(examples)
    inputs = {name: dense(column) for name, column in pairs.inputs.items()}
    targets = {name: dense(column) for name, column in pairs.targets.items()}
    weights = {name: dense(column, "float32") for name, column in pairs.weights.items()}
    own_lengths = lengths_of_pairs(pairs)
    owner = tf.constant(pairs.owner, tf.int64)
    lengths = measure(task, columns, len(examples))
    widths = []
    if lengths is not None:
        widths = widths_for(lengths, config.jit)
        lengths = tf.gather(lengths, owner)
    own_widths = []
    if own_lengths is not None:
        own_widths = widths_for(own_lengths, config.jit, rounded=False)
        # First by the pairs' own, of which every step costs most.
        lengths = 0 if lengths is None else lengths
        lengths += own_lengths * (1 + tf.reduce_max(lengths))

    def batches(first_step, part=WHOLE):
        def make(step, indices):
            indices = indices[part.of(config.batch_size)]
            # Every part is changed in its own way.
            draw = step * part.count + part.index
            seed = tf.stack([config.seed, tf.cast(draw, tf.int32)])
            rows = tf.gather(owner, indices)
            values = {name: look_up(rows) for name, look_up in columns.items()}
            features = task.row_features(task.augment(values, seed))
            if widths:
                features = padded(features, widths)
            given = gathered(inputs, indices)
            outputs = gathered(targets, indices), gathered(weights, indices)
            if own_widths:
                longest = tf.reduce_max(tf.gather(own_lengths, indices))
                width = width_of(longest, own_widths)
                given, *outputs = [
                    {name: aligned(column, width) for name, column in columns.items()}
                    for columns in (given, *outputs)
                ]
            if widths and pairs.aligned:
                width = tf.reduce_max([steps_of(t) for t in open_of(features)])
                outputs = [
                    {name: aligned(column, width) for name, column in columns.items()}
                    for columns in outputs
                ]
            return features | given, *outputs

        if lengths is None:
            stream = index_batches(
                len(owner), config.batch_size, config.seed, first_step
            )
        else:
            stream = length_batches(lengths, config.batch_size, config.seed, first_step)
        return stream.map(make, num_parallel_calls=2, deterministic=True).prefetch(2)

    return batches


def dense(column, dtype=None):
    """An array, of lists of different lengths one that is padded with zeros."""
    if isinstance(column, np.ndarray):
        return tf.constant(column, dtype)
    longest = max((len(row) for row in column), default=0)
    filled = np.array([list(row) + [0] * (longest - len(row)) for row in column])
    if dtype is None and filled.dtype.kind == "i":
        dtype = "int32"  # as ids are everywhere
    return tf.constant(filled, dtype)


def lengths_of_pairs(pairs):
    """Steps of each pair, int32 (pairs,), where all its columns are lists of lists that
    are as long as each other; else None."""
    columns = [
        *pairs.inputs.values(),
        *pairs.targets.values(),
        *pairs.weights.values(),
    ]
    if pairs.aligned or any(isinstance(column, np.ndarray) for column in columns):
        return None
    lengths = {tuple(map(len, column)) for column in columns}
    return tf.constant(*lengths, tf.int32) if len(lengths) == 1 else None


def gathered(columns, indices):
    return {name: tf.gather(column, indices) for name, column in columns.items()}


# Open axes


def is_open(tensor):
    """Whether an input holds sequences of any length: (batch, None), or of several ids
    a step, (batch, None, n)."""
    return tensor.shape.rank in (2, 3) and tensor.shape[1] is None


def open_of(features):
    return [tensor for tensor in features.values() if is_open(tensor)]


def steps_of(tensor):
    return tf.shape(tensor)[1]


def measure(task, columns, count):
    """The length of every row's longest open input, int32 (count,); None where no
    input has an open axis."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)
    def longest(indices):
        values = {name: look_up(indices) for name, look_up in columns.items()}
        open_inputs = open_of(task.row_features(values))
        if not open_inputs:
            return tf.zeros([0], tf.int32)
        return tf.reduce_max([lengths_of(tensor) for tensor in open_inputs], axis=0)

    if longest.get_concrete_function().structured_outputs.shape[0] == 0:
        return None
    parts = [
        longest(tf.range(first, min(first + MEASURED, count), dtype=tf.int64))
        for first in range(0, count, MEASURED)
    ]
    return tf.concat(parts, axis=0)


def lengths_of(ids):
    """Places up to the last that is not padding, int32 (batch,); ids (batch, time), or
    (batch, time, n)."""
    real = ids != 0 if ids.shape.rank == 2 else tf.reduce_any(ids != 0, axis=-1)
    places = tf.range(1, steps_of(ids) + 1)
    return tf.reduce_max(tf.where(real, places, 0), axis=1)


def widths_for(lengths, few, rounded=True):
    """The widths that open axes are padded to: list of int, growing.

    Args:
        lengths: int (rows,). few: at most four of them, for XLA. rounded: else, whether
            some of `WIDTHS` are enough, or every width may be.
    """
    longest = int(tf.reduce_max(lengths))
    if not (few or rounded):
        return list(range(1, max(longest, 1) + 1))
    if not few:
        return [w for w in WIDTHS if w < longest] + [max(longest, 1)]
    return sorted(
        {max(1, int(np.quantile(lengths, q, method="inverted_cdf"))) for q in QUANTILES}
    )


def padded(features, widths):
    """Open inputs at the least of the widths that holds all of them; what is longer
    than the greatest is as wide as the next multiple of it."""
    open_names = [name for name, tensor in features.items() if is_open(tensor)]
    if not open_names:
        return features
    needed = tf.reduce_max([tf.reduce_max(lengths_of(features[n])) for n in open_names])
    width = width_of(needed, widths)
    return features | {name: fitted(features[name], width) for name in open_names}


def width_of(length, widths):
    greatest = widths[-1]
    place = tf.searchsorted(widths, [length])[0]
    longer = (length + greatest - 1) // greatest * greatest
    return tf.where(length > greatest, longer, tf.gather([*widths, greatest], place))


def aligned(column, width):
    """A column of steps as wide as the inputs; one of whole rows as it is."""
    return fitted(column, width) if column.shape.rank > 1 else column


def fitted(ids, width):
    """Ids (batch, time) or (batch, time, n) with `width` steps; what is cut off is
    padding."""
    ids = ids[:, :width]
    rest = [[0, 0]] * (ids.shape.rank - 2)
    return tf.pad(ids, [[0, 0], [0, width - steps_of(ids)], *rest])
