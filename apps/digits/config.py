"""Every choice of the digits app, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.inputs.kinds import Picture
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = "a picture of a digit goes in, its label comes out"
SIDE = 28  # pixels of a centred picture, as MNIST has it


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = options.labelled_pictures()
    data_dir: str = options.data_dir()
    split: str = options.split("85/5/10")
    skip_bad: bool = options.skip_bad("bad pictures")
    bad_at_most: float = options.bad_at_most()
    builtin_size: int = options.builtin_size(12_000, "pictures", 40)
    image_size: int = options.image_size(28)
    centre: bool = options.switch(
        True,
        "cut the digit out and centre it as MNIST does, see features.py; off: the "
        "picture as it is",
        options.DATA,
    )
    channels: int = field(
        1, "of a picture: its brightness, or its colours", choices=(1, 3), group="Data"
    )

    # Model
    network: str = field(
        "cnn",
        "perceptron: one layer; mlp: with hidden layers; cnn: with convolutions before",
        choices=("perceptron", "mlp", "cnn"),
        group=options.MODEL,
    )
    hidden: tuple[int, ...] = field(
        (256,), "sizes of the hidden layers", low=1, high=8192, group=options.MODEL
    )
    filters: tuple[int, ...] = field(
        (32, 64), "of the stages of the cnn", low=1, high=4096, group=options.MODEL
    )
    convolutions: int = field(
        2, "of a stage, one on the other", low=1, high=8, group=options.MODEL
    )
    kernel: int = field(
        3, "height and width of a filter", low=1, high=15, group=options.MODEL
    )
    padding: str = field(
        "same",
        "valid: every convolution makes the picture smaller; same: it keeps its size; "
        "pad: kept as well, by a layer of zeros that stands before it",
        choices=("valid", "same", "pad"),
        group=options.MODEL,
    )
    pool: str = field(
        "max",
        "what is kept of a window",
        choices=("max", "average"),
        group=options.MODEL,
    )
    pool_size: int = field(
        2, "height and width of a window", low=1, high=8, group=options.MODEL
    )
    strides: int = field(
        2,
        "from a window to the next; below pool_size they overlap",
        low=1,
        high=8,
        group=options.MODEL,
    )
    dropout: float = options.dropout(0.4, "before every dense layer but the first")
    l1: float = field(
        0.0,
        "weight of the sum of |w| of all kernels in the loss",
        low=0,
        group=options.MODEL,
    )
    l2: float = field(
        0.0,
        "weight of the sum of w² of all kernels in the loss",
        low=0,
        group=options.MODEL,
    )

    # Training
    turn: float = options.turn(10.0)
    minutes: float = options.minutes(5.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    batch_size: int = options.batch_size(128)
    learning_rate: float = options.learning_rate(2e-3)
    weight_decay: float = options.weight_decay(0.0)
    clip: float = options.clip(1.0)
    label_smoothing: float = options.label_smoothing(0.0)
    class_weights: str = options.class_weights()
    jit: bool = options.jit(False)
    seed: int = options.seed()

    @property
    def side(self):
        """Height and width in pixels of what the networks see."""
        return SIDE if self.centre else self.image_size

    def __post_init__(self):
        validate(self)
        left = self.side
        for _ in self.filters if self.padding == "valid" else ():
            left -= self.convolutions * (self.kernel - 1)
            if left < 1:
                raise ConfigError(
                    f"padding: expected same or pad with kernel={self.kernel}, whose "
                    f"convolutions leave nothing of {self.side} pixels without; "
                    "received 'valid'."
                )
            left = -(-left // self.strides)


@dataclasses.dataclass(frozen=True)
class Options:
    """How an answer is read out: the likeliest label, without a choice."""

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 3000,
    "filters": (8, 16),
    "convolutions": 1,
    "hidden": (32,),
    "dropout": 0.0,
    "turn": 0.0,
    "batch_size": 64,
    "steps": 200,
    "rounds": 2,
    "learning_rate": 1e-2,
}

# Twenty seconds: drawings differ less than handwriting.
DEFAULT = {
    "filters": (16, 32),
    "convolutions": 1,
    "hidden": (64,),
    "dropout": 0.2,
    "turn": 0.0,
    "steps": 600,
    "rounds": 3,
    "learning_rate": 5e-3,
}

PRESETS = {"tiny": TINY, "default": DEFAULT, "pictures": {}}  # five minutes
CLAIM = {"accuracy": (95.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "pictures"


def kinds(config):
    """What a request holds."""
    return {"image": Picture(config.image_size)}
