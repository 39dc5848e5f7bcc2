"""The record that ties an app together, with modules that do nothing."""

import logging
import sys
import types

import keras
import pytest

from saccade.apps.captioning.config import Config, Decode
from saccade.apps.captioning.examples import Examples, Splits
from saccade.apps.core.app import App
from saccade.apps.core.errors import UserError


def app_with(test, meanwhile=lambda: None):
    """An App whose data has these test examples and whose model knows nothing;
    `meanwhile` is called while it trains."""
    some = Examples([b"a"], [["a"]])
    assets = types.SimpleNamespace(to_json=lambda: "{}")

    def fit(model, config, assets, splits, folder, resume, planned):
        planned(config)
        meanwhile()
        return config

    return App(
        name="fake",
        summary="does nothing",
        config=types.SimpleNamespace(Config=Config, Decode=Decode),
        data=types.SimpleNamespace(
            load_data=lambda config: Splits(some, some, test),
            learn=lambda config, splits: (config, assets),
            why_no_test=lambda config: f"{config.data} is small",
        ),
        model=types.SimpleNamespace(build_model=lambda *_: keras.Sequential()),
        training=types.SimpleNamespace(fit=fit),
        serve=types.SimpleNamespace(evaluate=lambda *_: {"score": 1.0}),
    )


def test_no_test_split_is_a_warning_and_no_scores(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "saccade"):
        run = app_with(Examples()).train(Config(data="D"), tmp_path / "run")
    assert "no scores: the test split is empty, because D is small." in caplog.text
    assert run.metrics == {}
    with pytest.raises(UserError, match="test split is empty, because D is small"):
        run.evaluate()
    with pytest.raises(UserError, match="test split is empty, because E is small"):
        run.evaluate("E")
    with pytest.raises(UserError, match="received no examples"):
        run.evaluate(Examples())


def test_a_test_split_is_measured(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "saccade"):
        run = app_with(Examples([b"b"], [["b"]])).train(Config(), tmp_path / "run")
    assert not caplog.text
    assert run.metrics == {"score": 1.0}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_one_training_at_a_time_in_a_folder(tmp_path):
    folder, refused = tmp_path / "run", []

    def second():
        with pytest.raises(UserError, match="Another process is training in") as error:
            app_with(Examples()).train(Config(), folder, resume=True)
        refused.append(error)

    app_with(Examples(), second).train(Config(), folder)
    assert refused
    app_with(Examples()).train(Config(), folder, resume=True)


def test_what_an_app_does_not_have_is_an_error(tmp_path):
    run = app_with(Examples()).train(Config(), tmp_path / "run")
    with pytest.raises(UserError, match="fake has nothing to inspect"):
        run.inspect("file")
    with pytest.raises(UserError, match="fake answers all at once"):
        run.stream("input")
    with pytest.raises(UserError, match="fake has no picture of an answer"):
        run.draw([], [])
