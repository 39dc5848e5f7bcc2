"""Every choice of the glimpse app, with its reason or unit."""

import dataclasses

from ..core.errors import ConfigError
from ..core.inputs.kinds import Picture
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = (
    "a picture of a digit goes in, its label comes out, after a few looks at parts"
)
MOST_SAMPLES = 1000
SCENES = ("digit", "translated", "cluttered", "several")


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
    scene: str = field(
        "digit",
        "digit: the pictures of the data as they are; or pictures that are composed of "
        "them, each split of its own: translated: one, 28 pixels wide, somewhere; "
        "cluttered: with pieces of others; several: of half the size, in a row, to be "
        "read from left to right",
        choices=SCENES,
        group=options.DATA,
    )
    digits: int = field(
        3, "of scene=several, 1 to so many", low=1, high=8, group=options.DATA
    )
    clutter: int = field(
        4, "pieces of scene=cluttered, 8 x 8 pixels", low=1, high=50, group=options.DATA
    )

    # Model
    glimpses: int = field(
        6,
        "looks at a picture; of scene=several, at a digit",
        low=1,
        high=50,
        group=options.MODEL,
    )
    patch: int = field(
        8, "height and width of what is seen", low=1, high=64, group=options.MODEL
    )
    filters: int = field(
        0,
        "of a convolution, 5 x 5 and at every second place, through which a patch is "
        "seen; 0: none. For digits that a look does not hit in the middle",
        low=0,
        high=1024,
        group=options.MODEL,
    )
    scales: int = field(
        1,
        "patches around a place, each twice as wide as the one before and as coarse",
        low=1,
        high=5,
        group=options.MODEL,
    )
    policy: str = field(
        "learned",
        "where it looks: learned; random, anywhere; centre, always there. The last two "
        "show what the first is worth",
        choices=("learned", "random", "centre"),
        group=options.MODEL,
    )
    std: float = field(
        0.1,
        "of the places that are drawn in training; the picture reaches from -1 to 1",
        low=0.001,
        high=1.0,
        group=options.MODEL,
    )
    std_last: float = field(
        0.1,
        "the same at the end of a training: it falls with the learning rate",
        low=0.001,
        high=1.0,
        group=options.MODEL,
    )
    cell: str = options.cell("elman", "relu in the paper, as elman has it here")
    hidden: int = field(
        128,
        "what a patch, and what a place becomes",
        low=1,
        high=8192,
        group=options.MODEL,
    )
    glimpse: int = field(
        256,
        "size of both together, what the cell reads",
        low=1,
        high=8192,
        group=options.MODEL,
    )
    units: int = options.units(256)
    dropout: float = options.dropout(0.0, "of what a belief is read from")

    # Training
    earlier: float = field(
        0.5,
        "weight of the cross-entropy after every look but the last, whose is 1",
        low=0,
        high=1,
        group=options.TRAINING,
    )
    reinforce: float = field(
        0.01,
        "weight of the loss of REINFORCE; it trains the locator alone",
        low=0,
        group=options.TRAINING,
    )
    reward: str = field(
        "likelihood",
        "right: 1 where the last belief is right, else 0, as in the paper; likelihood: "
        "the logarithm of the probability that it gives to what is right",
        choices=("right", "likelihood"),
        group=options.TRAINING,
    )
    penalty: float = field(
        0.03,
        "beside REINFORCE, of the square of what tanh makes a place of; without, noise "
        "drives the places of the first steps to the edge, where they stay",
        low=0,
        group=options.TRAINING,
    )
    turn: float = options.turn(0.0)
    minutes: float = options.minutes(15.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    batch_size: int = options.batch_size(128)
    learning_rate: float = options.learning_rate(2e-3)
    weight_decay: float = options.weight_decay(0.0)
    clip: float = options.clip(5.0)
    average: int = options.average(1)
    label_smoothing: float = options.label_smoothing(0.0)
    class_weights: str = options.class_weights()
    jit: bool = options.jit(True, "a look is many small operations")
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)
        if self.filters and self.patch < 5:
            raise ConfigError(
                f"patch: expected 5 at least with filters={self.filters}, of a "
                f"convolution of 5 x 5; received {self.patch}."
            )
        # A digit that is moved about is 28 pixels wide, and needs room.
        least = {"digit": 8, "several": 14 * self.digits}.get(self.scene, 36)
        if self.image_size < least:
            of = f" and digits={self.digits}" if self.scene == "several" else ""
            hint = "" if self.scene == "digit" else f" See --preset {self.scene}."
            raise ConfigError(
                f"image_size: expected {least} at least with scene={self.scene}{of}; "
                f"received {self.image_size}.{hint}"
            )


@dataclasses.dataclass(frozen=True)
class Options:
    """How an answer is read out."""

    samples: int = field(
        1,
        "1: it looks where it thinks best; more: so many paths are drawn, and what it "
        "believes at their ends is averaged",
        low=1,
        high=MOST_SAMPLES,
        group=options.ANSWERS,
        request=True,
    )
    seed: int = options.draws_seed(request=True)

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 3000,
    "image_size": 40,
    "glimpses": 4,
    "scales": 3,
    "hidden": 32,
    "glimpse": 64,
    "units": 64,
    "batch_size": 64,
    "steps": 800,
    "rounds": 2,
    "learning_rate": 1e-2,
    "jit": False,
}

# Two minutes: drawings differ less than handwriting.
DEFAULT = {
    "image_size": 40,
    "hidden": 64,
    "glimpse": 128,
    "units": 128,
    "steps": 2400,
    "rounds": 3,
    "learning_rate": 4e-3,
}

# A quarter of an hour. Without turns it knows the training pictures by heart after
# 8,000 steps; then all rewards are alike, and noise moves the places.
PICTURES = {"turn": 10.0, "average": 3, "rounds": 20}
MOVED = {**PICTURES, "image_size": 60, "glimpses": 8, "scales": 3}

PRESETS = {
    "tiny": TINY,
    "default": DEFAULT,
    "pictures": PICTURES,
    "translated": {**MOVED, "scene": "translated"},
    "cluttered": {**MOVED, "scene": "cluttered"},
    # Digits are small and stand at any height. The second patch, 32 pixels wide, shows
    # one that is missed by half its size: it can be read before places are learned. A
    # convolution reads it wherever it lies in a patch.
    "several": {
        **MOVED,
        "scene": "several",
        "glimpses": 2,
        "patch": 16,
        "filters": 16,
        "std": 0.15,
        "std_last": 0.03,
        "cell": "lstm",
        "glimpse": 128,
        "reinforce": 0.03,
    },
    # A GPU and a day, as the paper: many epochs, narrow steps. No figure is claimed.
    "paper": {
        "scene": "cluttered",
        "image_size": 100,
        "glimpses": 8,
        "patch": 12,
        "scales": 4,
        "std": 0.05,
        "std_last": 0.05,
        "batch_size": 256,
        "steps": 1_000_000,
        "rounds": 100,
        "learning_rate": 3e-4,
    },
}
CLAIM = {"accuracy": (90.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "pictures"


def kinds(config):
    """What a request holds."""
    return {"image": Picture(config.image_size)}
