"""The dna model: base probabilities, filters, recurrent layers both ways, a vote.

    codes (batch, time)                    sets of bases, 0 is padding
    -> bases (batch, time, 4)              how likely A, C, G and T are
    -> filters (batch, time, filters)      Conv1D without pooling: places stay apart
    -> states (batch, time, 2 units)       a recurrent layer in each direction
    -> what decides (batch, ...)           the states at the centre, or another `pool`
    -> logits (batch, members, classes)

All behind `bases` is the inner model "network": a gradient with respect to its input
says which base decided.
"""

import keras
from keras import layers, ops

from ...layers import BahdanauAttention, Bidirectional
from ..core.inputs.sequence import PROBABILITIES
from ..core.tasks.recurrent import level


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`, `window` filled in where `pool` is places.
        assets: with `labels`.

    Input: `codes` int32 (batch, time), padded with 0, one base a row at least.
    Output: `logits` (batch, members, classes), raw scores of the labels by every
    member. Padding changes nothing.
    """
    codes = keras.Input((None,), dtype="int32", name="codes")
    bases = BaseProbabilities(name="bases")(codes)  # (batch, time, 4)
    real = ops.not_equal(codes, 0)  # (batch, time)
    network = build_network(config, len(assets.labels))
    logits = network({"bases": bases, "real": real})  # (batch, members, classes)
    logits = layers.Activation("linear", dtype="float32", name="logits")(logits)
    return keras.Model({"codes": codes}, {"logits": logits}, name="dna")


def build_network(config, classes):
    """Base probabilities (batch, time, 4), and which steps are real, bool (batch,
    time) -> logits (batch, members, classes)."""
    bases = keras.Input((None, 4), name="bases")
    real = keras.Input((None,), dtype="bool", name="real")
    members = [build_member(config, classes, k) for k in range(config.members)]
    strands = [bases]
    if config.both_strands:
        strands.append(ReverseComplement(name="reverse_complement")(bases, real))
    votes = []
    for member in members:
        logits = [member({"bases": strand, "real": real}) for strand in strands]
        mean = layers.Average()(logits) if len(logits) > 1 else logits[0]
        votes.append(mean[:, None])  # (batch, 1, classes)
    logits = ops.concatenate(votes, axis=1) if len(votes) > 1 else votes[0]
    return keras.Model({"bases": bases, "real": real}, logits, name="network")


def build_member(config, classes, k):
    """One network with weights of its own: as `build_network` -> (batch, classes)."""
    bases = keras.Input((None, 4), name="bases")
    real = keras.Input((None,), dtype="bool", name="real")
    x = bases
    if config.filters:
        conv = layers.Conv1D(
            config.filters, config.filter_width, padding="same", activation="relu"
        )
        x = conv(x)  # (batch, time, filters); padding is zeros, as beyond the end
        seed = config.seed + 100 + k
        x = layers.Dropout(config.dropout_filters, seed=seed)(x)
    for i in range(config.levels):
        one = level(config.cell, config.units, return_sequences=True)
        x = Bidirectional(one, name=f"level_{i}")(x, mask=real)
    x = pooled(config, x, real)  # (batch, features)
    x = layers.Dropout(config.dropout, seed=config.seed + k)(x)
    x = layers.Dense(classes)(x)
    return keras.Model({"bases": bases, "real": real}, x, name=f"member_{k}")


def pooled(config, states, real):
    """States (batch, time, 2 units) -> what decides, (batch, features)."""
    if config.pool == "centre":  # as many bases before the junction as behind it
        return Around(2, name="centre")(states, real)
    if config.pool == "places":
        return Around(config.window, name="places")(states, real)
    if config.pool == "mean":
        return layers.GlobalAveragePooling1D(name="mean")(states, mask=real)
    last = Ends(config.units, name="last")(states, real)
    if config.pool == "last":
        return last
    attention = BahdanauAttention(config.units, name="attention")
    context, _ = attention(last, states, values_mask=real)
    return ops.concatenate([last, context], axis=-1)


@keras.saving.register_keras_serializable(package="saccade")
class BaseProbabilities(layers.Layer):
    """Codes int (batch, time) -> how likely each of A, C, G, T is, (batch, time, 4): N
    is a quarter of each, R a half of A and of G, padding none."""

    def call(self, codes):
        return ops.take(ops.cast(PROBABILITIES, self.compute_dtype), codes, axis=0)

    def compute_output_shape(self, codes_shape):
        return (*codes_shape, 4)


@keras.saving.register_keras_serializable(package="saccade")
class ReverseComplement(layers.Layer):
    """The other strand of base probabilities (batch, time, 4), read in its direction:
    the real steps in reverse order, A for T and C for G, and padding behind them."""

    def call(self, bases, real):
        lengths = ops.sum(ops.cast(real, "int32"), axis=1, keepdims=True)
        steps = lengths - 1 - ops.arange(ops.shape(bases)[1])[None]  # (batch, time)
        turned = ops.take_along_axis(bases, ops.maximum(steps, 0)[:, :, None], axis=1)
        # A C G T in reverse order is T G C A.
        return ops.flip(turned, axis=2) * ops.cast(real, bases.dtype)[:, :, None]

    def compute_output_shape(self, bases_shape, real_shape):
        return bases_shape


class Pooling(layers.Layer):
    """A layer whose outputs have no steps, so that no mask goes on behind it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True  # else Keras would warn that it ends here

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable(package="saccade")
class Around(Pooling):
    """States (batch, time, features) -> those at `count` places around the middle of
    every row, side by side, (batch, count x features); zeros beyond its ends.

    The middle of 2 n steps lies between the n-th and the next.
    """

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def call(self, states, real):
        lengths = ops.sum(ops.cast(real, "int32"), axis=1, keepdims=True)
        first = lengths // 2 - self.count // 2
        steps = first + ops.arange(self.count)[None]  # (batch, count)
        inside = (steps >= 0) & (steps < lengths)
        steps = ops.clip(steps, 0, ops.shape(states)[1] - 1)
        found = ops.take_along_axis(states, steps[:, :, None], axis=1)
        found = found * ops.cast(inside, states.dtype)[:, :, None]
        return ops.reshape(found, (-1, self.count * states.shape[-1]))

    def compute_output_shape(self, states_shape, real_shape):
        return (states_shape[0], self.count * states_shape[-1])

    def get_config(self):
        return {**super().get_config(), "count": self.count}


@keras.saving.register_keras_serializable(package="saccade")
class Ends(Pooling):
    """States (batch, time, 2 units) of both directions -> the last that each has to
    say, (batch, 2 units): the forward one at a row's last step, the other at its first.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def call(self, states, real):
        lengths = ops.sum(ops.cast(real, "int32"), axis=1)
        last = ops.maximum(lengths - 1, 0)[:, None, None]
        forward = ops.take_along_axis(states[:, :, : self.units], last, axis=1)
        backward = states[:, :1, self.units :]
        return ops.concatenate([forward, backward], axis=-1)[:, 0]

    def compute_output_shape(self, states_shape, real_shape):
        return (states_shape[0], 2 * self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
