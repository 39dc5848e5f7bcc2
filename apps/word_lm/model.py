"""The word language model: words and states in, logits and states out."""

from ..core.tasks.language.model import build_language_model


def build_model(config, words):
    """See `build_language_model`; the vocabulary is that of `words`."""
    return build_language_model(words.size, config)
