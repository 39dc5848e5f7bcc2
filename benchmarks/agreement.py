"""Was or were? Agreement of subject and verb over a distance of 1 to 20 words.

    python benchmarks/agreement.py                 about 6 minutes on 2 cores
    python benchmarks/agreement.py --toy           seconds; proves only that it runs

The lectures' example: 'The cat, which already ate ..., was full' but 'The cats, which
..., were full'. Elman, GRU and LSTM of equal parameter count read a stream of such
sentences, word by word, as language models (`core.tasks.language.model`, truncated
backpropagation through time), each for the same number of steps and with the same
learning rate. Nothing tells them that agreement is what counts: one word in a dozen is
a verb that agrees. They learn it twice: from sentences with 1 to 20 words between
subject and verb, and from sentences with 1 to 10 only, which shows whether what they
learned is a rule or a habit.

Then they read sentences that they never saw, with 1 to 20 words in between (commas do
not count). Right is who holds the right one of "was" and "were" for likelier, at the
place of the verb. In between stands a clause drawn by a small grammar; its verbs show
no number, but for a "that was" or "that were" behind one of its nouns. The clause's
nouns are, in one half of the sentences, of the subject's number, and in the other half
of the other number: attractors (Linzen, Dupoux & Goldberg 2016, "Assessing the ability
of LSTMs to learn syntax-sensitive dependencies"), so that who listens to the last noun
is wrong. Clauses of 1 to 3 words have no noun.

No sentence can be known by heart: half of the nouns are never the subject of a clause
in training, and every tested sentence has one of these. That "wolves" is a plural can
be learned only from short sentences, "the wolves were tired", and from clauses.

Measured: with every distance in training all three are right in 99 % of the cases, and
at no distance in less than 98 %, with attractors and without: one bit is easily kept,
by an Elman network as well. Beyond the longest distance in training all three fall
towards chance, with attractors sooner (11 to 15 words: Elman 76 %, GRU 79 %, LSTM 88 %;
16 to 20: 59, 63, 56). The two networks of a kind differ by as much as the kinds do.

Writes `results/agreement.json` and `results/agreement.png`.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from timing import machine

from saccade.apps.core.tasks.language.model import build_language_model
from saccade.apps.core.tasks.language.streams import Text, state_names
from saccade.apps.core.tasks.language.task import Language, figures, kept_meter
from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.core.training.fit import fit

matplotlib.use("agg")
import matplotlib.pyplot as plt

RESULTS = pathlib.Path(__file__).parent / "results"
CELLS = ("elman", "gru", "lstm")
NAMES = {"elman": "Elman", "gru": "GRU", "lstm": "LSTM"}
SENTENCES = {  # by Question.other
    False: "nouns in between: of the subject's number",
    True: "nouns in between: of the other number (attractors)",
}
GROUPS = {f"{a} to {b} words": (a, b) for a, b in ((1, 5), (6, 10), (11, 15), (16, 20))}
DISTANCES = range(1, 21)
TRAINED = (20, 10)  # the longest distance in training

# Singular and plural. The first half heads clauses in training, the other in the test.
NOUNS = [
    noun.split("/")
    for noun in "cat/cats boy/boys friend/friends teacher/teachers child/children "
    "bird/birds farmer/farmers woman/women horse/horses king/kings dog/dogs "
    "girl/girls doctor/doctors sailor/sailors man/men wolf/wolves guest/guests "
    "rabbit/rabbits mouse/mice queen/queens".split()
]
ADJECTIVES = "old young small tall lazy clever quiet brave hungry famous".split()
VERBS = "saw followed called chased met liked found heard passed helped".split()
ADVERBS = "already never often soon quickly once finally slowly".split()
PLACES = "near behind beside with before without".split()
ALONE = "asleep lost alone outside downstairs abroad".split()
ENDS = "tired full happy angry ill late".split()
OTHERS = ["<eos>", "the", "which", "that", "and", ",", "was", "were"]
WORDS = sorted(
    {*OTHERS, *ADJECTIVES, *VERBS, *ADVERBS, *PLACES, *ALONE, *ENDS, *sum(NOUNS, [])}
)
IDS = {word: i for i, word in enumerate(WORDS)}


def clause(length, number, draw):
    """A relative clause of exactly `length` words.

    Args:
        length: words, 1 or more. number: of its nouns, 0 singular or 1 plural, or None:
            each its own. draw: numpy Generator.
    """

    def one_of(words):
        return words[draw.integers(len(words))]

    def numbered():
        return draw.integers(2) if number is None else number

    def noun():
        return one_of(NOUNS)[numbered()]

    def that():
        which = numbered()
        return [one_of(NOUNS)[which], "that", ("was", "were")[which], one_of(ENDS)]

    if length == 1:
        return [one_of(ALONE)]
    if length == 2:
        return ["which", one_of(VERBS)]
    if length == 3:
        return ["which", one_of(ADVERBS), one_of(VERBS)]
    words = ["which", one_of(VERBS), "the", noun()]
    while len(words) < length:
        missing = length - len(words)
        more = [
            [one_of(PLACES), "the", noun()],
            ["and", one_of(VERBS), "the", noun()],
            [one_of(PLACES), "the", *that()],
        ]
        if missing < 3:  # An adjective before a noun, or an adverb before a verb.
            kind, place = (ADJECTIVES, 3) if draw.integers(2) else (ADVERBS, 1)
            words.insert(place, one_of(kind))
            continue
        more = [m for m in more if len(m) <= missing]
        words += more[draw.integers(len(more))]
    return words


def sentence(subject, number, between, draw):
    """Words of '<subject>, <between>, was|were <end>'; without commas if no clause."""
    verb = ("was", "were")[number]
    inner = [",", *between, ","] if between else []
    end = ENDS[draw.integers(len(ENDS))]
    return ["the", NOUNS[subject][number], *inner, verb, end, "<eos>"]


def training_words(sentences, longest, draw):
    """A list of words: one sentence in four is short, with any noun as its subject; the
    others have 1 to `longest` words in between."""
    words = []
    for _ in range(sentences):
        number = int(draw.integers(2))
        if draw.random() < 0.25:
            words += sentence(draw.integers(len(NOUNS)), number, [], draw)
        else:
            length = int(draw.integers(1, longest + 1))
            subject = draw.integers(len(NOUNS) // 2)
            words += sentence(subject, number, clause(length, None, draw), draw)
    return words


@dataclasses.dataclass(frozen=True)
class Question:
    """A test sentence. `other`: its clause's nouns are attractors."""

    words: list
    distance: int
    number: int
    other: bool

    @property
    def verb(self):
        """Place of 'was' or 'were'."""
        return len(self.words) - 3


