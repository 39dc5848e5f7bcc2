"""Our exports behind TF Serving itself; tensorflow_model_server must be on the PATH."""

import concurrent.futures
import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from saccade.apps import REGISTRY
from saccade.apps.core.errors import UserError
from saccade.apps.core.serving import server
from saccade.apps.core.serving.client import Client

from ..apps.answers import assert_same
from ..apps.runs import trained
from .exports import in_process, newer_export, requests_of, signature_for

PROGRAM = "tensorflow_model_server"
pytestmark = [
    pytest.mark.serving,
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(PROGRAM),
        reason=f"{PROGRAM} is not on the PATH; `saccade serve` says how to get it",
    ),
]

CLIENTS = 8
SECONDS = float(os.environ.get("SACCADE_SERVING_SECONDS", "10"))  # of each load
START = 120  # seconds for a version to be loaded, at most


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the export of every app as version 1."""
    folder = tmp_path_factory.mktemp("tensorflow_serving")
    for name in REGISTRY:
        exported = trained(name, tmp_path_factory.getbasetemp()).export
        shutil.copytree(exported, folder / name / "1")
    server.write_server_files(folder, {})
    return folder


@pytest.fixture(scope="module")
def ports(models):
    """door -> the port of a server with these models."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        grpc, rest = (one.getsockname()[1] for one in sockets)
    code = "from saccade.apps.cli import main; main()"
    words = ["serve", "--from", models, "--port", grpc, "--rest-port", rest]
    server = subprocess.Popen([sys.executable, "-c", code, *map(str, words)])
    try:
        for name in REGISTRY:
            wait_for_version(name, 1, rest)
        yield {"rest": rest, "grpc": grpc}
    finally:
        server.terminate()
        server.wait(30)


def wait_for_version(name, version, rest_port):
    client = Client("127.0.0.1", rest_port, retries=0)
    end = time.monotonic() + START
    while True:
        try:
            if client.describe(name)[0] == version:
                return
            why = "another version answers"
        except UserError as error:
            why = error
        assert time.monotonic() < end, f"{name} {version} is not served: {why}"
        time.sleep(0.2)


def is_one_of(got, answers):
    for expected in answers:
        try:
            assert_same(got, expected, rtol=1e-3)
        except AssertionError:
            continue
        return True
    return False


@pytest.mark.parametrize("door", ["rest", "grpc"])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_it_answers_as_in_process(models, ports, name, door):
    client = Client("127.0.0.1", ports[door], grpc=door == "grpc")
    requested = requests_of(name)
    for request, expected in zip(
        requested, in_process(models / name / "1", requested), strict=True
    ):
        assert_same(
            client.predict(name, request, signature_for(name, request)),
            expected,
            rtol=1e-3,
        )


def ask_until(stop, door, port, name, requested, answers):
    """Ask again and again; returns the seconds that each answer took. `answers`: of
    each request those that are right."""
    client = Client("127.0.0.1", port, grpc=door == "grpc", retries=0)
    seconds = []
    for i in itertools.cycle(range(len(requested))):
        if stop.is_set():
            return seconds
        began = time.perf_counter()
        got = client.predict(name, requested[i], signature_for(name, requested[i]))
        seconds.append(time.perf_counter() - began)
        assert is_one_of(got, answers[i])


@contextlib.contextmanager
def asking(door, port, name, requested, answers, clients=CLIENTS):
    """Clients that ask during the block; yields a list that has the seconds of every
    answer behind the block, where an error of any client is raised."""
    stop, seconds = threading.Event(), []
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        task = (ask_until, stop, door, port, name, requested, answers)
        running = [pool.submit(*task) for _ in range(clients)]
        try:
            yield seconds
        finally:
            stop.set()
    for one in running:
        seconds += one.result()


@pytest.mark.parametrize("door", ["rest", "grpc"])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_many_clients_at_once(models, ports, name, door, capsys):
    requested = requests_of(name)
    answers = [[one] for one in in_process(models / name / "1", requested)]
    with asking(door, ports[door], name, requested, answers) as seconds:
        time.sleep(SECONDS)
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    with capsys.disabled():
        print(
            f"\n{name}, {door}, {CLIENTS} clients, {SECONDS:g} s: {len(seconds)} "
            f"requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms, errors: none"
        )
    assert len(seconds) >= CLIENTS


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_new_version_comes_while_clients_ask(models, ports, name, tmp_path):
    """Nothing is lost: every request is answered, by the one version or the other."""
    newer, requested = newer_export(name, tmp_path), requests_of(name)
    exports = (models / name / "1", newer)
    answers = list(zip(*(in_process(path, requested) for path in exports), strict=True))
    assert not all(is_one_of(one, [other]) for one, other in answers)
    half = {"clients": CLIENTS // 2}
    with (
        asking("rest", ports["rest"], name, requested, answers, **half) as rest,
        asking("grpc", ports["grpc"], name, requested, answers, **half) as grpc,
    ):
        shutil.copytree(newer, models / name / ".writing-2")
        os.rename(models / name / ".writing-2", models / name / "2")
        wait_for_version(name, 2, ports["rest"])
        time.sleep(2)
    assert rest and grpc
    client = Client("127.0.0.1", ports["rest"])
    for request, (_, expected) in zip(requested, answers, strict=True):
        assert_same(
            client.predict(name, request, signature_for(name, request)),
            expected,
            rtol=1e-3,
        )
