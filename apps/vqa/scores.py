"""How right answers are: exact match, and VQA accuracy."""

import collections

import tensorflow as tf

from ..core.inputs.tokenizer import normalise_for_scores

ANNOTATORS_AGREED = 3  # so many of the others make an answer wholly right


def normalise(answers):
    """In the graph: answers by what counts of them, without case and punctuation. One
    that is all punctuation stays as it is. answers: string of any shape."""
    short = normalise_for_scores(answers)
    return tf.where(short == "", answers, short)


def normalised(answers):
    """`normalise` of a list of str."""
    if not answers:
        return []
    found = normalise(tf.constant([text.encode() for text in answers]))
    return [text.decode() for text in found.numpy()]


def normalised_each(lists):
    """`normalised` of a list of lists, all at once: a call takes longer than what it
    does to a few answers."""
    flat = iter(normalised([answer for several in lists for answer in several]))
    return [[next(flat) for _ in several] for several in lists]


def commonest(answers):
    """The answer that most people gave, of as many the first."""
    return collections.Counter(answers).most_common(1)[0][0]


def vqa_accuracy(answer, references):
    """Antol et al. 2015: the mean over all sets of references but one of min(1,
    matches / 3), 0 to 1.

    Args:
        answer: str. references: list of two str at least, one of each person; as they
            are where all people agree, else `normalised` as the answer.
    """
    matches = sum(reference == answer for reference in references)
    left_out = len(references) - matches  # sets that lack another answer
    whole = left_out * min(1, matches / ANNOTATORS_AGREED)
    without_one = matches * min(1, (matches - 1) / ANNOTATORS_AGREED)
    return (whole + without_one) / len(references)


def figures(answers, references, types=None):
    """Percent of right answers.

    Args:
        answers: list of str. references: list of lists of str. types: list of str, the
            kind of each question, or None.

    Returns:
        `accuracy`, exact match with the answer that most gave; `vqa_accuracy`, where
        any question has several references; and the accuracy of each type, by its name.
    """
    given, right, shares = normalised(answers), [], []
    for answer, several in zip(given, normalised_each(references), strict=True):
        right.append(answer == commonest(several))
        if len(several) > 1:
            shares.append(vqa_accuracy(answer, several))
    found = {"accuracy": percent(right)}
    if shares:
        found["vqa_accuracy"] = percent(shares)
    for kind in sorted(set(types or ()) - {""}):
        of_kind = [r for r, t in zip(right, types, strict=True) if t == kind]
        found[kind.replace(" ", "_")] = percent(of_kind)
    return found


def percent(values):
    return 100 * sum(values) / len(values)
