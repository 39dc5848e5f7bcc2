"""Every choice of the sentiment app, with its reason or unit."""

import dataclasses

from ..core.inputs.kinds import Text
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = (
    "a text goes in, its verdict comes out: positive or negative, or your own labels"
)


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin, or the path of a table (.csv, .tsv, .jsonl) with a text and a label "
        "in every row, or of a folder with one"
    )
    text_column: str = options.column("text", "the text")
    label_column: str = options.column("label", "its label, a word or a number")
    split_column: str = options.split_column()
    split: str = options.split("80/10/10")
    skip_bad: bool = options.skip_bad()
    bad_at_most: float = options.bad_at_most()
    builtin_size: int = options.builtin_size(8000, "reviews, with those for tests,", 40)

    # Words
    tokenizer: str = options.tokenizer("words", "Chinese needs characters")
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
    cell: str = options.cell("gru")
    units: int = options.units(64)
    levels: int = options.levels()
    bidirectional: bool = options.switch(
        False, "read backwards too, side by side", options.MODEL
    )
    pool: str = field(
        "last",
        "what decides: the last state, or the mean of all",
        choices=("last", "mean"),
        group=options.MODEL,
    )
    dropout: float = options.dropout(0.3, "of embeddings and of what decides")

    # Training
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


@dataclasses.dataclass(frozen=True)
class Options:
    """How a verdict is read out: the likeliest label, without a choice."""

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 3000,
    "embedding": 24,
    "units": 32,
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


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "reviews"


def kinds(config):
    """What a request holds."""
    return {
        "text": Text(
            [
                "the room is not bad and the staff is kind .",
                "although the view is great , the bed is hard .",
            ],
            alias="prompt",
        )
    }
