"""The one picture decoder: in the graph, for training, evaluation and export alike."""

import functools
import os
import pathlib

import tensorflow as tf

from ..data import kept
from ..data.parts import DATA_SERVICE
from ..errors import UserError
from . import picture_formats as formats

# A larger picture counts as broken. It is about what the largest cameras take, and
# resizing it needs about 1 GB; a few hostile kilobytes can claim much more. What a
# file claims stands in its header, and is compared before anything is decoded.
MAX_PIXELS = 2**26

_CHUNK = 512  # files that `read` holds in memory undecoded


def decode(image_bytes, size):
    """Decode pictures to squares of one size.

    JPEG, PNG, GIF, BMP and WebP, of an animation the first frame; grey, palette,
    colour or CMYK, with or without alpha, 8 or 16 bit. Transparent parts lie on white.
    A picture is scaled to fit (bilinear, antialiased) and centred on white, so its
    shape is kept; one that is size x size already is not touched. A JPEG is turned
    upright as its EXIF says; the other formats, where no camera writes it, are not.

    What cannot be decoded gives a white square and `ok` False, and changes nothing
    else in the batch: no bytes at all, other files, truncated ones, a damaged header
    or checksum, a header that claims more than `MAX_PIXELS`; also BMP with fewer than
    8 bits a pixel or run-length compression. What no decoder can notice stays `ok`: a
    JPEG, GIF or BMP whose damage reads as other colours, junk behind the picture's
    end, and damaged EXIF, which counts as none.

    Args:
        image_bytes: string tensor of any shape, usually () or (batch,).
        size: height and width of the result in pixels, an int.

    Returns:
        `(pixels, ok)`: uint8 (..., size, size, 3) and bool (...), where `...` is the
        shape of `image_bytes`.
    """
    flat = tf.reshape(image_bytes, [-1])
    count = tf.size(flat, out_type=tf.int64)

    # An error cannot be caught in a graph, except in a tf.data pipeline, which can
    # leave out the elements that raise one. The index tells which ones arrived.
    pictures = tf.data.Dataset.range(count).map(
        lambda i: (i, _decode_one(flat[i], size)), num_parallel_calls=tf.data.AUTOTUNE
    )
    # One more, in row `count`: there is a batch even if all others are missing.
    white = tf.fill([size, size, 3], tf.constant(255, tf.uint8))
    last = tf.data.Dataset.from_tensors((count, white))
    pictures = pictures.ignore_errors().concatenate(last)
    rows, arrived = pictures.batch(count + 1).get_single_element()

    pixels = tf.fill([count + 1, size, size, 3], tf.constant(255, tf.uint8))
    pixels = tf.tensor_scatter_nd_update(pixels, rows[:, None], arrived)[:count]
    ok = tf.scatter_nd(rows[:, None], tf.ones_like(rows), [count + 1])[:count] > 0

    shape = tf.shape(image_bytes)
    pixels = tf.reshape(pixels, tf.concat([shape, [size, size, 3]], axis=0))
    return pixels, tf.reshape(ok, shape)


def read(files, size):
    """Decode pictures into memory, by `decode`.

    Args:
        files: list of paths (str) or of encoded pictures (bytes).
        size: height and width of the result in pixels.

    Returns:
        uint8 (n, size, size, 3).

    Raises:
        UserError: a file is missing or cannot be decoded; the message names it.
    """
    parts = list(_read_chunks(files, size))
    return tf.concat(parts or [tf.zeros([0, size, size, 3], tf.uint8)], axis=0)


def _read_chunks(files, size):
    """As `read`, some pictures after the others."""
    decode_batch = decoder(size)
    for start in range(0, len(files), _CHUNK):
        chunk = files[start : start + _CHUNK]
        pixels, ok = decode_batch(tf.constant([_contents(file) for file in chunk]))
        for i, (file, is_ok) in enumerate(zip(chunk, ok.numpy(), strict=True), start):
            if not is_ok:
                name = f"picture {i}" if isinstance(file, bytes) else file
                raise UserError(
                    f"{name}: expected a JPEG, PNG, GIF, BMP or WebP picture, received "
                    "something that cannot be decoded as one."
                )
        yield pixels


