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

import dataclasses
import hashlib
import itertools
import logging
import re

import numpy as np

from ..core.data.places import lies_in
from ..core.data.sieve import sift
from ..core.data.texts import find_files, read_text, read_tfds, readable, shares
from ..core.errors import UserError
from ..core.tasks.language.streams import Text, batch_facts
from . import grammar
from .words import Words, tokenize

log = logging.getLogger("saccade")

SUFFIXES = (".txt", ".txt.gz", ".tokens", ".tokens.gz")
BUILTIN_SENTENCES = 4000
CHINESE = re.compile("[\u4e00-\u9fff]")
TAGGED = re.compile(r"(\s*\S+/[A-Za-z$.,:'`#()-]+)+\s*")


@dataclasses.dataclass(frozen=True)
class Splits:
    """A `Text` each, in the ids of `words`. Without a third part in --split the test
    text is the validation text."""

    train: Text
    validation: Text
    test: Text
    words: Words
    sha256: str  # of the whole text


def load_data(config):
    """Splits of the text that `config.data` names.

    Raises:
        UserError: no such data; a file that is empty or no UTF-8; a text too short.
    """
    documents = read(config)
    parts = [
        [tokenize(lines, config.tokenizer) for lines in part]
        for part in cut(documents, shares(config.split))
    ]
    words = Words.build(
        itertools.chain(*parts[0]),
        config.tokenizer,
        config.vocabulary_size,
        config.min_count,
    )
    texts = [Text(streams(part, words, config.context)) for part in parts]
    for name, text in zip(("training", "validation", "test"), texts, strict=False):
        if len(text) < 3:
            raise UserError(
                f"The {name} text of {config.data} holds no line; at least 1 is "
                f"needed. Give it more in --split={config.split}, or a longer text."
            )
    digest = hashlib.sha256("\0".join(map("\n".join, documents)).encode())
    train, validation, test = [*texts, texts[-1]][:3]
    return Splits(train, validation, test, words, digest.hexdigest())


def streams(documents, words, context):
    """The arrays of ids that `Text` takes: <EOS>, then every line with its <EOS>.

    Args:
        documents: list of lists of lines, a line a list of tokens.
    """
    end = np.array([words.end], np.int32)
    lines = [[[*words.ids(line), words.end] for line in d if line] for d in documents]
    if context == "sentence":
        return [np.concatenate([end, line]) for d in lines for line in d]
    return [np.concatenate([end, *d]) for d in lines if d]


def read(config):
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
    sample = "".join(documents[0][:100])
    if config.tokenizer == "words" and len(CHINESE.findall(sample)) > len(sample) / 2:
        log.warning(
            "%s looks like Chinese, whose words stand not apart: a line would be one "
            "word. Try --tokenizer=characters, or jieba.",
            config.data,
        )
    if all(map(TAGGED.fullmatch, documents[0][:5])):
        log.warning(
            "The lines of %s look like word/TAG pairs. If they are: --format=tagged "
            "drops the tags.",
            config.data,
        )
    return documents


def without_tags(config, texts):
    """As `read`, of lines `word/TAG word/TAG`.

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


def learn(config, splits):
    """Nothing is left open but the words."""
    return config, splits.words


assets_from_json = Words.from_json


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    return f"{config.data} has no text"


def unknown_share(text):
    """Share of <UNK> among the targets of a `Text`, <EOS> included."""
    return float(np.mean(text.ids[~text.begins] == Words.unknown))


def describe(config, splits):
    """Facts for people."""

    def size(text):
        tokens = len(text) - len(text.starts)
        return f"{tokens:,} tokens, {unknown_share(text):.2%} of them <UNK>"

    return {
        "lies in": lies_in(config, builtin="made by every command, by a grammar"),
        "training": size(splits.train),
        "validation": size(splits.validation),
        "test": "as validation"
        if splits.test is splits.validation
        else size(splits.test),
        "texts that begin anew": len(splits.train.starts),
        "vocabulary": f"{splits.words.size:,}, <UNK> and <EOS> included; "
        f"{splits.words.rare:,} rarer ones are <UNK>",
        "sha256": splits.sha256,
        **batch_facts(config, splits.train),
        **{f"example {i}": line for i, line in enumerate(samples(splits), 1)},
    }


def samples(splits):
    """Three lines of the training text: its first, and those behind its thirds."""
    ends = np.flatnonzero(splits.train.ids == splits.words.end)
    for place in (0, len(ends) // 3, 2 * len(ends) // 3):
        first, behind = [*ends[place : place + 2], len(splits.train)][:2]
        line, _ = splits.train.cut([first + 1], min(behind - first - 1, 60))
        yield splits.words.decode(line).numpy()[0].decode()


def example():
    """One raw request, as a client would send it."""
    return {
        "text": np.array([b"the cat , which", b""]),
        "temperature": np.array([0.8, 0.0], np.float32),
        "length": np.array([20, 20], np.int32),
        "seed": np.array([0, 1], np.int32),
    }
