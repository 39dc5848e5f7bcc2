"""The sentiment model: an embedding, recurrent layers, and a vote on the labels."""

import keras
from keras import layers

from ...layers import Bidirectional
from ..core.tasks.recurrent import level


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with `labels` and `tokenizer`.

    Input: `tokens` int32 (batch, time), padded with 0, one token a row at least.
    Output: `logits` (batch, classes), raw scores of the labels. Padding changes
    nothing.
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = tokens
    for layer in parts(config, assets):
        x = layer(x)
    return keras.Model({"tokens": tokens}, {"logits": x}, name="sentiment")


def build_sequential(config, assets):
    """The same as a keras.Sequential, which takes and gives one tensor; its weights
    are those of `build_model` in the same order."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    return keras.Sequential([tokens, *parts(config, assets)], name="sentiment")


def parts(config, assets):
    """The layers, one behind the other; tokens (batch, time) go in."""
    embedding = layers.Embedding(
        assets.tokenizer.size, config.embedding, mask_zero=True, name="embedding"
    )
    return [
        embedding,  # (batch, time, embedding), and the mask of what is no padding
        # One mask for all steps: under XLA one for each would take far longer.
        layers.SpatialDropout1D(config.dropout, seed=config.seed, name="dropout"),
        *recurrent_layers(config),  # (batch, time, width), or the last step's
        *(
            [layers.GlobalAveragePooling1D(name="mean")]
            if config.pool == "mean"
            else []
        ),
        layers.Dropout(config.dropout, seed=config.seed, name="dropout_out"),
        layers.Dense(len(assets.labels), name="logits"),  # (batch, classes)
    ]


def recurrent_layers(config):
    """The levels: of both directions side by side, twice as wide. All give every step,
    but with `pool="last"` the highest: (batch, width)."""
    levels = []
    for k in range(config.levels):
        every = k < config.levels - 1 or config.pool == "mean"
        one = level(config.cell, config.units, return_sequences=every)
        both = Bidirectional(one, name=f"level_{k}") if config.bidirectional else one
        levels.append(both)
    return levels
