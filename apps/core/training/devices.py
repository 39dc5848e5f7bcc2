"""Training on several devices or machines: tf.distribute's strategies by name.

The batch of a config is the global batch, whatever the strategy: replica r of n, one
per device, computes rows r B/n to (r+1) B/n of it, the gradients are summed, and every
replica makes the same step. The loss is the mean over the tokens of the global batch,
not the mean of the replicas' means, so losses and weights are those of one device, but
for rounding and for random draws, which every replica makes for its own rows.

`workers` says how several processes train together, `feeding` how each replica gets its
part of a batch, `losses` and `replicas` what must be summed over all of them.
"""

import functools
import logging
import os

import tensorflow as tf

from ..errors import UserError
from . import workers

log = logging.getLogger("saccade")

STRATEGIES = ("none", "mirrored", "multi-worker", "tpu")


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
    workers.meet(*workers.read_tf_config())
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            "--strategy multi-worker must be the first that a process does with "
            f"TensorFlow ({error}). Start a new process."
        ) from None
    except tf.errors.OpError as error:
        raise UserError(
            "The workers of TF_CONFIG did not find one another: "
            f"{workers.first_line(error)}"
        ) from None


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
            f"one of this machine) and found none: {workers.first_line(error)}"
        ) from None


_MAKERS = {
    "mirrored": tf.distribute.MirroredStrategy,
    "multi-worker": _multi_worker,
    "tpu": _tpu,
}


def several(strategy):
    """Whether there is more than one replica."""
    return strategy.num_replicas_in_sync > 1


def xla(wanted, strategy):
    """Whether to compile the training step with XLA, where a config wants it."""
    if wanted and several(strategy):
        _log_no_xla()
    return wanted and not several(strategy)


@functools.cache
def _log_no_xla():
    log.info(
        "XLA is off (--jit is for one device): it cannot compile a step that sums over "
        "devices. On a TPU everything is compiled anyway."
    )
