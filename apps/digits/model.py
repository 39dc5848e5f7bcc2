"""Three networks for pictures, each twice: as a functional model and as a Sequential.

The same layers in the same order: with copied weights both give the same logits.
"""

import keras
from keras import layers

# The functional model


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`.
        assets: with `labels`.

    Input: `image` float32 (batch, side, side, channels), from 0, paper, to 1, ink.
    Output: `logits` (batch, classes), raw scores of the labels.
    """
    image = keras.Input(shape_of(config), name="image")
    network = {"perceptron": perceptron, "mlp": mlp, "cnn": cnn}[config.network]
    logits = network(config, len(assets.labels), image)
    return keras.Model({"image": image}, {"logits": logits}, name="digits")


def perceptron(config, classes, image):
    """One layer (Rosenblatt 1958): image -> logits."""
    x = layers.Flatten()(image)  # (batch, side * side * channels)
    return dense(config, classes)(x)  # (batch, classes)


def mlp(config, classes, image):
    """A multilayer perceptron, with a bend behind every hidden layer."""
    x = layers.Flatten()(image)  # (batch, side * side * channels)
    for size in config.hidden:
        x = dense(config, size, "relu")(x)  # (batch, size)
        x = dropout(config)(x)
    return dense(config, classes)(x)  # (batch, classes)


def cnn(config, classes, image):
    """Stages of convolutions and pooling (LeCun et al. 1998), then an `mlp`."""
    x = image
    for filters in config.filters:
        for _ in range(config.convolutions):
            if config.padding == "pad":
                x = zeros(config)(x)  # (batch, height + kernel - 1, ..., channels)
            x = convolution(config, filters)(x)  # (batch, height, width, filters)
        x = pooling(config)(x)  # (batch, height / strides, width / strides, filters)
    return mlp(config, classes, x)


# The same as keras.Sequential


def build_sequential(config, assets):
    """The same as a keras.Sequential, which takes and gives one tensor: the picture
    (batch, side, side, channels) and the logits (batch, classes)."""
    network = {
        "perceptron": perceptron_layers,
        "mlp": mlp_layers,
        "cnn": cnn_layers,
    }[config.network]
    return keras.Sequential(
        [keras.Input(shape_of(config)), *network(config, len(assets.labels))],
        name="digits",
    )


def perceptron_layers(config, classes):
    return [layers.Flatten(), dense(config, classes)]


def mlp_layers(config, classes):
    hidden = []
    for size in config.hidden:
        hidden += [dense(config, size, "relu"), dropout(config)]
    return [layers.Flatten(), *hidden, dense(config, classes)]


def cnn_layers(config, classes):
    stages = []
    for filters in config.filters:
        for _ in range(config.convolutions):
            stages += [zeros(config)] if config.padding == "pad" else []
            stages += [convolution(config, filters)]
        stages += [pooling(config)]
    return [*stages, *mlp_layers(config, classes)]


# Their parts


def shape_of(config):
    """Of a picture: (height, width, channels)."""
    return config.side, config.side, config.channels


def dense(config, units, activation=None):
    return layers.Dense(units, activation, kernel_regularizer=regularizer(config))


def dropout(config):
    return layers.Dropout(config.dropout, seed=config.seed)


def zeros(config):
    """What "same" adds, as a layer of its own: kernel // 2 at the left and above, and
    with an even kernel one less there."""
    before = (config.kernel - 1) // 2
    both = (before, config.kernel - 1 - before)
    return layers.ZeroPadding2D((both, both))


def convolution(config, filters):
    padding = "same" if config.padding == "same" else "valid"
    return layers.Conv2D(
        filters,
        config.kernel,
        padding=padding,
        activation="relu",
        kernel_regularizer=regularizer(config),
    )


def pooling(config):
    kind = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
    return kind[config.pool](config.pool_size, config.strides, padding="same")


def regularizer(config):
    if not (config.l1 or config.l2):
        return None
    return keras.regularizers.L1L2(config.l1, config.l2)
