"""Networks that turn a picture into regions: small ones, and those of
keras.applications."""

import keras
import numpy as np
from keras import layers, ops
from keras.initializers import RandomNormal

from ..errors import UserError
from ..inputs import pictures
from ..training.frozen import Frozen


def add_stages(network, filters):
    """Convolutions at the end of a Sequential that takes pixels 0 to 255; every stage
    but the last halves the picture.

    The stem strides instead of pooling: at full size a convolution costs four times
    as much, and 64-pixel pictures lose nothing by it.

    Args:
        network: a `keras.Sequential`, (batch, height, width, channels) so far.
        filters: of each stage.
    """
    network.add(layers.Rescaling(1 / 127.5, offset=-1))
    for stage, count in enumerate(filters):
        width, stride = (5, 2) if stage == 0 else (3, 1)
        network.add(layers.Conv2D(count, width, stride, padding="same", use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
        if 0 < stage < len(filters) - 1:
            network.add(layers.MaxPooling2D())


@keras.saving.register_keras_serializable(package="saccade")
class Positions(layers.Layer):
    """Tells every region where it lies: (batch, regions, features) in and out.

    Adds x Wx + y Wy, with x and y from -1 to 1 across the picture and trained vectors
    Wx and Wy. A convolution sees the same everywhere, so without it a region hardly
    knows its place; sentences that say "above" or "left of" need it.
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


def build_encoder(config):
    """Picture in, regions out: (batch, size, size, 3) -> (batch, regions, features).

    Args:
        config: with `image_size`, `backbone`, `backbone_weights`, `fine_tune`,
            `filters` (of the backbone small), `positions` and `dropout`.
    """
    if config.backbone == "small":
        return small_encoder(config)
    backbone = build_backbone(
        config.backbone, config.image_size, config.backbone_weights
    )
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


def is_fixed(config):
    """Whether training leaves both the backbone and the pictures it sees as they are.

    Args:
        config: as of `build_encoder`, with `shift` and `zoom`.
    """
    trained = config.backbone == "small" or config.fine_tune
    return not (trained or config.shift or config.zoom)


def frozen_backbone(config, model):
    """See `Task.frozen`: of a model whose input `image` a layer reads that
    `build_encoder` made."""
    if not is_fixed(config):
        return None
    encoder = model.get_layer("encoder")
    backbone, *others = encoder.layers
    # Only the states of random numbers are variables and no weights. EfficientNet
    # leaves parts of itself out at random, where it is frozen too.
    if len(backbone.variables) > len(backbone.weights):
        return None
    features = keras.Input(
        backbone.output_shape[1:], dtype=backbone.compute_dtype, name="image"
    )
    behind = keras.Sequential(
        [keras.Input(features.shape[1:]), *others], name="encoder"
    )
    rest = keras.models.clone_model(
        model,
        {**model.input, "image": features},
        clone_function=lambda layer: behind if layer is encoder else layer,
    )
    return Frozen("image", backbone, rest)


def kept_of(config, count):
    """What a training keeps of so many pictures, for people."""
    if is_fixed(config):
        return "what the backbone makes of each picture, computed once"
    return pictures.kept_in(count, config.image_size)


def small_encoder(config):
    """A plain convolutional network, see `add_stages`."""
    encoder = keras.Sequential(name="encoder")
    encoder.add(keras.Input((config.image_size, config.image_size, 3)))
    add_stages(encoder, config.filters)
    encoder.add(layers.Reshape((-1, config.filters[-1])))
    if config.positions:
        encoder.add(Positions())
    encoder.add(layers.Dropout(config.dropout))
    return encoder


def encode(model, inputs):
    """What a model that begins with convolutions makes of its inputs, of an empty batch
    too.

    oneDNN's convolution gives an empty batch the shape of its input, so the model gets
    one row of zeros more where the batch may be empty.

    Args:
        inputs: a tensor or a dict of them, batch first, of one number of rows.
    """
    first = keras.tree.flatten(inputs)[0]
    if first.shape[0]:
        return model(inputs, training=False)
    count = ops.shape(first)[0]

    def with_row(tensor):
        row = ops.zeros((1, *tensor.shape[1:]), tensor.dtype)
        return ops.concatenate([tensor, row[count:]], axis=0)

    outputs = model(keras.tree.map_structure(with_row, inputs), training=False)
    return keras.tree.map_structure(lambda tensor: tensor[:count], outputs)


def build_backbone(name, size, weights="none"):
    """A network of keras.applications without its head; takes pixels 0 to 255.

    Args:
        name: one of `settings.cells.BACKBONES`. size: height and width of its pictures.
        weights: none, imagenet or the path of a .weights.h5 file.
    """
    apps = keras.applications
    builders = {
        "mobilenet": (apps.MobileNet, apps.mobilenet),
        "mobilenetv3": (apps.MobileNetV3Small, None),
        "efficientnetv2": (apps.EfficientNetV2B0, None),
        "inceptionv3": (apps.InceptionV3, apps.inception_v3),
        "resnet50v2": (apps.ResNet50V2, apps.resnet_v2),
    }
    build, module = builders[name]
    shape = (size, size, 3)
    if weights in ("none", "imagenet"):
        weights = None if weights == "none" else weights
        network = build(include_top=False, weights=weights, input_shape=shape)
    else:
        network = load_backbone(build, weights, shape)
    if module is None:  # Its first layer rescales the pixels itself.
        return network
    pixels = keras.Input(shape)
    return keras.Model(pixels, network(module.preprocess_input(pixels)), name=name)


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
