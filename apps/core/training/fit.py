"""Training a task: how many steps, and what one of them does."""

import dataclasses
import logging

from . import devices, frozen, loop
from .losses import Averaged

log = logging.getLogger("saccade")


def fit(task, answerer, splits, folder, resume, planned):
    """Train `answerer.model`; returns the config with the number of steps filled in.

    Args:
        task: a `Task`. answerer: its `Answerer`.
        splits: what `task.read` gave.
        folder: where `loop.train` keeps its files.
        resume: go on from the folder's checkpoint.
        planned: called with the final config before the first step, so that the folder
            can say what is being trained.
    """
    config, model = task.config, answerer.model
    with model.distribute_strategy.scope():
        trainer, batches_of = frozen.split(task, model)
    batches = batches_of(splits.train)
    compile_trainer(trainer, task, config.steps)
    if not config.steps:
        steps = loop.steps_for(config.minutes, trainer, batches)
        config = dataclasses.replace(config, steps=steps)
    rounds, requested = min(config.rounds, config.steps), config.steps
    per_round, per_call = whole_calls(config.steps // rounds, steps_per_call(config))
    changed = {"steps": rounds * per_round}
    if hasattr(config, "steps_per_call"):
        changed["steps_per_call"] = per_call
    config = dataclasses.replace(config, **changed)
    if config.steps != requested:
        log.info("%d steps instead of %d: whole rounds.", config.steps, requested)
    planned(config)
    # The learning rate falls over the planned steps.
    compile_trainer(trainer, task.bound(config), config.steps)
    loop.train(
        trainer,
        batches,
        per_round,
        rounds,
        folder,
        validation(task, answerer, splits),
        resume,
        kept=None if trainer is model else model,
        in_words=lambda figures: in_words(task, figures),
        enough=lambda figures: enough(task, figures),
        average=getattr(config, "average", 1),
    )
    return config


def of_validation(figures):
    """The figures that `validation` gave, by their own names."""
    return {
        name.removeprefix("val_"): value
        for name, value in figures.items()
        if name.startswith("val_")
    }


def in_words(task, figures):
    """A round's scores as its line shows them."""
    scores = of_validation(figures)
    return ", ".join(
        words.format(scores[name])
        for name, words in task.in_words.items()
        if name in scores
    )


def enough(task, figures):
    """Whether the score of `--stop-at` is reached, which is said."""
    goal, name = getattr(task.config, "stop_at", 0), task.best.removeprefix("-")
    if not goal:
        return False
    score = of_validation(figures)[name]
    reached = score <= goal if task.best.startswith("-") else score >= goal
    if reached:
        log.info(
            "Stopping: %s of validation is %.4g, and %g was asked for.",
            name.replace("_", " "),
            score,
            goal,
        )
    return reached


def steps_per_call(config):
    return getattr(config, "steps_per_call", 1)


def whole_calls(per_round, per_call):
    """Steps of a round and of a call, so that a round is a whole number of calls: of
    so many steps, or of fewer where that keeps more steps of the round."""
    per_call = min(per_call, per_round)
    fewer = per_round // -(-per_round // per_call)
    return max((per_round // n * n, n) for n in (per_call, fewer))


def compile_trainer(trainer, task, steps):
    """Ready for `fit`: the task's optimizer, and its loss averaged globally."""
    config, strategy = task.config, trainer.distribute_strategy
    with strategy.scope():
        over = getattr(config, "loss_over", "token")
        trainer.compile(
            task.optimizer(steps),
            loss=averaged(task.loss(), over),
            jit_compile=devices.xla(config.jit, strategy),
            # Keras' loop over several steps fails with the parts of several devices.
            steps_per_execution=1
            if devices.several(strategy)
            else steps_per_call(config),
        )


def averaged(loss, over):
    if isinstance(loss, dict):
        return {name: Averaged(part, over) for name, part in loss.items()}
    return None if loss is None else Averaged(loss, over)


def validation(task, answerer, splits):
    """A function that scores the model as it is: "val_score" and the task's figures."""
    examples = splits.validation if len(splits.validation) else splits.train

    def score():
        options = task.validated()
        figures = task.evaluate(answerer, examples, options, task.validated_at_most)
        numbers = {
            f"val_{name}": float(value)
            for name, value in figures.items()
            if isinstance(value, int | float)
        }
        return {**numbers, "val_score": float(task.rank(figures))}

    return score
