"""The faces model: a CNN looks once, a recurrent network reads its rows."""

import keras
from keras import layers, ops

from ...layers import Bidirectional
from ..core.tasks.backbones import add_stages
from ..core.tasks.recurrent import level
from ..core.training.losses import TokenLoss


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with `labels`, the persons in training.

    Input: `image` uint8 (batch, size, size, 3).
    Outputs: `embedding` (batch, embedding), of length 1, what `network` makes of the
    picture; `logits` (batch, persons), the cosines of it and of every person's vector,
    times `config.scale` (Wang et al. 2017, arXiv:1704.06369).
    """
    size = config.image_size
    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    embedding = build_network(config)(image)  # (batch, embedding)
    cosines = layers.Dense(
        len(assets.labels),
        use_bias=False,
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
        name="persons",
    )(embedding)  # (batch, persons)
    logits = layers.Rescaling(config.scale, name="logits")(cosines)
    outputs = {"logits": logits, "embedding": embedding}
    return keras.Model({"image": image}, outputs, name="faces")


def build_network(config):
    """Pictures in, embeddings out: a functional RNN over the rows of a Sequential CNN,
    (batch, size, size, 3) -> (batch, embedding)."""
    image = keras.Input((config.image_size, config.image_size, 3))
    rows = build_cnn(config)(image)  # (batch, rows, features)
    down_and_up = Bidirectional(level(config.cell, config.units), name="rows")
    x = down_and_up(rows)  # (batch, 2 units)
    x = layers.Dropout(config.dropout, seed=config.seed, name="dropout")(x)
    x = layers.Dense(config.embedding, use_bias=False, name="dense")(x)
    x = layers.UnitNormalization(name="embedding")(x)  # (batch, embedding)
    return keras.Model(image, x, name="network")


def build_cnn(config):
    """A picture's rows of features: (batch, size, size, 3) -> (batch, rows, features),
    a row's columns side by side."""
    cnn = keras.Sequential(name="cnn")
    cnn.add(keras.Input((config.image_size, config.image_size, 3)))
    add_stages(cnn, config.filters)
    _, rows, columns, filters = cnn.output_shape
    cnn.add(layers.Reshape((rows, columns * filters)))
    cnn.add(layers.Dropout(config.dropout, seed=config.seed))
    return cnn


@keras.saving.register_keras_serializable(package="saccade")
class MarginLoss(TokenLoss):
    """Cross-entropy in which the right logit must lead by a margin: it counts for so
    much less (Wang et al. 2018, "CosFace", arXiv:1801.09414).

    Args:
        margin: in the unit of the logits. smoothing: as in `TokenLoss`.
    """

    def __init__(self, margin=0.0, smoothing=0.0, name="margin_loss", **kwargs):
        super().__init__(smoothing, name=name, **kwargs)
        self.margin = margin

    def call(self, y_true, y_pred):
        logits = ops.cast(y_pred, "float32")
        right = ops.one_hot(ops.cast(y_true, "int32"), logits.shape[-1])
        return super().call(y_true, logits - self.margin * right)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}
