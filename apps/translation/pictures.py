"""Where a translation comes from: the alignment matrix, with both sentences."""

import textwrap
import unicodedata

from matplotlib.figure import Figure

from ..core.report.plot import drawable, fonts

CELL, WIDEST = 0.32, 22.0  # inches: of a side of a cell; of all cells at most
LETTER = 0.085  # inches, of a character beside the cells; a Chinese one takes two
TITLE, EDGE, FOOT = 0.5, 0.15, 0.45  # inches: above, at the right, below a matrix
NUMBERS = 24  # tokens of a side up to which the weights stand in their cells
NARROW = 2  # columns of letters up to which the source's tokens stand upright


def alignments(texts, answers):
    """A matrix for each answer: a row per token that was written, from the top down, a
    column per token of the source; the darker, the more weight.

    Args:
        texts: list of str, what was read.
        answers: list of dicts with `tokens`, `source_tokens`, and `alignment` (tokens,
            source tokens); `translation` where it is no given one.
    """
    sizes = [_size(answer) for answer in answers]
    width = max(left + across for left, across, *_ in sizes) + EDGE
    height = sum(upper + down + FOOT for *_, upper, down in sizes)
    figure = Figure((width, height), dpi=120)
    top = height
    for text, answer, size in zip(texts, answers, sizes, strict=True):
        left, across, upper, down = size
        bottom = top - upper - down
        box = left / width, bottom / height, across / width, down / height
        columns = answer["alignment"].shape[1]
        _draw(figure.add_axes(box), answer, min(8, 25 * across / columns))
        written = answer.get("translation", "")
        title = f"{text}  →  {written}" if written else text
        title = textwrap.shorten(title, int(across / LETTER), placeholder=" …")
        place = left / width, (top - 0.2) / height
        style = {"fontsize": 9, "fontfamily": fonts(), "parse_math": False}
        figure.text(*place, "".join(map(drawable, title)), **style)
        top = bottom - FOOT
    return figure


def _size(answer):
    """Inches: room at the left, width of the cells, room above, height of the cells."""
    rows, columns = answer["alignment"].shape
    left = LETTER * max(map(_wide, answer["tokens"]), default=1) + 0.5
    above = max(map(_wide, answer["source_tokens"]), default=1)
    side = min(CELL, WIDEST / max(columns, 1))
    across = max(side * columns, 3.2)
    return left, across, TITLE + LETTER * above + 0.1, min(CELL, 2 * side) * rows


def _wide(text):
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _draw(axes, answer, fontsize):
    weights = answer["alignment"]
    # Of many tokens each has little weight.
    most = max(float(weights.max(initial=0)), 0.3)
    axes.imshow(weights, cmap="Greys", vmin=0, vmax=most, aspect="auto")
    for axis, words in ((axes.xaxis, "source_tokens"), (axes.yaxis, "tokens")):
        names = ["".join(map(drawable, word)) or "·" for word in answer[words]]
        names = ["␣" if name.isspace() else name for name in names]
        axis.set_ticks(
            range(len(names)), names, fontfamily=fonts(), fontsize=max(fontsize, 4)
        )
        for label in axis.get_ticklabels():
            label.set_parse_math(False)  # else two dollar signs would be TeX
    axes.xaxis.tick_top()
    # The last one is <end>.
    upright = max(map(_wide, answer["source_tokens"][:-1]), default=0) <= NARROW
    axes.tick_params(axis="x", rotation=0 if upright else 90)
    if upright and axes.get_xticklabels():
        axes.get_xticklabels()[-1].set_rotation(90)
    axes.tick_params(length=0)
    if max(weights.shape) <= NUMBERS:
        for (row, column), weight in _large(weights):
            colour = "white" if weight > most / 2 else "black"
            number = f"{100 * weight:.0f}"
            style = {"ha": "center", "va": "center", "fontsize": 6, "color": colour}
            axes.text(column, row, number, **style)
    axes.set_xlabel("source, and in % where each token looked", fontsize=8)
    axes.set_ylabel("translation", fontsize=8)


def _large(weights):
    """The cells with 5 % or more."""
    return [
        (place, float(weights[place]))
        for place in zip(*(weights >= 0.05).nonzero(), strict=True)
    ]