def picker(files, size):
    """A function for `tf.data` that looks pictures up by their index.

    They are decoded once, here, and kept by `kept.picker`. Only a tf.data service,
    which has no temporary file, decodes many of them every time anew, from the bytes
    or the paths, and one that is broken is white.

    Args:
        files: as for `read`.
        size: height and width in pixels.

    Returns:
        function of indices int (n,) -> pixels uint8 (n, size, size, 3).

    Raises:
        UserError: as `read` does, or the temporary file cannot be written.
    """
    about = len(files), (size, size, 3), tf.uint8
    if os.environ.get(DATA_SERVICE) and not kept.in_memory(*about):
        encoded = tf.constant(files)

        def decode_again(indices):
            contents = tf.gather(encoded, indices)
            if isinstance(files[0], str):
                contents = tf.map_fn(tf.io.read_file, contents)
            return decode(contents, size)[0]

        return decode_again

    return kept.picker(_read_chunks(files, size), *about)


def kept_in(count, size):
    """Where `picker` keeps so many pictures, for people."""
    return f"pictures decoded once, {kept.kept_in(count, (size, size, 3), tf.uint8)}"


def shift_and_zoom(pixels, shift, zoom, seed):
    """Move and scale every picture at random, as a pure function of `seed`.

    Args:
        pixels: uint8 (batch, size, size, 3).
        shift: at most, as a share of the side.
        zoom: at most, in or out, as a share.
        seed: int32 (2,).

    Returns:
        uint8 (batch, size, size, 3); what was outside of the picture is white.
    """
    if not (shift or zoom):
        return pixels
    batch, size = tf.shape(pixels)[0], pixels.shape[1]
    draws = tf.random.stateless_uniform([batch, 3], seed, -1.0, 1.0)
    half = (1 + zoom * draws[:, 0]) / 2
    y, x = 0.5 + shift * draws[:, 1], 0.5 + shift * draws[:, 2]
    boxes = tf.stack([y - half, x - half, y + half, x + half], axis=1)
    moved = tf.image.crop_and_resize(
        pixels, boxes, tf.range(batch), [size, size], extrapolation_value=255
    )
    return tf.cast(tf.round(moved), tf.uint8)


def turned(pixels, degrees, seed):
    """Turn and slant every picture at random, as a pure function of `seed`.

    Args:
        pixels: uint8 (batch, size, size, 3).
        degrees: at most, each.
        seed: int32 (2,).

    Returns:
        uint8 (batch, size, size, 3); what was outside is as the nearest edge.
    """
    batch, size = tf.shape(pixels)[0], pixels.shape[1]
    most = degrees * 3.14159265 / 180
    draws = tf.random.stateless_uniform([batch, 2], seed, -most, most)
    angle, slant = draws[:, 0], tf.tan(draws[:, 1])
    cos, sin = tf.cos(angle), tf.sin(angle)
    # Where a pixel (x, y) stems from: (a x + b y + c, d x + e y + f).
    a, b, d, e = cos, cos * slant - sin, sin, sin * slant + cos
    middle = (size - 1) / 2
    c, f = middle - (a + b) * middle, middle - (d + e) * middle
    none = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=tf.stack([a, b, c, d, e, f, none, none], axis=1),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def extents(pixels):
    """Where each picture lies, and where its edge is, bool (batch, size, size) each.

    A picture that is no square lies on white (see `pictures.decode`), which is no part
    of it: two opposite bars of pure white are left out.
    """
    size = pixels.shape[1]
    drawn = tf.reduce_any(pixels < 255, axis=-1)
    rows, columns = (tf.reduce_any(drawn, axis=axis) for axis in (2, 1))
    spans = [line[:, 0] & line[:, -1] for line in (rows, columns)]
    bounds, narrower = [], []
    for line, other in zip((rows, columns), reversed(spans), strict=True):
        first, last = extent(line)
        first, last = tf.where(other, first, 0), tf.where(other, last, size - 1)
        bounds.append((first, last))
        narrower.append((first + 1, last - 1))
    inside = box(size, *bounds)
    return inside, inside & ~box(size, *narrower)


