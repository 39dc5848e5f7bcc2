"""What fuzzing throws at the doors of the house: one target each.

A target is a function of a few hypothesis strategies. It may return or raise UserError;
everything else that comes out of it is a fault. `test_fuzz.py` runs them with
hypothesis, `fuzz_parsers.py` those that read files with atheris. By hand:

    python tests/fuzz_targets.py TARGET SECONDS

prints how many examples ran. The last one tried lies in `last_input` of the folder
SACCADE_FUZZ_FOLDER, for the case that it takes the process down with it.
"""

import functools
import io
import itertools
import json
import os
import pathlib
import random
import sys
import tempfile
import time

import hypothesis
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Bytes that mean something to one parser or another.
WORDS = (
    *("image", "caption", "file_name", "images", "annotations", "id", "image_id"),
    *("a.png", "b.png", "../a.png", "/etc/hostname", "a.png#0", "#", "\t", ",", '"'),
    *("\n", "\r", "\r\n", "\0", "\ufeff", "\u2028", "{", "}", "[", "]", ":", "null"),
    *("1e999", "NaN", "-", "9" * 5000, "[" * 5000, "\\ud800", "\ud7ff", "😀", "猫"),
    *("a", "the cat/NN", "/", "<EOS>", "word/", "/TAG", " ", "train", "test"),
)
text_bytes = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(st.sampled_from(WORDS), max_size=40).map(
        lambda words: "".join(words).encode("utf-8", "replace")
    ),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(WORDS), inner)
    ),
    max_leaves=8,
)


def mostly(usual, other=json_values):
    """What belongs there, or now and then anything."""
    return st.one_of(usual, usual, usual, usual, other)


# Pictures


@functools.cache
def pictures():
    """Files of every format and kind, small ones."""
    from PIL import Image

    colours = Image.radial_gradient("L").resize((20, 14)).convert("RGB")
    colours.putpixel((3, 3), (250, 0, 90))
    frames = [colours, colours.rotate(180), colours.rotate(90)]
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("JPEG", "RGB", {"exif": exif}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "L", {"progressive": True}),
        ("GIF", "P", {"transparency": 3}),
        ("GIF", "P", {"save_all": True, "append_images": frames[1:]}),
        ("BMP", "RGB", {}),
        ("BMP", "P", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", {"exif": exif}),
        ("WEBP", "RGB", {"save_all": True, "append_images": frames[1:]}),
        ("WEBP", "RGBA", {"save_all": True, "append_images": frames[1:]}),
    ]
    files = []
    for form, mode, how in kinds:
        file = io.BytesIO()
        colours.convert(mode).save(file, form, **how)
        files.append(file.getvalue())
    return files


