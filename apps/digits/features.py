"""From a picture to what the networks see: ink on paper, the digit in the middle.

LeCun et al. (1998) scaled every digit of MNIST into a box of 20 x 20 pixels and put its
centre of mass in the middle of 28 x 28. `centred` does the same to any picture, so that
a photo of a digit looks as what was learned: black on white or white on black, large or
small, wherever it stands. A picture of MNIST keeps its place and its size.
"""

import tensorflow as tf

from ..core.inputs.pictures import box, extent, extents
from .config import SIDE

BOX, MIDDLE = 20, 14  # pixels
INK = 0.2  # of the darkest ink: what is fainter is paper, or its noise
FAINTEST = 0.1  # contrast, of 1, below which a picture is blank


def as_seen(config, pixels):
    """What the networks see of decoded pictures.

    Args:
        config: with `centre` and `channels`.
        pixels: uint8 (batch, size, size, 3).

    Returns:
        float32 (batch, side, side, channels), 0 to 1.
    """
    image = tf.cast(pixels, tf.float32) / 255
    if config.channels == 1:
        image = tf.image.rgb_to_grayscale(image)
    return centred(ink(image, *extents(pixels))) if config.centre else image


def ink(image, inside, is_edge):
    """How far each pixel is from the paper, scaled so that the farthest is 1.

    Args:
        image: float32 (batch, size, size, channels).
        inside, is_edge: bool (batch, size, size), where the picture lies, and its edge,
            whose median is the colour of the paper.
    """
    flat = tf.where(is_edge[..., None], image, 2.0)
    flat = tf.reshape(flat, [tf.shape(image)[0], -1, image.shape[-1]])
    ordered = tf.sort(flat, axis=1)  # those of no edge last
    half = tf.reduce_sum(tf.cast(is_edge, tf.int32), axis=[1, 2]) // 2
    paper = tf.gather(ordered, half, axis=1, batch_dims=1)[:, None, None]
    distance = tf.where(inside[..., None], tf.abs(image - paper), 0.0)
    most = tf.reduce_max(distance, axis=[1, 2, 3], keepdims=True)
    return tf.where(most < FAINTEST, 0.0, distance / tf.maximum(most, FAINTEST))


def centred(image):
    """The digit in its box, its centre of mass in the middle.

    Args:
        image: float32 (batch, size, size, channels), 0 where there is no ink.

    Returns:
        float32 (batch, SIDE, SIDE, channels).
    """
    mass = tf.reduce_mean(image, axis=-1)  # (batch, size, size)
    bounds = [extent(tf.reduce_any(mass > INK, axis=axis)) for axis in (2, 1)]
    sides = [last - first + 1 for first, last in bounds]
    # Pixels of the picture per pixel of the result.
    step = tf.cast(tf.maximum(*sides), tf.float32) / BOX
    mass = tf.where(box(image.shape[1], *bounds), mass, 0.0)
    rows, columns = (
        resampling(tf.reduce_sum(mass, axis=axis), step) for axis in (2, 1)
    )
    return tf.einsum("brh,bhwc,bsw->brsc", rows, image, columns)


def resampling(line, step):
    """Which pixels make a pixel of the result, along one axis: triangles around where
    it stems from (linear interpolation, antialiased).

    Args:
        line: float32 (batch, size), the mass. step: float32 (batch,).

    Returns:
        float32 (batch, SIDE, size).
    """
    places = tf.range(line.shape[1], dtype=tf.float32)
    total = tf.reduce_sum(line, axis=1)
    middle = tf.math.divide_no_nan(tf.linalg.matvec(line, places), total)
    # By whole pixels of the result: as MNIST's, so that those stay what they are.
    shift = tf.round((middle + 0.5) / step - 0.5 - MIDDLE)[:, None]
    step = step[:, None]
    centre = step * (tf.range(SIDE, dtype=tf.float32) + 0.5 + shift) - 0.5
    width = tf.maximum(step, 1.0)[:, None]
    weights = tf.nn.relu(1 - tf.abs(places - centre[..., None]) / width)
    # Beyond the picture is paper: there the sum is less than a triangle's.
    return weights / tf.maximum(tf.reduce_sum(weights, axis=2, keepdims=True), width)
