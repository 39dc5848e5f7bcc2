"""The builtin data: drawn shapes, each of its own colour, and questions about them."""

import collections
import math
import random

from ..core.data import drawn
from ..core.data.rows import Examples, Splits
from ..core.data.splits import by_hash

SIZE = 0.2  # of an object, share of the picture's side
SHAPES = ("circle", "square")
ABOUT_ONE, RELATION, HELD_OUT = "one object", "relation", "held out"
QUESTIONS = {
    "shape": "what shape is the {} object?",
    "left": "is the {} object on the left?",
    "top": "is the {} object at the top?",
    "there": "is there a {} object?",
    "nearest": "what shape is nearest to the {} object?",
    "farthest": "what shape is farthest from the {} object?",
    "count": "how many objects have the shape of the {} one?",
}
RELATIONS = ("nearest", "farthest", "count")
# Of these a colour and a shape meet in the test split only. Not of "shape", where the
# shape is the answer, nor of "there", where it does not matter.
WITH_HELD_OUT = ("left", "top", *RELATIONS)


def builtin(config):
    """Pictures of up to `config.objects` circles and squares, no two of one colour,
    with one question of every form about each, as Sort-of-CLEVR has them (Santoro et
    al. 2017).

    The columns are `image`, `question`, `answers`, a list of one, and `type`: "one
    object", "relation", or in the test split "held out", of a form of question that in
    training never asks for an object of this colour and shape. All answers of a form
    are about as frequent. The same for every seed and on every machine.
    """
    rng = random.Random("saccade questions")
    parts = {"train": [], "validation": [], "test": []}
    asked = {name: collections.Counter() for name in QUESTIONS}
    for number in range(config.builtin_size):
        split = by_hash(config.split, f"picture {number}")
        scene = arrange(rng, 2 + int(rng.random() * (config.objects - 1)))
        grey = 225 + int(30 * rng.random())
        picture = drawn.draw(scene, (grey, grey, grey))
        for form in QUESTIONS:
            found = ask(rng, scene, form, asked[form], split)
            if found is not None:
                parts[split].append((picture, *found))
    return Splits(*(as_examples(rows) for rows in parts.values()))


def as_examples(rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    return Examples(
        **dict(zip(("image", "question", "answers", "type"), columns, strict=True))
    )


def arrange(rng, number):
    """So many objects that lie apart: list of `drawn.Object`."""
    colours, places = list(drawn.COLOURS), []
    while len(places) < number:
        x, y = (SIZE / 2 + (1 - SIZE) * rng.random() for _ in range(2))
        if all(max(abs(x - a), abs(y - b)) > 1.1 * SIZE for a, b in places):
            places.append((x, y))
    scene = []
    for x, y in places:
        colour = colours.pop(int(rng.random() * len(colours)))
        shape = SHAPES[int(rng.random() * len(SHAPES))]
        scene.append(drawn.Object(colour, shape, x, y, SIZE))
    return scene


def ask(rng, scene, form, counts, split):
    """A question of a form about a scene: (question, [answer], type), or None where all
    such questions are held out of the split.

    counts: `collections.Counter` of the answers so far; of all objects one with the
    rarest answer is asked for.
    """
    candidates = []
    for o in scene:
        held_out = is_held_out(form, o)
        if form != "there" and (split == "test" or not held_out):
            candidates.append((o.colour, answer(form, o, scene), held_out))
    if form == "there":
        seen = {o.colour for o in scene}
        candidates = [
            (colour, "yes" if colour in seen else "no", False)
            for colour in drawn.COLOURS
        ]
    if not candidates:
        return None
    keyed = [(counts[c[1]], rng.random(), c) for c in candidates]
    colour, right, held_out = min(keyed, key=lambda item: item[:2])[2]
    counts[right] += 1
    kind = RELATION if form in RELATIONS else ABOUT_ONE
    return QUESTIONS[form].format(colour), [right], HELD_OUT if held_out else kind


def is_held_out(form, o):
    """Whether a form of question asks for this colour and shape in the test split only:
    one pair of each form."""
    if form not in WITH_HELD_OUT:
        return False
    place = WITH_HELD_OUT.index(form)
    return (o.colour, o.shape) == (
        list(drawn.COLOURS)[place],
        SHAPES[place % len(SHAPES)],
    )


def answer(form, o, scene):
    """The right one to a question about an object of a scene."""
    if form == "shape":
        return o.shape
    if form in ("left", "top"):
        return "yes" if (o.x if form == "left" else o.y) < 0.5 else "no"
    if form == "count":
        return str(sum(other.shape == o.shape for other in scene))
    others = [other for other in scene if other is not o]
    choose = min if form == "nearest" else max
    return choose(others, key=lambda b: math.dist((o.x, o.y), (b.x, b.y))).shape
