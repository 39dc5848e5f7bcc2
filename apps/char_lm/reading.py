"""Reading the cells: which units keep in mind what a reader would (Karpathy, Johnson &
Li, "Visualizing and Understanding Recurrent Networks", 2015, arXiv:1506.02078).

    saccade inspect char_lm RUN FILE

reads a text, sets every unit beside every property of `probes`, and writes

    cells.html    the best unit of each property, with the text in its colours
    cells.png     the same, shorter, as a picture
    units.csv     every property's five best units and their scores

**How a unit is scored.** The text is cut into two halves. On the first a unit gets the
best threshold and its direction, and the best unit is chosen; on the second, the
held-out text, it is measured:

    yes/no     balanced accuracy = (share of the yes characters that are told right
               + share of the no characters) / 2; guessing has 0.5, whatever is rarer
    graded     the correlation of unit and property, with the sign of the first half

**What chance would reach.** The same with false labels: the property's own labels,
turned round in a circle by some part of the text. Labels that are shuffled one by one
would be too easy a foe. Both series change slowly, so that a text of 50,000 characters
with 200 quotations has nearer to 200 independent cases than 50,000, and some slow unit
among hundreds fits them by accident. Turning keeps every stretch of labels as long as
it is and spoils only where they lie. Of each turn the best held-out score of *all*
units is kept, because it is the best of all that is reported, and of these the 99th
percentile is the chance level.

**What the network had without learning.** A random recurrent network holds on to the
last few characters too, and they tell much: behind a letter one is inside a word. So
the same network with the weights that it had before its training reads the text as
well, and its best unit is scored the same way.
"""

import csv
import dataclasses
import html
import itertools
import pathlib
import string

import keras
import matplotlib
import numpy as np
import tensorflow as tf

from ..core.data.texts import read_text
from ..core.errors import UserError
from ..core.report import plot
from ..core.tasks.language.streams import state_names
from .model import build_model
from .probes import Probe, line_ends, probes

LONGEST = 100_000  # characters that are read, of a longer text the first
SHORTEST = 1_000
LEVELS = 100  # a threshold is one of a unit's percentiles
TURNS = 100  # of false labels
TURNED = 10_000  # characters, evenly spread, on which they are scored
STRETCHES = 5  # of yes, in each half: a rarer property is not measured
LISTED = 5  # units per property in units.csv
DRAWN = 6  # properties in the picture; the page has all
SHADES = 20  # colours in the page
NAMING = (
    "level_0_c[17] is the memory cell of unit 17 in the first recurrent layer, its "
    "tanh; with h in the place of c, what the unit shows to the others."
)


