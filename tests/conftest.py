"""What every test gets: quiet TensorFlow, few threads, data where there is some."""

import importlib.util
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers side by side share the cores, and each would start threads for all.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

if importlib.util.find_spec("torch"):
    import torch  # noqa: F401  before TensorFlow: the other order may crash

import pytest


def pytest_report_header():
    from importlib.metadata import PackageNotFoundError, version

    def shown(package):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return f"{package} -"

    packages = ("tensorflow", "keras", "numpy", "pillow", "torch", "onnxruntime")
    return "versions: " + ", ".join(shown(p) for p in packages)


@pytest.fixture
def saccade_data():
    """The folder of real data sets; the test skips where there is none."""
    folder = os.environ.get("SACCADE_DATA")
    if not folder:
        pytest.skip("SACCADE_DATA is not set: no real data sets on this machine")
    return pathlib.Path(folder)


@pytest.fixture(autouse=True)
def seeded():
    import keras

    keras.utils.set_random_seed(0)
