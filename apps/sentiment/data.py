"""Texts and their verdicts: builtin, or one's own.

`--data` takes

- `builtin`: texts from small grammars, see `--builtin`. english, chinese: reviews in
  which the order of the words decides, not the words; victims: who was hit, as in
  张三打了李四; topics: what a text is about;
- a path: a table (`.csv`, `.tsv`, `.jsonl`), or a folder with exactly one, with a
  column of texts (`--text-column`) and one of labels (`--label-column`): words, or
  numbers as -1, 0, 1, two of them or more; `.tsv` has no quoting; `--split-column`
  names a column with train, val or test, `--topic-column` one with what a text is
  about, `--label-separator` what stands between labels where a text has several;
- a `.txt` file with lines `__label__good the text`, as fastText has them (with several
  labels in a line: `--label-separator "|"`);
- a folder with a folder of `.txt` files per label.
"""

import itertools
import random

from ..core.data import labelled, splits
from ..core.data.rows import Examples, Splits
from . import grammar


def read(config):
    """The texts that `config.data` names, in three splits."""
    if config.data == "builtin":
        return builtin(config)
    topic = {"topic": ("--topic-column", config.topic_column)}
    return labelled.read_splits(
        config,
        topic if config.topic_column else {},
        config.label_separator,
    )


def builtin(config):
    """Texts of the grammar that `config.builtin` names.

    Reviews and victims come in pairs: the same words in another order, and the other
    verdict. A bag of words is the same for both of a pair, so whoever reads none but
    the bag is right of one of the two, whatever was learned: 50 % of the test split.
    Both are in one split, by a hash of the bag. The order tells all, so the best that
    can be reached is 100 %. They are the same for every seed and on every machine.
    """
    draw = random.Random(f"saccade {config.builtin}")
    parts = {name: ([], []) for name in ("train", "validation", "test")}
    held_out = set(map(grammar.bag, grammar.HELD_OUT))
    pairs = grammar.pairs(draw, config.builtin)
    for text, label in itertools.chain.from_iterable(
        itertools.islice(pairs, config.builtin_size // 2)
    ):
        bag = grammar.bag(text)
        name = "test" if bag in held_out else splits.by_hash(config.split, bag)
        parts[name][0].append(text)
        parts[name][1].append(label)
    return Splits(*(Examples(text=t, label=v) for t, v in parts.values()))


def why_no_test(config):
    """Why the test split of this data is empty: half a sentence."""
    if config.data == "builtin":
        return f"--split={config.split} leaves none of its pairs to it"
    return splits.why_no_test(config, "text")
