"""The character language model: characters and states in, logits and states out."""

from ..core.tasks.language.model import build_language_model


def build_model(config, characters):
    """See `build_language_model`; the vocabulary is that of `characters`."""
    start = None if characters.start is None else config.start
    return build_language_model(characters.size, config, start)
