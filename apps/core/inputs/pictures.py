"""The one picture decoder: in the graph, for training, evaluation and export alike."""

import functools
import os
import pathlib
import tempfile

import numpy as np
import rich.filesize
import tensorflow as tf

from ..data.parts import DATA_SERVICE
from ..errors import UserError
from ..files.scratch import Scratch

# A larger picture counts as broken. It is about what the largest cameras take, and
# resizing it needs about 1 GB; a few hostile kilobytes can claim much more. What a
# file claims stands in its header, and is compared before anything is decoded.
MAX_PIXELS = 2**26
MAX_MEMORY = 2**28  # bytes of decoded pictures that `picker` keeps in memory

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
    decode_batch = _decoder(size)
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

    They are decoded once, here. If not all of them fit into `MAX_MEMORY`, a temporary
    file takes them: memory stays as it is, however many there are. Only a tf.data
    service, which has no such file, decodes them every time anew then, from the bytes
    or the paths, and one that is broken is white.

    Args:
        files: as for `read`.
        size: height and width in pixels.

    Returns:
        function of indices int (n,) -> pixels uint8 (n, size, size, 3).

    Raises:
        UserError: as `read` does, or the temporary file cannot be written.
    """
    if decoded_bytes(len(files), size) <= MAX_MEMORY:
        pixels = read(files, size)
        return lambda indices: tf.gather(pixels, indices)

    if os.environ.get(DATA_SERVICE):
        encoded = tf.constant(files)

        def pick_anew(indices):
            contents = tf.gather(encoded, indices)
            if isinstance(files[0], str):
                contents = tf.map_fn(tf.io.read_file, contents)
            return decode(contents, size)[0]

        return pick_anew

    store, bytes_each = Scratch(), decoded_bytes(1, size)
    for chunk in _read_chunks(files, size):
        store.append(chunk.numpy())

    def look(indices):
        found = [store.read(i * bytes_each, bytes_each) for i in indices]
        return np.frombuffer(b"".join(found), np.uint8).reshape(-1, size, size, 3)

    def pick(indices):
        pixels = tf.numpy_function(look, [indices], tf.uint8)
        return tf.ensure_shape(pixels, [indices.shape[0], size, size, 3])

    return pick


def decoded_bytes(count, size):
    """What so many pictures take."""
    return count * size * size * 3


def kept_in(count, size):
    """Where `picker` keeps so many pictures, for people."""
    needed = decoded_bytes(count, size)
    place = f"a temporary file of {tempfile.gettempdir()}"
    if needed <= MAX_MEMORY:
        place = "memory"
    return f"pictures decoded once, {rich.filesize.decimal(needed)} in {place}"


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
    batch, size = tf.shape(pixels)[0], pixels.shape[1]
    draws = tf.random.stateless_uniform([batch, 3], seed, -1.0, 1.0)
    half = (1 + zoom * draws[:, 0]) / 2
    y, x = 0.5 + shift * draws[:, 1], 0.5 + shift * draws[:, 2]
    boxes = tf.stack([y - half, x - half, y + half, x + half], axis=1)
    moved = tf.image.crop_and_resize(
        pixels, boxes, tf.range(batch), [size, size], extrapolation_value=255
    )
    return tf.cast(tf.round(moved), tf.uint8)


@functools.cache
def _decoder(size):
    """`decode` of a batch as a graph, traced once."""
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
    data = tf.cond(_has(data, b"RIFF"), lambda: _still_webp(data), lambda: data)
    refused = tf.debugging.assert_less_equal(
        _claimed_pixels(data), tf.constant(MAX_PIXELS, tf.int64)
    )
    with tf.control_dependencies([refused]):
        data = tf.identity(data)
    data = tf.cond(_has(data, b"GIF"), lambda: _first_frame(data), lambda: data)
    pixels = tf.io.decode_image(data, channels=0, expand_animations=False)
    pixels = tf.cond(
        _has(data, b"BM"), lambda: _bmp_colours(data, pixels), lambda: pixels
    )
    pixels = tf.cond(
        _has(data, b"\xff\xd8"),
        lambda: _upright(pixels, _exif_orientation(data)),
        lambda: pixels,
    )
    return _letterbox(_on_white(pixels), size)


def _has(data, signature, at=0):
    return tf.strings.substr(data, at, len(signature)) == signature


def _codes(data, first):
    """The first bytes of a file as numbers, uint8 (at most `first`,)."""
    return tf.io.decode_raw(tf.strings.substr(data, 0, first), tf.uint8)


def _number(codes, at, size, little=True):
    """The unsigned number in `size` bytes from `at` on; int64, shaped like `at`.

    Bytes behind the end count as 0: a file may name any place.
    """
    places = tf.cast(at, tf.int64)[..., None] + tf.range(size, dtype=tf.int64)
    count = tf.size(codes, out_type=tf.int64)
    inside = (places >= 0) & (places < count)
    values = tf.gather(codes, tf.where(inside, places, 0))
    values = tf.where(inside, tf.cast(values, tf.int64), 0)
    powers = tf.constant([256**i for i in range(size)], tf.int64)
    return tf.reduce_sum(values * tf.where(little, powers, powers[::-1]), axis=-1)


def _claimed_pixels(data):
    """Width times height as the header has them, int64."""
    codes = _codes(data, 32)

    def jpeg():
        shape = tf.io.extract_jpeg_shape(data, output_type=tf.int64)
        return shape[0] * shape[1]

    def png():
        return _number(codes, 16, 4, little=False) * _number(codes, 20, 4, little=False)

    def bmp():
        height = _number(codes, 22, 4)  # Negative where the rows go downwards.
        return _number(codes, 18, 4) * tf.minimum(height, 2**32 - height)

    def webp():
        bits = _number(codes, 21, 4)
        return tf.case(
            [
                (
                    _has(data, b"VP8 ", 12),
                    lambda: (
                        _number(codes, 26, 2) % 2**14 * (_number(codes, 28, 2) % 2**14)
                    ),
                ),
                (
                    _has(data, b"VP8L", 12),
                    lambda: (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1),
                ),
            ],
            default=lambda: (_number(codes, 24, 3) + 1) * (_number(codes, 27, 3) + 1),
        )

    return tf.case(
        [
            (_has(data, b"\xff\xd8"), jpeg),
            (_has(data, b"\x89PNG"), png),
            (_has(data, b"GIF"), lambda: _number(codes, 6, 2) * _number(codes, 8, 2)),
            (_has(data, b"BM"), bmp),
            (_has(data, b"RIFF"), webp),
        ],
        # None of the five is refused, whatever a newer decoder knows beside them.
        default=lambda: tf.constant(tf.int64.max, tf.int64),
    )


def _exif_orientation(data):
    """How a JPEG lies, 1 to 8 by its EXIF, or 1 where that does not say; int64 ().

    EXIF (CIPA DC-008) is a segment of the JPEG with a TIFF file in it, whose first
    table holds entries of 12 bytes: tag, type, count, value.
    """
    # It is the first segment or the second, and none is longer than 64 KB.
    codes = _codes(data, 2**17)
    places = tf.size(codes) - 9
    marker = b"\xff\xe1__Exif\0\0"  # two bytes of length
    is_exif = tf.fill([places], True)
    for i in (0, 1, 4, 5, 6, 7, 8, 9):
        is_exif &= codes[i : i + places] == marker[i]
    found = tf.where(is_exif)[:, 0]  # (n,)

    def orientation():
        tiff = found[0] + len(marker)
        little = codes[tiff] == ord("I")
        table = tiff + _number(codes, tiff + 4, 4, little)
        count = tf.minimum(_number(codes, table, 2, little), 1000)
        entries = table + 2 + 12 * tf.range(count)
        said = _number(codes, entries + 8, 2, little)
        said = tf.where(_number(codes, entries, 2, little) == 0x0112, said, 1)
        said = tf.reduce_max(tf.concat([[1], said], axis=0))
        return tf.where(said <= 8, said, 1)

    return tf.cond(tf.size(found) > 0, orientation, lambda: tf.constant(1, tf.int64))


def _upright(pixels, orientation):
    """Undo how the camera was held: (h, w, channels), as EXIF's table 6 says."""

    def turn(pixels, orientations, turned):
        it_is = tf.reduce_any(orientation == tf.constant(orientations, tf.int64))
        return tf.cond(it_is, lambda: turned(pixels), lambda: pixels)

    pixels = turn(pixels, [5, 6, 7, 8], lambda p: tf.transpose(p, [1, 0, 2]))
    pixels = turn(pixels, [2, 3, 6, 7], lambda p: tf.reverse(p, [1]))
    return turn(pixels, [3, 4, 7, 8], lambda p: tf.reverse(p, [0]))


