"""Every choice of the captioning app, with its reason or unit."""

import dataclasses

from ..core.inputs.kinds import Picture
from ..core.settings import options
from ..core.settings.fields import validate

SUMMARY = (
    "a picture goes in, a sentence comes out, with a map of where the network looked "
    "for every word"
)


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin, tfds:NAME, or the path of a table (.csv, .tsv, .jsonl), of COCO's or "
        "Karpathy's JSON, of Kaggle's captions.txt, of a token file, or of a folder "
        "with one of them"
    )
    data_dir: str = options.data_dir()
    image_column: str = options.column("image", "the picture's path")
    caption_column: str = options.column("caption", "the caption")
    split_column: str = options.split_column()
    split: str = options.split("90/5/5")
    image_dir: str = options.image_dir()
    skip_bad: bool = options.skip_bad()
    bad_at_most: float = options.bad_at_most()
    builtin_size: int = options.builtin_size(3000, "training pictures", low=10)

    # Pictures and words
    image_size: int = options.image_size(64)
    tokenizer: str = options.tokenizer(
        "words", "Chinese needs characters", formerly=("units",)
    )
    lower: bool = options.lower()
    vocabulary_size: int = options.vocabulary_size(10_000)
    min_count: int = options.min_count(1)
    max_length: int = options.max_length("caption")

    # Model
    backbone: str = options.backbone()
    backbone_weights: str = options.backbone_weights()
    fine_tune: bool = options.fine_tune()
    filters: tuple[int, ...] = options.filters((32, 64, 128, 192))
    positions: bool = options.positions(False, "for captions about places")
    attention: str = options.attention("soft")
    attention_units: int = options.attention_units(128)
    condition: str = options.condition("initial")
    gate: bool = options.gate()
    cell: str = options.cell("lstm")
    units: int = options.units(256)
    levels: int = options.levels()
    embedding: int = options.embedding(128)
    activation: str = options.vote_activation()
    dropout: float = options.dropout(0.3, "of embeddings and outputs")
    penalty: float = options.attention_penalty()

    # Training
    minutes: float = options.minutes(15.0)
    steps: int = options.steps()
    rounds: int = options.rounds(20)
    stop_at: float = options.stop_at(0.0, "exact match, in percent,")
    batch_size: int = options.batch_size(64, "sentences per step")
    learning_rate: float = options.learning_rate(2e-3)
    weight_decay: float = options.weight_decay(
        1e-2, "keeps small data from overfitting"
    )
    clip: float = options.clip(1.0)
    label_smoothing: float = options.label_smoothing(0.05)
    loss_over: str = options.loss_over()
    shift: float = options.shift(0.04)
    zoom: float = options.zoom(0.04)
    reinforce: float = options.reinforce(0.1)
    entropy: float = options.entropy(0.01)
    jit: bool = options.jit(
        False,
        "off, because the convolutions run about twice as fast through oneDNN on a CPU",
    )
    seed: int = options.seed()

    # Serving
    serve_beam: int = options.serve_beam(3)

    def __post_init__(self):
        validate(self)


@dataclasses.dataclass(frozen=True)
class Options:
    """How a caption is read out of the trained model."""

    beam: int = options.beam()
    length_penalty: float = options.length_penalty("captions")
    temperature: float = options.temperature(0.0, "above 0: draw the words instead")
    top_k: int = options.top_k("words")
    top_p: float = options.top_p("words")
    seed: int = options.draws_seed()

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks. Unregularised: no time to overfit.
TINY = {
    "builtin_size": 1500,
    "image_size": 32,
    "filters": (24, 48, 64),
    "units": 96,
    "embedding": 32,
    "attention_units": 32,
    "positions": True,
    "steps": 300,
    "rounds": 3,
    "learning_rate": 8e-3,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "shift": 0.0,
    "zoom": 0.0,
}

# Four minutes: simple scenes, so small pictures and little regularisation do; captions
# about places, so the regions must know theirs.
DEFAULT = {
    "builtin_size": 12_000,
    "image_size": 32,
    "filters": (32, 64, 128),
    "positions": True,
    "dropout": 0.1,
    "label_smoothing": 0.02,
    "learning_rate": 4e-3,
    # No minutes: it learns to bind colour, shape and place from 800 to 1,200 on.
    "steps": 2400,
    "rounds": 12,
}

# A minute: less of what takes most of a step, and more, smaller steps.
DEMO = {
    **DEFAULT,
    "filters": (16, 32, 128),
    "attention_units": 64,
    "batch_size": 32,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "learning_rate": 8e-3,
    "steps": 1400,
    "rounds": 14,
    "stop_at": 80.0,
}

# Xu et al. 2015 on COCO: for a GPU and days.
PAPER = {
    "data": "tfds:coco_captions",
    "image_size": 224,
    "backbone": "inceptionv3",
    "backbone_weights": "imagenet",
    "attention_units": 512,
    "units": 1000,
    "embedding": 512,
    "dropout": 0.5,
    "penalty": 1.0,
    "vocabulary_size": 10_000,
    "min_count": 5,
    "max_length": 24,
    "steps": 120_000,
    "learning_rate": 4e-4,
    "jit": True,
}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "demo": DEMO,
    "pictures": {},  # a quarter of an hour on two cores: a few thousand real pictures
    "paper": PAPER,
}
CLAIM = {"exact_match": (15.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "pictures"


def kinds(config):
    """What a request holds."""
    return {"image": Picture(config.image_size)}
