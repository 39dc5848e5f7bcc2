"""Our recurrent layers beside keras.layers and torch.nn, on the same cores.

    python benchmarks/layers.py                 the whole grid, about 40 minutes
    python benchmarks/layers.py --grid small    nine points a cell, about ten minutes

For every cell (Elman, LSTM, GRU), batch B, length T and size H (inputs of H features,
all outputs wanted): forward, and forward + backward (gradients of the inputs and of all
weights). TensorFlow runs each side plain and with XLA, and the better one counts.
The runs of a point are interleaved, each round in another order, and a figure is the
median of its repeats, more of them where a run is short. Keras' layer takes part as two
identical copies: what these differ by ("copies") is what a difference must exceed to
say anything. Beside them stands the profile: the time of the step's matrix products
alone, in the loop's shapes and order, below which no loop that multiplies with
TensorFlow can come. Further tasks: the attention decoder's training step, streaming one
step at a time, and the machine's rate of matrix products.
"""

import argparse
import json
import os
import pathlib
import platform

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    import torch  # before TensorFlow: the other order can crash
except ImportError:
    torch = None

import keras
import matplotlib
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from timing import machine, medians

from saccade import layers

matplotlib.use("agg")
import matplotlib.pyplot as plt

RESULTS = pathlib.Path(__file__).parent / "results"
ROUNDS = {"seconds": 2.0, "warm_up": 2}  # short runs are timed more often
GRIDS = {
    "full": [
        (b, t, h)
        for b in (1, 32, 64, 128)
        for t in (50, 100)
        for h in (64, 128, 256, 512)
    ],
    "small": [(b, 50, h) for b in (1, 32, 128) for h in (64, 256, 512)],
    "toy": [(2, 3, 4)],
}
# cell: ours, Keras', torch's, blocks of units in its kernel
CELLS = {
    "Elman": (layers.Elman, keras.layers.SimpleRNN, "RNN", 1),
    "LSTM": (layers.LSTM, keras.layers.LSTM, "LSTM", 4),
    "GRU": (layers.GRU, keras.layers.GRU, "GRU", 3),
}


def tensorflow_runs(layer, x):
    """{(pass, form): function} of a Keras layer."""

    def forward(x):
        return layer(x, training=False)

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return tape.gradient(loss, [x, *layer.trainable_variables])

    x = tf.constant(x)
    layer(x)
    runs = {}
    for name, function in {"forward": forward, "both": both}.items():
        for form, jit in {"plain": False, "XLA": True}.items():
            graph = tf.function(function, jit_compile=jit)
            runs[name, form] = lambda graph=graph: graph(x)[0].numpy()
    return runs


def torch_runs(kind, size, x):
    rnn = getattr(torch.nn, kind)(size, size, batch_first=True)
    x = torch.tensor(x, requires_grad=True)

    def forward():
        with torch.no_grad():
            rnn(x)

    def both():
        rnn.zero_grad()
        x.grad = None
        (rnn(x)[0] ** 2).sum().backward()

    return {("forward", "eager"): forward, ("both", "eager"): both}


def products_runs(x, blocks):
    """{(pass, form): function} of the products that a loop over x cannot do without."""
    batch, steps, size = x.shape
    units = blocks * size
    x = tf.constant(x.swapaxes(0, 1).copy())
    draw = np.random.default_rng(0)
    scale = (2 * size) ** -0.5
    kernel = tf.constant(scale * draw.standard_normal((2 * size, units), np.float32))
    back = tf.transpose(kernel[size:])
    like = tf.zeros([batch, units])

    def loop(step, state, like):
        arrays = tf.TensorArray(tf.float32, steps, element_shape=like.shape)

        def body(t, state, arrays):
            state, noted = step(x[t], state)
            return t + 1, state, arrays.write(t, noted)

        _, state, arrays = tf.while_loop(
            lambda t, *_: t < steps,
            body,
            (0, state, arrays),
            maximum_iterations=steps,
        )
        return state, arrays.stack()

    def up(x, h):
        z = tf.matmul(tf.concat([x, h], axis=1), kernel)
        return z[:, :size], z

    def down(x, d_z):
        d_h = tf.matmul(d_z, back)
        return tf.concat([d_h] * blocks, axis=1), d_z

    def forward():
        return loop(up, like[:, :size], like)[1]

    def both():
        z = loop(up, like[:, :size], like)[1]
        _, d_z = loop(down, z[-1], like)
        rows = tf.reshape(d_z, [-1, units])
        operands = tf.reshape(tf.concat([x, z[:, :, :size]], axis=2), [-1, 2 * size])
        d_kernel = tf.matmul(operands, rows, transpose_a=True)
        return tf.matmul(rows, kernel[:size], transpose_b=True), d_kernel

    runs = {}
    for name, function in {"forward": forward, "both": both}.items():
        for form, jit in {"plain": False, "XLA": True}.items():
            graph = tf.function(function, jit_compile=jit)
            runs[name, form] = lambda graph=graph: graph()[0].numpy()
    return runs


