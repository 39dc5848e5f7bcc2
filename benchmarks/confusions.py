"""Pairs of a Chinese sentence and a wrong one: does a language model prefer the right?

A recogniser of speech, or a keyboard for pinyin, has to choose between hypotheses that
sound alike, and chooses the likelier sentence: 历史总是不断重演, not 力使总事不断虫眼.
Three ways in turn make the wrong one:

    characters    a third of the characters (two at least) become others that
                  sound alike
    word          one word becomes another word that sounds alike
    shuffle       the words come in another order

Only common characters and words stand in for others, so a wrong sentence is no worse
for holding rare ones. What sounds alike is what has the same pinyin without its tone,
where z/zh, c/ch, s/sh and n/ng at the end are one, which many speakers do not tell
apart. The pronunciations are those of the package pypinyin, whose dictionary knows more
of them than a table of our own would.
"""

import collections
import random
import re

from saccade.apps.core.errors import UserError

LECTURE = ("历史总是不断重演", "力使总事不断虫眼")
KINDS = ("characters", "word", "shuffle")
COMMON = 30  # occurrences in the training text
_CHINESE = re.compile(r"[\u4e00-\u9fff]+")


def sentences(lines, low=6, high=30):
    """The whole Chinese sentences in `lines`, of `low` to `high` characters, once each.

    Args:
        lines: lists of words; a line may hold many sentences.

    Returns:
        list of lists of words, without the mark at the end.
    """
    found = {}
    for line in lines:
        for sentence in split_at(line, "。！？；"):
            text = "".join(sentence)
            pure = _CHINESE.fullmatch(re.sub("[，、]", "", text))
            if pure and low <= len(text) <= high and len(sentence) > 2:
                found[text] = sentence
    return list(found.values())


def split_at(line, marks):
    """The parts of a list of words that end in one of the marks."""
    part = []
    for word in line:
        if word in marks:
            yield part
            part = []
        else:
            part.append(word)


def pairs(held_out, training, count=200, seed=0):
    """`count` pairs, a pure function of the rest: list of (kind, right, wrong), str.

    Args:
        held_out: lines that the pairs are made of, lists of words.
        training: lines that tell which characters and words are common, likewise.

    Raises:
        UserError: too few sentences; pypinyin is not installed.
    """
    words = collections.Counter(word for line in training for word in line)
    characters = collections.Counter("".join(words.elements()))
    words, characters = sounding_alike(words), sounding_alike(characters)

    draw = random.Random(f"pairs {seed}")
    pool = sentences(held_out)
    draw.shuffle(pool)
    made = []
    for sentence in pool:
        if len(made) == count:
            break
        kind = KINDS[len(made) % len(KINDS)]
        if kind == "characters":
            letters = list("".join(sentence))
            wrong = replace(letters, characters, max(2, len(letters) // 3), draw)
        elif kind == "word":
            wrong = replace(sentence, words, 1, draw)
        else:
            wrong = draw.sample(sentence, len(sentence))
        right, wrong = "".join(sentence), "".join(wrong or sentence)
        if right != wrong:
            made.append((kind, right, wrong))
    if len(made) < count:
        raise UserError(
            f"The held-out text gives {len(made)} pairs of the {count} wanted; take a "
            "longer Chinese text, or more of it by --split."
        )
    return made


def sounding_alike(counts):
    """A function of a Chinese token -> the common others with its sound, sorted.

    Args:
        counts: Counter of the training text's tokens.
    """
    groups = collections.defaultdict(list)
    for token, n in sorted(counts.items()):
        if n >= COMMON and _CHINESE.fullmatch(token):
            groups[sound(token)].append(token)

    def alike(token):
        return [other for other in groups.get(sound(token), []) if other != token]

    return alike


def sound(token):
    """Pinyin without tones, with what many speakers do not tell apart made equal."""
    try:
        import pypinyin
    except ImportError:
        raise UserError(
            "What sounds alike is looked up in the package pypinyin, which is not "
            "installed. Run: pip install pypinyin"
        ) from None
    syllables = pypinyin.lazy_pinyin(token)
    return " ".join(
        re.sub("ng$", "n", re.sub("^([zcs])h", r"\1", s)) for s in syllables
    )


def replace(tokens, alike, count, draw):
    """`tokens` with `count` of them replaced, or None where fewer can be."""
    places = [i for i, token in enumerate(tokens) if alike(token)]
    if len(places) < count:
        return None
    chosen = set(draw.sample(places, count))
    return [
        draw.choice(alike(token)) if i in chosen else token
        for i, token in enumerate(tokens)
    ]
