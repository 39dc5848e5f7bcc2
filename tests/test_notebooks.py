"""Every notebook runs from top to bottom.

The one of an app goes on from the run that all its tests share, by SACCADE_RUN: that is
trained to its end, so the notebook trains nothing and only measures. Those of no app
are made short by SACCADE_PRESET.
"""

import pathlib
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from saccade.apps import REGISTRY

from .machine import seconds

FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def execute(path, folder):
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=seconds(300), resources=resources).execute()


@pytest.mark.processes
def test_the_notebook_of_an_app_runs(name, run, monkeypatch, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    before = (tmp_path / "run/history.csv").read_bytes()
    monkeypatch.setenv("SACCADE_PRESET", "tiny")
    monkeypatch.setenv("SACCADE_RUN", str(tmp_path / "run"))
    execute(FOLDER / f"{name}.ipynb", tmp_path)
    # The notebook has taken this run, and not trained it.
    assert (tmp_path / "run/history.csv").read_bytes() == before
    assert (tmp_path / "run/metrics.json").stat().st_mtime > (
        run.folder / "metrics.json"
    ).stat().st_mtime


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [path for path in NOTEBOOKS if path.stem not in REGISTRY],
    ids=lambda path: path.stem,
)
def test_notebook_runs(path, monkeypatch, tmp_path):
    monkeypatch.setenv("SACCADE_PRESET", "tiny")
    execute(path, tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_with_its_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not any(
        output.output_type == "error" for cell in code for output in cell.outputs
    )
