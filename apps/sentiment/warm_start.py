"""A training that starts from what a language model has learned of the same texts."""

import io
import pathlib
import re
import zipfile

import h5py
import numpy as np

from ..core.errors import UserError
from ..core.inputs.tokenizer import Tokenizer
from .model import name_of


def start_from(config, model, tokenizer):
    """Set vectors of tokens, and weights of levels, to those of a language model.

    Vectors go by the tokens that both know; of two directions the forward one begins
    like the language model, which has no other. Only numbers are read from the file.

    Args:
        config: a `Config`; `start_from` is the folder of a run of char_lm or word_lm.
        model: the functional model of sentiment. tokenizer: its.

    Raises:
        UserError: there is no such run, or a weight of it has another shape.
    """
    run = config.start_from
    try:
        known = Tokenizer.from_json((pathlib.Path(run) / "assets.json").read_text())
        vectors, levels = weights_in(pathlib.Path(run) / "model.keras")
    except (OSError, KeyError, StopIteration, zipfile.BadZipFile, UserError) as error:
        raise UserError(
            "--start-from expected the folder of a run of char_lm or word_lm with "
            f"--embedding above 0, received {run!r} ({type(error).__name__}: {error})."
        ) from error
    _check(run, "--embedding", vectors.shape[1], config.embedding)
    places = {token: i for i, token in enumerate(known.tokens)}
    shared = [i for i, token in enumerate(tokenizer.tokens) if token in places]
    found = vectors[[places[tokenizer.tokens[i]] for i in shared]]
    for k in range(config.members):
        embedding = model.get_layer(name_of("embedding", k)).weights[0]
        own = np.array(embedding)
        own[shared] = found
        embedding.assign(own)
        for i, weights in enumerate(levels[: config.levels]):
            layer = model.get_layer(name_of(f"level_{i}", k))
            cell = getattr(layer, "forward_layer", layer).cell
            shapes = [tuple(w.shape) for w in cell.weights]
            received = [w.shape for w in weights]
            _check(run, "the same --cell and --units, weights", received, shapes)
            cell.set_weights(weights)


def weights_in(path):
    """Of a language model's file: the vectors (tokens, embedding), and for each level
    the list of its cell's weights."""
    with zipfile.ZipFile(path) as file:
        content = io.BytesIO(file.read("model.weights.h5"))
    with h5py.File(content) as weights:
        layers = weights["layers"]
        vectors = next(n for n in layers if re.fullmatch(r"\w*embedding", n))
        levels = sorted((n for n in layers if "cell" in layers[n]), key=_place)
        cells = [layers[name]["cell"]["vars"] for name in levels]
        return (
            np.array(layers[vectors]["vars"]["0"]),
            [[np.array(cell[str(i)]) for i in range(len(cell))] for cell in cells],
        )


def _place(name):
    """The place of a layer among those of its class: lstm, lstm_1, lstm_2 ..."""
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 0


def _check(run, what, received, own):
    if received != own:
        raise UserError(
            f"--start-from={run}: expected {what} {received} as in that run; this "
            f"model has {own}."
        )
