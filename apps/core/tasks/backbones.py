"""Networks that turn a picture into regions: small ones, and those of
keras.applications."""

import keras
from keras import layers, ops

from ..errors import UserError


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
