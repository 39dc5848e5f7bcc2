"""Settings as JSON: a config's own files, and JSON that a stranger may have written."""

import dataclasses
import json

from ..errors import ConfigError, UserError
from .fields import field_types, is_utf8, unknown, with_type


def to_json(config, app="") -> str:
    """Returns the config as JSON text, one field a line, in order of declaration; first
    comes `app`, the name of the app that it belongs to."""
    content = ({"app": app} if app else {}) | dataclasses.asdict(config)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def from_json(cls, source, app=""):
    """Reads what `to_json` wrote. Fields that are left out have their defaults; one
    that has another name today is also read by its former one.

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
        raise ConfigError(f"expected {what}, received {with_type(source)}.")
    source = dict(source)
    owner = source.pop("app", app)
    if app and owner != app:
        raise ConfigError(f"expected settings of {app}, received those of {owner}.")
    types = field_types(cls)
    source = _renamed(cls, source, types)
    for name in source:
        if name not in types:
            raise unknown("field", name, name, types)
    return cls(**source)


def _renamed(cls, source, types):
    """An old file's fields by the names of today.

    A former name may mean something else today. So it is taken for a former one only in
    an old file, which holds some name that exists no more.
    """
    names = {
        former: item.name
        for item in dataclasses.fields(cls)
        for former in item.metadata.get("formerly", ())
    }
    if all(former in types for former in names if former in source):
        return source
    return {names.get(name, name): value for name, value in source.items()}


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
        return type(value) is kind and (kind is not str or is_utf8(value))

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
