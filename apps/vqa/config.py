"""Every choice of the vqa app, with its reason or unit."""

import dataclasses

from ..core.inputs.kinds import Choices, Picture, Text
from ..core.settings import options
from ..core.settings.cells import CELLS
from ..core.settings.fields import field, validate

SUMMARY = (
    "a picture and a question go in, an answer comes out, with a map of where the "
    "network looked"
)


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin, or the path of a table (.csv, .tsv, .jsonl) of pictures, questions "
        "and answers, of VQA v2's questions, or of a folder with one of them, with one "
        "for each split, or with easy-VQA's files"
    )
    image_column: str = options.column(
        "", "the picture's path; empty: image or the like"
    )
    question_column: str = options.column("question", "the question")
    answer_column: str = options.column("answer", "the answer; in .jsonl also a list")
    type_column: str = options.column(
        "", "the kind of question, for the figures; empty: answer_type or the like"
    )
    group_column: str = options.column(
        "", "what keeps rows in one split where they have the same; empty: the picture"
    )
    split_column: str = options.split_column()
    split: str = options.split("80/10/10")
    image_dir: str = options.image_dir()
    skip_bad: bool = options.skip_bad()
    bad_at_most: float = options.bad_at_most()
    builtin_size: int = options.builtin_size(6000, "pictures", 40)
    objects: int = field(
        6, "in a builtin picture at most; two at least", low=2, high=6, group="Data"
    )

    # Pictures, questions, answers
    image_size: int = options.image_size(32)
    tokenizer: str = options.tokenizer("words", "Chinese needs characters")
    lower: bool = options.lower(True)
    vocabulary_size: int = options.vocabulary_size(10_000)
    min_count: int = options.min_count(1)
    max_length: int = options.max_length("question")
    answers: int = field(
        3000, "different ones at most, the most frequent", low=2, group=options.DATA
    )

    # Model
    backbone: str = options.backbone()
    backbone_weights: str = options.backbone_weights()
    fine_tune: bool = options.fine_tune()
    filters: tuple[int, ...] = options.filters((16, 32, 64, 64))
    positions: bool = options.positions(True, "for questions about places")
    embedding: int = options.embedding(64)
    spread: float = field(
        1.0,
        "standard deviation of the embeddings at first; about 0.2 is better where "
        "questions are few, but the builtin ones need words that differ from the start",
        low=1e-3,
        high=10,
        group=options.MODEL,
    )
    cell: str = options.cell(
        "gru",
        "none reads a bag of words, as good with few questions and quicker",
        choices=(*CELLS, "none"),
    )
    units: int = options.units(64, "of the question, and of what joins it to a picture")
    fusion: str = field(
        "product",
        "how question and picture are joined: question, by the question alone, to see "
        "what pictures add; concatenation; product; stacks, of attention; relation, of "
        "every region to the one that the question is about",
        choices=("question", "concatenation", "product", "stacks", "relation"),
        group=options.MODEL,
    )
    stacks: int = field(
        2, "of attention, with fusion=stacks", low=1, high=4, group=options.MODEL
    )
    dropout: float = options.dropout(0.0, "of regions, question and what they become")

    # Training
    minutes: float = options.minutes(10.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    batch_size: int = options.batch_size(64, "questions per step")
    learning_rate: float = options.learning_rate(1e-3)
    weight_decay: float = options.weight_decay(1e-3)
    clip: float = options.clip(1.0)
    label_smoothing: float = options.label_smoothing(0.0)
    class_weights: str = options.class_weights()
    shift: float = options.shift(0.0)
    zoom: float = options.zoom(0.0)
    jit: bool = options.jit(False)
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)


@dataclasses.dataclass(frozen=True)
class Options:
    """How an answer is read out: the likeliest, without a choice."""

    def __post_init__(self):
        validate(self)


# Half a minute: three objects a picture at most, so that little can be confused.
TINY = {
    "builtin_size": 2000,
    "objects": 3,
    "image_size": 40,
    "filters": (16, 32, 48, 64),
    "embedding": 32,
    "fusion": "relation",
    "steps": 600,
    "rounds": 3,
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
}

# A quarter of an hour.
DEFAULT = {
    "builtin_size": 8000,
    "image_size": 40,
    "embedding": 32,
    "fusion": "relation",
    "minutes": 15.0,
    "batch_size": 128,
    "learning_rate": 1.5e-3,
    "weight_decay": 1e-4,
}

# Many words, few pictures: a backbone that has seen many, which stays as it is.
BACKBONE = {
    "image_size": 128,
    "backbone": "mobilenet",
    "spread": 0.2,
    "units": 256,
    "dropout": 0.5,
    "weight_decay": 1e-2,
    "batch_size": 32,
}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "pictures": {},  # ten minutes
    "backbone": BACKBONE,  # with --backbone-weights
}
CLAIM = {"accuracy": (60.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "pictures"


QUESTIONS = ["what color is the circle?", "is the square on the left?"]


def kinds(config):
    """What a request holds."""
    question = Text(QUESTIONS, help="a question about the picture", blank=False)
    return {"image": Picture(config.image_size), "question": question}


def signature_kinds(config):
    """What only some signatures take: of `choose`."""
    return {"choices": Choices([["red", "blue"], ["yes", "no", "maybe"]])}
