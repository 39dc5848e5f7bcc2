"""The word language model: words and states in, logits and states out."""

from ..core import language_model


def build_model(config, words):
    """See `core.language_model.build`; the vocabulary is that of `words`."""
    return language_model.build(words.size, config)
