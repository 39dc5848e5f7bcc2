"""Pictures of what a model did; functions return figures and never show them."""

import base64
import csv
import dataclasses
import functools
import importlib.util
import io
import math
import pathlib
import textwrap
import unicodedata

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ..errors import UserError
from ..files.whole import replacing

COLUMNS = 4  # pictures side by side
WORD, PANEL, CAPTION = 1.0, 1.5, 0.5  # inches: width of a word; of a panel; of titles
READING = (
    "Bright: where the network looked, of a sentence before each word of it (cyan: at "
    "least half the maximum). Dark: where it did not."
)
NEEDS_GIF = "An animation expected a file with the ending .gif"
DARKEST = 0.25  # what remains of the picture where the network did not look
CELL, EDGE = (0.085, 0.17), 0.2  # inches, of a character and around coloured text
# Pale enough for black letters.
LOW_HIGH = LinearSegmentedColormap.from_list(
    "low_high", ["#6a9cff", "#ffffff", "#ff7466"]
)


@dataclasses.dataclass(frozen=True)
class Animation:
    """Pictures that follow one another, again and again; a notebook shows them moving.

    frames: uint8 arrays (height, width, 3) of one shape, at least one.
    milliseconds: how long each is seen; a number for all, or one per frame. A GIF
        counts hundredths of a second, and browsers slow down what is faster than 20.

    Raises:
        ValueError: the frames are none, or of other types or shapes, or a time is
            missing or too short.
    """

    frames: list
    milliseconds: int | list = 500

    def __post_init__(self):
        kinds = {(np.shape(f), np.asarray(f).dtype.name) for f in self.frames}
        if len(kinds) != 1 or not all(
            len(shape) == 3 and shape[2] == 3 and dtype == "uint8"
            for shape, dtype in kinds
        ):
            raise ValueError(
                "Expected frames uint8 (height, width, 3) of one shape, received "
                f"{sorted(kinds) or 'none'}."
            )
        times = np.atleast_1d(self.milliseconds)
        if times.shape not in ((1,), (len(self.frames),)) or times.min() < 20:
            raise ValueError(
                f"Expected the milliseconds of each of {len(self.frames)} frames, or "
                f"one number for all, 20 at least; received {self.milliseconds}."
            )

    def gif(self):
        """The bytes of a GIF that repeats for ever."""
        first, *others = (Image.fromarray(np.asarray(frame)) for frame in self.frames)
        times = np.broadcast_to(self.milliseconds, len(self.frames))
        file = io.BytesIO()
        first.save(
            file,
            "GIF",
            save_all=True,
            append_images=others,
            duration=[int(time) for time in times],
            loop=0,
        )
        return file.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {
            "image/gif": base64.b64encode(self.gif()).decode(),
            "text/plain": f"Animation of {len(self.frames)} frames",
        }


def pixels_of(figure):
    """A figure as a frame of an `Animation`, uint8 (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def write(picture, path):
    """What `Task.draw` gave into a file, whole or not at all.

    Args:
        picture: a matplotlib Figure, written in the format of the ending; or an
            `Animation`, written as .gif.
        path: of the file, str or Path.

    Raises:
        UserError: an animation into a file that is no .gif, or it cannot be written.
    """
    if isinstance(picture, Animation):
        if not is_gif(path):
            raise UserError(f"{NEEDS_GIF}; received {path}.")
        content = picture.gif()
        with replacing(path, len(content)) as temporary:
            temporary.write_bytes(content)
    else:
        with replacing(path) as temporary:
            picture.savefig(temporary)


def is_gif(path):
    return str(path).lower().endswith(".gif")


def attention_figure(picture, words, weights, grid=None, title=None):
    """Where the network looked for every word, a line for each.

    First comes the picture. Below, beside every word, it is lit by the map of that
    word: scaled up to the picture's size, and as bright as the picture itself where the
    map is highest. A cyan line goes round what weighs at least half of that.

    Args:
        picture: uint8 (height, width, 3).
        words: list of T str.
        weights: float (T, L), not negative; L regions, row by row.
        grid: (rows, columns) of the regions, with rows * columns = L; None: a square.
        title: a line above, such as the caption and its score.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    return attention_sheet([(picture, words, weights, title)], grid)


