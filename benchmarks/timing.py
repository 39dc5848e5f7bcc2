"""How the benchmarks time what they compare: interleaved, by medians; and on what.

python benchmarks/timing.py         describes this machine
"""

import os
import pathlib
import platform
import statistics
import time

import numpy as np

INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx")  # best first


def medians(runs, repeats, seconds=0.0, warm_up=0):
    """{name: median seconds}; every round in another order.

    Args:
        runs: name -> function without arguments.
        repeats: rounds at least; as many more as fit into `seconds`, up to 15 times as
            many.
        warm_up: calls of each before, which are not timed.
    """
    for run in runs.values():
        for _ in range(warm_up):
            run()
    names, times = list(runs), {name: [] for name in runs}
    order, began = np.random.default_rng(0), time.perf_counter()
    for done in range(15 * repeats):
        if done >= repeats and time.perf_counter() - began > seconds:
            break
        for i in order.permutation(len(names)):
            started = time.perf_counter()
            runs[names[i]]()
            times[names[i]].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def processor():
    """Its name, and the set of its instructions, where Linux tells them."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    known = {}
    if cpuinfo.exists():
        pairs = [line.partition(":") for line in cpuinfo.read_text().splitlines()]
        known = {key.strip(): value.strip() for key, _, value in pairs}
    name = known.get("model name", platform.processor() or platform.machine())
    return name, set(known.get("flags", "").split())


def machine():
    """The machine as one line: processor, cores, its widest instructions, and what a
    product of two 1024 x 1024 float32 matrices takes."""
    import tensorflow as tf

    name, flags = processor()
    widest = next((one for one in INSTRUCTIONS if one in flags), "no AVX")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    a = tf.random.normal([1024, 1024])
    product = tf.function(lambda: tf.matmul(a, a))
    seconds = medians({"": lambda: product()[0, 0].numpy()}, 15, warm_up=2)[""]
    return (
        f"{name}, {cores} cores, {widest}; a product of 1024 x 1024 matrices: "
        f"{1e3 * seconds:.1f} ms ({2 * 1.024**3 / seconds:.0f} GFLOP/s)"
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(machine())
