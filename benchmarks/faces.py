"""Faces: who it is, and whether two pictures show the same person, beside pixels.

    python benchmarks/faces.py FOLDER [--key=value ...]

FOLDER holds a folder of pictures per person, ten of each, as AT&T's (ORL). Every line
is trained anew, by the settings of the preset "pictures" and the words behind FOLDER:

- first: the first five pictures of each person are for training, the others for test;
- unseen: four folds of persons; all pictures of a fold's persons are for test. The
  threshold of a fold is the one at which 1 % of the pairs of two persons in the other
  folds, by their own models, are taken for one;
- random: as first, with five random pictures of each person, five times.

Beside each stands the nearest neighbour by the distance of grey pixels, of pictures of
the size that the network sees.
"""

import dataclasses
import os
import random
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from saccade.apps.core import folds
from saccade.apps.core.data.rows import Splits
from saccade.apps.core.inputs import pictures
from saccade.apps.core.settings.command_line import parse_overrides
from saccade.apps.faces import APP, verification

FOLDS, RANDOM = 4, 5
TRAINED = 5  # pictures of each person


def main(folder, *words):
    config = dataclasses.replace(APP.presets["pictures"](), data=folder, rounds=1)
    task = APP.task_for(parse_overrides(config, words))
    print(f"{task.config.steps} steps of {task.config.batch_size} pictures", flush=True)
    rows = in_order(folds.all_rows(task.read()))
    identify("first", task, rows, [of_each(rows, lambda own: own[:TRAINED])])
    verify(task, rows)
    draw = random.Random("saccade faces")
    chosen = [
        of_each(rows, lambda own: draw.sample(own, TRAINED)) for _ in range(RANDOM)
    ]
    identify("random", task, rows, chosen)


def in_order(rows):
    """The rows by person and number of the picture."""
    return folds.taken(rows, sorted(range(len(rows)), key=lambda i: rows["name"][i]))


def of_each(rows, choose):
    """The rows that `choose` takes of those of each person: set of int."""
    own = {}
    for i, label in enumerate(rows["label"]):
        own.setdefault(label, []).append(i)
    return {i for places in own.values() for i in choose(places)}


def identify(name, task, rows, parts):
    """A line: rank-1 of each of some divisions. parts: the rows for training."""
    scores, pixels, began = [], [], time.monotonic()
    for train in parts:
        test = [i for i in range(len(rows)) if i not in train]
        data = divided(rows, sorted(train), test)
        answers = answers_of(task, data)
        nearest = [answer["nearest"] for answer in answers]
        scores.append(share(nearest, data.test["label"]))
        known, asked = (grey(task, part) for part in (data.train, data.test))
        at = squared_distances(asked, known).argmin(axis=1)
        pixels.append(share([data.train["label"][i] for i in at], data.test["label"]))
    print(
        f"{name}: rank-1 {spread(scores)}, pixels {spread(pixels)}, "
        f"{seconds(began, len(parts))} a training",
        flush=True,
    )


def verify(task, rows):
    """Lines: how well pairs of persons who were not in training are told apart."""
    began, found, pixels = time.monotonic(), [], []
    for test in folds.folds_of(rows["label"], FOLDS):
        train = [i for i in range(len(rows)) if i not in set(test)]
        data = divided(rows, train, test)
        answers = answers_of(task, data)
        embeddings = np.array([answer["embedding"] for answer in answers])
        found.append(verification.pairs(embeddings, data.test["label"]))
        shown = grey(task, data.test)
        upper = np.triu_indices(len(shown), 1)
        pixels.append((squared_distances(shown, shown)[upper], found[-1][1]))
    for name, pairs in (("unseen", found), ("unseen, pixels", pixels)):
        each = [verification.figures(*fold) for fold in pairs]
        shown = {k: spread([fold[k] for fold in each]) for k in each[0]}
        print(
            f"{name}: AUC {shown['auc']}, EER {shown['eer']}, TAR at FAR 1 % "
            f"{shown['tar_at_far_1']}"
        )
    accepted = [by_threshold_of_others(found, k) for k in range(FOLDS)]
    far, tar, threshold = (spread(column, "") for column in zip(*accepted, strict=True))
    print(
        f"unseen, threshold of the other folds: FAR {far}, TAR {tar}, threshold "
        f"{threshold}; {seconds(began, FOLDS)} a training"
    )


def by_threshold_of_others(pairs, k):
    """False and true accept rate of a fold, percent, and the others' threshold."""
    others = [d[~same] for i, (d, same) in enumerate(pairs) if i != k]
    threshold = float(np.quantile(np.concatenate(others), verification.FAR))
    distance, same = pairs[k]
    near = distance <= threshold
    return 100 * near[~same].mean(), 100 * near[same].mean(), threshold


def divided(rows, train, test):
    parts = (folds.taken(rows, places) for places in (train, [], test))
    return Splits(*parts, paths=("image",))


def answers_of(task, data):
    """Answers to the test rows, of a model that is trained on the training rows."""
    trainer = folds.Trainer(task.learn(data.train))
    trainer.train(data)
    return trainer.answerer.answers(data.test.requests(task.kinds()), task.Options())


def grey(task, examples):
    """Pixels, float (rows, size x size)."""
    pixels = pictures.read(examples["image"], task.config.image_size).numpy()
    return pixels.mean(axis=3).reshape(len(pixels), -1)


def squared_distances(some, others):
    """(n, size), (m, size) -> (n, m)."""
    products = 2 * some @ others.T
    return (some**2).sum(1)[:, None] + (others**2).sum(1) - products


def share(answers, truths):
    """Of right answers, in percent."""
    return 100 * float(np.mean(np.array(answers) == np.array(truths)))


def spread(values, unit=" %"):
    """The mean, and of several the sample's deviation."""
    text = f"{statistics.fmean(values):.2f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.2f}"
    return text + unit


def seconds(began, count):
    return f"{(time.monotonic() - began) / count:.0f} s"


if __name__ == "__main__":
    main(*sys.argv[1:])
