"""The translation model: an encoder of tokens, a recurrent decoder with attention."""

import keras
from keras import layers, ops

from ...layers import BahdanauAttention, Bidirectional, TokenDecoder
from ..core.tasks.recurrent import decoder_layer, level


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with two tokenizers, `source` and `target`.

    Inputs: `source` int32 (batch, steps), the source's tokens, padded with 0;
    `tokens` int32 (batch, time), the translation behind <start>, padded with 0.
    Outputs: `logits` (batch, time, target tokens), raw scores of the token that follows
    each; with attention also `attention` (batch, time, steps), its weights before that
    token.
    """
    source = keras.Input((None,), dtype="int32", name="source")
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    memory = build_encoder(config, assets.source.size)(source)  # (batch, steps, width)
    attention = None
    if config.attention == "soft":
        attention = BahdanauAttention(config.attention_units)
    how = {"gate": config.gate, "input_feeding": config.input_feeding}
    decoder = TokenDecoder(
        decoder_layer(
            config.decoder_cell, config.units, attention, config.bridge, **how
        ),
        assets.target.size,
        config.embedding,
        condition=config.bridge,
        activation=config.activation,
        dropout=config.dropout,
        tied=config.tied,
        name="decoder",
    )
    mask = memory_mask(config, source)
    outputs = decoder(tokens, memory=memory, memory_mask=mask)
    return keras.Model({"source": source, "tokens": tokens}, outputs, name="translator")


def build_encoder(config, tokens):
    """Source tokens int32 (batch, steps), padded with 0, to the states of all steps,
    (batch, steps, width); without attention to the last one, (batch, 1, width)."""
    source = keras.Input((None,), dtype="int32")
    real = ops.not_equal(source, 0)
    x = layers.Embedding(tokens, config.embedding)(source)
    for i, cell in enumerate(config.encoder_cell):
        # One mask for all steps: under XLA one for each would take far longer.
        x = layers.SpatialDropout1D(config.dropout, seed=config.seed + i)(x)
        top = i == len(config.encoder_cell) - 1
        every = config.attention != "none" or not top
        one = level(cell, config.units, return_sequences=every)
        if config.bidirectional:
            one = Bidirectional(one)
        x = one(x, mask=real)
    if config.attention == "none":
        x = layers.Reshape((1, -1))(x)
    return keras.Model(source, x, name="encoder")


def memory_mask(config, source):
    """Which steps of the memory are no padding, bool (batch, steps); None where there
    is one step alone."""
    return None if config.attention == "none" else ops.not_equal(source, 0)
