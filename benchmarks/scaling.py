"""Seconds an epoch with one process and with two, each pinned to a core of its own.

    python benchmarks/scaling.py           about ten minutes on two idle cores
    python benchmarks/scaling.py --toy     a minute; proves only that it runs

The processes are workers of MultiWorkerMirroredStrategy on the loopback address, as
`saccade train --strategy multi-worker` starts them, and divide the same global batch.
Efficiency is the time of one process over that of two, halved: 100 % would be half the
time. Two rows have one process: as one trains, with XLA and several steps a call where
the preset has them, and plain, as the two workers must train. Validation and
checkpoints, which are the chief's alone, are not in the figures.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import rich.console
import rich.table
from timing import processor

from saccade import apps
from saccade.apps.core.settings.command_line import parse_overrides
from saccade.apps.core.training import loop, workers
from saccade.apps.core.training.feeding import feed

RESULTS = pathlib.Path(__file__).parent / "results"
PRESETS = {"captioning": "pictures", "char_lm": "default"}
OPTIONS = {
    "captioning": ["--data=builtin", "--dropout=0"],
    "char_lm": ["--batch-size=128", "--dropout=0"],
}
TOYS = {"captioning": "tiny", "char_lm": "hello"}
PLAIN = {"captioning": ["--no-jit"], "char_lm": ["--no-jit", "--steps-per-call=1"]}
# What stands in a row: is it plain, and how many processes.
ROWS = {
    "1 process": (False, 1),
    "1 process, plain": (True, 1),
    "2 processes": (True, 2),
}


def steps_of_a_pass(app, config, splits):
    """How many batches all training data make."""
    if app == "captioning":
        return sum(map(len, splits.train["captions"])) // config.batch_size
    return (len(splits.train) // config.batch_size - 1) // config.window


def work(app, preset, options, rounds):
    """A worker: prints {"seconds": of an epoch, "steps": of an epoch, ...} as JSON."""
    the_app = apps.load(app)
    config = parse_overrides(the_app.presets[preset](), options)

    def timed(model, batches, steps, _, folder, score, *rest, **options):
        strategy = model.distribute_strategy
        moments = []
        note = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: moments.append(time.perf_counter()),
            on_epoch_end=lambda epoch, logs: moments.append(time.perf_counter()),
        )
        model.fit(
            feed(strategy, batches, 0),
            epochs=1 + rounds,  # The first one builds the graph.
            steps_per_epoch=steps,
            callbacks=[note],
            shuffle=False,
            verbose=0,
        )
        begins, ends = moments[2::2], moments[3::2]
        step = statistics.median(
            (end - begin) / steps for begin, end in zip(begins, ends, strict=True)
        )
        epoch = steps_of_a_pass(app, config, the_app.task_for(config).read())
        workers.wait(strategy)
        if workers.is_chief(strategy):
            print(json.dumps({"seconds": step * epoch, "steps": epoch, "step": step}))
        sys.exit()

    loop.train = timed
    several = "TF_CONFIG" in os.environ
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        the_app.train(config, out, strategy="multi-worker" if several else "none")


def measure(count, cores, **task_of_all):
    """What the chief of `count` workers prints, each on one of the cores."""
    ports = [free_port() for _ in range(count)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = []
    for i in range(count):
        environment = dict(os.environ, CUDA_VISIBLE_DEVICES="-1")
        if count > 1:
            task = {"type": "worker", "index": i}
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
        workers.append(
            subprocess.Popen(
                [sys.executable, __file__, "--worker", json.dumps(task_of_all)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        # Before it has started a thread: all of them stay on that core.
        os.sched_setaffinity(workers[-1].pid, {cores[i]})
    outputs = [worker.communicate() for worker in workers]
    if any(worker.returncode for worker in workers):
        sys.exit("\n".join(errors for _, errors in outputs))
    return json.loads(outputs[0][0].splitlines()[-1])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", nargs="+", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--steps", type=int, default=40, help="of a timed round")
    parser.add_argument(
        "--rounds", type=int, default=3, help="timed; the median counts"
    )
    parser.add_argument("--out", default=RESULTS / "scaling.json", type=pathlib.Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # what it does, as JSON
    arguments = parser.parse_args(arguments)
    if arguments.worker:
        return work(**json.loads(arguments.worker))

    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("Two processes need two cores; this process may use one.")
    table = rich.table.Table("app", "", "seconds an epoch", "efficiency", box=None)
    results = []
    for app in arguments.apps:
        preset = (TOYS if arguments.toy else PRESETS)[app]
        options = [] if arguments.toy else OPTIONS[app]
        steps = 10 if arguments.toy else arguments.steps
        alone = {}
        for row, (plain, count) in ROWS.items():
            got = measure(
                count,
                cores,
                app=app,
                preset=preset,
                options=[f"--steps={steps}", "--rounds=1", *options]
                + (PLAIN[app] if plain else []),
                rounds=1 if arguments.toy else arguments.rounds,
            )
            shares = {}
            if count == 1:
                alone[row] = got["seconds"]
            else:
                shares = {
                    other: seconds / (count * got["seconds"])
                    for other, seconds in alone.items()
                }
            efficiency = ", ".join(f"{s:.0%} of {other}" for other, s in shares.items())
            table.add_row(app, row, f"{got['seconds']:.2f}", efficiency)
            results.append({"app": app, "row": row, **got, "efficiency": shares})
    rich.console.Console().print(table)
    if not arguments.toy:
        machine = {
            "cpu": processor()[0],
            "cores": cores[:2],
            "keras": keras.__version__,
        }
        text = json.dumps({"machine": machine, "rows": results}, indent=1)
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
