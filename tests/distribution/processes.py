"""Starting trainings in processes of their own, and reading what they left."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np

from ..machine import seconds

DRIVER = pathlib.Path(__file__).with_name("driver.py")

# Trainings of seconds. Every draw is off: replicas make their own.
SMALL = {
    "char_lm": ["--preset=hello", "--no-jit", "--steps=20"],
    "word_lm": ["--preset=tiny", "--no-jit", "--steps=12"],
    "captioning": [
        "--preset=tiny",
        "--builtin-size=100",
        "--filters=8,16",
        "--batch-size=16",
        "--steps=12",
        "--rounds=2",
    ],
    "sentiment": [
        "--preset=tiny",
        "--builtin-size=200",
        "--no-jit",
        "--dropout=0",
        "--steps=12",
        "--rounds=2",
    ],
}
# A learning rate that no weight survives.
DIVERGING = ["--learning-rate=1e38", "--clip=0"]


def start(arguments, log, **environment):
    """A process of the driver; what it prints goes to the file `log`."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    with open(log, "w") as file:
        return subprocess.Popen(
            [sys.executable, DRIVER, *map(str, arguments)],
            env={**os.environ, **quiet, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def start_workers(arguments, logs, each=lambda i: []):
    """A process for each of `logs`, that know of one another by TF_CONFIG.

    Args:
        each: function of a worker's place -> more arguments for it.
    """
    sockets = [socket.socket() for _ in logs]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    config = {"cluster": {"worker": hosts}}
    return [
        start(
            [*arguments, *each(i), "--strategy=multi-worker"],
            log,
            TF_CONFIG=json.dumps({**config, "task": {"type": "worker", "index": i}}),
        )
        for i, log in enumerate(logs)
    ]


def finish(processes, logs):
    """Wait for all; returns what they printed.

    Raises:
        AssertionError: one of them failed, with what it printed.
    """
    try:
        codes = [process.wait(seconds(240)) for process in processes]
    finally:
        for process in processes:
            process.kill()
    outputs = [log.read_text() for log in logs]
    assert not any(codes), "\n".join([f"exit codes {codes}", *outputs])
    return outputs


def train(arguments, folder, *driver):
    """One process, with options of the driver; returns what it printed."""
    log = folder.with_suffix(".log")
    process = start([*driver, "train", *arguments, "--out", folder], log)
    return finish([process], [log])[0]


def reference(app, base, *driver):
    """The folder of one process' training by the settings SMALL, made once.

    Args:
        base: the session's folder, `tmp_path_factory.getbasetemp()`.
    """
    folder = base / "-".join(["one", app, *driver])
    if not folder.exists():
        train([app, *SMALL[app]], folder, *driver)
    return folder


def train_workers(arguments, folder, count=2):
    """`count` workers; returns what each printed."""
    logs = [folder.with_suffix(f".{i}.log") for i in range(count)]
    workers = start_workers(["train", *arguments, "--out", folder], logs)
    return finish(workers, logs)


def state(folder):
    """(every variable after the last round, history without times)."""
    manifest = json.loads((folder / "checkpoint/manifest.json").read_text())
    with np.load(folder / "checkpoint" / manifest["file"]) as arrays:
        variables = [arrays[name] for name in arrays.files]
    history = [
        {k: v for k, v in row.items() if k != "seconds"} for row in manifest["history"]
    ]
    return variables, history


def assert_same_training(got, expected, tolerance=1e-5):
    """The folders hold the same weights, optimizer, carried states and losses."""
    for a, b in zip(state(got)[0], state(expected)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert_same_losses(got, expected, tolerance)


def assert_same_losses(got, expected, tolerance=1e-5):
    for a, b in zip(state(got)[1], state(expected)[1], strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose(
            list(a.values()), list(b.values()), rtol=tolerance, atol=tolerance
        )
