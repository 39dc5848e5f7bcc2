"""Losses: averaged over the real tokens of the global batch, on one device or several.

Keras adds the means of several replicas up with equal weights, which is wrong where
they hold unequal numbers of tokens that count.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="saccade")
class Averaged(keras.losses.Loss):
    """Another loss, per element, averaged over the global batch: the sum of weighted
    losses over the sum of weights, both of all replicas.

    Args:
        loss: a keras.losses.Loss, whose `call` gives a loss per element; its own
            reduction does not count.
        over: "token": as above; "sentence": the sum over the elements of a row,
            averaged over the rows of the global batch.
    """

    def __init__(self, loss, over="token", name="averaged", **kwargs):
        super().__init__(name=name, **kwargs)
        self.loss, self.over = loss, over

    def __call__(self, y_true, y_pred, sample_weight=None):
        losses = tf.cast(self.loss.call(y_true, y_pred), tf.float32)
        weights = tf.ones_like(losses)
        if sample_weight is not None:
            weights *= tf.cast(sample_weight, tf.float32)
        count = tf.reduce_sum(weights)
        if self.over == "sentence":
            count = tf.cast(tf.shape(losses)[0], tf.float32)
        context = tf.distribute.get_replica_context()
        if context and context.num_replicas_in_sync > 1:
            count = context.all_reduce("SUM", count)
        # The gradients of replicas are summed, and so is this.
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), count)

    def call(self, y_true, y_pred):
        return self.loss.call(y_true, y_pred)

    def get_config(self):
        loss = keras.saving.serialize_keras_object(self.loss)
        return {**super().get_config(), "loss": loss, "over": self.over}

    @classmethod
    def from_config(cls, config):
        loss = keras.saving.deserialize_keras_object(config.pop("loss"))
        return cls(loss, **config)


@keras.saving.register_keras_serializable(package="saccade")
class TokenLoss(keras.losses.Loss):
    """Cross-entropy of ids (batch, ...) against logits (batch, ..., classes).

    Args:
        smoothing: share of the target spread evenly over the classes; it keeps the
            network from being surer than its data (Szegedy et al. 2016).
    """

    def __init__(self, smoothing=0.0, name="token_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        spread = self.smoothing / classes
        target = tf.one_hot(
            tf.cast(y_true, tf.int32), classes, 1 - self.smoothing + spread, spread
        )
        # One operation forwards and backwards, where log_softmax takes several.
        return tf.nn.softmax_cross_entropy_with_logits(
            target, tf.cast(y_pred, tf.float32)
        )

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}
