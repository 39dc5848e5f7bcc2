"""Scores: of sentences, thin over sacrebleu, and CIDEr-D; of labels."""

import collections
import contextlib
import math
import warnings

import numpy as np
import sacrebleu


def caption_metrics(hypotheses, references, units="words"):
    """Scores of captions, in percent (CIDEr-D on its own scale, 0 to 10).

    Args:
        hypotheses: one sentence per picture.
        references: the right sentences of each picture, one or more, normalised in
            the same way as the hypotheses.
        units: "words", or "characters": n-grams are then of characters.

    Returns:
        dict with
        exact_match: share of pictures whose caption equals one of its references;
        bleu1 ... bleu4: BLEU with n-grams up to n, of the whole corpus;
        bleu: sacrebleu's default corpus BLEU (equal to bleu4 for words);
        chrf: sacrebleu's chrF;
        cider_d: CIDEr-D (Vedantam et al. 2015).

    Raises:
        ValueError: no hypotheses, another number of references, or a picture
            without one.
    """
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            "Expected as many hypotheses as lists of references and at least one; "
            f"received {len(hypotheses)} and {len(references)}."
        )
    if not all(references):
        raise ValueError(
            f"Expected at least one reference per picture; picture "
            f"{[bool(r) for r in references].index(False)} has none."
        )
    streams = streams_of(references)
    tokenize = "13a" if units == "words" else "char"
    right = sum(h in r for h, r in zip(hypotheses, references, strict=True))
    figures = {"exact_match": 100 * right / len(hypotheses)}
    for n in range(1, 5):
        bleu = sacrebleu.BLEU(tokenize=tokenize, max_ngram_order=n)
        figures[f"bleu{n}"] = bleu.corpus_score(hypotheses, streams).score
    figures["bleu"] = figures["bleu4"]
    figures["chrf"] = sacrebleu.corpus_chrf(hypotheses, streams).score
    figures["cider_d"] = cider_d(hypotheses, references, units)
    return figures


def streams_of(references):
    """References as sacrebleu wants them: the i-th of every sentence, None where there
    are fewer."""
    most = max(len(r) for r in references)
    return [[r[i] if i < len(r) else None for r in references] for i in range(most)]


def cider_d(hypotheses, references, units="words", sigma=6.0):
    """CIDEr-D (Vedantam, Zitnick & Parikh 2015, section 3 and appendix).

    For n = 1 to 4 a sentence is the vector of its n-gram counts, each times
    log(number of pictures / number of pictures whose references hold the n-gram).
    The similarity of a caption c with a reference s is the cosine of the two, with
    counts in c clipped to those in s, times exp(-(len c - len s)^2 / (2 sigma^2)).
    The score is ten times the mean over n, references and pictures. An n-gram that
    every picture's references hold weighs nothing; so of a single picture all are 0.
    """
    split = (
        str.split if units == "words" else (lambda text: list(text.replace(" ", "")))
    )
    captions = [split(h) for h in hypotheses]
    truths = [[split(r) for r in refs] for refs in references]
    total = 0.0
    for n in range(1, 5):
        seen_in = collections.Counter(
            gram for refs in truths for gram in {g for r in refs for g in _grams(r, n)}
        )

        def weigh(counts, seen_in=seen_in):
            return {
                gram: count * math.log(len(truths) / max(1, seen_in[gram]))
                for gram, count in counts.items()
            }

        for caption, refs in zip(captions, truths, strict=True):
            own = weigh(_grams(caption, n))
            for ref in refs:
                other = weigh(_grams(ref, n))
                gap = len(caption) - len(ref)
                closeness = math.exp(-(gap**2) / (2 * sigma**2))
                total += _clipped_cosine(own, other) * closeness / len(refs)
    return 10 * total / (4 * len(captions))


def _grams(tokens, n):
    return collections.Counter(
        tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)
    )


def _clipped_cosine(own, other):
    norms = _norm(own) * _norm(other)
    if not norms:
        return 0.0
    shared = sum(min(own[g], other[g]) * other[g] for g in own if g in other)
    return shared / norms


def _norm(vector):
    return math.sqrt(sum(x * x for x in vector.values()))


# Labels


BINS = 10  # of scores, for the calibration error


