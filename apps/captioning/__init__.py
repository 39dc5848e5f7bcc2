"""Captioning: a picture goes in, a sentence comes out."""

import importlib


def __getattr__(name):
    # Lazily: the command line reads `config` without paying for TensorFlow.
    if name == "APP":
        from ..core.app import App

        modules = {
            part: importlib.import_module(f".{part}", __name__)
            for part in ("config", "data", "model", "train", "serve")
        }
        value = App(
            name="captioning",
            summary="a picture goes in, a sentence comes out, with a map of where the "
            "network looked for every word",
            config=modules["config"],
            data=modules["data"],
            model=modules["model"],
            training=modules["train"],
            serve=modules["serve"],
        )
    elif name == "build_model":
        from .model import build_model as value
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
