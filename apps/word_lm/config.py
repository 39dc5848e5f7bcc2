"""Every choice of the word language model, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.settings.cells import CELLS
from ..core.settings.fields import field, validate

SUMMARY = (
    "a sentence goes in, its probability comes out, or its continuation, a word at a "
    "time"
)
READS = "texts"

TOKENIZERS = ("words", "spaces", "characters", "jieba")


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = field(
        "builtin",
        "builtin (sentences of a small grammar), tfds:NAME, a text file with a "
        "sentence per line, or a folder of them; .gz is read too",
    )
    data_dir: str = field("", "where tensorflow-datasets keeps prepared data")
    format: str = field(
        "text",
        "tagged: a line is word/TAG word/TAG ..., and the tags are dropped",
        choices=("text", "tagged"),
    )
    skip_bad: bool = field(
        False,
        "count and skip files that are no text, and lines without tags where tags are "
        "dropped, instead of stopping",
    )
    bad_at_most: float = field(
        10.0, "percent that --skip-bad may skip; more is an error", low=0, high=100
    )
    split: str = field(
        "90/10", "percent for train/validation or train/validation/test, in this order"
    )
    tokenizer: str = field(
        "words",
        "words: words and punctuation marks; spaces: what stands between spaces; for "
        "Chinese characters, or words by jieba, which must be installed",
        choices=TOKENIZERS,
    )
    vocabulary_size: int = field(
        0, "tokens at most, <UNK> and <EOS> included; 0: no limit", low=0
    )
    min_count: int = field(
        2, "a rarer token is <UNK>; from 2 on the network sees what that means", low=1
    )
    context: str = field(
        "sentence",
        "what the state remembers; sentence: every line begins anew, as when it is "
        "scored; document: the lines of a file are one text",
        choices=("sentence", "document"),
    )

    # Model
    cell: str = field(
        "gru",
        "recurrent cell; a GRU learns from a first pass faster",
        choices=tuple(CELLS),
    )
    units_rnn: int = field(
        256, "size of the recurrent state of a level", low=1, high=8192
    )
    levels: int = field(1, "recurrent layers, one on the other", low=1, high=8)
    embedding: int = field(256, "size of a word's vector; 0: one-hot", low=0, high=8192)
    tied: bool = field(
        False, "the output uses the embedding's weights (Press & Wolf 2017)"
    )
    dropout: float = field(
        0.0,
        "share dropped between levels and before the output; 0, because in minutes a "
        "text is read about once",
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
        16, "streams of text read side by side; few of them give many steps", low=1
    )
    window: int = field(
        40, "tokens per step, through which gradients flow (truncated BPTT)", low=1
    )
    learning_rate: float = field(8e-3, "peak, after warm-up; falls to 0", low=0)
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
                "received --embedding=0, one-hot. Set --no-tied, or --embedding, for "
                "instance to --units-rnn."
            )
        if self.vocabulary_size in (1, 2):
            raise ConfigError(
                "vocabulary_size: expected 3 or more, because <UNK> and <EOS> are two; "
                f"or 0, no limit. Received {self.vocabulary_size}."
            )


@dataclasses.dataclass(frozen=True)
class Decode:
    """How a text is continued, or what is measured of lines."""

    length: int = field(60, "tokens to write at most", low=1, high=100_000)
    temperature: float = field(
        0.8, "below 1 likely words become likelier; 0: always the likeliest", low=0
    )
    top_k: int = field(0, "draw among the k likeliest words; 0: all", low=0)
    top_p: float = field(1.0, "draw among the likeliest words of mass p", low=0, high=1)
    seed: int = field(0, "of the draws", low=0, high=2**31 - 1)
    stop: bool = field(True, "end with the sentence, before <EOS>")
    score: bool = field(
        False,
        "tell the probability and perplexity of every line of the inputs instead",
    )
    rank: bool = field(
        False,
        "as --score, and the likeliest line comes first, by its score: the log "
        "probability, in which the unknown words share that of <UNK>",
    )

    def __post_init__(self):
        validate(self)

    def describe(self):
        """One line for a table."""
        if not self.temperature:
            return f"greedy, {self.length} tokens"
        return (
            f"sampling, temperature {self.temperature:g}, top-k {self.top_k}, "
            f"top-p {self.top_p:g}, seed {self.seed}"
        )


def tiny():
    """Seconds: for tests and notebooks."""
    return Config(
        cell="lstm",
        units_rnn=64,
        embedding=64,
        tied=True,
        batch_size=32,
        window=25,
        steps=1000,
        rounds=2,
        learning_rate=1e-2,
    )


def default():
    """Five minutes on two cores."""
    return Config()


PRESETS = {"tiny": tiny, "default": default}


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default"
