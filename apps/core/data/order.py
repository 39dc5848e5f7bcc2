"""The order of examples, a pure function of (seed, step)."""

import tensorflow as tf


def index_batches(count, batch_size, seed, first_step=0):
    """An endless stream of batches of indices: every example once per pass.

    Pass k is a permutation drawn from (seed, k) alone, and a batch may span two
    passes, so training can stop and go on at any step and see the same order.

    Args:
        count: number of examples; batch_size: indices per batch.
        first_step: number of batches to leave out at the beginning.

    Returns:
        `tf.data.Dataset` of (step int64 scalar, indices int64 (batch_size,)).
    """
    if count < 1:
        raise ValueError(
            f"Expected at least one example to train on, received {count}."
        )
    position = first_step * batch_size
    first_pass, inside = divmod(position, count)

    def permutation(k):
        draws = tf.random.stateless_uniform([count], tf.stack([seed, k]))
        return tf.data.Dataset.from_tensor_slices(tf.argsort(draws))

    passes = tf.data.Dataset.range(first_pass, tf.int64.max).map(
        lambda k: tf.cast(k, tf.int32)
    )
    indices = passes.flat_map(permutation).map(lambda i: tf.cast(i, tf.int64))
    batches = indices.skip(inside).batch(batch_size, drop_remainder=True)
    return batches.enumerate(first_step)


WINDOW = 32  # batches that are put in order by their lengths


def length_batches(lengths, batch_size, seed, first_step=0):
    """As `index_batches`, of rows of similar lengths.

    The stream of `index_batches` is cut into windows of WINDOW batches. Inside of a
    window the rows are sorted by length, cut into batches, and the batches shuffled,
    by a draw from (seed, window) alone.

    Args:
        lengths: int (rows,).
    """
    window, inside = divmod(first_step, WINDOW)
    rows = WINDOW * batch_size

    def sort(window, indices):
        order = tf.argsort(tf.gather(lengths, indices), stable=True)
        batches = tf.reshape(tf.gather(indices, order), [WINDOW, batch_size])
        draws = tf.random.stateless_uniform(
            [WINDOW], tf.stack([seed, tf.cast(window, tf.int32)])
        )
        return tf.gather(batches, tf.argsort(draws))

    windows = index_batches(len(lengths), rows, seed, window).map(sort)
    return windows.unbatch().skip(inside).enumerate(first_step)
