"""Applications of `saccade.layers`: one folder per task, all of one shape.

This module is the registry through which the command line finds an app. It
imports no TensorFlow: an app is loaded when it is asked for, not when it is listed.
"""

if not __name__.startswith("saccade."):
    raise ImportError("import saccade.apps")

import dataclasses
import importlib
import typing

from .core.errors import UserError, nearest

if typing.TYPE_CHECKING:
    import types

    from .core.app import App


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the registry.

    Attributes:
        module: the name of the app's package inside `saccade.apps`.
        summary: the task in one sentence, as `saccade list` prints it.
        reads: what `saccade predict` hands to the app: "files", by their names, or
            "texts", which are also taken from --prompt and standard input.
    """

    module: str
    summary: str
    reads: str = "files"


REGISTRY: dict[str, Entry] = {
    "captioning": Entry(
        module="captioning",
        summary="a picture goes in, a sentence comes out, with a map of where the "
        "network looked for every word",
    ),
    "char_lm": Entry(
        module="char_lm",
        summary="a text goes in, its continuation comes out, a character at a time",
        reads="texts",
    ),
    "word_lm": Entry(
        module="word_lm",
        summary="a sentence goes in, its probability comes out, or its continuation, a "
        "word at a time",
        reads="texts",
    ),
}


def entry(name: str) -> Entry:
    """Looks an app up by its name.

    Raises:
        UserError: no app has this name; the message lists those that exist.
    """
    if name not in REGISTRY:
        known = ", ".join(sorted(REGISTRY))
        raise UserError(
            f"expected the name of an app, one of: {known}; received {name!r}."
            f"{nearest(name, REGISTRY)}"
        )
    return REGISTRY[name]


def load(name: str) -> "App":
    """Imports an app (and with it TensorFlow) and returns its `APP` record.

    Raises:
        UserError: no app has this name; the message lists those that exist.
    """
    module = importlib.import_module(f".{entry(name).module}", __name__)
    return module.APP


def load_config_module(name: str) -> "types.ModuleType":
    """Imports only the `config` module of an app, which needs no TensorFlow.

    Raises:
        UserError: no app has this name; the message lists those that exist.
    """
    return importlib.import_module(f".{entry(name).module}.config", __name__)
