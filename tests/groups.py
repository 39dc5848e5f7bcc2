"""Which tests run in one process, which `make test` leaves to `make test-slow`.

What a new app adds follows from its name: nothing is listed here but the families.

Groups. `pytest -n 2 --dist loadgroup` gives a worker one group after the other. All
tests of what is trained of an app (fixture `trained`) are its group: it is trained
once, and its memory is freed when its group ends. All other tests are grouped by their
file.

Tiers. `make test` leaves out what is marked `slow`. Tests marked `processes` start
other processes; of every family of apps, those of one app belong to `make test`, those
of the others are `slow`. So is what needs real data.
"""

import collections
import pathlib
import re

import pytest

from saccade.apps import REGISTRY

# Apps that share their trainer and what answers; the first stands for the others. An
# app that is in none is a family of its own.
FAMILIES = {
    "classifier": (
        "sentiment",
        "dna",
        "tagging",
        "digits",
        "faces",
        "vqa",
        "glimpse",
    ),
    "teller": ("captioning", "translation"),
    "language model": ("char_lm", "word_lm"),
}


def representatives():
    """One app of every family."""
    others = {app for family in FAMILIES.values() for app in family[1:]}
    return [app for app in sorted(REGISTRY) if app not in others]


# Groups


def of_apps(*names):
    """The parameters of the fixture `name`, for all tests in reach of it."""
    return {"params": names, "ids": [f"app={name}" for name in names]}


def each_app(*names):
    """A mark for one test: its `name` is each of these."""
    ids = [f"app={name}" for name in names]
    return pytest.mark.parametrize("name", names, ids=ids, indirect=True)


def group_of(nodeid):
    """The group of a test, by what xdist knows of it in every process: its id."""
    file, _, rest = nodeid.partition("::")
    found = re.search(r"[\[-]app=(\w+)[]-]", rest)
    return found[1] if found else file


def pytest_xdist_make_scheduler(config, log):
    """A scheduler by `group_of`.

    Marks `xdist_group` would say the same, but xdist 3.8 writes them into the ids of
    the tests, and pytest 9.2 does not see that: each test became a group of its own
    (pytest-xdist, issue 1386).
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    # By number of tests it would begin with the tests of layers, which are short.
    config.option.loadscopereorder = False
    return ByGroup(config, log)


# Tiers


def add_options(parser):
    parser.addoption(
        "--apps",
        type=lambda text: text.split(","),
        help="apps, with commas between: tests of other apps are left out",
    )

    parser.addoption(
        "--half",
        type=int,
        choices=(1, 2),
        help="tests of every other app only; with 1 also those that are about none",
    )

    parser.addoption(
        "--trained",
        choices=("keep", "take"),
        help="keep what is trained of an app for other sessions, or take it from one: "
        "see tests/apps/kept.py",
    )


def in_half(item, half):
    """Whether a test belongs to a half: of the apps by their names, every other one."""
    app = app_of(item)
    place = sorted(REGISTRY).index(app) % 2 if app else 0
    return place == half - 1


def app_of(item):
    """The app that a test is about, by a parameter or by its folder; None for most."""
    callspec = getattr(item, "callspec", None)
    for value in callspec.params.values() if callspec else ():
        if isinstance(value, str) and value in REGISTRY:
            return value
    folders = pathlib.PurePath(item.nodeid.split("::")[0]).parts[:-1]
    return next((folder for folder in folders if folder in REGISTRY), None)


# First, because pytest reads the marks in a hook of this name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    kept = representatives()
    for item in items:
        starts_processes = item.get_closest_marker("processes")
        repeated = starts_processes and app_of(item) not in (None, *kept)
        if repeated or "saccade_data" in item.fixturenames:
            item.add_marker(pytest.mark.slow)

    chosen = config.getoption("apps")
    if chosen:
        out = {item for item in items if app_of(item) not in (None, *chosen)}
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=list(out))

    half = config.getoption("half")
    if half:
        out = {item for item in items if not in_half(item, half)}
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=list(out))

    # What takes longest comes first: begun last, it would keep a worker alone.
    long = {
        group_of(item.nodeid)
        for item in items
        if item.get_closest_marker("slow") or item.get_closest_marker("processes")
    }
    sizes = collections.Counter(group_of(item.nodeid) for item in items)
    items.sort(key=lambda item: place_of(group_of(item.nodeid), long, sizes))


def place_of(group, long, sizes):
    """Where a group stands: apps, then the files in `long`, then all others, those with
    many tests first."""
    others = group not in REGISTRY and group not in long
    return (group not in REGISTRY, others, -sizes[group] if others else 0, group)
