"""Losses that mean the same on one device and on several."""

import tensorflow as tf


class GlobalMean:
    """For a keras.losses.Loss of reduction "mean_with_sample_weight", as first base:
    the mean over the global batch, of which each replica sees its part.

    Replicas hold unequal numbers of tokens that count. Keras adds their means up with
    equal weights; multiplied by its replica's share of all tokens, each counts right.
    """

    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = super().__call__(y_true, y_pred, sample_weight)
        context = tf.distribute.get_replica_context()
        if not context or context.num_replicas_in_sync == 1:
            return loss
        here = tf.reduce_sum(tf.cast(sample_weight, "float32"))
        everywhere = context.all_reduce("SUM", here)
        share = tf.math.divide_no_nan(here, everywhere)
        return loss * tf.cast(share * context.num_replicas_in_sync, loss.dtype)
