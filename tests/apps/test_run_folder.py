"""What a run's folder holds, for every app: settings and numbers, nothing that runs.

Here and not in tests/test_safety.py, so that no app is trained a second time for it.
"""

import json
import zipfile

import keras
import numpy as np


def classes(config):
    """(module, class) of everything that a saved config asks for."""
    if isinstance(config, list):
        for item in config:
            yield from classes(item)
    elif isinstance(config, dict):
        if "class_name" in config:
            yield config.get("module"), config["class_name"]
        for item in config.values():
            yield from classes(item)


def test_archives_hold_settings_and_numbers_only(run):
    with zipfile.ZipFile(run.folder / "model.keras") as archive:
        assert set(archive.namelist()) == {
            "config.json",
            "metadata.json",
            "model.weights.h5",
        }
        config = json.loads(archive.read("config.json"))
    found = set(classes(config))
    assert found
    for module, name in found:
        # What is registered has no module beside the package of its name.
        assert (module or "saccade").split(".")[0] in ("keras", "saccade"), name
        assert name not in ("Lambda", "__lambda__", "function"), name
    keras.models.load_model(run.folder / "model.keras", safe_mode=True)


def test_run_folders_hold_no_pickle(run):
    for path in run.folder.rglob("*"):
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".pt", ".npy"), path
    for path in run.folder.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)
