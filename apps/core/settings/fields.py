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

    parse_overrides(Config, ["--cell=lstm", "--units", "64"])

The types that a field may have are bool, int, float, str, tuples of one of these
(`tuple[int, ...]`), and each of them `| None`.
"""

import collections.abc
import dataclasses
import json
import math
import os
import types
import typing

from ..errors import ConfigError, UserError, nearest

_SPELLINGS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_NOUNS = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
_PLURALS = {bool: "booleans", int: "integers", float: "numbers", str: "texts"}


def field(default, help: str, choices=None, low=None, high=None):
    """Declares one setting of a `Config`.

    Args:
        default: the value when nothing is said.
        help: what the setting does, with its unit or the reason for its default.
        choices: the only values it may have; for a tuple, each of its items.
        low: the least number allowed; for a tuple, of each of its items.
        high: the greatest number allowed, likewise.

    Returns:
        A `dataclasses.field`.
    """
    metadata = {"help": help, "choices": choices, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=metadata)


def validate(config) -> None:
    """Checks every field of a config; to be called by its `__post_init__`.

    Values that mean the same are brought to one form, so that a config compares
    equal after a round trip: a whole number for a float, a list for a tuple, a
    path object for text.

    Raises:
        ConfigError: a value has the wrong type, is none of the field's choices, or
            is out of its range.
    """
    for name, kind in _kinds(type(config)).items():
        value = kind.normalise(name, getattr(config, name))
        object.__setattr__(config, name, value)  # the dataclass is frozen


def parse_overrides(config, arguments: collections.abc.Sequence[str]):
    """Reads `--key=value`, `--key value`, `--flag` and `--no-flag` into a config.

    Dashes and underscores in keys are equal; the last of several values wins. A
    switch never takes the next word as its value (`--flag=false` does).

    Args:
        config: a config class (its defaults are the start) or an instance.
        arguments: the words of the command line.

    Returns:
        An instance of the config class.

    Raises:
        ConfigError: a word is no option, a key is unknown (the nearest one is
            suggested), a value is missing or not one that the field can have.
    """
    words, pairs = _read(config, arguments)
    if words:
        raise ConfigError(
            f"expected options as --key=value, received {words[0]!r} beside them."
        )
    kinds = _kinds(config)
    values = {name: kinds[name].parse(name, text) for name, text in pairs}
    if isinstance(config, type):
        return config(**values)
    return dataclasses.replace(config, **values)


def split_arguments(
    config, arguments: collections.abc.Sequence[str]
) -> tuple[list[str], list[str]]:
    """Parts the plain words of a command line from its options.

    Args:
        config: a config class or instance; its fields say which options are
            switches, and so whether the word behind one belongs to it.
        arguments: the words of the command line, mixed.

    Returns:
        `(words, options)`, the options in the form that `parse_overrides` takes.

    Raises:
        ConfigError: an option is unknown or lacks its value.
    """
    words, pairs = _read(config, arguments)
    return words, [f"--{name}={text}" for name, text in pairs]


def to_json(config, app="") -> str:
    """Returns the config as JSON text, one field a line, in order of declaration; first
    comes `app`, the name of the app that it belongs to."""
    content = ({"app": app} if app else {}) | dataclasses.asdict(config)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def from_json(cls, source, app=""):
    """Reads what `to_json` wrote. Fields that are left out have their defaults.

    Args:
        cls: the config class.
        source: JSON text, or a dict as `json.loads` returns it.
        app: the name of the app that it should belong to.

    Raises:
        ConfigError: the text is no JSON object, a key or value is wrong, or it belongs
            to another app.
    """
    what = f"a JSON object with the fields of {cls.__name__}"
    if isinstance(source, str | bytes):
        try:
            source = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"expected {what}, received text that is no JSON: {error}."
            ) from error
    if not isinstance(source, dict):
        raise ConfigError(f"expected {what}, received {_shown(source)}.")
    source = dict(source)
    owner = source.pop("app", app)
    if app and owner != app:
        raise ConfigError(f"expected settings of {app}, received those of {owner}.")
    kinds = _kinds(cls)
    for name in source:
        if name not in kinds:
            raise _unknown(name, name, kinds)
    return cls(**source)


def read_json(text, fields: dict[str, type | list[type]]) -> dict:
    """Reads a JSON object that a stranger may have written.

    Args:
        text: what should be JSON.
        fields: the fields it must have, each with the type of its value, `[str]` for
            a list of texts.

    Raises:
        UserError: it is no JSON object, a field is missing, or has another type.
    """

    def fits(value, kind):
        if isinstance(kind, list):
            return type(value) is list and all(fits(item, kind[0]) for item in value)
        return type(value) is kind and (kind is not str or _is_text(value))

    try:
        saved = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"expected JSON, received text that is none: {error}."
        ) from error
    for name, kind in fields.items():
        if type(saved) is not dict or name not in saved or not fits(saved[name], kind):
            shown = (
                f"list of {kind[0].__name__}" if type(kind) is list else kind.__name__
            )
            raise UserError(
                f"expected a JSON object with {name!r}, of type {shown}; received "
                f"{text[:80]!r}."
            )
    return saved


def help_rows(config) -> list[tuple[str, str, str]]:
    """Returns `(flag, default, help)` for every field, for a table in `--help`.

    Args:
        config: a config class, or an instance, whose values are then shown as the
            defaults.
    """
    kinds = _kinds(config)
    rows = []
    for item in dataclasses.fields(config):
        kind = kinds[item.name]
        flag = _flag(item.name)
        if kind.item is bool:
            flag = f"{flag}/{_flag('no_' + item.name)}"
        help = item.metadata.get("help", "")
        limits = kind.limits()
        text = f"{help} ({limits})" if limits else help
        rows.append((flag, _text(getattr(config, item.name)), text))
    return rows


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What a field may hold: `item`, or a tuple of it, perhaps None, within limits."""

    item: type
    many: bool
    optional: bool
    choices: tuple | None
    low: float | None
    high: float | None

    def parse(self, name: str, text: str):
        """Turns a word of the command line into a value; limits come later."""
        if self.optional and text.lower() == "none":
            return None
        if not self.many:
            return self._parse_item(name, text, text)
        words = [word.strip() for word in text.split(",")]
        return tuple(self._parse_item(name, word, text) for word in words if word)

    def _parse_item(self, name, word, text):
        if self.item is str:
            return word
        if self.item is bool:
            if word.lower() in _SPELLINGS:
                return _SPELLINGS[word.lower()]
            raise self._wrong(name, text)
        try:
            return self.item(word)
        except ValueError:
            raise self._wrong(name, text) from None

    def normalise(self, name: str, value):
        """Returns the value in its one form, or raises ConfigError."""
        if value is None and self.optional:
            return None
        if not self.many:
            return self._normalise_item(name, value, value)
        if not isinstance(value, list | tuple):
            raise self._wrong(name, value)
        return tuple(self._normalise_item(name, item, value) for item in value)

    def _normalise_item(self, name, item, value):
        if self.item is str and isinstance(item, os.PathLike):
            item = os.fspath(item)
        if self.item is float and type(item) is int:
            item = float(item) if abs(item) < 2**1000 else math.inf
        # `type(...) is` and not isinstance: True is an int to Python, not to a user.
        if type(item) is not self.item:
            raise self._wrong(name, value)
        if self.item is float and not math.isfinite(item):
            raise self._wrong(name, value)
        if self.item is str and not _is_text(item):
            raise self._wrong(name, value)
        if self.choices is not None and item not in self.choices:
            raise self._wrong(name, value)
        if self.low is not None and item < self.low:
            raise self._wrong(name, value)
        if self.high is not None and item > self.high:
            raise self._wrong(name, value)
        return item

    def limits(self) -> str:
        """Describes the choices or the range; empty where there are none."""
        if self.choices is not None:
            return "one of " + ", ".join(_text(choice) for choice in self.choices)
        if self.low is not None and self.high is not None:
            return f"from {self.low} to {self.high}"
        if self.low is not None:
            return f"at least {self.low}"
        if self.high is not None:
            return f"at most {self.high}"
        return ""

    def _wrong(self, name, value) -> ConfigError:
        noun = _NOUNS[self.item]
        if self.many:
            noun = f"{_PLURALS[self.item]} with commas between them"
        expected = ", ".join(part for part in (noun, self.limits()) if part)
        if self.optional:
            expected += ", or none"
        hint = ""
        if self.choices is not None and isinstance(value, str):
            hint = nearest(value, [_text(choice) for choice in self.choices])
        return ConfigError(
            f"{name}: expected {expected}; received {_shown(value)}.{hint}"
        )


