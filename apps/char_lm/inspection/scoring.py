"""How well the units of a network follow the properties of a text.

**How a unit is scored.** The text is cut into two halves. On the first a unit gets the
best threshold and its direction, and the best unit is chosen; on the second, the
held-out text, it is measured:

    yes/no     balanced accuracy = (share of the yes characters that are classified
               correctly + share of the no characters) / 2; guessing has 0.5, whatever
               is rarer
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
last few characters too, and these say much: behind a letter one is inside a word. So
the same network with the weights that it had before its training reads the text as
well, and its best unit is scored the same way.
"""

import dataclasses

import numpy as np

from .probes import Probe

LEVELS = 100  # a threshold is one of a unit's percentiles
TURNS = 100  # of false labels
TURNED = 10_000  # characters, evenly spread, on which they are scored
STRETCHES = 5  # of yes, in each half: a rarer property is not measured
LISTED = 5  # units per property in units.csv


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