def inspect(run, path, out=None):
    """Read `path` with the model of `run`; write what its units follow into `out`.

    Args:
        run: `core.app.Run` of this app.
        path: a UTF-8 text, best one that the model was not trained on; its suffix
            says how it is read (`probes.probes`). At most LONGEST characters are read.
        out: a folder; None: `inspect` in the run's own.

    Returns:
        dict of facts for people: by property the unit, its score and what that is to
        be compared with, and the files that were written.

    Sets the seeds of Keras, NumPy and Python to `config.seed`.

    Raises:
        UserError: no such file, no UTF-8, or a text too short.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"Expected a text file to read, found none at {path}. Name one file, best "
            "one that the model was not trained on."
        )
    text = read_text(path)
    begins = f"the first {LONGEST:,} of " if len(text) > LONGEST else ""
    size = f"{begins}{len(text):,} characters"
    text = text[:LONGEST]
    if len(text) < SHORTEST:
        raise UserError(
            f"{path} has {len(text)} characters; at least {SHORTEST:,} are needed, and "
            "some 20,000 to tell a unit from chance. Name a longer text."
        )
    ids = run.assets.ids(text)
    names, units = activations(run.model, ids)
    keras.utils.set_random_seed(run.config.seed)  # as before the training
    _, untrained = activations(build_model(run.config, run.assets), ids)
    properties = probes(text, path.suffix.lower())
    results, left_out = score_all(units, untrained, properties)

    out = pathlib.Path(out) if out else pathlib.Path(run.folder) / "inspect"
    out.mkdir(parents=True, exist_ok=True)
    source = (
        f"{path.name}, {size}, read by a model of {run.config.data}: "
        f"{run.config.levels} x {run.config.cell}, {run.config.units_rnn} units"
    )
    write_table(out / "units.csv", results, names)
    (out / "cells.html").write_text(
        page(text, units, names, results, left_out, source), "utf-8"
    )
    draw(text, units, names, results, source).savefig(out / "cells.png")

    above = sum(r.clearness > 0 for r in results)
    return {
        "text": f"{path}, {size}, the second half held out",
        "unknown to the model": f"{np.mean(ids == run.assets.unknown):.2%} of it",
        "units": f"{units.shape[1]} ({', '.join(state_names(run.model))})",
        **{r.probe.name: r.describe(names) for r in results},
        **{name: f"not measured: {why}" for name, why in left_out.items()},
        "above both": f"{above} of {len(results)} properties",
        "drawn": f"{out / 'cells.html'}, {out / 'cells.png'}",
        "table": str(out / "units.csv"),
    }


# What the units do


def activations(model, ids):
    """The state of every unit behind every character, carried through the whole text.

    The model itself is called on one character after the other, in one compiled loop:
    it hands out its whole state (a layer with return_sequences would give h alone), it
    works for every cell, and no state is cut where a window ends. An LSTM of 256 units
    reads 25,000 characters a second.

    Args:
        model: as `build_language_model` makes it.
        ids: int32 (characters,).

    Returns:
        names, list of str such as "level_0_c[17]", and values float32 (characters,
        units), all levels and states side by side; memory cells c as tanh(c), which is
        what the rest of the network sees of them.
    """
    states = state_names(model)
    sizes = [model.input[name].shape[-1] for name in states]

    @tf.function(jit_compile=True)
    def run(tokens):
        length = tokens.shape[0]

        def step(t, values, rows):
            inputs = dict(zip(states, values, strict=True))
            inputs["tokens"] = tf.reshape(tokens[t], [1, 1])
            inputs["reset"] = tf.reshape(t == 0, [1, 1])
            outputs = model(inputs, training=False)
            values = [tf.cast(outputs[name], tf.float32) for name in states]
            seen = [
                tf.tanh(v) if name.endswith("_c") else v
                for name, v in zip(states, values, strict=True)
            ]
            return t + 1, values, rows.write(t, tf.concat(seen, axis=1)[0])

        start = [tf.zeros([1, size]) for size in sizes]
        rows = tf.TensorArray(tf.float32, length, element_shape=(sum(sizes),))
        loop = tf.while_loop(lambda t, *_: t < length, step, [0, start, rows])
        return loop[-1].stack()

    names = [
        f"{name}[{i}]"
        for name, size in zip(states, sizes, strict=True)
        for i in range(size)
    ]
    return names, run(tf.constant(ids)).numpy()


# How well they follow a property


@dataclasses.dataclass(frozen=True)
class Result:
    """The units that follow a property best.

    Attributes:
        probe: Probe.
        units: their places among all, the best on the first half first.
        held_out: their scores on the second half.
        rises: whether each is high where the property is.
        chance: held-out score that the best unit has with false labels, 99th
            percentile.
        untrained: held-out score of the best unit of the network before its training.
    """

    probe: Probe
    units: list
    held_out: list
    rises: list
    chance: float
    untrained: float

    @property
    def measure(self):
        return "correlation" if self.probe.graded else "balanced accuracy"

    @property
    def clearness(self):
        """How far the best unit is on the way to a perfect score, from chance or, where
        that is more, from the untrained network."""
        least = max(self.chance, self.untrained)
        return (self.held_out[0] - least) / max(1 - least, 1e-6)

    @property
    def direction(self):
        if self.probe.graded:
            return "rising with it" if self.rises[0] else "falling with it"
        return "high there" if self.rises[0] else "low there"

    def describe(self, names):
        """One line."""
        return (
            f"{names[self.units[0]]}, {self.direction}; {self.measure} "
            f"{self.held_out[0]:.2f} (chance {self.chance:.2f}, "
            f"untrained {self.untrained:.2f})"
        )


def score_all(units, untrained, properties):
    """Set every unit beside every property.

    Args:
        units: float (characters, U). untrained: the same of the untrained network.
        properties: list of Probe.

    Returns:
        list of Result, the clearest first, and dict of name -> why a property was not
        measured.
    """
    length = len(units)
    half = length // 2
    whole = Halves(units, np.arange(length), half)
    before = Halves(untrained, np.arange(length), half)
    every = -(-length // TURNED)
    spread = Halves(units, np.arange(0, length, every), half)
    # A small turn leaves labels nearly where they were, a whole one does so too.
    turns = np.linspace(length / 10, length * 9 / 10, TURNS).astype(int)

    results, left_out = [], {}
    for probe in properties:
        why = too_rare(probe, half)
        if why:
            left_out[probe.name] = why
            continue
        fit, held_out, rises = whole.score(probe.values)
        false = [spread.score(np.roll(probe.values, turn))[1].max() for turn in turns]
        best = np.argsort(-fit, kind="stable")[:LISTED]
        fit_before, held_out_before, _ = before.score(probe.values)
        results.append(
            Result(
                probe,
                best.tolist(),
                held_out[best].tolist(),
                rises[best].tolist(),
                float(np.percentile(false, 99)),
                float(held_out_before[fit_before.argmax()]),
            )
        )
    results.sort(key=lambda r: -r.clearness)
    return results, left_out


def too_rare(probe, half):
    """Why a property cannot be measured, or None."""
    parts = probe.values[:half], probe.values[half:]
    if probe.graded:
        return None if all(np.ptp(part) for part in parts) else "it never changes"
    stretches = [int(np.sum(part[1:] & ~part[:-1])) for part in parts]
    if min(stretches) < STRETCHES:
        return (
            f"it begins {stretches[0]} and {stretches[1]} times in the two halves, "
            f"expected {STRETCHES} at least"
        )
    return None


class Halves:
    """Units on two halves of a text, ready to be scored against any labels.

    Args:
        units: float32 (characters, U). places: those characters that count.
        half: where the second half begins.
    """

    def __init__(self, units, places, half):
        self.parts = [places[places < half], places[places >= half]]
        units = [units[part] for part in self.parts]
        # Of each unit: how many of its percentiles on the first half lie below a value.
        levels = np.percentile(units[0], np.arange(LEVELS), axis=0)  # (LEVELS, U)
        self.ranks = [
            np.stack(
                [np.searchsorted(levels[:, u], x[:, u]) for u in range(x.shape[1])], 1
            ).astype(np.uint8)
            for x in units
        ]
        self.standard = [_standard(x) for x in units]
        self.counts = [self._histogram(ranks) for ranks in self.ranks]

    def score(self, labels):
        """Fit on the first half, measure on the second.

        Args:
            labels: (all characters,) bool or float.

        Returns:
            score on the first half, score on the second, whether the unit rises with
            the label: (U,) each.
        """
        labels = [labels[part] for part in self.parts]
        if labels[0].dtype == bool:
            return self._balanced_accuracy(labels)
        return self._correlation(labels)

    def _correlation(self, labels):
        fit, held_out = (
            _standard(y[:, None])[:, 0] @ x / len(y)
            for x, y in zip(self.standard, labels, strict=True)
        )
        return np.abs(fit), np.sign(fit) * held_out, fit > 0

    def _balanced_accuracy(self, labels):
        if not all(0 < y.sum() < len(y) for y in labels):  # One kind: a guess.
            guess = np.full(len(self.counts[0]), 0.5)
            return guess, guess, guess > 0
        # Of the characters above a threshold: share of the yes less share of the no.
        fit, held_out = (
            _above(yes, y.sum()) - _above(counts - yes, (~y).sum())
            for counts, yes, y in (
                (counts, self._histogram(ranks[y]), y)
                for counts, ranks, y in zip(
                    self.counts, self.ranks, labels, strict=True
                )
            )
        )  # (U, LEVELS) each
        best = np.abs(fit).argmax(axis=1)[:, None]
        fit = np.take_along_axis(fit, best, axis=1)[:, 0]
        held_out = np.take_along_axis(held_out, best, axis=1)[:, 0]
        return (
            (1 + np.abs(fit)) / 2,
            (1 + np.sign(fit) * held_out) / 2,
            fit > 0,
        )

    def _histogram(self, ranks):
        """Ranks (n, U) -> how often each unit has each rank, (U, LEVELS + 1)."""
        width = ranks.shape[1]
        bins = LEVELS + 1
        counts = np.zeros(width * bins, np.int64)
        for begin in range(0, len(ranks), 10_000):  # A piece at a time, for memory.
            piece = ranks[begin : begin + 10_000] + np.arange(width) * bins
            counts += np.bincount(piece.ravel(), minlength=width * bins)
        return counts.reshape(width, bins)


def _standard(x):
    """Columns of mean 0 and deviation 1; zeros where a column hardly changes."""
    mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-4, 1 / np.maximum(deviation, 1e-4), 0)
    return ((x - mean) * scale).astype(np.float32)


def _above(counts, total):
    """Share of the characters above each threshold: (U, LEVELS)."""
    return 1 - np.cumsum(counts, axis=1)[:, :-1] / total


def write_table(path, results, names):
    """`units.csv`: the best units of every property."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            "property,rank,unit,high or low,measure,held out,chance,untrained".split(
                ","
            )
        )
        for r in results:
            for rank, unit in enumerate(r.units):
                table.writerow(
                    [
                        r.probe.name,
                        rank + 1,
                        names[unit],
                        "high" if r.rises[rank] else "low",
                        r.measure,
                        f"{r.held_out[rank]:.3f}",
                        f"{r.chance:.3f}",
                        f"{r.untrained:.3f}",
                    ]
                )


