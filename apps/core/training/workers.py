"""Several workers: how they find, wait for and miss one another.

All of them run the same command and see the same run folder. The first, the chief,
writes into it; the others read the checkpoint to resume from.
"""

import contextlib
import functools
import json
import logging
import os
import socket
import time
import zlib

import numpy as np
import tensorflow as tf

from ..errors import UserError

log = logging.getLogger("saccade")

PATIENCE = 600  # seconds until all workers must have been started


# Before the first step


def read_tf_config():
    """What TF_CONFIG says about the cluster: ("name:port" of all workers, own one).

    Raises:
        UserError: there is none, or it is no description of a cluster.
    """
    example = (
        '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(os.environ.get("TF_CONFIG", ""))
        jobs, task = config["cluster"], config["task"]
        own = jobs[task["type"]][int(task["index"])]
        hosts = [host for job in jobs.values() for host in job]
        complete = set(jobs) <= {"chief", "worker"} and all(map(_port, hosts))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise UserError(
            f"--strategy multi-worker expected TF_CONFIG like {example} in the "
            "environment, the index another on every machine; received "
            f"{os.environ.get('TF_CONFIG', 'none')!r}."
        )
    return hosts, own


def meet(hosts, own, patience=PATIENCE):
    """Wait until the port of every worker answers; meanwhile say whose does not.

    TensorFlow would wait without a word, and not end by Ctrl-C. A worker that has met
    all others hands its port to TensorFlow, which answers those who come later.

    Args:
        hosts: list of "name:port", of all workers. own: this one's.
        patience: seconds.

    Raises:
        UserError: some did not come in time, or the own port is taken.
    """
    missing = [host for host in hosts if host != own]
    started = time.monotonic()
    give_up, next_message = started + patience, started + 3
    try:
        listener = socket.create_server(("", _port(own)), backlog=len(hosts) + 8)
    except OSError as error:
        raise UserError(
            f"TF_CONFIG says that this worker is {own}, but its port cannot be opened: "
            f"{error.strerror}. Is another process using it?"
        ) from None
    with listener:
        while missing := [host for host in missing if not _answers(host)]:
            if time.monotonic() > give_up:
                raise UserError(
                    f"Waited {patience:g} s for {', '.join(missing)}, which TF_CONFIG "
                    "names. Start the same command there too, and check that its port "
                    "can be reached from here."
                )
            if time.monotonic() > next_message:
                log.info("Waiting for the workers %s.", ", ".join(missing))
                next_message = time.monotonic() + 60
            time.sleep(0.1)


def _port(host):
    """The number behind the last colon; 0 where there is none."""
    number = host.rpartition(":")[2]
    return int(number) if ":" in host and number.isdecimal() else 0


def _answers(host):
    name = host.rpartition(":")[0].strip("[]")
    try:
        socket.create_connection((name, _port(host)), timeout=2).close()
    except OSError:
        return False
    return True


def count(strategy):
    """The number of processes that train together."""
    return _place_and_count(strategy)[1]


def place(strategy):
    """The place of this process among all that train together."""
    return _place_and_count(strategy)[0]


def is_chief(strategy):
    """Whether this process is the one that writes."""
    return place(strategy) == 0


def _place_and_count(strategy):
    """(place of this worker among all, their number)."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec()
    chiefs = jobs.num_tasks("chief") if "chief" in jobs.jobs else 0
    others = jobs.num_tasks("worker") if "worker" in jobs.jobs else 0
    before = chiefs if resolver.task_type == "worker" else 0
    return before + resolver.task_id, chiefs + others


# While training


def wait(strategy):
    """Go on when every worker has come here."""
    gather(0, strategy)


def of_chief(number, strategy):
    """The chief's whole number, on every worker."""
    return int(gather(number, strategy)[0])


def check_same(text, strategy, message):
    """Raises UserError(message) on every worker where `text` is not the same on all."""
    if len(set(gather(zlib.crc32(text.encode()), strategy))) > 1:
        raise UserError(message)


def gather(value, strategy):
    """The values of all workers, arrays of one shape or numbers: list."""
    if count(strategy) == 1:
        return [value]
    replicas, values = _gatherer(strategy)(tf.constant(value))
    here = strategy.num_replicas_in_sync // count(strategy)
    order = np.argsort(replicas.numpy())  # TensorFlow promises none.
    return list(values.numpy()[order[::here]])


@functools.cache
def _gatherer(strategy):
    """In a graph: without one TensorFlow warns that it is slow."""

    def mine(value):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.reshape(replica, [1]), value[None]

    @tf.function
    def gather(value):
        everyone = strategy.run(mine, args=(value,))
        return [strategy.gather(part, axis=0) for part in everyone]

    return gather


@contextlib.contextmanager
def lost_workers_named(strategy):
    """Turns what TensorFlow says when a worker is gone into a UserError."""
    lost = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    )
    try:
        yield
    except lost as error:
        if count(strategy) == 1:
            raise
        raise UserError(
            "Another worker has stopped or cannot be reached, so this one cannot go "
            "on. Start all of them again, with --resume. TensorFlow says: "
            f"{first_line(error)}"
        ) from error


def first_line(error):
    """The first line of TensorFlow's message that has some content."""
    lines = [line for line in str(error).split("\n") if ": " in line]
    return (lines or [str(error)])[0].strip()