@contextlib.contextmanager
def many_labels():
    """Without scikit-learn's warning that labels might be numbers to be predicted: they
    are labels, however many there are."""
    with warnings.catch_warnings():
        many = "The number of unique classes is greater than 50%"
        warnings.filterwarnings("ignore", many, UserWarning)
        yield


@many_labels()
def label_metrics(labels, references, scores):
    """Scores of labels, one per example, in percent; thin over scikit-learn.

    Args:
        labels: list of str, the answers; "" where there is none.
        references: the right ones, as many. scores: the answers' probabilities.

    Returns:
        dict with
        accuracy: share of right answers;
        macro_f1: mean of the classes' F1, every class that occurs in either list
            counting alike; F1 is 2 tp / (2 tp + fp + fn);
        majority: the accuracy of answering the commonest reference always;
        answered: share of examples that have an answer;
        calibration_error: mean gap between score and accuracy over ten bins of scores,
            weighted by their examples (Guo et al. 2017, arXiv:1706.04599), of what is
            answered;
        classes: class -> precision, recall, f1, and count, its examples;
        confusion: right class -> answered class -> examples.
    """
    if not labels or not len(labels) == len(references) == len(scores):
        raise ValueError(
            "Expected as many labels and scores as references and at least one; "
            f"received {len(labels)}, {len(scores)} and {len(references)}."
        )
    from sklearn import metrics

    classes = sorted({*labels, *references} - {""})
    *figures, counts = metrics.precision_recall_fscore_support(
        references, labels, labels=classes, zero_division=0
    )
    each = 100 * np.array(figures).T
    answers = classes if "" not in labels else [*classes, ""]
    pairs = collections.Counter(zip(references, labels, strict=True))
    answered = np.array([label != "" for label in labels])
    right = np.array(labels) == np.array(references)
    return {
        "accuracy": 100 * float(right.mean()),
        "macro_f1": float(each[:, 2].mean()),
        "majority": 100 * int(counts.max()) / len(labels),
        "answered": 100 * float(answered.mean()),
        "calibration_error": calibration_error(
            right[answered], np.array(scores)[answered]
        ),
        "classes": {
            name: {"precision": p, "recall": r, "f1": f, "count": int(count)}
            for name, (p, r, f), count in zip(
                classes, each.tolist(), counts, strict=True
            )
        },
        "confusion": {
            truth: {answer: pairs[truth, answer] for answer in answers}
            for truth in classes
        },
    }


def calibration_error(right, scores):
    """In percent. right: bool (n,), scores: their probabilities (n,)."""
    if not len(right):
        return 0.0
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    gaps = [
        abs(right[bins == b].mean() - scores[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    ]
    return 100 * float(sum(gaps))


def attention_on_objects(answers, boxes):
    """Mean share of the attention inside the box of the object being named.

    Only words that name exactly one object of their picture count.

    Args:
        answers: list of dicts with `pieces` and `attention` (pieces, regions).
        boxes: for each a list of {"word": "circle", "box": (x0, y0, x1, y1)}, in
            shares of the picture's side.
    """
    inside, areas = [], []
    for answer, objects in zip(answers, boxes, strict=True):
        side = round(answer["attention"].shape[1] ** 0.5)
        for word, attention in zip(answer["pieces"], answer["attention"], strict=True):
            named = [o["box"] for o in objects if o["word"] == word]
            if len(named) != 1:
                continue
            cover = box_cover(named[0], side)
            inside.append(float(np.sum(attention.reshape(side, side) * cover)))
            areas.append(float(np.mean(cover)))
    if not inside:
        return {}
    share, area = float(np.mean(inside)), float(np.mean(areas))
    return {
        "attention_on_object": 100 * share,
        "object_area": 100 * area,
        "attention_ratio": share / area,
    }


def box_cover(box, side):
    """How much of each cell of a side x side grid a box covers, 0 to 1."""
    x0, y0, x1, y1 = (side * edge for edge in box)
    cells = np.arange(side)

    def overlap(low, high):
        return np.clip(np.minimum(high, cells + 1) - np.maximum(low, cells), 0, 1)

    return overlap(y0, y1)[:, None] * overlap(x0, x1)[None, :]
