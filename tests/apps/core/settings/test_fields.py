"""The rules for the values of settings, as Python sees them."""

import dataclasses
import pathlib

import pytest

from saccade.apps.core.errors import ConfigError
from saccade.apps.core.settings.fields import field, validate

from .example import Config


@pytest.mark.parametrize(
    "values, word",
    [
        ({"units": True}, "received True"),
        ({"units": 2.0}, "received 2.0 (float)"),
        ({"units": None}, "received None"),
        ({"rate": "0.5"}, "received '0.5'"),
        ({"warm_up": 1}, "true or false"),
        ({"filters": 3}, "integers with commas"),
        ({"filters": ("3",)}, "integers with commas"),
        ({"data": 3}, "expected text"),
    ],
)
def test_python_has_the_same_rules(values, word):
    with pytest.raises(ConfigError, match=next(iter(values))) as refused:
        Config(**values)
    assert word in str(refused.value)


def test_values_that_mean_the_same_become_equal():
    config = Config(rate=0, filters=[1, 2], data=pathlib.Path("a") / "b")
    assert config == Config(rate=0.0, filters=(1, 2), data="a/b")
    assert isinstance(config.rate, float) and isinstance(config.data, str)


def test_a_field_of_another_kind_is_the_authors_mistake():
    @dataclasses.dataclass(frozen=True)
    class Odd:
        table: dict = field(None, "not for a command line")

        def __post_init__(self):
            validate(self)

    with pytest.raises(TypeError, match="table"):
        Odd()
