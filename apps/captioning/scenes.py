"""The builtin data: drawn scenes of coloured shapes, and what is right to say."""

import itertools
import random

from ..core.data import drawn
from ..core.data.rows import Examples, Splits
from ..core.data.splits import hash_of

SIZES = {"small": 0.26, "large": 0.42}  # diameter, share of the side


def builtin(config):
    """Scenes of one to three coloured shapes and every sentence that is right.

    - one object: its size, "a small red circle";
    - two: how they lie to each other, "a red circle above a blue square" or "a blue
      square below a red circle", beside each other: "left of", "right of";
    - three: a list from left to right, "a red circle a blue square and a green star".

    A sentence is right when it is one of the picture's references, all of which are
    listed. Which objects may meet is decided by a hash: some pairs occur in the test
    split only, some in validation only, so a caption must be put together from words
    that never stood together in training. Single objects occur in training only.

    The scenes are the same for every seed and on every machine.
    """
    return Splits(
        _scenes("train", config.builtin_size),
        _scenes("validation", max(20, config.builtin_size // 15)),
        _scenes("test", max(40, config.builtin_size // 10)),
    )


def _scenes(split, count):
    rng = random.Random(f"saccade scenes, {split}")
    numbers = (1, 2, 2, 3) if split == "train" else (2, 2, 3)
    pictures, captions, boxes = [], [], []
    while len(pictures) < count:
        number = _pick(rng, numbers)
        names = _choose(rng, number)
        while _split_of(names) != split:
            names = _choose(rng, number)
        scene = _arrange(rng, names)
        grey = 225 + int(30 * rng.random())
        pictures.append(drawn.draw(scene, (grey, grey, grey)))
        captions.append(sentences(scene))
        boxes.append([{"word": o.shape, "box": drawn.box(o)} for o in scene])
    return Examples(image=pictures, captions=captions, boxes=boxes)


def _pick(rng, items):
    # Of Python's generators only `random()` promises the same numbers in every version.
    return items[int(rng.random() * len(items))]


def _choose(rng, number):
    """(colour, shape) of as many objects, all different."""
    names = []
    while len(names) < number:
        name = _pick(rng, tuple(drawn.COLOURS)), _pick(rng, drawn.SHAPES)
        if name not in names:
            names.append(name)
    return names


def _split_of(names):
    """Where a scene belongs, by the most held out of its pairs of objects."""
    words = sorted(f"{colour} {shape}" for colour, shape in names)
    tenths = [hash_of(f"{a} {b}") % 10 for a, b in itertools.combinations(words, 2)]
    if 0 in tenths:
        return "test"
    return "validation" if 1 in tenths else "train"


def _arrange(rng, names):
    """Give the objects places, until they lie clearly; from left to right."""
    number = len(names)
    size = (
        _pick(rng, tuple(SIZES.values())) if number == 1 else 0.28 + 0.06 * rng.random()
    )
    while True:
        places = [
            (size / 2 + (1 - size) * rng.random(), size / 2 + (1 - size) * rng.random())
            for _ in names
        ]
        if _lie_clearly(places, size):
            break
    objects = [
        drawn.Object(colour, shape, x, y, size)
        for (colour, shape), (x, y) in zip(names, places, strict=True)
    ]
    return sorted(objects, key=lambda o: o.x)


def _lie_clearly(places, size):
    """Whether nothing touches, and no sentence about it could be disputed."""
    for (x0, y0), (x1, y1) in itertools.combinations(places, 2):
        across, down = abs(x0 - x1), abs(y0 - y1)
        if max(across, down) < 1.05 * size:
            return False  # They touch.
        if len(places) == 2 and max(across, down) < 2 * min(across, down):
            return False  # Beside each other, or one above the other?
        if len(places) == 3 and across < 0.7 * size:
            return False  # Which one is further left?
    return True


def sentences(scene):
    """Every right sentence about a scene (objects from left to right)."""
    if len(scene) == 1:
        size = next(name for name, size in SIZES.items() if size == scene[0].size)
        return [f"a {size} {scene[0]}"]
    if len(scene) == 3:
        return [f"a {scene[0]} a {scene[1]} and a {scene[2]}"]
    left, right = scene
    if right.x - left.x > abs(right.y - left.y):
        return [f"a {left} left of a {right}", f"a {right} right of a {left}"]
    above, below = sorted(scene, key=lambda o: o.y)
    return [f"a {above} above a {below}", f"a {below} below a {above}"]
