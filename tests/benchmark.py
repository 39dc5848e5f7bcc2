"""Importing a benchmark, which is a program and no part of the package."""

import importlib.util
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"


def load_benchmark(name):
    """The module `benchmarks/<name>.py`, which may import those beside it."""
    spec = importlib.util.spec_from_file_location(
        f"benchmark_{name}", FOLDER / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(FOLDER))  # last: a benchmark hides no library
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module
