"""The captioning model: an encoder of pictures, a recurrent decoder with attention."""

import keras
from keras import ops

from ...layers import BahdanauAttention, HardAttention, TokenDecoder
from ..core.tasks.backbones import build_encoder
from ..core.tasks.recurrent import decoder_layer


@keras.saving.register_keras_serializable(package="saccade")
class Captioner(keras.Model):
    """A functional captioning model and its loss.

    The loss is the cross-entropy of the next token, averaged over the real tokens
    of the batch. Hard attention adds the loss of `Reinforce`, once `reinforce` is
    set, see `task.Captioning.trainer`.
    """

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        reinforce = getattr(self, "reinforce", None)
        if reinforce is None or not training:
            return loss
        real = ops.cast(sample_weight["logits"], "float32")  # (batch, time)
        log_probs = -keras.losses.sparse_categorical_crossentropy(
            y["logits"], y_pred["logits"], from_logits=True
        )
        extra = reinforce(
            ops.sum(log_probs * real, axis=-1),
            weights=y_pred["attention"],
            chosen=y_pred["chosen"],
            mask=real,
            training=True,
        )
        # Per token, like the cross-entropy that it is added to.
        return loss + ops.sum(extra) / ops.maximum(ops.sum(real), 1)


def build_model(config, vocabulary):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        vocabulary: with a `size`, or its size.

    Inputs: `image` uint8 (batch, size, size, 3); `tokens` int32 (batch, time), the
    caption behind <start>, padded with 0.
    Outputs: `logits` (batch, time, vocabulary), raw scores of the token that follows
    each token; with attention also `attention` (batch, time, regions), its weights
    before that token, and with hard attention `chosen`, the region that it drew.
    """
    size = config.image_size
    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    regions = build_encoder(config)(image)  # (batch, regions, features)
    decoder = TokenDecoder(
        recurrent_layer(config),
        getattr(vocabulary, "size", vocabulary),
        config.embedding,
        condition=config.condition,
        activation=config.activation,
        dropout=config.dropout,
        name="decoder",
    )
    outputs = decoder(tokens, memory=regions)
    return Captioner({"image": image, "tokens": tokens}, outputs, name="captioning")


def recurrent_layer(config):
    """What carries the state from word to word, over the regions or without them."""
    attention = None
    if config.attention == "soft":
        attention = BahdanauAttention(config.attention_units)
    elif config.attention == "hard":
        attention = HardAttention(config.attention_units, seed=config.seed)
    return decoder_layer(
        [config.cell] * config.levels,
        config.units,
        attention,
        config.condition,
        gate=config.gate,
        penalty=config.penalty,
    )