@st.composite
def damaged_pictures(draw):
    """A real picture with a few bytes changed, cut, doubled or made huge."""
    content = bytearray(draw(st.sampled_from(pictures())))
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(("byte", "number", "cut", "double", "insert")))
        # Damage in the header tells more than damage in the picture.
        at = draw(st.integers(0, 63) | st.integers(0, max(len(content) - 1, 0)))
        at = min(at, len(content))
        if kind == "byte":
            content[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "number":
            side = draw(st.sampled_from((0, 1, 255, 65535, 2**31 - 1, 2**32 - 1)))
            size = draw(st.sampled_from((2, 4)))
            order = draw(st.sampled_from(("little", "big")))
            content[at : at + size] = (side % 256**size).to_bytes(size, order)
        elif kind == "cut":
            del content[at : at + draw(st.integers(1, 100))]
        elif kind == "double":
            content[at:at] = content[at : at + draw(st.integers(1, 100))]
        else:
            content[at:at] = draw(st.binary(max_size=8))
    return bytes(content)


def decoded(some):
    """Any bytes are a picture or are not; either way the batch is answered."""
    import numpy as np
    import tensorflow as tf

    from saccade.apps.core.inputs.pictures import decoder

    good = pictures()[0]
    pixels, ok = decoder(8)(tf.constant([good, *some, good]))
    pixels, ok = pixels.numpy(), ok.numpy()
    assert pixels.shape == (len(some) + 2, 8, 8, 3)
    assert ok[0] and ok[-1]
    assert np.array_equal(pixels[0], pixels[-1])
    assert np.all(pixels[~ok] == 255)


# Texts in the graph


@functools.cache
def text_graphs():
    import tensorflow as tf

    from saccade.apps.char_lm.vocabulary import characters as characters_of
    from saccade.apps.core.inputs.tokenizer import normalise_for_scores
    from saccade.apps.word_lm.vocabulary import words as words_of

    characters = characters_of("abc 猫😀", with_start=False)
    words = words_of(["the", "cat", "猫"], "words", rare=1)
    signs = words_of(["t", "猫"], "characters", rare=1)

    def all_of_it(texts):
        ids, lengths = characters.encode(texts)
        more, numbers = words.encode(texts)
        all_signs, sign_lengths = signs.encode(texts)
        return {
            "normal": normalise_for_scores(texts),
            "words": tf.strings.reduce_join(words.tokenizer.split(texts), axis=-1),
            "characters": signs.decode(all_signs, sign_lengths),
            "again": characters.decode(ids, lengths),
            "ids": ids,
            "decoded": words.decode(more, numbers),
        }

    return tf.function(all_of_it, input_signature=[tf.TensorSpec([None], tf.string)])


def texts_in_the_graph(some):
    """Any bytes are a text; what comes out is UTF-8."""
    import tensorflow as tf

    outputs = text_graphs()(tf.constant(some, tf.string, shape=[len(some)]))
    ids = outputs.pop("ids").numpy()
    assert ids.min(initial=0) >= 0 and ids.max(initial=0) <= 6
    for texts in outputs.values():
        assert len(texts) == len(some)
        for text in texts.numpy():
            text.decode()


# Settings and what else a run's folder says


def settings(text):
    """The text of a config.json; one that is taken says the same again."""
    from saccade import apps
    from saccade.apps.core.settings.json_text import from_json, to_json

    for name in apps.REGISTRY:
        cls = apps.load_config_module(name).Config
        config = from_json(cls, text)
        again = to_json(config)
        again.encode()
        assert from_json(cls, again) == config


def config_texts():
    from saccade import apps
    from saccade.apps.core.settings.command_line import help_rows

    fields = {
        row[0].partition("/")[0][2:].replace("-", "_")
        for name in apps.REGISTRY
        for row in help_rows(apps.load_config_module(name).Config)
    }
    dicts = st.dictionaries(
        st.sampled_from(sorted(fields)) | st.text(max_size=5), json_values, max_size=3
    )
    return dicts.map(json.dumps) | text_bytes


def assets(text):
    """The text of an assets.json, for every app."""
    from saccade import apps

    for name in apps.REGISTRY:
        try:
            app = apps.load(name)
            app.task_for(app.Config()).assets_from_json(text).to_json()
        except apps.core.errors.UserError:
            pass


def asset_texts():
    lists = st.lists(mostly(st.text(max_size=3)), max_size=3)
    fields = {
        "units": mostly(st.sampled_from(("words", "characters"))),
        "tokens": mostly(lists),
        "characters": mostly(st.text(max_size=5)),
        "tokenizer": mostly(st.sampled_from(("words", "jieba", "spaces"))),
        "rare": mostly(st.integers(0, 5)),
    }
    dicts = st.fixed_dictionaries({}, optional=fields)
    return (dicts | json_values).map(json.dumps) | text_bytes.map(
        lambda content: content.decode("utf-8", "replace")
    )


# Files of data


@functools.cache
def folder():
    """With two pictures, beside which the files to be read are put."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    for name in ("a.png", "b.png"):
        (place / name).write_bytes(pictures()[0])
    return place


def table(ending, content):
    """A captions file of captioning, read as `saccade train --data FILE` reads it."""
    from saccade.apps.captioning import data
    from saccade.apps.captioning.config import PRESETS, Config

    path = folder() / f"captions{ending}"
    path.write_bytes(content)
    config = Config(**PRESETS["tiny"] | {"data": str(path), "split": "98/1/1"})
    splits = data.load_data(config)
    inside = folder().resolve()
    for examples in (splits.train, splits.validation, splits.test):
        for file in examples["image"]:
            assert pathlib.Path(file).resolve().is_relative_to(inside), file


TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".token", ".txt")


def table_texts():
    name = mostly(
        st.sampled_from(("a.png", "b.png", "../a.png", "/etc/hostname", "a\0b", ""))
    )
    caption = mostly(
        st.text(max_size=10) | st.sampled_from(("a cat", "", " ", "\ud800"))
    )
    row = mostly(
        st.fixed_dictionaries({"image": name, "caption": caption | st.lists(caption)})
    )
    number = mostly(st.integers(0, 2))
    coco = st.fixed_dictionaries(
        {
            "images": mostly(
                st.lists(
                    mostly(st.fixed_dictionaries({"id": number, "file_name": name})),
                    max_size=3,
                )
            ),
            "annotations": mostly(
                st.lists(
                    mostly(
                        st.fixed_dictionaries(
                            {"id": number, "image_id": number, "caption": caption}
                        )
                    ),
                    max_size=3,
                )
            ),
        }
    )
    sentence = mostly(st.fixed_dictionaries({"raw": caption}))
    image = st.fixed_dictionaries(
        {
            "filename": name,
            "split": mostly(st.sampled_from(("train", "val", "restval"))),
            "sentences": mostly(st.lists(sentence, max_size=2)),
        },
        optional={"filepath": name},
    )
    karpathy = st.fixed_dictionaries({"images": st.lists(mostly(image), max_size=3)})
    cell = st.sampled_from(WORDS) | st.text(max_size=5)

    def lines(separator):
        return st.lists(st.lists(cell, max_size=3).map(separator.join), max_size=4).map(
            lambda rows: "\n".join([f"image{separator}caption", *rows])
        )

    flickr = st.lists(
        st.tuples(st.sampled_from(("a.png#0", "b.png#1", "#", "x")), cell).map(
            "\t".join
        ),
        max_size=4,
    ).map("\n".join)

    def by_ending(ending, texts):
        texts = texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
        return st.tuples(st.just(ending), texts | text_bytes)

    return st.one_of(
        by_ending(".csv", lines(",")),
        by_ending(".tsv", lines("\t")),
        by_ending(
            ".jsonl",
            st.lists(row.map(json.dumps), max_size=4).map("\n".join),
        ),
        by_ending(".json", coco.map(json.dumps)),
        by_ending(".json", karpathy.map(json.dumps)),
        by_ending(".token", flickr),
        by_ending(".txt", flickr | lines(",")),
    )


TEXT_ENDINGS = (".txt", ".gz")


def text_file(ending, content, form):
    """A text file of the language models, read as for training."""

    from saccade.apps import char_lm, word_lm
    from saccade.apps.core.data.texts import read_or_why
    from saccade.apps.core.errors import UserError

    path = folder() / f"text{ending}"
    path.write_bytes(content)
    read_or_why(path)
    for app, more in ((char_lm.APP, {}), (word_lm.APP, {"format": form})):
        settings = {"data": str(path), "split": "50/50", **more}
        task = app.task_for(app.Config(**app.config.PRESETS["tiny"] | settings))
        try:
            task.learn(task.read().train)
        except UserError:
            pass


def text_files():
    import gzip

    zipped = text_bytes.map(lambda content: gzip.compress(content, mtime=0))
    return st.tuples(
        st.sampled_from(TEXT_ENDINGS),
        text_bytes | zipped,
        st.sampled_from(("text", "tagged")),
    )


# name -> (function, function that makes its strategy); a tuple is its arguments
TARGETS = {
    "pictures": (
        decoded,
        lambda: st.lists(
            damaged_pictures() | damaged_pictures() | st.binary(max_size=300),
            min_size=1,
            max_size=8,
        ),
    ),
    "texts": (texts_in_the_graph, lambda: st.lists(text_bytes, max_size=4)),
    "settings": (settings, config_texts),
    "assets": (assets, asset_texts),
    "tables": (table, table_texts),
    "text_files": (text_file, text_files),
}


def run(name, seconds, folder):
    """Examples by hypothesis until the time is over; returns their number.

    Args:
        folder: where the input in hand is written before it is tried.
    """
    from saccade.apps.core.errors import UserError

    function, strategy = TARGETS[name]
    end, count = time.monotonic() + seconds, 0

    def one(example):
        nonlocal count
        count += 1
        (folder / "last_input").write_text(repr(example), "utf-8", "replace")
        try:
            function(*example) if isinstance(example, tuple) else function(example)
        except UserError:
            pass

    some = hypothesis.given(strategy())(one)
    some = hypothesis.settings(
        max_examples=100,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )(some)
    # Other examples every time; what fails can be repeated by its number.
    first = random.randrange(2**32)
    for number in itertools.count(first):
        hypothesis.seed(number)(some)()
        if time.monotonic() > end:
            return count


if __name__ == "__main__":
    place = pathlib.Path(os.environ.get("SACCADE_FUZZ_FOLDER", "."))
    print(json.dumps({sys.argv[1]: run(sys.argv[1], float(sys.argv[2]), place)}))
