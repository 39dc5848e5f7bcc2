"""Which split an example belongs to: by a name in a column, or by a hash."""

import hashlib

from ..errors import UserError

NAMES = {
    "train": "train",
    "training": "train",
    "restval": "train",  # COCO's pictures that Karpathy's split leaves over
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


def error_of(name):
    """Why a split's name is none, or ""; None stands for no name."""
    if name is None or name.strip().lower() in NAMES:
        return ""
    return f"expected train, val or test as its split, received {name!r}"


def split_of(name, shares, key):
    """train, validation or test: by its name, and where there is none by `by_hash`."""
    return NAMES[name.strip().lower()] if name is not None else by_hash(shares, key)


def percentages(shares):
    """ "90/5/5" as three floats.

    Raises:
        UserError: it is anything else than three percentages that sum to 100.
    """
    try:
        train, validation, test = (float(share) for share in shares.split("/"))
        hundred = abs(train + validation + test - 100) < 1e-6
        if not (hundred and train > 0 and validation >= 0 and test >= 0):
            raise ValueError
    except ValueError:
        raise UserError(
            "--split expected three percentages that sum to 100, the first above 0, as "
            f"in 80/10/10; received {shares!r}."
        ) from None
    return train, validation, test


def by_hash(shares, key):
    """train, validation or test for a key, as "90/5/5" divides them: the same whatever
    else is in the data.

    Raises:
        UserError: `shares` are not three percentages.
    """
    return by_shares(*percentages(shares), key)


def by_shares(train, validation, test, key):
    """As `by_hash`, of three numbers, of whatever sum."""
    position = hash_of(key) % 10_000 / 10_000 * (train + validation + test)
    if position < train:
        return "train"
    return "validation" if position < train + validation else "test"


def hash_of(text):
    """The same number on every machine; Python's own hash differs from run to run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def why_no_test(config, what):
    """Why the test split of a table is empty: half a sentence.

    Args:
        what: what a row is about, in the singular.
    """
    if config.split_column:
        return f"no row of {config.data} has test in the column {config.split_column!r}"
    return why_no_share(config, what)


def why_no_share(config, what):
    """As `why_no_test`, of data without a column of splits."""
    return (
        f"--split={config.split} gives it no {what} of {config.data}; a larger last "
        f"number, as in 80/10/10, or more {what}s would"
    )
