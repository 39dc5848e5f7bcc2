"""Every choice of the dna app, with its reason or unit."""

import dataclasses
import pathlib

from ..core.inputs.sequence import Sequence
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = "a DNA sequence goes in, its class comes out, and which bases decide"

SCANNED_AT_MOST = 1_000_000  # bases of a sequence that `scan` takes


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin, or the path of a file of sequences and their classes: FASTA, a table "
        "(.csv, .tsv, .jsonl) or UCI's comma file, each also .gz; or of a folder with "
        "one"
    )
    sequence_column: str = options.column("sequence", "the sequence, in a table")
    label_column: str = options.column("label", "its class, in a table")
    label_separator: str = options.text(
        "|", "in a FASTA header, what stands before the class, which ends it"
    )
    labels: str = options.text(
        "", "table with the columns name and label for the headers of a FASTA file"
    )
    split_column: str = options.split_column()
    split: str = options.split("80/10/10")
    skip_bad: bool = options.skip_bad()
    bad_at_most: float = options.bad_at_most()
    builtin_size: int = options.builtin_size(12_000, "sequences", 40)
    max_length: int = field(
        2000,
        "bases of a sequence at most, read in one go; `scan` reads longer ones",
        low=1,
        high=100_000,
        group=options.DATA,
    )
    window: int = field(
        0,
        "bases around the centre whose places are told apart, and of a window of "
        "`scan`; 0: the longest sequence in training",
        low=0,
        high=100_000,
        group=options.DATA,
    )

    # Model
    filters: int = field(
        64,
        "of the convolution, motifs that it looks for; 0: the recurrent layers read "
        "the bases themselves",
        low=0,
        high=4096,
        group=options.MODEL,
    )
    filter_width: int = field(
        7, "bases that a filter sees", low=1, high=101, group=options.MODEL
    )
    cell: str = options.cell("gru")
    units: int = options.units(64, "read in both directions, side by side")
    levels: int = options.levels()
    pool: str = field(
        "centre",
        "what decides: the states at the centre, where junctions are; the last ones, "
        "the mean, or attention; places: every state, each place with its own weights",
        choices=("centre", "last", "mean", "attention", "places"),
        group=options.MODEL,
    )
    members: int = field(
        1,
        "networks side by side, each with its own weights and loss; their mean answers",
        low=1,
        high=20,
        group=options.MODEL,
    )
    both_strands: bool = options.switch(
        False,
        "read the reverse complement too and average; off, because splice sites and "
        "promoters lie on one strand",
        options.MODEL,
    )
    dropout: float = options.dropout(0.5, "of what decides")
    dropout_filters: float = options.dropout(0.2, "of the filters' outputs")

    # Training
    hidden: float = options.share(
        0.0,
        "share of the bases that a training step sees as N, any base: with little "
        "data no place may decide alone",
    )
    minutes: float = options.minutes(5.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    batch_size: int = options.batch_size(64)
    learning_rate: float = options.learning_rate(3e-3)
    weight_decay: float = options.weight_decay(
        1e-2, "keeps small data from overfitting"
    )
    clip: float = options.clip(1.0)
    label_smoothing: float = options.label_smoothing(0.0)
    class_weights: str = options.class_weights()
    jit: bool = options.jit(False)
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)


@dataclasses.dataclass(frozen=True)
class Options:
    """How an answer is read out.

    stride: see `scan` in task.py; it changes the graph, so an export fixes it.
    """

    stride: int = field(
        1,
        "bases from a window of --signature scan to the next",
        low=1,
        high=10_000,
        group=options.ANSWERS,
    )

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 4000,
    "filters": 24,
    "units": 24,
    "steps": 200,
    "rounds": 2,
    "learning_rate": 1e-2,
    "dropout": 0.2,
    "dropout_filters": 0.0,
}

# There are as many builtin sequences as one likes: of 12,000 it learned some by heart,
# and of as many as here nothing needs to be kept from that.
DEFAULT = {
    "builtin_size": 60_000,
    "filters": 128,
    "filter_width": 9,
    "units": 32,
    "levels": 2,
    "pool": "places",
    "dropout": 0.0,
    "dropout_filters": 0.0,
    "weight_decay": 0.0,
    "batch_size": 128,
    "steps": 1200,
    "rounds": 4,
    "learning_rate": 6e-3,
}

# Some thousand splice junctions: the last weights are as good as any round's, so with
# one round nothing is held back to choose by.
SPLICE = {"units": 32, "steps": 400, "rounds": 1}

# A hundred promoters, of which every step sees all: quick enough to leave one out.
PROMOTERS = {
    "filters": 32,
    "units": 16,
    "pool": "places",
    "hidden": 0.2,
    "batch_size": 106,
    "learning_rate": 6e-3,
    "steps": 60,
    "rounds": 1,
}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "sequences": {},  # five minutes
    "splice": SPLICE,
    "promoters": PROMOTERS,
}
CLAIM = {"accuracy": (80.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named: by what the file or folder is
    called."""
    if data == "builtin":
        return "default"
    name = pathlib.PurePath(data).name
    return next((p for p in ("splice", "promoters") if p in name), "sequences")


def kinds(config):
    """What a request holds."""
    return {"sequence": Sequence(EXAMPLES, config.max_length)}


# A promoter and a donor site of the builtin data, as they are drawn.
EXAMPLES = [
    "GGATCACAGTCTACACTTGACACTCCAACCCCGGCCCCTTATAATGAGGAGAGGGTGCTT",
    "ATGAACTGGAGTCTACGATGAGTGTACCAGGTAAGTCTGGAACAGGCTTCCCACCAGGGT",
]
