"""The Python door of an app, with a task that does nothing."""

import logging
import sys

import keras
import pytest

from saccade.apps.captioning import config as settings
from saccade.apps.captioning.config import Config
from saccade.apps.core import app as core_app
from saccade.apps.core.app import App
from saccade.apps.core.data.rows import Examples, Splits
from saccade.apps.core.errors import UserError
from saccade.apps.core.tasks.task import Task


class Fake(Task):
    """Its model knows nothing. test: its test examples."""

    name = "fake"
    Options = settings.Options
    test = Examples()

    def read(self):
        some = Examples(image=[b"a"])
        return Splits(some, some, self.test)

    def why_no_test(self):
        return f"{self.config.data} is small"

    def build_model(self):
        return keras.Sequential()

    def evaluate(self, *_):
        return {"score": 1.0}


@pytest.fixture
def app_with(monkeypatch):
    """Makes an App whose data has these test examples; `meanwhile` is called while it
    trains."""

    def make(test, meanwhile=lambda: None):
        def fit(task, answerer, splits, folder, resume, planned):
            planned(task.config)
            meanwhile()
            return task.config

        monkeypatch.setattr(core_app, "fit", fit)
        kind = type("FakeWithData", (Fake,), {"test": test})
        return App("fake", settings, kind)

    return make


def test_no_test_split_is_a_warning_and_no_scores(app_with, tmp_path, caplog):
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


def test_a_test_split_is_measured(app_with, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "saccade"):
        run = app_with(Examples(image=[b"b"])).train(Config(), tmp_path / "run")
    assert not caplog.text
    assert run.metrics == {"score": 1.0}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_one_training_at_a_time_in_a_folder(app_with, tmp_path):
    folder, refused = tmp_path / "run", []

    def second():
        with pytest.raises(UserError, match="Another process is training in") as error:
            app_with(Examples()).train(Config(), folder, resume=True)
        refused.append(error)

    app_with(Examples(), second).train(Config(), folder)
    assert refused
    app_with(Examples()).train(Config(), folder, resume=True)


def test_what_an_app_does_not_have_is_an_error(app_with, tmp_path):
    run = app_with(Examples()).train(Config(), tmp_path / "run")
    with pytest.raises(UserError, match="fake has nothing to inspect"):
        run.inspect("file")
    with pytest.raises(UserError, match="fake answers all at once"):
        run.stream("input")
    with pytest.raises(UserError, match="fake has no picture of an answer"):
        run.draw([], [])
