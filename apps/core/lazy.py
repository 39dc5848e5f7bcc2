"""What an app's package offers, imported when it is asked for.

The command line reads an app's `config` without paying for TensorFlow, so the package
itself imports none of its other modules.
"""

import importlib
import importlib.util
import sys


def members(package):
    """The `__getattr__` of an app's package: it offers `APP` and `build_model`.

    Args:
        package: the package's `__name__`; its last part is the app's name.
    """

    def module(part):
        return importlib.import_module(f".{part}", package)

    def make_app():
        from .app import App

        name = package.rpartition(".")[2]
        reads_inside = importlib.util.find_spec(f"{package}.inspection")
        return App(
            name=name,
            summary=module("config").SUMMARY,
            config=module("config"),
            data=module("data"),
            model=module("model"),
            training=module("train"),
            serve=module("serve"),
            inspection=module("inspection") if reads_inside else None,
        )

    def getattribute(name):
        if name == "APP":
            value = make_app()
        elif name == "build_model":
            value = module("model").build_model
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # made once
        return value

    return getattribute
