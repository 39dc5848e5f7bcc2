"""Every choice of the sentiment app, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.inputs.chinese import cut_by_jieba
from ..core.inputs.kinds import Text
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = (
    "a text goes in, its verdict comes out: positive or negative, or your own labels"
)
TOKENIZERS = ("words", "characters", "subwords", "spaces", "jieba")


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin; the path of a table (.csv, .tsv, .jsonl) with a text and a label in "
        "every row, or of lines as fastText has them (.txt); of a folder with one, or "
        "with a folder of .txt files per label"
    )
    builtin: str = field(
        "english",
        "which texts --data=builtin makes: reviews in English or Chinese; victims: who "
        "was hit; topics: what a text is about",
        choices=("english", "chinese", "victims", "topics"),
        group=options.DATA,
    )
    builtin_size: int = options.builtin_size(8000, "texts, with those for tests,", 40)
    text_column: str = options.column("text", "the text")
    label_column: str = options.column("label", "its label, a word or a number")
    label_separator: str = options.text(
        "", "what stands between labels, where a text may have several or none"
    )
    topic_column: str = options.text(
        "", "column with what the text is about, which is then an input, too"
    )
    split_column: str = options.split_column()
    split: str = options.split("80/10/10")
    skip_bad: bool = options.skip_bad()
    bad_at_most: float = options.bad_at_most()

    # Words
    tokenizer: str = options.tokenizer(
        "words",
        "for Chinese characters, spaces where words are cut already, or words by "
        "jieba, which must be installed",
        TOKENIZERS,
    )
    lower: bool = options.lower(True)
    vocabulary_size: int = options.vocabulary_size(10_000)
    min_count: int = options.min_count(1)
    max_length: int = field(
        0,
        "tokens of a text at most, its end included; of a longer one the beginning and "
        "the end are read, where verdicts stand; 0, or more: the longest in training",
        low=0,
        group=options.DATA,
    )

    # Model
    embedding: int = options.embedding(64)
    ngrams: int = field(
        1,
        "tokens in a row that have a vector of their own besides: 2 for pairs, 3 for "
        "triples too",
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
    cell: str = options.cell("gru")
    units: int = options.units(64)
    levels: int = options.levels(1, "0: none, a bag of words", low=0)
    bidirectional: bool = options.switch(
        False, "read backwards too, side by side", options.MODEL
    )
    pool: str = field(
        "last",
        "what decides: the last state, the mean of all, the maximum of each unit, the "
        "mean by attention, or mean, maximum and attention side by side",
        choices=("last", "mean", "max", "attention", "all"),
        group=options.MODEL,
    )
    attention_units: int = options.attention_units(64)
    members: int = field(
        1,
        "networks side by side that learn apart, and whose probabilities are averaged",
        low=1,
        high=32,
        group=options.MODEL,
    )
    dropout: float = options.dropout(0.3, "of embeddings and of what decides")
    token_dropout: float = options.share(
        0.0, "share of tokens left out in training", group=options.MODEL
    )

    # Training
    start_from: str = options.text(
        "",
        "run of char_lm or word_lm whose vectors and cells the training starts from",
        options.TRAINING,
    )
    minutes: float = options.minutes(5.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    stop_at: float = options.stop_at(0.0, "macro F1, in percent,")
    batch_size: int = options.batch_size(64)
    learning_rate: float = options.learning_rate(3e-3)
    weight_decay: float = options.weight_decay(
        1e-2, "keeps small data from overfitting"
    )
    clip: float = options.clip(1.0)
    label_smoothing: float = options.label_smoothing(0.0)
    class_weights: str = options.class_weights()
    jit: bool = options.jit(
        False, "off, because it compiles once per width of the texts"
    )
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)
        if self.label_separator and self.class_weights != "none":
            raise ConfigError(
                "class_weights: expected none with label_separator, where an example "
                f"has several labels; received {self.class_weights!r}."
            )
        if not self.levels and self.pool == "last":
            raise ConfigError(
                "pool: expected mean, max, attention or all with levels=0, where there "
                "is no state; received 'last'."
            )


@dataclasses.dataclass(frozen=True)
class Options:
    """How a verdict is read out: the likeliest label, where it is likely enough."""

    threshold: float = options.threshold(
        0.0, "0: the likeliest always, and of several labels from 0.5", request=True
    )
    temperature: float = options.temperature(
        1.0, "divides the logits: above 1 the probabilities are less sure", request=True
    )

    def __post_init__(self):
        validate(self)
        if not self.temperature:
            raise ConfigError("temperature: expected a number above 0; received 0.")


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 3000,
    "embedding": 24,
    "units": 32,
    "attention_units": 16,
    "steps": 180,
    "rounds": 3,
    "learning_rate": 1e-2,
    "dropout": 0.0,
}

# The builtin reviews, in half a minute on two cores; by then all is right.
DEFAULT = {"steps": 400, "rounds": 4, "dropout": 0.1}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "reviews": {},  # five minutes on two cores: some thousand real reviews
}
CLAIM = {"accuracy": (90.0, 100.0)}  # what `tiny` reaches on the test split
ALL_KINDS = {"topic_column": "topic"}  # settings by which `kinds` gives all there are


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "reviews"


def kinds(config):
    """What a request holds."""
    text = Text(
        [
            "the room is not bad and the staff is nice .",
            "although the view is great , the bed is awful .",
        ],
        alias="prompt",
        prepare=cut_by_jieba if config.tokenizer == "jieba" else None,
        blank=False,
    )
    if not config.topic_column:
        return {"text": text}
    about = "what the text is about, where the run has --topic-column"
    topic = Text(["staff", "view"], help=about, blank=False)
    return {"text": text, "topic": topic}
