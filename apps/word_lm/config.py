"""Every choice of the word language model, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.inputs.chinese import cut_by_jieba
from ..core.inputs.kinds import Text
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = (
    "a sentence goes in, its probability comes out, or its continuation, a word at a "
    "time"
)
TOKENIZERS = ("words", "spaces", "characters", "jieba")


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin (sentences of a small grammar), tfds:NAME, a text file with a "
        "sentence per line, or a folder of them; .gz is read too"
    )
    data_dir: str = options.data_dir()
    format: str = field(
        "text",
        "tagged: a line is word/TAG word/TAG ..., and the tags are dropped",
        choices=("text", "tagged"),
        group=options.DATA,
    )
    skip_bad: bool = options.skip_bad(
        "files that are no text, and lines without tags where tags are dropped,"
    )
    bad_at_most: float = options.bad_at_most()
    split: str = options.split_in_order()
    tokenizer: str = options.tokenizer(
        "words",
        "words: words and punctuation marks; spaces: what stands between spaces; for "
        "Chinese characters, or words by jieba, which must be installed",
        TOKENIZERS,
    )
    lower: bool = options.switch(
        False, "make all letters lower case, in texts and in requests", options.DATA
    )
    vocabulary_size: int = options.vocabulary_size(0, "<UNK> and <EOS> included")
    min_count: int = options.min_count(
        2, "<UNK>; from 2 on the network sees what that means"
    )
    context: str = field(
        "sentence",
        "what the state remembers; sentence: every line begins anew, as when it is "
        "scored; document: the lines of a file are one text",
        choices=("sentence", "document"),
        group=options.DATA,
    )

    # Model
    cell: str = options.cell("gru", "a GRU learns from a first pass faster")
    units: int = options.units(256)
    levels: int = options.levels()
    embedding: int = options.embedding(256, "0: one-hot", low=0)
    tied: bool = options.tied()
    dropout: float = options.dropout(
        0.0,
        "between levels and before the output; 0, because in minutes a text is read "
        "about once",
    )

    # Training. No --loss-over: a row of a batch is a window of a stream, no sentence.
    minutes: float = options.minutes(5.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    stop_at: float = options.stop_at(0.0, "loss, in nats a token,")
    batch_size: int = options.batch_size(
        16, "streams of text read side by side; few of them give many steps"
    )
    window: int = options.window(40)
    learning_rate: float = options.learning_rate(8e-3)
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
                "received --embedding=0, one-hot. Set --no-tied, or --embedding, for "
                "instance to --units."
            )
        if self.vocabulary_size in (1, 2):
            raise ConfigError(
                "vocabulary_size: expected 3 or more, because <UNK> and <EOS> are two; "
                f"or 0, no limit. Received {self.vocabulary_size}."
            )


@dataclasses.dataclass(frozen=True)
class Options:
    """How a text is continued."""

    length: int = options.length(60, "tokens to write at most")
    temperature: float = options.temperature(
        0.8, "below 1 likely words become likelier; 0: always the likeliest", True
    )
    top_k: int = options.top_k("words")
    top_p: float = options.top_p("words")
    seed: int = options.draws_seed(request=True)
    stop: bool = options.switch(
        True, "end with the sentence, before <EOS>", options.ANSWERS
    )

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "cell": "lstm",
    "units": 64,
    "embedding": 64,
    "tied": True,
    "batch_size": 32,
    "window": 25,
    "steps": 1600,
    "rounds": 2,
    "learning_rate": 1e-2,
}

PRESETS = {
    "tiny": TINY,
    "default": {},  # five minutes on two cores
}
CLAIM = {  # what `tiny` reaches on the test split
    "agreement_percent": (90.0, 100.0),
    "nats": (1.5, 1.76),
}


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default"


def kinds(config):
    """What a request holds."""
    return {"text": text(config, alias="prompt")}


def text(config, **options):
    """The kind of a text: words by jieba must be cut before a graph."""
    prepare = cut_by_jieba if config.tokenizer == "jieba" else None
    examples = ("the cat , which", "the dogs")
    return Text(examples, prepare=prepare, **options)
