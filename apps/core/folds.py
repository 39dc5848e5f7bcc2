"""Cross-validation: the settings of a run, trained anew once per fold.

Every row is a test row once, in a fold whose training has not seen it. Rows of one
group, by default those with equal requests, are in one fold together. Which rows
choose the weights that a fold keeps is decided inside of its training part.

The graphs of training and answering are made once and used by every fold whose data
teach the same assets: only the numbers go back to where they began. So leaving one out
costs its steps, not its compilations.
"""

import json
import logging
import math
import statistics
import time

import keras

from .data import splits
from .data.rows import Examples, Splits
from .errors import UserError
from .tasks.signatures import Answerer
from .training import fit, frozen, replicas
from .training.checkpoints import all_variables

log = logging.getLogger("saccade")

LEAVE_ONE_OUT = "leave-one-out"


def evaluate(task, folds, group, options):
    """Figures of a task by cross-validation.

    Args:
        task: a `Task` without assets, its config with the number of steps.
        folds: how many, from 2 on, or `LEAVE_ONE_OUT`: as many as groups.
        group: the column whose equal values stay together; "": equal requests do.
        options: of the task's `Options`, by which the test rows are answered.

    Returns:
        dict with `folds`, `rows`; `pooled`, the figures of all rows' answers together,
        empty unless `Task.comparable`; and where every fold has the figure, a number,
        `mean` and `deviation` of it over the folds, the sample's.

    Raises:
        UserError: the data has no rows, no such column, or fewer groups than folds.
    """
    rows = all_rows(task.read())
    groups = groups_of(task, rows, group)
    parts = folds_of(groups, folds)
    log.info(
        "%d folds, each trained anew for %d steps. An interrupted evaluation begins "
        "anew, too.",
        len(parts),
        task.config.steps,
    )
    trainer, answers, figures = None, [None] * len(rows), []
    for k, test in enumerate(parts):
        began = time.monotonic()
        data = splits_of(task, rows, test, groups)
        learned = task.learn(data.train)
        if trainer is None or not trainer.fits(learned):
            trainer = Trainer(learned)
        trainer.train(data)
        tested = data.test.requests(task.row_kinds())
        given = trainer.answerer.answers(tested, options, task.trains)
        for row, answer in zip(test, given, strict=True):
            answers[row] = answer
        figures.append(learned.measure(given, data.test))
        log.info(
            "fold %d of %d: %d rows in %.0f s, %s",
            k + 1,
            len(parts),
            len(test),
            time.monotonic() - began,
            fit.in_words(task, {f"val_{n}": v for n, v in figures[-1].items()}),
        )
    pooled = trainer.task.measure(answers, rows) if task.comparable else {}
    return {
        "folds": len(parts),
        "rows": len(rows),
        "pooled": pooled,
        **over_folds(figures),
    }


def all_rows(data):
    """The rows of all splits as one `Examples`."""
    parts = [data.train, data.validation, data.test]
    if not all(isinstance(part, Examples) for part in parts):
        raise UserError(
            "--folds needs data in rows, each with what is right; this app learns from "
            "texts or streams."
        )
    return Examples(
        **{
            name: [value for part in parts for value in part[name] if len(part)]
            for name in data.train.columns
        }
    )


def groups_of(task, rows, group):
    """The group of every row, list of str."""
    if not group:
        return [key_of(task, request) for request in rows.requests(task.row_kinds())]
    if group not in rows:
        raise UserError(
            f"--group expected a column of the data, one of {', '.join(rows.columns)}; "
            f"received {group!r}."
        )
    return [str(value) for value in rows[group]]


def key_of(task, request):
    """A request as a text that is the same for equal ones."""
    kinds = task.row_kinds()
    encoded = [kinds[name].encode(value)[0] for name, value in request.items()]
    return "\t".join(
        v.hex() if isinstance(v, bytes) else json.dumps(v, default=str) for v in encoded
    )


