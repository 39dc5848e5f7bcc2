"""Many questions to a network in one request, a piece after the other."""

import tensorflow as tf


def in_pieces(function, count, at_once, shape):
    """In the graph: what a function of indices gives for 0 ... count - 1, so many at
    once, so that memory does not grow with their number.

    Args:
        function: indices int32 (n,) -> float32 (n, *shape). The last piece is filled
            with the last index, whose further results are dropped.
        count, at_once: int, or tensors. shape: list of int.

    Returns:
        float32 (count, *shape).
    """
    count = tf.cast(count, tf.int32)
    size = tf.maximum(tf.minimum(count, at_once), 1)
    pieces = (count + size - 1) // size

    def piece(i):
        return function(tf.minimum(i * size + tf.range(size), count - 1))

    def found():
        spec = tf.TensorSpec([None, *shape], tf.float32)
        several = tf.map_fn(
            piece, tf.range(pieces), fn_output_signature=spec, parallel_iterations=1
        )
        return tf.reshape(several, [-1, *shape])[:count]

    # Of no piece at all map_fn cannot tell how many indices it would have had.
    return tf.cond(count > 0, found, lambda: tf.zeros([0, *shape]))
