"""Vectors of words from a file, as word2vec and GloVe write them."""

import logging

import numpy as np

from ..core.data.encodings import read_utf8
from ..core.data.places import path_of
from ..core.errors import UserError

log = logging.getLogger("saccade")


def start_from(config, model, tokenizer):
    """Sets the vectors of the tokens that `config.vectors` has.

    Raises:
        UserError: a line has not `config.embedding` numbers, or no word is a token.
    """
    layer = model.get_layer("embedding")
    weight = layer.embeddings if config.ngrams == 1 else layer.of_tokens.embeddings
    values = weight.numpy()
    found = 0
    for token, vector in read(config.vectors, config.embedding):
        id_ = tokenizer.id_of(token.lower() if config.lower else token)
        if id_ is not None:
            values[id_] = vector
            found += 1
    if not found:
        raise UserError(
            f"{config.vectors}: none of its words is one of the {len(tokenizer.own)} "
            "tokens of the training data."
        )
    log.info("%s has vectors of %d tokens.", config.vectors, found)
    weight.assign(values)


def read(file, width):
    """The words and their vectors in a text file, gzipped or not: iterator of (str,
    float32 (width,)). A first line with two numbers, as word2vec writes it, is none."""
    for number, line in enumerate(read_utf8(path_of(file)).split("\n"), 1):
        cells = line.rstrip().split(" ")
        if not line.strip() or (number == 1 and len(cells) == 2):
            continue
        try:
            vector = np.array(cells[1:], np.float32)
        except ValueError:
            vector = np.zeros(0)
        if len(vector) != width:
            raise UserError(
                f"{file}, line {number}: expected a word and {width} numbers, as "
                f"--embedding={width} says; received {line[:60]!r}."
            )
        yield cells[0], vector
