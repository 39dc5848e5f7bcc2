"""Errors that the user can mend, and the hint they often end with."""

import collections.abc
import difflib


class UserError(ValueError):
    """Something the user can mend. The command line prints it without a traceback."""


class ConfigError(UserError):
    """A setting that does not exist, or a value that it cannot have."""


def nearest(name: str, known: collections.abc.Iterable[str], write=str) -> str:
    """Returns ` Did you mean 'x'?` for the known name nearest to `name`, or ``.

    Args:
        name: what was said.
        known: what could have been said.
        write: how a known name is shown.
    """
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {write(matches[0])!r}?" if matches else ""
