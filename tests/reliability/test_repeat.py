"""A run's config.json is enough to repeat it, to the bit."""

import dataclasses
import json
import shutil

import pytest
import typer.testing

from saccade import apps
from saccade.apps.cli import cli, loading
from saccade.apps.core.errors import UserError
from saccade.apps.core.settings.json_text import from_json

from ..apps.runs import assert_same_run, train_shortly
from ..groups import each_app, representatives
from .kinds import app_and_config


def repeat(app, first, folder):
    """Train again by what is written in a run's folder; nothing may differ."""
    written = (first.folder / "config.json").read_text("utf-8")
    again = app.train(from_json(app.Config, written), out=folder / "again")
    assert_same_run(again.folder, first.folder)
    assert again.metrics == first.metrics
    assert weights(again) == weights(first)

    other = dataclasses.replace(from_json(app.Config, written), seed=6)
    assert weights(app.train(other, out=folder / "other")) != weights(first)


@each_app(*representatives())
def test_a_run_is_repeated_from_its_config(trained, tmp_path):
    """A kind of trainer each: plain, and with a carried state."""
    repeat(trained.app, trained.short.run, tmp_path)


@pytest.fixture(scope="module")
def reinforced(tmp_path_factory):
    """A `Short` training by REINFORCE."""
    app, config = app_and_config("REINFORCE")
    return app, train_shortly(app, config, tmp_path_factory.mktemp("reinforced"))


def test_reinforce_is_repeated_from_its_config(reinforced, tmp_path):
    app, short = reinforced
    repeat(app, short.run, tmp_path)


def test_reinforce_is_resumed(reinforced, tmp_path):
    """Its baseline and the draws of its attention go on where they were."""
    app, short = reinforced
    killed = shutil.copytree(short.killed, tmp_path / "killed")
    resumed = app.train(out=killed, resume=True)
    assert_same_run(killed, short.run.folder)
    assert weights(resumed) == weights(short.run)


def weights(run):
    return [array.tobytes() for array in run.model.get_weights()]


def test_minutes_are_repeated_as_steps(tmp_path):
    app = apps.load("char_lm")
    config = dataclasses.replace(
        app.presets["hello"](), jit=False, steps=0, minutes=0.02, rounds=2, dropout=0.2
    )
    first = app.train(config, out=tmp_path / "first")
    written = json.loads((first.folder / "config.json").read_text("utf-8"))
    assert written["steps"] > 0
    again = app.train(from_json(app.Config, written), out=tmp_path / "again")
    assert_same_run(again.folder, first.folder)
    assert weights(again) == weights(first)


# saccade train --config


@pytest.fixture
def train(monkeypatch):
    """`saccade train` of an app that only notes its config.

    Returns that, or what was printed where it comes to no training.
    """
    noted = []

    class Noting:
        def train(self, config, *arguments):
            noted.append(config)
            raise typer.Exit

    monkeypatch.setattr(loading, "load", lambda name: Noting())

    def call(*arguments):
        done = typer.testing.CliRunner().invoke(cli, ["train", *arguments])
        if isinstance(done.exception, UserError):
            raise done.exception
        assert done.exit_code == 0, done.output
        call.stderr = done.stderr
        return noted.pop() if noted else done.output

    return call


@pytest.fixture
def config_file(tmp_path):
    """As a run writes it, of settings that no preset has."""
    path = tmp_path / "config.json"
    path.write_text('{"data": "hello", "steps": 77, "cell": "gru", "units": 9}')
    return str(path)


def test_config_is_read_and_options_override_it(train, config_file):
    config = train("char_lm", "--config", config_file, "--units=10")
    assert (config.data, config.steps, config.cell) == ("hello", 77, "gru")
    assert config.units == 10


def test_help_shows_the_settings_of_the_config(train, config_file):
    shown = train("char_lm", "--config", config_file, "--help")
    (row,) = (line for line in shown.splitlines() if line.split()[:1] == ["--steps"])
    assert row.split()[1] == "77"


def test_resume_says_that_the_config_is_not_read_again(train, config_file, tmp_path):
    train("char_lm", "--config", config_file, "--resume", "--out", str(tmp_path))
    assert f"not read again: --config {config_file}" in train.stderr


def test_errors_of_config_name_the_file(train, config_file, tmp_path):
    with pytest.raises(UserError, match="received both: .*config.json and hello"):
        train("char_lm", "--config", config_file, "--preset=hello")
    with pytest.raises(UserError, match="could not read .*gone.json: No such file"):
        train("char_lm", "--config", str(tmp_path / "gone.json"))
    with pytest.raises(UserError, match="could not read .*: Is a directory"):
        train("char_lm", "--config", str(tmp_path))
    for text, message in (
        ("{", "other.json: .*no JSON"),
        ('{"image_size": 32}', "other.json: .*image_size"),
        ('{"units": "many"}', "other.json: units: expected an integer"),
    ):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(UserError, match=message):
            train("char_lm", "--config", str(tmp_path / "other.json"))
    (tmp_path / "other.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(UserError, match="other.json: .*utf-8"):
        train("char_lm", "--config", str(tmp_path / "other.json"))