# What a person sees


def passage(probe, text, length):
    """The part of the held-out half that shows most of a property.

    Whole lines, of `length` characters at most, in which the property varies most: it
    is chosen by the property alone, wherever the unit is right or wrong.

    Returns:
        slice.
    """
    half = len(text) // 2
    y = probe.values.astype(np.float64)
    begins = np.flatnonzero(line_ends(text)) + 1
    begins = begins[(begins >= half) & (begins + length <= len(text))]
    if not len(begins):  # One long line.
        begins = np.array([max(half, len(text) - length)])
    sums, squares = (np.concatenate([[0], np.cumsum(v)]) for v in (y, y**2))
    ends = np.minimum(begins + length, len(text))
    sizes = ends - begins
    variance = (squares[ends] - squares[begins]) / sizes
    variance -= ((sums[ends] - sums[begins]) / sizes) ** 2
    begin, end = begins[variance.argmax()], ends[variance.argmax()]
    return slice(begin, text.rfind("\n", begin, end) + 1 or end)


def shades(values):
    """A unit's values -> 0 (blue) ... 1 (red), and the values of these two ends.

    The ends are the 1st and the 99th percentile: a single spike would else take all
    the colour from the rest.
    """
    low, high = np.percentile(values, [1, 99])
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1), low, high


