"""The glimpse model: looks at a picture, and a belief after each of them."""

import keras
from keras import layers, ops

from ...layers import ElmanCell, GlimpseCell, GlimpseRNN, GlimpseSensor
from ...layers.reinforce import policy_loss
from ..core.tasks.recurrent import cell


@keras.saving.register_keras_serializable(package="saccade")
class Looker(keras.Model):
    """A functional glimpse model and its hybrid loss (Mnih et al. 2014, section 3.1):

        cross-entropy + (R - b)² + reinforce (penalty z² - log p(places) (R - b))

    with the reward R of a picture and the baselines b and pre-means z of its looks; the
    second is a mean and the third a sum over the looks. The settings of all this are
    `settings`, a `Config`, which `task.Glimpse.trainer` sets.
    """

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        settings = getattr(self, "settings", None)
        if settings is None or not training:
            return loss
        rewards = reward_of(settings.reward, y["logits"], y_pred["logits"])
        baselines = y_pred["baselines"]  # (batch, looks)
        of_policy = policy_loss(y_pred["log_probs"], rewards, baselines)
        of_edge = settings.penalty * ops.sum(y_pred["pre_means"] ** 2, axis=-1)
        return (
            loss
            + ops.mean((rewards - baselines) ** 2)
            + settings.reinforce * ops.mean(ops.sum(of_policy + of_edge, axis=-1))
        )


WORST = -3.0  # nats; below, one picture would outweigh all others


def reward_of(kind, targets, logits):
    """What the looks at a picture were worth, by what it believes after the last.

    Args:
        kind: "right" or "likelihood", see `Config.reward`.
        targets: int (batch, looks). logits: (batch, looks, classes).

    Returns:
        float32 (batch, 1), without a gradient.
    """
    target, last = targets[:, -1:], ops.stop_gradient(logits[:, -1])
    if kind == "right":
        believed = ops.argmax(last, axis=-1, keepdims=True)
        return ops.cast(
            ops.equal(believed, ops.cast(target, believed.dtype)), "float32"
        )
    log_probs = ops.log_softmax(ops.cast(last, "float32"))
    of_target = ops.take_along_axis(log_probs, ops.cast(target, "int32"), axis=-1)
    return ops.maximum(of_target, WORST)


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with `labels`.

    Input: `image` float32 (batch, size, size, 1), from 0, paper, to 1, ink.
    Outputs: `logits` (batch, looks, classes), raw scores of the labels after each look;
    `log_probs` and `baselines`, float32 (batch, looks), and `pre_means`, float32
    (batch, looks, 2), see `GlimpseRNN`.
    """
    size = config.image_size
    image = keras.Input((size, size, 1), name="image")
    looks = glimpses(config, config.glimpses)(image)
    head = layers.Dense(len(assets.labels), name="logits")
    outputs = {
        "logits": head(looks["outputs"]),  # (batch, looks, classes)
        "log_probs": looks["log_probs"],  # (batch, looks)
        "pre_means": looks["pre_means"],  # (batch, looks, 2)
        "baselines": looks["baselines"],  # (batch, looks)
    }
    return Looker({"image": image}, outputs, name="glimpse")


def glimpses(config, count):
    """So many looks: the layer `glimpses`."""
    if config.cell == "elman":
        inner = ElmanCell(config.units, activation="relu")  # as the paper has it
    else:
        inner = cell(config.cell, config.units)
    sensor = GlimpseSensor(config.patch, config.scales, differentiable=False)
    looking = GlimpseCell(
        inner, sensor, config.hidden, config.glimpse, config.std, config.policy
    )
    return GlimpseRNN(looking, count, seed=config.seed, name="glimpses")
