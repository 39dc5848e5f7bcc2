"""Training in rounds: time budgets, and going on after an interruption.

The resume rule: the order of the data and every random draw are pure functions of
(seed, step), or stand in a checkpoint, see `checkpoints`.
"""

import logging
import pathlib
import statistics
import time

import keras
import numpy as np

from ..errors import UserError
from ..files.whole import remove_leftovers
from . import replicas, workers
from .checkpoints import Rounds, all_variables
from .devices import several
from .feeding import feed
from .not_finite import NotFinite
from .progress import RoundsShown

log = logging.getLogger("saccade")

WARM_UP_STEPS, TIMED_STEPS = 3, 12
# What a round costs beside its steps (validation, checkpoint), as a share of them.
OVERHEAD = 0.1


def train(
    model,
    batches,
    steps_per_round,
    rounds,
    folder,
    score,
    resume=False,
    kept=None,
    in_words=lambda figures: "",
    enough=None,
    average=1,
):
    """Fit `model`, with a validation and a checkpoint after every round.

    Args:
        model: a compiled keras.Model.
        batches: function of the first step -> endless `tf.data.Dataset` for `fit`; see
            `feeding.feed` for several devices.
        steps_per_round, rounds: their product is the number of steps.
        folder: the run's folder; receives `model.keras` (the best so far),
            `history.csv`, `tensorboard/` and `checkpoint/`.
        score: function without arguments -> dict of validation figures of the model
            as it is; "val_score" decides which weights are the best, the higher the
            better.
        resume: go on from the folder's checkpoint, if there is one.
        kept: the part of the model that `model.keras` keeps; None: all of it.
        in_words: function of a round's figures -> what is printed of them.
        enough: function of them -> whether training may end with this round.
        average: rounds whose mean weights are scored and kept, see `Rounds`.

    Ctrl-C ends it early with a KeyboardInterrupt. In every case the model leaves
    with the best weights.

    Raises:
        UserError: a loss or a weight is no finite number, see `not_finite`; a file
            cannot be written, for instance because the disk is full; the checkpoint
            is damaged or of another model. What was saved before stays as it is.
    """
    folder = pathlib.Path(folder)
    strategy = model.distribute_strategy
    if average > 1 and workers.count(strategy) > 1:
        raise UserError(
            "--average above 1 needs all weights in one process: expected one worker, "
            f"received {workers.count(strategy)}. Take --average 1."
        )
    keeper = Rounds(model, folder, score, kept, enough, average)
    if keeper.writes:
        remove_leftovers(folder)
    done = keeper.restore() if resume else 0
    if keeper.ended or done >= rounds:
        log.info("%s is complete: %d of %d rounds are done.", folder, done, rounds)
        done = rounds
    workers.check_same(
        str(done),
        strategy,
        f"The workers find different checkpoints in {folder}. Expected one folder that "
        "all of them see, for instance on a network disk.",
    )
    if not done:
        # The state before the first step: a folder that cannot be written shows now,
        # not after the first round, and that round too can be run again.
        keeper.write_checkpoint(0)
    watching = [keras.callbacks.TensorBoard(folder / "tensorboard")]
    shown = RoundsShown(keeper, steps_per_round, rounds, in_words, not keeper.writes)
    try:
        if done < rounds:
            with shown:
                model.fit(
                    feed(strategy, batches, done * steps_per_round),
                    initial_epoch=done,
                    epochs=rounds,
                    steps_per_epoch=steps_per_round,
                    shuffle=False,  # It comes shuffled; Keras would warn.
                    callbacks=[
                        NotFinite(  # first: what it refuses must not be saved
                            all_variables(model),
                            batches,
                            steps_per_round,
                            keeper.reload,
                            folder,
                        ),
                        keeper,
                        shown,  # behind it, with its scores
                        *(watching if keeper.writes else ()),
                    ],
                    verbose=0,
                )
    finally:
        keeper.restore_best()


def steps_for(minutes, model, batches):
    """How many training steps fit into `minutes`, by timing the first ones.

    The timed steps are undone, so the training that follows is the same as one that
    was given the number of steps.
    """
    strategy = model.distribute_strategy
    before = [replicas.read(v, strategy) for v in all_variables(model)]
    if several(strategy):
        times = _times_of_calls(model, feed(strategy, batches, 0))
    else:
        times = _times_of_steps(model, batches(0))
    for variable, value in zip(all_variables(model), before, strict=True):
        replicas.write(variable, value, strategy)
    model.reset_metrics()
    step = statistics.median(times[WARM_UP_STEPS:])
    steps = max(1, int(minutes * 60 / (step * (1 + OVERHEAD))))
    steps = workers.of_chief(steps, strategy)
    log.info("%.0f ms a step: %d steps in %g minutes", step * 1e3, steps, minutes)
    return steps


def _times_of_steps(model, dataset):
    times = []
    for _, batch in zip(range(WARM_UP_STEPS + TIMED_STEPS), dataset, strict=False):
        started = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - started)
    return times


def _times_of_calls(model, dataset):
    """As `_times_of_steps`, by `fit`, which alone knows how to feed several devices."""
    per_call = model.steps_per_execution
    moments = [time.perf_counter()]
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: moments.append(time.perf_counter())
    )
    steps = (WARM_UP_STEPS + TIMED_STEPS) * per_call
    model.fit(
        dataset, steps_per_epoch=steps, callbacks=[note], shuffle=False, verbose=0
    )
    return list(np.diff(moments) / per_call)
