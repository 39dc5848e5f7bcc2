"""What stands in the headers of picture files, read and changed in the graph.

TensorFlow's decoders leave out how a JPEG lies, whether a GIF or a BMP is transparent,
and how much a file claims to hold; these functions make up for it. All take a file's
content, a string tensor (), and must hold for hostile ones.
"""

import tensorflow as tf


def has(data, signature, at=0):
    return tf.strings.substr(data, at, len(signature)) == signature


def first_codes(data, first):
    """The first bytes of a file as numbers, uint8 (at most `first`,)."""
    return tf.io.decode_raw(tf.strings.substr(data, 0, first), tf.uint8)


def number(codes, at, size, little=True):
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


def claimed_pixels(data):
    """Width times height as the header has them, int64."""
    codes = first_codes(data, 32)

    def jpeg():
        shape = tf.io.extract_jpeg_shape(data, output_type=tf.int64)
        return shape[0] * shape[1]

    def png():
        return number(codes, 16, 4, little=False) * number(codes, 20, 4, little=False)

    def bmp():
        height = number(codes, 22, 4)  # Negative where the rows go downwards.
        return number(codes, 18, 4) * tf.minimum(height, 2**32 - height)

    def webp():
        bits = number(codes, 21, 4)
        return tf.case(
            [
                (
                    has(data, b"VP8 ", 12),
                    lambda: (
                        number(codes, 26, 2) % 2**14 * (number(codes, 28, 2) % 2**14)
                    ),
                ),
                (
                    has(data, b"VP8L", 12),
                    lambda: (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1),
                ),
            ],
            default=lambda: (number(codes, 24, 3) + 1) * (number(codes, 27, 3) + 1),
        )

    return tf.case(
        [
            (has(data, b"\xff\xd8"), jpeg),
            (has(data, b"\x89PNG"), png),
            (has(data, b"GIF"), lambda: number(codes, 6, 2) * number(codes, 8, 2)),
            (has(data, b"BM"), bmp),
            (has(data, b"RIFF"), webp),
        ],
        # None of the five is refused, whatever a newer decoder knows beside them.
        default=lambda: tf.constant(tf.int64.max, tf.int64),
    )


def exif_orientation(data):
    """How a JPEG lies, 1 to 8 by its EXIF, or 1 where that does not say; int64 ().

    EXIF (CIPA DC-008) is a segment of the JPEG with a TIFF file in it, whose first
    table holds entries of 12 bytes: tag, type, count, value.
    """
    # It is the first segment or the second, and none is longer than 64 KB.
    codes = first_codes(data, 2**17)
    places = tf.size(codes) - 9
    marker = b"\xff\xe1__Exif\0\0"  # two bytes of length
    is_exif = tf.fill([places], True)
    for i in (0, 1, 4, 5, 6, 7, 8, 9):
        is_exif &= codes[i : i + places] == marker[i]
    found = tf.where(is_exif)[:, 0]  # (n,)

    def orientation():
        tiff = found[0] + len(marker)
        little = codes[tiff] == ord("I")
        table = tiff + number(codes, tiff + 4, 4, little)
        count = tf.minimum(number(codes, table, 2, little), 1000)
        entries = table + 2 + 12 * tf.range(count)
        values = number(codes, entries + 8, 2, little)
        values = tf.where(number(codes, entries, 2, little) == 0x0112, values, 1)
        value = tf.reduce_max(tf.concat([[1], values], axis=0))
        return tf.where(value <= 8, value, 1)

    return tf.cond(tf.size(found) > 0, orientation, lambda: tf.constant(1, tf.int64))


def turn_upright(pixels, orientation):
    """Undo how the camera was held: (h, w, channels), as EXIF's table 6 says."""

    def turn(pixels, orientations, turned):
        is_one = tf.reduce_any(orientation == tf.constant(orientations, tf.int64))
        return tf.cond(is_one, lambda: turned(pixels), lambda: pixels)

    pixels = turn(pixels, [5, 6, 7, 8], lambda p: tf.transpose(p, [1, 0, 2]))
    pixels = turn(pixels, [2, 3, 6, 7], lambda p: tf.reverse(p, [1]))
    return turn(pixels, [3, 4, 7, 8], lambda p: tf.reverse(p, [0]))


def still_webp(data):
    """A WebP as it is, or of an animated one the first frame as a file of its own.

    TensorFlow 2.21 writes all frames into the room of one, over the memory behind it
    (`decode_image` with `expand_animations=False`).
    """
    moves = has(data, b"VP8X", 12) & (
        number(first_codes(data, 32), 20, 1) // 2 % 2 == 1
    )

    def first_frame():
        codes = tf.io.decode_raw(data, tf.uint8)
        frame = tf.while_loop(
            lambda at: number(codes, at, 4) != int.from_bytes(b"ANMF", "little"),
            lambda at: [at + 8 + (number(codes, at + 4, 4) + 1) // 2 * 2],
            [tf.constant(12, tf.int64)],
            maximum_iterations=64,  # A hostile file has a chunk every eight bytes.
        )[0]
        size = number(codes, frame + 4, 4)
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


def first_gif_frame(data, max_pixels):
    """A GIF with its first frame only, and that frame's transparent colour white.

    The decoder unpacks all frames, of which a small file may hold thousands. And it
    paints what is transparent black, and no alpha comes out of it. A frame that claims
    more than `max_pixels` is an error of the graph.
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
        number(codes, frame + 5, 2) * number(codes, frame + 7, 2),
        tf.constant(max_pixels, tf.int64),
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


def bmp_colours(data, pixels):
    """What the decoder leaves out of a BMP: its palette, and whether alpha is meant."""
    codes = tf.cast(
        tf.io.decode_raw(tf.strings.substr(data, 0, 2048), tf.uint8), tf.int32
    )

    def field(at):
        return codes[at] + 256 * codes[at + 1]

    start, table, compression = field(10), 14 + field(14), field(30)

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
