"""Two processes on the loopback address train what one trains, and survive a kill."""

import concurrent.futures
import contextlib
import json
import re
import socket
import threading
import time

import pytest

from saccade.apps.core.errors import UserError
from saccade.apps.core.training import devices, workers

from ..machine import seconds
from .processes import (
    DIVERGING,
    SMALL,
    assert_same_losses,
    assert_same_training,
    reference,
    start_workers,
    state,
    train,
    train_workers,
)

# Rounds enough to be killed between the first and the last.
LONG = ["char_lm", "--preset=hello", "--no-jit", "--steps=160", "--rounds=16"]


@pytest.fixture
def base(tmp_path_factory):
    return tmp_path_factory.getbasetemp()


@pytest.mark.parametrize(
    "message",
    [
        None,
        "host1:12345",
        "{}",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_told(message, monkeypatch):
    if message is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", message)
    with pytest.raises(UserError, match='expected TF_CONFIG like {"cluster"'):
        devices.create("multi-worker")


def free_hosts(count):
    with contextlib.ExitStack() as stack:
        doors = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(count)
        ]
        return [f"127.0.0.1:{door.getsockname()[1]}" for door in doors]


def test_workers_wait_for_one_another():
    hosts, done = free_hosts(3), threading.Event()

    def work(host):
        workers.meet(hosts, host, 20)
        with socket.create_server(("", int(host.split(":")[1]))):  # as TensorFlow does
            done.wait(20)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        started = []
        for host in hosts:  # one after the other
            started.append(pool.submit(work, host))
            time.sleep(0.3)
            assert not any(one.done() for one in started)
        time.sleep(1)
        done.set()
        for one in started:
            one.result()


def test_a_worker_that_does_not_come_is_named():
    own, missing = free_hosts(2)
    with pytest.raises(UserError, match=f"Waited 0.3 s for {missing}, which TF_CONFIG"):
        workers.meet([own, missing], own, 0.3)


def test_a_taken_port_is_told():
    with socket.create_server(("", 0)) as taken:
        own = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match="its port cannot be opened: Address"):
            workers.meet([own], own)


@pytest.mark.processes
def test_char_lm_is_that_of_one_process(tmp_path, base):
    chief, other = train_workers(["char_lm", *SMALL["char_lm"]], tmp_path / "two")
    assert_same_training(tmp_path / "two", reference("char_lm", base))
    # The chief alone writes; both end with its figures.
    assert len(list((tmp_path / "two/tensorboard/train").iterdir())) == 1
    assert "round 1 of" in chief and "round 1 of" not in other
    bits = json.loads((tmp_path / "two/metrics.json").read_text())["bits"]
    for message in (chief, other):
        assert f"bits {bits:.3f}" in " ".join(message.split())


@pytest.mark.slow
def test_captioning_is_that_of_one_process(tmp_path, base):
    train_workers(["captioning", *SMALL["captioning"]], tmp_path / "two")
    one = reference("captioning", base, "--one-variance")
    # See test_mirrored.py.
    assert_same_training(tmp_path / "two", one, tolerance=1e-3)
    assert_same_losses(tmp_path / "two", one, tolerance=1e-4)


@pytest.mark.slow
def test_workers_with_other_settings_are_refused(tmp_path):
    logs = [tmp_path / f"{i}.log" for i in range(2)]
    settings = ["char_lm", *SMALL["char_lm"], "--out", tmp_path / "run"]
    workers = start_workers(
        ["train", *settings], logs, each=lambda i: [f"--units={10 + i}"]
    )
    codes = [worker.wait(seconds(120)) for worker in workers]
    assert codes == [2, 2], "\n".join(log.read_text() for log in logs)
    for log in logs:
        assert "error: The workers train by different settings" in log.read_text()
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_all_workers(tmp_path):
    logs = [tmp_path / f"{i}.log" for i in range(2)]
    words = ["train", "char_lm", *SMALL["char_lm"], *DIVERGING]
    workers = start_workers([*words, "--out", tmp_path / "run"], logs)
    codes = [worker.wait(seconds(120)) for worker in workers]
    texts = [log.read_text() for log in logs]
    assert codes == [2, 2], "\n".join(texts)
    for text in texts:
        assert re.search(
            r"error: (The loss|Weights) became .* in round 1, at step", text
        )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "two"
    train_workers(LONG, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "other"])
def test_a_worker_is_killed_and_the_training_resumed(victim, uninterrupted, tmp_path):
    run = tmp_path / "two"
    logs = [tmp_path / f"{i}.log" for i in range(2)]
    workers = start_workers(["train", *LONG, "--out", run], logs)
    try:
        wait_for_round(3, run, workers)
        workers[victim].kill()
        survivor = 1 - victim
        killed = time.monotonic()
        assert workers[survivor].wait(seconds(60)) == 2
        passed = time.monotonic() - killed
    finally:
        for worker in workers:
            worker.kill()
    message = logs[survivor].read_text()
    assert "error: Another worker has stopped or cannot be reached" in message
    assert "Start all of them again, with --resume" in message
    assert passed < seconds(60)
    rounds = len(state(run)[1])
    assert 3 <= rounds < 16, "it was not killed in the middle"
    if victim == 1:
        train_workers([*LONG, "--resume"], run)
        assert_same_training(run, uninterrupted, tolerance=0)
    else:  # A checkpoint knows no replicas: one process can go on too.
        train([*LONG, "--resume"], run)
        assert_same_training(run, uninterrupted)


def wait_for_round(count, run, workers):
    manifest = run / "checkpoint/manifest.json"
    end = time.monotonic() + seconds(120)
    while time.monotonic() < end:
        if manifest.exists() and json.loads(manifest.read_text())["rounds"] >= count:
            return
        assert all(worker.poll() is None for worker in workers), "one ended early"
        time.sleep(0.05)
    raise AssertionError(f"no round {count} in {seconds(120)} seconds")
