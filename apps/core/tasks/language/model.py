"""A language model with explicit state, over characters or words."""

import functools
import random

import keras
from keras import ops

from .. import recurrent


def build_language_model(vocabulary_size, config, start=None):
    """keras.Model of tokens and states to logits and states.

    Inputs: `tokens` int32 (batch, time); `reset` bool (batch, time), True where a text
    begins; `level_<k>_h` (and `level_<k>_c`) float32 (batch, units), the states that
    the levels start with.
    Outputs: `logits` float32 (batch, time, vocabulary), of the token behind each; the
    states by the same names, after the last token.

    Args:
        config: a Config with `cell`, `units`, `levels`, `embedding`, `tied`, `dropout`,
            `seed`.
        start: what the token `vocabulary_size`, which comes before a text and is never
            written, is to the network: "token", a vector to be learned; "zeros", the
            zero vector; None: there is none.
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    reset = keras.Input((None,), dtype="bool", name="reset")
    inputs, outputs = {"tokens": tokens, "reset": reset}, {}

    different = vocabulary_size + (start == "token")  # that are read
    if not config.embedding:
        x = ops.one_hot(tokens, different)  # (batch, time, different); zeros beyond
    else:
        kind = keras.layers.Embedding
        if config.tied:
            kind = keras.layers.ReversibleEmbedding
        embed = kind(different, config.embedding, name="embedding")
        x = embed_or_zeros(embed, tokens, different, start)  # (batch, time, embedding)

    for k in range(config.levels):
        level = recurrent_layer(
            config.cell,
            config.units,
            name=f"level_{k}",
            kernel_initializer=kernel_initializer(config, k),
        )
        if k:
            x = drop(config, f"dropout_{k}")(x)
        states = [
            keras.Input((size,), name=f"level_{k}_{part}")
            for part, size in zip("hc", sizes_of(level), strict=False)
        ]
        x, *new = level(x, initial_state=states, reset_mask=reset)  # (batch, time, u)
        inputs |= {state.name: state for state in states}
        outputs |= {s.name: n for s, n in zip(states, new, strict=True)}

    x = drop(config, "dropout_out")(x)
    if config.tied:
        if config.embedding != config.units:
            x = keras.layers.Dense(config.embedding, name="to_embedding")(x)
        logits = embed(x, reverse=True)[..., :vocabulary_size]
    else:
        logits = keras.layers.Dense(vocabulary_size, name="logits")(x)
    return keras.Model(inputs, {"logits": logits, **outputs}, name=config.cell)


def kernel_initializer(config, k):
    """How the weights begin by which level k reads its inputs.

    Keras' own, glorot_uniform, is made for inputs of which all features are of size 1.
    Of a one-hot token one feature is, and what a level gives is small, the more so the
    deeper it stands: then gates hardly move, and which token was read is learned late
    (measured in docs/results/char_lm.md).
    """
    if k:
        return keras.initializers.VarianceScaling(4.0, "fan_in")
    if not config.embedding:
        return keras.initializers.RandomNormal(stddev=2.0)
    return "glorot_uniform"


def embed_or_zeros(embed, tokens, different, start):
    """Vectors of tokens; with "zeros" the zero vector of a token beyond the others."""
    if start != "zeros":
        return embed(tokens)
    known = ops.less(tokens, different)
    x = embed(ops.where(known, tokens, 0))
    return x * ops.cast(known, x.dtype)[..., None]


recurrent_layer = functools.partial(
    recurrent.level, return_sequences=True, return_state=True
)


def state_sizes(config):
    """The names of the states of a model, in its order, and their sizes: dict."""
    sizes = sizes_without_model(config.cell, config.units)
    return {
        f"level_{k}_{part}": size
        for k in range(config.levels)
        for part, size in zip("hc", sizes, strict=False)
    }


@functools.lru_cache
def sizes_without_model(cell, units):
    before = random.getstate()  # A layer draws its seeds when it is made.
    sizes = sizes_of(recurrent_layer(cell, units))
    random.setstate(before)
    return sizes


def sizes_of(level):
    size = level.state_size
    return tuple(size) if isinstance(size, list | tuple) else (size,)


def drop(config, name):
    """Dropout with one mask for all steps of a window (Merity et al. 2018, "locked").

    Under XLA on a CPU a mask for every step took four times as long as the rest of a
    training step (GRU, 384 units, 32 rows, 64 steps: 167 ms instead of about 40).
    """
    shape = (None, 1, config.units)
    return keras.layers.Dropout(
        config.dropout, noise_shape=shape, seed=config.seed, name=name
    )
