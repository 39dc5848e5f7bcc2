"""Settings as JSON."""

import dataclasses

import pytest

from saccade.apps.core.errors import ConfigError
from saccade.apps.core.settings.fields import field, validate
from saccade.apps.core.settings.json_text import from_json, to_json

from .example import Config


def test_json_round_trip():
    config = Config(cell="lstm", filters=(5,), seed=3, data="名前", rate=0.1)
    text = to_json(config)
    assert from_json(Config, text) == config
    assert "名前" in text and text.endswith("}\n")


def test_json_may_leave_fields_out_or_be_a_dict():
    assert from_json(Config, '{"units": 7}') == Config(units=7)
    assert from_json(Config, {"units": 7}) == Config(units=7)


@pytest.mark.parametrize(
    "source, words",
    [
        ('{"unit": 7}', ["'unit'", "Did you mean 'units'?"]),
        ('{"units": "7"}', ["units", "an integer", "'7'"]),
        ("[1]", ["JSON object", "list"]),
        ("{", ["JSON object", "Config", "no JSON"]),
    ],
)
def test_wrong_json_is_an_error(source, words):
    with pytest.raises(ConfigError) as refused:
        from_json(Config, source)
    for word in words:
        assert word in str(refused.value)


@dataclasses.dataclass(frozen=True)
class Renamed:
    """`units` was called `units_rnn` once, and `tokens` was called `units`."""

    tokens: str = field("words", "", formerly=("units",))
    units: int = field(8, "", formerly=("units_rnn",))

    def __post_init__(self):
        validate(self)


def test_old_files_are_read_by_the_former_names():
    old = {"units": "characters", "units_rnn": 64}
    assert from_json(Renamed, old) == Renamed(tokens="characters", units=64)
    assert from_json(Renamed, {"units_rnn": 64}) == Renamed(units=64)
    # What is a name today is no former one in a file of today.
    assert from_json(Renamed, {"units": 16}) == Renamed(units=16)
    with pytest.raises(ConfigError, match="units: expected an integer"):
        from_json(Renamed, {"units": "characters"})
