"""The captioning model: an encoder of pictures, a recurrent decoder with attention."""

import keras
import numpy as np
from keras import layers, ops
from keras.initializers import RandomNormal

from ...layers import (
    AttentionRNN,
    BahdanauAttention,
    ConditionedCell,
    ElmanCell,
    GRUCell,
    HardAttention,
    LSTMCell,
    Recurrent,
)
from ..core.errors import UserError

CELLS = {"elman": ElmanCell, "lstm": LSTMCell, "gru": GRUCell}


@keras.saving.register_keras_serializable(package="saccade")
class Captioner(keras.Model):
    """A functional captioning model and its loss.

    The loss is the cross-entropy of the next token, averaged over the real tokens
    of the batch. Hard attention adds the loss of `Reinforce`, once `reinforce` is
    set, see `train.compile_model`.
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
        vocabulary: a `Vocabulary`, or its size.

    Inputs: `image` uint8 (batch, size, size, 3); `tokens` int32 (batch, time), the
    caption behind <start>, padded with 0.
    Outputs: `logits` (batch, time, vocabulary), raw scores of the token that follows
    each token; with attention also `attention` (batch, time, regions), its weights
    before that token, and with hard attention `chosen`, the region that it drew.
    """
    vocabulary_size = getattr(vocabulary, "size", vocabulary)
    size = config.image_size
    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    tokens = keras.Input((None,), dtype="int32", name="tokens")

    regions = build_encoder(config)(image)  # (batch, regions, features)
    mean = layers.GlobalAveragePooling1D(name="picture")
    picture = mean(regions)  # (batch, features)
    words = layers.Embedding(
        vocabulary_size, config.embedding, mask_zero=True, name="embedding"
    )(tokens)  # (batch, time, embedding)
    words = layers.Dropout(config.dropout, name="embedding_dropout")(words)

    sequence = words
    if config.condition == "first":
        first = layers.Dense(config.embedding, name="picture_as_word")(picture)
        first = layers.Reshape((1, config.embedding))(first)
        sequence = layers.Concatenate(axis=1)([first, words])  # (batch, 1 + time, ...)

    states, attention = run_decoder(config, sequence, regions, picture)
    if config.condition == "first":  # No token follows the picture alone.
        states = [part[:, 1:] for part in states]
        attention = {name: part[:, 1:] for name, part in attention.items()}

    # Xu et al. 2015, equation 7: word, state and context vote on the next word.
    votes = [
        layers.Dense(config.embedding, name=f"vote_{i}")(part)
        for i, part in enumerate(states)
    ]
    vote = layers.Activation("tanh", name="vote")(layers.Add()([words, *votes]))
    vote = layers.Dropout(config.dropout, name="vote_dropout")(vote)
    logits = layers.Dense(vocabulary_size, name="logits", dtype="float32")(vote)

    return Captioner(
        inputs={"image": image, "tokens": tokens},
        outputs={"logits": logits, **attention},
        name="captioning",
    )


@keras.saving.register_keras_serializable(package="saccade")
class Positions(layers.Layer):
    """Tells every region where it lies: (batch, regions, features) in and out.

    Adds x Wx + y Wy, with x and y from -1 to 1 across the picture and trained vectors
    Wx and Wy. A convolution sees the same everywhere, so without it a region hardly
    knows its place; captions that say "above" or "left of" need it.
    """

    def build(self, input_shape):
        _, regions, features = input_shape
        side = round(regions**0.5)
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        self.places = np.stack([x.ravel(), y.ravel()], axis=1).astype("float32")
        self.kernel = self.add_weight(
            name="kernel", shape=(2, features), initializer=RandomNormal(stddev=0.5)
        )

    def call(self, inputs):
        places = ops.cast(self.places, self.compute_dtype)  # (regions, 2)
        return inputs + ops.matmul(places, self.kernel)


