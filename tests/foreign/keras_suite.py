"""Runs Keras' own tests of its recurrent layers on ours.

Keras ships its tests in its wheel. Each of their modules looks its layers up under
the name `layers`; for the time of a test, that name stands for an object that hands
out our class where we have one and Keras' class otherwise.
"""

import importlib
import unittest
from unittest import mock


class _Layers:
    """Stands in for `keras.src.layers`."""

    def __init__(self, real, ours):
        self._real, self._ours = real, ours

    def __getattr__(self, name):
        return self._ours[name] if name in self._ours else getattr(self._real, name)


def on_our_layers(module, test_case, ours, skip=None):
    """A subclass of an upstream TestCase that tests our layers.

    Args:
        module: the upstream module, for instance "lstm_test".
        test_case: the name of the class in it.
        ours: dict, name of a Keras layer -> our class that takes its place.
        skip: dict, name of a test -> the reason why it says nothing about us.
    """
    upstream = importlib.import_module(f"keras.src.layers.rnn.{module}")
    base = getattr(upstream, test_case)
    skip = skip or {}
    unknown = [name for name in skip if not hasattr(base, name)]
    if unknown:
        raise ValueError(f"{module}.{test_case} has no tests {unknown} to skip.")

    def set_up(self):
        base.setUp(self)
        patch = mock.patch.object(upstream, "layers", _Layers(upstream.layers, ours))
        patch.start()
        self.addCleanup(patch.stop)

    skipped = {
        name: unittest.skip(reason)(getattr(base, name))
        for name, reason in skip.items()
    }
    return type(base)(test_case, (base,), {"setUp": set_up, **skipped})
