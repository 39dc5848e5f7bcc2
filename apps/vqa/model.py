"""The vqa model: regions of a picture, a question's vector, and how they are joined."""

import keras
from keras import layers, ops
from keras.initializers import RandomNormal

from ...layers import BahdanauAttention
from ..core.tasks.backbones import build_encoder
from ..core.tasks.recurrent import level


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with `labels`, the answers, and `tokenizer`.

    Inputs: `image` uint8 (batch, size, size, 3); `tokens` int32 (batch, time), the
    question, padded with 0, one token at least.
    Outputs: `logits` (batch, answers), raw scores; `attention` (batch, stacks,
    regions), the weights of every look at the picture, which sum to 1; uniform where
    the network looks everywhere alike.
    """
    size = config.image_size
    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    tokens = keras.Input((config.max_length,), dtype="int32", name="tokens")
    if config.fusion == "question":
        regions = ops.cast(image[:, :1, 0], "float32")  # one, of which nothing is read
    else:
        regions = build_encoder(config)(image)  # (batch, regions, features)
    words, question = encode_question(config, assets.tokenizer.size, tokens)
    joined, looks = FUSIONS[config.fusion](config, regions, words, question)
    x = layers.Dense(2 * config.units, "relu", name="join")(joined)
    x = layers.Dropout(config.dropout, seed=config.seed)(x)
    logits = layers.Dense(len(assets.labels), name="logits")(x)  # (batch, answers)
    attention = ops.stack(looks, axis=1)  # (batch, stacks, regions)
    return keras.Model(
        {"image": image, "tokens": tokens},
        {"logits": logits, "attention": attention},
        name="vqa",
    )


def encode_question(config, vocabulary, tokens):
    """Tokens -> the mean of the words (batch, units); and (batch, 2 units) of it and
    the last state of a recurrent network, or with cell="none" the mean alone. Which
    word is meant is learned from the mean long before the state tells."""
    # Keras draws embeddings so small that all questions are alike at first.
    embedding = layers.Embedding(
        vocabulary,
        config.embedding,
        embeddings_initializer=RandomNormal(stddev=config.spread, seed=config.seed),
        mask_zero=True,
        name="embedding",
    )(tokens)  # (batch, time, embedding)
    mean = layers.GlobalAveragePooling1D()(embedding)  # (batch, embedding)
    words = layers.Dense(config.units, name="words")(mean)
    x = words
    if config.cell != "none":
        state = level(config.cell, config.units, name="question")(embedding)
        x = layers.Concatenate()([state, words])
    x = layers.LayerNormalization(name="question_norm")(x)
    return words, layers.Dropout(config.dropout, seed=config.seed)(x)


# Fusions: function (config, regions, words, question) -> what the answer is read from,
# and a list of weights (batch, regions), one for each look.


def everywhere(regions):
    """The same weight for every region: (batch, regions)."""
    return ops.ones_like(regions[:, :, 0]) / regions.shape[1]


def without_picture(config, regions, words, question):
    """The picture counts for nothing: what questions alone give away."""
    return question, [everywhere(regions)]


def concatenation(config, regions, words, question):
    """[q; v]: what of the picture matters cannot depend on the question."""
    v = layers.Dense(config.units, "relu", name="regions")(regions)
    v = layers.GlobalAveragePooling1D()(v)  # (batch, units)
    return layers.Concatenate()([question, v]), [everywhere(regions)]


def product(config, regions, words, question):
    """f(q) g(v), v the mean of the regions as the question weighs them."""
    v, weights = BahdanauAttention(config.units, name="look")(question, regions)
    f = layers.Dense(2 * config.units, "tanh", name="f")(question)
    g = layers.Dense(2 * config.units, "tanh", name="g")(v)
    return layers.Multiply()([f, g]), [weights]


def stacks(config, regions, words, question):
    """Looks one after the other, each knowing what the last one saw (Yang et al. 2016,
    "Stacked attention networks")."""
    u, looks = layers.Dense(2 * config.units, name="query")(question), []
    values = layers.Dense(2 * config.units, name="values")(regions)
    for i in range(config.stacks):
        v, weights = BahdanauAttention(config.units, name=f"look_{i}")(u, values)
        u = layers.Add()([u, v])
        looks.append(weights)
    return layers.Concatenate()([u, question]), looks


def relation(config, regions, words, question):
    """Two looks, and between them every region is seen beside what the first found.

    Santoro et al. 2017 ("A simple neural network module for relational reasoning") see
    all pairs of regions. A question here is about one object, so as many pairs as there
    are regions do.
    """
    one, first = match(config, words, regions, "look_0")  # (batch, features)
    about = layers.Concatenate()([one, question])
    about = layers.Dense(config.units, name="about")(about)[:, None]
    pairs = layers.Dense(config.units, name="beside")(regions) + about
    pairs = layers.Dense(config.units, "relu", name="pairs")(ops.relu(pairs))
    beside = layers.Concatenate()(
        [regions, pairs]
    )  # (batch, regions, features + units)
    other, second = match(config, words, beside, "look_1")
    mean = layers.GlobalAveragePooling1D()(pairs)
    mean = layers.LayerNormalization(name="pairs_norm")(mean)
    return layers.Concatenate()([one, other, mean, question]), [first, second]


def match(config, words, values, name):
    """Attention by the product of words and regions (Luong et al. 2015): the mean of
    the values, and their weights.

    A product of words and places adds up word by word, so what "red" looks like is
    learned once for all forms of question. With Bahdanau's sum it is learned for each,
    which took five times as many steps here.
    """
    query = layers.Dense(config.units, name=f"{name}_query")(words)  # (batch, units)
    keys = layers.Dense(config.units, name=f"{name}_keys")(values)
    scores = ops.einsum("blu,bu->bl", keys, query) / config.units**0.5
    weights = ops.softmax(scores, axis=-1)  # (batch, regions)
    return ops.einsum("bl,blf->bf", weights, values), weights


FUSIONS = {
    "question": without_picture,
    "concatenation": concatenation,
    "product": product,
    "stacks": stacks,
    "relation": relation,
}
