"""Fixed filters: the gradient of a picture by Sobel's and by Scharr's weights.

One column for differences, another for smoothing across them:

    dx = d_x s_y * image     d = [-1, 0, 1]    s = [1, 2, 1] (Sobel)
    dy = d_y s_x * image                           [3, 10, 3] (Scharr)

as a correlation, so that dx is positive where the picture gets brighter to the right,
and dy where it does downwards.
"""

import keras
from keras import layers, ops

BORDERS = ("reflect", "zero", "valid")
OUTPUTS = ("gradient", "magnitude", "direction")


class Gradient(layers.Layer):
    """The base of `Sobel` and `Scharr`: filters without weights that are learned.

    Args:
        border: what is beyond the edge. "reflect": the picture in a mirror, whose edge
            pixel stands once (OpenCV's default, BORDER_REFLECT_101); "zero"; "valid":
            nothing, and the result is two pixels smaller in both directions.
        output: "gradient", both parts; "magnitude", sqrt(dx² + dy²); or "direction",
            atan2(dy, dx) in radians from -pi to pi, 0 where there is no gradient.

    Call arguments: images (batch, height, width, channels), each channel by itself;
    with "reflect" of two pixels a side at least, with "valid" of three.

    Output: of "gradient" (batch, height, width, channels, 2), dy first, as
    `keras.ops.image.sobel_edges` has it; else (batch, height, width, channels). In the
    layer's dtype; integers should be cast to one that holds negative numbers.
    """

    smoothing: tuple[int, int]  # the middle, and both its neighbours

    def __init__(self, border="reflect", output="gradient", **kwargs):
        super().__init__(**kwargs)
        for name, value, known in (
            ("border", border, BORDERS),
            ("output", output, OUTPUTS),
        ):
            if value not in known:
                raise ValueError(
                    f"{name}: expected one of {known}; received {value!r}."
                )
        self.border, self.gives = border, output

    def build(self, images_shape):
        least = {"reflect": 2, "zero": 1, "valid": 3}[self.border]
        sides = images_shape[1:3]
        if len(images_shape) != 4 or any(s is not None and s < least for s in sides):
            raise ValueError(
                "images: expected (batch, height, width, channels) of "
                f"{least} pixels a side at least with border={self.border!r}; received "
                f"the shape {tuple(images_shape)}."
            )
        self.built = True

    def call(self, images):
        if self.border == "reflect":
            images = mirrored(images)
        elif self.border == "zero":
            images = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
        dy = self._smooth(difference(images, 1), 2)
        dx = self._smooth(difference(images, 2), 1)
        if self.gives == "magnitude":
            square = dx * dx + dy * dy
            # The slope of the root at 0 is infinite, and would make NaN of all others.
            root = ops.sqrt(ops.where(square > 0, square, 1.0))
            return ops.where(square > 0, root, 0.0)
        if self.gives == "direction":
            return ops.arctan2(dy, dx)
        return ops.stack([dy, dx], axis=-1)

    def _smooth(self, images, axis):
        before, here, after = windows(images, axis)
        middle, beside = self.smoothing
        return middle * here + beside * (before + after)

    def compute_output_shape(self, images_shape):
        batch, *sides, channels = images_shape
        if self.border == "valid":
            sides = [None if side is None else side - 2 for side in sides]
        both = (2,) if self.gives == "gradient" else ()
        return (batch, *sides, channels, *both)

    def get_config(self):
        return {**super().get_config(), "border": self.border, "output": self.gives}


@keras.saving.register_keras_serializable(package="saccade")
class Sobel(Gradient):
    """Sobel's gradient of pictures (Sobel & Feldman 1968): smoothing [1, 2, 1].

    In float64, and of pixels that are whole numbers, equal to `cv2.Sobel(...,
    cv2.CV_64F, ksize=3)` to the bit; of others but for the order of rounding.
    """

    __doc__ += Gradient.__doc__.partition("\n")[2]
    smoothing = 2, 1


@keras.saving.register_keras_serializable(package="saccade")
class Scharr(Gradient):
    """Scharr's gradient of pictures (Scharr 2000): smoothing [3, 10, 3], chosen so that
    the direction of an edge comes out nearly right, whatever it is.

    In float64, and of pixels that are whole numbers, equal to `cv2.Scharr(...,
    cv2.CV_64F)` to the bit; of others but for the order of rounding. Its weights sum up
    to four times those of `Sobel`.
    """

    __doc__ += Gradient.__doc__.partition("\n")[2]
    smoothing = 10, 3


def mirrored(images):
    """One pixel more on every side, (batch, height + 2, width + 2, channels): what
    stands one pixel inside of the edge. TensorFlow's own needs a row in the batch."""
    rows = [images[:, 1:2], images, images[:, -2:-1]]
    images = ops.concatenate(rows, axis=1)
    columns = [images[:, :, 1:2], images, images[:, :, -2:-1]]
    return ops.concatenate(columns, axis=2)


def windows(images, axis):
    """What stands before, at and behind every inner place of an axis, 1 or 2."""
    if axis == 1:
        return images[:, :-2], images[:, 1:-1], images[:, 2:]
    return images[:, :, :-2], images[:, :, 1:-1], images[:, :, 2:]


def difference(images, axis):
    """What comes behind less what came before, (-1, 0, 1)."""
    before, _, after = windows(images, axis)
    return after - before
