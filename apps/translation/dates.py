"""Builtin sentences: dates as fifteen languages and countries write them, and the same
dates in ISO 8601.

    Sonntag, 8. November 2026      2026-11-08
    8 ноября 2026 г.               2026-11-08
    en-US 11/08/2026               2026-11-08

Names and patterns stand in dates.json. A string has one right answer, whatever date and
pattern it was made of: where countries differ in what comes first, day or month, it
begins with its language, and there are no years of two digits.
"""

import datetime
import functools
import json
import pathlib
import random

from ..core.data import splits
from ..core.data.rows import Examples, Splits
from ..core.errors import UserError

FILE = pathlib.Path(__file__).with_name("dates.json")
DIGITS = "0123456789"
FIRST = datetime.date(1900, 1, 1).toordinal()
LAST = datetime.date(2099, 12, 31).toordinal()


@functools.cache
def facts():
    """What dates.json holds."""
    return json.loads(FILE.read_text("utf-8"))


def seen():
    """The patterns of the builtin data: list of (locale, pattern)."""
    return [
        (name, pattern)
        for name, locale in facts()["locales"].items()
        for pattern in locale["patterns"]
    ]


def held_out():
    """The patterns that the builtin data lacks: list of (locale, pattern)."""
    return [(held["locale"], held["pattern"]) for held in facts()["unseen"]]


def render(date, name, pattern):
    """A date by a pattern of the locale with this name, str."""
    locale = facts()["locales"][name]
    names = {
        field: locale[column][place]
        for field, column, place in (
            ("month", "months", date.month - 1),
            ("short", "short", date.month - 1),
            ("weekday", "weekdays", date.weekday()),
        )
        if column in locale
    }
    text = pattern.format(day=date.day, number=date.month, year=date.year, **names)
    return text.translate(str.maketrans(DIGITS, locale.get("digits", DIGITS)))


def builtin(config):
    """`config.builtin_size` different texts in three splits with the columns `text` and
    `translations`, a list of one: the same for every seed and on every machine.

    A hash of the date says which split it is in: no date of the test split is in
    another, in whatever language.

    Raises:
        UserError: there are not so many texts.
    """
    patterns = seen()
    most = (LAST - FIRST + 1) * len(patterns) // 2  # some languages write the same
    if config.builtin_size > most:
        raise UserError(
            f"--builtin-size expected at most {most}; received {config.builtin_size}."
        )
    draw = random.Random("saccade dates")
    parts = {name: {} for name in ("train", "validation", "test")}
    while sum(map(len, parts.values())) < config.builtin_size:
        date = datetime.date.fromordinal(draw.randint(FIRST, LAST))
        text = render(date, *draw.choice(patterns))
        iso = date.isoformat()
        parts[splits.by_hash(config.split, iso)][text] = [iso]
    return Splits(*map(_examples, parts.values()))


def unseen(config, size=500):
    """Texts by the patterns that the builtin data lacks, of dates of its test split: at
    most `size` of them, as `Examples`. Without a test split there are none."""
    days = map(datetime.date.fromordinal, range(FIRST, LAST + 1))
    dates = [d for d in days if splits.by_hash(config.split, d.isoformat()) == "test"]
    every = [(date, *pattern) for date in dates for pattern in held_out()]
    drawn = random.Random("saccade unseen dates").sample(every, min(size, len(every)))
    return _examples({render(*one): [one[0].isoformat()] for one in drawn})


def _examples(texts):
    return Examples(text=list(texts), translations=list(texts.values()))
