"""Where a translation comes from: the alignment matrix, with both sentences."""

import unicodedata

from matplotlib.figure import Figure

from ..core.report.plot import drawable, fonts

CELL = 0.32  # inches, of a side of a cell
LETTER = 0.085  # inches, of a character beside the cells; a Chinese one takes two
TITLE, MARGIN = 0.5, 0.1  # inches, of the line below a matrix; at the right
NUMBERS = 24  # tokens of a side up to which the weights stand in their cells


def alignments(answers):
    """A matrix for each answer: a row per token that was written, from the top down, a
    column per token of the source; the darker, the more weight.

    Args:
        answers: list of dicts with `tokens`, `source_tokens`, and `alignment` (tokens,
            source tokens).
    """
    sizes = [_size(answer) for answer in answers]
    width = max(left + inner for left, inner, *_ in sizes) + MARGIN
    height = sum(upper + inner + TITLE for *_, upper, inner in sizes)
    figure = Figure((width, height), dpi=120)
    top = height
    for answer, (left, across, upper, down) in zip(answers, sizes, strict=True):
        bottom = top - upper - down
        box = left / width, bottom / height, across / width, down / height
        _draw(figure.add_axes(box), answer)
        top = bottom - TITLE
    return figure


def _size(answer):
    """Inches: room at the left, width of the cells, room above, height of the cells."""
    rows, columns = answer["alignment"].shape
    left = LETTER * max(map(_wide, answer["tokens"]), default=1) + 0.5
    upper = LETTER * max(map(_wide, answer["source_tokens"]), default=1) + 0.5
    return left, max(CELL * columns, 3.2 - left), upper, CELL * rows


def _wide(text):
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _draw(axes, answer):
    weights = answer["alignment"]
    axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for axis, words in ((axes.xaxis, "source_tokens"), (axes.yaxis, "tokens")):
        names = ["".join(map(drawable, word)) for word in answer[words]]
        axis.set_ticks(range(len(names)), names, fontfamily=fonts(), fontsize=8)
        for label in axis.get_ticklabels():
            label.set_parse_math(False)  # else two dollar signs would be TeX
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", rotation=90)
    axes.tick_params(length=0)
    if max(weights.shape) <= NUMBERS:
        for (row, column), weight in _large(weights):
            colour = "white" if weight > 0.5 else "black"
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
