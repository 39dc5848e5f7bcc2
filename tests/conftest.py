"""What every test gets: quiet TensorFlow, few threads, data where there is some, and
what is trained of an app. `groups`, `machine` and `memory` say how the tests run."""

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

from saccade.apps import REGISTRY

from . import groups, machine, memory


def pytest_addoption(parser):
    groups.add_options(parser)


def pytest_configure(config):
    for plugin in (groups, machine, memory):
        config.pluginmanager.register(plugin)


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


@pytest.fixture(autouse=True, scope="module")
def file_seeded():
    """The same draws for every file, whatever ran before."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def seeded(file_seeded):
    """The same draws of Python, NumPy and Keras for every test, whatever ran before.

    TensorFlow's own seed, by which nothing here draws, is set once for a file: with a
    new one it forgets the kernels of every graph, and a graph that many tests share,
    as an export's, costs 1 to 2 s again.
    """
    import keras
    import tensorflow as tf

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.random, "set_seed", lambda seed: None)
        keras.utils.set_random_seed(0)


# What is trained of an app


@pytest.fixture(**groups.of_apps(*sorted(REGISTRY)))
def name(request):
    """Of an app: of all. A file of one app has its own `name`, a test `each_app`."""
    return request.param


@pytest.fixture
def trained(name, tmp_path_factory, pytestconfig):
    """`apps.runs.Trained` of the app: whoever uses it runs in the app's group."""
    from .apps import runs

    how = pytestconfig.getoption("trained")
    return runs.trained(name, tmp_path_factory.getbasetemp(), how)


@pytest.fixture
def run(trained):
    return trained.run


@pytest.fixture
def export(trained):
    return trained.export


@pytest.fixture
def signatures(trained):
    return trained.signatures
