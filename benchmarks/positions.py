"""Why a recurrent network: names at places where training had none.

    python benchmarks/positions.py

Two networks label every character of builtin sentences of `tagging`, 1 in the name of a
person, 0 elsewhere:

    MLP     all characters one-hot, padded to a fixed length, side by side into one
            hidden layer; every step has outputs of its own
    GRU     the app's own model, in both directions

Training has the sentences as they are, half of them with some words behind. The test
has other sentences, once as they are and once with the same words in front, so that
every name stands where no name stood in training. The MLP has weights of its own for
every place, and has learned nothing for those; the recurrent network uses the same
weights everywhere. Both are trained for as many steps of 64 sentences.

    --steps N       1000
    --json FILE     also writes all figures there

Half a minute.
"""

import argparse
import json
import os
import pathlib
import random

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import rich.console
import rich.table

from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.core.training.losses import Averaged
from saccade.apps.tagging import build_model, builtin, scores
from saccade.apps.tagging.config import Config
from saccade.apps.tagging.task import BinaryTokenLoss, Tags

WORDS = "今天早上的事，"  # behind sentences of training, in front of those of the test
LENGTHS = (10, 20, 40)  # for which parameters are counted
UNITS = 64


def sentences(count, seed):
    """Characters and their labels: list of (str, list of int)."""
    draw = random.Random(seed)
    chances, words = zip(*builtin.grammar(), strict=True)
    found = []
    for one in draw.choices(words, chances, k=count):
        characters, labels = builtin.labelled(one, "names")
        found.append(("".join(characters), [int(label) for label in labels]))
    return found


def in_front(sentence):
    text, labels = sentence
    return WORDS + text, [0] * len(WORDS) + labels


def behind(sentence):
    text, labels = sentence
    return text + WORDS, labels + [0] * len(WORDS)


def arrays(some, tokenizer, length):
    """Ids and labels, both int32 (sentences, length), padded with 0."""
    ids, labels = np.zeros((2, len(some), length), np.int32)
    for row, (text, marks) in enumerate(some):
        ids[row, : len(text)] = tokenizer.ids(" ".join(text))
        labels[row, : len(text)] = marks
    return ids, labels


def build_mlp(characters, length):
    """Ids (batch, length) -> logits (batch, length, 1)."""
    tokens = keras.Input((length,), dtype="int32")
    one_hot = keras.ops.one_hot(tokens, characters)
    x = keras.layers.Flatten()(one_hot)
    x = keras.layers.Dense(2 * UNITS, activation="tanh")(x)
    x = keras.layers.Dense(length)(x)
    return keras.Model(tokens, keras.layers.Reshape((length, 1))(x), name="mlp")


def build_gru(tokenizer):
    config = Config(decoder="sigmoid", units=UNITS, dropout=0.0)
    model = build_model(config, Tags(("0", "1"), tokenizer))
    return keras.Model(model.input["tokens"], model.output["logits"], name="gru")


def f1(model, some, tokenizer, length):
    """F1 of the names, in percent."""
    ids, _ = arrays(some, tokenizer, length)
    ones = model.predict(ids, batch_size=256, verbose=0)[..., 0] > 0
    answers = [
        [str(int(one)) for one in row[: len(text)]]
        for row, (text, _) in zip(ones, some, strict=True)
    ]
    truth = [[str(mark) for mark in marks] for _, marks in some]
    return scores.of_entities(answers, truth)["f1"]


def measure(steps):
    """All figures, for JSON."""
    keras.utils.set_random_seed(0)
    train, test = sentences(4000, 0), sentences(1000, 1)
    seen = {text for text, _ in train}
    test = [one for one in test if one[0] not in seen]
    moved = list(map(in_front, test))
    train = [behind(one) if i % 2 else one for i, one in enumerate(train)]
    length = max(len(text) for text, _ in train + moved)
    tokenizer = Tokenizer(
        sorted({character for text, _ in train for character in text}),
        "spaces",
        special=("<pad>", "<unk>"),
    )
    ids, labels = arrays(train, tokenizer, length)
    weights = (ids > 0).astype("float32")
    models = {"MLP": build_mlp(tokenizer.size, length), "GRU": build_gru(tokenizer)}
    rows = {}
    for name, model in models.items():
        loss = Averaged(BinaryTokenLoss())
        model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)
        epochs = -(-steps * 64 // len(ids))
        model.fit(ids, labels, 64, epochs, verbose=0, sample_weight=weights)
        by_length = {
            n: (build_mlp(tokenizer.size, n) if name == "MLP" else model).count_params()
            for n in LENGTHS
        }
        rows[name] = {
            "same_places": f1(model, test, tokenizer, length),
            "new_places": f1(model, moved, tokenizer, length),
            "parameters": by_length,
        }
    return {"rows": rows, "steps": steps, "sentences": [len(train), len(test)]}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args(arguments)

    report = measure(options.steps)
    lengths = [f"parameters, {n} long" for n in LENGTHS]
    table = rich.table.Table("F1, %", "same places", "new places", *lengths, box=None)
    for name, row in report["rows"].items():
        counts = (f"{count:,}" for count in row["parameters"].values())
        places = f"{row['same_places']:.1f}", f"{row['new_places']:.1f}"
        table.add_row(name, *places, *counts)
    console = rich.console.Console()
    console.print(table)
    train, test = report["sentences"]
    console.print(f"{train} sentences, {report['steps']} steps; {test} in the test.")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
