"""Every choice of the translation app, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.inputs.kinds import Text
from ..core.settings import options
from ..core.settings.cells import CELLS
from ..core.settings.fields import field, validate

SUMMARY = (
    "a sentence goes in, the same in another language comes out, with the words that "
    "each word was made from"
)
LONGEST = 10_000  # bytes of a text: all of it is read at once


def cells(what):
    return field(
        ("gru",),
        f"recurrent cells of the {what}, one per level, the lowest first: lstm,gru",
        choices=tuple(CELLS),
        group=options.MODEL,
    )


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin (dates to ISO); a folder with a file per language and part (train.en, "
        "train.de.gz, val.en ...), or how such files begin (FOLDER/test_2017); a table "
        "(.tsv, .csv, .jsonl), or a folder with train.tsv, val.tsv, test.tsv"
    )
    source: str = options.text(
        "", "language that is read: the ending of its files, or its column"
    )
    target: str = options.text("", "language that is written, likewise")
    columns: str = options.text(
        "", "languages of a table without a header (en,zh); empty: source, target"
    )
    split_column: str = options.split_column()
    split: str = options.split("90/5/5")
    skip_bad: bool = options.skip_bad()
    bad_at_most: float = options.bad_at_most()
    builtin_size: int = options.builtin_size(12_000, "dates, with those for tests,", 40)

    # Tokens
    tokenizer: str = options.tokenizer(
        "subwords", "of both languages", ("words", "characters", "subwords", "spaces")
    )
    lower: bool = options.lower()
    vocabulary_size: int = options.vocabulary_size(6000, "of each language")
    min_count: int = options.min_count(2)
    max_length: int = options.max_length("translation")
    reverse_source: bool = options.switch(
        False, "read the source from its end (Sutskever et al. 2014)", options.DATA
    )

    # Model
    attention: str = options.attention(
        "soft",
        ("none", "soft"),
        "look at the source before every token; none: only the encoder's last state "
        "tells of it",
    )
    attention_units: int = options.attention_units(192)
    gate: bool = options.gate(False)
    bridge: str = field(
        "initial",
        "where the encoder's vector enters the decoder: as its initial state, as a "
        "first input, or in every step; with attention, which always starts from the "
        "mean state, first and every come on top",
        choices=("initial", "first", "every"),
        group=options.MODEL,
    )
    input_feeding: bool = options.switch(
        False,
        "the decoder also reads what it and the attention made of the step before "
        "(Luong et al. 2015)",
        options.MODEL,
    )
    encoder_cell: tuple[str, ...] = cells("encoder")
    decoder_cell: tuple[str, ...] = cells("decoder")
    bidirectional: bool = options.switch(
        True, "the encoder reads backwards too, side by side", options.MODEL
    )
    units: int = options.units(192)
    embedding: int = options.embedding(192)
    tied: bool = options.tied(True)
    activation: str = options.vote_activation(
        "linear", "tanh is saturated before the states tell anything"
    )
    dropout: float = options.dropout(
        0.3, "of embeddings, between levels and before the output"
    )

    # Training
    minutes: float = options.minutes(15.0)
    steps: int = options.steps()
    rounds: int = options.rounds(15)
    stop_at: float = options.stop_at(0.0, "chrF")
    batch_size: int = options.batch_size(64, "sentences per step")
    learning_rate: float = options.learning_rate(3e-3)
    weight_decay: float = options.weight_decay(1e-2)
    clip: float = options.clip(1.0)
    label_smoothing: float = options.label_smoothing(0.1)
    loss_over: str = options.loss_over()
    average: int = options.average(3)
    jit: bool = options.jit(
        False, "off, because it compiles once per width of the sentences"
    )
    seed: int = options.seed()

    # Serving
    serve_beam: int = options.serve_beam(5)

    def __post_init__(self):
        validate(self)
        for name in ("encoder_cell", "decoder_cell"):
            if not getattr(self, name):
                raise ConfigError(f"{name}: expected a cell or more; received none.")
        if self.source and self.source == self.target:
            raise ConfigError(
                "target: expected another language than source; received "
                f"{self.target!r} for both."
            )
        if self.input_feeding and self.attention == "none":
            raise ConfigError(
                "input_feeding: expected attention=soft, whose context is fed; "
                "received attention=none."
            )


@dataclasses.dataclass(frozen=True)
class Options:
    """How a translation is read out of the trained model."""

    beam: int = options.beam(5, request=True)
    max_beam: int = field(
        0,
        "hypotheses that an export has room for, of which a request's beam uses some, "
        "or all where it is more; 0: as many",
        low=0,
        high=1000,
        group=options.ANSWERS,
    )
    n_best: int = field(
        1,
        "translations of an answer, the best first, each with its score, the logarithm "
        "of its probability under both penalties",
        low=1,
        high=1000,
        group=options.ANSWERS,
    )
    length_penalty: float = options.length_penalty("translations", 1.0, request=True)
    coverage_penalty: float = field(
        0.0,
        "above 0, translations that leave no part of the source out rank higher; needs "
        "attention",
        low=0,
        group=options.ANSWERS,
        request=True,
    )
    length: int = field(
        0,
        "tokens of a translation at most, its end included; 0, or more than the "
        "longest in training: as many",
        low=0,
        group=options.ANSWERS,
        request=True,
    )
    replace_unknown: bool = field(
        True,
        "in the place of an unknown word stands the source word most looked at; else "
        "none is written",
        group=options.ANSWERS,
    )

    def __post_init__(self):
        validate(self)
        most = max(self.beam, self.max_beam)
        if self.n_best > most:
            raise ConfigError(
                f"n_best: expected at most as many as beam, {most}; received "
                f"{self.n_best}."
            )


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 6000,
    "tokenizer": "characters",
    "min_count": 1,
    "units": 96,
    "embedding": 48,
    "attention_units": 48,
    "steps": 420,
    "rounds": 3,
    "learning_rate": 6e-3,
    "tied": False,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "average": 1,
}

# The builtin dates, in two minutes on two cores.
DEFAULT = {
    "tokenizer": "characters",
    "min_count": 1,
    "units": 128,
    "embedding": 64,
    "attention_units": 64,
    "steps": 1500,
    "rounds": 6,
    "learning_rate": 5e-3,
    "tied": False,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "average": 1,
}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "sentences": {},  # a quarter of an hour on two cores: some ten thousand pairs
}
CLAIM = {"exact_match": (80.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "sentences"


def kinds(config):
    """What a request holds."""
    examples = ["28. November 2026", "2026年11月28日"]
    text = Text(examples, lines=True, blank=False, most=LONGEST)
    return {"text": text}


def signature_kinds(config):
    """What further signatures read besides: `score`."""
    help = "of --signature score: a translation, whose probability is asked for"
    examples = ["2026-11-28", "2026-11-29"]
    given = Text(examples, lines=True, help=help, blank=False, most=LONGEST)
    return {"translation": given}
