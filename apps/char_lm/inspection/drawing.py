"""Passages of a text, coloured by the units that follow its properties."""

import numpy as np

from ...core.report import plot
from .probes import line_ends

DRAWN = 6  # properties in the picture; the page has all
NAMING = (
    "level_0_c[17] is the memory cell of unit 17 in the first recurrent layer, its "
    "tanh; with h in the place of c, what the unit shows to the others."
)


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
