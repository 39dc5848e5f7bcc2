"""Settings: from the command line, from JSON, from Python; all by the same rules."""

import dataclasses
import pathlib

import pytest

from saccade.apps.core.errors import ConfigError, UserError, nearest
from saccade.apps.core.settings.fields import (
    field,
    from_json,
    help_rows,
    parse_overrides,
    split_arguments,
    to_json,
    validate,
)


@dataclasses.dataclass(frozen=True)
class Config:
    cell: str = field("gru", "the recurrent cell", ("elman", "lstm", "gru"))
    units: int = field(64, "width of the state", low=1)
    rate: float = field(0.5, "share dropped", low=0, high=0.9)
    warm_up: bool = field(True, "raise the learning rate slowly")
    filters: tuple[int, ...] = field((16, 32), "of the stages", low=1)
    seed: int | None = field(None, "of the draws; none: a new one")
    data: str = field("builtin", "where the data is")
    no_data: float = field(1.0, "a name that looks like a negation", high=1)

    def __post_init__(self):
        validate(self)


def test_no_arguments_give_the_defaults():
    assert parse_overrides(Config, []) == Config()


@pytest.mark.parametrize(
    "arguments, changed",
    [
        (["--cell=lstm"], {"cell": "lstm"}),
        (["--cell", "lstm", "--units", "8"], {"cell": "lstm", "units": 8}),
        (["--warm-up"], {"warm_up": True}),
        (["--no-warm-up"], {"warm_up": False}),
        (["--no_warm_up"], {"warm_up": False}),
        (["--warm_up=off"], {"warm_up": False}),
        (["--warm-up=YES"], {"warm_up": True}),
        (["--no-warm-up", "--units=3"], {"warm_up": False, "units": 3}),
        (["--no-data=-1"], {"no_data": -1.0}),
        (["--no-data", "-1"], {"no_data": -1.0}),
        (["--filters=1,2, 3"], {"filters": (1, 2, 3)}),
        (["--filters="], {"filters": ()}),
        (["--seed=5"], {"seed": 5}),
        (["--seed=none"], {"seed": None}),
        (["--data=a=b"], {"data": "a=b"}),
        (["--data="], {"data": ""}),
        (["--data=none"], {"data": "none"}),
        (["--rate=1e-1"], {"rate": 0.1}),
        (["--units=1", "--units=2"], {"units": 2}),
    ],
)
def test_every_form_of_an_option(arguments, changed):
    assert parse_overrides(Config, arguments) == Config(**changed)


def test_an_instance_keeps_what_is_not_overridden():
    start = Config(cell="elman", units=3)
    assert parse_overrides(start, ["--units=4"]) == Config(cell="elman", units=4)
    assert start.units == 3


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--cel=gru"], ["'--cel'", "Did you mean '--cell'?"]),
        (["--warmup"], ["Did you mean '--warm-up'?"]),
        (["--zzz", "1"], ["'--zzz'", "--cell, --units"]),
        (["--no-units"], ["'--no-units'"]),
        (["--no-warm-up=false"], ["warm_up", "takes no value"]),
        (["--units"], ["units", "--units=VALUE", "none"]),
        (["--units", "--rate=0"], ["units", "--units=VALUE"]),
        (["7"], ["--key=value", "'7'"]),
        (["--warm-up", "true"], ["--key=value", "'true'"]),
        (["--units=many"], ["units", "an integer, at least 1", "'many'"]),
        (["--units=1.5"], ["units", "an integer", "'1.5'"]),
        (["--units=0"], ["units", "at least 1", "received 0"]),
        (["--rate=1"], ["rate", "a number, from 0 to 0.9", "1.0"]),
        (["--rate=nan"], ["rate", "a number", "nan"]),
        (["--no-data=inf"], ["no_data", "at most 1", "inf"]),
        (["--warm-up=maybe"], ["warm_up", "true or false", "'maybe'"]),
        (["--cell=lstn"], ["cell", "one of elman, lstm, gru", "mean 'lstm'?"]),
        (["--filters=1,x"], ["filters", "integers with commas", "'1,x'"]),
        (["--filters=1,0"], ["filters", "at least 1", "(1, 0)"]),
        (["--seed=x"], ["seed", "an integer, or none", "'x'"]),
    ],
)
def test_errors_say_what_was_expected_and_what_came(arguments, words):
    with pytest.raises(ConfigError) as refused:
        parse_overrides(Config, arguments)
    for word in words:
        assert word in str(refused.value)


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


def test_words_and_options_are_parted():
    arguments = ["run", "--units", "3", "a.png", "--warm-up", "b.png", "-", "--rate=0"]
    words, options = split_arguments(Config, arguments)
    assert words == ["run", "a.png", "b.png", "-"]
    assert parse_overrides(Config, options) == Config(units=3, rate=0)
    with pytest.raises(ConfigError, match="--nothing"):
        split_arguments(Config, ["run", "--nothing"])


def test_help_has_a_row_per_field():
    rows = {flag: (default, text) for flag, default, text in help_rows(Config)}
    assert len(rows) == len(dataclasses.fields(Config))
    assert rows["--cell"] == ("gru", "the recurrent cell (one of elman, lstm, gru)")
    assert rows["--warm-up/--no-warm-up"][0] == "true"
    assert rows["--filters"] == ("16,32", "of the stages (at least 1)")
    assert rows["--rate"][1] == "share dropped (from 0 to 0.9)"
    assert rows["--seed"][0] == "none"
    preset = {flag: default for flag, default, _ in help_rows(Config(units=9))}
    assert preset["--units"] == "9"


def test_a_field_of_another_kind_is_the_authors_mistake():
    @dataclasses.dataclass(frozen=True)
    class Odd:
        table: dict = field(None, "not for a command line")

        def __post_init__(self):
            validate(self)

    with pytest.raises(TypeError, match="table"):
        Odd()


def test_nearest():
    assert nearest("lsmt", ["lstm", "gru"]) == " Did you mean 'lstm'?"
    assert nearest("zzz", ["lstm", "gru"]) == ""
    assert issubclass(ConfigError, UserError) and issubclass(UserError, ValueError)