def attention_sheet(rows, grid=None):
    """`attention_figure` of several pictures, side by side.

    Args:
        rows: list of (picture, words, weights) or (picture, words, weights, title).
        grid: as in `attention_figure`, the same for all.
    """
    if not rows:
        raise ValueError("Expected at least one picture to draw, received none.")
    blocks = [rows[i : i + COLUMNS] for i in range(0, len(rows), COLUMNS)]
    lines = [1 + max(len(row[1]) for row in block) for block in blocks]
    heights = [PANEL * count + CAPTION for count in lines]
    columns = min(COLUMNS, len(rows))
    size = (WORD + PANEL) * columns, sum(heights) + CAPTION
    figure = Figure(size, 120, layout="constrained")
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)
    for part, count, block in zip(parts[:, 0], lines, blocks, strict=True):
        _draw_block(part, count, columns, block, grid)
    figure.supxlabel(textwrap.fill(READING, 24 * columns), fontsize=8)
    return figure


def curves_figure(history):
    """How training went: one panel for each quantity, with its validation twin.

    Args:
        history: a dict of name -> list of numbers, one per round, or the path of a
            CSV file with such columns. "loss" and "val_loss" share a panel; a column
            "round" (or "epoch", "step") gives the horizontal axis.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not isinstance(history, dict):
        history = _read_columns(history)
    axis = next((n for n in ("round", "epoch", "step") if n in history), None)
    series = {n: v for n, v in history.items() if n not in (axis, "seconds") and len(v)}
    if not series:
        raise ValueError(f"Expected columns of figures, received {list(history)}.")
    panels = list(dict.fromkeys(name.removeprefix("val_") for name in series))
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure((3.6 * columns, 2.6 * rows), dpi=120, layout="constrained")
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        for name, label in ((panel, "training"), (f"val_{panel}", "validation")):
            if name in series:
                values = series[name]
                steps = history[axis] if axis else range(1, len(values) + 1)
                axes.plot(steps, values, marker=".", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(panel.replace("_", " "), fontsize=10)
        axes.set_xlabel(axis or "round", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def coloured_text(panels, note="", columns=90):
    """Texts whose every character stands on the colour of a number.

    Args:
        panels: list of (title, text, values, marked): str; str of n characters; float
            (n,), from 0 for blue over 0.5 for white to 1 for red; bool (n,), the
            characters to underline, or None.
        note: what stands above the first panel.
        columns: characters of a line; a longer one is folded. A Chinese one takes two.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: a panel has not one value per character.
    """
    headings, glyphs, underlines, colours = [], [], [], []
    for title, text, values, marked in [(note, "", [], None), *panels]:
        marked = np.zeros(len(text), bool) if marked is None else marked
        if not len(text) == len(values) == len(marked):
            raise ValueError(
                f"Expected a value and a mark for each of {len(text)} characters, "
                f"received {len(values)} and {len(marked)}."
            )
        lines = textwrap.wrap(title, int(1.2 * columns))  # Its letters are slimmer.
        headings += enumerate(lines, len(colours))
        top = len(colours) + len(lines)
        places = _fold(text, columns)
        rows = len(lines) + max((y + 1 for _, y, _ in places), default=0) + 1
        colours += [np.full(columns, np.nan) for _ in range(rows)]
        for character, (x, y, wide), value, mark in zip(
            text, places, values, marked, strict=True
        ):
            colours[top + y][x : x + wide] = value
            if not character.isspace():
                glyphs.append((x + wide / 2, top + y, drawable(character)))
            if mark:
                underlines.append((top + y + 0.95, x, x + wide))

    width, height = CELL[0] * columns, CELL[1] * len(colours)
    figure = Figure((width + 2 * EDGE, height + 2 * EDGE), dpi=120)
    full = figure.get_size_inches()
    axes = figure.add_axes((*EDGE / full, *(full - 2 * EDGE) / full))
    axes.set_axis_off()
    extent = (0, columns, len(colours), 0)
    axes.imshow(colours, LOW_HIGH, aspect="auto", vmin=0, vmax=1, extent=extent)
    style = {"fontsize": 9, "va": "center", "parse_math": False}
    for row, line in headings:
        axes.text(0, row + 0.5, line, fontfamily=fonts(), **style)
    family = ["DejaVu Sans Mono", *fonts()]
    for x, row, glyph in glyphs:
        axes.text(x, row + 0.5, glyph, ha="center", fontfamily=family, **style)
    axes.hlines(*np.array(underlines or [(0, 0, 0)]).T, colors="black", linewidth=0.8)
    return figure


@functools.cache
def fonts():
    """Font families for any text: matplotlib's own, then one that has Chinese.

    It comes with the package zhplot (Noto Sans SC, SIL Open Font License), whether
    or not the machine has a Chinese font of its own. Importing that package would
    change matplotlib's defaults for the whole process, so only its file is used.
    """
    package = importlib.util.find_spec("zhplot")
    if package is None:
        raise ImportError(
            "expected the package zhplot, whose font has Chinese; pip install zhplot"
        )
    folder = pathlib.Path(package.submodule_search_locations[0]) / "fonts"
    file = folder / "NotoSansSC-Regular.ttf"
    font_manager.fontManager.addfont(file)
    return ["DejaVu Sans", font_manager.get_font(file).family_name]


def _maps(picture, words, weights, grid):
    """Weights (T, L) -> list of T maps float (height, width), 1 where highest."""
    weights = np.asarray(weights, np.float32)
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"Expected a picture (height, width, 3), received {picture.shape}."
        )
    if weights.ndim != 2 or len(weights) != len(words):
        raise ValueError(
            f"Expected weights (words, regions) for {len(words)} words, received the "
            f"shape {weights.shape}."
        )
    regions = weights.shape[1]
    rows, columns = grid or (math.isqrt(regions), math.isqrt(regions))
    if rows * columns != regions:
        raise ValueError(
            f"Expected grid=(rows, columns) with {regions} regions, received {grid}"
            + ("; they are no square." if grid is None else ".")
        )
    height, width = picture.shape[:2]
    maps = []
    for row in weights:
        small = Image.fromarray(row.reshape(rows, columns))
        large = small.resize((width, height), Image.Resampling.BILINEAR)
        large = np.clip(np.asarray(large), 0, None)
        maps.append(large / max(large.max(), 1e-12))
    return maps


def _fold(text, columns):
    """Where each character stands: list of (column, line, columns that it takes)."""
    places, x, y = [], 0, 0
    for character in text:
        wide = 1 + (unicodedata.east_asian_width(character) in ("W", "F"))
        if x + wide > columns:
            x, y = 0, y + 1
        places.append((x, y, wide))
        x, y = (0, y + 1) if character == "\n" else (x + wide, y)
    return places


@functools.cache
def drawable(character):
    """The character, or a box where no font has it, of which matplotlib would warn."""
    for family in fonts():
        if font_manager.get_font(font_manager.findfont(family)).get_char_index(
            ord(character)
        ):
            return character
    return "\N{WHITE SQUARE}"


def _draw_block(figure, lines, columns, rows, grid):
    """Pictures side by side, with their words below them."""
    panels = figure.subplots(
        lines, 2 * columns, squeeze=False, width_ratios=[WORD, PANEL] * columns
    )
    for panel in panels.ravel():
        panel.set_axis_off()
    for i, (picture, words, weights, *title) in enumerate(rows):
        maps = _maps(picture, words, weights, grid)
        left, right = panels[:, 2 * i], panels[:, 2 * i + 1]
        right[0].imshow(picture)
        _write(left[0], "the picture", style="italic")
        if title and title[0]:
            wrapped = "\n".join(textwrap.wrap(title[0], 20))
            # Else a caption with two dollar signs would be read as TeX.
            right[0].set_title(
                wrapped, fontsize=9, fontfamily=fonts(), parse_math=False
            )
        for label, panel, word, lit in zip(
            left[1:], right[1:], words, maps, strict=False
        ):
            shade = DARKEST + (1 - DARKEST) * lit[:, :, None]
            panel.imshow(np.uint8(np.round(picture * shade)))
            panel.contour(lit, [0.5], colors="cyan", linewidths=0.8)
            _write(label, word)


def _write(axes, word, **style):
    """A word before its panel."""
    style = {"ha": "right", "va": "center", "fontsize": 10, **style}
    axes.text(0.95, 0.5, word, fontfamily=fonts(), parse_math=False, **style)


def _read_columns(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    # A round may lack a figure: an empty cell, a gap in its line.
    return {name: [float(row[name] or "nan") for row in rows] for name in names}
