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

    with the rewards R, baselines b and pre-means z of the looks at a picture; the
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
        self.narrow(settings)
        rewards = rewards_of(
            settings, y["logits"], y_pred["logits"], sample_weight["logits"]
        )
        baselines = y_pred["baselines"]  # (batch, looks)
        of_policy = policy_loss(y_pred["log_probs"], rewards, baselines)
        of_edge = settings.penalty * ops.sum(y_pred["pre_means"] ** 2, axis=-1)
        return (
            loss
            + ops.mean((rewards - baselines) ** 2)
            + settings.reinforce * ops.mean(ops.sum(of_policy + of_edge, axis=-1))
        )

    def narrow(self, settings):
        """Draw the places of the next step less widely: as the learning rate falls, the
        deviation goes from `std` to `std_last`."""
        share = self.optimizer.learning_rate / settings.learning_rate
        std = settings.std_last + (settings.std - settings.std_last) * share
        self.get_layer("glimpses").std.assign(std)


WORST = -3.0  # nats; below, one picture would outweigh all others


def rewards_of(config, targets, logits, weights):
    """What the place that is chosen after each look was worth: what is believed at the
    end of the looks at the digit for which it was chosen.

    Args:
        config: with `glimpses`, at a digit, and `reward`.
        targets: int (batch, looks). logits: (batch, looks, classes).
        weights: (batch, looks), 0 where there is no digit any more.

    Returns:
        float32 (batch, looks), without a gradient.
    """
    every = config.glimpses
    target = ops.cast(targets[:, every - 1 :: every], "int32")  # (batch, digits)
    last = ops.stop_gradient(logits[:, every - 1 :: every])
    if config.reward == "right":
        worth = ops.equal(ops.cast(ops.argmax(last, axis=-1), "int32"), target)
    else:
        log_probs = ops.log_softmax(ops.cast(last, "float32"))
        worth = ops.take_along_axis(log_probs, target[..., None], axis=-1)[..., 0]
        worth = ops.maximum(worth, WORST)
    counts = ops.cast(weights[:, every - 1 :: every] > 0, "float32")
    worth = ops.repeat(ops.cast(worth, "float32") * counts, every, axis=1)
    # A place that is chosen after a look is where the next one looks.
    return ops.concatenate([worth[:, 1:], worth[:, -1:]], axis=1)


def build_model(config, looks, classes):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        looks: at a picture, and classes: of a belief, ints.

    Input: `image` float32 (batch, size, size, 1), from 0, paper, to 1, ink.
    Outputs: `logits` (batch, looks, classes), raw scores of the labels after each look;
    `log_probs` and `baselines`, float32 (batch, looks), and `pre_means`, float32
    (batch, looks, 2), see `GlimpseRNN`.
    """
    size = config.image_size
    image = keras.Input((size, size, 1), name="image")
    seen = glimpses(config, looks)(image)
    x = layers.Dropout(config.dropout, seed=config.seed)(seen["outputs"])
    logits = layers.Dense(classes, name="logits")(x)
    outputs = {
        "logits": logits,  # (batch, looks, classes)
        "log_probs": seen["log_probs"],  # (batch, looks)
        "pre_means": seen["pre_means"],  # (batch, looks, 2)
        "baselines": seen["baselines"],  # (batch, looks)
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
        inner,
        sensor,
        config.hidden,
        config.glimpse,
        config.std,
        config.policy,
        config.filters,
    )
    return GlimpseRNN(looking, count, seed=config.seed, name="glimpses")
