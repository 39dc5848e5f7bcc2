"""Settings on a command line: every form of an option, and what --help shows."""

import dataclasses

import pytest

from saccade.apps.core.errors import ConfigError
from saccade.apps.core.settings.command_line import (
    help_rows,
    parse_overrides,
    split_arguments,
)

from .example import Config


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


def test_words_and_options_are_parted():
    arguments = ["run", "--units", "3", "a.png", "--warm-up", "b.png", "-", "--rate=0"]
    words, options = split_arguments(Config, arguments)
    assert words == ["run", "a.png", "b.png", "-"]
    assert parse_overrides(Config, options) == Config(units=3, rate=0)
    with pytest.raises(ConfigError, match="--nothing"):
        split_arguments(Config, ["run", "--nothing"])


def test_help_has_a_row_per_field():
    rows = {row.flag: (row.default, row.help) for row in help_rows(Config)}
    assert len(rows) == len(dataclasses.fields(Config))
    assert rows["--cell"] == ("gru", "the recurrent cell (one of elman, lstm, gru)")
    assert rows["--warm-up/--no-warm-up"][0] == "true"
    assert rows["--filters"] == ("16,32", "of the stages (at least 1)")
    assert rows["--rate"][1] == "share dropped (from 0 to 0.9)"
    assert rows["--seed"][0] == "none"
    preset = {row.flag: row.default for row in help_rows(Config(units=9))}
    assert preset["--units"] == "9"
