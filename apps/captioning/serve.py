"""From a picture to a sentence: the same graph for predict and export."""

import functools
import pathlib

import numpy as np
import tensorflow as tf

from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.report import plot
from ..core.report.metrics import caption_metrics
from .config import Decode
from .decode import decode_captions

BATCH = 64


def answer(vocabulary, decoded, ok):
    """The dict that a client gets; every entry has the batch as first dimension.

    A picture that could not be read (`ok` False) gets an empty caption.
    """
    tokens = tf.where(ok[:, None], decoded.tokens, vocabulary.pad)
    result = {
        "caption": vocabulary.decode(tokens),
        "score": tf.where(ok, decoded.scores, 0.0),
        "tokens": tokens,
        "length": tf.where(ok, decoded.lengths, 0),
        "ok": ok,
    }
    if decoded.weights is not None:
        result["attention"] = tf.where(ok[:, None, None], decoded.weights, 0.0)
    return result


@functools.lru_cache(maxsize=4)
def responder(model, config, vocabulary, options):
    """The whole way as one graph: image_bytes string (batch,) -> `answer`.

    The last ones are kept, because making the graph takes longer than an answer.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def respond(image_bytes):
        # A SavedModel does not check the rank of its inputs.
        image_bytes = tf.ensure_shape(image_bytes, [None])
        pixels, ok = pictures.decode(image_bytes, config.image_size)
        decoded = decode_captions(model, config, vocabulary, pixels, options)
        return answer(vocabulary, decoded, ok)

    return respond


def predict(model, config, vocabulary, inputs, options):
    """Captions for pictures: a list of dicts, one per input, in their order.

    Args:
        inputs: paths, or the bytes of encoded pictures.

    Returns:
        per picture: `caption` str, `score` float (natural log of its probability),
        `ok` bool, `tokens` and, with attention, `attention` (words, regions). A file
        that is missing or is no picture has `ok` False and an empty caption.
    """
    return from_signature(responder(model, config, vocabulary, options), inputs)


def from_signature(respond, inputs):
    """As `predict`, through a function of image_bytes: a graph or an export's."""
    contents = [_bytes_or_none(item) for item in inputs]
    answers = []
    for i in range(0, len(contents), BATCH):
        batch = respond(image_bytes=tf.constant(contents[i : i + BATCH]))
        batch = {name: value.numpy() for name, value in batch.items()}
        for row in range(len(batch["ok"])):
            answers.append(_for_people({k: v[row] for k, v in batch.items()}))
    return answers


def _for_people(row):
    length = int(row["length"])
    caption = row["caption"].decode()
    result = {
        "caption": caption,
        "score": float(row["score"]),
        "ok": bool(row["ok"]),
        "tokens": row["tokens"][:length].tolist(),
    }
    if "attention" in row:
        result["attention"] = row["attention"][:length]
    return result


def draw(inputs, answers, config):
    """A figure: every picture once per word, with where the network looked for it.

    Args:
        inputs: the paths or bytes that `predict` was given; answers: what it returned.

    Raises:
        UserError: the answers come from a model without attention.
    """
    rows = []
    for item, result in zip(inputs, answers, strict=True):
        if "attention" not in result:
            raise UserError(
                "--plot draws where the network looked, but this model was trained "
                "with --attention=none. Train one with --attention=soft or hard."
            )
        if not result["ok"]:
            continue
        pixels, _ = pictures.decode(tf.constant([read_bytes(item)]), config.image_size)
        caption = result["caption"]
        words = caption.split() if config.units == "words" else list(caption)
        rows.append((pixels[0].numpy(), words, result["attention"][: len(words)]))
    if not rows:
        raise UserError("No picture could be read, so there is nothing to draw.")
    return plot.attention_sheet(rows)


def read_bytes(item):
    """The bytes of a picture: of the file at a path, or as they are."""
    if isinstance(item, bytes):
        return item
    path = pathlib.Path(item)
    if not path.is_file():
        raise UserError(f"Expected a picture file, found none at {path}.")
    return path.read_bytes()


def _bytes_or_none(item):
    """The bytes of a picture, no bytes where there are none: the graph says so."""
    try:
        return read_bytes(item)
    except (UserError, OSError):
        return b""


def evaluate(model, config, vocabulary, examples, options):
    """Test figures from free-running decoding; `decode` says how it decoded.

    Where the data names the boxes of its objects (builtin), also how much of the
    attention lies on the object that is being named: `attention_on_object` is the
    share of the map inside its box, `object_area` the box's share of the picture,
    `attention_ratio` the quotient of the two.
    """
    contents = [read_bytes(file) for file in examples.files]  # raises for a lost one
    answers = predict(model, config, vocabulary, contents, options)
    references = [vocabulary.canonical(c) for c in examples.captions]
    captions = [a["caption"] for a in answers]
    figures = caption_metrics(captions, references, config.units)
    if examples.boxes and config.attention != "none":
        figures |= attention_on_objects(answers, examples.boxes)
    return {**figures, "pictures": len(answers), "decode": options.describe()}


def attention_on_objects(answers, boxes):
    """Mean share of the attention inside the box of the object being named.

    Only words that name exactly one object of their picture count.
    """
    inside, areas = [], []
    for result, objects in zip(answers, boxes, strict=True):
        side = round(result["attention"].shape[1] ** 0.5)
        for word, attention in zip(
            result["caption"].split(), result["attention"], strict=False
        ):
            named = [o["box"] for o in objects if o["word"] == word]
            if len(named) != 1:
                continue
            cover = box_cover(named[0], side)
            inside.append(float(np.sum(attention.reshape(side, side) * cover)))
            areas.append(float(np.mean(cover)))
    if not inside:
        return {}
    share, area = float(np.mean(inside)), float(np.mean(areas))
    return {
        "attention_on_object": 100 * share,
        "object_area": 100 * area,
        "attention_ratio": share / area,
    }


def box_cover(box, side):
    """How much of each cell of a side x side grid a box covers, 0 to 1."""
    x0, y0, x1, y1 = (side * edge for edge in box)
    cells = np.arange(side)

    def overlap(low, high):
        return np.clip(np.minimum(high, cells + 1) - np.maximum(low, cells), 0, 1)

    return overlap(y0, y1)[:, None] * overlap(x0, x1)[None, :]


def exported_options(config):
    """How an export decodes: fixed, because a client sends bytes and nothing else."""
    return Decode(beam=config.serve_beam)


def signatures(model, config, vocabulary, options):
    """The export's functions by name: image_bytes string (batch,) in, `answer` out.

    `serving_default` holds no XLA, which TF Serving switches off unless told
    otherwise; `serving_xla` compiles everything between the bytes and the strings.
    """
    compiled = tf.function(
        lambda pixels: decode_captions(model, config, vocabulary, pixels, options),
        jit_compile=True,
    )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_xla(image_bytes):
        image_bytes = tf.ensure_shape(image_bytes, [None])
        pixels, ok = pictures.decode(image_bytes, config.image_size)
        return answer(vocabulary, compiled(pixels), ok)

    return {
        "serving_default": responder(model, config, vocabulary, options),
        "serving_xla": serving_xla,
    }
