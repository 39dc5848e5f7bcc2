"""Several digits in a picture: one more than in training, and a CNN beside the looks.

    python benchmarks/several_digits.py RUN --steps 4000

RUN is of `saccade train glimpse --preset several`. Of the test split, by the number of
digits, the share of sequences that are right as a whole:

- glimpses   the run, which looks at digit after digit;
- CNN        a network that sees all at once and has a head for every place and the end;
             trained here for --steps on the same pictures, turned in the same way, its
             weights chosen on the validation split, as those of the run were. With
             --steps 0 its figures of the last time stay: it does not hang on the run.

Then both are asked about pictures with one digit more than any in training. The looks
go on with the same weights; the CNN has no head for that digit, and would have to be
trained anew. The figures go to benchmarks/results/several_digits.json.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from saccade.apps.core.tasks.signatures import Answerer
from saccade.apps.core.tasks.task import checked_options
from saccade.apps.glimpse import APP
from saccade.apps.glimpse.scores import sequence_metrics

RESULTS = pathlib.Path(__file__).parent / "results" / "several_digits.json"
FILTERS, HIDDEN = (16, 32, 64), 256
BATCH, ROUNDS = 128, 10


def longer(run):
    """The run's task and network for one digit more: the same weights, more looks."""
    config = dataclasses.replace(run.config, digits=run.config.digits + 1)
    task = APP.task_for(config, run.assets)
    model = task.build_model()
    model.set_weights(run.model.get_weights())
    return task, model


def of_glimpses(task, model, examples):
    return task.evaluate(Answerer(task, model), examples, checked_options(task, {}))


# The CNN


def cnn(task):
    """Logits (batch, digits + 1, classes + 1) of a picture as the sensor sees it."""
    size, places = task.config.image_size, task.config.digits + 1
    classes = len(task.assets.labels) + 1
    image = keras.Input((size, size, 1), name="image")
    x = image
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(HIDDEN, "relu")(layers.Flatten()(x))
    x = layers.Dense(places * classes)(layers.Dropout(0.5)(x))
    return keras.Model(image, layers.Reshape((places, classes))(x), name="cnn")


def batches(task, examples, seed):
    """Endless (pictures, targets, weights)."""
    pairs = task.targets(examples)
    pixels = task.kinds()["image"].column(examples["image"])
    draw = np.random.default_rng(seed)
    while True:
        order = draw.permutation(len(examples))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = np.sort(order[start : start + BATCH])
            values = {"image": tf.constant(pixels(rows))}
            values = task.augment(values, draw.integers(2**31, size=2, dtype=np.int32))
            image = task.features(values)["image"]
            yield image, pairs.targets["logits"][rows], pairs.weights["logits"][rows]


def texts(task, model, examples):
    """What the CNN reads: list of str."""
    end, column = len(task.assets.labels), task.kinds()["image"].column
    pixels, found = column(examples["image"]), []
    for start in range(0, len(examples), 500):
        rows = np.arange(start, min(start + 500, len(examples)))
        logits = model(task.features({"image": tf.constant(pixels(rows))})["image"])
        for ids in np.argmax(logits, axis=-1).tolist():
            until = ids.index(end) if end in ids else len(ids)
            found.append("".join(task.assets.labels[i] for i in ids[:until]))
    return found


def trained_cnn(task, splits, steps):
    """The CNN with the weights of its best round, and seconds of training."""
    keras.utils.set_random_seed(0)
    model, began = cnn(task), time.perf_counter()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.Adam(schedule), loss)
    best, kept, drawn = -1.0, None, batches(task, splits.train, 0)
    for number in range(ROUNDS):
        for _ in range(steps // ROUNDS):
            image, targets, weights = next(drawn)
            model.train_on_batch(image, targets, weights)
        right = figures(task, model, splits.validation)["accuracy"]
        print(f"CNN, round {number + 1} of {ROUNDS}: {right:.2f} % in validation")
        if right > best:
            best, kept = right, model.get_weights()
    model.set_weights(kept)
    return model, time.perf_counter() - began


def figures(task, model, examples):
    return sequence_metrics(texts(task, model, examples), examples["label"])


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", help="folder of a run of glimpse, --preset several")
    parser.add_argument(
        "--steps",
        type=int,
        default=4000,
        help="of the CNN's training; 0: keep its figures in --out",
    )
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    asked = parser.parse_args(words)
    run = APP.load(asked.run)
    if run.config.scene != "several":
        parser.error(f"RUN expected of scene=several, received {run.config.scene}")
    splits = run.task.read()
    more, more_model = longer(run)
    more_test = more.read().test
    rows = [
        row_of("glimpses", of_glimpses(run.task, run.model, splits.test)),
        row_of("glimpses, one digit more", of_glimpses(more, more_model, more_test)),
    ]
    if asked.steps:
        beside = of_cnn(run, splits, more_test, asked.steps)
    else:
        beside = json.loads(asked.out.read_text("utf-8"))
        beside["rows"] = [r for r in beside["rows"] if r["who"].startswith("CNN")]
    # One after the other: in training's lengths, then one digit more.
    rows = [row for pair in zip(rows, beside["rows"], strict=True) for row in pair]
    lengths = sorted({key for row in rows for key in row if key.startswith("of_")})
    rows = [row | {key: row.get(key) for key in lengths} for row in rows]
    for row in rows:
        print(json.dumps(row))
    parameters = {**beside["parameters"], "glimpses": run.model.count_params()}
    report = {**beside, "rows": rows, "parameters": parameters}
    print({key: value for key, value in report.items() if key != "rows"})
    asked.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def row_of(who, metrics):
    """A row of the table."""
    by_length = {
        f"of_{length}": found["accuracy"]
        for length, found in metrics["by_length"].items()
    }
    return {
        "who": who,
        "whole": metrics["accuracy"],
        "count": metrics["count_accuracy"],
        "distance": metrics["edit_distance"],
        **by_length,
    }


def of_cnn(run, splits, more_test, steps):
    """The CNN's rows, and how it was trained."""
    # A look at every place: what to say there, without the looks on the way to it.
    places = APP.task_for(dataclasses.replace(run.config, glimpses=1), run.assets)
    model, seconds = trained_cnn(places, splits, steps)
    return {
        "rows": [
            row_of("CNN", figures(places, model, splits.test)),
            row_of("CNN, one digit more", figures(places, model, more_test)),
        ],
        "cnn_steps": steps,
        "cnn_minutes": seconds / 60,
        "parameters": {"CNN": model.count_params()},
    }


if __name__ == "__main__":
    main()