def box(size, rows, columns):
    """A box as bool (batch, size, size). rows, columns: the first and the last, int32
    (batch,) each."""
    places = tf.range(size)
    inside = [
        (places >= first[:, None]) & (places <= last[:, None])
        for first, last in (rows, columns)
    ]
    return inside[0][:, :, None] & inside[1][:, None]


def extent(line):
    """The first and the last place that is set, int32 (batch,) each; of a line
    without one all of it. line: bool (batch, size)."""
    marks = tf.cast(line, tf.int32)
    first = tf.argmax(marks, axis=1, output_type=tf.int32)
    behind = tf.argmax(marks[:, ::-1], axis=1, output_type=tf.int32)
    return first, line.shape[1] - 1 - behind


@functools.cache
def decoder(size):
    """`decode` of a batch as a graph, traced once for all its users, in 3 s."""
    return tf.function(
        lambda contents: decode(contents, size),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


def _contents(file):
    if isinstance(file, bytes):
        return file
    try:
        return pathlib.Path(file).read_bytes()
    except OSError as error:
        raise UserError(
            f"{file}: the picture cannot be read: {error.strerror}."
        ) from None


def _decode_one(data, size):
    """One picture, or an error of the graph: string () -> uint8 (size, size, 3)."""
    data = tf.cond(
        formats.has(data, b"RIFF"), lambda: formats.still_webp(data), lambda: data
    )
    refused = tf.debugging.assert_less_equal(
        formats.claimed_pixels(data), tf.constant(MAX_PIXELS, tf.int64)
    )
    with tf.control_dependencies([refused]):
        data = tf.identity(data)
    data = tf.cond(
        formats.has(data, b"GIF"),
        lambda: formats.first_gif_frame(data, MAX_PIXELS),
        lambda: data,
    )
    pixels = tf.io.decode_image(data, channels=0, expand_animations=False)
    pixels = tf.cond(
        formats.has(data, b"BM"),
        lambda: formats.bmp_colours(data, pixels),
        lambda: pixels,
    )
    pixels = tf.cond(
        formats.has(data, b"\xff\xd8"),
        lambda: formats.turn_upright(pixels, formats.exif_orientation(data)),
        lambda: pixels,
    )
    return _letterbox(_on_white(pixels), size)


def _on_white(pixels):
    """uint8 (h, w, 1 to 4), alpha last if even -> float32 (h, w, 3)."""
    channels = tf.shape(pixels)[2]
    has_alpha = channels % 2 == 0
    values = tf.cast(pixels, tf.float32)
    colours = values[:, :, : channels - tf.cast(has_alpha, tf.int32)]
    alpha = tf.cond(
        has_alpha, lambda: values[:, :, -1:] / 255, lambda: tf.ones([1, 1, 1])
    )
    composed = colours * alpha + 255 * (1 - alpha)
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    return tf.broadcast_to(composed, [height, width, 3])


def _letterbox(picture, size):
    """Fit into a square on white: float32 (h, w, 3) -> uint8 (size, size, 3)."""
    shape = tf.shape(picture)[:2]
    scaled = (
        tf.cast(shape, tf.float32) * size / tf.cast(tf.reduce_max(shape), tf.float32)
    )
    scaled = tf.maximum(tf.cast(tf.round(scaled), tf.int32), 1)
    picture = tf.cond(
        tf.reduce_all(scaled == shape),
        lambda: picture,
        lambda: tf.image.resize(picture, scaled, antialias=True),
    )
    before = (size - scaled) // 2
    after = size - scaled - before
    padding = [[before[0], after[0]], [before[1], after[1]], [0, 0]]
    square = tf.pad(picture, padding, constant_values=255)
    square = tf.cast(tf.round(tf.clip_by_value(square, 0, 255)), tf.uint8)
    return tf.ensure_shape(square, [size, size, 3])
