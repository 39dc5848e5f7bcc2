"""Settings that several apps have: one maker each, so that one idea has one name.

An app writes the type, the place, its default and, where it has one, its own reason:

    clip: float = options.clip(1.0)
    dropout: float = options.dropout(0.3, "of embeddings and outputs")
"""

from .cells import BACKBONES, CELLS
from .fields import field

DATA, MODEL, TRAINING, ANSWERS = "Data", "Model", "Training", "Answers"


def _with_reason(text, reason):
    return f"{text}; {reason}" if reason else text


def text(default, help, group=DATA):
    """A text without limits."""
    return field(default, help, group=group)


def switch(default, help, group):
    return field(default, help, group=group)


def share(default, help, high=0.9, group=TRAINING):
    """A number from 0 on."""
    return field(default, help, low=0, high=high, group=group)


# Data


def data(sources):
    """Where the data comes from. sources: what an app takes, for people."""
    return field("builtin", sources, group=DATA)


def labelled_pictures():
    """As `data`, of what `data.labelled_pictures` reads."""
    return data(
        "builtin, tfds:NAME, or the path of a folder of pictures per class, of idx "
        "files, of a .csv with a label and the pixels in every row, or of an .npz; or "
        "of a folder with one"
    )


def data_dir():
    help = "where tensorflow-datasets keeps prepared data"
    return field("", help, group=DATA)


def split(default, reason=""):
    help = "percent for train/validation/test where the data has no splits"
    return field(default, reason or help, group=DATA)


def split_in_order(default="90/10"):
    help = "percent for train/validation or train/validation/test, in this order"
    return field(default, help, group=DATA)


def split_column():
    help = "column that holds train, val or test; empty: --split"
    return field("", help, group=DATA)


def skip_bad(what="bad rows"):
    return field(False, f"count and skip {what} instead of stopping", group=DATA)


def bad_at_most(default=10.0):
    help = "percent that --skip-bad may skip; more is an error"
    return field(default, help, low=0, high=100, group=DATA)


def column(default, holds):
    return field(default, f"column that holds {holds}", group=DATA)


def builtin_size(default, what, low=1):
    return field(default, f"{what} of the builtin data", low=low, group=DATA)


def image_size(default):
    help = "height and width in pixels"
    return field(default, help, low=16, high=2048, group=DATA)


def tokenizer(
    default, reason, choices=("words", "characters", "subwords"), formerly=()
):
    return field(
        default,
        _with_reason("what a token is", reason),
        choices=choices,
        group=DATA,
        formerly=formerly,
    )


def lower(default=False):
    return field(default, "read all in lower case", group=DATA)


def vocabulary_size(default, reason=""):
    help = _with_reason("tokens at most, the most frequent; 0: no limit", reason)
    return field(default, help, low=0, group=DATA)


def min_count(default, reason=""):
    help = _with_reason("a token that occurs less often is the unknown one", reason)
    return field(default, help, low=1, group=DATA)


# Model


def cell(default, reason="", choices=tuple(CELLS)):
    help = _with_reason("recurrent cell", reason)
    return field(default, help, choices=choices, group=MODEL)


def units(default, reason="", formerly=("units_rnn",)):
    help = _with_reason("size of the recurrent state of a level", reason)
    return field(default, help, low=1, high=8192, group=MODEL, formerly=formerly)


def levels(default=1, reason="", low=1):
    help = _with_reason("recurrent layers, one on the other", reason)
    return field(default, help, low=low, high=8, group=MODEL)


def embedding(default, reason="", low=1):
    help = _with_reason("size of a token's vector", reason)
    return field(default, help, low=low, high=8192, group=MODEL)


def tied(default=False):
    help = "the output uses the embedding's weights (Press & Wolf 2017)"
    return field(default, help, group=MODEL)


def dropout(default, reason=""):
    help = _with_reason("share dropped in training", reason)
    return field(default, help, low=0, high=0.95, group=MODEL)


# Pictures


def backbone():
    help = "picture encoder; small is trained from scratch, the others are Keras'"
    return field("small", help, choices=("small", *BACKBONES), group=MODEL)


def backbone_weights():
    help = "none, imagenet or PATH.weights.h5"
    return field("none", help, group=MODEL)


def fine_tune():
    help = "train the backbone too, not only what follows it"
    return field(False, help, group=MODEL)


def positions(default, reason):
    help = _with_reason("tell each region of the picture where it lies", reason)
    return field(default, help, group=MODEL)


def image_dir():
    help = "folder of the pictures, where it is not the file's or images beside it"
    return field("", help, group=DATA)


def filters(default):
    help = "of the small encoder's stages; each halves the picture"
    return field(default, help, low=1, high=4096, group=MODEL)


# Attention


def attention(default, choices=("none", "soft", "hard"), help="how to look"):
    return field(default, help, choices=choices, group=MODEL)


def attention_units(default):
    help = "width of the scoring network"
    return field(default, help, low=1, high=8192, group=MODEL)


def attention_penalty():
    help = "weight of the doubly stochastic penalty (Xu et al. use 1)"
    return field(0.0, help, low=0, group=MODEL)


def gate(default=True):
    help = (
        "weigh the context by a gate, as Xu et al. do; without, it goes in as it is, "
        "as the lectures print it"
    )
    return field(default, help, group=MODEL)


