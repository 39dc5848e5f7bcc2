"""Applications of `saccade.layers`: one folder per task, all of one shape.

This module is the registry through which the command line finds an app: a folder beside
it with a `config.py`. It imports no TensorFlow: an app is loaded when it is used, not
when it is listed.

What `config.py` offers to the registry:
    SUMMARY: the task in one sentence, as `saccade list` prints it.
"""

if not __name__.startswith("saccade."):
    raise ImportError("import saccade.apps")

import importlib
import pathlib
import typing

from .core.errors import UserError, nearest

if typing.TYPE_CHECKING:
    import types

    from .core.app import App


def find_apps(folder: pathlib.Path) -> tuple[str, ...]:
    """The names of the apps in a folder, sorted: its subfolders with a config.py."""
    return tuple(sorted(path.parent.name for path in folder.glob("*/config.py")))


REGISTRY = find_apps(pathlib.Path(__file__).parent)


def load(name: str) -> "App":
    """Imports an app (and with it TensorFlow) and returns its `APP` record.

    Raises:
        UserError: no app has this name; the message lists those that exist.
    """
    _check(name)
    return importlib.import_module(f".{name}", __name__).APP


def load_config_module(name: str) -> "types.ModuleType":
    """Imports only the `config` module of an app, which needs no TensorFlow.

    Raises:
        UserError: no app has this name; the message lists those that exist.
    """
    _check(name)
    return importlib.import_module(f".{name}.config", __name__)


def _check(name):
    if name not in REGISTRY:
        raise UserError(
            f"expected the name of an app, one of: {', '.join(REGISTRY)}; received "
            f"{name!r}.{nearest(name, REGISTRY)}"
        )
