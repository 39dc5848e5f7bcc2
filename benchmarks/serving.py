"""Requests a second and latencies of exports behind a real server, Triton.

    export SACCADE_TRITON=FOLDER           # how to make it: tests/serving/triton.py
    python benchmarks/serving.py           about ten minutes on two idle cores
    python benchmarks/serving.py --toy     a minute; proves only that it runs

A request has one row: a PNG of 32 x 32 pixels to be captioned, or a prompt that char_lm
continues by 100 characters. Each app is asked in two ways, by one client and by eight
at once, each asking again as soon as it has its answer:

one by one      the server runs each request by itself, in the order they come
batches         requests that come within 2 ms of each other are run as one batch, of 8
                at most, as `saccade export` tells TF Serving to do

The networks have the sizes of preset `default` and were trained for a moment; `tokens`
says how long their answers were. The clients (tests/serving/triton_client.py) run on
the same cores as the server.
"""

import argparse
import dataclasses
import importlib.util
import itertools
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import rich.console
import rich.table
from timing import machine

from saccade import apps

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "serving.json"
# Enough for captions of their usual length; a text is as long as it is asked to be.
TRAINING = {
    "captioning": {"builtin_size": 1500, "steps": 200, "rounds": 1},
    "char_lm": {"steps": 20, "rounds": 1},
}
TOY = {
    "captioning": {"builtin_size": 40, "steps": 2, "rounds": 1},
    "char_lm": {"data": "hello", "steps": 10, "rounds": 1},
}
CHARACTERS = 100
CLIENTS = (1, 8)
FORMS = {"one by one": False, "batches": True}


def load_triton():
    """tests/serving/triton.py: the server of the tests."""
    path = HERE.parent / "tests" / "serving" / "triton.py"
    spec = importlib.util.spec_from_file_location("saccade_triton", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


triton = load_triton()


def export(name, folder, toy):
    """The version folder of a network that was trained for a moment."""
    app = apps.load(name)
    config = app.presets["tiny" if toy else "default"]()
    config = dataclasses.replace(config, **(TOY if toy else TRAINING)[name])
    return app.train(config, out=folder / name).export(folder / "exported")


def requests_of(name):
    """Requests of one row."""
    app = apps.load(name)
    if name == "captioning":
        pictures = app.task_for(app.Config(builtin_size=40)).read().test["image"]
        return [{"image_bytes": [picture]} for picture in pictures[:16]]
    return [
        {
            "text": [prompt],
            "temperature": [0.8],
            "length": [CHARACTERS],
            "seed": [seed],
        }
        for seed, prompt in enumerate(
            [b"def main(", b"import ", b"class ", b"for i in "]
        )
    ]


def measure(environment, name, exported, seconds):
    """Rows of the table, a list of dicts, for one app."""
    requests, rows = requests_of(name), []
    for form, batching in FORMS.items():
        with tempfile.TemporaryDirectory() as scratch:
            repository = pathlib.Path(scratch) / "repository"
            folder = triton.add_model(repository, exported, batching)
            triton.add_version(folder, exported, 1)
            with triton.serve(repository, environment) as server:
                for door, clients in itertools.product(("rest", "grpc"), CLIENTS):
                    task = (environment, server, door, name, requests, clients)
                    triton.ask_all(*task, seconds=min(2, seconds))  # warms it up
                    before = server.statistics(name)
                    report = triton.ask_all(*task, seconds=seconds)
                    if report["errors"]:
                        raise SystemExit(f"{name}: {report['errors']}")
                    done, batches = np.subtract(server.statistics(name), before)
                    rows.append(
                        {"app": name, "form": form, "door": door, "clients": clients}
                        | triton.summary(report)
                        | {"rows_per_batch": done / batches}
                        | written(report["answers"]["1"])
                    )
    return rows


def written(answers):
    """How long the answers were: the mean of their tokens."""
    lengths = [answer["length"] for answer in answers if answer]
    return {"tokens_per_answer": float(np.mean(lengths))}


def show(rows, console):
    table = rich.table.Table(box=None)
    for heading in ("app", "server runs", "door"):
        table.add_column(heading)
    headings = ("clients", "requests/s", "p50 ms", "p99 ms", "rows/batch", "tokens")
    for heading in headings:
        table.add_column(heading, justify="right")
    for r in rows:
        table.add_row(
            *(r["app"], r["form"], r["door"], str(r["clients"])),
            f"{r['requests_per_second']:.1f}",
            f"{r['p50_ms']:.1f}",
            f"{r['p99_ms']:.1f}",
            f"{r['rows_per_batch']:.1f}",
            f"{r['tokens_per_answer']:.1f}",
        )
    console.print(table)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", nargs="+", default=list(TRAINING), choices=TRAINING)
    parser.add_argument(
        "--seconds", type=float, default=30, help="of asking, for each row of the table"
    )
    parser.add_argument("--toy", action="store_true", help="no figures from it")
    parser.add_argument(
        "--out", type=pathlib.Path, help="default: results/serving.json"
    )
    arguments = parser.parse_args(words)
    folder = os.environ.get(triton.VARIABLE)
    if not folder:
        parser.error(triton.HOW_TO)
    if arguments.toy:
        arguments.seconds = 1
    environment = triton.Environment.at(folder)
    load = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.apps:
            exported = export(name, pathlib.Path(scratch), arguments.toy)
            rows += measure(environment, name, exported, arguments.seconds)
    show(rows, rich.console.Console())
    report = {
        "settings": {"seconds": arguments.seconds, "toy": arguments.toy},
        "machine": machine(),
        "load_before": load,
        "python": environment.version,
        "versions": environment.versions(),
        "rows": rows,
    }
    out = arguments.out or (None if arguments.toy else RESULTS)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
