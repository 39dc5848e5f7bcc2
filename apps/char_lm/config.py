"""Every choice of the character language model, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.settings.cells import CELLS
from ..core.settings.fields import field, validate

SUMMARY = "a text goes in, its continuation comes out, a character at a time"
READS = "texts"


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = field(
        "builtin",
        "builtin (source text of Python's standard library), hello, "
        "tfds:tiny_shakespeare, a text file, or a folder of text files",
    )
    data_dir: str = field("", "where tensorflow-datasets keeps prepared data")
    split: str = field(
        "90/10", "percent for train/validation or train/validation/test, in this order"
    )
    skip_bad: bool = field(
        False, "count and skip files that are no text instead of stopping"
    )
    bad_at_most: float = field(
        10.0, "percent that --skip-bad may skip; more is an error", low=0, high=100
    )
    min_count: int = field(1, "a rarer character becomes the unknown one", low=1)

    # Model
    cell: str = field(
        "gru", "recurrent cell; in minutes a GRU learns most", choices=tuple(CELLS)
    )
    units_rnn: int = field(
        384, "size of the recurrent state of a level", low=1, high=8192
    )
    levels: int = field(1, "recurrent layers, one on the other", low=1, high=8)
    embedding: int = field(
        0,
        "size of a character's vector; 0: one-hot, as in the lectures",
        low=0,
        high=8192,
    )
    tied: bool = field(
        False, "the output uses the embedding's weights (Press & Wolf 2017)"
    )
    dropout: float = field(
        0.3,
        "share dropped between levels and before the output; a text of a megabyte is "
        "read many times in minutes",
        low=0,
        high=0.95,
    )

    # Training
    minutes: float = field(
        5.0, "time budget where --steps is 0, which it then sets", low=0.01
    )
    steps: int = field(0, "training steps; 0: as many as fit into --minutes", low=0)
    rounds: int = field(
        10, "validations and checkpoints, evenly spread over the steps", low=1
    )
    batch_size: int = field(
        32, "streams of text read side by side; few of them give many steps", low=1
    )
    window: int = field(
        64, "characters per step, through which gradients flow (truncated BPTT)", low=1
    )
    learning_rate: float = field(5e-3, "peak, after warm-up; falls to 0", low=0)
    weight_decay: float = field(0.0, "of AdamW", low=0)
    clip: float = field(1.0, "gradients' global norm at most; 0: not clipped", low=0)
    steps_per_call: int = field(
        10, "steps run by one call from Python, which else is what is measured", low=1
    )
    jit: bool = field(True, "compile the training step with XLA")
    seed: int = field(
        0, "of weights, order of the text and dropout", low=0, high=2**31 - 1
    )

    def __post_init__(self):
        validate(self)
        if self.tied and not self.embedding:
            raise ConfigError(
                "tied: expected an embedding whose weights the output can use; "
                "received --embedding=0, one-hot. Set --embedding, for instance to "
                "--units-rnn."
            )


@dataclasses.dataclass(frozen=True)
class Decode:
    """How a text is continued."""

    length: int = field(300, "characters to write", low=1, high=100_000)
    temperature: float = field(
        0.8, "below 1 likely characters become likelier; 0: always the likeliest", low=0
    )
    top_k: int = field(0, "draw among the k likeliest characters; 0: all", low=0)
    top_p: float = field(
        1.0, "draw among the likeliest characters of mass p", low=0, high=1
    )
    seed: int = field(0, "of the draws", low=0, high=2**31 - 1)
    stop: str = field("", "end before this text; \\n stands for a line break")

    def __post_init__(self):
        validate(self)

    def describe(self):
        """One line for a table."""
        if not self.temperature:
            return f"greedy, {self.length} characters"
        return (
            f"sampling, temperature {self.temperature:g}, top-k {self.top_k}, "
            f"top-p {self.top_p:g}, seed {self.seed}"
        )


def hello():
    """Seconds: the lectures' four letters."""
    return Config(
        data="hello",
        units_rnn=16,
        cell="elman",
        dropout=0.0,
        batch_size=4,
        window=10,
        steps=200,
        rounds=2,
        learning_rate=2e-2,
    )


def tiny():
    """Seconds: for tests and notebooks."""
    return Config(
        cell="lstm",
        units_rnn=64,
        dropout=0.0,
        window=50,
        steps=200,
        rounds=2,
        learning_rate=1e-2,
    )


def default():
    """Five minutes on two cores: `builtin`, which is too long to be learnt by heart."""
    return Config(dropout=0.1)


def text():
    """Five minutes on two cores: a text of about a megabyte."""
    return Config()


PRESETS = {"hello": hello, "tiny": tiny, "default": default, "text": text}


def preset_for(data):
    """The preset that suits the data where none is named."""
    return {"hello": "hello", "builtin": "default"}.get(data, "text")
