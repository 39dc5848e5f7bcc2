"""The sentiment model: an embedding, recurrent layers, and a vote on the labels."""

import keras
from keras import layers, ops

from ...layers import BahdanauAttention, Bidirectional
from ..core.tasks.ngrams import NgramEmbedding
from ..core.tasks.recurrent import level

TOPIC_TOKENS = 16  # of a topic at most


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with `labels` and `tokenizer`.

    Inputs: `tokens` int32 (batch, time), padded with 0, one token a row at least; with
    `topic_column` also `topic` int32 (batch, TOPIC_TOKENS), padded with 0.
    Outputs: `logits` (batch, members, classes), raw scores of the labels by every
    member; `attention` float32 (batch, time), how much each token's state counts in
    what decides, the members' mean; each row sums to 1. Padding changes nothing.
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    inputs = {"tokens": tokens}
    if config.topic_column:
        inputs["topic"] = keras.Input((TOPIC_TOKENS,), dtype="int32", name="topic")
    votes, weights = zip(
        *(build_member(config, assets, inputs, k) for k in range(config.members)),
        strict=True,
    )
    outputs = {
        "logits": ops.stack(votes, axis=1),
        "attention": ops.cast(sum(weights) / config.members, "float32"),
    }
    return keras.Model(inputs, outputs, name="sentiment")


def build_member(config, assets, inputs, k=0):
    """The k-th of networks that differ in their random numbers only: logits (batch,
    classes), attention (batch, time)."""
    tokens, real = inputs["tokens"], ops.not_equal(inputs["tokens"], 0)
    embed, *drop = embedding_layers(config, assets, k)
    x = embed(tokens)  # (batch, time, embedding)
    if config.topic_column:
        # Its words' mean, (batch, embedding), is added to every token.
        topic = layers.GlobalAveragePooling1D()(embed(inputs["topic"]))
        x = x + topic[:, None]
    for layer in drop:
        x = layer(x)
    for layer in recurrent_layers(config, k):
        x = layer(x, mask=real)  # (batch, time, width), or the last step's
    if config.pool == "last":
        attention = last_of(real)
    else:
        x, attention = pooling(config)(x, mask=real)  # (batch, width)
    if config.topic_column:
        x = layers.Concatenate()([x, topic])
    for layer in voting_layers(config, assets, k):
        x = layer(x)  # (batch, classes)
    return x, attention


def build_sequential(config, assets):
    """The same as a keras.Sequential, which takes and gives one tensor: the logits
    (batch, classes). Its weights are those of `build_model` in the same order.

    Raises:
        ValueError: the config has a topic, a second input, or several members.
    """
    if config.topic_column or config.members > 1:
        raise ValueError(
            "A Sequential has one input and one way; received topic_column="
            f"{config.topic_column!r} and members={config.members}. Use build_model."
        )
    pool = [] if config.pool == "last" else [pooling(config, return_weights=False)]
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    return keras.Sequential(
        [
            tokens,
            *embedding_layers(config, assets),
            *recurrent_layers(config),
            *pool,
            *voting_layers(config, assets),
        ],
        name="sentiment",
    )


def embedding_layers(config, assets, k=0):
    """Tokens (batch, time) to vectors (batch, time, embedding)."""
    shape = {"input_dim": assets.tokenizer.size, "output_dim": config.embedding}
    name, seed = name_of("embedding", k), config.seed + k
    if config.ngrams == 1:
        embed = layers.Embedding(**shape, mask_zero=True, name=name)
    else:
        embed = NgramEmbedding(config.ngrams, config.buckets, **shape, name=name)
    left_out = layers.Dropout(config.token_dropout, (None, None, 1), seed)
    # One mask for all steps: under XLA one for each would take far longer.
    drop = layers.SpatialDropout1D(config.dropout, seed=seed)
    return [embed, *([left_out] if config.token_dropout else []), drop]


def recurrent_layers(config, k=0):
    """The levels: of both directions side by side, twice as wide. All give every step,
    but with `pool="last"` the highest: (batch, width)."""
    levels = []
    for i in range(config.levels):
        every = i < config.levels - 1 or config.pool != "last"
        name = name_of(f"level_{i}", k)
        how = {} if config.bidirectional else {"name": name}
        one = level(config.cell, config.units, return_sequences=every, **how)
        levels.append(Bidirectional(one, name=name) if config.bidirectional else one)
    return levels


def name_of(layer, k):
    """The name of a layer in the k-th member."""
    return f"{layer}_of_{k}" if k else layer


def pooling(config, return_weights=True):
    return Pooling(config.pool, config.attention_units, return_weights)


def voting_layers(config, assets, k=0):
    """What decides (batch, width) to logits (batch, classes)."""
    return [
        layers.Dropout(config.dropout, seed=config.seed + k),
        layers.Dense(len(assets.labels)),
    ]


def last_of(real):
    """1 at the last step that is real, float32 (batch, time); real: bool, of one
    block from the first step on."""
    behind = ops.concatenate([real[:, 1:], ops.zeros_like(real[:, :1])], axis=1)
    return ops.cast(ops.logical_and(real, ops.logical_not(behind)), "float32")


@keras.saving.register_keras_serializable(package="saccade")
class Pooling(layers.Layer):
    """States of all steps to what decides. Padding counts for nothing.

    mean: their mean; max: the maximum of each unit; attention: the mean by Bahdanau
    attention, which the mean of the states asks; all: the three side by side.

    Args:
        kind: one of these. attention_units: width of the scoring network.
        return_weights: whether the weights come out too.

    Call arguments: states (batch, time, width); mask bool (batch, time), with a step in
    every row. Output: (batch, width), of "all" three times as wide; weights (batch,
    time), how much each step counts: of max the share of units that are highest there,
    of all those of attention.
    """

    def __init__(self, kind, attention_units=64, return_weights=True, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.attention_units = kind, attention_units
        self.return_weights = return_weights
        self.attention = None
        if kind in ("attention", "all"):
            self.attention = BahdanauAttention(
                attention_units, dtype=self.dtype_policy, name="attention"
            )

    def build(self, states_shape):
        if self.attention and not self.attention.built:
            batch, _, width = states_shape
            self.attention.build((batch, width), states_shape)
        self.built = True

    def call(self, states, mask=None):
        if mask is None:
            mask = ops.ones(ops.shape(states)[:2], "bool")
        share = ops.cast(mask, states.dtype)
        share = share / ops.maximum(ops.sum(share, 1, keepdims=True), 1)
        mean = ops.sum(states * share[..., None], 1)
        if self.kind == "mean":
            pooled, weights = mean, share
        elif self.kind == "max":
            pooled, weights = highest(states, mask)
        else:
            pooled, weights = self.attention(mean, states, values_mask=mask)
        if self.kind == "all":
            pooled = ops.concatenate([mean, highest(states, mask)[0], pooled], -1)
        return (pooled, weights) if self.return_weights else pooled

    def compute_mask(self, states, mask=None):
        return None

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "attention_units": self.attention_units,
            "return_weights": self.return_weights,
        }


def highest(states, mask):
    """The maximum of each unit (batch, width), and the share of units whose maximum
    stands at each step (batch, time)."""
    states = ops.where(mask[..., None], states, -1e4)  # float16 holds it
    places = ops.argmax(states, axis=1)  # (batch, width)
    steps = ops.shape(states)[1]
    here = ops.equal(places[:, None], ops.arange(steps, dtype="int32")[:, None])
    return ops.max(states, 1), ops.mean(ops.cast(here, states.dtype), -1)
