"""Every choice of the faces app, with its reason or unit."""

import dataclasses

from ..core.inputs.kinds import Picture
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = "a picture of a face goes in, who it is comes out, or unknown"


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.data(
        "builtin, or the path of a folder that holds a folder of pictures per person, "
        "or folders train, validation and test that each hold such ones"
    )
    split: str = options.split("80/10/10")
    skip_bad: bool = options.skip_bad("bad pictures")
    bad_at_most: float = options.bad_at_most()
    builtin_size: int = options.builtin_size(20, "pictures of each person", 4)
    image_size: int = options.image_size(64)

    # Model
    filters: tuple[int, ...] = options.filters((16, 32, 64, 128))
    cell: str = options.cell("gru")
    units: int = options.units(64, "rows are read down and up, side by side")
    embedding: int = field(
        64, "size of a face's vector", low=2, high=4096, group=options.MODEL
    )
    scale: float = field(
        16.0,
        "of the cosines before the softmax; small: faces of a person need not be close",
        low=1,
        high=100,
        group=options.MODEL,
    )
    margin: float = field(
        0.3,
        "by which the cosine of the right person must lead in training",
        low=0,
        high=1,
        group=options.TRAINING,
    )
    dropout: float = options.dropout(0.3, "of the rows and of what is read of them")

    # Training
    shift: float = options.shift(0.05)
    zoom: float = options.zoom(0.08)
    turn: float = field(
        8.0, "random turn, degrees at most", low=0, high=180, group=options.TRAINING
    )
    mirror: bool = options.switch(
        True,
        "mirror half of the pictures, and read each and its mirror image to answer",
        options.TRAINING,
    )
    contrast: float = options.share(0.3, "random contrast and light, share")
    minutes: float = options.minutes(10.0)
    steps: int = options.steps()
    rounds: int = options.rounds(1)
    batch_size: int = options.batch_size(64)
    learning_rate: float = options.learning_rate(3e-3)
    weight_decay: float = options.weight_decay(
        1e-2, "keeps small data from overfitting"
    )
    clip: float = options.clip(1.0)
    label_smoothing: float = options.label_smoothing(0.0)
    class_weights: str = options.class_weights()
    jit: bool = options.jit(
        False, "off, because the convolutions run faster through oneDNN on a CPU"
    )
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)


@dataclasses.dataclass(frozen=True)
class Options:
    """How an answer is read out: who is near enough."""

    threshold: float = field(
        0.0,
        "distance of embeddings, up to 2, within which two faces are one person's; 0: "
        "the run's own, chosen on its validation",
        low=0,
        high=2,
        group=options.ANSWERS,
        request=True,
    )

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 14,
    "image_size": 32,
    "filters": (16, 32, 64),
    "units": 32,
    "embedding": 32,
    "dropout": 0.1,
    "turn": 4.0,
    "steps": 300,
    "rounds": 2,
    "learning_rate": 1e-2,
}

# The builtin faces, in two minutes on two cores.
DEFAULT = {"image_size": 32, "filters": (32, 64, 128), "steps": 400, "rounds": 2}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "pictures": {"steps": 400},  # some hundred pictures, in a minute or two
}
CLAIM = {"rank_1": (95.0, 100.0), "auc": (95.0, 100.0)}  # what `tiny` reaches


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "pictures"


def kinds(config):
    """What a request holds."""
    return {"image": Picture(config.image_size)}


def signature_kinds(config):
    """What the signature `verify` reads besides."""
    return {"other": Picture(config.image_size)}
