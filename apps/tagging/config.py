"""Every choice of the tagging app, with its reason or unit."""

import dataclasses
import pathlib

from ..core.errors import ConfigError
from ..core.inputs.kinds import Text
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = (
    "a text goes in, a label for every word or character comes out: names, parts of "
    "speech, or your own"
)
TOKENIZERS = ("auto", "words", "spaces", "characters")
READ_AT_MOST = 2**14  # bytes of a text; all rows of a request are padded to its longest


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin; the path of a file, gzipped or not, with a token and its label in "
        "every line (CoNLL), of CoNLL-U, or of lines of word/TAG; of a folder with "
        "train, dev and test files"
    )
    builtin_size: int = options.builtin_size(
        6000, "sentences, with those for tests,", 40
    )
    column: str = options.text(
        "",
        "column with the labels: a number from 1; of CoNLL-U a name, as upos; of "
        "builtin names (1 or 0), entities or words; empty: the last, upos, entities",
    )
    scheme: str = field(
        "BIOES",
        "how the labels of an entity of several tokens are written, whatever the data "
        "has; keep: as there",
        choices=("BIOES", "BIO", "keep"),
        group=options.DATA,
    )
    split: str = options.split("80/10/10")
    skip_bad: bool = options.skip_bad("bad sentences")
    bad_at_most: float = options.bad_at_most()

    # Tokens
    tokenizer: str = options.tokenizer(
        "auto",
        "in texts that are not cut yet, as those of the data are. spaces: what stands "
        "between spaces; auto: characters where every token of the data is one, else "
        "words",
        TOKENIZERS,
    )
    lower: bool = options.lower(True)
    vocabulary_size: int = options.vocabulary_size(0)
    min_count: int = options.min_count(1)
    max_length: int = field(
        200,
        "tokens at most that training reads of a sentence; of a longer one all pieces, "
        "one by one; answers read all at once",
        low=4,
        group=options.DATA,
    )

    # Model
    embedding: int = options.embedding(64)
    vectors: str = options.text(
        "",
        "file with vectors of words to start from, as word2vec and GloVe write them: a "
        "word and --embedding numbers a line",
        options.MODEL,
    )
    ngrams: int = field(
        1,
        "tokens in a row that have a vector of their own besides: 2 for pairs",
        low=1,
        high=3,
        group=options.MODEL,
    )
    buckets: int = field(
        50_000,
        "vectors that all n-grams share, by a hash",
        low=1,
        high=10_000_000,
        group=options.MODEL,
    )
    characters: str = field(
        "none",
        "network that reads the characters of each word: cnn, filters and their "
        "maximum; rnn, both ways",
        choices=("none", "cnn", "rnn"),
        group=options.MODEL,
    )
    gazetteer: str = options.text(
        "",
        "file with names, one a line: which tokens belong to one of them is an input",
        options.MODEL,
    )
    cell: str = options.cell("gru")
    units: int = options.units(64)
    levels: int = options.levels()
    bidirectional: bool = options.switch(
        True,
        "read backwards too; off: a label depends on its left side only",
        options.MODEL,
    )
    decoder: str = field(
        "crf",
        "what chooses the labels: crf, all of a sentence together; softmax, each "
        "alone; sigmoid, each alone between two",
        choices=("crf", "softmax", "sigmoid"),
        group=options.MODEL,
    )
    dropout: float = options.dropout(0.3, "of vectors and of states")
    token_dropout: float = options.share(
        0.0, "share of tokens that training reads as unknown", group=options.MODEL
    )

    # Training
    minutes: float = options.minutes(5.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    stop_at: float = options.stop_at(0.0, "F1, without entities accuracy, in percent,")
    batch_size: int = options.batch_size(32)
    learning_rate: float = options.learning_rate(3e-3)
    weight_decay: float = options.weight_decay(1e-4)
    clip: float = options.clip(5.0)
    loss_over: str = options.loss_over("sentence")
    jit: bool = options.jit(
        False, "off, because it compiles once per width of the texts"
    )
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)
        if self.loss_over == "token" and self.decoder == "crf":
            raise ConfigError(
                "loss_over: expected sentence with decoder=crf, whose loss is of whole "
                "sentences; received 'token'."
            )


@dataclasses.dataclass(frozen=True)
class Options:
    """How an answer is read out.

    n_best: see `--signature n_best`; it changes the graph, so an export fixes it.
    """

    threshold: float = options.threshold(
        0.0, "entities that are less likely are left out", request=True
    )
    n_best: int = field(
        3,
        "answers of --signature n_best",
        low=1,
        high=100,
        group=options.ANSWERS,
    )

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 2000,
    "embedding": 24,
    "units": 32,
    "steps": 150,
    "rounds": 3,
    "learning_rate": 1e-2,
    "dropout": 0.0,
}

# Builtin sentences, in half a minute on two cores.
DEFAULT = {"steps": 300, "rounds": 3, "dropout": 0.1}

# Names in Chinese, character by character.
CHARACTERS = {
    "ngrams": 2,
    "embedding": 96,
    "units": 128,
    "dropout": 0.5,
    "token_dropout": 0.05,
}

# English words, of which a network reads the characters.
WORDS = {
    "embedding": 96,
    "units": 128,
    "characters": "cnn",
    "dropout": 0.4,
    "token_dropout": 0.1,
}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "characters": CHARACTERS,
    "words": WORDS,
}
CLAIM = {"f1": (95.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named: by the name of the file or
    folder."""
    if data == "builtin":
        return "default"
    name = pathlib.PurePath(data).name.lower()
    chinese = any(part in name for part in ("zh", "chinese", "char", "bmes"))
    return "characters" if chinese else "words"


def kinds(config):
    """What a request holds."""
    examples = ["王刚和李明去上班了", "他说，王府在张家口"]
    if config.tokenizer in ("words", "spaces"):
        examples = ["Ada Lovelace lived in London .", "What did you say ?"]
    text = Text(examples, alias="prompt", lines=True, most=READ_AT_MOST)
    return {"text": text}