def folds_of(groups, folds):
    """The test rows of every fold: list of lists of int.

    Groups in the order of their hash are dealt out in turn, so that all folds have as
    many groups, but for one.
    """
    order = sorted(set(groups), key=splits.hash_of)
    count = len(order) if folds == LEAVE_ONE_OUT else folds
    if not 2 <= count <= len(order):
        raise UserError(
            f"--folds expected {LEAVE_ONE_OUT} or a number from 2 to {len(order)}, the "
            f"number of groups that stay together; received {folds}."
        )
    fold = {key: i % count for i, key in enumerate(order)}
    parts = [[] for _ in range(count)]
    for row, key in enumerate(groups):
        parts[fold[key]].append(row)
    return parts


def splits_of(task, rows, test, groups):
    """A fold's `Splits`: the test rows, and the others for training and validation.
    groups: of every row.

    Validation gets its share of --split by the hash of the group. With one round it
    would choose nothing, so then all others are trained on.
    """
    tested = set(test)
    others = [row for row in range(len(rows)) if row not in tested]
    if task.config.rounds == 1:
        return Splits(taken(rows, others), taken(rows, []), taken(rows, test))
    train, validation, _ = splits.percentages(task.config.split)
    names = {
        row: splits.by_shares(train, validation, 0, f"fold {groups[row]}")
        for row in others
    }
    if "train" not in names.values():
        raise UserError(f"--split={task.config.split} leaves a fold no training rows.")
    parts = [[r for r in others if names[r] == n] for n in ("train", "validation")]
    return Splits(*(taken(rows, part) for part in [*parts, test]))


def taken(rows, places):
    """The rows at some places, as `Examples`."""
    columns = rows.columns.items()
    return Examples(**{name: [values[i] for i in places] for name, values in columns})


class Trainer:
    """A compiled model that is trained again and again from the same beginning.

    Args:
        task: a `Task` with assets.
    """

    def __init__(self, task):
        self.task, config = task, task.config
        keras.utils.set_random_seed(config.seed)
        model = task.build_model()
        task.begin(model)
        self.answerer = Answerer(task, model)
        self.trained, self.batches_of = frozen.split(task, model)
        rounds = min(config.rounds, config.steps)
        self.rounds, self.per_round = rounds, config.steps // rounds
        fit.compile_trainer(self.trained, task, rounds * self.per_round)
        self.beginning = self._values()

    def fits(self, task):
        """Whether this is the model of a task, too."""
        return task.config == self.task.config and (
            task.assets is None or task.assets.to_json() == self.task.assets.to_json()
        )

    def train(self, data):
        """Train from the beginning on `Splits`; of several rounds the best by the
        validation is kept."""
        config = self.task.config
        self._set(self.beginning)
        keras.utils.set_random_seed(config.seed)
        batches = self.batches_of(data.train)
        score = fit.validation(self.task, self.answerer, data)
        best = -math.inf
        for done in range(self.rounds):
            history = self.trained.fit(
                batches(done * self.per_round),
                steps_per_epoch=self.per_round,
                shuffle=False,
                verbose=0,
            )
            loss = history.history["loss"][-1]
            if not math.isfinite(loss):
                raise UserError(
                    f"The loss of a fold is {loss}. Train a run with a lower "
                    "--learning-rate or with --clip, which keeps it finite."
                )
            if self.rounds == 1:
                return
            figures = score()
            if figures["val_score"] > best:
                best, kept = figures["val_score"], self._values()
            if fit.enough(self.task, figures):
                break
        self._set(kept)

    def _values(self):
        strategy = self.trained.distribute_strategy
        return [replicas.read(v, strategy) for v in all_variables(self.trained)]

    def _set(self, values):
        strategy = self.trained.distribute_strategy
        for variable, value in zip(all_variables(self.trained), values, strict=True):
            replicas.write(variable, value, strategy)


def over_folds(figures):
    """`mean` and `deviation` of the numbers that every fold has."""
    shared = [
        name
        for name in figures[0]
        if all(isinstance(fold.get(name), int | float) for fold in figures)
    ]
    columns = {name: [fold[name] for fold in figures] for name in shared}
    return {
        "mean": {name: statistics.fmean(c) for name, c in columns.items()},
        "deviation": {name: statistics.stdev(c) for name, c in columns.items()},
    }
