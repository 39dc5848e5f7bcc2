"""Every choice of the draw app, with its reason or unit."""

import dataclasses

from ..core.inputs.kinds import Picture, Seed
from ..core.settings import options
from ..core.settings.fields import field, validate

SUMMARY = "a seed goes in, a picture that was painted in steps comes out"


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
        "one",
        "what is on a canvas: one picture, or two at half their size",
        choices=("one", "two"),
        group=options.DATA,
    )

    # Model
    strokes: int = field(
        10, "steps in which a picture is painted", low=1, high=256, group=options.MODEL
    )
    attention: bool = options.switch(
        True,
        "read and write through a window that moves; off: all pixels in every step",
        options.MODEL,
    )
    read: int = field(
        5,
        "height and width of what the window reads, in filters",
        low=1,
        high=64,
        group=options.MODEL,
    )
    write: int = field(
        5,
        "height and width of what it writes, in filters",
        low=1,
        high=64,
        group=options.MODEL,
    )
    latent: int = field(
        20, "random numbers of a step", low=1, high=1024, group=options.MODEL
    )
    units: int = options.units(128, "of what reads and of what writes, each")

    # Training
    minutes: float = options.minutes(15.0)
    steps: int = options.steps()
    rounds: int = options.rounds(10)
    batch_size: int = options.batch_size(100)
    learning_rate: float = options.learning_rate(3e-3)
    weight_decay: float = options.weight_decay(0.0)
    clip: float = options.clip(50.0)
    jit: bool = options.jit(
        False, "off: on a CPU compiling takes longer and a step is no faster"
    )
    seed: int = options.seed()

    def __post_init__(self):
        validate(self)


@dataclasses.dataclass(frozen=True)
class Options:
    """How an answer is read out: how daring, and how exactly it is measured."""

    temperature: float = options.temperature(
        1.0, "spread of the random numbers: 0, the middle of all pictures", request=True
    )
    samples: int = field(
        1,
        "above 1: `reconstruct` also estimates the log-likelihood by so many weighted "
        "samples a picture (IWAE), a tighter bound than one",
        low=1,
        high=10_000,
        group=options.ANSWERS,
    )

    def __post_init__(self):
        validate(self)


# Seconds: for tests and notebooks.
TINY = {
    "builtin_size": 3000,
    "image_size": 16,
    "strokes": 4,
    "read": 4,
    "write": 4,
    "latent": 8,
    "units": 48,
    "steps": 300,
    "rounds": 2,
    "batch_size": 50,
    "learning_rate": 1e-2,
}

# The builtin glyphs, in two minutes on two cores.
DEFAULT = {
    "image_size": 16,
    "strokes": 6,
    "latent": 10,
    "units": 64,
    "steps": 2000,
    "rounds": 6,
    "learning_rate": 5e-3,
}

# Gregor et al. 2015 on MNIST: for a GPU and a day.
PAPER = {
    "data": "tfds:mnist",
    "strokes": 64,
    "read": 2,
    "write": 5,
    "latent": 100,
    "units": 256,
    "batch_size": 128,
    "learning_rate": 3e-4,
    "steps": 250_000,
    "rounds": 100,
    "jit": True,
}

PRESETS = {"tiny": TINY, "default": DEFAULT, "pictures": {}, "paper": PAPER}
CLAIM = {"gain": (30.0, 100.0)}  # what `tiny` reaches on the test split


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "pictures"


def kinds(config):
    """What a request holds."""
    return {"seed": Seed("of the random numbers that the picture is made of")}


def signature_kinds(config):
    """What `reconstruct` reads, and `interpolate` besides."""
    size = config.image_size
    return {"image": Picture(size), "other": Picture(size)}
