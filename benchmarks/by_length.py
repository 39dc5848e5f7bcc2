"""Accuracy by length of the text: an Elman network, a GRU and an LSTM.

    python benchmarks/by_length.py --data reviews.csv --tokenizer characters --minutes 4

trains `sentiment` three times with the same settings but --cell, and cuts the test
split into five parts of equally many texts, from the shortest to the longest. It takes
all settings of `saccade train sentiment`; without --data the reviews are builtin, and
--plot FILE also draws the table.
"""

import argparse
import dataclasses
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib.figure
import numpy as np
import rich.console
import rich.table

from saccade.apps.core.errors import UserError
from saccade.apps.core.settings.command_line import parse_overrides
from saccade.apps.sentiment import APP

CELLS = {"elman": "Elman", "gru": "GRU", "lstm": "LSTM"}
PARTS = 5


def by_length(lengths, right):
    """Right answers in percent, from the shortest texts to the longest.

    Args:
        lengths: int (texts,), at least `PARTS`. right: name -> bool (texts,).

    Returns:
        list of PARTS dicts: `tokens`, "shortest to longest"; `texts`, how many; and the
        percentage of each name.
    """
    if len(lengths) < PARTS:
        raise UserError(
            f"Expected at least {PARTS} texts in the test split, one for each part; "
            f"received {len(lengths)}. Give it more by --split."
        )
    lengths, rows = np.asarray(lengths), []
    for part in np.array_split(np.argsort(lengths, kind="stable"), PARTS):
        ends = f"{lengths[part[0]]} to {lengths[part[-1]]}"
        shares = {name: 100 * np.mean(values[part]) for name, values in right.items()}
        rows.append({"tokens": ends, "texts": len(part), **shares})
    return rows


def measure(config):
    """One training per cell -> what `by_length` returns."""
    right = {}
    for cell, name in CELLS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = APP.train(dataclasses.replace(config, cell=cell), f"{folder}/{cell}")
        test = run.task.read().test
        answers = run.predict(test.requests(run.task.kinds()))
        right[name] = np.array([a["label"] for a in answers]) == test["label"]
    return by_length(run.assets.tokenizer.lengths(test["text"]), right)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", help="a .png, .svg or .pdf of the table")
    options, settings = parser.parse_known_args(arguments)
    data = parse_overrides(APP.Config, settings).data
    preset = APP.presets[APP.config.preset_for(data)]()
    rows = measure(parse_overrides(preset, settings))
    table = rich.table.Table(*rows[0], title="accuracy, %", box=None)
    for ends, texts, *shares in (row.values() for row in rows):
        table.add_row(ends, str(texts), *(f"{share:.1f}" for share in shares))
    rich.console.Console().print(table)
    if options.plot:
        figure = matplotlib.figure.Figure(figsize=(6.4, 4), layout="constrained")
        axes, ends = figure.subplots(), [row["tokens"] for row in rows]
        for name in CELLS.values():
            axes.plot(range(PARTS), [row[name] for row in rows], "o-", label=name)
        axes.set_xticks(range(PARTS), ends)
        axes.set(xlabel="tokens of the text", ylabel="accuracy, %")
        axes.legend()
        figure.savefig(options.plot, dpi=110)


if __name__ == "__main__":
    main()
