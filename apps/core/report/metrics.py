"""Scores of sentences: thin over sacrebleu, and CIDEr-D."""

import collections
import math

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
    # sacrebleu wants streams: the i-th reference of every picture, None where missing.
    most = max(len(r) for r in references)
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
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
