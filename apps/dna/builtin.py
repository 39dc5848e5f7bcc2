"""Builtin sequences: motifs from weight matrices, and what only looks like them.

    promoter   TTGACA, 15 to 19 bases, TATAAT       (the -35 and -10 boxes of E. coli)
    donor      MAG|GTRAGT, the bar in the middle     (where an exon ends, Shapiro &
               Senapathy 1987)
    none       the boxes in the other order or with another gap; GTRAGT before MAG, or
               bases between them; or no motif at all

Whoever counts motifs and does not see their order and distance is wrong of most of the
last class. What is drawn is known, so the probability of every class given a sequence
is exact (`posterior`), and with it the best accuracy that anyone can have.
"""

import random

import numpy as np

from ..core.data import splits
from ..core.data.rows import Examples, Splits
from ..core.inputs.sequence import BASES

LENGTH = 60
CONSERVED = 0.8  # how often a base of a motif is the consensus


def matrix(consensus, conserved=CONSERVED):
    """Probabilities (places, 4) of the bases of a motif: T is a T in `conserved`, AG an
    A or a G in `conserved`."""
    rows = []
    for bases in consensus.split():
        others = (1 - conserved) / (4 - len(bases))
        share = conserved / len(bases)
        rows.append([share if base in bases else others for base in BASES])
    return np.array(rows)


MINUS_35, MINUS_10 = matrix("T T G A C A"), matrix("T A T A A T")
EXON = matrix("AC A G")
# The GT of a donor hardly ever differs.
INTRON = np.concatenate([matrix("G T", 0.97), matrix("AG A G T")])
JUNCTION = LENGTH // 2
ENDS = (38, 39, 40, 41)  # where the second box of a promoter begins
GAPS = {15: 0.1, 16: 0.2, 17: 0.4, 18: 0.2, 19: 0.1}
WRONG_GAPS = dict.fromkeys((8, 9, 10, 11, 22, 23, 24, 25), 1 / 8)


def boxes(first, second, gaps):
    """Placements of two boxes: list of (probability, [(start, matrix), ...])."""
    return [
        (share / len(ENDS), [(end - gap - len(first), first), (end, second)])
        for end in ENDS
        for gap, share in gaps.items()
    ]


def halves(first, second, gaps):
    """Placements of the halves of a donor, so many bases apart."""
    return [
        (1 / len(gaps), [(JUNCTION - len(first), first), (JUNCTION + gap, second)])
        for gap in gaps
    ]


NONE = [
    (0.3, boxes(MINUS_10, MINUS_35, GAPS)),
    (0.3, boxes(MINUS_35, MINUS_10, WRONG_GAPS)),
    (0.15, halves(INTRON, EXON, [0])),
    (0.15, halves(EXON, INTRON, [3, 4, 5, 6])),
    (0.1, [(1.0, [])]),
]
# label -> its share, and how its motifs lie: (probability, placements).
CLASSES = {
    "donor": (0.3, halves(EXON, INTRON, [0])),
    "none": (0.4, [(p * q, places) for p, kind in NONE for q, places in kind]),
    "promoter": (0.3, boxes(MINUS_35, MINUS_10, GAPS)),
}
LABELS = tuple(CLASSES)


def read(config):
    """Sequences in three splits with `sequence`, `label` and `planted`: a + for each
    base of a motif, a - for the others. They are the same for every seed and on every
    machine."""
    draw = random.Random("saccade dna")
    parts = {name: ([], [], []) for name in ("train", "validation", "test")}
    shares = [share for share, _ in CLASSES.values()]
    for _ in range(config.builtin_size):
        (label,) = draw.choices(LABELS, shares)
        sequence, planted = drawn(draw, label)
        columns = parts[splits.by_hash(config.split, sequence)]
        for column, value in zip(columns, (sequence, label, planted), strict=True):
            column.append(value)
    return Splits(
        *(Examples(sequence=s, label=c, planted=p) for s, c, p in parts.values())
    )


def drawn(draw, label):
    """A sequence of a class, str, and where its motifs lie, str."""
    sequence, planted = draw.choices(BASES, k=LENGTH), ["-"] * LENGTH
    chances, placements = zip(*CLASSES[label][1], strict=True)
    (places,) = draw.choices(placements, chances)
    for start, motif in places:
        for place, row in enumerate(motif.tolist(), start):
            sequence[place], planted[place] = draw.choices(BASES, row)[0], "+"
    return "".join(sequence), "".join(planted)


def posterior(sequences):
    """The probability of each of `LABELS` given the sequence, by Bayes' theorem, float
    (sequences, 3).

        p(label | x) ~ p(label) sum over placements p(placement) prod p(x_i) / (1/4)

    Args:
        sequences: list of str of `LENGTH` bases.
    """
    letters = np.frombuffer("".join(sequences).encode(), np.uint8)
    letters = letters.reshape(len(sequences), LENGTH)
    ids = np.searchsorted(np.frombuffer(BASES.encode(), np.uint8), letters)
    joint = np.zeros((len(sequences), len(LABELS)))
    for column, (share, placements) in enumerate(CLASSES.values()):
        for chance, places in placements:
            odds = np.ones(len(sequences))
            for start, motif in places:
                for place, row in enumerate(motif, start):
                    odds *= 4 * row[ids[:, place]]
            joint[:, column] += share * chance * odds
    return joint / joint.sum(axis=1, keepdims=True)


def ceiling(sequences, labels):
    """The accuracy, in percent, of who answers by `posterior`: no one is better in the
    long run."""
    best = np.argmax(posterior(sequences), axis=1)
    right = sum(
        LABELS[i] == label for i, label in zip(best.tolist(), labels, strict=True)
    )
    return 100 * right / len(labels)
