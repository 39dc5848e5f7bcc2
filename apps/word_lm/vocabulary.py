"""The words that the model knows, <UNK> and <EOS> among them."""

from ..core.errors import UserError
from ..core.inputs import spacing
from ..core.inputs.tokenizer import Tokenizer
from ..core.settings.json_text import read_json
from ..core.tasks.language.vocabulary import Vocabulary, without_white_space

SPECIAL = ("<UNK>", "<EOS>")


def words(own, tokenizer, rare=0, lower=False):
    """`Vocabulary` of the tokens with the ids 2, 3 ...

    Args:
        own: list of str. tokenizer: one of `config.TOKENIZERS`.
        rare, lower: as in `Tokenizer`.
    """
    options = _options(tokenizer)
    return _vocabulary(Tokenizer(own, rare=rare, lower=lower, **options))


def learn(lines, config):
    """The tokens of lines, an iterable of str, the most frequent first; those by jieba
    must have been cut."""
    options = _options(config.tokenizer)
    if options["units"] == "characters":
        lines = map(without_white_space, lines)
    tokenizer = Tokenizer.build(
        lines,
        size=config.vocabulary_size,
        min_count=config.min_count,
        lower=config.lower,
        **options,
    )
    if spacing.was_cut(tokenizer.rules):
        tokenizer.rules = {}  # Unicode knows better how a person writes.
    return _vocabulary(tokenizer)


def from_json(text):
    """Of `Vocabulary.to_json`, or of what older versions wrote, of which the oldest do
    not speak of lower case."""
    try:
        saved = read_json(text, {"tokenizer": str, "rare": int, "tokens": [str]})
    except UserError:
        return Vocabulary.from_json(text)
    lower = saved.get("lower", False) is True
    return words(saved["tokens"], saved["tokenizer"], saved["rare"], lower)


def _options(tokenizer):
    """Of the `Tokenizer`."""
    options = {"units": tokenizer, "special": SPECIAL, "written": True}
    if tokenizer == "jieba":  # It has no graph: its words stand apart already.
        options |= {"units": "spaces", "separator": ""}
    return options


def _vocabulary(tokenizer):
    white_space = tokenizer.units != "characters"
    return Vocabulary(tokenizer, with_start=True, white_space=white_space)
