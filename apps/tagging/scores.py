"""Figures of labels and entities."""

import collections
import itertools

import numpy as np

from . import schemes


def accuracy(answers, references):
    """The share of tokens that have the right label, in percent."""
    pairs = zip(itertools.chain(*answers), itertools.chain(*references), strict=True)
    return 100 * float(np.mean([a == b for a, b in pairs]))


def of_tokens(answers, references, tokens, tokenizer):
    """Accuracy of labels, in percent.

    Args:
        answers, references: list of lists of labels. tokens: what they are of.
        tokenizer: which says which tokens the network knows.

    Returns:
        dict with accuracy; majority, that of the commonest label always; and, where
        there are such tokens, accuracy_known and accuracy_unknown; unknown, their
        share.
    """
    ids = np.concatenate(tokenizer.ids([" ".join(row) for row in tokens]))
    unknown = ids == tokenizer.unknown
    truth = np.array(list(itertools.chain(*references)))
    right = np.array(list(itertools.chain(*answers))) == truth
    counts = np.unique(truth, return_counts=True)[1]
    figures = {
        "accuracy": 100 * float(right.mean()),
        "majority": 100 * float(counts.max() / len(truth)),
    }
    if unknown.any() and not unknown.all():
        figures["accuracy_known"] = 100 * float(right[~unknown].mean())
        figures["accuracy_unknown"] = 100 * float(right[unknown].mean())
        figures["unknown"] = 100 * float(unknown.mean())
    return figures


def of_entities(answers, references):
    """Precision, recall and F1 of entities, in percent; an entity is right where its
    kind and both of its ends are.

    Args:
        answers, references: list of lists of labels.

    Returns:
        dict with precision, recall, f1, as conlleval counts them, which reads labels
        that break their scheme leniently; f1_strict, where an entity is none unless all
        of its labels are as its scheme asks; cut_f1, where kinds do not count, if there
        are several; entities: kind -> precision, recall, f1, count.
    """
    truth, given = located(references), located(answers)
    figures = f1_of(truth, given)
    strict = f1_of(located(references, True), located(answers, True))
    figures["f1_strict"] = strict["f1"]
    kinds = sorted({kind for _, (kind, *_) in truth | given})
    if len(kinds) > 1:
        bare = [{(i, one[1:]) for i, one in found} for found in (truth, given)]
        figures["cut_f1"] = f1_of(*bare)["f1"]
    counts = collections.Counter(kind for _, (kind, *_) in truth)
    figures["entities"] = {}
    for kind in kinds:
        some = [{one for one in found if one[1][0] == kind} for found in (truth, given)]
        figures["entities"][kind] = f1_of(*some) | {"count": counts[kind]}
    return figures


def located(sentences, strict=False):
    """The entities of all sentences: set of (sentence, (kind, first, behind)).

    Args:
        sentences: list of lists of labels. strict: whether those count only that their
            labels would be written as they are, in the scheme of all.
    """
    scheme = schemes.scheme_of(itertools.chain(*sentences)) if strict else ""
    return {
        (i, one)
        for i, labels in enumerate(sentences)
        for one in schemes.entities(labels)
        if not scheme or _is_written(one, labels, scheme)
    }


def _is_written(one, labels, scheme):
    kind, first, behind = one
    whole = schemes.written([(kind, 0, behind - first)], behind - first, scheme)
    return labels[first:behind] == whole


def f1_of(truth, given):
    """Precision, recall and F1 of sets, in percent; 0 where there is nothing."""
    right = len(truth & given)
    return {
        "precision": 100 * right / max(len(given), 1),
        "recall": 100 * right / max(len(truth), 1),
        "f1": 200 * right / max(len(given) + len(truth), 1),
    }
