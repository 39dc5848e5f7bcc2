"""What --skip-bad leaves out."""

import types

import pytest

from saccade.apps.core.data.sieve import sift
from saccade.apps.core.errors import UserError


def config(**settings):
    return types.SimpleNamespace(
        **{"data": "folder", "skip_bad": False, "bad_at_most": 10.0} | settings
    )


def test_the_good_pass_and_the_first_bad_one_is_an_error():
    assert sift(config(), ["a", "b"], ["", ""], "rows") == ["a", "b"]
    with pytest.raises(UserError) as error:
        sift(config(), ["a", "b", "c"], ["", "x, line 2: torn", "worse"], "rows")
    assert str(error.value) == (
        "x, line 2: torn. (--skip-bad counts and skips such rows.)"
    )


def test_the_bad_are_counted_and_named(caplog):
    errors = ["", *(f"line {i}: torn" for i in range(22)), ""]
    good = sift(config(skip_bad=True, bad_at_most=92), range(24), errors, "lines")
    assert good == [0, 23]
    assert "Skipped 22 of 24 lines:\n  line 0: torn\n" in caplog.text
    assert "  line 19: torn\n  and 2 more" in caplog.text


def test_too_many_or_only_bad_ones_are_an_error():
    with pytest.raises(UserError) as error:
        sift(config(skip_bad=True), range(9), ["torn", *[""] * 8], "files")
    assert str(error.value) == (
        "1 of 9 files are bad, 11.1 %, which is more than --bad-at-most=10:\n  torn"
    )
    assert sift(config(skip_bad=True), range(10), ["torn", *[""] * 9], "files")
    with pytest.raises(UserError, match="folder: none of 2 rows is sound"):
        sift(config(skip_bad=True, bad_at_most=100), [1, 2], ["x", "y"], "rows")
