"""The characters that the model knows."""

from ..core.errors import UserError
from ..core.inputs.tokenizer import Tokenizer
from ..core.settings.json_text import read_json
from ..core.tasks.language.vocabulary import Vocabulary

_OPTIONS = {"units": "characters", "special": ("<unk>",)}


def characters(own, with_start=True):
    """`Vocabulary` of the characters with the ids 1, 2 ...; 0 is the unknown one."""
    return Vocabulary(Tokenizer(own, **_OPTIONS), with_start)


def learn(texts, min_count=1):
    """The characters of texts, an iterable of str, the most frequent first."""
    tokenizer = Tokenizer.build(texts, min_count=min_count, **_OPTIONS)
    return Vocabulary(tokenizer, with_start=True)


def from_json(text):
    """Of `Vocabulary.to_json`, or of what older versions wrote; the oldest of them do
    not speak of a start, and have none."""
    try:
        saved = read_json(text, {"characters": str})
    except UserError:
        return Vocabulary.from_json(text)
    return characters(saved["characters"], saved.get("start", False) is True)
