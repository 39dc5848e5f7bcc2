"""Reviews and their verdicts: builtin, or one's own.

`--data` takes

- `builtin`: reviews from a small grammar in which the order of the words decides, not
  the words: see `builtin`;
- a path: a table (`.csv`, `.tsv`, `.jsonl`), or a folder with exactly one, with a
  column of texts (`--text-column`) and one of labels (`--label-column`): words, or
  numbers as -1, 0, 1, two of them or more; `.tsv` has no quoting; `--split-column`
  names a column with train, val or test.
"""

import random

from ..core.data import labelled, splits
from ..core.data.rows import Examples, Splits

# What is reviewed: the whole, its parts, and what may be said of these.
PRODUCTS = {
    "phone": "camera screen battery sound case speaker",
    "hotel": "room bed staff view breakfast pool",
    "book": "story style ending cover print plot",
    "heater": "tank price manual design timer pump",
}
GOOD = "good great nice fine lovely perfect superb pleasing".split()
BAD = "bad poor awful weak horrid faulty dreadful annoying".split()
STRESS = ["", "", "", "really", "very", "quite"]
BEFORE = [
    "",
    "",
    "i bought it last week :",
    "it came in a blue box and my brother opened it :",
    "to be honest ,",
    "after two months ,",
]
BEHIND = ["", "", "as i told my sister", "for all that i know", "if you want to know"]


def read(config):
    """The reviews that `config.data` names, in three splits."""
    if config.data == "builtin":
        return builtin(config)
    return labelled.read_splits(config)


def builtin(config):
    """Reviews in pairs: the same words in another order, and the other verdict.

    A bag of words is the same for both of a pair, so whoever reads none but the bag is
    right of one of the two, whatever was learned: 50 % of the test split. Both are in
    one split, by a hash of the bag. They are the same for every seed and on every
    machine.
    """
    draw = random.Random("saccade reviews")
    parts = {name: ([], []) for name in ("train", "validation", "test")}
    for _ in range(config.builtin_size // 2):
        positive, negative = pair(draw)
        bag = " ".join(sorted(positive.split()))
        texts, labels = parts[splits.by_hash(config.split, bag)]
        texts += [positive, negative]
        labels += ["positive", "negative"]
    return Splits(*(Examples(text=t, label=v) for t, v in parts.values()))


def pair(draw):
    """A positive and a negative review of the same words, str."""
    product = draw.choice(list(PRODUCTS))
    form = draw.choice([contrast, although, negation, correction, comparison, regret])
    before, behind = draw.choice(BEFORE), draw.choice(BEHIND)
    return [
        " ".join(f"{before} {review} {', ' * bool(behind)}{behind} .".split())
        for review in form(draw, product)
    ]


def parts_of(draw, product):
    """Two different parts of a product."""
    return draw.sample(PRODUCTS[product].split(), 2)


def says(draw, part, is_good):
    """A clause about a part: its verdict, or that it is not the opposite."""
    negated = draw.random() < 0.3
    words = GOOD if is_good != negated else BAD
    how = "not" if negated else draw.choice(STRESS)
    return f"the {part} is {how} {draw.choice(words)}"


def contrast(draw, product):
    """What stands behind the "but" decides."""
    one, other = parts_of(draw, product)
    good, bad = says(draw, one, True), says(draw, other, False)
    return f"{bad} , but {good}", f"{good} , but {bad}"


def although(draw, product):
    """What stands behind the clause with "although" decides."""
    one, other = parts_of(draw, product)
    good, bad = says(draw, one, True), says(draw, other, False)
    return f"although {bad} , {good}", f"although {good} , {bad}"


def negation(draw, product):
    """The "not" turns the word behind it, and no other."""
    one, other = parts_of(draw, product)
    good, bad = draw.choice(GOOD), draw.choice(BAD)
    joint = draw.choice(["and the", ", and the", ", and i think that the"])
    return (
        f"the {one} is not {bad} {joint} {other} is {good}",
        f"the {one} is {bad} {joint} {other} is not {good}",
    )


def correction(draw, product):
    part, _ = parts_of(draw, product)
    good, bad = draw.choice(GOOD), draw.choice(BAD)
    return f"the {part} is {good} , not {bad}", f"the {part} is {bad} , not {good}"


def comparison(draw, product):
    worth = draw.choice(["better", "nicer", "finer"])
    return (
        f"this {product} is {worth} than the old one",
        f"the old {product} is {worth} than this one",
    )


def regret(draw, product):
    back = draw.choice(["return", "regret", "hide"])
    again = draw.choice(["buy", "choose", "recommend"])
    return (
        f"i did not {back} the {product} and would {again} it again",
        f"i did {back} the {product} and would not {again} it again",
    )


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    if config.data == "builtin":
        return f"--split={config.split} leaves none of its pairs to it"
    return splits.why_no_test(config, "text")
