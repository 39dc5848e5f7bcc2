"""Sentences with a label for every token: builtin, or one's own.

`--data` takes

- `builtin`: Chinese sentences with names of people, places and firms (`--column
  entities`), only people as 1 and all else as 0 (`names`), or words and their parts of
  speech (`words`);
- a file, gzipped or not, as in `formats`; a hash of the sentence says which split it
  belongs to;
- a folder with files of which the names hold train, dev (or val) and test.
"""

import logging

from ..core.data import labelled
from ..core.data.rows import Examples, Splits
from ..core.errors import UserError
from . import builtin, formats, schemes

log = logging.getLogger("saccade")

COLUMNS = ("names", "entities", "words")


def read(config):
    """Three splits with `text`, cut already, and `labels`, a list of str per token."""
    if config.data == "builtin":
        if config.column not in ("", *COLUMNS):
            raise UserError(
                f"--column: expected of builtin {', '.join(COLUMNS)}; received "
                f"{config.column!r}."
            )
        found = builtin.read(config)
    else:
        rows = formats.read_rows(config)
        found = labelled.split_rows(config, rows, "text", "sentences")
    return in_scheme(found, config)


def in_scheme(found, config):
    """The splits with their labels in `config.scheme`; labels that their own scheme
    does not allow are mended, and counted in a warning."""
    parts = (found.train, found.validation, found.test)
    every = [labels for part in parts for labels in part["labels"]]
    odd = schemes.odd_ones(every)
    if odd:
        log.warning(
            "All labels but %s are those of entities. Because of these, each token "
            "stands for itself; mend them, or name another --column.",
            ", ".join(odd),
        )
    mended, wrong = schemes.repaired(every, config.scheme)
    if wrong:
        log.warning(
            "%d labels do not go with the one before, as an I behind an O does; each "
            "was read as the beginning of an entity, or as its end.",
            wrong,
        )
    rest = iter(mended)
    return Splits(
        *(
            Examples(text=part["text"], labels=[next(rest) for _ in part["labels"]])
            for part in parts
        )
    )


def why_no_test(config):
    """Why the test split is empty: half a sentence."""
    if config.data == "builtin":
        return f"--split={config.split} leaves none of its sentences to it"
    return formats.why_no_test(config)
