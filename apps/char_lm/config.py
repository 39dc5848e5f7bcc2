"""Every choice of the character language model, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.inputs.kinds import Text
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = "a text goes in, its continuation comes out, a character at a time"


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin (source text of Python's standard library), hello, "
        "tfds:tiny_shakespeare, a text file, or a folder of text files"
    )
    data_dir: str = options.data_dir()
    split: str = options.split_in_order()
    skip_bad: bool = options.skip_bad("files that are no text")
    bad_at_most: float = options.bad_at_most()
    min_count: int = options.min_count(1)

    # Model
    start: str = field(
        "token",
        "what is read before a text, so that its first character has a probability: a "
        "token with a vector to be learned, or as in the lectures the zero vector",
        choices=("token", "zeros"),
        group=options.MODEL,
    )
    cell: str = options.cell("gru", "in minutes a GRU learns most")
    units: int = options.units(384)
    levels: int = options.levels()
    embedding: int = options.embedding(0, "0: one-hot, as in the lectures", low=0)
    tied: bool = options.tied()
    dropout: float = options.dropout(
        0.3,
        "between levels and before the output; a text of a megabyte is read many times "
        "in minutes",
    )

    # Training. No --loss-over: a row of a batch is a window of a stream, no sentence.
    minutes: float = options.minutes(5.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    stop_at: float = options.stop_at(0.0, "loss, in nats a token,")
    batch_size: int = options.batch_size(
        32, "streams of text read side by side; few of them give many steps"
    )
    window: int = options.window(64, "characters")
    learning_rate: float = options.learning_rate(5e-3)
    weight_decay: float = options.weight_decay(0.0)
    clip: float = options.clip(1.0)
    steps_per_call: int = options.steps_per_call(10)
    jit: bool = options.jit(True)
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)
        if self.tied and not self.embedding:
            raise ConfigError(
                "tied: expected an embedding whose weights the output can use; "
                "received --embedding=0, one-hot. Set --embedding, for instance to "
                "--units."
            )


@dataclasses.dataclass(frozen=True)
class Options:
    """How a text is continued."""

    length: int = options.length(300, "characters to write")
    temperature: float = options.temperature(
        0.8,
        "below 1 likely characters become likelier; 0: always the likeliest",
        request=True,
    )
    top_k: int = options.top_k("characters")
    top_p: float = options.top_p("characters")
    seed: int = options.draws_seed(request=True)
    stop: str = options.text(
        "", "end before this text; \\n stands for a line break", options.ANSWERS
    )

    def __post_init__(self):
        validate(self)


# Seconds: the lectures' four letters.
HELLO = {
    "data": "hello",
    "units": 16,
    "cell": "elman",
    "dropout": 0.0,
    "batch_size": 4,
    "window": 10,
    "steps": 200,
    "rounds": 2,
    "learning_rate": 2e-2,
}

# Seconds: for tests and notebooks.
TINY = {
    "cell": "lstm",
    "units": 64,
    "dropout": 0.0,
    "window": 50,
    "steps": 200,
    "rounds": 2,
    "learning_rate": 1e-2,
}

PRESETS = {
    "hello": HELLO,
    "tiny": TINY,
    # Five minutes on two cores: `builtin`, which is too long to be learnt by heart.
    "default": {"dropout": 0.1},
    "text": {},  # five minutes on two cores: a text of about a megabyte
}
CLAIM = {"nats": (1.0, 2.5)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named."""
    return {"hello": "hello", "builtin": "default"}.get(data, "text")


def kinds(config):
    """What a request holds."""
    return {"text": Text(("def main(", "import "), alias="prompt")}
