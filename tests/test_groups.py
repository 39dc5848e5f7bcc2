"""The groups, the tiers, the limits of time and memory do what they say."""

import collections
import functools
import os
import pathlib
import subprocess
import sys
import types

import pytest

from saccade.apps import REGISTRY

from . import machine, memory, touched
from .groups import FAMILIES, in_half, representatives

TESTS = pathlib.Path(__file__).parent

# A session with our hooks, whose tests only note where they ran.
CONFTEST = f"""
import os, sys, time
import pytest
sys.path.insert(0, {str(TESTS.parent)!r})
from tests import groups, memory

memory.MOST_MB = float(os.environ.get("MOST_MB", memory.MOST_MB))

def pytest_addoption(parser):
    groups.add_options(parser)

def pytest_configure(config):
    for plugin in (groups, memory):
        config.pluginmanager.register(plugin)

@pytest.fixture(**groups.of_apps("captioning", "char_lm", "word_lm"))
def name(request):
    return request.param

@pytest.fixture
def trained(name):
    return name

@pytest.fixture
def saccade_data():
    pass

@pytest.fixture(autouse=True)
def note(request):
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with open("ran", "a") as file:
        nodeid = request.node.nodeid
        file.write(f"{{worker}} {{groups.group_of(nodeid)}} {{nodeid}}\\n")
    time.sleep(0.02)
"""
FILES = {
    "test_a.py": """
import pytest

def test_file(note): pass
def test_app(trained): pass

@pytest.mark.processes
def test_elsewhere(trained): pass

@pytest.mark.parametrize("name", ["char_lm", "word_lm"])
def test_own_parameter(name): pass
""",
    "test_b.py": "def test_file(note): pass\ndef test_app(trained): pass\n",
    "test_c.py": "def test_file(note): pass\ndef test_data(saccade_data): pass\n",
}
MARKS = "[pytest]\nmarkers =\n    slow: a\n    processes: b\naddopts = --strict-markers"


@pytest.fixture
def session(tmp_path):
    """Runs that session; returns its process, and (worker, group, test) of each test
    in the order in which they ran."""
    for name, text in {"conftest.py": CONFTEST, "pytest.ini": MARKS, **FILES}.items():
        (tmp_path / name).write_text(text)

    def run(*options, **environment):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**outer_environment(), **environment},
            capture_output=True,
            text=True,
        )
        lines = (tmp_path / "ran").read_text().splitlines()
        (tmp_path / "ran").unlink()
        return done, [line.split(maxsplit=2) for line in lines]

    return run


