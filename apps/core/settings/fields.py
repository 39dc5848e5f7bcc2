"""Settings: frozen dataclass <-> command line <-> JSON.

An app's `Config` is a frozen dataclass whose fields are made by `field` and whose
`__post_init__` calls `validate`, so that a wrong value is refused where it is
written down, by the same rule for Python, the command line and a JSON file:

    @dataclasses.dataclass(frozen=True)
    class Config:
        cell: str = field("gru", "the recurrent cell", choices=("lstm", "gru"))
        units: int = field(256, "width of the recurrent state", low=1)

        def __post_init__(self):
            validate(self)

`command_line` reads a config from the words of a command line, `json_text` from JSON.

The types that a field may have are bool, int, float, str, tuples of one of these
(`tuple[int, ...]`), and each of them `| None`.
"""

import dataclasses
import math
import os
import types
import typing

from ..errors import ConfigError, nearest

_NOUNS = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
_PLURALS = {bool: "booleans", int: "integers", float: "numbers", str: "texts"}


def field(
    default,
    help: str,
    choices=None,
    low=None,
    high=None,
    group="",
    request=False,
    formerly=(),
):
    """Declares one setting of a `Config`, or one of an app's `Options`.

    Args:
        default: the value where none is given.
        help: what the setting does, with its unit or the reason for its default.
        choices: the only values it may have; for a tuple, each of its items.
        low: the least number allowed; for a tuple, of each of its items.
        high: the greatest number allowed, likewise.
        group: the heading under which `--help` shows it.
        request: of `Options`, whether each request to an export may set it; else it is
            fixed when the model is exported.
        formerly: names that it had before, under which old files still hold it.

    Returns:
        A `dataclasses.field`.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "low": low,
        "high": high,
        "group": group,
        "request": request,
        "formerly": tuple(formerly),
    }
    return dataclasses.field(default=default, metadata=metadata)


def request_fields(options) -> tuple[str, ...]:
    """The names of the fields of `Options`, a class or an instance, that each request
    to an export may set."""
    return tuple(
        item.name
        for item in dataclasses.fields(options)
        if item.metadata.get("request")
    )


def validate(config) -> None:
    """Checks every field of a config; to be called by its `__post_init__`.

    Values that mean the same are brought to one form, so that a config compares
    equal after a round trip: a whole number for a float, a list for a tuple, a
    path object for text.

    Raises:
        ConfigError: a value has the wrong type, is none of the field's choices, or
            is out of its range.
    """
    for name, kind in field_types(type(config)).items():
        value = kind.normalise(name, getattr(config, name))
        object.__setattr__(config, name, value)  # the dataclass is frozen


@dataclasses.dataclass(frozen=True)
class FieldType:
    """What a field may hold: `item`, or a tuple of it, perhaps None, within limits."""

    item: type
    many: bool
    optional: bool
    choices: tuple | None
    low: float | None
    high: float | None

    def normalise(self, name: str, value):
        """Returns the value in its one form, or raises ConfigError."""
        if value is None and self.optional:
            return None
        if not self.many:
            return self._normalise_item(name, value, value)
        if not isinstance(value, list | tuple):
            raise self.wrong(name, value)
        return tuple(self._normalise_item(name, item, value) for item in value)

    def _normalise_item(self, name, item, value):
        if self.item is str and isinstance(item, os.PathLike):
            item = os.fspath(item)
        if self.item is float and type(item) is int:
            item = float(item) if abs(item) < 2**1000 else math.inf
        # `type(...) is` and not isinstance: True is an int to Python, not to a user.
        if type(item) is not self.item:
            raise self.wrong(name, value)
        if self.item is float and not math.isfinite(item):
            raise self.wrong(name, value)
        if self.item is str and not is_utf8(item):
            raise self.wrong(name, value)
        if self.choices is not None and item not in self.choices:
            raise self.wrong(name, value)
        if self.low is not None and item < self.low:
            raise self.wrong(name, value)
        if self.high is not None and item > self.high:
            raise self.wrong(name, value)
        return item

    def limits(self) -> str:
        """Describes the choices or the range; empty where there are none."""
        if self.choices is not None:
            return "one of " + ", ".join(as_text(choice) for choice in self.choices)
        if self.low is not None and self.high is not None:
            return f"from {self.low} to {self.high}"
        if self.low is not None:
            return f"at least {self.low}"
        if self.high is not None:
            return f"at most {self.high}"
        return ""

    def wrong(self, name, value) -> ConfigError:
        """The error for a value that this field cannot have."""
        noun = _NOUNS[self.item]
        if self.many:
            noun = f"{_PLURALS[self.item]} with commas between them"
        expected = ", ".join(part for part in (noun, self.limits()) if part)
        if self.optional:
            expected += ", or none"
        hint = ""
        if self.choices is not None and isinstance(value, str):
            hint = nearest(value, [as_text(choice) for choice in self.choices])
        return ConfigError(
            f"{name}: expected {expected}; received {with_type(value)}.{hint}"
        )


def field_types(config) -> dict[str, FieldType]:
    """Reads the type of every field from its annotation and its metadata."""
    cls = config if isinstance(config, type) else type(config)
    hints = typing.get_type_hints(cls)
    return {
        item.name: _field_type(item.name, hints[item.name], item.metadata)
        for item in dataclasses.fields(cls)
    }


def _field_type(name, hint, metadata) -> FieldType:
    optional = many = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        optional = type(None) in typing.get_args(hint)
        members = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        hint = members[0] if len(members) == 1 else hint
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,):
        many = True
        hint = typing.get_args(hint)[0]
    if hint not in _NOUNS:
        raise TypeError(
            f"field {name!r}: expected bool, int, float, str, a tuple[..., ...] of "
            f"one of them, or one of these | None; received {hint}."
        )
    limits = {key: metadata.get(key) for key in ("choices", "low", "high")}
    return FieldType(item=hint, many=many, optional=optional, **limits)


def unknown(what, received, name, known, write=str) -> ConfigError:
    """The error for a name that no field has.

    Args:
        what: what it should have been, in one word.
        received: as it was written; name: without the dashes of the command line, which
            would make any two options look alike.
        known: the names that exist; write: how they are written.
    """
    hint = nearest(name, known, write)
    names = ", ".join(write(item) for item in known)
    return ConfigError(
        f"expected a known {what}, received {received!r}."
        + (hint or f" The known ones are: {names}.")
    )


def as_text(value) -> str:
    """Writes a value as the command line takes it."""
    if isinstance(value, tuple):
        return ",".join(as_text(item) for item in value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def is_utf8(text: str) -> bool:
    """False for half a character, as JSON and names of files may hold; no UTF-8 file
    can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def with_type(value) -> str:
    """A value for an error, with its type where it is no text."""
    if isinstance(value, str):
        return repr(value)
    return f"{value!r} ({type(value).__name__})"