def best(times, who, what):
    """The better form: (seconds, form), or (None, None) without that contestant."""
    forms = [(s, form) for (w, p, form), s in times.items() if (w, p) == (who, what)]
    return min(forms) if forms else (None, None)


def measure_point(cell, batch, steps, size, repeats):
    ours, peer, kind, blocks = CELLS[cell]
    x = np.random.default_rng(0).standard_normal((batch, steps, size), np.float32)
    runs = {}
    contestants = {"ours": ours, "keras": peer, "copy": peer}
    for who, make in contestants.items():
        for key, run in tensorflow_runs(make(size, return_sequences=True), x).items():
            runs[who, *key] = run
    for key, run in products_runs(x, blocks).items():
        runs["products", *key] = run
    if torch is not None:
        for key, run in torch_runs(kind, size, x).items():
            runs["torch", *key] = run
    times = medians(runs, repeats, **ROUNDS)
    rows = []
    for what in ("forward", "both"):
        row = {"cell": cell, "B": batch, "T": steps, "H": size, "pass": what}
        for who in ("ours", "keras", "copy", "torch", "products"):
            row[who], row[f"{who}_form"] = best(times, who, what)
        # Products only: inputs and states, and twice as much again backwards.
        flops = 2 * batch * steps * 2 * size * blocks * size
        row["gflops"] = flops * (3 if what == "both" else 1) / row["ours"] / 1e9
        rows.append(row)
    return rows


class PlainDecoder(keras.layers.Layer):
    """The attention decoder as one would write it in Keras: keys projected in every
    step, TensorFlow's gradient. The peer of AttentionRNN."""

    def __init__(self, units, attention_units, **kwargs):
        super().__init__(**kwargs)
        self.cell = keras.layers.LSTMCell(units)
        self.query = keras.layers.Dense(attention_units, use_bias=False)
        self.keys = keras.layers.Dense(attention_units)
        self.score = keras.layers.Dense(1, use_bias=False)
        self.gate = keras.layers.Dense(1, activation="sigmoid")
        self.start = [keras.layers.Dense(units, "tanh") for _ in "hc"]

    def call(self, sequences, memory):
        states = [start(tf.reduce_mean(memory, axis=1)) for start in self.start]
        outputs = tf.TensorArray(tf.float32, sequences.shape[1])

        def look(x, states):
            scores = tf.tanh(self.keys(memory) + self.query(states[0])[:, None])
            weights = tf.nn.softmax(self.score(scores), axis=1)  # (batch, regions, 1)
            context = tf.reduce_sum(weights * memory, axis=1)
            context = context * self.gate(states[0])
            return self.cell(tf.concat([x, context], axis=1), states)

        look(sequences[:, 0], states)  # builds the layers outside of the loop

        def body(t, states, outputs):
            output, states = look(sequences[:, t], states)
            return t + 1, states, outputs.write(t, output)

        steps = sequences.shape[1]
        _, _, outputs = tf.while_loop(
            lambda t, *_: t < steps,
            body,
            (0, states, outputs),
            maximum_iterations=steps,
        )
        return tf.transpose(outputs.stack(), [1, 0, 2])


def measure_attention(repeats, batch=64, steps=12, regions=64, features=192, units=256):
    """One training step (forward + backward) of the captioning app's decoder."""
    draw = np.random.default_rng(0)
    x = tf.constant(draw.standard_normal((batch, steps, 128), np.float32))
    memory = tf.constant(draw.standard_normal((batch, regions, features), np.float32))
    ours = layers.AttentionRNN(layers.LSTMCell(units), layers.BahdanauAttention(128))
    plain = PlainDecoder(units, 128)
    calls = {
        "ours": (ours, lambda: ours(x, memory=memory, training=True)["outputs"]),
        "plain Keras": (plain, lambda: plain(x, memory)),
    }
    runs = {}
    for who, (layer, call) in calls.items():
        call()

        def both(layer=layer, call=call):
            with tf.GradientTape() as tape:
                tape.watch([x, memory])
                loss = tf.reduce_sum(call() ** 2)
            return tape.gradient(loss, [x, memory, *layer.trainable_variables])

        # Dense on rank 3 inside a loop does not train under XLA: the peer runs plain.
        for form in ("plain", "XLA") if who == "ours" else ("plain",):
            graph = tf.function(both, jit_compile=form == "XLA")
            runs[who, "both", form] = lambda graph=graph: graph()[0].numpy()
    times = medians(runs, repeats, **ROUNDS)
    return {f"{who}, {form}": seconds for (who, _, form), seconds in times.items()}