def outer_environment():
    """Without what tells a process that it is one of our own session's workers."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}


def test_every_group_runs_in_one_worker(session):
    options = ["-n", "2", "--dist", "loadgroup"]
    done, ran = session(*options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(ran) == 15
    workers, tests = collections.defaultdict(set), collections.defaultdict(list)
    for worker, group, test in ran:
        workers[group].add(worker)
        tests[group].append(test)
    assert set(workers) == {"captioning", "char_lm", "word_lm", *FILES}
    assert all(len(some) == 1 for some in workers.values()), dict(workers)
    assert {worker for worker, _, _ in ran} == {"gw0", "gw1"}
    assert tests["word_lm"] == [
        "test_a.py::test_app[app=word_lm]",
        "test_a.py::test_elsewhere[app=word_lm]",
        "test_b.py::test_app[app=word_lm]",
    ]
    assert "test_a.py::test_own_parameter[word_lm]" in tests["test_a.py"]
    assert {group for _, group, _ in ran[:2]} == {"captioning", "char_lm"}
    assert done.stdout.count("MB at most") == 2, "of each worker"


def test_a_process_alone_runs_group_after_group(session):
    _, ran = session()
    groups = [group for _, group, _ in ran]
    assert groups == sorted(groups, key=groups.index)
    assert groups[0] == "captioning"


def test_the_tiers(session):
    _, ran = session("-m", "slow")
    assert [test for _, _, test in ran] == [
        "test_a.py::test_elsewhere[app=word_lm]",
        "test_c.py::test_data",
    ]
    _, ran = session("--apps", "captioning,word_lm", "-m", "not slow")
    assert len(ran) == 9
    assert not any("char_lm" in test for _, _, test in ran)


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_too_much_memory_fails(session, workers):
    done, _ = session(*workers, MOST_MB="1")
    assert done.returncode == 1
    assert "FAILED: expected 1.0 MB" in done.stdout


def test_one_app_stands_for_its_family():
    assert {app for family in FAMILIES.values() for app in family} <= set(REGISTRY)
    assert representatives() == ["captioning", "char_lm", "draw", "sentiment"]


def test_every_test_is_in_one_half():
    folders = [*sorted(REGISTRY), "core"]
    items = [types.SimpleNamespace(nodeid=f"tests/apps/{f}/a.py::b") for f in folders]
    halves = [[in_half(item, half) for item in items] for half in (1, 2)]
    assert all(first != second for first, second in zip(*halves, strict=True))
    assert abs(sum(halves[0][:-1]) - sum(halves[1])) <= 1 and halves[0][-1]


def test_caches_of_ours_are_emptied(monkeypatch):
    module = types.ModuleType("saccade.some")
    module.cached = functools.cache(lambda x: [x])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.cached(1)
    memory.free()
    assert module.cached.cache_info().currsize == 0
    assert 10 < memory.peak_mb() < 100_000


@pytest.mark.parametrize(
    ("product", "limit"), [("3.0", 10), ("6.0", 10), ("12.0", 20), ("60.0", 30)]
)
def test_limits_of_time_are_longer_on_slow_machines(product, limit, monkeypatch):
    monkeypatch.setenv(machine.VARIABLE, product)
    machine.product_ms.cache_clear()
    try:
        assert machine.seconds(10) == limit
        assert f"{product} ms" in machine.pytest_report_header()
    finally:
        machine.product_ms.cache_clear()


def test_the_product_is_measured_where_nobody_has(monkeypatch):
    monkeypatch.delenv(machine.VARIABLE, raising=False)
    machine.product_ms.cache_clear()
    try:
        assert 0.01 < machine.product_ms() < 10_000
    finally:
        machine.product_ms.cache_clear()


# Which apps the last commits touch


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit; adds others, each of some files."""
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    touched.git(tmp_path, "init", "--quiet")

    def commit(*files):
        for file in files:
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(id(object())) + path.name)
        touched.git(tmp_path, "add", ".")
        touched.git(tmp_path, *names, "commit", "--allow-empty", "-q", "-m", "more")

    commit("apps/word_lm/data.py", "apps/core/app.py")
    return tmp_path, commit


@pytest.mark.parametrize("few", [1, len(REGISTRY)])
def test_where_there_is_nothing_to_compare_with(
    repository, tmp_path_factory, monkeypatch, few
):
    """All apps, where they are few."""
    monkeypatch.setattr(touched, "FEW", few)
    expected = representatives() if few == 1 else sorted(REGISTRY)
    assert touched.touched(repository[0]) == expected
    assert touched.touched(tmp_path_factory.mktemp("no-git")) == expected


def test_touched_apps_are_those_of_the_last_commits(repository):
    root, commit = repository
    commit("apps/core/app.py", "notebooks/gradients.ipynb")
    assert touched.touched(root) == representatives()
    for file in ("apps/word_lm/model.py", "notebooks/word_lm.ipynb"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        commit(file)
        assert "word_lm" in touched.touched(root), file
        for _ in range(touched.COMMITS):
            commit()
        assert touched.touched(root) == representatives()
    (root / "apps/word_lm/data.py").write_text("not committed")
    assert "word_lm" in touched.touched(root)


def test_touched_apps_in_a_shallow_clone(repository, tmp_path_factory):
    root, commit = repository
    commit("apps/core/app.py")
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    touched.git(root, "clone", "--quiet", "--depth=1", f"file://{root}", str(clone))
    assert (clone / "apps/core/app.py").exists()
    assert touched.changed_files(clone) is None
