"""Sentences and their translations: builtin dates, or one's own.

`--data` takes

- `builtin`: dates in many languages, and the same in ISO 8601, see `dates`;
- a folder with two files of each part, gzipped or not, in which the same lines say the
  same: `train.en` and `train.de`, `val.en.gz` and `val.de.gz`, `test_2016.en` …, with
  `--source en --target de`;
- what the names of two such files begin with: `FOLDER/test_2016`;
- a table (`.csv`, `.tsv`, `.jsonl`), or a folder with one, or with one of each part.
  The columns bear the names of the languages; without a header `--columns en,zh` says
  what stands in the first ones. `.tsv` has no quoting.

A part is train, val (also dev, valid, validation) or test. Where no file is of val or
test, the column `--split-column` says where a row belongs, or else a hash of its source
sentence, so that equal ones stay together. A pair of a part that `--data` names by its
beginning is all of that split, and so is one table of val or test.
"""

import logging
import re

from ..core.data import splits, tables
from ..core.data.encodings import read_utf8
from ..core.data.rows import Examples, Row, Splits
from ..core.data.sieve import sift
from ..core.errors import UserError
from ..core.settings.fields import is_utf8
from . import dates
from .files import sources

log = logging.getLogger("saccade")


def read(config):
    """Three splits with the columns `text`, the source sentence, and `translations`, a
    list of str: of equal sentences in one split, all different translations.

    The order of each split is by a hash of the sentence: many files are sorted by
    length, and validation takes the first examples.

    Raises:
        UserError: there are no such files, columns or languages, two files differ in
            their number of lines, a row is bad (see `sieve.sift`), or none is left to
            learn from.
    """
    if config.data == "builtin":
        return dates.builtin(config)
    found, note = sources(config)
    if note:
        log.info("%s", note)
    rows = [row for part, files in found for row in read_rows(config, part, files)]
    if not rows:
        raise UserError(f"{config.data}: expected at least one row, found none.")
    errors = [row.error and f"{row.where}: {row.error}" for row in rows]
    parts = {"train": {}, "validation": {}, "test": {}}
    for row in sift(config, rows, errors, "pairs"):
        text, translation = row.values["text"], row.values["translation"]
        part = parts[splits.split_of(row.split, config.split, text)]
        part.setdefault(text, {})[translation] = True
    one_part = found[0][0] and len({part for part, _ in found}) == 1
    if not parts["train"] and not one_part:  # of which the others are empty
        raise UserError(f"{config.data}: no pair falls into the training split.")
    return Splits(*map(_examples, parts.values()))


def _examples(part):
    """Examples of a dict: sentence -> dict with its translations, in their order."""
    texts = sorted(part, key=lambda text: splits.hash_of(f"order {text}"))
    return Examples(text=texts, translations=[list(part[text]) for text in texts])


def why_no_test(config):
    """Why the test split is empty: half a sentence."""
    if config.data == "builtin":
        return f"--split={config.split} leaves none of its dates to it"
    parts = {part for part, _ in sources(config)[0]}
    if None in parts:
        return splits.why_no_test(config, "sentence")
    if len(parts) == 1:
        return f"{config.data} is all of the {parts.pop()} split"
    return f"no file in {config.data} has a name that begins with test"


def read_rows(config, part, files):
    """All rows of a table or a pair of files, also the bad ones: list of `Row` with
    `text` and `translation`.

    Args:
        part: their split; None: as a column or a hash says.
    """
    if len(files) == 1:
        return _rows_of_table(config, part, *files)
    languages = (config.source, config.target)
    source, target = map(_lines, files)
    if len(source) != len(target):
        raise UserError(
            "Expected two files with as many lines, each the other's translation; "
            f"{files[0]} has {len(source)} and {files[1]} has {len(target)}. Take both "
            "from one release, or look for a sentence with a line break in it."
        )
    rows = []
    for number, sides in enumerate(zip(source, target, strict=True), 1):
        places = [f"{file}, line {number}" for file in files]
        rows.append(_row(languages, sides, places, part))
    return rows


def _lines(path):
    # Not splitlines(), which also ends a line at U+2028, U+0085 and others.
    lines = re.split(r"\r?\n", read_utf8(path))
    return lines if lines[-1] else lines[:-1]


def _rows_of_table(config, part, path):
    languages = (config.source, config.target)
    columns = [name.strip() for name in config.columns.split(",") if name.strip()]
    if columns and not set(languages) <= set(columns):
        raise UserError(
            f"--columns expected what the first columns hold, with {config.source} and "
            f"{config.target}, as in {','.join(languages)}; received "
            f"{config.columns!r}."
        )
    wanted = {"--source": config.source, "--target": config.target}
    if config.split_column:
        wanted["--split-column"] = config.split_column
    rows = []
    for record in tables.read(path, wanted, columns=columns or languages):
        if record.error:
            rows.append(Row(record.where, error=record.error))
            continue
        named = record.values.get(config.split_column) if config.split_column else part
        named = None if named is None else str(named)
        sides = [record.values[language] for language in languages]
        rows.append(_row(languages, sides, [record.where] * 2, named))
    return rows


def _row(languages, sides, places, part):
    """A `Row` of a sentence and its translation, which stand at these places."""
    for language, side, where in zip(languages, sides, places, strict=True):
        if not (isinstance(side, str) and side.strip() and is_utf8(side)):
            error = f"expected a sentence in {language}, received {side!r:.60}"
            return Row(where, error=error)
    text, translation = (side.strip() for side in sides)
    values = {"text": text, "translation": translation}
    return Row(places[0], values, part, splits.error_of(part))