def measure_streaming(repeats, size=256, steps=200):
    """Microseconds a step for one row, the state going in and out at every step."""
    x = tf.zeros([1, size])
    ours = layers.LSTM(size)
    peer = keras.layers.LSTM(size, return_state=True)
    state = [tf.zeros([1, size])] * 2
    ours(x[:, None]), peer(x[:, None])

    def step_by_step(function):
        def run():
            now = state
            for _ in range(steps):
                _, now = function(x, now)

        return run

    def our_step(x, states):
        return ours.step(x, states)

    def through_the_layer(x, states):
        output, *states = peer(x[:, None], initial_state=states)
        return output, states

    runs = {("keras", "step", "eager call"): step_by_step(through_the_layer)}
    for who, step in {"ours": our_step, "keras": through_the_layer}.items():
        for form, jit in {"plain": False, "XLA": True}.items():
            graph = tf.function(step, jit_compile=jit)
            runs[who, "step", form] = step_by_step(graph)
    times = medians(runs, repeats, **ROUNDS)
    return {" ".join(name): 1e6 * s / steps for name, s in times.items()}


def product_rate(repeats, size=2048):
    """GFLOP/s of a large float32 matrix product."""
    a = tf.random.normal([size, size])
    product = tf.function(lambda: tf.matmul(a, a))
    times = medians({"product": lambda: product()[0, 0].numpy()}, repeats, **ROUNDS)
    return 2 * size**3 / times["product"] / 1e9


def copies(row):
    """How many times as long the slower of two copies of Keras' layer took."""
    return max(row["keras"], row["copy"]) / min(row["keras"], row["copy"])


def slower(row):
    """Whether ours is slower than both copies of Keras' layer."""
    return row["ours"] > max(row["keras"], row["copy"])


def geometric_mean(values):
    return float(np.exp(np.mean(np.log(values))))


def summarise(rows, extra):
    """The targets, with what was measured: list of (what, measured, must, aim)."""
    both = [r for r in rows if r["pass"] == "both"]
    against_keras = [r["keras"] / r["ours"] for r in rows]
    lines = [
        (
            "forward + backward against keras.layers, geometric mean",
            geometric_mean([r["keras"] / r["ours"] for r in both]),
            1.5,
            2,
        ),
        ("worst point of the grid against keras.layers", min(against_keras), 0.95, 1.1),
        (
            "points slower than both of two copies of keras.layers",
            sum(map(slower, rows)),
            0,
            0,
        ),
        ("- what two copies differ by, most", max(map(copies, rows)), None, None),
    ]
    if both[0]["torch"]:
        ratio = geometric_mean([r["torch"] / r["ours"] for r in both])
        lines.append(
            ("forward + backward against torch.nn, geometric mean", ratio, 3, 5)
        )
        for cell in dict.fromkeys(r["cell"] for r in both):
            ratio = geometric_mean(
                [r["torch"] / r["ours"] for r in both if r["cell"] == cell]
            )
            lines.append((f"- {cell}", ratio, None, None))
        bound = geometric_mean([r["torch"] / r["products"] for r in both])
        lines.append(("- the products alone against torch.nn", bound, None, None))
    share = geometric_mean([r["products"] / r["ours"] for r in both])
    lines.append(("share of our time that is the products alone", share, None, None))
    large = [r for r in both if (r["B"], r["H"]) == (128, 512)]
    if large:
        share = max(r["gflops"] for r in large) / extra["product_rate"]
        lines.append(
            (
                "share of the matrix-product rate at B 128, H 512 (best cell)",
                share,
                0.75,
                0.9,
            )
        )
    attention, streaming = extra["attention"], extra["streaming"]
    ours = min(seconds for name, seconds in attention.items() if "ours" in name)
    ratio = attention["plain Keras, plain"] / ours
    lines.append(("AttentionRNN training step against plain Keras", ratio, 2, 4))
    ours = min(v for k, v in streaming.items() if k.startswith("ours"))
    called = streaming["keras step eager call"]
    lines.append(
        ("streaming, B 1, against calling keras.layers.LSTM", called / ours, 3, 10)
    )
    return lines


