"""The memory of a test process: what a group of tests leaves is freed at its end, and
the most that a process ever had is printed, and must not be too much."""

import ctypes
import functools
import gc
import resource
import sys

import pytest

from .groups import group_of

MOST_MB = 3000  # for each process, however many apps there are
PEAKS = pytest.StashKey[dict[str, float]]()


def peak_mb():
    """The most memory that this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def free():
    """Give back what models, graphs and caches of the tests before still hold."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("saccade", "tests"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
    if sys.platform == "linux":  # What is freed stays with the process otherwise.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """Frees what a group leaves, after the fixtures of its last test."""
    result = yield
    if nextitem is None or group_of(nextitem.nodeid) != group_of(item.nodeid):
        free()
    return result


def pytest_configure(config):
    config.stash[PEAKS] = {}


def pytest_collection_finish():
    """What is there before the first test stays to the end, so Python need not look at
    it again and again; that took a tenth of the time of the tests of layers."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """A worker has ended, which has come through `pytest_sessionfinish`."""
    peak = getattr(node, "workeroutput", {}).get("peak_mb")
    if peak:
        node.config.stash[PEAKS][node.gateway.id] = peak


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["peak_mb"] = peak_mb()
        return
    if not config.stash[PEAKS]:
        config.stash[PEAKS] = {"this process": peak_mb()}
    if max(config.stash[PEAKS].values()) > MOST_MB and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    for process, peak in config.stash[PEAKS].items():
        line = f"memory of {process}: {peak:,.0f} MB at most"
        if peak > MOST_MB:
            line += f", FAILED: expected {MOST_MB:,} MB"
        terminalreporter.write_line(line, red=peak > MOST_MB)
