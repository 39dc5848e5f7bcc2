"""The character language model: characters and states in, logits and states out."""

from ..core import language_model


def build_model(config, characters):
    """See `core.language_model.build`; the vocabulary is that of `characters`."""
    return language_model.build(characters.size, config)
