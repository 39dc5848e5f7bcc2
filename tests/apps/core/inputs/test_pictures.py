import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw, ImageOps

from saccade.apps.core.data import kept
from saccade.apps.core.errors import UserError
from saccade.apps.core.inputs import pictures


def traced(size):
    return tf.function(
        lambda contents: pictures.decode(contents, size),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


# In the graph, because that is where it runs; one trace serves many tests.
decode, decode_tiny = traced(32), traced(2)


def scene(width=48, height=36):
    """A picture with smooth and sharp parts; its ellipse is transparent."""
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    pixels = np.stack([x, y, 200 - x, np.full_like(x, 255)], axis=-1)
    picture = Image.fromarray(pixels.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((5, 5, 20, 20), fill=(10, 200, 80, 255))
    pen.ellipse((width // 2, 8, width - 6, 28), fill=(40, 0, 250, 0))
    return picture


def in_mode(mode):
    """The scene in a mode of Pillow, and how to save it."""
    transparent = scene()
    if mode in ("RGBA", "LA"):
        return transparent.convert(mode), {}
    if mode == "P, transparent":
        palette = transparent.convert("RGB").quantize(16)
        return palette, {"transparency": palette.getpixel((32, 18))}
    opaque = transparent.convert("RGB")
    if mode == "I;16":
        grey = np.asarray(opaque.convert("L"), np.uint16)
        return Image.fromarray(grey * 256 + 77), {}
    return opaque.convert(mode), {}


def encode(picture, form, **how):
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def by_pillow(contents, size=32):
    """What `decode` should give: over white, scaled to fit, centred on white."""
    picture = Image.open(io.BytesIO(contents))
    if picture.mode == "I;16":  # Pillow's own conversion clips at 255.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("RGB")
    scale = size / max(picture.size)
    fitted = [max(1, round(side * scale)) for side in picture.size]
    if fitted != list(picture.size):
        picture = picture.resize(fitted, Image.Resampling.BILINEAR)
    square = Image.new("RGB", (size, size), "white")
    square.paste(picture, [(size - side) // 2 for side in fitted])
    return np.asarray(square)


def one(contents):
    pixels, ok = decode(tf.constant([contents]))
    return pixels[0].numpy(), bool(ok[0])


CASES = [
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(
        ("PNG", mode)
        for mode in ("1", "L", "LA", "P", "P, transparent", "RGB", "RGBA", "I;16")
    ),
    *(("GIF", mode) for mode in ("1", "L", "P", "P, transparent", "RGB", "RGBA")),
    *(("BMP", mode) for mode in ("L", "P", "RGB", "RGBA")),
    *(("WEBP", mode) for mode in ("L", "P", "RGB", "RGBA")),
]


@pytest.mark.parametrize(("form", "mode"), CASES)
def test_equals_pillow(form, mode):
    picture, how = in_mode(mode)
    if form == "WEBP":
        how["lossless"] = True
    contents = encode(picture, form, **how)
    pixels, ok = one(contents)
    assert ok
    difference = np.abs(pixels.astype(float) - by_pillow(contents)).mean()
    # JPEG decoders differ by a level or two; the rest is rounding while resizing.
    assert difference < (1.0 if form == "JPEG" else 0.5), difference


@pytest.mark.parametrize("size", [(32, 32), (7, 5), (300, 200), (200, 300), (1, 400)])
def test_keeps_the_shape_on_white(size):
    contents = encode(Image.new("RGB", size, (90, 20, 160)), "PNG")
    pixels, ok = one(contents)
    assert ok
    assert np.array_equal(pixels, by_pillow(contents))


def test_a_picture_of_the_right_size_is_not_touched():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for form in ("PNG", "BMP"):
        pixels, _ = one(encode(Image.fromarray(noise), form))
        assert np.array_equal(pixels, noise)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    contents = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    pixels, ok = one(contents)
    assert ok
    assert np.all(pixels == (255, 0, 0))


@pytest.mark.parametrize("lossless", [True, False], ids=["lossless", "lossy"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animated_webp_gives_its_first_frame(mode, lossless):
    frames = [scene(32, 32).convert(mode), Image.new(mode, (32, 32), "red")]
    contents = encode(
        frames[0],
        "WEBP",
        save_all=True,
        append_images=frames[1:] * 5,
        lossless=lossless,
        quality=95,
    )
    assert b"ANMF" in contents
    # So often, because TensorFlow's own way through it damages memory.
    pixels, ok = decode(tf.constant([contents] * 200))
    assert np.all(ok)
    assert np.all(pixels == pixels[:1])
    difference = np.abs(pixels[0].numpy().astype(float) - by_pillow(contents)).mean()
    assert difference < (0.5 if lossless else 1.0)


def test_of_an_animation_only_the_first_frame_is_unpacked():
    """A GIF of a few kilobytes may hold gigabytes of frames."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    contents = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    second = contents.rindex(b"\x2c")
    torn = contents[:second] + b"\x2c" + b"\xff" * 8 + contents[second + 9 :]
    pixels, ok = one(torn)
    assert ok
    assert np.all(pixels == (255, 0, 0))


def turned(orientation, little=True, before=b"", tags=()):
    """A JPEG that says how the camera was held."""
    exif = Image.Exif()
    exif.endian = "<" if little else ">"
    for tag, value in tags:
        exif[tag] = value
    exif[0x0112] = orientation
    contents = encode(scene().convert("RGB"), "JPEG", exif=exif, quality=95)
    return contents[:2] + before + contents[2:]


@pytest.mark.parametrize("little", [True, False], ids=["II", "MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_stands_upright(orientation, little):
    contents = turned(orientation, little)
    # Decoded by the same decoder, so that nothing but the turn is compared.
    lying = Image.fromarray(tf.io.decode_jpeg(contents).numpy())
    lying.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(lying)
    assert upright.size == ((36, 48) if orientation > 4 else (48, 36))
    assert Image.open(io.BytesIO(contents)).getexif()[0x0112] == orientation
    pixels, ok = one(contents)
    assert ok
    assert np.array_equal(pixels, one(encode(upright, "PNG"))[0])


def test_the_turn_is_found_wherever_it_stands():
    """Behind other segments, among other tags, as cameras and programs write it."""
    profile = b"\xff\xe2" + struct.pack(">H", 40_002) + bytes(40_000)
    other = b"\xff\xe1" + struct.pack(">H", 30) + b"http://ns.adobe.com/xap/1.0/"
    comment = b"\xff\xfe" + struct.pack(">H", 4) + b"hi"
    files = [
        turned(6),
        turned(6, before=profile),
        turned(6, before=other),
        turned(6, before=comment),
        turned(6, tags=[(0x010F, "Some maker"), (0x0110, "x" * 5000), (0x8298, "me")]),
    ]
    pixels, ok = decode(tf.constant(files))
    assert np.all(ok)
    assert all(np.array_equal(p, pixels[0]) for p in pixels)
    straight, _ = one(turned(1))
    assert not np.array_equal(pixels[0], straight)


def test_damaged_exif_counts_as_none():
    contents = turned(6)
    start = contents.index(b"Exif\x00\x00") + 6
    end = start + struct.unpack(">H", contents[start - 8 : start - 6])[0] - 8
    straight, _ = one(turned(1))
    rng = np.random.default_rng(0)
    damaged = [contents[:start] + rng.bytes(end - start) + contents[end:]]
    # Where the table is, and the orientation itself.
    for at, junk in ((4, b"\xff" * 4), (18, b"\x09"), (18, b"\x00")):
        place = start + at
        damaged.append(contents[:place] + junk + contents[place + len(junk) :])
    pixels, ok = decode(tf.constant(damaged))
    assert np.all(ok)
    assert all(np.array_equal(p, straight) for p in pixels)


@pytest.mark.parametrize("extensions", [b"", b"\x21\xfe\x05hello\x00"])
@pytest.mark.parametrize("local", [False, True])
def test_gif_transparency_wherever_its_palette_is(local, extensions):
    """A 2 x 1 GIF written by hand: one opaque blue pixel, one transparent."""
    table = b"\x00\x00\xff" + b"\x07\x08\x09"
    control = b"\x21\xf9\x04\x01\x00\x00\x01\x00"  # index 1 is transparent
    frame = b"\x2c" + bytes(4) + b"\x02\x00\x01\x00"
    data = b"\x02\x02\x44\x0a\x00"  # LZW: clear, 0, 1, end
    contents = b"GIF89a\x02\x00\x01\x00" + (b"\x00" if local else b"\x80") + bytes(2)
    contents += b"" if local else table
    contents += extensions + control
    contents += frame + (b"\x80" + table if local else b"\x00") + data + b"\x3b"
    assert Image.open(io.BytesIO(contents)).convert("RGBA").getpixel((1, 0))[3] == 0
    pixels, ok = decode_tiny(tf.constant([contents]))
    assert ok[0]
    assert pixels[0, 0, 0].numpy().tolist() == [0, 0, 255]
    assert pixels[0, 0, 1].numpy().tolist() == [255, 255, 255]


def good_files():
    picture, how = in_mode("P, transparent")
    files = {form: encode(scene().convert("RGB"), form) for form in ("JPEG", "BMP")}
    files["WEBP"] = encode(scene(), "WEBP", lossless=True)
    return files | {form: encode(picture, form, **how) for form in ("PNG", "GIF")}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_truncated_anywhere(form):
    contents = good_files()[form]
    # The last byte of a GIF only says that nothing follows.
    whole = len(contents) - (1 if form == "GIF" else 0)
    ends = np.unique(np.linspace(0, whole - 1, 80).astype(int))
    pixels, ok = decode(tf.constant([contents[:end] for end in ends]))
    assert not np.any(ok)
    assert np.all(pixels == 255)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_random_damage_never_raises(form):
    contents = good_files()[form]
    rng = np.random.default_rng(len(contents))
    damaged = []
    for _ in range(150):
        copy = bytearray(contents)
        for at in rng.integers(0, len(copy), rng.integers(1, 5)):
            copy[at] = rng.integers(256)
        damaged.append(bytes(copy))
    for _ in range(50):  # A header full of nonsense is the worst.
        copy = bytearray(contents)
        copy[6:40] = rng.bytes(34)
        damaged.append(bytes(copy))
    pixels, ok = decode(tf.constant(damaged))
    assert pixels.shape == (200, 32, 32, 3)
    assert np.all(pixels.numpy()[~ok.numpy()] == 255)
    if form == "PNG":  # Every chunk has a checksum.
        same = np.array([d == contents for d in damaged])
        assert ok.numpy()[~same].mean() < 0.05


BAD = {
    "nothing": b"",
    "a text": "no picture, été".encode(),
    "zeros": bytes(100_000),
    "a signature only": b"\x89PNG\r\n\x1a\n",
    "a JPEG header and junk": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"junk" * 500,
    "a GIF that ends in its palette": b"GIF89a\x05\x00\x05\x00\xf7\x00\x00" + bytes(20),
    "a BMP of one bit": encode(Image.new("1", (40, 40)), "BMP"),
    "a TIFF": encode(Image.new("RGB", (8, 8)), "TIFF"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture(name):
    pixels, ok = one(BAD[name])
    assert not ok
    assert np.all(pixels == 255)


def test_a_picture_that_claims_to_be_huge(monkeypatch):
    contents = encode(Image.new("L", (400, 300)), "PNG")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 400 * 300)
    assert pictures.decode(tf.constant(contents), 8)[1]
    monkeypatch.setattr(pictures, "MAX_PIXELS", 400 * 300 - 1)
    assert not pictures.decode(tf.constant(contents), 8)[1]


def claiming(form, width, height):
    """A picture of 64 x 64 pixels whose header says something else; of WebP by the kind
    of the chunk that says it."""
    picture = Image.new("RGBA" if form == "VP8X" else "RGB", (64, 64))
    other = Image.new("RGB", (64, 64), "red")
    how = {"ANMF": {"save_all": True, "append_images": [other]}}
    how["VP8L"] = {"lossless": True}
    is_webp = form in ("VP8", "VP8L", "VP8X", "ANMF")
    contents = bytearray(
        encode(picture, "WEBP" if is_webp else form, **how.get(form, {}))
    )
    if form == "PNG":  # the header's checksum is right
        contents[16:24] = struct.pack(">II", width, height)
        contents[29:33] = struct.pack(">I", zlib.crc32(contents[12:29]))
    elif form == "JPEG":
        frame = contents.index(b"\xff\xc0")
        contents[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    elif form == "GIF":
        frame = contents.index(b"\x2c\x00\x00\x00\x00\x40")
        contents[frame + 5 : frame + 9] = struct.pack("<HH", width, height)
    elif form == "BMP":
        contents[18:26] = struct.pack("<ii", width, height)
    elif form == "VP8":
        assert contents[12:16] == b"VP8 "
        contents[26:30] = struct.pack("<HH", width % 2**14, height % 2**14)
    elif form == "VP8L":
        assert contents[12:16] == b"VP8L"
        bits = (width - 1) % 2**14 + ((height - 1) % 2**14 << 14)
        contents[21:25] = struct.pack("<I", bits)
    else:
        assert contents[12:16] == b"VP8X"
        first = 24 if form == "VP8X" else contents.index(b"ANMF") + 14
        for at, side in ((first, width), (first + 3, height)):
            contents[at : at + 3] = (max(side, 1) - 1).to_bytes(3, "little")
    return bytes(contents)


@pytest.mark.parametrize(
    "form", ["PNG", "JPEG", "GIF", "BMP", "VP8", "VP8L", "VP8X", "ANMF"]
)
def test_a_small_file_that_claims_to_be_huge(form):
    sides = [(16_000, 16_000), (65_000, 1), (1, 65_000), (0, 0), (60_000, 60_000)]
    files = [claiming(form, *side) for side in sides]
    pixels, ok = decode(tf.constant([*files, claiming(form, 64, 64)]))
    assert not ok[0]
    assert not ok[3]
    assert ok[5]
    assert np.all(pixels.numpy()[~ok.numpy()] == 255)


@pytest.mark.parametrize(
    "form", ["PNG", "JPEG", "GIF", "BMP", "VP8", "VP8L", "VP8X", "ANMF"]
)
def test_the_size_is_read_before_anything_is_decoded(form, monkeypatch):
    """The decoder is not even called for a picture that is too large."""
    decoded = []

    def decode_image(data, **options):
        return tf.py_function(lambda d: decoded.append(d) or pixel, [data], tf.uint8)

    pixel = tf.zeros([1, 1, 3], tf.uint8)
    monkeypatch.setattr(tf.io, "decode_image", decode_image)
    _, ok = pictures.decode(tf.constant([claiming(form, 16_000, 16_000)]), 8)
    assert not ok[0]
    assert not decoded
    _, ok = pictures.decode(tf.constant([claiming(form, 64, 64)]), 8)
    assert decoded


def test_neighbours_of_bad_pictures_are_not_touched():
    files = list(good_files().values())
    alone = [one(contents)[0] for contents in files]
    mixed = [b for pair in zip(files, BAD.values(), strict=False) for b in pair]
    pixels, ok = decode(tf.constant(mixed))
    assert ok.numpy().tolist() == [True, False] * len(files)
    assert np.array_equal(pixels[::2], alone)


def test_no_pictures():
    pixels, ok = decode(tf.constant([], tf.string))
    assert pixels.shape == (0, 32, 32, 3)
    assert ok.shape == (0,)


def test_shape_follows_the_input():
    contents = tf.constant(good_files()["PNG"])
    pixels, ok = pictures.decode(contents, 16)
    assert pixels.shape == (16, 16, 3)
    assert ok.shape == ()
    pixels, ok = pictures.decode(tf.fill([2, 3], contents), 16)
    assert pixels.shape == (2, 3, 16, 16, 3)
    assert np.all(ok)


def test_inside_a_data_pipeline_and_a_saved_model(tmp_path):
    contents = [good_files()["JPEG"], b"bad", good_files()["GIF"]]
    expected, _ = decode(tf.constant(contents))
    pipeline = tf.data.Dataset.from_tensor_slices(contents)
    pipeline = pipeline.map(lambda c: pictures.decode(c, 32), num_parallel_calls=2)
    pixels, ok = next(iter(pipeline.batch(3)))
    assert np.array_equal(pixels, expected)
    assert ok.numpy().tolist() == [True, False, True]

    module = tf.Module()
    module.decode = decode
    tf.saved_model.save(module, tmp_path)
    pixels, ok = tf.saved_model.load(tmp_path).decode(tf.constant(contents))
    assert np.array_equal(pixels, expected)
    assert ok.numpy().tolist() == [True, False, True]


def test_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_CHUNK", 2)
    files = good_files()
    paths = []
    for form, contents in files.items():
        paths.append(str(tmp_path / form))
        (tmp_path / form).write_bytes(contents)
    pixels = pictures.read(paths, 32)
    assert pixels.dtype == tf.uint8
    assert np.array_equal(pixels, decode(tf.constant(list(files.values())))[0])
    assert np.array_equal(pixels, pictures.read(list(files.values()), 32))
    assert pictures.read([], 32).shape == (0, 32, 32, 3)


def test_read_names_the_bad_file(tmp_path):
    good = good_files()["PNG"]
    (tmp_path / "bad.png").write_bytes(good[:50])
    with pytest.raises(UserError, match="bad.png: expected a JPEG"):
        pictures.read([good, str(tmp_path / "bad.png")], 32)
    with pytest.raises(UserError, match="picture 1: expected"):
        pictures.read([good, b"bad"], 32)
    with pytest.raises(
        UserError, match="none.png: the picture cannot be read: No such"
    ):
        pictures.read([str(tmp_path / "none.png")], 32)


@pytest.mark.parametrize("place", ["memory", "file", "service"])
def test_picker(tmp_path, monkeypatch, place):
    monkeypatch.setattr(kept, "MAX_MEMORY", 10**6 if place == "memory" else 0)
    if place == "service":
        monkeypatch.setenv("SACCADE_DATA_SERVICE", "grpc://localhost:1")
    contents = list(good_files().values())
    expected = decode(tf.constant(contents))[0].numpy()
    paths = []
    for i, content in enumerate(contents):
        paths.append(str(tmp_path / str(i)))
        (tmp_path / str(i)).write_bytes(content)
    for files in (contents, paths):
        pick = pictures.picker(files, 32)
        batches = tf.data.Dataset.from_tensor_slices([[3, 1], [0, 3]]).map(pick)
        first, second = batches
        assert np.array_equal(first, expected[[3, 1]])
        assert np.array_equal(second, expected[[0, 3]])


def test_shift_and_zoom():
    pixels = decode(tf.constant([good_files()["PNG"]] * 8))[0]
    still = pictures.shift_and_zoom(pixels, 0.0, 0.0, (0, 1))
    assert np.array_equal(still, pixels)
    moved = pictures.shift_and_zoom(pixels, 0.2, 0.1, (0, 1))
    assert moved.shape == pixels.shape
    assert moved.dtype == tf.uint8
    # A pure function of the seed, and every picture its own draw.
    assert np.array_equal(moved, pictures.shift_and_zoom(pixels, 0.2, 0.1, (0, 1)))
    assert not np.array_equal(moved, pictures.shift_and_zoom(pixels, 0.2, 0.1, (0, 2)))
    assert not np.array_equal(moved[0], moved[1])
    black = tf.zeros([50, 16, 16, 3], tf.uint8)
    shifted = pictures.shift_and_zoom(black, 0.3, 0.0, (3, 4)).numpy()
    assert set(np.unique(shifted)) == {0, 255}  # Outside of the picture is white.
