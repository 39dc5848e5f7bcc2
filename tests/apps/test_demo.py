"""`saccade demo`: from the training to an answer of the export in a new process."""

import pytest

from saccade import apps
from saccade.apps.captioning import config
from saccade.apps.cli.demo import run_demo
from saccade.apps.draw import config as draw_config


@pytest.mark.slow
def test_the_whole_way_of_an_app(tmp_path, monkeypatch, capsys):
    quick = {**config.TINY, "builtin_size": 40, "steps": 2, "rounds": 2}
    monkeypatch.setitem(config.PRESETS, "quick", quick)
    out, to = tmp_path / "demo", tmp_path / "exports"
    run_demo(apps.load("captioning"), "quick", out, to)
    printed = capsys.readouterr().out
    assert (out / "run/model.keras").exists()
    assert (out / "answers.png").stat().st_size > 10_000
    assert (to / "captioning/1/saved_model.pb").exists()
    for part in ("round 2 of 2", "exact match", "caption: ", "s in all"):
        assert part in printed


@pytest.mark.slow
def test_bytes_that_an_export_answers_are_no_text(tmp_path, monkeypatch, capsys):
    quick = {**draw_config.TINY, "builtin_size": 40, "steps": 2, "rounds": 2}
    monkeypatch.setitem(draw_config.PRESETS, "quick", quick)
    run_demo(apps.load("draw"), "quick", tmp_path / "demo", tmp_path / "exports")
    assert "the export answers" in capsys.readouterr().out
