"""Sentences in which the verb agrees with a subject that may stand far before it.

    the cat was hungry .
    the cats near the old house were hungry .
    the cat , which already ate a bunch of food , was full .

A sentence is `the` (adjective) NOUN filler VERB rest `.` with a verb of the noun's
number. The filler is a string of exactly `distance` - 1 tokens that says nothing about
the number: an adverb or two, a prepositional phrase, or a relative clause in the simple
past. Its own nouns are singular or plural by chance, so the noun nearest to the verb
misleads half of the time: only who remembers the subject knows the verb (Linzen,
Dupoux & Goldberg 2016).
"""

import random

NOUNS = [  # singular, plural
    *[(n, n + "s") for n in "cat dog bird horse farmer doctor teacher student".split()],
    *[(n, n + "s") for n in "artist pilot river garden house tree road boat".split()],
    ("child", "children"),
    ("woman", "women"),
    ("man", "men"),
    ("mouse", "mice"),
]
VERBS = [("was", "were"), ("is", "are"), ("has", "have"), ("likes", "like")]
ADJECTIVES = (
    "old young small big quiet brave tired hungry full happy green famous strange"
).split()
ADVERBS = "already often still always never suddenly also really".split()
PREPOSITIONS = "near behind with under beside without".split()
PARTICIPLES = "slept eaten arrived disappeared laughed fallen".split()
# The simple past has one form for both numbers.
INTRANSITIVE = "slept waited laughed fell disappeared arrived".split()
TRANSITIVE = "chased saw followed painted found".split()
MEAL = "ate a bunch of food".split()

DISTANCES = range(1, 21)


def sentences(count, seed, distances=DISTANCES):
    """`count` sentences as str, tokens between spaces, a pure function of the rest.

    Args:
        distances: ints from which each sentence's distance is drawn, d in proportion
            to 1 / d. In natural text too most verbs stand near; and from far ones
            alone a network does not find out that there is something to remember.
    """
    draw = random.Random(f"sentences {seed}")
    drawn = draw.choices(distances, [1 / d for d in distances], k=count)
    return [" ".join(sentence(draw, d)[draw.randrange(2)]) for d in drawn]


def agreement(distance, count, seed):
    """Test items: (words before the verb, right verb, wrong verb, words behind it).

    Args:
        distance: how many tokens the verb stands behind its subject, 1 or more.
        count: number of items.

    The subjects are singular and plural in turn.
    """
    draw = random.Random(f"agreement {seed} {distance}")
    items = []
    for i in range(count):
        singular, plural = sentence(draw, distance)
        place = max(p for p, word in enumerate(singular) if word != plural[p])
        right, wrong = (singular, plural) if i % 2 == 0 else (plural, singular)
        items.append((right[:place], right[place], wrong[place], right[place + 1 :]))
    return items


def sentence(draw, distance):
    """One sentence twice, lists of str: its subject and verb singular, and plural."""
    if distance < 1:
        raise ValueError(f"Expected a distance of 1 or more, received {distance}.")
    before = ["the", *adjective(draw)]
    noun, verb = draw.choice(NOUNS), draw.choice(VERBS)
    between, behind = filler(draw, distance - 1), rest(draw, verb[0])
    return [
        [*before, noun[number], *between, verb[number], *behind, "."]
        for number in (0, 1)
    ]


def adjective(draw):
    return draw.choices([[], [draw.choice(ADJECTIVES)]], [3, 1])[0]


def noun_phrase(draw, length):
    """`the` (adjective) noun of either number; length 2 or 3."""
    noun = draw.choice(draw.choice(NOUNS))
    return ["the", *([draw.choice(ADJECTIVES)] if length == 3 else []), noun]


def rest(draw, verb):
    """What follows a verb."""
    if verb in ("was", "is"):
        return [draw.choice(ADJECTIVES)]
    if verb == "has":
        return [draw.choice(PARTICIPLES)]
    return noun_phrase(draw, draw.choice((2, 3)))


def filler(draw, length):
    """Exactly `length` tokens between subject and verb."""
    if length <= 2:
        return draw.sample(ADVERBS, length)
    if length == 3 or (length == 4 and draw.random() < 0.5):
        return phrases(draw, length)
    return [",", "which", *clause(draw, length - 3), ","]


def clause(draw, length):
    """Exactly `length` tokens: (adverb) verb (object), prepositional phrases."""
    beginnings = [
        (adverb, size)
        for adverb in (0, 1)
        for size in (1, 3, 4, len(MEAL))  # of the verb and its object
        if fits(length - adverb - size)
    ]
    adverb, size = draw.choice(beginnings)
    if size == 1:
        action = [draw.choice(INTRANSITIVE)]
    elif size == len(MEAL):
        action = MEAL
    else:
        action = [draw.choice(TRANSITIVE), *noun_phrase(draw, size - 1)]
    return [
        *draw.sample(ADVERBS, adverb),
        *action,
        *phrases(draw, length - adverb - size),
    ]


def phrases(draw, length):
    """Prepositional phrases of 3 or 4 tokens each, exactly `length` in all."""
    if not length:
        return []
    size = draw.choice([s for s in (3, 4) if fits(length - s)])
    head = [draw.choice(PREPOSITIONS), *noun_phrase(draw, size - 1)]
    return head + phrases(draw, length - size)


def fits(length):
    """Whether phrases of 3 and 4 tokens can fill `length`."""
    return length >= 0 and length not in (1, 2, 5)
