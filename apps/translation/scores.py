"""How good translations are: thin over sacrebleu."""

import sacrebleu

from ..core.report.metrics import streams_of

# By which rule sacrebleu cuts a language into words; 13a is that of all others.
TOKENIZERS = {"zh": "zh", "cmn": "zh", "ja": "char", "th": "char"}


def tokenizer_of(language):
    """The name of the rule by which sacrebleu cuts a language, as "zh-CN"."""
    return TOKENIZERS.get(language.lower().partition("-")[0].partition("_")[0], "13a")


def figures(texts, references, language=""):
    """Scores in percent, cased, on text as a person writes it.

    Args:
        texts: list of str. references: for each its right translations, list of str.
        language: of both, as "de" or "zh-CN": it says how sacrebleu cuts words.

    Returns:
        dict with `bleu` and `chrf` (chrF2), `bleu_lower` without regard to case,
        `exact_match`, the share that equals a right translation; `bleu_signature` and
        `chrf_signature`, which say how sacrebleu counted; `sentences`.
    """
    cut = tokenizer_of(language)
    streams = streams_of(references)
    bleu, chrf = sacrebleu.BLEU(tokenize=cut), sacrebleu.CHRF()
    lower = sacrebleu.BLEU(tokenize=cut, lowercase=True)
    right = sum(t in several for t, several in zip(texts, references, strict=True))
    found = {
        "bleu": bleu.corpus_score(texts, streams).score,
        "chrf": chrf.corpus_score(texts, streams).score,
        "bleu_lower": lower.corpus_score(texts, streams).score,
        "exact_match": 100 * right / len(texts),
        "sentences": len(texts),
    }
    return found | {
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
    }
