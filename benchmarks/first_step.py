"""What XLA's compiling costs: the first training step of every app, and any later one.

    python benchmarks/first_step.py
    python benchmarks/first_step.py --apps digits tagging --steps 20

Every app trains on its embedded data by the preset that `saccade train` takes there,
once with XLA and once without. A step that compiles takes many times as long as the
others. "shapes": how many different shapes the batches of these steps had, each of
which is compiled once. "compiled": steps that took more than a third of the time of the
first; more of them than shapes would mean that something is compiled twice. The figures
go to benchmarks/results/first_step.json.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import rich.console
import rich.table
from timing import machine

from saccade import apps
from saccade.apps.core.training import frozen
from saccade.apps.core.training.fit import compile_trainer

RESULTS = pathlib.Path(__file__).parent / "results" / "first_step.json"
COLUMNS = {
    "app": "{}",
    "xla": "{}",
    "first_s": "{:.1f}",
    "ms": "{:.1f}",
    "shapes": "{}",
    "compiled": "{}",
    "steps_to_repay": "{:,}",
}


def measure(name, jit, steps, preset=None):
    """The times of the first `steps` steps of an app, dict."""
    app = apps.load(name)
    config = app.presets[preset or app.config.preset_for("builtin")]()
    config = dataclasses.replace(config, steps=steps, jit=jit)
    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    task = app.task_for(config)
    splits = task.read()
    task = task.learn(splits.train)
    model = task.build_model()
    trainer, batches_of = frozen.split(task, model)
    compile_trainer(trainer, task, steps)
    times, shapes = [], set()
    for _, batch in zip(range(steps), batches_of(splits.train)(0), strict=False):
        shapes.add(str([tuple(part.shape) for part in keras.tree.flatten(batch)]))
        started = time.perf_counter()
        trainer.train_on_batch(*batch)
        times.append(time.perf_counter() - started)
    first, usual = times[0], statistics.median(times[1:])
    return {
        "app": name,
        "xla": jit,
        "first_s": first,
        "ms": 1e3 * usual,
        "shapes": len(shapes),
        "compiled": sum(seconds > max(first / 3, 3 * usual) for seconds in times),
    }


def repaid(with_xla, without):
    """After how many steps XLA's first step is repaid; None: never."""
    saved = (without["ms"] - with_xla["ms"]) / 1e3
    more = with_xla["first_s"] - without["first_s"]
    return max(0, round(more / saved)) if saved > 0 else None


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--apps",
        nargs="+",
        default=sorted(apps.REGISTRY),
        choices=sorted(apps.REGISTRY),
    )
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--preset", help="of all of them; default: that of builtin")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    arguments = parser.parse_args(words)
    rows = []
    for name in arguments.apps:
        pair = [
            measure(name, jit, arguments.steps, arguments.preset)
            for jit in (True, False)
        ]
        pair[0]["steps_to_repay"], pair[1]["steps_to_repay"] = repaid(*pair), None
        rows += pair
        print(json.dumps(pair), flush=True)
    table = rich.table.Table()
    for heading in COLUMNS:
        table.add_column(heading.replace("_", " "))
    for row in rows:
        values = [
            "" if row.get(key) is None else form.format(row[key])
            for key, form in COLUMNS.items()
        ]
        table.add_row(*values)
    rich.console.Console().print(table)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "steps": arguments.steps, "rows": rows}
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
