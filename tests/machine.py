"""How fast this machine is: limits of time are longer on a slow one."""

import functools
import math
import os
import time

import numpy as np

# The machine that limits are written for: one on which the product of two 1024 x 1024
# matrices of float32 takes so long. Elsewhere they are longer in proportion, up to
# LONGEST times: a machine may be slow, or busy.
USUAL_MS = 6.0
LONGEST = 3.0
# Measured once, before the workers begin: side by side they slow each other down.
VARIABLE = "SACCADE_PRODUCT_MS"


@functools.cache
def product_ms():
    """Milliseconds that the product takes: the best of ten."""
    if VARIABLE not in os.environ:
        matrix = np.random.default_rng(0).random((1024, 1024), np.float32)
        times = []
        for _ in range(10):
            started = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - started)
        os.environ[VARIABLE] = f"{1e3 * min(times):.1f}"
    return float(os.environ[VARIABLE])


def slowness():
    """By how much limits are longer here: 1 to LONGEST."""
    return min(max(product_ms() / USUAL_MS, 1.0), LONGEST)


def seconds(limit):
    """A limit on the usual machine -> the one on this machine, a whole number."""
    return math.ceil(limit * slowness())


def pytest_configure(config):
    product_ms()  # before there are workers


def pytest_report_header():
    return (
        f"a 1024 x 1024 x 1024 float32 product: {product_ms():.1f} ms; limits of time "
        f"x {slowness():.1f}"
    )
