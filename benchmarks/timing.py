"""How the benchmarks time what they compare: interleaved, by medians."""

import statistics
import time

import numpy as np


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