def draw_questions(per_distance, draw):
    """For each distance `per_distance` sentences: singular and plural, with and without
    attractors equally often, in random order."""
    questions = []
    for distance in DISTANCES:
        for i in range(per_distance):
            number, other = i % 2, bool(i // 2 % 2)
            subject = draw.integers(len(NOUNS) // 2, len(NOUNS))
            between = clause(distance, 1 - number if other else number, draw)
            words = sentence(subject, number, between, draw)
            questions.append(Question(words, distance, number, other))
    return [questions[i] for i in draw.permutation(len(questions))]


def answers(model, questions, rows=64):
    """For each question whether `model` finds the right verb likelier.

    The questions are read one after the other, in `rows` streams, the state carried
    from one to the next: as in training, no network is told where a sentence begins.
    """
    shares = [questions[row::rows] for row in range(rows)]
    streams = [[IDS[w] for q in share for w in q.words] for share in shares]
    longest = max(map(len, streams))
    tokens = np.array([s + [0] * (longest - len(s)) for s in streams], np.int32)
    names = state_names(model)

    @tf.function(jit_compile=True)
    def run(tokens, reset):
        states = {n: tf.zeros([len(tokens), model.input[n].shape[-1]]) for n in names}
        outputs = model({"tokens": tokens, "reset": reset, **states}, training=False)
        logits = outputs["logits"]
        return logits[:, :, IDS["were"]] - logits[:, :, IDS["was"]]

    reset = np.zeros(tokens.shape, bool)
    reset[:, 0] = True
    lean = run(tf.constant(tokens), tf.constant(reset)).numpy()  # above 0: "were"
    right = {}
    for row, share in enumerate(shares):
        begin = 0
        for q in share:
            plural = lean[row, begin + q.verb - 1] > 0
            right[id(q)] = bool(plural) == bool(q.number)
            begin += len(q.words)
    return np.array([right[id(q)] for q in questions])


@dataclasses.dataclass(frozen=True)
class Config:
    """What `build_language_model` and the training of a `Language` ask for."""

    cell: str
    units: int
    steps: int
    seed: int
    levels: int = 1
    embedding: int = 32
    tied: bool = False
    dropout: float = 0.0
    minutes: float = 0.0
    rounds: int = 5
    batch_size: int = 64
    window: int = 40
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    clip: float = 1.0
    steps_per_call: int = 20
    jit: bool = True


def parameters_of(cell, units):
    return build_language_model(len(WORDS), Config(cell, units, 1, 0)).count_params()


def units_for(cell, parameters):
    """The number of units with which a model of `cell` comes nearest."""

    low, high = 1, 1024  # The size grows with the units.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high)
            if parameters_of(cell, middle) <= parameters
            else (low, middle)
        )
    return low


@dataclasses.dataclass(frozen=True)
class Splits:
    train: Text
    validation: Text


@dataclasses.dataclass(frozen=True)
class Options:
    """None: nothing is drawn here."""


class Agreement(Language):
    """A language model of words that are ids already."""

    Options = Options

    def text(self, documents):
        return documents

    def build_model(self):
        return build_language_model(len(WORDS), self.config)

    def evaluate(self, answerer, examples, options, most=None):
        return figures(kept_meter(answerer.model)(examples, most))


def measure(config, splits, questions):
    """Train one network; returns (right bool (questions,), validation nats)."""
    keras.utils.set_random_seed(config.seed)
    task = Agreement(config)
    answerer = Answerer(task, task.build_model())
    with tempfile.TemporaryDirectory() as folder:
        fit(task, answerer, splits, folder, False, lambda config: None)
    measured = task.evaluate(answerer, splits.validation, task.Options())
    return answers(answerer.model, questions), measured["nats"]


def accuracy(right, questions, other):
    """Share of right answers at each distance, of one half of the questions."""
    halves = np.array([q.other == other for q in questions])
    distances = np.array([q.distance for q in questions])
    return [float(right[halves & (distances == d)].mean()) for d in DISTANCES]


def show(rows, console):
    for other, name in SENTENCES.items():
        table = rich.table.Table(title=f"% right, {name}, mean of the seeds")
        for heading in ("cell", "trained on", *GROUPS):
            table.add_column(heading, justify="right")
        for (cell, longest), lines in grouped(rows, other).items():
            mean = 100 * lines.mean(axis=0)
            parts = [mean[low - 1 : high].mean() for low, high in GROUPS.values()]
            figures = [f"{part:.1f}" for part in parts]
            table.add_row(NAMES[cell], f"1 to {longest} words", *figures)
        console.print(table)


def grouped(rows, other):
    """{(cell, longest distance in training): shares right (seeds, distances)}."""
    keys = dict.fromkeys((r["cell"], r["trained_to"]) for r in rows)
    return {
        key: np.array(
            [
                r["attractors" if other else "same_number"]
                for r in rows
                if (r["cell"], r["trained_to"]) == key
            ]
        )
        for key in keys
    }


def chart(report, path):
    """Accuracy by distance: trained on all distances and on short ones (columns),
    without and with attractors (rows)."""
    trained = report["trained_to"]
    figure, axes = plt.subplots(
        2,
        len(trained),
        figsize=(5.4 * len(trained), 7),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    marks = {"elman": ("tab:green", "^"), "gru": ("tab:orange", "s")}
    marks["lstm"] = ("tab:blue", "o")
    for row, (other, name) in zip(axes, SENTENCES.items(), strict=True):
        lines = grouped(report["rows"], other)
        for axis, longest in zip(row, trained, strict=True):
            axis.axhline(50, color="grey", linestyle="--", linewidth=1)
            axis.text(0.6, 46, "chance", color="grey", fontsize=8, va="top")
            if longest < DISTANCES[-1]:
                axis.axvspan(longest + 0.5, 20.5, color="0.94", zorder=0)
                axis.text(longest + 0.8, 2, "longer than any in training", fontsize=8)
            for cell, (colour, mark) in marks.items():
                shares = 100 * lines[cell, longest]
                low, high = shares.min(axis=0), shares.max(axis=0)
                axis.fill_between(DISTANCES, low, high, color=colour, alpha=0.2)
                axis.plot(
                    DISTANCES,
                    shares.mean(axis=0),
                    color=colour,
                    marker=mark,
                    markersize=4,
                    label=f"{NAMES[cell]}, {report['units'][cell]} units",
                )
            axis.set_title(
                f"trained on 1 to {longest} words in between;\n{name}", fontsize=9
            )
            axis.set(xlim=(0.5, 20.5), ylim=(0, 103), xticks=[1, 5, 10, 15, 20])
            axis.grid(alpha=0.3)
        row[0].set_ylabel("% with the right verb likelier")
    axes[0, 0].legend(fontsize=8, loc="lower right")
    for axis in axes[1]:
        axis.set_xlabel("words between subject and verb")
    seeds = report["seeds"]
    figure.suptitle(
        "Was or were?  'The wolves, which saw the dog that was ill, were late'\n"
        f"{report['sentences_per_point']} new sentences per point and network; "
        f"{report['parameters']:,} parameters, {report['steps']:,} steps each; mean of "
        f"{seeds} networks" + (", band: from the lowest to the highest" * (seeds > 1)),
        fontsize=10,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seeds", type=int, default=2, help="networks of each kind")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS / "agreement.json")
    arguments = parser.parse_args(words)
    steps, seeds, units = arguments.steps, arguments.seeds, 64
    sentences, per_distance, trained = 40_000, 400, TRAINED
    if arguments.toy:
        steps, seeds, units, sentences, per_distance = 4, 1, 4, 500, 4
        trained = TRAINED[1:]

    started = time.perf_counter()
    draw = np.random.default_rng(0)
    questions = draw_questions(per_distance, draw)
    parameters = parameters_of("lstm", units)
    sizes = {cell: units_for(cell, parameters) for cell in CELLS}
    rows = []
    for longest in trained:
        splits = Splits(
            *(
                Text([[IDS[w] for w in training_words(n, longest, draw)]])
                for n in (sentences, max(1, sentences // 40))
            )
        )
        for cell, seed in itertools.product(CELLS, range(seeds)):
            print(f"{NAMES[cell]}, 1 to {longest} words, seed {seed}", flush=True)
            before = time.perf_counter()
            config = Config(cell, sizes[cell], steps, seed)
            if arguments.toy:
                config = dataclasses.replace(config, batch_size=4, steps_per_call=2)
            right, nats = measure(config, splits, questions)
            rows.append(
                {
                    "cell": cell,
                    "trained_to": longest,
                    "seed": seed,
                    "parameters": parameters_of(cell, sizes[cell]),
                    "validation_nats": nats,
                    "seconds": round(time.perf_counter() - before, 1),
                    "same_number": accuracy(right, questions, False),
                    "attractors": accuracy(right, questions, True),
                }
            )
    config = dataclasses.asdict(config)
    for name in ("cell", "units", "seed", "steps", "minutes"):
        del config[name]
    report = {
        "machine": machine(),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "seconds": round(time.perf_counter() - started),
        "units": sizes,
        "parameters": parameters,
        "steps": steps,
        "seeds": seeds,
        "trained_to": list(trained),
        "training_sentences": sentences,
        "sentences_per_point": per_distance // 2,
        "config": config,
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    chart(report, arguments.out.with_suffix(".png"))
    show(rows, rich.console.Console())
    print(f"{report['seconds']} seconds; written: {arguments.out} and .png")


if __name__ == "__main__":
    main()
