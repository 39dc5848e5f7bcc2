"""How far back the gradient goes: truncated windows of 10 to 2,000 characters.

    python benchmarks/windows.py --data "$SACCADE_DATA/war_and_peace/warpeace_input.txt"
    python benchmarks/windows.py --data hello --windows 5 10 --characters 2000

The same network of the app `char_lm` reads as many characters of one text with every
window, so long windows mean few steps. The state goes on from window to window, the
gradient does not. Every training is a process of its own, whose peak memory is stated.
Times are of the processor, so other programs disturb them little.
The figures go to benchmarks/results/windows.json.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rich.console
import rich.table
from timing import machine

RESULTS = pathlib.Path(__file__).parent / "results" / "windows.json"
WINDOWS = (10, 25, 50, 100, 200, 500, 1000, 2000)
ROUNDS = 4
COLUMNS = {
    "window": "{:,}",
    "steps": "{:,}",
    "ms_a_step": "{:.1f}",
    "us_a_character": "{:.1f}",
    "peak_mb": "{:,.0f}",
    "nats": "{:.3f}",
}


def measure(arguments, window):
    """One training in this process, dict."""
    import statistics
    import time

    import keras

    from saccade.apps.char_lm import APP

    steps = max(ROUNDS, arguments.characters // (arguments.batch_size * window))
    config = APP.Config(
        data=arguments.data,
        cell=arguments.cell,
        units=arguments.units,
        dropout=0.0,
        window=window,
        batch_size=arguments.batch_size,
        steps=steps,
        rounds=ROUNDS,
        steps_per_call=1,
        jit=not arguments.no_jit,
    )
    moments = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.began = time.process_time()

        def on_train_batch_end(self, batch, logs=None):
            moments.append(time.process_time() - self.began)

    fit = keras.Model.fit

    def timed(model, *args, callbacks, **options):
        return fit(model, *args, callbacks=[*callbacks, Clock()], **options)

    keras.Model.fit = timed
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        run = APP.train(config, out)
        manifest = json.loads((out / "checkpoint/manifest.json").read_text("utf-8"))
    seconds = statistics.median(moments[1:] or moments)
    return {
        "window": window,
        "steps": run.config.steps,
        "ms_a_step": 1e3 * seconds,
        "us_a_character": 1e6 * seconds / (window * arguments.batch_size),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "nats": min(figures["val_nats"] for figures in manifest["history"]),
    }


def in_new_process(words, window):
    """As `measure`, in a process of its own."""
    command = [sys.executable, __file__, *words, "--one", str(window)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(words=None):
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="builtin", help="as of saccade train char_lm")
    parser.add_argument("--windows", nargs="+", type=int, default=WINDOWS)
    parser.add_argument("--characters", type=int, default=4_000_000, help="of each")
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--no-jit", action="store_true", help="without XLA")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--one", type=int, help="only this window; prints JSON")
    arguments = parser.parse_args(words)
    if arguments.one:
        print(json.dumps(measure(arguments, arguments.one)))
        return
    rows = []
    for window in arguments.windows:
        rows.append(in_new_process(words, window))
        print(json.dumps(rows[-1]), flush=True)
    table = rich.table.Table()
    for heading in COLUMNS:
        table.add_column(heading.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(form.format(row[key]) for key, form in COLUMNS.items()))
    rich.console.Console().print(table)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    asked = {
        name: getattr(arguments, name)
        for name in ("data", "characters", "cell", "units", "batch_size")
    }
    asked["data"] = pathlib.PurePath(asked["data"]).name
    report = {"machine": machine(), **asked, "rows": rows}
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
