"""Drawn shapes: scenes for builtin data of several apps, the same on every machine."""

import dataclasses
import io
import math

from PIL import Image, ImageDraw

COLOURS = {
    "red": (214, 40, 40),
    "green": (46, 160, 67),
    "blue": (38, 84, 214),
    "yellow": (250, 204, 21),
    "purple": (138, 43, 190),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
SIDE, FINER = 64, 4  # pixels; drawn this many times finer and scaled down


@dataclasses.dataclass(frozen=True)
class Object:
    """A shape in a picture."""

    colour: str
    shape: str
    x: float  # of the centre, share of the side
    y: float
    size: float

    def __str__(self):
        return f"{self.colour} {self.shape}"


def box(o):
    """(x0, y0, x1, y1) in shares of the side."""
    half = o.size / 2
    return (o.x - half, o.y - half, o.x + half, o.y + half)


def draw(scene, background):
    """The bytes of a PNG, SIDE x SIDE; scene: list of `Object`."""
    side = SIDE * FINER
    picture = Image.new("RGB", (side, side), background)
    pen = ImageDraw.Draw(picture)
    for o in scene:
        x0, y0, x1, y1 = (side * edge for edge in box(o))
        colour = COLOURS[o.colour]
        if o.shape == "circle":
            pen.ellipse((x0, y0, x1, y1), fill=colour)
        else:
            outline = [
                (x0 + (x1 - x0) * x, y0 + (y1 - y0) * y) for x, y in OUTLINES[o.shape]
            ]
            pen.polygon(outline, fill=colour)
    file = io.BytesIO()
    picture.resize((SIDE, SIDE), Image.Resampling.BOX).save(file, "PNG")
    return file.getvalue()


def _star():
    radii = (0.5, 0.21)
    points = []
    for i in range(10):
        angle = math.pi * (i / 5 - 0.5)
        radius = radii[i % 2]
        points.append((0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)))
    return points


OUTLINES = {  # in a unit box
    "square": [(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95)],
    "triangle": [(0.5, 0.02), (1, 0.95), (0, 0.95)],
    "star": _star(),
    "cross": [
        (0.33, 0),
        (0.67, 0),
        (0.67, 0.33),
        (1, 0.33),
        (1, 0.67),
        (0.67, 0.67),
        (0.67, 1),
        (0.33, 1),
        (0.33, 0.67),
        (0, 0.67),
        (0, 0.33),
        (0.33, 0.33),
    ],
}


def example():
    """The bytes of one picture: a red circle left of a blue square."""
    scene = [
        Object("red", "circle", 0.3, 0.5, 0.3),
        Object("blue", "square", 0.7, 0.5, 0.3),
    ]
    return draw(scene, (245, 245, 245))
