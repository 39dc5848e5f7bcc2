"""A padded one-hot MLP against a recurrent network, on sequences.

    python benchmarks/fixed_length.py

Does an a stand right before a b? Both networks learn it from sequences of LENGTH
symbols. The MLP reads a window of WINDOW places, the symbols one-hot and zeros behind
them; the GRU reads step by step and skips what is empty. Then both are asked about
longer sequences, and about the same ones with empty places before. The figures go to
benchmarks/results/fixed_length.json and .png.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib.figure
import numpy as np
from keras import layers

from saccade.layers import GRU

RESULTS = pathlib.Path(__file__).parent / "results" / "fixed_length.json"
SYMBOLS = 4  # ids 1 to 4; 0 is an empty place
LENGTH, WINDOW = 8, 12
LENGTHS = (4, 6, 8, 9, 10, 12, 16, 24, 48)
SHIFTS = (0, 1, 2, 3, 4)
WINDOWS = (8, 12, 24, 48, 96)


def sequences(draw, count, length):
    """Ids int (count, length) and labels int (count,), half of them 1."""
    found = {0: [], 1: []}
    while min(map(len, found.values())) < count // 2:
        ids = draw.integers(1, SYMBOLS + 1, (4 * count, length))
        if length > LENGTH:  # long ones nearly all have one: spare those of some
            ids = np.where((ids == 2) & (draw.random((4 * count, 1)) < 0.5), 3, ids)
        labels = ((ids[:, :-1] == 1) & (ids[:, 1:] == 2)).any(axis=1)
        for label in found:
            found[label].extend(ids[labels == label])
    ids = np.array(found[0][: count // 2] + found[1][: count // 2])
    return ids, np.repeat([0, 1], count // 2)


def in_window(ids, window):
    """Ids with zeros behind, or cut: (count, window)."""
    ids = ids[:, :window]
    return np.pad(ids, [(0, 0), (0, window - ids.shape[1])])


def mlp(window):
    """One-hot symbols of all places side by side, a hidden layer, a vote."""
    return keras.Sequential(
        [
            keras.Input((window,), dtype="int32"),
            layers.CategoryEncoding(SYMBOLS + 1, "one_hot"),  # (window, symbols + 1)
            layers.Lambda(lambda x: x[..., 1:]),  # an empty place is all zeros
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(1),
        ]
    )


def rnn():
    """An embedding, a GRU whose last state decides."""
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(SYMBOLS + 1, 8, mask_zero=True),
            GRU(16),
            layers.Dense(1),
        ]
    )


def trained(model, ids, labels, epochs):
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    model.fit(ids, labels, batch_size=64, epochs=epochs, verbose=0)
    return model


def accuracy(model, ids, labels):
    """Right answers in percent."""
    logits = model.predict(ids, batch_size=500, verbose=0)[:, 0]
    return 100 * float(np.mean((logits > 0) == labels))


def measure(count, epochs):
    """The figures, a dict of tables."""
    keras.utils.set_random_seed(0)
    draw = np.random.default_rng(0)
    ids, labels = sequences(draw, count, LENGTH)
    networks = {
        "mlp": trained(mlp(WINDOW), in_window(ids, WINDOW), labels, epochs),
        "gru": trained(rnn(), ids, labels, epochs),
    }

    def both(ids, labels):
        window = in_window(ids, WINDOW)
        return {
            "mlp": accuracy(networks["mlp"], window, labels),
            "gru": accuracy(networks["gru"], ids, labels),
        }

    by_length = []
    for length in LENGTHS:
        by_length.append({"length": length, **both(*sequences(draw, 2000, length))})
    ids, labels = sequences(draw, 2000, LENGTH)
    by_shift = [
        {"shift": s, **both(np.pad(ids, [(0, 0), (s, 0)]), labels)} for s in SHIFTS
    ]
    sizes = [
        {"window": w, "mlp": mlp(w).count_params(), "gru": rnn().count_params()}
        for w in WINDOWS
    ]
    return {"by_length": by_length, "by_shift": by_shift, "parameters": sizes}


def draw_figure(report):
    figure = matplotlib.figure.Figure((9.6, 3), layout="constrained")
    panels = figure.subplots(1, 3)
    parts = (
        ("by_length", "length", f"longer: learned at {LENGTH}, window {WINDOW}"),
        ("by_shift", "shift", f"shifted: empty places before {LENGTH} symbols"),
        ("parameters", "window", "parameters"),
    )
    for axes, (part, key, title) in zip(panels, parts, strict=True):
        rows = report[part]
        for name, label in (("mlp", "padded one-hot MLP"), ("gru", "GRU")):
            places, values = [r[key] for r in rows], [r[name] for r in rows]
            axes.plot(places, values, "o-", label=label)
        axes.set_title(title, fontsize=9)
        axes.set(xlabel=key, ylabel="parameters" if key == "window" else "accuracy, %")
        axes.grid(alpha=0.3)
    panels[0].axvline(WINDOW, color="grey", linestyle=":")
    panels[0].legend(fontsize=8)
    return figure


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--count", type=int, default=8000, help="training sequences")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    report = measure(options.count, options.epochs)
    for part, rows in report.items():
        print(part.replace("_", " "))
        for row in rows:
            print("  " + "  ".join(f"{name} {value:g}" for name, value in row.items()))
    options.out.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    draw_figure(report).savefig(options.out.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