def draw(text, units, names, results, source):
    """matplotlib Figure: a short passage for each of the DRAWN clearest properties."""
    scale = "  low" + " " * 30 + "high  "
    panels = [("", scale, np.linspace(0, 1, len(scale)), None)]
    for r in results[:DRAWN]:
        where = passage(r.probe, text, 500)
        values, *_ = shades(units[:, r.units[0]])
        marked = None if r.probe.graded else r.probe.values[where]
        title = f"{r.probe.name}: {r.describe(names)}"
        panels.append((title, text[where], values[where], marked))
    return plot.coloured_text(
        panels,
        f"{source}. Each passage, from the half of the text that the unit was not "
        "chosen on, is coloured by one unit's value behind every character. "
        "Underlined: where the property holds. Chance: the score of the best unit with "
        f"false labels; untrained: that of the network before its training. {NAMING}",
    )


def page(text, units, names, results, left_out, source):
    """`cells.html`, complete in itself: str."""
    rows, sections = [], []
    for k, r in enumerate(results):
        where = passage(r.probe, text, 2_500)
        values, low, high = shades(units[:, r.units[0]])
        marked = np.zeros(len(text), bool) if r.probe.graded else r.probe.values
        name, meaning, unit = map(
            html.escape, (r.probe.name, r.probe.meaning, names[r.units[0]])
        )
        next_best = ", ".join(
            f"{html.escape(names[u])} {score:.2f}"
            for u, score in zip(r.units[1:], r.held_out[1:], strict=True)
        )
        rows.append(
            f'<tr><td><a href="#p{k}">{name}</a><td>{unit}<td>{r.direction}'
            f"<td>{r.measure}<td><b>{r.held_out[0]:.2f}</b><td>{r.chance:.2f}"
            f"<td>{r.untrained:.2f}</tr>"
        )
        sections.append(
            f'<h2 id="p{k}">{name}: {unit}, {r.direction}</h2>\n'
            f"<p>{r.measure.capitalize()} on held-out text <b>{r.held_out[0]:.2f}</b>, "
            f"chance {r.chance:.2f}, untrained {r.untrained:.2f}. The property: "
            f"{meaning}. Full blue is a value of {low:.2f}, full red {high:.2f}. Next "
            f"best: {next_best}.</p>\n"
            f"<pre>{spans(text[where], values[where], marked[where])}</pre>\n"
        )
    if left_out:
        items = (
            f"<li>{html.escape(f'{name}: {why}.')}" for name, why in left_out.items()
        )
        sections.append(f"<h2>Not measured</h2>\n<ul>{''.join(items)}</ul>\n")
    colours = plot.LOW_HIGH(np.linspace(0, 1, SHADES))
    styles = (
        f".c{k} {{ background: {matplotlib.colors.to_hex(colour)} }}"
        for k, colour in enumerate(colours)
    )
    return PAGE.substitute(
        source=html.escape(source),
        naming=NAMING,
        styles="\n".join(styles),
        scale="".join(f'<i class="c{k}">&nbsp;</i>' for k in range(SHADES)),
        rows="\n".join(rows),
        sections="\n".join(sections),
    )


