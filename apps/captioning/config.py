"""Every choice of the captioning app, with its reason or unit."""

import dataclasses

from ..core.settings.fields import field, validate

SUMMARY = (
    "a picture goes in, a sentence comes out, with a map of where the network looked "
    "for every word"
)
READS = "files"


@dataclasses.dataclass(frozen=True)
class Config:
    # Data
    data: str = field(
        "builtin",
        "builtin, tfds:NAME, or the path of a table (.csv, .tsv, .jsonl), of COCO's or "
        "Karpathy's JSON, of Kaggle's captions.txt, of a token file, or of a folder "
        "with one of them",
    )
    data_dir: str = field("", "where tensorflow-datasets keeps prepared data")
    image_column: str = field("image", "column that holds the picture's path")
    caption_column: str = field("caption", "column that holds the caption")
    split_column: str = field(
        "", "column that holds train, val or test; empty: --split"
    )
    split: str = field(
        "90/5/5", "percent for train/validation/test where the data has no splits"
    )
    image_dir: str = field(
        "", "folder of the pictures, where it is not the file's or images beside it"
    )
    skip_bad: bool = field(False, "count and skip bad rows instead of stopping")
    bad_at_most: float = field(
        10.0, "percent that --skip-bad may skip; more is an error", low=0, high=100
    )
    builtin_size: int = field(3000, "training pictures of the builtin data", low=10)

    # Pictures and words
    image_size: int = field(64, "height and width in pixels", low=16, high=2048)
    units: str = field(
        "words",
        "what a token is; Chinese needs characters",
        choices=("words", "characters"),
    )
    vocabulary_size: int = field(10_000, "tokens at most, the most frequent", low=5)
    min_count: int = field(1, "a rarer token becomes <unk>", low=1)
    max_length: int = field(
        0, "tokens of a caption at most; 0: the longest in training"
    )

    # Model
    backbone: str = field(
        "small",
        "picture encoder: small is trained from scratch, the others are Keras'",
        choices=(
            "small",
            "mobilenet",
            "mobilenetv3",
            "efficientnetv2",
            "inceptionv3",
            "resnet50v2",
        ),
    )
    backbone_weights: str = field("none", "none, imagenet or PATH.weights.h5")
    fine_tune: bool = field(False, "train the backbone too, not only what follows it")
    filters: tuple[int, ...] = field(
        (32, 64, 128, 192),
        "of the small encoder's stages; each halves the picture",
        low=1,
        high=4096,
    )
    positions: bool = field(
        False, "tell the decoder where each region lies; for captions about places"
    )
    attention: str = field("soft", "how to look", choices=("none", "soft", "hard"))
    attention_units: int = field(128, "width of the scoring network", low=1, high=8192)
    condition: str = field(
        "initial",
        "where the whole picture enters: as the initial state, as the first input, or "
        "in every step; with attention, which always starts from the mean region, "
        "first and every come on top",
        choices=("initial", "first", "every"),
    )
    cell: str = field("lstm", "recurrent cell", choices=("elman", "lstm", "gru"))
    units_rnn: int = field(256, "size of the recurrent state", low=1, high=8192)
    embedding: int = field(128, "size of a token's vector", low=1, high=8192)
    dropout: float = field(
        0.3, "share dropped of embeddings and outputs", low=0, high=0.95
    )
    penalty: float = field(
        0.0, "weight of the doubly stochastic penalty (Xu et al. use 1)", low=0
    )

    # Training
    minutes: float = field(
        15.0, "time budget where --steps is 0, which it then sets", low=0.01
    )
    steps: int = field(0, "training steps; 0: as many as fit into --minutes", low=0)
    rounds: int = field(
        20, "validations and checkpoints, evenly spread over the steps", low=1
    )
    batch_size: int = field(64, "sentences per step", low=1)
    learning_rate: float = field(2e-3, "peak, after warm-up; falls to 0", low=0)
    weight_decay: float = field(
        1e-2, "of AdamW, keeps small data from overfitting", low=0
    )
    clip: float = field(1.0, "gradients' global norm at most", low=0)
    label_smoothing: float = field(
        0.05, "share of the target spread evenly", low=0, high=0.9
    )
    shift: float = field(
        0.04, "random shift, share of the picture's side", low=0, high=1
    )
    zoom: float = field(0.04, "random zoom in or out, share", low=0, high=0.9)
    reinforce: float = field(0.1, "weight of the REINFORCE loss, hard attention", low=0)
    entropy: float = field(0.01, "weight of the entropy bonus, hard attention", low=0)
    jit: bool = field(
        False,
        "compile the training step with XLA; off, because the convolutions run about "
        "twice as fast through oneDNN on a CPU",
    )
    seed: int = field(
        0, "of weights, order, augmentation and dropout", low=0, high=2**31 - 1
    )

    # Serving
    serve_beam: int = field(3, "beam of the exported model", low=1, high=1000)

    def __post_init__(self):
        validate(self)


