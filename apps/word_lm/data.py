"""Sentences: a small grammar's, tfds, or the user's files; one line is one sentence.

    --data builtin                      4,000 sentences of `grammar.py`
    --data tfds:NAME                    a set with a feature `text`
    --data FILE                         a text, UTF-8, also gzip
    --data FOLDER                       every .txt and .tokens file in it, also .gz
    --data FILE --format tagged         word/TAG word/TAG ...; the tags are dropped

Behind every line stands <EOS>; empty lines are none. A rare word becomes <UNK>. With
--context=sentence the state begins anew with every line, with --context=document with
every file. A text is cut in its order, between lines: the first 90 % are for training,
the rest is validation, as `--split` says.
"""

import hashlib
import itertools
import logging
import re

import numpy as np

from ..core.data.rows import Splits
from ..core.data.sieve import sift
from ..core.data.texts import find_files, read_text, read_tfds, readable, shares
from ..core.errors import UserError
from ..core.inputs.chinese import cut_by_jieba
from ..core.tasks.language.streams import Documents
from . import grammar

log = logging.getLogger("saccade")

SUFFIXES = (".txt", ".txt.gz", ".tokens", ".tokens.gz")
BUILTIN_SENTENCES = 4000
TAGGED = re.compile(r"(\s*\S+/[A-Za-z$.,:'`#()-]+)+\s*")


def read(config):
    """The text that `config.data` names as `Splits` of `Documents`, by lines. Without a
    third part in --split the test text is the validation text.

    Raises:
        UserError: no such data; a file that is empty or no UTF-8; a text too short.
    """
    documents = read_lines(config)
    parts = [sentences(part, config) for part in cut(documents, shares(config.split))]
    for name, part in zip(("training", "validation", "test"), parts, strict=False):
        if not len(part):
            raise UserError(
                f"The {name} text of {config.data} holds no line; at least 1 is "
                f"needed. Give it more in --split={config.split}, or a longer text."
            )
    digest = hashlib.sha256("\0".join(map("\n".join, documents)).encode())
    return Splits(*[*parts, parts[-1]][:3], digest.hexdigest())


def sentences(documents, config):
    """`Documents` of lines, each of which is a document with --context=sentence.

    Args:
        documents: list of lists of str.
    """
    pieces = []
    for lines in documents:
        begins = True
        if config.tokenizer == "jieba":
            lines = map(cut_by_jieba, lines)
        for line in lines:
            if line.strip():
                pieces.append((begins, line))
                begins = config.context == "sentence"
    return Documents(lambda: iter(pieces), len(pieces))


def read_lines(config):
    """The documents: a list of lists of lines, str."""
    if config.data == "builtin":
        return [grammar.sentences(BUILTIN_SENTENCES, seed=0)]
    if config.data.startswith("tfds:"):
        texts = {config.data: "\n".join(read_tfds(config.data, config.data_dir))}
    else:
        files = find_files(config.data, SUFFIXES, "builtin, tfds:NAME")
        texts = {file: read_text(file) for file in readable(config, files)}
    if config.format == "tagged":
        return without_tags(config, texts)
    documents = [
        [line for line in text.split("\n") if line.strip()] for text in texts.values()
    ]
    if all(map(TAGGED.fullmatch, documents[0][:5])):
        log.warning(
            "The lines of %s look like word/TAG pairs. If they are: --format=tagged "
            "drops the tags.",
            config.data,
        )
    return documents


def without_tags(config, texts):
    """As `read_lines`, of lines `word/TAG word/TAG`.

    Args:
        texts: dict, the name of a text -> its lines.

    Raises:
        UserError: for the first line with a word that has no tag; with --skip-bad such
            lines are counted, and only too many of them are an error.
    """
    lines, errors = [], []  # a line: the number of its text, and the words
    for index, (name, text) in enumerate(texts.items()):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                words, error = _untagged(line)
                lines.append((index, words))
                errors.append(error and f"{name}, line {number}: {error}")
    documents = [[] for _ in texts]
    for index, words in sift(config, lines, errors, "lines"):
        documents[index].append(words)
    return documents


def _untagged(line):
    """The words of a line `word/TAG word/TAG` and "", or "" and what is wrong."""
    pairs = [pair.rpartition("/") for pair in line.split()]
    odd = [pair[2] for pair in pairs if not all(pair)]
    if odd:
        return "", (
            f"--format=tagged expected word/TAG, found {odd[0][:60]!r}. Text without "
            "tags is --format=text"
        )
    return " ".join(word for word, _, _ in pairs), ""


def cut(documents, parts):
    """The documents of each part, cut where its share of all lines ends."""
    numbered = [(i, line) for i, lines in enumerate(documents) for line in lines]
    edges = np.round(np.cumsum([0, *parts]) * len(numbered)).astype(int)
    return [
        [
            [line for _, line in group]
            for _, group in itertools.groupby(numbered[low:high], lambda item: item[0])
        ]
        for low, high in itertools.pairwise(edges)
    ]
