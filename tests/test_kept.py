"""What one session keeps of an app, another takes; whatever else there is, is made."""

import pytest

from .apps import kept


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(kept, "sources", lambda: "now")
    return tmp_path


def making(folder):
    folder.mkdir()
    (folder / "weights").write_text("1")


def never(folder):
    raise AssertionError("expected to be taken")


def test_it_is_made_once(folder):
    assert not kept.Kept("a", kept.KEEP).made("run", folder / "first", making)
    assert kept.Kept("a", kept.TAKE).made("run", folder / "second", never)
    assert (folder / "second" / "weights").read_text() == "1"


@pytest.mark.parametrize("how", [None, kept.KEEP])
def test_only_who_takes_it_gets_it(folder, how):
    kept.Kept("a", kept.KEEP).made("run", folder / "first", making)
    assert not kept.Kept("a", how).made("run", folder / "second", making)


@pytest.mark.parametrize(
    ("name", "part", "by"),
    [("b", "run", "now"), ("a", "export", "now"), ("a", "run", "later")],
)
def test_what_is_of_something_else_is_not_taken(folder, monkeypatch, name, part, by):
    kept.Kept("a", kept.KEEP).made("run", folder / "first", making)
    monkeypatch.setattr(kept, "sources", lambda: by)
    assert not kept.Kept(name, kept.TAKE).made(part, folder / "second", making)


def test_what_older_sources_made_goes(folder, monkeypatch):
    kept.Kept("a", kept.KEEP).made("run", folder / "first", making)
    monkeypatch.setattr(kept, "sources", lambda: "later")
    kept.Kept("a", kept.KEEP).made("run", folder / "second", making)
    assert [path.name for path in kept.FOLDER.iterdir()] == ["later"]