@dataclasses.dataclass(frozen=True)
class Decode:
    """How a caption is read out of the trained model."""

    beam: int = field(1, "hypotheses side by side; 1: greedy", low=1)
    length_penalty: float = field(0.0, "above 0, long captions rank higher", low=0)
    temperature: float = field(0.0, "above 0: draw the words instead", low=0)
    top_k: int = field(0, "draw among the k likeliest words; 0: all", low=0)
    top_p: float = field(1.0, "draw among the likeliest words of mass p", low=0, high=1)
    seed: int = field(0, "of the draws", low=0, high=2**31 - 1)

    def __post_init__(self):
        validate(self)

    def describe(self):
        """One line for a table: the score means nothing without it."""
        if self.temperature:
            return (
                f"sampling, temperature {self.temperature:g}, top-k {self.top_k}, "
                f"top-p {self.top_p:g}, seed {self.seed}"
            )
        if self.beam == 1:
            return "greedy"
        return f"beam {self.beam}, length penalty {self.length_penalty:g}"


def tiny():
    """Seconds: for tests and notebooks. Unregularised: no time to overfit."""
    return Config(
        builtin_size=1500,
        image_size=32,
        filters=(24, 48, 64),
        units_rnn=96,
        embedding=32,
        attention_units=32,
        positions=True,
        steps=300,
        rounds=3,
        learning_rate=8e-3,
        dropout=0.0,
        label_smoothing=0.0,
        shift=0.0,
        zoom=0.0,
    )


def default():
    """Three minutes on two cores: the drawn scenes of `builtin`.

    They are simple, so small pictures and little regularisation do; their captions are
    about places, so the regions must know theirs.
    """
    return Config(
        builtin_size=12_000,
        image_size=32,
        filters=(32, 64, 128),
        positions=True,
        dropout=0.1,
        label_smoothing=0.02,
        learning_rate=4e-3,
        # A number, not minutes: between 800 and 1,200 steps it learns to bind colour,
        # shape and place, and a slow machine must not stop before.
        steps=2400,
        rounds=12,
    )


def pictures():
    """A quarter of an hour on two cores: real pictures, a few thousand of them."""
    return Config()


def paper():
    """Xu et al. 2015 on COCO: for a GPU and days."""
    return Config(
        data="tfds:coco_captions",
        image_size=224,
        backbone="inceptionv3",
        backbone_weights="imagenet",
        attention_units=512,
        units_rnn=1000,
        embedding=512,
        dropout=0.5,
        penalty=1.0,
        vocabulary_size=10_000,
        min_count=5,
        max_length=24,
        steps=120_000,
        learning_rate=4e-4,
        jit=True,
    )


PRESETS = {"tiny": tiny, "default": default, "pictures": pictures, "paper": paper}


def preset_for(data):
    """The preset that suits the data where none is named."""
    return "default" if data == "builtin" else "pictures"
