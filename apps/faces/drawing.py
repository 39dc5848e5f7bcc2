"""The builtin data: faces of drawn persons, in many poses, moods and lights."""

import dataclasses
import io
import random

from PIL import Image, ImageDraw

from ..core.data.drawn import FINER, SIDE

SKINS = ("#f6d7c3", "#e8b894", "#c98d62", "#9a6240", "#6b4229")
HAIRS = ("#20160f", "#4b2e1a", "#8a5a2b", "#c9a35a", "#9a9a9a", "#a23c1c")
EYES = ("#2d1c10", "#3f6fa8", "#4d7d4a")


@dataclasses.dataclass(frozen=True)
class Person:
    """What stays the same in all pictures of a person; lengths are shares of the
    picture's side."""

    skin: str
    hair: str
    iris: str
    width: float
    height: float
    fringe: float  # how far the hair comes down
    long_hair: bool
    gap: float  # between the eyes' centres, half of it
    eye: float
    brow: float  # its thickness
    tilt: float  # of the brows
    nose: float
    mouth: float
    lips: float
    glasses: bool
    beard: bool


def person(name):
    """The `Person` of a name, always the same."""
    draw = random.Random(f"saccade person, {name}").random

    def between(low, high):
        return low + (high - low) * draw()

    def one_of(items):
        return items[int(draw() * len(items))]

    return Person(
        skin=one_of(SKINS),
        hair=one_of(HAIRS),
        iris=one_of(EYES),
        width=between(0.25, 0.34),
        height=between(0.35, 0.43),
        fringe=between(0.04, 0.2),
        long_hair=draw() < 0.4,
        gap=between(0.1, 0.155),
        eye=between(0.03, 0.055),
        brow=between(0.008, 0.03),
        tilt=between(-0.03, 0.03),
        nose=between(0.06, 0.15),
        mouth=between(0.07, 0.15),
        lips=between(0.01, 0.035),
        glasses=draw() < 0.3,
        beard=draw() < 0.25,
    )


def pictures(name, count):
    """So many pictures of a person, bytes of PNG, SIDE x SIDE each."""
    rng = random.Random(f"saccade pictures, {name}")
    return [picture(person(name), rng) for _ in range(count)]


def picture(who, rng):
    """One picture: the head turned, tilted and moved, a mood, and a light."""

    def between(low, high):
        return low + (high - low) * rng.random()

    side, light = SIDE * FINER, between(0.7, 1.1)
    grey = int(between(150, 230))
    canvas = Image.new("RGB", (side, side), (grey, grey, grey))
    face = Face(canvas, who, between(0.9, 1.05), between(-0.035, 0.035))
    face.draw(mood=between(-1, 1), lids=between(0.45, 1))
    moved = (0.04 * side * between(-1, 1), 0.04 * side * between(-1, 1))
    canvas = canvas.rotate(
        between(-8, 8),
        Image.Resampling.BILINEAR,
        translate=moved,
        fillcolor=(grey, grey, grey),
    )
    canvas = canvas.resize((SIDE, SIDE), Image.Resampling.BOX)
    canvas = canvas.point(lambda value: min(255, round(value * light)))
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


class Face:
    """A face in the middle of a canvas.

    Args:
        canvas: a square `PIL.Image`. who: a `Person`. size: 1 for the usual one.
        turn: by how much eyes, nose and mouth are moved to a side, share of the side.
    """

    def __init__(self, canvas, who, size, turn):
        self.pen, self.side = ImageDraw.Draw(canvas), canvas.width
        self.who, self.size, self.turn = who, size, turn

    def at(self, x, y):
        """Pixels of a place, from the middle of the face, in shares of the side."""
        return tuple(self.side * (0.5 + self.size * v) for v in (x, y + 0.03))

    def oval(self, x, y, across, down, fill, **style):
        """An ellipse around a place, of two radii."""
        box = (*self.at(x - across, y - down), *self.at(x + across, y + down))
        self.pen.ellipse(box, fill=fill, **style)

    def line(self, points, fill, width):
        """A line through places, of a width in shares of the side."""
        points = [self.at(x, y) for x, y in points]
        self.pen.line(points, fill, max(1, round(width * self.side)), joint="curve")

    def draw(self, mood, lids):
        """All of it. mood: -1 sad to 1 glad; lids: share of the eyes that is open."""
        who = self.who
        self.oval(0, -0.06, who.width + 0.045, who.height, who.hair)
        if who.long_hair:
            self.oval(0, 0.1, who.width + 0.07, who.height, who.hair)
        self.oval(0, 0, who.width, who.height - 0.02, who.skin)
        if who.beard:
            box = (*self.at(-who.width, -0.1), *self.at(who.width, who.height - 0.02))
            self.pen.chord(box, 20, 160, fill=who.hair)
        top = (*self.at(-who.width, 0.02 - who.height), *self.at(who.width, 0.25))
        angle = 90 * (1 - who.fringe / 0.2) * 0.6
        self.pen.chord(top, 180 + angle, 360 - angle, fill=who.hair)
        for flip in (-1, 1):
            self.eye(self.turn + flip * who.gap, flip, lids)
        nose = [(self.turn, -0.04), (1.6 * self.turn + 0.02, who.nose - 0.03)]
        self.line([*nose, (1.6 * self.turn - 0.02, who.nose - 0.02)], "#6e4a38", 0.012)
        curve, y = 0.045 * mood, 0.2
        x = 1.2 * self.turn
        smile = [(x - who.mouth, y - curve), (x, y + curve), (x + who.mouth, y - curve)]
        self.line(smile, "#9c3a3a", who.lips)

    def eye(self, x, flip, lids):
        """An eye with its brow; flip: -1 for the left one."""
        who, y = self.who, -0.06
        self.oval(x, y, 1.5 * who.eye, who.eye * lids, "#ffffff")
        self.oval(x + 0.3 * self.turn, y, 0.8 * who.eye, 0.9 * who.eye * lids, who.iris)
        brow = y - who.eye - 0.03
        inner, outer = x - flip * 1.3 * who.eye, x + flip * 1.5 * who.eye
        ends = [(inner, brow + who.tilt), (outer, brow - who.tilt)]
        self.line(ends, who.hair, who.brow)
        if who.glasses:
            self.oval(x, y, 2 * who.eye, 1.8 * who.eye, None, outline="#111", width=5)
