"""The memory of a test process: what tests leave is freed, and the most that a process
ever had is printed, and must not be too much."""

import ctypes
import functools
import gc
import pathlib
import resource
import sys

import pytest

from .groups import group_of

MOST_MB = 3000  # for each process, however many apps there are
GROWTH_MB = 250  # After so much more, what a test left is looked for within its group.
PEAKS = pytest.StashKey[dict[str, float]]()
AFTER = pytest.StashKey[float]()  # What was there after it was last looked.


def peak_mb():
    """The most memory that this process has had, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def now_mb():
    """The memory that this process has now, in MB; on other systems what it had at
    most, so there it looks more rarely."""
    status = pathlib.Path("/proc/self/statm")
    if not status.exists():
        return peak_mb()
    return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6


def free():
    """Give back what models, graphs and caches of the group before still hold."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("saccade", "tests"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    if "tensorflow" in sys.modules:
        forget_gradients()
    collect()


def forget_gradients():
    """TensorFlow keeps every custom gradient that was traced, with its whole graph."""
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]


def collect():
    """Give back what nothing holds any more: loaded models refer to themselves."""
    gc.collect()
    if sys.platform == "linux":  # What is freed stays with the process otherwise.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """Frees what a group leaves, after the fixtures of its last test; and within a
    group, where its tests took much."""
    result = yield
    if nextitem is None or group_of(nextitem.nodeid) != group_of(item.nodeid):
        free()
        item.config.stash[AFTER] = now_mb()
    elif now_mb() > item.config.stash[AFTER] + GROWTH_MB:
        collect()
        item.config.stash[AFTER] = now_mb()
    return result


def pytest_configure(config):
    config.stash[PEAKS] = {}
    config.stash[AFTER] = now_mb()


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