def _kinds(config) -> dict[str, _Kind]:
    """Reads the kind of every field from its annotation and its metadata."""
    cls = config if isinstance(config, type) else type(config)
    hints = typing.get_type_hints(cls)
    return {
        item.name: _kind(item.name, hints[item.name], item.metadata)
        for item in dataclasses.fields(cls)
    }


def _kind(name, hint, metadata) -> _Kind:
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
    return _Kind(item=hint, many=many, optional=optional, **limits)


def _read(config, arguments) -> tuple[list[str], list[tuple[str, str]]]:
    """Parts a command line into plain words and (field name, value text) pairs."""
    kinds = _kinds(config)
    words, pairs = [], []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        flag, equals, text = word.partition("=")
        name = flag[2:].replace("-", "_")
        positive = name.removeprefix("no_")
        is_negation = name not in kinds and positive != name and positive in kinds
        if is_negation and kinds[positive].item is bool:
            if equals:
                raise ConfigError(
                    f"{positive}: {flag} takes no value, received {word!r}."
                )
            pairs.append((positive, "false"))
            continue
        if name not in kinds:
            raise _unknown(name, flag, kinds)
        if not equals:
            if kinds[name].item is bool and not kinds[name].many:
                text = "true"
            elif rest and not rest[0].startswith("--"):
                text = rest.pop(0)
            else:
                raise ConfigError(
                    f"{name}: expected a value, as in {flag}=VALUE; received none."
                )
        pairs.append((name, text))
    return words, pairs


def _unknown(name, shown, kinds) -> ConfigError:
    write, what = (_flag, "option") if shown.startswith("--") else (str, "field")
    # Compared without the dashes, which would make any two options look alike.
    hint = nearest(name, kinds, write)
    known = ", ".join(write(kind) for kind in kinds)
    return ConfigError(
        f"expected a known {what}, received {shown!r}."
        + (hint or f" The known ones are: {known}.")
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(value) -> str:
    """Writes a value as the command line takes it."""
    if isinstance(value, tuple):
        return ",".join(_text(item) for item in value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _is_text(text: str) -> bool:
    """False for half a character, as JSON and names of files may hold; no UTF-8 file
    can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value) -> str:
    return (
        repr(value) if isinstance(value, str) else f"{value!r} ({type(value).__name__})"
    )
