"""Our CRF beside the plain recursion and beside pytorch-crf, on the same cores.

    python benchmarks/crf.py                    the whole grid, minutes
    python benchmarks/crf.py --quick            seconds; proves only that it runs

For 32 rows of T steps, half of which count at least, and K tags: the gradients of
the loss (of scores, transitions, starts and ends), and the best paths (Viterbi), of

- ours: `saccade.layers.crf`, plain and with XLA;
- unrolled: the recursion as it stands in books, a Python loop over the steps inside one
  tf.function, with a logsumexp of (batch, K, K) in each, and TensorFlow's gradient;
- torchcrf: pytorch-crf, where it is installed.

The runs of a point are interleaved, each round in another order, and a figure is the
median of its repeats, more of them where a run is short. All must find the same, or the
program ends with an error. Beside the table stands the time of a product of two
1024 x 1024 matrices.

    --json FILE     also writes the rows
"""

import argparse
import json
import os
import pathlib
import platform

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    import torch  # before TensorFlow: the other order can crash
    import torchcrf
except ImportError:
    torchcrf = None

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from timing import machine, medians

from saccade.layers import crf

GRIDS = {  # batch, steps, tags
    "full": [(32, t, k) for k in (9, 17, 40, 160) for t in (25, 50, 100)],
    "quick": [(3, 4, 5)],
}
LEARN, ANSWER = "gradients", "Viterbi"


def random_point(batch, steps, tags):
    """A `Chain` whose rows are padded at the right, and a path (batch, steps)."""
    draw = np.random.default_rng(0)

    def normal(*shape):
        return draw.standard_normal(shape, np.float32)

    lengths = draw.integers((steps + 1) // 2, steps + 1, size=batch)
    chain = crf.Chain(
        normal(batch, steps, tags),
        np.arange(steps) < lengths[:, None],
        normal(tags, tags),
        normal(tags),
        normal(tags),
    )
    return chain, draw.integers(tags, size=(batch, steps))


# The plain recursion


def unrolled_log_likelihood(chain, tags):
    """As `crf.log_likelihood`, for rows that are padded at the right."""
    scores, mask, transitions, starts, ends = chain
    alpha = starts + scores[:, 0]
    for t in range(1, scores.shape[1]):
        found = tf.reduce_logsumexp(alpha[:, :, None] + transitions, axis=1)
        alpha = tf.where(mask[:, t, None], found + scores[:, t], alpha)
    log_z = tf.reduce_logsumexp(alpha + ends, axis=1)

    counts = tf.cast(mask, tf.float32)
    last = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1) - 1
    pairs = tf.stack([tags[:, :-1], tags[:, 1:]], axis=-1)
    score = tf.gather(starts, tags[:, 0])
    score += tf.reduce_sum(counts * tf.gather(scores, tags, batch_dims=2), axis=1)
    score += tf.reduce_sum(counts[:, 1:] * tf.gather_nd(transitions, pairs), axis=1)
    score += tf.gather(ends, tf.gather(tags, last, batch_dims=1))
    return score - log_z


def unrolled_viterbi(chain):
    """As `crf.viterbi`, for rows that are padded at the right; the tags only."""
    scores, mask, transitions, starts, ends = chain
    best, origins = starts + scores[:, 0], []
    same = tf.range(scores.shape[2])
    for t in range(1, scores.shape[1]):
        ways = best[:, :, None] + transitions
        counts = mask[:, t, None]
        origin = tf.argmax(ways, axis=1, output_type=tf.int32)
        origins.append(tf.where(counts, origin, same))
        best = tf.where(counts, tf.reduce_max(ways, axis=1) + scores[:, t], best)
    path = [tf.argmax(best + ends, axis=1, output_type=tf.int32)]
    for origin in reversed(origins):
        path.append(tf.gather(origin, path[-1], batch_dims=1))
    return tf.where(mask, tf.stack(path[::-1], axis=1), 0)


# Contestants: {what: function}, which gives a list of arrays


def tensorflow_runs(log_likelihood, viterbi, chain, tags, jit=False):
    @tf.function(jit_compile=jit)
    def learn(chain, tags):
        sources = [chain.scores, chain.transitions, chain.starts, chain.ends]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss = -tf.reduce_mean(log_likelihood(chain, tags))
        return [loss, *tape.gradient(loss, sources)]

    @tf.function(jit_compile=jit)
    def answer(chain):
        return [viterbi(chain)]

    chain, tags = crf.Chain(*map(tf.constant, chain)), tf.constant(tags)
    return {
        LEARN: lambda: [array.numpy() for array in learn(chain, tags)],
        ANSWER: lambda: [array.numpy() for array in answer(chain)],
    }


