"""Pictures: a sequence as letters as high as they matter, over a map of mutations."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from ..core.inputs.sequence import BASES

COLOURS = {"A": "#2a9d3a", "C": "#2563c9", "G": "#e08e00", "T": "#d0342c"}
OTHER = "#777777"  # of letters for several bases
DRAWN = 6  # sequences in a picture at most
WIDTH = 100  # bases of a sequence at most: those around the strongest
READING = (
    "A letter's height is how much that base speaks for the answer; below the line it "
    "speaks against it.\nThe map: how the answer's log-odds change where a base is "
    "replaced by the one at the left. Red: the answer becomes less likely; blue: more; "
    "dot: the base that is there."
)


def figure(rows):
    """Sequences with their saliency and mutations, one below the other.

    Args:
        rows: list of (sequence str, answer of `mutate`, title). The first `DRAWN` are
            drawn.

    Returns:
        `matplotlib.figure.Figure`.
    """
    rows = rows[:DRAWN]
    longest = max(min(len(sequence), WIDTH) for sequence, _, _ in rows)
    size = (max(7.0, 0.19 * longest + 1.6), 3.5 * len(rows) + 0.5)
    whole = Figure(size, dpi=120, layout="constrained")
    panels = whole.subplots(
        2 * len(rows), 1, squeeze=False, height_ratios=[1.5, 1] * len(rows)
    )[:, 0]
    for i, (sequence, answer, title) in enumerate(rows):
        first = window_of(answer["saliency"])
        part = slice(first, first + WIDTH)
        draw_letters(panels[2 * i], sequence[part], answer["saliency"][part], first)
        marks = known_motifs(sequence, answer["label"])
        draw_marks(panels[2 * i], [(n, s - first, e - first) for n, s, e in marks])
        panels[2 * i].set_title(title, fontsize=10, loc="left", parse_math=False)
        draw_map(
            whole, panels[2 * i + 1], sequence[part], answer["effect"][part], first
        )
    whole.supxlabel(READING, fontsize=8)
    return whole


def window_of(saliency):
    """Where the `WIDTH` bases begin that hold most of the absolute saliency."""
    sums = np.concatenate([[0], np.cumsum(np.abs(saliency))])
    starts = max(1, len(saliency) - WIDTH + 1)
    ends = np.minimum(np.arange(starts) + WIDTH, len(saliency))
    return int(np.argmax(sums[ends] - sums[:starts]))


def draw_letters(axes, sequence, heights, first):
    """Letters of a width of 1 and these heights, downwards where negative."""
    font = FontProperties(family="DejaVu Sans Mono", weight="bold")
    for x, (letter, height) in enumerate(zip(sequence, heights, strict=True)):
        path = TextPath((0, 0), letter, size=1, prop=font)
        box = path.get_extents()
        stretch = Affine2D().translate(-box.x0, -box.y0)
        stretch.scale(0.9 / box.width, float(height) / box.height)
        stretch.translate(x - 0.45, 0)
        colour = COLOURS.get(letter, OTHER)
        axes.add_patch(PathPatch(stretch.transform_path(path), color=colour, lw=0))
    low, high = min(0.0, float(np.min(heights))), max(0.0, float(np.max(heights)))
    room = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - room, high + 4 * room)  # above: what marks are called
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylabel("saliency", fontsize=8)
    set_places(axes, len(sequence), first)
    axes.spines[["top", "right"]].set_visible(False)


def draw_marks(axes, marks):
    """Frames around known motifs, with their names: (name, first, end)."""
    low, high = axes.get_ylim()
    for name, start, end in marks:
        frame = Rectangle(
            (start - 0.5, low),
            end - start,
            high - low,
            facecolor="#fff2b3",
            edgecolor="#b08c00",
            linewidth=0.8,
            zorder=0,
        )
        axes.add_patch(frame)
        where = (start + end - 1) / 2, high - 0.02 * (high - low)
        axes.text(*where, name, fontsize=8, ha="center", va="top", color="#7a6000")


def draw_map(whole, axes, sequence, effect, first):
    """The effect (time, 4) of every replacement as colours."""
    strongest = float(np.abs(effect).max()) or 1.0
    # White is no change; RdBu is red where the effect is negative.
    image = axes.imshow(
        effect.T, "RdBu", aspect="auto", vmin=-strongest, vmax=strongest
    )
    own = [(x, BASES.index(b)) for x, b in enumerate(sequence) if b in BASES]
    axes.plot(*np.array(own or [(np.nan, np.nan)]).T, ".k", markersize=3)
    axes.set_yticks(range(4), [*BASES], fontsize=8)
    axes.set_ylabel("replaced by", fontsize=8)
    set_places(axes, len(sequence), first)
    bar = whole.colorbar(image, ax=axes, pad=0.01, fraction=0.03)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("change", fontsize=8)


def set_places(axes, length, first):
    """Places along the axis, counted from 1."""
    axes.set_xlim(-0.6, length - 0.4)
    places = [0, *range(9 - first % 10, length, 10)]
    axes.set_xticks(places, [place + first + 1 for place in places], fontsize=7)


# Motifs that the field knows, by the labels of the builtin and the UCI data.
PROMOTERS, DONORS, ACCEPTORS = ("promoter", "+"), ("donor", "EI"), ("acceptor", "IE")


def known_motifs(sequence, label):
    """Where a sequence of this label has what textbooks say: list of (name, first,
    end)."""
    middle = len(sequence) // 2
    if label in DONORS and sequence[middle : middle + 2] == "GT":
        return [("GT: the intron begins", middle, middle + 2)]
    if label in ACCEPTORS and sequence[middle - 2 : middle] == "AG":
        return [("AG: the intron ends", middle - 2, middle)]
    return promoter_boxes(sequence) if label in PROMOTERS else []


def promoter_boxes(sequence):
    """The best TTGACA and TATAAT with 15 to 19 bases between."""

    def alike(start, box):
        found = sequence[start : start + len(box)]
        return sum(a == b for a, b in zip(found, box, strict=False))

    found = [
        (alike(start, "TTGACA") + alike(start + 6 + gap, "TATAAT"), start, gap)
        for gap in range(15, 20)
        for start in range(len(sequence) - gap - 11)
    ]
    score, start, gap = max(found, default=(0, 0, 0))
    if score < 8:  # of 12: fewer are found by chance
        return []
    second = start + 6 + gap
    return [("-35 box", start, start + 6), ("-10 box", second, second + 6)]
