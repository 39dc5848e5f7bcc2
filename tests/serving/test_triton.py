"""Our exports behind a real server, Triton: see triton.py for how to get one."""

import json
import os

import numpy as np
import pytest

from ..apps.answers import assert_same
from ..apps.runs import trained
from ..benchmark import load_benchmark
from . import triton
from .exports import in_process, newer_export, requests_of

pytestmark = [pytest.mark.serving, pytest.mark.slow]

NAMES = ["captioning", "char_lm"]
CLIENTS = 8
SECONDS = float(os.environ.get("SACCADE_SERVING_SECONDS", "10"))  # of each load


@pytest.fixture(scope="module")
def environment():
    folder = os.environ.get(triton.VARIABLE)
    if not folder:
        pytest.skip(triton.HOW_TO)
    return triton.Environment.at(folder)


@pytest.fixture(scope="module", params=NAMES)
def name(request, environment):
    return request.param


@pytest.fixture(scope="module")
def export(name, tmp_path_factory):
    return trained(name, tmp_path_factory.getbasetemp()).export


@pytest.fixture(scope="module")
def server(environment, name, export, tmp_path_factory):
    """A server with the export as version 1."""
    repository = tmp_path_factory.mktemp("triton") / "repository"
    folder = triton.add_model(repository, export, batching=True)
    triton.add_version(folder, export, 1)
    with triton.serve(repository, environment) as running:
        yield running


@pytest.fixture(scope="module")
def requested(name):
    return requests_of(name)


def assert_equal(got, expected):
    """Answers of triton_client.py and of `in_process`."""
    assert got.keys() == expected.keys()
    shaped, texts = {}, {}
    for key, value in expected.items():
        is_text = value.dtype == object
        texts[key] = np.array([text.decode() for text in value]) if is_text else value
        shaped[key] = np.reshape(got[key], value.shape)
    assert_same(shaped, texts, rtol=1e-3)


@pytest.mark.parametrize("door", ["rest", "grpc"])
def test_it_answers_as_in_process(environment, server, name, export, requested, door):
    report = triton.ask_all(environment, server, door, name, requested)
    assert not report["errors"]
    assert report["answers"].keys() == {"1"}
    for got, expected in zip(
        report["answers"]["1"], in_process(export, requested), strict=True
    ):
        assert_equal(got, expected)


@pytest.mark.parametrize("door", ["rest", "grpc"])
def test_many_clients_at_once(
    environment, server, name, export, requested, door, capsys
):
    """What the server puts together are other requests each time: no answer changes."""
    before = server.statistics(name)
    report = triton.ask_all(
        environment, server, door, name, requested, clients=CLIENTS, seconds=SECONDS
    )
    figures = triton.summary(report)
    rows, batches = np.subtract(server.statistics(name), before)
    with capsys.disabled():
        print(
            f"\n{name}, {door}, {CLIENTS} clients, {report['seconds']:.0f} s: "
            f"{figures['requests']} requests, "
            f"{figures['requests_per_second']:.0f} a second, "
            f"p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms, "
            f"{rows / batches:.1f} rows a batch, errors: {report['errors'] or 'none'}"
        )
    assert not report["errors"]
    assert report["changed"] == 0
    assert report["seconds"] >= SECONDS
    assert rows / batches > np.mean([len(next(iter(r.values()))) for r in requested])
    for got, expected in zip(
        report["answers"]["1"], in_process(export, requested), strict=True
    ):
        assert_equal(got, expected)


def test_a_new_version_comes_while_clients_ask(
    environment, name, export, requested, tmp_path
):
    """Nothing is lost: every request is answered, by the one version or the other."""
    newer = newer_export(name, tmp_path)
    exports = {"1": export, "2": newer}
    expected = {
        version: in_process(path, requested) for version, path in exports.items()
    }
    assert not all(
        np.array_equal(one[key], other[key])
        for one, other in zip(*expected.values(), strict=True)
        for key in one
    )

    folder = triton.add_model(tmp_path / "repository", export, batching=True)
    triton.add_version(folder, export, 1)
    clients = {"clients": CLIENTS // 2, "seconds": None}
    with (
        triton.serve(folder.parent, environment) as server,
        triton.asking(environment, server, "rest", name, requested, **clients) as rest,
        triton.asking(environment, server, "grpc", name, requested, **clients) as grpc,
    ):
        triton.add_version(folder, newer, 2)
        server.load_newest(name)
        assert server.ready(name, 2)
        reports = [rest(), grpc()]
    for report in reports:
        assert not report["errors"]
        assert report["changed"] == 0
        received = report["versions"]  # by each client, in their order
        assert ["1", "2"] in received
        assert all(versions in (["1", "2"], ["2"]) for versions in received)
        for version, answers in report["answers"].items():
            for got, wanted in zip(answers, expected[version], strict=True):
                if got is not None:
                    assert_equal(got, wanted)


def test_the_benchmark_runs(environment, tmp_path):
    out = tmp_path / "serving.json"
    load_benchmark("serving").main(["--toy", "--apps", "char_lm", "--out", str(out)])
    rows = json.loads(out.read_text("utf-8"))["rows"]
    assert len({(r["form"], r["door"], r["clients"]) for r in rows}) == 8
    for row in rows:
        assert row["requests"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["slowest_ms"]
        assert row["tokens_per_answer"] == 100
        many = row["form"] == "batches" and row["clients"] == 8
        assert (row["rows_per_batch"] > 1.5) if many else (row["rows_per_batch"] == 1)