def _still_webp(data):
    """A WebP as it is, or of an animated one the first frame as a file of its own.

    TensorFlow 2.21 writes all frames into the room of one, over the memory behind it
    (`decode_image` with `expand_animations=False`).
    """
    moves = _has(data, b"VP8X", 12) & (_number(_codes(data, 32), 20, 1) // 2 % 2 == 1)

    def first_frame():
        codes = tf.io.decode_raw(data, tf.uint8)
        frame = tf.while_loop(
            lambda at: _number(codes, at, 4) != int.from_bytes(b"ANMF", "little"),
            lambda at: [at + 8 + (_number(codes, at + 4, 4) + 1) // 2 * 2],
            [tf.constant(12, tf.int64)],
            maximum_iterations=64,  # A hostile file has a chunk every eight bytes.
        )[0]
        size = _number(codes, frame + 4, 4)
        sides = tf.strings.substr(data, frame + 14, 6)
        # The picture, before it perhaps its alpha, which the fourth part announces.
        picture = tf.strings.substr(data, frame + 24, size - 16)
        alpha = b"\x10\0\0\0"
        body = tf.strings.join([b"WEBP", b"VP8X", b"\x0a\0\0\0", alpha, sides, picture])
        letters = tf.constant([bytes([i]) for i in range(256)])
        length = tf.bitcast(tf.strings.length(body), tf.uint8)  # (4,), lowest first
        length = tf.gather(letters, tf.cast(length, tf.int32))
        return tf.strings.join([b"RIFF", tf.strings.reduce_join(length), body])

    return tf.cond(moves, first_frame, lambda: data)


def _first_frame(data):
    """A GIF with its first frame only, and that frame's transparent colour white.

    The decoder unpacks all frames, of which a small file may hold thousands. And it
    paints what is transparent black, and no alpha comes out of it.
    """
    codes = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)

    def table_size(flags):
        """Bytes of a colour table; a table is there if the highest bit is set."""
        size = 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
        return tf.where(flags >= 128, size, 0)

    def behind_blocks(position):
        """The place behind a chain of blocks, each its length and its bytes."""
        end = tf.while_loop(
            lambda p: codes[p] > 0, lambda p: p + codes[p] + 1, [position]
        )
        return end[0] + 1

    def extension(position, control):
        """Step over an extension; if it is a graphic control, remember it."""
        control = tf.where(codes[position + 1] == 0xF9, position, control)
        return behind_blocks(position + 2), control

    first_block = 13 + table_size(codes[10])
    frame, control = tf.while_loop(
        lambda position, _: codes[position] == 0x21, extension, [first_block, 0]
    )
    fits = tf.debugging.assert_less_equal(
        _number(codes, frame + 5, 2) * _number(codes, frame + 7, 2),
        tf.constant(MAX_PIXELS, tf.int64),
    )
    local = table_size(codes[frame + 9])
    with tf.control_dependencies([fits]):
        end = behind_blocks(frame + 10 + local + 1)
        data = tf.strings.join([tf.strings.substr(data, 0, end), b";"])
    table = tf.where(local > 0, frame + 10, 13)
    colour = table + 3 * codes[control + 6]
    is_transparent = (control > 0) & (codes[control + 3] % 2 == 1)

    def opaque():
        part = tf.strings.substr
        return tf.strings.join(
            # The control comes first if the frame has its own table, else last.
            tf.cond(
                local > 0,
                lambda: [
                    part(data, 0, control + 3),
                    b"\x00",
                    part(data, control + 4, colour - control - 4),
                    b"\xff\xff\xff",
                    part(data, colour + 3, -1),
                ],
                lambda: [
                    part(data, 0, colour),
                    b"\xff\xff\xff",
                    part(data, colour + 3, control - colour),
                    b"\x00",
                    part(data, control + 4, -1),
                ],
            )
        )

    return tf.cond(is_transparent, opaque, lambda: data)


def _bmp_colours(data, pixels):
    """What the decoder leaves out of a BMP: its palette, and whether alpha is meant."""
    codes = tf.cast(
        tf.io.decode_raw(tf.strings.substr(data, 0, 2048), tf.uint8), tf.int32
    )

    def number(at):
        return codes[at] + 256 * codes[at + 1]

    start, table, compression = number(10), 14 + number(14), number(30)

    def from_palette():
        tf.debugging.assert_equal(compression, 0)
        bgr = tf.reshape(codes[table : table + (start - table) // 4 * 4], [-1, 4])[
            :, 2::-1
        ]
        return tf.cast(tf.gather(bgr, tf.cast(pixels[:, :, 0], tf.int32)), tf.uint8)

    # Only bit fields (3) can say that the fourth byte is alpha; else it is unused.
    return tf.case(
        [
            (tf.shape(pixels)[2] == 1, from_palette),
            (compression == 0, lambda: pixels[:, :, :3]),
        ],
        default=lambda: pixels,
    )


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
