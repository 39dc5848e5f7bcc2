"""Where data lies, and the order of its examples, a pure function of (seed, step)."""

import logging
import os
import pathlib

import rich.filesize
import tensorflow as tf

from . import prepared
from .config import UserError

log = logging.getLogger("saccade")

NAMED = 20  # bad rows or files at most, in a message


def path_of(name):
    """A path; ~ is the home folder, where there is such a user, and never an error."""
    return pathlib.Path(os.path.expanduser(name))


def lies_in(config, **made):
    """Where the data that a config names lies, for people.

    Args:
        made: values of `config.data` that name no place -> what to say of them.
    """
    if config.data in made:
        return made[config.data]
    if config.data.startswith("tfds:"):
        return prepared.where(config.data, config.data_dir)
    path = path_of(config.data).absolute()
    if path.is_dir():
        return str(path)
    return f"{path}, {rich.filesize.decimal(path.stat().st_size)}"


def report_skipped(config, bad, count, what):
    """Say what --skip-bad has left out.

    Args:
        config: with `bad_at_most`, in percent. bad: why, list of str, for each.
        count: of good and bad together. what: what they are, for the message.

    Raises:
        UserError: they are too many.
    """
    if not bad:
        return
    percent = 100 * len(bad) / count
    named = "".join(f"\n  {why}" for why in bad[:NAMED])
    if len(bad) > NAMED:
        named += f"\n  and {len(bad) - NAMED} more"
    if percent > config.bad_at_most:
        raise UserError(
            f"{len(bad)} of {count} {what} are bad, {percent:.1f} %, which is more "
            f"than --bad-at-most={config.bad_at_most:g}:{named}"
        )
    log.warning("Skipped %d of %d %s:%s", len(bad), count, what, named)


def spec_text(tensors):
    """Names, types and shapes of a dict of tensor specs, for people."""
    return ", ".join(
        f"{name} {spec.dtype.name} {tuple(spec.shape)}"
        for name, spec in tensors.items()
    )


def index_batches(count, batch_size, seed, first_step=0):
    """An endless stream of batches of indices: every example once per pass.

    Pass k is a permutation drawn from (seed, k) alone, and a batch may span two
    passes, so training can stop and go on at any step and see the same order.

    Args:
        count: number of examples; batch_size: indices per batch.
        first_step: number of batches to leave out at the beginning.

    Returns:
        `tf.data.Dataset` of (step int64 scalar, indices int64 (batch_size,)).
    """
    if count < 1:
        raise ValueError(
            f"Expected at least one example to train on, received {count}."
        )
    position = first_step * batch_size
    first_pass, inside = divmod(position, count)

    def permutation(k):
        draws = tf.random.stateless_uniform([count], tf.stack([seed, k]))
        return tf.data.Dataset.from_tensor_slices(tf.argsort(draws))

    passes = tf.data.Dataset.range(first_pass, tf.int64.max).map(
        lambda k: tf.cast(k, tf.int32)
    )
    indices = passes.flat_map(permutation).map(lambda i: tf.cast(i, tf.int64))
    batches = indices.skip(inside).batch(batch_size, drop_remainder=True)
    return batches.enumerate(first_step)
