"""Training on several devices or machines: tf.distribute's strategies by name.

The batch of a config is the global batch, whatever the strategy: replica r of n, one
per device, computes rows r B/n to (r+1) B/n of it, the gradients are summed, and every
replica makes the same step. The loss is the mean over the tokens of the global batch,
not the mean of the replicas' means, so losses and weights are those of one device, but
for rounding and for random draws, which every replica makes for its own rows.

With several workers all of them run the same command and see the same run folder.
The first, the chief, writes into it; the others read the checkpoint to resume from.
"""

import contextlib
import functools
import json
import logging
import os
import socket
import time
import typing
import zlib

import keras
import numpy as np
import tensorflow as tf

from ..errors import UserError

log = logging.getLogger("saccade")

DATA_SERVICE = "SACCADE_DATA_SERVICE"
PATIENCE = 600  # seconds until all workers must have been started
STRATEGIES = ("none", "mirrored", "multi-worker", "tpu")


# Which strategy


def create(name):
    """The strategy of that name; a process has one in its life.

    Args:
        name: none; mirrored, over all GPUs of this machine, or else all its logical
            CPUs; multi-worker, over the machines that TF_CONFIG names; tpu, the one
            that TPU_NAME names, or else the local one.

    Raises:
        UserError: no such name; another strategy was used before; no TF_CONFIG; no TPU.
    """
    if name not in STRATEGIES:
        raise UserError(
            f"--strategy expected one of {', '.join(STRATEGIES)}; received {name!r}."
        )
    if name == "none":
        return tf.distribute.get_strategy()
    used = getattr(create, "used", None)
    if used and used[0] != name:
        raise UserError(
            f"Expected the strategy {used[0]} again, received {name}: TensorFlow sets "
            "its devices up for one strategy. Start a new process for another."
        )
    if not used:
        from . import keras_repairs

        keras_repairs.repair()
        create.used = name, _MAKERS[name]()
        strategy = create.used[1]
        log.info("%s: %d replicas", name, strategy.num_replicas_in_sync)
    return create.used[1]


def _multi_worker():
    example = (
        '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        said = json.loads(os.environ.get("TF_CONFIG", ""))
        jobs, task = said["cluster"], said["task"]
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
    meet(hosts, own)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            "--strategy multi-worker must be the first that a process does with "
            f"TensorFlow ({error}). Start a new process."
        ) from None
    except tf.errors.OpError as error:
        raise UserError(
            f"The workers of TF_CONFIG did not find one another: {_first_line(error)}"
        ) from None


def meet(hosts, own, patience=PATIENCE):
    """Wait until the port of every worker answers; meanwhile say whose does not.

    TensorFlow would wait without a word, and hear no Ctrl-C. A worker that has met all
    others hands its port to TensorFlow, which answers those who come later.

    Args:
        hosts: list of "name:port", of all workers. own: this one's.
        patience: seconds.

    Raises:
        UserError: some did not come in time, or the own port is taken.
    """
    missing = [host for host in hosts if host != own]
    end, say = time.monotonic() + patience, time.monotonic() + 3
    try:
        door = socket.create_server(("", _port(own)), backlog=len(hosts) + 8)
    except OSError as error:
        raise UserError(
            f"TF_CONFIG says that this worker is {own}, but its port cannot be opened: "
            f"{error.strerror}. Is another process using it?"
        ) from None
    with door:
        while missing := [host for host in missing if not _answers(host)]:
            if time.monotonic() > end:
                raise UserError(
                    f"Waited {patience:g} s for {', '.join(missing)}, which TF_CONFIG "
                    "names. Start the same command there too, and check that its port "
                    "can be reached from here."
                )
            if time.monotonic() > say:
                log.info("Waiting for the workers %s.", ", ".join(missing))
                say = time.monotonic() + 60
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


def _tpu():
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"--strategy tpu expected a TPU named {name!r} (TPU_NAME; local for the "
            f"one of this machine) and found none: {_first_line(error)}"
        ) from None


_MAKERS = {
    "mirrored": tf.distribute.MirroredStrategy,
    "multi-worker": _multi_worker,
    "tpu": _tpu,
}


def several(strategy):
    """Whether there is more than one replica."""
    return strategy.num_replicas_in_sync > 1


def workers(strategy):
    """The number of processes that train together."""
    return _place(strategy)[1]


def is_chief(strategy):
    """Whether this process is the one that writes."""
    return _place(strategy)[0] == 0


def _place(strategy):
    """(place of this worker among all, their number)."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec()
    chiefs = jobs.num_tasks("chief") if "chief" in jobs.jobs else 0
    others = jobs.num_tasks("worker") if "worker" in jobs.jobs else 0
    before = chiefs if resolver.task_type == "worker" else 0
    return before + resolver.task_id, chiefs + others


def xla(wanted, strategy):
    """Whether to compile the training step with XLA, where a config wants it."""
    if wanted and several(strategy):
        _say_no_xla()
    return wanted and not several(strategy)


@functools.cache
def _say_no_xla():
    log.info(
        "XLA is off (--jit is for one device): it cannot compile a step that sums over "
        "devices. On a TPU everything is compiled anyway."
    )


# The batch and its parts


class Part(typing.NamedTuple):
    """One replica's part of every global batch."""

    index: int = 0
    count: int = 1

    def of(self, rows):
        """The slice of the global batch's rows that belongs to this part."""
        size = rows // self.count
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part()


