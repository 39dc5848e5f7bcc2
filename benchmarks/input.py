"""Does a training step wait for its data, and does memory grow with the data?

    python benchmarks/input.py                # 9 GB in a temporary folder, some minutes
    python benchmarks/input.py --toy          # seconds; proves only that it runs

Captioning is trained from 10,000 and from 100,000 JPEGs of 320 x 240, char_lm from a
text of 100 MB and of 1 GB, all made here, each with the settings that `saccade train`
takes for such data. Every training runs in a process of its own:

waiting     share of the time of its steps, the first ones left out, in which the step
            stood still until the pipeline handed it the next batch
start       seconds from the start of the program to the first step: reading,
            checking, counting words or characters
again       the same when it is started a second time
peak        the process' greatest resident set (ru_maxrss), everything included:
            TensorFlow, the model, its compilation

The pipeline works on the same two cores as the step. So waiting is not all that input
costs: `slower` compares the step with one that is fed the same batch again and again.
"""

import argparse
import concurrent.futures
import dataclasses
import io
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import rich.console
import rich.table
from PIL import Image
from timing import machine

RESULTS = pathlib.Path(__file__).parent / "results" / "input.json"
MUST = 0.05  # share of waiting, at most
SIZES = {"full": [("pictures", 10_000), ("pictures", 100_000), ("text", 10**8)]}
SIZES["full"] += [("text", 10**9)]
SIZES["toy"] = [("pictures", 40), ("text", 100_000)]
APPS = {"pictures": "captioning", "text": "char_lm"}
PER_FOLDER = 1000  # pictures


# The data


def make_pictures(folder, count):
    """`count` JPEGs in folders of 1,000, and their captions in captions.csv."""
    lines = ["image,caption"]
    for first in range(0, count, PER_FOLDER):
        (folder / str(first)).mkdir(parents=True)
        for i in range(first, min(count, first + PER_FOLDER)):
            words = [COLOURS[i % 7], COLOURS[i // 7 % 7], PLACES[i // 49 % 4]]
            lines.append(f"{first}/{i}.jpg,{words[0]} {words[2]} {words[1]}")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write_pictures, *zip(*parts(folder, count), strict=True)))
    (folder / "captions.csv").write_text("\n".join(lines) + "\n", "utf-8")


COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "grey")
PLACES = ("above", "below", "beside", "behind")


def parts(folder, count):
    for first in range(0, count, PER_FOLDER):
        yield folder / str(first), first, min(count, first + PER_FOLDER)


def write_pictures(folder, first, last):
    """Soft random colours: a JPEG of some kilobytes, like a small photograph."""
    draw = np.random.default_rng(first)
    for i in range(first, last):
        coarse = Image.fromarray(draw.integers(0, 256, (15, 20, 3), np.uint8))
        picture = coarse.resize((320, 240), Image.Resampling.BICUBIC)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=90)
        (folder / f"{i}.jpg").write_bytes(content.getvalue())


def make_text(path, size):
    """`size` characters: lines of Python's library in ever new orders."""
    from saccade.apps.char_lm.data import builtin

    lines = np.array("".join(builtin()).splitlines(keepends=True), object)
    draw, written = np.random.default_rng(0), 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        while written < size:
            block = "".join(lines[draw.permutation(len(lines))])[: size - written]
            file.write(block)
            written += len(block)


def make(kind, size, folder):
    """What --data takes."""
    path = folder / f"{kind}-{size}"
    if kind == "pictures":
        make_pictures(path, size)
        return path
    path = path.with_suffix(".txt")
    make_text(path, size)
    return path


# The measurement, in a process of its own


def measure(app_name, data, steps, toy):
    """Prints one JSON object."""
    from saccade import apps
    from saccade.apps.core.tasks.signatures import Answerer
    from saccade.apps.core.training import loop
    from saccade.apps.core.training.fit import fit

    app = apps.load(app_name)
    preset = "tiny" if toy else app.config.preset_for(str(data))
    config = dataclasses.replace(app.presets[preset](), data=str(data), steps=10_000)

    def look(model, batches, *others, **options):
        raise Caught(model, batches)

    loop.train = look
    task = app.task_for(config)
    splits = task.read()
    task = task.learn(splits.train)
    answerer = Answerer(task, task.build_model())
    try:
        folder = pathlib.Path(tempfile.mkdtemp())
        fit(task, answerer, splits, folder, False, lambda config: None)
    except Caught as caught:
        model, batches = caught.args
    stream = iter(batches(0))
    start = time.perf_counter() - STARTED
    waits, works, repeated = [], [], []
    few = max(2, steps // 10)
    for i in range(few + steps):
        began = time.perf_counter()
        batch = next(stream)
        came = time.perf_counter()
        model.train_on_batch(*batch)
        if i >= few:  # Before, the step was compiled while batches piled up.
            waits.append(came - began)
            works.append(time.perf_counter() - came)
    del stream  # Its threads rest now.
    for _ in range(steps):
        began = time.perf_counter()
        model.train_on_batch(*batch)
        repeated.append(time.perf_counter() - began)
    waiting = sum(waits) / (sum(waits) + sum(works))
    with_input = statistics.median(np.add(waits, works))
    return {
        "waiting": waiting,
        "slower": with_input / statistics.median(repeated),
        "ms_per_step": 1e3 * with_input,
        "start_seconds": start,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class Caught(Exception):
    """The model and the batches that a training would begin with."""


def in_own_process(app, data, steps, toy):
    words = [sys.executable, __file__, "--measure", app, str(data), str(steps)]
    done = subprocess.run(
        words + ["--toy"] * toy, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def show(rows, console):
    table = rich.table.Table(title=f"waiting for data (must: at most {MUST:.0%})")
    headings = (
        *("data", "size", "waiting", "slower", "ms a step"),
        *("start, s", "again, s", "peak MB"),
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "data" else "right")
    for row in rows:
        table.add_row(
            row["kind"],
            f"{row['size']:,}",
            f"{row['waiting']:.1%}",
            f"{row['slower']:.2f}",
            f"{row['ms_per_step']:.1f}",
            f"{row['start_seconds']:.0f}",
            f"{row['again_seconds']:.0f}",
            f"{row['peak_mb']:,.0f}",
        )
    console.print(table)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=list(APPS), choices=APPS)
    parser.add_argument("--steps", type=int, default=100, help="measured of each")
    parser.add_argument("--folder", type=pathlib.Path, help="where the data is made")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.measure:
        app, data, steps = arguments.measure
        print(json.dumps(measure(app, data, int(steps), arguments.toy)))
        return

    steps = 3 if arguments.toy else arguments.steps
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.environ["TMPDIR"] = folder  # What a training keeps on disk goes there too.
        for kind, size in SIZES["toy" if arguments.toy else "full"]:
            if kind not in arguments.kinds:
                continue
            data = make(kind, size, pathlib.Path(folder))
            first = in_own_process(APPS[kind], data, steps, arguments.toy)
            row = in_own_process(APPS[kind], data, steps, arguments.toy)
            row["again_seconds"] = row["start_seconds"]
            row["start_seconds"] = first["start_seconds"]
            row["peak_mb"] = max(row["peak_mb"], first["peak_mb"])
            rows.append({"kind": kind, "size": size, **row})
    show(rows, rich.console.Console())
    report = {
        "steps": steps,
        "machine": machine(),
        "load_before": os.getloadavg()[0],
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


STARTED = time.perf_counter()

if __name__ == "__main__":
    main()