def run_decoder(config, sequence, regions, picture):
    """The recurrent part: ([h, context], outputs of the attention by name)."""
    cell = CELLS[config.cell](config.units_rnn)
    if config.condition == "every":
        cell = ConditionedCell(cell)

    if config.attention == "none":
        rnn = Recurrent(cell, return_sequences=True, name="decoder")
        if config.condition == "every":
            return [rnn(sequence, memory=picture)], {}
        if config.condition == "first":
            return [rnn(sequence)], {}
        state = [
            layers.Dense(n, "tanh", name=f"initial_state_{i}")(picture)
            for i, n in enumerate(rnn.state_size)
        ]
        return [rnn(sequence, initial_state=state)], {}

    attention = BahdanauAttention(config.attention_units)
    if config.attention == "hard":
        attention = HardAttention(config.attention_units, seed=config.seed)
    rnn = AttentionRNN(cell, attention, penalty=config.penalty, name="decoder")
    decoded = rnn(sequence, memory=regions)
    outputs = {"attention": decoded["weights"]}
    if config.attention == "hard":
        outputs["chosen"] = decoded["chosen"]
    return [decoded["outputs"], decoded["contexts"]], outputs


def build_encoder(config):
    """Picture in, regions out: (batch, size, size, 3) -> (batch, regions, features)."""
    if config.backbone == "small":
        return small_encoder(config)
    backbone = keras_backbone(config)
    backbone.trainable = config.fine_tune
    return keras.Sequential(
        [
            keras.Input((config.image_size, config.image_size, 3)),
            backbone,
            layers.Reshape((-1, backbone.output_shape[-1])),
            *([Positions()] if config.positions else []),
            layers.Dropout(config.dropout),
        ],
        name="encoder",
    )


def small_encoder(config):
    """A plain convolutional network; every stage halves the picture.

    The stem strides instead of pooling: at full size a convolution costs four times
    as much, and 64-pixel pictures lose nothing by it.
    """
    encoder = keras.Sequential(name="encoder")
    encoder.add(keras.Input((config.image_size, config.image_size, 3)))
    encoder.add(layers.Rescaling(1 / 127.5, offset=-1))
    for stage, filters in enumerate(config.filters):
        width, stride = (5, 2) if stage == 0 else (3, 1)
        encoder.add(
            layers.Conv2D(filters, width, stride, padding="same", use_bias=False)
        )
        encoder.add(layers.BatchNormalization())
        encoder.add(layers.ReLU())
        if 0 < stage < len(config.filters) - 1:
            encoder.add(layers.MaxPooling2D())
    encoder.add(layers.Reshape((-1, config.filters[-1])))
    if config.positions:
        encoder.add(Positions())
    encoder.add(layers.Dropout(config.dropout))
    return encoder


def keras_backbone(config):
    """A network of keras.applications without its head; takes pixels 0 to 255."""
    apps = keras.applications
    builders = {
        "mobilenet": (apps.MobileNet, apps.mobilenet),
        "mobilenetv3": (apps.MobileNetV3Small, None),
        "efficientnetv2": (apps.EfficientNetV2B0, None),
        "inceptionv3": (apps.InceptionV3, apps.inception_v3),
        "resnet50v2": (apps.ResNet50V2, apps.resnet_v2),
    }
    build, module = builders[config.backbone]
    shape = (config.image_size, config.image_size, 3)
    weights = config.backbone_weights
    if weights in ("none", "imagenet"):
        weights = None if weights == "none" else weights
        network = build(include_top=False, weights=weights, input_shape=shape)
    else:
        network = load_backbone(build, weights, shape)
    if module is None:  # Its first layer rescales the pixels itself.
        return network
    pixels = keras.Input(shape)
    return keras.Model(
        pixels, network(module.preprocess_input(pixels)), name=config.backbone
    )


def load_backbone(build, path, shape):
    """A keras.applications network with weights from a file, without its head.

    The file may hold the network with its 1,000 ImageNet classes or without.
    """
    try:
        whole = build(include_top=True, weights=None, input_shape=shape)
        whole.load_weights(path)
    except FileNotFoundError:
        raise UserError(
            f"--backbone-weights expected none, imagenet or the path of a "
            f".weights.h5 file; no file {path}."
        ) from None
    except ValueError:
        headless = build(include_top=False, weights=None, input_shape=shape)
        try:
            headless.load_weights(path)
        except ValueError as error:
            raise UserError(
                f"The weights in {path} do not fit {headless.name}, neither with its "
                f"classes nor without. Keras says: {error}"
            ) from None
        return headless
    pooling = [
        layer
        for layer in whole.layers
        if isinstance(layer, layers.GlobalAveragePooling2D)
    ]
    return keras.Model(whole.input, pooling[-1].input, name=whole.name)
