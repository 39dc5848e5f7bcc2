"""A trained run of each app and its export, made once per test session."""

import functools
import pathlib
import shutil

from saccade import apps


@functools.cache
def tiny_run(name, base):
    """A Run of preset `tiny` on `builtin`.

    Args:
        name: of the app.
        base: the session's folder, `tmp_path_factory.getbasetemp()`.
    """
    app = apps.load(name)
    return app.train(app.presets["tiny"](), out=pathlib.Path(base) / "runs" / name)


@functools.cache
def moved_export(name, base):
    """The version folder of that run's export, moved away from where it was written."""
    written = tiny_run(name, base).export(pathlib.Path(base) / "exported")
    moved = pathlib.Path(base) / "moved" / name / "1"
    moved.parent.mkdir(parents=True)
    shutil.move(written, moved)
    shutil.rmtree(pathlib.Path(base) / "exported")
    return moved
