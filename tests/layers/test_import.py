"""The layers need Keras and a backend, not TensorFlow; importing has no effects."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from . import backend_numbers

# Runs before the test's code: TensorFlow may be there, but cannot be imported.
WITHOUT_TENSORFLOW = """
import sys

sys.modules["tensorflow"] = None
"""

# What each one needs; the one of NumPy takes a part from that of JAX.
BACKENDS = {"jax": "jax", "torch": "torch", "numpy": "jax"}


def run(code, **environment):
    """Run code in a fresh process: what it printed."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**keep, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_give_the_same_numbers_without_tensorflow(backend):
    if importlib.util.find_spec(BACKENDS[backend]) is None:
        pytest.skip(f"Keras needs {BACKENDS[backend]} for its backend {backend}")
    program = f"import runpy; runpy.run_path({backend_numbers.__file__!r}, {{}}, "
    answer = run(
        WITHOUT_TENSORFLOW + program + "'__main__')",
        KERAS_BACKEND=backend,
    )
    theirs, theirs_trained = json.loads(answer.partition("numbers:")[2])
    assert (theirs_trained is None) == (backend == "numpy")
    expect_equal(theirs, backend_numbers.numbers())
    if theirs_trained is not None:
        expect_equal(theirs_trained, backend_numbers.trained())


def expect_equal(theirs, ours):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, atol=1e-5, err_msg=name)


def test_importing_leaves_the_log_level_of_tensorflow_alone():
    # Keras may set it, or a backend that it imports; ours must add nothing.
    code = (
        "import os, keras\n"
        "before = os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)\n"
        "import saccade.layers\n"
        "print('level', os.getenv('TF_CPP_MIN_LOG_LEVEL'))\n"
    )
    assert "level None" in run(code)


def test_the_layers_have_one_name_only():
    """Imported under another name, Keras would silently register them twice."""
    code = (
        "import importlib.util\n"
        "path = importlib.util.find_spec('saccade.layers').origin\n"
        "spec = importlib.util.spec_from_file_location('layers', path)\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "try:\n"
        "    spec.loader.exec_module(module)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    assert "import saccade.layers" in run(code)