def check_rows(rows, strategy):
    """Raises UserError where the replicas cannot have equal parts of a batch."""
    replicas = strategy.num_replicas_in_sync
    if rows % replicas:
        raise UserError(
            f"--batch-size expected a multiple of {replicas}, the number of replicas "
            f"among which it is divided; received {rows}. The nearest are "
            f"{rows // replicas * replicas or replicas} and "
            f"{(rows // replicas + 1) * replicas}."
        )


def feed(strategy, batches, first_step):
    """What `fit` reads: global batches, or every replica its part of them.

    Args:
        batches: function of the first step and, called with several replicas, of a
            `Part` -> endless `tf.data.Dataset` of (inputs, targets, weights). The parts
            side by side must be the whole.

    Where the environment has DATA_SERVICE, tf.data services compute them.
    """
    if not several(strategy):
        return served(batches(first_step))

    def local(context):
        """The parts of this worker's replicas, in turn; no worker reads the others'."""
        replicas = strategy.num_replicas_in_sync
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here
        parts = [
            served(batches(first_step, Part(i, replicas)), i)
            for i in range(first, first + here)
        ]
        turns = tf.data.Dataset.range(here).repeat()
        return tf.data.Dataset.choose_from_datasets(parts, turns)

    return strategy.distribute_datasets_from_function(local)


def served(dataset, place=0):
    """A dataset as it is, or from the tf.data services of DATA_SERVICE.

    The variable holds one address or several with commas between; replica r asks the
    r-th, around. A service must have one worker: several would mix up the order.
    """
    addresses = os.environ.get(DATA_SERVICE, "").split(",")
    address = addresses[place % len(addresses)].strip()
    if not address:
        return dataset
    service = tf.data.experimental.service
    whole = service.ShardingPolicy.OFF
    return dataset.apply(service.distribute(processing_mode=whole, service=address))


class GlobalMean:
    """For a keras.losses.Loss of reduction "mean_with_sample_weight", as first base:
    the mean over the global batch, of which each replica sees its part.

    Replicas hold unequal numbers of tokens that count. Keras adds their means up with
    equal weights; multiplied by its replica's share of all tokens, each counts right.
    """

    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = super().__call__(y_true, y_pred, sample_weight)
        context = tf.distribute.get_replica_context()
        if not context or context.num_replicas_in_sync == 1:
            return loss
        here = tf.reduce_sum(tf.cast(sample_weight, "float32"))
        everywhere = context.all_reduce("SUM", here)
        share = tf.math.divide_no_nan(here, everywhere)
        return loss * tf.cast(share * context.num_replicas_in_sync, loss.dtype)


def synchronise(model):
    """Let every BatchNormalization take its moments over the global batch."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        elif isinstance(layer, keras.Model):
            synchronise(layer)


# Variables of which every replica has its own


def own_variable(shape, name):
    """A variable of zeros that every replica writes for itself, float32.

    In a checkpoint stand the values of all replicas, one after the other along the
    first axis: so it can be read back by another number of replicas.
    """
    return keras.Variable(
        "zeros",
        shape=shape,
        trainable=False,
        name=name,
        synchronization="on_read",
        aggregation="only_first_replica",  # what it shows to who knows no replicas
    )


def _is_own(variable):
    return variable.synchronization == "on_read"


def whole_shape(variable, strategy):
    """The shape of what `read` returns."""
    shape = tuple(variable.shape)
    if _is_own(variable):
        return (shape[0] * strategy.num_replicas_in_sync, *shape[1:])
    return shape


def read(variable, strategy):
    """A variable as an array. All workers must call it, for the same variables."""
    if not (several(strategy) and _is_own(variable)):
        return np.array(variable)
    parts = strategy.experimental_local_results(variable.value)
    here = np.concatenate([part.numpy() for part in parts])
    return np.concatenate(_gather(here, strategy))


def write(variable, array, strategy):
    """Undo `read`."""
    if not (several(strategy) and _is_own(variable)):
        variable.assign(array)
        return
    parts = strategy.experimental_local_results(variable.value)
    first = _place(strategy)[0] * len(parts)
    for i, part in enumerate(parts, first):
        part.assign(array[Part(i, strategy.num_replicas_in_sync).of(len(array))])


# Workers that wait for one another


def wait(strategy):
    """Go on when every worker has come here."""
    _gather(0, strategy)


def of_chief(number, strategy):
    """The chief's whole number, on every worker."""
    return int(_gather(number, strategy)[0])


def check_same(text, strategy, message):
    """Raises UserError(message) on every worker where `text` is not the same on all."""
    if len(set(_gather(zlib.crc32(text.encode()), strategy))) > 1:
        raise UserError(message)


def _gather(value, strategy):
    """The values of all workers, arrays of one shape or numbers: list."""
    if workers(strategy) == 1:
        return [value]
    replicas, values = _gatherer(strategy)(tf.constant(value))
    here = strategy.num_replicas_in_sync // workers(strategy)
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
        if workers(strategy) == 1:
            raise
        raise UserError(
            "Another worker has stopped or cannot be reached, so this one cannot go "
            "on. Start all of them again, with --resume. TensorFlow says: "
            f"{_first_line(error)}"
        ) from error


def _first_line(error):
    """What TensorFlow says first that says something."""
    lines = [line for line in str(error).split("\n") if ": " in line]
    return (lines or [str(error)])[0].strip()