def torchcrf_runs(chain, tags):
    module = torchcrf.CRF(chain.scores.shape[-1], batch_first=True)
    parameters = (module.transitions, module.start_transitions, module.end_transitions)
    with torch.no_grad():
        for parameter, value in zip(parameters, chain[2:], strict=True):
            parameter.copy_(torch.tensor(value))
    scores = torch.tensor(chain.scores, requires_grad=True)
    sources = (scores, *parameters)
    mask, tags = torch.tensor(chain.mask), torch.tensor(tags)

    def learn():
        loss = -module(scores, tags, mask, reduction="mean")
        gradients = torch.autograd.grad(loss, sources)
        return [array.detach().numpy() for array in (loss, *gradients)]

    def answer():
        found = np.zeros(chain.mask.shape, "int32")
        with torch.no_grad():
            found[chain.mask] = np.concatenate(module.decode(scores, mask))
        return [found]

    return {LEARN: learn, ANSWER: answer}


def our_viterbi(chain):
    return crf.viterbi(chain)[0]


def contestants(chain, tags):
    """{who: {what: function}}."""
    ours = (crf.log_likelihood, our_viterbi, chain, tags)
    plain = (unrolled_log_likelihood, unrolled_viterbi, chain, tags)
    runs = {
        "plain": tensorflow_runs(*ours),
        "XLA": tensorflow_runs(*ours, jit=True),
        "unrolled": tensorflow_runs(*plain),
    }
    if torchcrf is not None:
        runs["torchcrf"] = torchcrf_runs(chain, tags)
    return runs


# The measurement


def agree(what, ours, theirs):
    if what == LEARN:
        pairs = zip(ours, theirs, strict=True)
        return all(np.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in pairs)
    # Sums in another order may decide between two paths that are as good.
    return np.mean(ours[0] == theirs[0]) > 0.99


def measure_point(batch, steps, tags, **rounds):
    """A row for each of the two tasks, with milliseconds. rounds: as of `medians`."""
    runs, rows = contestants(*random_point(batch, steps, tags)), []
    for what in (LEARN, ANSWER):
        ours = runs["plain"][what]()
        for who, both in runs.items():
            if not agree(what, ours, both[what]()):
                raise SystemExit(
                    f"{what}, {steps} steps, {tags} tags: {who} finds something else."
                )
        mine = {who: both[what] for who, both in runs.items()}
        times = {w: 1e3 * s for w, s in medians(mine, **rounds).items()}
        best = min(times["plain"], times["XLA"])
        row = {"what": what, "B": batch, "T": steps, "K": tags, **times}
        for who in ("unrolled", "torchcrf"):
            if who in times:
                row[f"against_{who}"] = times[who] / best
        rows.append(row)
    return rows


def product_ms(size=1024, **rounds):
    """Milliseconds of a float32 matrix product."""
    a = tf.random.normal([size, size])
    product = tf.function(lambda: tf.matmul(a, a))
    times = medians({"product": lambda: product()[0, 0].numpy()}, **rounds)
    return 1e3 * times["product"]


def show(rows, console):
    title = "milliseconds; ours, the better, is so many times as fast as the others"
    table = rich.table.Table(title=title, box=None)
    table.add_column("", no_wrap=True)
    headings = ("K", "T", "plain", "XLA", "unrolled", "torchcrf")
    for heading in (*headings, "times unrolled", "times torchcrf"):
        table.add_column(heading, justify="right")
    for row in sorted(rows, key=lambda row: row["what"] == ANSWER):
        ms = [row.get(who) for who in ("plain", "XLA", "unrolled", "torchcrf")]
        ratios = [row.get(f"against_{who}") for who in ("unrolled", "torchcrf")]
        table.add_row(
            row["what"],
            str(row["K"]),
            str(row["T"]),
            *("-" if value is None else f"{value:.2f}" for value in ms),
            *("-" if value is None else f"{value:.1f}" for value in ratios),
        )
    console.print(table)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a toy: no figures from it"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args(words)
    # Short runs are timed more often.
    rounds = {"repeats": arguments.repeats, "seconds": 2.0, "warm_up": 1}
    if arguments.quick:
        rounds = {"repeats": 1}
    console = rich.console.Console()
    if torchcrf is None:
        console.print(
            "torchcrf is not installed, its columns stay empty: "
            'pip install "saccade[bench]"',
            markup=False,
        )
    load = os.getloadavg()[0]
    product, rows = product_ms(**rounds), []
    for point in GRIDS["quick" if arguments.quick else "full"]:
        rows += measure_point(*point, **rounds)
        keras.backend.clear_session()
    show(rows, console)
    console.print(f"a 1024 x 1024 x 1024 float32 product: {product:.1f} ms")
    if arguments.json:
        report = {
            **rounds,
            "machine": machine(),
            "load_before": load,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "torch": torchcrf and torch.__version__,
            "product_ms": product,
            "rows": rows,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report, indent=1) + "\n"
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