def spans(text, values, marked):
    """Text as HTML, one <i> for neighbours of one colour; a line end shows as a sign.

    Args:
        text: str; values: (characters,), 0 ... 1; marked: bool, what to underline.
    """
    levels = np.minimum((values * SHADES).astype(int), SHADES - 1)
    runs = itertools.groupby(
        zip(text, levels, marked, strict=True), lambda one: one[1:]
    )
    return "".join(
        f'<i class="c{level}{" u" if mark else ""}">'
        + html.escape("".join(c for c, *_ in run)).replace("\n", "<s></s>\n")
        + "</i>"
        for (level, mark), run in runs
    )


PAGE = string.Template("""\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Reading the cells</title>
<style>
body { font: 16px/1.5 sans-serif; color: #222; background: #fff; max-width: 60em;
       margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse }
td, th { text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #ddd }
h2 { font-size: 1.1em; margin: 2.5em 0 0 }
pre { font: 13px/1.7 monospace; white-space: pre-wrap; border: 1px solid #ddd;
      padding: 1em; overflow-wrap: anywhere }
i { font-style: normal; padding: .15em 0 }
.u { border-bottom: 2px solid #222 }
s { text-decoration: none }
s::after { content: "\\21b5"; color: #aaa }
$styles
</style>
<h1>Reading the cells</h1>
<p>$source.</p>
<p>Each unit of the network has a value behind every character that it has read. Below,
the unit that follows a property of the text best, drawn on a passage that it was not
chosen on: low $scale high. Underlined is where the property holds; the passage is the
one where the property varies most. Nobody told the network of these properties: it only
learned to guess the next character. $naming</p>
<table>
<tr><th>property<th>best unit<th>it is<th>measure<th>score<th>chance
<th>untrained</tr>
$rows
</table>
<p>Balanced accuracy is the mean of two shares, that of the yes characters that a
threshold tells right and that of the no characters: a guess has 0.5. A correlation is
between -1 and 1. Unit, threshold and direction were chosen on the first half of the
text; the score comes from the second. Chance is what the best of all units reaches
there in 99 of 100 cases with labels that do not belong to the text, because they were
turned round in a circle. Untrained is the score of the best unit of the same network
before its training: the last few characters tell something without any learning.</p>
$sections
</html>
""")
