"""The tagging model: vectors of tokens, recurrent layers, and scores of every label.

tokens (batch, time)                           0 is padding
-> vectors (batch, time, ...)                  of tokens, their neighbours, their
                                               characters, and of being in a list
-> states (batch, time, units, or twice that)  levels of one or both directions
-> scores (batch, time, labels)                and, for a CRF, those of neighbours
"""

import keras
from keras import layers, ops

from ...layers import CRF, Bidirectional, CharacterEncoder
from ..core.tasks.ngrams import NgramEmbedding
from ..core.tasks.recurrent import level

LETTERS = 20  # characters of a word at most
LETTERS_WIDTH = 64  # of a word's vector from its characters
LISTED = 3  # what a token may be for a gazetteer: no token, in no name, in a name


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with `labels`, `tokenizer` and, where `config.characters` is not none,
            `letters`.

    Inputs: `tokens` int32 (batch, time), padded with 0; with `characters` also
    `letters` int32 (batch, time, LETTERS), padded with 0; with `gazetteer` also
    `listed` int32 (batch, time), below LISTED. Padding changes nothing.
    Output: `logits`, with a CRF what `layers.crf.unpack` takes apart, else raw scores
    (batch, time, labels), of the sigmoid (batch, time, 1).
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    inputs = {"tokens": tokens}
    real = ops.not_equal(tokens, 0)  # (batch, time)
    x = token_layer(config, assets)(tokens)  # (batch, time, embedding)
    parts = [left_out(config)(x)]
    if config.characters != "none":
        inputs["letters"] = keras.Input((None, LETTERS), dtype="int32", name="letters")
        read = CharacterEncoder(
            assets.letters.size, LETTERS_WIDTH, config.characters, name="letters_read"
        )
        parts.append(read(inputs["letters"]))
    if config.gazetteer:
        inputs["listed"] = keras.Input((None,), dtype="int32", name="listed")
        parts.append(layers.Embedding(LISTED, 8, name="of_listed")(inputs["listed"]))
    x = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for layer in state_layers(config):
        x = layer(x, mask=real) if layer.name.startswith("level") else layer(x)
    x = layers.Dense(outputs_of(config, assets), name="scores")(x)
    if config.decoder == "crf":
        x = CRF(len(assets.labels), name="crf")(x, mask=real)
    return keras.Model(inputs, {"logits": x}, name="tagging")


def build_sequential(config, assets):
    """The same as a keras.Sequential, which takes `tokens` and gives `logits`. Its
    weights are those of `build_model` in the same order.

    Raises:
        ValueError: the config has further inputs.
    """
    if config.characters != "none" or config.gazetteer:
        raise ValueError(
            "A Sequential has one input; received characters="
            f"{config.characters!r} and gazetteer={config.gazetteer!r}. Use "
            "build_model."
        )
    crf = [CRF(len(assets.labels))] if config.decoder == "crf" else []
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="tokens"),
            token_layer(config, assets),
            left_out(config),
            *state_layers(config),
            layers.Dense(outputs_of(config, assets)),
            *crf,
        ],
        name="tagging",
    )


def token_layer(config, assets):
    """Tokens (batch, time) to vectors (batch, time, embedding)."""
    shape = {"input_dim": assets.tokenizer.size, "output_dim": config.embedding}
    if config.ngrams == 1:
        return layers.Embedding(**shape, mask_zero=True, name="embedding")
    return NgramEmbedding(config.ngrams, config.buckets, **shape, name="embedding")


def left_out(config):
    """Drops the whole vector of a token, so that its neighbours must tell."""
    return layers.Dropout(config.token_dropout, (None, None, 1), config.seed)


def state_layers(config):
    """Dropout, the levels, and dropout again. One mask for all steps: under XLA one for
    each would take far longer."""
    found = [layers.SpatialDropout1D(config.dropout, seed=config.seed)]
    for i in range(config.levels):
        one = level(config.cell, config.units, return_sequences=True, name=f"level_{i}")
        if config.bidirectional:
            one = level(config.cell, config.units, return_sequences=True)
            one = Bidirectional(one, name=f"level_{i}")
        found += [
            one,
            layers.SpatialDropout1D(config.dropout, seed=config.seed + i + 1),
        ]
    return found


def outputs_of(config, assets):
    """Scores of a step."""
    return 1 if config.decoder == "sigmoid" else len(assets.labels)
