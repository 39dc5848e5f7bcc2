"""War and Peace: Elman, LSTM and GRU with 1, 2 and 3 levels, beside n-grams.

    python benchmarks/war_and_peace.py --ngram 6 20        # some hours on 2 cores
    python benchmarks/war_and_peace.py --toy               # seconds; only that it runs

The table of Karpathy, Johnson & Li 2015 (section 4.1) under a stated budget: every
network has as many parameters as an LSTM of one level and `--units` units (within 1 %)
and is trained for `--steps` steps with the same settings of the app `char_lm`. The text
is cut 80/10/10 in its order, as in the paper. The weights of the best validation are
tested.

Every cell of the table is a run folder of `saccade train char_lm`. Stop the program
whenever you like, also by kill -9: started again with the same --out it goes on behind
the last checkpoint, and cells that are done stay as they are. More --cells, --levels
and --ngram may be asked for later. `table.md` and `table.json` in the folder are
written anew after each cell.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import rich.console
import rich.table
from ngram import NGram
from timing import machine

from saccade.apps.char_lm import APP
from saccade.apps.char_lm.vocabulary import characters as characters_of
from saccade.apps.core.errors import UserError
from saccade.apps.core.files.whole import write_text
from saccade.apps.core.settings.json_text import from_json

CELLS, LEVELS = ("elman", "lstm", "gru"), (1, 2, 3)
FILE = "war_and_peace/warpeace_input.txt"
COLUMNS = {  # of the table: heading and form
    "model": "{}",
    "levels": "{}",
    "units": "{}",
    "parameters": "{:,}",
    "steps": "{:,}",
    "minutes": "{:.1f}",
    "validation_nats": "{:.3f}",
    "test_nats": "{:.3f}",
}
PAPER = "Karpathy, Johnson & Li 2015, test: best network 1.077, 20-gram 1.195 nats."


def parameters(cell, levels, units, vocabulary):
    """Number of parameters of a network with one-hot input.

    A level with m inputs and H units has k blocks (Elman 1, GRU 3, LSTM 4) of
    m H + H H + H parameters, and the GRU a second bias; then H V + V for the logits.
    """
    blocks, biases = {"elman": (1, 1), "gru": (3, 2), "lstm": (4, 1)}[cell]
    inputs = [vocabulary] + [units] * (levels - 1)
    each = [blocks * units * (m + units + biases) for m in inputs]
    return sum(each) + units * vocabulary + vocabulary


def units_for(cell, levels, wanted, vocabulary):
    """The number of units with which a network comes nearest to `wanted` parameters."""
    units = 1
    while parameters(cell, levels, units + 1, vocabulary) <= wanted:
        units += 1
    return min(
        (units, units + 1),
        key=lambda u: abs(parameters(cell, levels, u, vocabulary) - wanted),
    )


def plan(arguments):
    """{(cell, levels): Config}, all of about as many parameters, the splits, and their
    characters."""
    base = APP.Config(
        data=str(arguments.data),
        split="80/10/10",
        steps=arguments.steps,
        rounds=arguments.rounds,
        start="zeros",  # has no parameters
        dropout=0.1,  # some passes over six characters for every weight
    )
    if arguments.toy:
        base = dataclasses.replace(base, batch_size=4, window=5, jit=False)
    task = APP.task_for(base)
    splits = task.read()
    characters = task.learn(splits.train).assets
    vocabulary = characters.size
    wanted = parameters("lstm", 1, arguments.units, vocabulary)
    configs = {
        (cell, levels): dataclasses.replace(
            base,
            cell=cell,
            levels=levels,
            units=units_for(cell, levels, wanted, vocabulary),
        )
        for levels in sorted(arguments.levels)
        for cell in arguments.cells
    }
    return configs, splits, characters


def train(config, folder):
    """Begin, continue or leave alone the run in `folder`."""
    if (folder / "metrics.json").exists():  # Written last.
        return
    resume = (folder / "config.json").exists()
    if folder.exists() and not resume:
        shutil.rmtree(folder)  # Killed before its first step.
    keras.backend.clear_session()
    APP.train(config, out=folder, resume=resume)


def row(folder):
    """What a finished run has to say."""
    config = from_json(APP.Config, (folder / "config.json").read_text("utf-8"))
    manifest = folder / "checkpoint/manifest.json"
    history = json.loads(manifest.read_text("utf-8"))["history"]
    text = (folder / "assets.json").read_text("utf-8")
    characters = APP.task_for(config).assets_from_json(text)
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    return {
        "model": config.cell,
        "levels": config.levels,
        "units": config.units,
        "parameters": parameters(
            config.cell, config.levels, config.units, characters.size
        ),
        "steps": config.steps,
        "minutes": history[-1]["seconds"] / 60,
        "validation_nats": min(h["val_nats"] for h in history),
        "test_nats": metrics["nats"],
    }


def count_ngrams(order, smoothing, splits, characters, path):
    """The row of an n-gram model; its "parameters" are the n-grams it has counted."""
    began = time.perf_counter()
    # Without a start, which no n-gram holds.
    alone = characters_of(characters.own, with_start=False)
    model = NGram(order, smoothing).fit(splits.train.text(alone).ids, alone.size)

    def nats(documents):
        text = documents.text(alone)
        return float(-model.log_probs(text.ids)[~text.begins].mean())

    found = {
        "model": f"{order}-gram, {smoothing}",
        "parameters": sum(len(level.codes) for level in model.levels),
        "validation_nats": nats(splits.validation),
        "test_nats": nats(splits.test),
    }
    found["minutes"] = (time.perf_counter() - began) / 60
    write_text(path, json.dumps(found, indent=1))


def rows_in(folder):
    """The rows of all that is finished in `folder`: networks, then n-grams."""
    runs = [folder / f"{cell}-{levels}" for levels in LEVELS for cell in CELLS]
    counted = [json.loads(p.read_text("utf-8")) for p in folder.glob("*-gram-*.json")]
    counted.sort(key=lambda r: (int(r["model"].split("-")[0]), r["model"]))
    return [row(run) for run in runs if (run / "metrics.json").exists()] + counted


def cells_of(row):
    return [
        form.format(row[name]) if name in row else "" for name, form in COLUMNS.items()
    ]


def write_table(folder, settings):
    """`table.md` and `table.json`; returns the rows."""
    rows = rows_in(folder)
    headings = [name.replace("_", " ") for name in COLUMNS]
    lines = [
        "# War and Peace, nats per character",
        "",
        f"80/10/10; {settings['steps']:,} steps of {settings['batch_size']} windows of "
        f"{settings['window']} characters; as many parameters as an LSTM of one level "
        f"and {settings['units']} units.",
        PAPER,
        "",
        "| " + " | ".join(headings) + " |",
        "|---" + "|---:" * (len(headings) - 1) + "|",
        *("| " + " | ".join(cells_of(r)) + " |" for r in rows),
    ]
    write_text(folder / "table.md", "\n".join(lines) + "\n")
    report = {
        "settings": settings,
        "machine": machine(),
        "keras": keras.__version__,
        "rows": rows,
    }
    write_text(folder / "table.json", json.dumps(report, indent=1) + "\n")
    return rows


def show(rows, console):
    table = rich.table.Table(title="War and Peace, nats per character")
    for name in COLUMNS:
        side = "left" if name == "model" else "right"
        table.add_column(name.replace("_", " "), justify=side)
    for r in rows:
        table.add_row(*cells_of(r))
    console.print(table)
    console.print(PAPER)


def same_as_before(folder, settings):
    """Networks trained by other settings do not belong into one table."""
    path = folder / "settings.json"
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        if before != settings:
            raise UserError(
                f"{folder} holds a table with the settings {before}; received "
                f"{settings}. Repeat those, or name a new folder with --out."
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(settings, indent=1))


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=CELLS)
    parser.add_argument(
        "--levels", nargs="+", type=int, default=list(LEVELS), choices=LEVELS
    )
    parser.add_argument("--steps", type=int, default=10_000, help="of every network")
    parser.add_argument("--rounds", type=int, default=20, help="checkpoints of a run")
    parser.add_argument("--units", type=int, default=256, help="of the one-level LSTM")
    parser.add_argument(
        "--ngram", nargs="+", type=int, default=[], metavar="ORDER", help="as 6 20"
    )
    parser.add_argument("--data", help=f'default: "$SACCADE_DATA/{FILE}"')
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("runs/war_and_peace")
    )
    parser.add_argument("--toy", action="store_true", help="four letters, few steps")
    arguments = parser.parse_args(words)
    if arguments.toy:
        vars(arguments).update(data="hello", steps=4, rounds=2, units=8)
    if not arguments.data:
        if "SACCADE_DATA" not in os.environ:
            parser.error("set SACCADE_DATA (see benchmarks/DATA.md) or name --data")
        arguments.data = f"{os.environ['SACCADE_DATA']}/{FILE}"

    folder = arguments.out
    configs, splits, characters = plan(arguments)
    kept = ("steps", "rounds", "units", "toy")
    settings = {name: getattr(arguments, name) for name in kept}
    settings["text_sha256"] = splits.sha256
    base = next(iter(configs.values()))
    settings |= {name: getattr(base, name) for name in ("batch_size", "window")}
    same_as_before(folder, settings)
    for order in arguments.ngram:
        for smoothing in ("witten_bell", "kneser_ney"):
            path = folder / f"{order}-gram-{smoothing}.json"
            if not path.exists():
                count_ngrams(order, smoothing, splits, characters, path)
            write_table(folder, settings)
    for (cell, levels), config in configs.items():
        train(config, folder / f"{cell}-{levels}")
        write_table(folder, settings)
    show(write_table(folder, settings), rich.console.Console())


if __name__ == "__main__":
    main()
