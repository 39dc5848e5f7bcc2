"""Paintings as they come to be."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..core.report.plot import Animation, fonts, pixels_of

COLUMNS = 4  # paintings side by side
INCHES = 1.9  # a painting's side
BOX = "#ff9e1b"  # where a stroke is written
LOOK = "#35c2ff"  # where the network looks
STROKE, END = 350, 2000  # milliseconds


def paintings(rows):
    """All paintings side by side, a frame per stroke.

    Args:
        rows: list of (title, answer): str, and a dict with `canvases` (strokes, height,
            width) and `windows` (strokes, 4).

    Returns:
        `Animation`: every canvas with the box of the stroke that was just written, and
        at last the finished paintings without.
    """
    strokes = len(rows[0][1]["canvases"])
    frames = [frame(rows, i, strokes) for i in range(strokes)]
    frames.append(frame(rows, None, strokes))
    return Animation(frames, [STROKE] * strokes + [END])


def frame(rows, stroke, strokes):
    """The paintings after a stroke, by its number from 0; None: finished."""
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    width = max(INCHES * columns, 3.2)
    figure = Figure((width, INCHES * 1.15 * lines + 0.7), 100)
    title = "finished" if stroke is None else f"stroke {stroke + 1} of {strokes}"
    figure.suptitle(title, fontsize=11, fontfamily=fonts())
    reason = "box: where this stroke was written" if stroke is not None else ""
    figure.text(0.5, 0.02, reason, ha="center", fontsize=8, fontfamily=fonts())
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, (name, answer) in zip(panels, rows, strict=False):
        show(panel, answer["canvases"][-1 if stroke is None else stroke])
        if stroke is not None:
            outline(panel, answer["windows"][stroke], BOX)
        panel.set_title(f"seed {name}", fontsize=9, fontfamily=fonts())
    figure.subplots_adjust(0.02, 0.12, 0.98, 0.82, wspace=0.08, hspace=0.25)
    return pixels_of(figure)


def reconstructions(rows):
    """A line per picture: as it was seen, and the canvas after every stroke with where
    the network looked before it and where it wrote.

    Args:
        rows: list of (picture, answer): (height, width), and a dict of `reconstruct`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    strokes = len(rows[0][1]["canvases"])
    lines = len(rows)
    figure = Figure((1.1 * (strokes + 1), 1.45 * lines + 0.45), 100)
    panels = figure.subplots(lines, strokes + 1, squeeze=False)
    style = {"fontsize": 8, "fontfamily": fonts()}
    for line, (picture, answer) in zip(panels, rows, strict=True):
        for panel in line:
            panel.set_axis_off()
        show(line[0], picture)
        line[0].set_title(f"seen\n{answer['bound']:.0f} nats", **style)
        for i, panel in enumerate(line[1:]):
            show(panel, answer["canvases"][i])
            outline(panel, answer["read_windows"][i], LOOK)
            outline(panel, answer["windows"][i], BOX)
            panel.set_title(f"stroke {i + 1}\nKL {answer['kl'][i]:.1f}", **style)
    reason = "blue: where it looked before the stroke; orange: where it wrote"
    figure.text(0.5, 0.08 / (1.45 * lines + 0.45), reason, ha="center", **style)
    figure.subplots_adjust(
        0.01, 0.3 / (1.45 * lines + 0.45), 0.99, 1 - 0.4 / (1.45 * lines + 0.45)
    )
    return figure


def between(rows):
    """A line per pair: from one picture to the other.

    Args:
        rows: list of (picture, answer), the dict with `between` (n, height, width).
    """
    count = len(rows[0][1]["between"])
    figure = Figure((1.1 * count, 1.1 * len(rows) + 0.4), 100)
    panels = figure.subplots(len(rows), count, squeeze=False)
    for line, (_, answer) in zip(panels, rows, strict=True):
        for panel, picture in zip(line, answer["between"], strict=True):
            panel.set_axis_off()
            show(panel, picture)
    title = "the first picture painted anew, the way, and the second"
    figure.suptitle(title, fontsize=9, fontfamily=fonts())
    figure.subplots_adjust(0.01, 0.02, 0.99, 1 - 0.35 / (1.1 * len(rows) + 0.4))
    return figure


def show(panel, picture):
    panel.imshow(picture, "gray", vmin=0, vmax=1)


def outline(panel, box, colour):
    """A box, kept inside of the panel so far that it can be seen."""
    height, width = panel.images[0].get_size()
    left, right = np.clip(box[[0, 2]], 0, width)
    top, bottom = np.clip(box[[1, 3]], 0, height)
    place = (left - 0.5, top - 0.5)  # a pixel's middle is a whole number
    size = (right - left, bottom - top)
    panel.add_patch(Rectangle(place, *size, fill=False, color=colour, linewidth=1.5))
