"""Labels of entities: what begins, goes on and ends, in every scheme.

An entity is (kind, first token, token behind its last). Read leniently, as conlleval
reads them: an entity begins where a label says so, or goes on with what was not open.

    BIO     B-X I-X I-X        and IOB1: I-X I-X, and B-X only between neighbours
    BIOES   B-X I-X E-X, S-X   a single token
    BMES    B-X M-X E-X, S-X
    BILOU   B-X I-X L-X, U-X   BIOES by other letters, read as such
    01      0 0 1 1            neighbours are one entity
"""

import itertools
import re

import numpy as np

LABEL = re.compile(r"([BIMES])(?:-(.+))?")
BILOU = re.compile(r"[BILU]-.+")
TO_BIOES = str.maketrans("LU", "ES")
OUTSIDE = "O"


def scheme_of(labels):
    """What labels are written in: "BIOES", "BMES", "BIO", "01", or "" where each token
    stands for itself, as parts of speech do.

    Args:
        labels: the different ones, iterable of str.
    """
    labels = set(labels)
    if labels == {"0", "1"}:
        return "01"
    inside = labels - {OUTSIDE}
    if not inside or not all(map(LABEL.fullmatch, inside)):
        return ""
    prefixes = {label[0] for label in inside}
    if "M" in prefixes:
        return "" if "I" in prefixes else "BMES"
    if prefixes & {"E", "S"}:
        return "BIOES"
    return "BIO" if prefixes & {"B", "I"} else ""


def odd_ones(sentences, most=3):
    """The few labels but for which the others would be those of a scheme: list."""
    labels = {label for row in sentences for label in row}
    odd = sorted(x for x in labels if x != OUTSIDE and not LABEL.fullmatch(x))
    rest = labels - set(odd)
    kinds = any("-" in label for label in rest)
    return odd if kinds and 0 < len(odd) <= min(most, len(rest) - 1) else []


def from_bilou(sentences):
    """Sentences with L as E and U as S, where these are the letters of the scheme."""
    labels = {label for row in sentences for label in row} - {OUTSIDE}
    if not labels or not all(map(BILOU.fullmatch, labels)):
        return sentences
    other = {label: label.translate(TO_BIOES)[0] + label[1:] for label in labels}
    return [[other.get(label, label) for label in row] for row in sentences]


def parts(label):
    """A label's prefix, "" outside of entities, and its kind, "" where it has none."""
    if label in (OUTSIDE, "", "0"):
        return "", ""
    if label == "1":
        return "I", "1"
    prefix, kind = LABEL.fullmatch(label).groups("")
    return ("I" if prefix == "M" else prefix), kind


def begins(before, label):
    """Whether an entity begins at a label behind another; "" stands for none."""
    (prefix, kind), (open_, open_kind) = parts(label), parts(before)
    if not prefix:
        return False
    return prefix in "BS" or open_ in ("", "E", "S") or kind != open_kind


def ends(label, behind):
    """Whether an entity ends at a label before another; "" stands for none."""
    return bool(parts(label)[0]) and (not parts(behind)[0] or begins(label, behind))


def entities(labels):
    """The entities of a sentence: list of (kind, first, behind the last)."""
    around = ["", *labels, ""]
    firsts, lasts = [], []
    for i, (before, label, behind) in enumerate(
        zip(around, around[1:], around[2:], strict=False)
    ):
        if begins(before, label):
            firsts.append(i)
        if ends(label, behind):
            lasts.append(i)
    return [
        (parts(labels[first])[1], first, last + 1)
        for first, last in zip(firsts, lasts, strict=True)
    ]


def written(found, length, scheme):
    """Entities as labels of a scheme: list of `length` str."""
    if scheme == "01":
        inside = set(itertools.chain(*(range(a, b) for _, a, b in found)))
        return ["1" if i in inside else "0" for i in range(length)]
    labels = [OUTSIDE] * length
    middle = "M" if scheme == "BMES" else "I"
    for kind, first, behind in found:
        marks = ["B"] + [middle] * (behind - first - 1)
        if scheme != "BIO":
            marks[-1] = "E" if len(marks) > 1 else "S"
        labels[first:behind] = [f"{m}-{kind}" if kind else m for m in marks]
    return labels


def repaired(sentences, scheme):
    """Sentences in a scheme, whatever they were written in.

    Args:
        sentences: list of lists of labels. scheme: BIOES or BIO, or "keep": theirs.

    Returns:
        The sentences; how many labels were not what their own scheme asks for, as an
        I-X behind an O; 0 for all of which each token stands for itself.
    """
    sentences = from_bilou(sentences)
    own = scheme_of(label for labels in sentences for label in labels)
    if not own or own == "01":
        return sentences, 0
    found = [entities(labels) for labels in sentences]
    legal = own
    if own == "BIO" and _is_iob1(sentences, found):
        legal = "IOB1"
    wrong = 0
    for labels, here in zip(sentences, found, strict=True):
        right = _as_iob1(here, len(labels)) if legal == "IOB1" else None
        right = right or written(here, len(labels), own)
        wrong += sum(a != b for a, b in zip(labels, right, strict=True))
    scheme = own if scheme == "keep" else scheme
    pairs = zip(found, sentences, strict=True)
    return [written(here, len(labels), scheme) for here, labels in pairs], wrong


def _is_iob1(sentences, found):
    """Whether more entities begin with I than with B."""
    pairs = zip(sentences, found, strict=True)
    firsts = [labels[first][0] for labels, here in pairs for _, first, _ in here]
    return 2 * firsts.count("I") > len(firsts)


def _as_iob1(found, length):
    labels = [OUTSIDE] * length
    before = ("", -1)
    for kind, first, behind in found:
        mark = "B" if before == (kind, first) else "I"
        labels[first:behind] = [f"{mark}-{kind}"] + [f"I-{kind}"] * (behind - first - 1)
        before = (kind, behind)
    return labels


def tables(labels):
    """What `begins` and `ends` say of all pairs of labels, for the graph.

    Args:
        labels: list of K str.

    Returns:
        bool (K + 1, K + 1) twice: at [i, j] whether an entity begins at j behind i, and
        whether one ends at i before j; K stands for no label. Without a scheme each
        token is an entity.
    """
    every = [*labels, ""]
    if not scheme_of(labels):
        begin = np.ones((len(every), len(every)), bool)
        begin[:, -1] = False
        return begin, begin.T
    return (
        np.array([[begins(a, b) for b in every] for a in every]),
        np.array([[ends(a, b) for b in every] for a in every]),
    )


def kinds_of(labels):
    """What an entity that begins with each label is called: list of str."""
    if not scheme_of(labels):
        return list(labels)
    return [parts(label)[1] for label in labels]
