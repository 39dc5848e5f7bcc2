"""The hint at the end of an error, and the kinds of errors."""

from saccade.apps.core.errors import ConfigError, UserError, nearest


def test_nearest():
    assert nearest("lsmt", ["lstm", "gru"]) == " Did you mean 'lstm'?"
    assert nearest("zzz", ["lstm", "gru"]) == ""
    assert issubclass(ConfigError, UserError) and issubclass(UserError, ValueError)
