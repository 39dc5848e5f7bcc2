"""The looks at a picture, one after the other, as an animation."""

import logging

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..core.report.plot import Animation, fonts, pixels_of

log = logging.getLogger("saccade")

AT_MOST = 4  # pictures below each other
EACH, LAST = 700, 2500  # milliseconds of a look, and of the last
DPI = 90


def animation(config, rows):
    """Left the picture with the boxes of the look and the path so far; in the middle
    what the network sees; right what it believes.

    Args:
        config: a `Config`.
        rows: list of (picture, answer): float (size, size), and a dict as an answer of
            the app, with `truth` where the right label is known. The first AT_MOST are
            drawn.

    Returns:
        `plot.Animation`, a frame for each look.
    """
    if len(rows) > AT_MOST:
        log.info("Drawn are the first %d of %d pictures.", AT_MOST, len(rows))
    rows = rows[:AT_MOST]
    looks = max(len(answer["path"]) for _, answer in rows)
    frames = [pixels_of(figure(config, rows, look)) for look in range(looks)]
    return Animation(frames, [EACH] * (looks - 1) + [LAST])


def figure(config, rows, look):
    """One frame: `matplotlib.figure.Figure`."""
    drawn = Figure((6.6, 2.5 * len(rows)), DPI, layout="constrained")
    panels = drawn.subplots(len(rows), 3, squeeze=False, width_ratios=[1.0, 0.75, 1.0])
    for (left, middle, right), (picture, answer) in zip(panels, rows, strict=True):
        now = min(look, len(answer["path"]) - 1)
        _draw_picture(config, left, picture, answer, now)
        _draw_patches(config, middle, picture, answer["path"][now])
        _draw_belief(right, answer, now)
    return drawn


def pixel_of(place, side):
    """Where a place from -1 to 1 lies, in pixels; 0 is the middle of the first."""
    return (place + 1) * side / 2 - 0.5


def _draw_picture(config, axes, picture, answer, now):
    axes.set_axis_off()
    axes.imshow(picture, "gray", vmin=0, vmax=1)
    path = pixel_of(np.asarray(answer["path"]), len(picture))
    colour = "#ffb000"
    axes.plot(*path[: now + 1].T, "-o", color="#58a6ff", linewidth=1.2, markersize=3)
    for scale in range(config.scales):
        side = config.patch * 2**scale
        corner = path[now] - side / 2
        axes.add_patch(Rectangle(corner, side, side, fill=False, color=colour, lw=1.5))
    axes.set_xlim(-0.5, len(picture) - 0.5)
    axes.set_ylim(len(picture) - 0.5, -0.5)
    axes.set_title(f"look {now + 1} of {len(path)}", fontsize=10)


def _draw_patches(config, axes, picture, place):
    """What the sensor gives, the finest above, as large as each other."""
    axes.set_axis_off()
    axes.set_title("what it sees", fontsize=10)
    patches = [
        patch_of(picture, place, config.patch, 2**scale)
        for scale in range(config.scales)
    ]
    gap = np.full((1, config.patch), np.nan)
    column = [part for patch in patches for part in (patch, gap)][:-1]
    axes.imshow(np.concatenate(column), "gray", vmin=0, vmax=1)


def patch_of(picture, place, size, factor):
    """A patch as the nearest whole pixels give it, float (size, size)."""
    side = size * factor
    padded = np.pad(picture, side)
    x, y = (
        int(np.clip(np.round(at - side / 2 + 0.5), -side, len(picture))) + side
        for at in pixel_of(np.asarray(place), len(picture))
    )
    cut = padded[y : y + side, x : x + side]
    return cut.reshape(size, factor, size, factor).mean((1, 3))


def _draw_belief(axes, answer, now):
    style = {"fontfamily": fonts(), "parse_math": False}
    labels, scores = answer["labels"], answer["scores"][now]
    labels = [label or "end" for label in labels]  # of several digits the last class
    best = int(np.argmax(scores))
    title, colour = f"it believes: {labels[best]} ({scores[best]:.2f})", "black"
    if "truth" in answer:
        right = labels[best] == answer["truth"]
        colour = "#1a7f37" if right else "#cf222e"
        title += ", right" if right else f", is {answer['truth']}"
    axes.set_title(title, fontsize=10, color=colour, **style)
    colours = ["#8c959f"] * len(labels)
    colours[best] = colour if "truth" in answer else "#0969da"
    axes.barh(range(len(labels)), scores, color=colours)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 1])
    axes.set_yticks(range(len(labels)), labels, fontsize=8, **style)
    axes.invert_yaxis()
