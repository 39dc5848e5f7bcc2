"""Builtin sentences: names whose characters also begin other words.

王 is a name in 王刚 and none in 王府, 张 one in 张明 and a place in 张家口: who reads
from left to right sees the same in both when the label is due. All sentences and their
probabilities are known (`grammar`), so what can be known of a label from its left side
is, too (`left_only`); from the whole sentence every label is certain.
"""

import functools
import itertools
import random

from ..core.data import splits
from ..core.data.rows import Examples, Splits
from .cutting import given

SURNAMES = "王李张高马江"
GIVEN = "刚明伟芳娜磊洋勇艳杰娟涛超霞平辉丹波"
PEOPLE = [
    (surname + name, "PER", "nr")
    for surname in SURNAMES
    for name in (*GIVEN, *(a + b for a, b in zip(GIVEN, GIVEN[5:], strict=False)))
]
PLACES = [(word, "LOC", "ns") for word in ("张家口", "高密", "马鞍山", "江西", "北京")]
FIRMS = [
    (word, "ORG", "nt") for word in ("王子公司", "江河大学", "马头银行", "北京银行")
]
THINGS = [
    (w, "", "n") for w in ("王府", "王冠", "李子", "张力", "高楼", "马路", "江水")
]
KINDS = {"P": PEOPLE, "L": PLACES, "F": FIRMS, "T": THINGS}

# Words with their parts of speech; a capital letter takes any word of its kind. The two
# of a pair are the same on the left of what differs.
TEMPLATES = (
    "他/r 说/v ，/w 「/w P 很/d 忙/a",
    "他/r 说/v ，/w 「/w T 很/d 旧/a",
    "P 和/c P 去/v 上班/v 了/u",
    "T 和/c T 都/d 很/d 贵/a",
    "我/r 看见/v P 在/p L",
    "我/r 看见/v T 在/p L",
    "F 的/u P 来/v 了/u",
    "L 的/u T 很/d 好/a",
    "昨天/t P 去/v 了/u F",
    "昨天/t L 下/v 了/u 雨/n",
)


@functools.cache
def grammar():
    """All sentences: list of (probability, words), each word (text, kind, part of
    speech), kind "" where it is no entity."""
    found = []
    for template in TEMPLATES:
        slots = [
            KINDS[part] if part in KINDS else [_plain(part)]
            for part in template.split()
        ]
        choices = list(itertools.product(*slots))
        share = 1 / len(TEMPLATES) / len(choices)
        found += [(share, words) for words in choices]
    return found


def _plain(part):
    word, tag = part.split("/")
    return word, "", tag


def labelled(words, column):
    """Words as characters with their labels: two lists.

    Args:
        column: names (1 in the name of a person), entities (BIOES), or words (BIOES of
            words with their parts of speech).
    """
    characters, labels = [], []
    for word, kind, tag in words:
        marks = ["B", *"I" * (len(word) - 2), "E"] if len(word) > 1 else ["S"]
        characters += word
        if column == "names":
            labels += ["1" if kind == "PER" else "0"] * len(word)
        elif column == "words":
            labels += [f"{mark}-{tag}" for mark in marks]
        else:
            labels += [f"{mark}-{kind}" if kind else "O" for mark in marks]
    return characters, labels


def read(config):
    """Sentences in three splits, by a hash of theirs: some names of the test split are
    in no other. They are the same for every seed and on every machine."""
    draw = random.Random("saccade tagging")
    chances, sentences = zip(*grammar(), strict=True)
    parts = {name: ([], []) for name in ("train", "validation", "test")}
    for words in draw.choices(sentences, chances, k=config.builtin_size):
        characters, labels = labelled(words, config.column or "entities")
        texts, columns = parts[splits.by_hash(config.split, "".join(characters))]
        texts.append(given(characters))
        columns.append(labels)
    return Splits(*(Examples(text=t, labels=v) for t, v in parts.values()))


def left_only(column):
    """The likeliest label of a character, of who knows it and all on its left: dict of
    prefixes, str, to labels."""
    weights = {}
    for share, words in grammar():
        characters, labels = labelled(words, column or "entities")
        prefix = ""
        for character, label in zip(characters, labels, strict=True):
            prefix += character
            seen = weights.setdefault(prefix, {})
            seen[label] = seen.get(label, 0.0) + share
    return {prefix: max(seen, key=seen.get) for prefix, seen in weights.items()}
