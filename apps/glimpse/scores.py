"""Figures of digits that are read in order."""

import collections


def sequence_metrics(texts, references):
    """Figures of texts, one per example, in percent but for the edit distance.

    Args:
        texts: list of str, the answers. references: the right ones, as many.

    Returns:
        dict with
        accuracy: share of texts that are right as a whole;
        count_accuracy: share of those with as many digits as are right;
        edit_distance: mean number of digits to insert, delete or replace;
        by_length: number of digits -> `examples` and their `accuracy`.
    """
    if not texts or len(texts) != len(references):
        raise ValueError(
            "Expected as many texts as references and at least one; received "
            f"{len(texts)} and {len(references)}."
        )
    rights = collections.defaultdict(list)
    for text, reference in zip(texts, references, strict=True):
        rights[len(reference)].append(text == reference)
    pairs, count = list(zip(texts, references, strict=True)), len(texts)
    return {
        "accuracy": 100 * sum(sum(right) for right in rights.values()) / count,
        "count_accuracy": 100 * sum(len(a) == len(b) for a, b in pairs) / count,
        "edit_distance": sum(edit_distance(a, b) for a, b in pairs) / count,
        "by_length": {
            str(length): {
                "examples": len(right),
                "accuracy": 100 * sum(right) / len(right),
            }
            for length, right in sorted(rights.items())
        },
    }


def edit_distance(text, other):
    """Levenshtein's: characters to insert, delete or replace."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(text, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