def condition(default):
    help = (
        "where the whole picture enters: as the initial state, as the first input, or "
        "in every step; with attention, which always starts from the mean region, "
        "first and every come on top"
    )
    return field(default, help, choices=("initial", "first", "every"), group=MODEL)


def vote_activation(default="tanh", reason=""):
    help = _with_reason("of the vote of word, state and context on the next", reason)
    names = ("tanh", "relu", "elu", "selu", "silu", "gelu", "linear")
    return field(default, help, choices=names, group=MODEL)


# Training


def minutes(default):
    help = "time budget where --steps is 0, which it then sets"
    return field(default, help, low=0.01, group=TRAINING)


def steps(default=0):
    help = "training steps; 0: as many as fit into --minutes"
    return field(default, help, low=0, group=TRAINING)


def rounds(default):
    help = "validations and checkpoints, evenly spread over the steps"
    return field(default, help, low=1, group=TRAINING)


def stop_at(default, figure):
    help = f"end once the validation's {figure} is so good; 0: train all steps"
    return field(default, help, low=0, group=TRAINING)


def batch_size(default, reason="examples per step"):
    return field(default, reason, low=1, group=TRAINING)


def window(default, tokens="tokens"):
    help = f"{tokens} per step, through which gradients flow (truncated BPTT)"
    return field(default, help, low=1, group=TRAINING)


def learning_rate(default):
    help = "peak, after warm-up; falls to 0"
    return field(default, help, low=0, group=TRAINING)


def weight_decay(default, reason=""):
    return field(default, _with_reason("of AdamW", reason), low=0, group=TRAINING)


def clip(default):
    help = "gradients' global norm at most; 0: not clipped"
    return field(default, help, low=0, group=TRAINING)


def shift(default):
    return share(default, "random shift, share of the picture's side", 1)


def zoom(default):
    return share(default, "random zoom in or out, share")


def turn(default):
    help = "degrees that a picture is turned, and slanted, at random, at most"
    return field(default, help, low=0, high=45, group=TRAINING)


def label_smoothing(default):
    help = "share of the target spread evenly"
    return field(default, help, low=0, high=0.9, group=TRAINING)


def class_weights():
    help = "balanced: every class counts alike, however rare; none: every example does"
    return field("none", help, choices=("none", "balanced"), group=TRAINING)


def reinforce(default):
    help = "weight of the REINFORCE loss, hard attention"
    return field(default, help, low=0, group=TRAINING)


def entropy(default):
    help = "weight of the entropy bonus, hard attention"
    return field(default, help, low=0, group=TRAINING)


def loss_over(default="token"):
    help = (
        "what the loss is a mean over; sentence: the sum over a sentence's tokens, as "
        "the lectures write it"
    )
    return field(default, help, choices=("token", "sentence"), group=TRAINING)


def steps_per_call(default):
    help = "steps run by one call from Python, which else is what is measured"
    return field(default, help, low=1, group=TRAINING)


def average(default):
    help = "the weights are the mean of those after so many last rounds"
    return field(default, help, low=1, high=100, group=TRAINING)


def jit(default, reason=""):
    help = _with_reason("compile the training step with XLA", reason)
    return field(default, help, group=TRAINING)


def seed():
    help = "of weights, order of the data and every draw in training"
    return field(0, help, low=0, high=2**31 - 1, group=TRAINING)


# How an answer is read out


def length(default, reason):
    return field(default, reason, low=1, high=100_000, group=ANSWERS, request=True)


def temperature(default, reason, request=False):
    return field(default, reason, low=0, group=ANSWERS, request=request)


def threshold(default, reason, request=False):
    help = _with_reason("probability that a label needs to be answered", reason)
    return field(default, help, low=0, high=1, group=ANSWERS, request=request)


def top_k(what="tokens"):
    help = f"draw among the k likeliest {what}; 0: all"
    return field(0, help, low=0, group=ANSWERS)


def top_p(what="tokens"):
    help = f"draw among the likeliest {what} of mass p"
    return field(1.0, help, low=0, high=1, group=ANSWERS)


def draws_seed(request=False):
    """The seed of an answer's draws."""
    help = "of the draws"
    return field(0, help, low=0, high=2**31 - 1, group=ANSWERS, request=request)


def max_length(what):
    help = f"tokens of a {what} at most; 0: the longest in training"
    return field(0, help, low=0, group=DATA)


def serve_beam(default):
    help = "beam of the exported model"
    return field(default, help, low=1, high=1000, group=ANSWERS)


def beam(default=1, request=False):
    help = "hypotheses side by side; 1: greedy"
    return field(default, help, low=1, high=1000, group=ANSWERS, request=request)


def length_penalty(what="sentences", default=0.0, request=False):
    help = f"above 0, long {what} rank higher"
    return field(default, help, low=0, group=ANSWERS, request=request)


def describe(options):
    """How an answer was decoded, in a line for a table: a score means nothing without.

    Args:
        options: perhaps with `temperature`, `top_k`, `top_p` and `seed`, `beam`,
            `length_penalty` and `coverage_penalty`.
    """
    if getattr(options, "temperature", 0):
        return (
            f"sampling, temperature {options.temperature:g}, top-k {options.top_k}, "
            f"top-p {options.top_p:g}, seed {options.seed}"
        )
    if getattr(options, "beam", 1) == 1:
        return "greedy"
    line = f"beam {options.beam}, length penalty {options.length_penalty:g}"
    if getattr(options, "coverage_penalty", 0):
        line += f", coverage penalty {options.coverage_penalty:g}"
    return line