def show(rows, lines, console):
    table = rich.table.Table(title="milliseconds, best of plain and XLA")
    for heading in ("cell", "pass"):
        table.add_column(heading)
    for heading in (
        "B",
        "T",
        "H",
        "ours",
        "keras",
        "torch",
        "products",
        "against keras",
        "copies",
        "GFLOP/s",
    ):
        table.add_column(heading, justify="right")
    for r in rows:
        who = ("ours", "keras", "torch", "products")
        ms = [f"{1e3 * r[w]:.2f}" if r[w] else "-" for w in who]
        table.add_row(
            r["cell"],
            r["pass"],
            *(str(r[k]) for k in "BTH"),
            *ms,
            f"{r['keras'] / r['ours']:.2f}",
            f"{copies(r):.2f}",
            f"{r['gflops']:.0f}",
        )
    console.print(table)
    table = rich.table.Table(title="targets")
    for heading in ("what", "measured", "must", "aim"):
        table.add_column(heading)
    for what, value, must, aim in lines:
        targets = ["" if t is None else str(t) for t in (must, aim)]
        table.add_row(what, f"{value:.2f}", *targets)
    console.print(table)


def chart(rows, path):
    """Speed against keras.layers at every point of the grid, one panel a cell."""
    cells = list(dict.fromkeys(r["cell"] for r in rows))
    figure, axes = plt.subplots(
        1, len(cells), figsize=(4.5 * len(cells), 3.8), sharey=True, squeeze=False
    )
    for axis, cell in zip(axes[0], cells, strict=True):
        for what, marker in {"forward": "o", "both": "s"}.items():
            for size in sorted({r["H"] for r in rows}):
                points = [
                    (r["B"], r["keras"] / r["ours"])
                    for r in rows
                    if (r["cell"], r["pass"], r["H"]) == (cell, what, size)
                ]
                name = {"forward": "forward", "both": "forward + backward"}[what]
                axis.scatter(
                    *zip(*points, strict=True),
                    marker=marker,
                    s=18 + size / 6,
                    alpha=0.6,
                    color={"forward": "tab:blue", "both": "tab:orange"}[what],
                    label=name if size == max(r["H"] for r in rows) else None,
                )
        axis.axhline(1, color="grey", linewidth=1)
        axis.set(title=cell, xlabel="batch size", xscale="log", yscale="log")
        batches = sorted({r["B"] for r in rows})
        axis.set_xticks(batches, [str(b) for b in batches])
        axis.minorticks_off()
        ticks = [0.5, 1, 1.5, 2, 3, 5, 8]
        axis.set_yticks(ticks, [f"{t:g}x" for t in ticks])
    axes[0, 0].set_ylabel("times as fast as keras.layers")
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(
        "Our layers against keras.layers, each in its better form (plain or XLA); "
        "larger marks: more units",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", default="full", choices=sorted(GRIDS))
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=pathlib.Path, help="default: results/layers.json")
    arguments = parser.parse_args(words)
    console = rich.console.Console()
    if torch is None:
        console.print(
            "torch is not installed, its columns stay empty: "
            'pip install "saccade[bench]"',
            markup=False,
        )
    load = os.getloadavg()[0]
    toy = arguments.grid == "toy"
    extra = {
        "product_rate": product_rate(arguments.repeats, *([64] if toy else [])),
        "attention": measure_attention(
            arguments.repeats, *((2, 3, 4, 5, 6) if toy else ())
        ),
        "streaming": measure_streaming(arguments.repeats, *((4, 3) if toy else ())),
    }
    rows = []
    for cell in arguments.cells:
        for batch, steps, size in GRIDS[arguments.grid]:
            rows += measure_point(cell, batch, steps, size, arguments.repeats)
            keras.backend.clear_session()
    lines = summarise(rows, extra)
    show(rows, lines, console)
    console.print(f"matrix products: {extra['product_rate']:.0f} GFLOP/s")
    console.print({k: f"{1e3 * v:.1f} ms" for k, v in extra["attention"].items()})
    console.print({k: f"{v:.0f} us" for k, v in extra["streaming"].items()})
    out = arguments.out or (None if toy else RESULTS / "layers.json")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "grid": arguments.grid,
            "repeats": arguments.repeats,
            "machine": machine(),
            "load_before": load,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "torch": torch and torch.__version__,
            "targets": [
                dict(zip(("what", "measured", "must", "aim"), line, strict=True))
                for line in lines
            ],
            **extra,
            "rows": rows,
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        chart(rows, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
