"""The kinds of trainers. What holds for one app of a kind holds for all."""

import dataclasses

import pytest

from saccade import apps

from ..apps.expected import EXPECTED

# kind -> an app, and settings besides; small networks: nothing is to be learned.
KINDS = {
    "plain": ("sentiment", {"units": 8, "embedding": 8}),
    "carried state": ("char_lm", {}),
    "REINFORCE": (
        "captioning",
        {"attention": "hard", "filters": (8, 16), "units": 16, "attention_units": 8},
    ),
}

# For what takes many processes: `make test` has the quickest kind, `make test-slow` the
# others.
IN_BOTH_TIERS = [
    pytest.param(kind, marks=[] if kind == "carried state" else pytest.mark.slow)
    for kind in KINDS
]


def settings_of(kind, **settings):
    """The app's name, and the settings that make its preset `tiny` of this kind and
    its data small."""
    name, more = KINDS[kind]
    return name, {**EXPECTED[name].small, **more, **settings}


def app_and_config(kind, **settings):
    """The app, and a Config by `settings_of`."""
    name, settings = settings_of(kind, **settings)
    app = apps.load(name)
    return app, dataclasses.replace(app.presets["tiny"](), **settings)
