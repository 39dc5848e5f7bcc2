"""Settings as JSON."""

import pytest

from saccade.apps.core.errors import ConfigError
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
