"""Networks of keras.applications that turn a picture into regions."""

import keras
from keras import layers

from ..errors import UserError


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
