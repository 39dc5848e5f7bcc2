"""Settings on a command line: `--key=value`, `--key value`, `--flag`, `--no-flag`.

parse_overrides(Config, ["--cell=lstm", "--units", "64"])
"""

import collections.abc
import dataclasses
import typing

from ..errors import ConfigError
from .fields import as_text, field_types, unknown

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
    types = field_types(config)
    values = {name: _value(types[name], name, text) for name, text in pairs}
    if isinstance(config, type):
        return config(**values)
    return dataclasses.replace(config, **values)


def split_arguments(
    config,
    arguments: collections.abc.Sequence[str],
    others: collections.abc.Iterable[str] = (),
) -> tuple[list[str], list[str]]:
    """Parts the plain words of a command line from its options.

    Args:
        config: a config class or instance; its fields say which options are
            switches, and so whether the word behind one belongs to it.
        arguments: the words of the command line, mixed.
        others: names of further options, for the error where one is unknown.

    Returns:
        `(words, options)`, the options in the form that `parse_overrides` takes.

    Raises:
        ConfigError: an option is unknown or lacks its value.
    """
    words, pairs = _read(config, arguments, others)
    return words, [f"--{name}={text}" for name, text in pairs]


class HelpRow(typing.NamedTuple):
    """A field in the table of `--help`."""

    flag: str
    default: str
    help: str
    group: str


def help_rows(config) -> list[HelpRow]:
    """A `HelpRow` for every field, for a table in `--help`.

    Args:
        config: a config class, or an instance, whose values are then shown as the
            defaults.
    """
    types = field_types(config)
    rows = []
    for item in dataclasses.fields(config):
        kind = types[item.name]
        flag = flag_of(item.name)
        if kind.item is bool:
            flag = f"{flag}/{flag_of('no_' + item.name)}"
        help = item.metadata.get("help", "")
        limits = kind.limits()
        text = f"{help} ({limits})" if limits else help
        value = as_text(getattr(config, item.name))
        rows.append(HelpRow(flag, value, text, item.metadata.get("group", "")))
    return rows


def _read(config, arguments, others=()) -> tuple[list[str], list[tuple[str, str]]]:
    """Parts a command line into plain words and (field name, value text) pairs."""
    types = field_types(config)
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
        is_negation = name not in types and positive != name and positive in types
        if is_negation and types[positive].item is bool:
            if equals:
                raise ConfigError(
                    f"{positive}: {flag} takes no value, received {word!r}."
                )
            pairs.append((positive, "false"))
            continue
        if name not in types:
            raise unknown("option", flag, name, [*types, *others], flag_of)
        if not equals:
            if types[name].item is bool and not types[name].many:
                text = "true"
            elif rest and not rest[0].startswith("--"):
                text = rest.pop(0)
            else:
                raise ConfigError(
                    f"{name}: expected a value, as in {flag}=VALUE; received none."
                )
        pairs.append((name, text))
    return words, pairs


def _value(kind, name, text):
    """Turns a word of the command line into a value; limits come later."""
    if kind.optional and text.lower() == "none":
        return None
    if not kind.many:
        return _item(kind, name, text, text)
    words = [word.strip() for word in text.split(",")]
    return tuple(_item(kind, name, word, text) for word in words if word)


def _item(kind, name, word, text):
    if kind.item is str:
        return word
    if kind.item is bool:
        if word.lower() in _SPELLINGS:
            return _SPELLINGS[word.lower()]
        raise kind.wrong(name, text)
    try:
        return kind.item(word)
    except ValueError:
        raise kind.wrong(name, text) from None


def flag_of(name: str) -> str:
    """The option of a field: dashes instead of underscores."""
    return "--" + name.replace("_", "-")
