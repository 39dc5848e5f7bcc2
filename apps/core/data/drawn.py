"""Drawn shapes and digits: builtin data of several apps, the same on every machine."""

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


def _arc(x, y, width, height, first, last):
    """Points of an ellipse around (x, y), from one angle to another, in degrees:
    0 is right, 90 below."""
    angles = [math.radians(first + (last - first) * i / 16) for i in range(17)]
    return [(x + width / 2 * math.cos(a), y + height / 2 * math.sin(a)) for a in angles]


DIGITS = {  # strokes in a unit box, x to the right, y down
    "0": [_arc(0.5, 0.5, 0.62, 0.92, 0, 360)],
    "1": [[(0.32, 0.25), (0.55, 0.04), (0.55, 0.96)]],
    "2": [[*_arc(0.5, 0.3, 0.6, 0.52, 180, 395), (0.18, 0.95), (0.84, 0.95)]],
    "3": [
        [
            *_arc(0.45, 0.27, 0.58, 0.46, 200, 450),
            *_arc(0.45, 0.72, 0.68, 0.46, 270, 510),
        ]
    ],
    "4": [[(0.58, 0.04), (0.14, 0.66), (0.88, 0.66)], [(0.64, 0.36), (0.64, 0.96)]],
    "5": [
        [(0.78, 0.05), (0.3, 0.05), *_arc(0.47, 0.66, 0.64, 0.58, 230, 505)],
    ],
    "6": [[(0.7, 0.04), (0.38, 0.3), *_arc(0.5, 0.68, 0.56, 0.54, 180, 540)]],
    "7": [[(0.17, 0.07), (0.82, 0.07), (0.42, 0.96)]],
    "8": [_arc(0.5, 0.27, 0.5, 0.46, 0, 360), _arc(0.5, 0.72, 0.6, 0.46, 0, 360)],
    "9": [[*_arc(0.5, 0.3, 0.54, 0.52, 0, 360), (0.74, 0.6), (0.56, 0.96)]],
}


def handwritten(draw, digit):
    """The strokes of a digit as a hand would have them: slanted, stretched, shaky.

    Args:
        draw: `random.Random`. digit: one of `DIGITS`.

    Returns:
        list of strokes, each a list of points, about the origin; the digit is about 1
        high.
    """
    slant, turn = draw.uniform(-0.3, 0.3), math.radians(draw.uniform(-12, 12))
    wide, high = draw.uniform(0.7, 1.1), draw.uniform(0.85, 1.1)
    cos, sin = math.cos(turn), math.sin(turn)

    def moved(x, y):
        x, y = x - 0.5 + draw.gauss(0, 0.02), y - 0.5 + draw.gauss(0, 0.02)
        x, y = wide * (x - slant * y), high * y
        return cos * x - sin * y, sin * x + cos * y

    return [[moved(x, y) for x, y in stroke] for stroke in DIGITS[digit]]


def draw_strokes(strokes, side, width, ink, paper):
    """The bytes of a grey PNG, side x side pixels.

    Args:
        strokes: lists of points, in shares of the side. width: of the pen, likewise.
        ink, paper: 0 to 255.
    """
    fine = side * FINER
    picture = Image.new("L", (fine, fine), paper)
    pen, radius = ImageDraw.Draw(picture), width * fine / 2
    for stroke in strokes:
        points = [(x * fine, y * fine) for x, y in stroke]
        pen.line(points, ink, round(2 * radius))
        for x, y in points:  # round ends and joints
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    file = io.BytesIO()
    picture.resize((side, side), Image.Resampling.BOX).save(file, "PNG")
    return file.getvalue()


def draw_digit(draw, digit, side, sizes, room, pens, any_colour=True):
    """The bytes of a PNG: a digit as a hand would draw it, `draw_strokes`.

    Args:
        draw: `random.Random`. digit: one of `DIGITS`. side: in pixels.
        sizes, pens: the least and the greatest height of a digit, and width of its
            strokes, in shares of the side.
        room: how far its middle lies from the picture's at most, likewise.
        any_colour: dark on light or light on dark; else white on black.
    """
    size = draw.uniform(*sizes)
    x, y = (0.5 + draw.uniform(-room, room) for _ in range(2))
    strokes = [
        [(x + size * a, y + size * b) for a, b in stroke]
        for stroke in handwritten(draw, digit)
    ]
    dark, light = draw.randint(0, 60), draw.randint(195, 255)
    if not any_colour:
        ink, paper = 255, 0
    elif draw.random() < 0.5:
        ink, paper = dark, light
    else:
        ink, paper = light, dark
    return draw_strokes(strokes, side, draw.uniform(*pens), ink, paper)


def example():
    """The bytes of one picture: a red circle left of a blue square."""
    scene = [
        Object("red", "circle", 0.3, 0.5, 0.3),
        Object("blue", "square", 0.7, 0.5, 0.3),
    ]
    return draw(scene, (245, 245, 245))
