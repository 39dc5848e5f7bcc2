"""Where a space stands between two words or marks: learned from texts, by majority.

A token is a word, a number, a Chinese character or a mark (all else: punctuation,
symbols, emoji). Between words and numbers there is always a space. Before a mark it
depends on the class of the token there; behind it on the classes on both sides, so
"10:30", "cook: red" and "key: 1" are all right. Between two marks there is none where
either of them has none. A straight double quote opens and closes by turns.
"""

import collections
import unicodedata

import numpy as np

WORD, NUMBER, CHINESE, MARK = CLASSES = range(4)
EXAMPLES = ("a", "1", "\u5386")  # of the classes that are no marks
QUOTE = '"'
# Marks of which no text was seen: their Unicode categories and these.
_CLOSING, _OPENING = ("Pe", "Pf"), ("Ps", "Pi", "Sc")
_ENDING = ",.;:!?%…"


def is_chinese(character):
    """Whether a character is one of the Chinese script, as RE2's \\p{Han} mostly is."""
    letter = unicodedata.category(character) == "Lo"
    ideograph = unicodedata.name(character, "").startswith("CJK")
    return (letter and ideograph) or character in "\u3005\u3007\u303b"


def token_class(token):
    """WORD, NUMBER, CHINESE or MARK, by the first character."""
    category = unicodedata.category(token[0])[0] if token else "L"
    if category in "LMN" and token and is_chinese(token[0]):
        return CHINESE
    return {"L": WORD, "M": WORD, "N": NUMBER}.get(category, MARK)


def learn(neighbours):
    """The rules of texts.

    Args:
        neighbours: Counter of (class of the token before, token, token behind it,
            whether no space is between the two); where a text begins, the class before
            is WORD. Of a token that is no mark only the class counts.

    Returns:
        dict, mark -> int of 20 bits: bit c is set where no space stands between a token
        of class c and the mark, bit 4 + 4 c + d where none stands between the mark and
        a token of class d, if one of class c is before the mark. "" -> int of 16 bits,
        for classes that are no marks: bit 4 c + d, where c stands before d.
    """
    # Votes for no space, less those for one.
    before = collections.defaultdict(lambda: np.zeros(4, np.int64))
    behind = collections.defaultdict(lambda: np.zeros((4, 4), np.int64))
    classes = np.zeros((4, 4), np.int64)
    for (outer, first, second, glued), count in neighbours.items():
        a, b = token_class(first), token_class(second)
        vote = count if glued else -count
        if b == MARK:
            before[second][a] += vote
        if a == MARK:
            behind[first][outer, b] += vote
        classes[a, b] += vote
    rules = {"": _bits(_majority(classes, _class_defaults()))}
    for mark in sorted({*before, *behind}):
        default_before, default_behind = _mark_defaults(mark)
        first, second = before[mark], behind[mark]
        # What was never met is as its side mostly is, else as Unicode has it.
        default_before = _majority(first.sum(), default_before)
        default_behind = _majority(second.sum(), default_behind)
        default_behind = _majority(second.sum(axis=0), default_behind)
        bits = _bits(_majority(first, default_before))
        bits |= _bits(_majority(second, default_behind)) << 4
        rules[mark] = bits
    return rules


def was_cut(rules):
    """Whether texts were cut into tokens before `learn` saw them: a space stands even
    between a word and the comma or full stop behind it."""
    return any(not rules.get(mark, 1) >> WORD & 1 for mark in ",.")


def _majority(votes, default):
    return np.where(votes == 0, default, votes > 0)


def _bits(glued):
    return sum(1 << i for i, bit in enumerate(glued.ravel()) if bit)


def _class_defaults():
    """Nothing stands beside a Chinese character; all else stands apart. bool (4, 4)."""
    chinese = np.arange(4) == CHINESE
    return chinese[:, None] | chinese


def _mark_defaults(mark):
    """Whether no space stands before and behind a mark, by class: bool (2, 4)."""
    category = unicodedata.category(mark[0])
    wide = unicodedata.east_asian_width(mark[0]) in "WF" and category[0] == "P"
    before = wide or category in _CLOSING or mark[0] in _ENDING
    behind = wide or category in _OPENING
    chinese = np.arange(4) == CHINESE
    return np.array([[before], [behind]]) | (chinese & (category[0] == "P"))


def tables(tokens, rules):
    """What `decode` needs of every token.

    Returns:
        classes int32 (size,); before bool (size, 4), whether nothing stands between a
        token of each class and this one; behind bool (size, 4, 4), whether nothing
        stands behind it, by the class before it and that behind it.
    """
    classes = np.array([token_class(token) for token in tokens], np.int32)
    if "" in rules:
        pairs = _unpacked(rules[""], 16).reshape(4, 4)
    else:
        pairs = _class_defaults()
    pairs[MARK] = pairs[:, MARK] = False  # A mark decides by its own rule.
    before, behind = pairs.T[classes], np.repeat(pairs[classes][:, None], 4, axis=1)
    for i in np.flatnonzero(classes == MARK):
        rule = rules.get(tokens[i])
        if rule is None:
            before[i], behind[i] = _mark_defaults(tokens[i])
        else:
            bits = _unpacked(rule, 20)
            before[i], behind[i] = bits[:4], bits[4:].reshape(4, 4)
        if tokens[i] == QUOTE:  # It goes by turns, but among Chinese characters.
            before[i] &= np.arange(4) == CHINESE
            behind[i] &= np.arange(4) == CHINESE
    return classes, before, behind


def _unpacked(bits, count):
    return np.array([bits >> i & 1 for i in range(count)], bool)
