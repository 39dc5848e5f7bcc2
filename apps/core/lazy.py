"""What an app's package offers, imported when it is asked for.

The command line reads an app's `config` without paying for TensorFlow, so the package
itself imports none of its other modules.
"""

import importlib
import sys


def members(package):
    """The `__getattr__` of an app's package: it offers `APP`, `build_model` and, where
    the app has one, `build_sequential`.

    Args:
        package: the package's `__name__`; its last part is the app's name.
    """

    def module(part):
        return importlib.import_module(f".{part}", package)

    def make_app():
        from .app import App

        name = package.rpartition(".")[2]
        return App(name, module("config"), module("task").task_for)

    def getattribute(name):
        if name == "APP":
            value = make_app()
        elif name in ("build_model", "build_sequential"):
            value = getattr(module("model"), name)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # made once
        return value

    return getattribute
