"""REINFORCE: how what is drawn at random is trained, regions and locations alike."""

import keras
from keras import ops


def policy_loss(log_probs, rewards, baselines=0.0):
    """The loss whose gradient is that of REINFORCE (Williams 1992):

        loss = - (reward - baseline) log p(draw)

    Its mean over the draws has the gradient of - E[reward]. A baseline that does not
    depend on the draw leaves that mean as it is and makes it less noisy. Neither
    reward nor baseline receives a gradient.

    Args:
        log_probs: log p of what was drawn, any shape. What was drawn must be behind a
            `stop_gradient`, or the gradient passes through the draw as well.
        rewards, baselines: of a shape that broadcasts to it.

    Returns:
        of the shape of `log_probs`.
    """
    return -ops.stop_gradient(rewards - baselines) * log_probs


def gaussian_log_prob(sample, mean, std):
    """log p(sample) under a normal distribution with the same std along every axis.

    Args:
        sample: (..., n); no gradient passes. mean: (..., n). std: float.

    Returns:
        (...), in float32 at least.
    """
    wide = keras.backend.result_type(mean.dtype, "float32")
    sample, mean = ops.cast(ops.stop_gradient(sample), wide), ops.cast(mean, wide)
    constant = ops.log(ops.cast(std * (2 * 3.141592653589793) ** 0.5, wide))
    return ops.sum(-0.5 * ((sample - mean) / std) ** 2 - constant, axis=-1)


@keras.saving.register_keras_serializable(package="saccade")
class Reinforce(keras.layers.Layer):
    """The loss that trains hard attention (Xu et al. 2015, equations 9 to 13).

    The gradient of the log-likelihood through a drawn region is estimated by
    REINFORCE (Williams 1992): draws that made the sentence likelier than usual
    become likelier themselves. "Usual" is a moving mean of the log-likelihood, and
    an entropy bonus keeps the distribution from closing too early:

        loss = - scale (log p(y | draws) - baseline) log p(draws) - entropy H

    It is added to the ordinary loss - log p(y | draws), which trains everything else.

    Args:
        scale: weight of the REINFORCE term.
        entropy: weight of the entropy bonus.
        momentum: of the moving baseline.

    Call arguments:
        log_likelihood: (batch,), log p(y | draws) of each row, in nats.
        weights: (batch, T, L), the distributions.
        chosen: (batch, T, L), what was drawn; a row of means counts for nothing.
        mask: bool (batch, T), False where a step is padding.
        training: bool; the baseline moves only where it is True.

    Output:
        the loss of each row, (batch,).
    """

    def __init__(
        self, scale=1.0, entropy=0.01, momentum=0.9, dtype="float32", **kwargs
    ):
        # float32 under any policy: in float16 the 1e-8 of the logarithm is 0.
        super().__init__(dtype=dtype, **kwargs)
        self.scale, self.entropy, self.momentum = scale, entropy, momentum

    def build(self, log_likelihood_shape, weights_shape=None, chosen_shape=None):
        self.baseline = self.add_weight(
            name="baseline", shape=(), initializer="zeros", trainable=False
        )
        self.built = True

    def call(self, log_likelihood, weights, chosen, mask=None, training=False):
        log_weights = ops.log(weights + 1e-8)
        # For a drawn region this is log p(draw). For a mean its gradient is zero,
        # because the weights always sum to one.
        log_draw = ops.sum(ops.stop_gradient(chosen) * log_weights, axis=-1)
        entropy = -ops.sum(weights * log_weights, axis=-1)  # (batch, T)
        if mask is not None:
            mask = ops.cast(mask, log_draw.dtype)
            log_draw, entropy = log_draw * mask, entropy * mask
        log_draw = ops.sum(log_draw, axis=-1)
        loss = self.scale * policy_loss(log_draw, log_likelihood, self.baseline)
        if training:
            mean = ops.mean(ops.stop_gradient(log_likelihood))
            self.baseline.assign(
                self.momentum * self.baseline + (1 - self.momentum) * mean
            )
        return loss - self.entropy * ops.sum(entropy, axis=-1)

    def compute_output_shape(
        self, log_likelihood_shape, weights_shape=None, chosen_shape=None
    ):
        return log_likelihood_shape

    def compute_mask(self, inputs, previous_mask):
        return None  # One loss for each row; without this, Keras warns of the mask.

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "entropy": self.entropy,
            "momentum": self.momentum,
        }
