"""How many characters a second: training and sampling a character language model.

    python benchmarks/language.py               # about 4 minutes on 2 cores
    python benchmarks/language.py --toy         # seconds; proves only that it runs

Training: the model of the app `char_lm` with its default settings (one-hot input, one
level, batch 64, windows of 100 characters), on the source of Python's library. A figure
is the time of whole training steps: the next windows from the pipeline, forward,
backward, the gradients' norm clipped, the optimizer, the state carried on.

saccade     the app's own: `Carrier` around the model, compiled as `fit` compiles it,
            ten steps in one call from Python.
keras       the same with keras.layers: one_hot, LSTM(stateful=True), Dense; the same
            pipeline, optimizer and steps per call. With XLA and without; the better
            one counts.
torch       the same with torch.nn, eager, Adam; the windows lie in memory and cost
            nothing. Install with: pip install "saccade[bench]"

All three begin with the same weights and read the same windows; the loss of their first
ten steps is compared.
The Keras sides are measured in the function that `fit` calls for its steps, so neither
callbacks nor a progress bar count.

Beside them stands the profile of our step: the time of its parts, each compiled alone;
of the loop's products alone, below which no loop can come that multiplies with
TensorFlow; and of the step's multiplications at the rate of one large product, below
which nobody comes.

Sampling: one text of batch 1 and of batch 64, drawn at temperature 0.8.

saccade     the app's graph: the whole text in one call, strings in and strings out
            (plain as in `predict` and `serving_default`, with XLA as `serving_xla`).
loop        a Python loop: `model(...)` for every character, the state handed on, the
            next one drawn with NumPy.

The runs are interleaved, each round in another order, and a figure is the median of
its repeats.
"""

import argparse
import dataclasses
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
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from timing import machine, medians

from saccade.apps.char_lm import APP
from saccade.apps.char_lm.vocabulary import characters as characters_of
from saccade.apps.core.tasks.language.model import build_language_model
from saccade.apps.core.tasks.language.serving import Sampler, prompts
from saccade.apps.core.tasks.language.streams import Carrier, state_names, train_windows
from saccade.apps.core.training.fit import compile_trainer

RESULTS = pathlib.Path(__file__).parent / "results" / "language.json"
MODELS = {"full": [("lstm", 256), ("gru", 256), ("lstm", 512)], "toy": [("gru", 4)]}
KERAS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
BLOCKS = {"lstm": 4, "gru": 3}  # of units in a kernel
TARGETS = {"keras": 1.5, "torch": 3.0, "loop": 30.0}
TEMPERATURE = 0.8


# Training


# Not a preset: the shape that others' figures are for. No dropout, so that all sides do
# the same work.
MEASURED = APP.Config(
    cell="lstm",
    units=256,
    dropout=0.0,
    batch_size=64,
    window=100,
    learning_rate=4e-3,
)


def our_model(config, size):
    keras.utils.set_random_seed(config.seed)
    return build_language_model(size, config)


def keras_model(config, size):
    """What one writes in Keras: the state stays in the layer from batch to batch."""
    tokens = keras.Input(batch_shape=(config.batch_size, config.window), dtype="int32")
    x = keras.ops.one_hot(tokens, size)
    x = KERAS[config.cell](config.units, return_sequences=True, stateful=True)(x)
    return keras.Model(tokens, keras.layers.Dense(size)(x))


def keras_training(model, config, batches):
    """A function that runs one call of training steps; returns their mean loss."""
    compile_trainer(model, APP.task_for(config), config.steps)
    model.make_train_function()
    step, windows = model.train_function, iter(batches)

    def run():
        return float(step(windows)["loss"])

    return run


def torch_training(config, size, weights, batches):
    """The same for torch, from Keras' weights."""
    rnn = getattr(torch.nn, config.cell.upper())(size, config.units, batch_first=True)
    dense = torch.nn.Linear(config.units, size)
    with torch.no_grad():
        for to, value in zip(
            [*rnn.parameters(), *dense.parameters()],
            to_torch(config.cell, weights),
            strict=True,
        ):
            to.copy_(torch.tensor(value))
    if config.cell == "lstm":  # Its second bias would double the first one's steps.
        rnn.bias_hh_l0.requires_grad_(False)
    every = [p for p in (*rnn.parameters(), *dense.parameters()) if p.requires_grad]
    # The rate with which the warm-up of `Language.optimizer` begins.
    adam = torch.optim.Adam(every, config.learning_rate / 20, betas=(0.9, 0.99))
    windows = [
        (torch.tensor(inputs["tokens"]).long(), torch.tensor(targets).long())
        for inputs, targets, _ in batches.take(
            config.steps_per_call
        ).as_numpy_iterator()
    ]
    state = None

    def run():
        nonlocal state
        total = 0.0
        for tokens, targets in windows:
            x = torch.nn.functional.one_hot(tokens, size).float()
            outputs, new = rnn(x, state)
            state = new.detach() if config.cell == "gru" else [s.detach() for s in new]
            logits = dense(outputs).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, targets.flatten())
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(every, config.clip)
            adam.step()
            total += loss.item()
        return total / len(windows)

    return run


def to_torch(cell, weights):
    """kernel, recurrent kernel, bias, Dense's two: Keras' layout to torch's.

    Keras' gates: i f c o and z r h; torch's: i f g o and r z n. Torch has two biases.
    """
    kernel, recurrent, bias, *dense = weights
    order = {"lstm": [0, 1, 2, 3], "gru": [1, 0, 2]}[cell]

    def gates(value):
        blocks = np.split(value, len(order), axis=-1)
        return np.concatenate([blocks[i] for i in order], axis=-1).T

    biases = bias if bias.ndim == 2 else [bias, np.zeros_like(bias)]
    return [*map(gates, (kernel, recurrent, *biases)), dense[0].T, dense[1]]


def measure_training(cell, units, text, size, repeats, toy):
    # Planned so long that the learning rate stays where it begins.
    config = dataclasses.replace(MEASURED, cell=cell, units=units, steps=10**7)
    if toy:
        config = dataclasses.replace(config, batch_size=2, window=3, steps_per_call=2)
    rows = config.batch_size
    model = our_model(config, size)
    weights = model.get_weights()
    runs, losses = {}, {}

    def batches():
        return train_windows(text, rows, config.window, config.seed)

    runs["saccade", "XLA"] = keras_training(Carrier(model, rows), config, batches())
    plain = batches().map(lambda inputs, *others: (inputs["tokens"], *others))
    for form, jit in {"XLA": True, "plain": False}.items():
        peer = keras_model(config, size)
        peer.set_weights(weights)
        same = dataclasses.replace(config, jit=jit)
        runs["keras", form] = keras_training(peer, same, plain)
    if torch is not None:
        runs["torch", "eager"] = torch_training(config, size, weights, batches())
    for name, run in runs.items():
        losses[name] = run()  # Compiles too; from the same weights, on the same text.
    times = medians(runs, repeats)
    characters = config.steps_per_call * rows * config.window
    return [
        {
            "cell": cell,
            "units": units,
            "who": who,
            "form": form,
            "characters_per_second": characters / seconds,
            "ms_per_step": 1e3 * seconds / config.steps_per_call,
            "first_loss": losses[who, form],
        }
        for (who, form), seconds in times.items()
    ], profile(config, model, size, repeats)


def profile(config, model, size, repeats):
    """{part: milliseconds} of our training step."""
    rows, steps, units = config.batch_size, config.window, config.units
    draw = np.random.default_rng(0)
    tokens = tf.constant(draw.integers(0, size, (rows, steps), np.int32))
    outputs = tf.constant(draw.standard_normal((rows, steps, units), np.float32))
    level = model.get_layer("level_0")
    logits = model.get_layer("logits")
    never = tf.zeros([rows, steps], tf.bool)
    states = [tf.zeros([rows, units]) for _ in level.state_size]

    def loop():
        with tf.GradientTape() as tape:
            x = tf.one_hot(tokens, size)
            h, *_ = level(x, initial_state=states, reset_mask=never, training=True)
            loss = tf.reduce_sum(h * outputs)
        return tape.gradient(loss, level.trainable_variables)

    def head():
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tokens, logits(outputs)
            )
            loss = tf.reduce_mean(loss)
        return tape.gradient(loss, [outputs, *logits.trainable_variables])

    blocks = BLOCKS[config.cell]
    recurrent = draw.standard_normal((units, blocks * units), np.float32)
    recurrent = tf.constant(recurrent / (blocks * units) ** 0.5)

    def products():
        """Of the loop, in its shapes and order: up, down, and the kernel's gradient."""

        def up(t, h):
            z = tf.reshape(tf.matmul(h, recurrent), [rows, blocks, units])
            return t + 1, tf.reduce_sum(z, axis=1)

        def down(t, h):
            d_z = tf.tile(h, [1, blocks])
            return t + 1, tf.matmul(d_z, recurrent, transpose_b=True)

        h = outputs[:, 0]
        for body in (up, down):
            _, h = tf.while_loop(
                lambda t, *_: t < steps, body, (0, h), maximum_iterations=steps
            )
        d_z = tf.tile(h, [steps, blocks])  # (steps * rows, blocks * units)
        return h, tf.matmul(tf.reshape(outputs, [-1, units]), d_z, transpose_a=True)

    def inputs():
        """Products of the one-hot inputs: with the kernel, and for its gradient."""
        x = tf.reshape(tf.one_hot(tokens, size), [-1, size])
        z = tf.matmul(x, tf.tile(outputs[0, :1], [size, blocks]))
        return (tf.matmul(x, z, transpose_a=True),)

    big = tf.constant(
        draw.standard_normal([256 if units < 64 else 2048] * 2, np.float32)
    )

    def rate():
        return (tf.matmul(big, big),)

    runs = {}
    parts = {
        "recurrent layer, forward and backward": loop,
        "- its products with the state alone": products,
        "- its products with the one-hot inputs alone": inputs,
        "logits and loss, forward and backward": head,
        "rate": rate,
    }
    for name, part in parts.items():
        graph = tf.function(part, jit_compile=part is not rate)
        runs[name] = lambda graph=graph: [np.array(g) for g in graph()]
        runs[name]()
    times = medians(runs, 3 * repeats)
    rate = 2 * big.shape[0] ** 3 / times.pop("rate")
    # Forward, and two as large backward; nobody asks for the inputs' gradient.
    gates = blocks * units
    per_token = 6 * units * gates + 4 * size * gates + 6 * units * size
    name = f"all its products at the rate of large ones, {rate / 1e9:.0f} GFLOP/s"
    times[name] = rows * steps * per_token / rate
    return {name: 1e3 * s for name, s in times.items()}


# Sampling


def graph_sampling(model, characters, batch, length, compiled):
    """A function that writes `length` characters behind one in each row, as the app
    does, strings in and strings out; returns the shape of what it wrote."""
    sampler = Sampler(model, characters, compiled=compiled)

    @tf.function
    def graph(text, temperature, length, seed):
        written = sampler.write(*prompts(characters, text), temperature, length, seed)
        return characters.decode(*written)

    request = (
        tf.fill([batch], characters.own[0]),
        tf.fill([batch], TEMPERATURE),
        tf.fill([batch], length),
        tf.range(batch),
    )
    return lambda: (batch, *set(map(len, graph(*request).numpy())))


def loop_sampling(model, batch, length):
    """The same in Python, one call of the model per character; ids only."""
    names, draw = state_names(model), np.random.default_rng(0)
    never = tf.zeros([batch, 1], tf.bool)

    def run():
        states = {n: tf.zeros([batch, model.input[n].shape[-1]]) for n in names}
        tokens, written = np.ones(batch, np.int32), []
        for _ in range(length):
            given = {"tokens": tf.constant(tokens[:, None]), "reset": never}
            outputs = model({**given, **states})
            states = {n: outputs[n] for n in names}
            chances = tf.nn.softmax(outputs["logits"][:, 0] / TEMPERATURE).numpy()
            reached = chances.cumsum(axis=1) > draw.random((batch, 1))
            tokens = reached.argmax(axis=1).astype(np.int32)
            written.append(tokens)
        return np.stack(written, axis=1).shape

    return run


def measure_sampling(model, characters, batch, length, few, repeats):
    runs = {
        ("saccade", form): graph_sampling(
            model, characters, batch, length, form == "XLA"
        )
        for form in ("plain", "XLA")
    }
    runs["loop", "eager"] = loop_sampling(model, batch, few)
    lengths = {name: few if name[0] == "loop" else length for name in runs}
    for name, run in runs.items():
        wrote, expected = run(), (batch, lengths[name])  # Compiles too.
        if wrote != expected:
            raise SystemExit(f"{name} wrote {wrote} characters instead of {expected}.")
    return [
        {
            "batch": batch,
            "who": who,
            "form": form,
            "characters_per_second": batch * lengths[who, form] / seconds,
        }
        for (who, form), seconds in medians(runs, repeats).items()
    ]


def summarise(training, sampling):
    """The targets, with what was measured: list of (what, measured, must)."""
    lines = []

    def fastest(rows, who):
        return max(
            (r["characters_per_second"] for r in rows if r["who"] == who), default=None
        )

    for key in dict.fromkeys((r["cell"], r["units"]) for r in training):
        rows = [r for r in training if (r["cell"], r["units"]) == key]
        for peer in ("keras", "torch"):
            if fastest(rows, peer):
                what = f"training {key[0]} {key[1]} against {peer}"
                ratio = fastest(rows, "saccade") / fastest(rows, peer)
                lines.append((what, ratio, TARGETS[peer]))
    for batch in dict.fromkeys(r["batch"] for r in sampling):
        rows = [r for r in sampling if r["batch"] == batch]
        ratio = fastest(rows, "saccade") / fastest(rows, "loop")
        must = TARGETS["loop"] if batch == 1 else None
        lines.append((f"sampling at batch {batch} against a Python loop", ratio, must))
    return lines


def show(training, profiles, sampling, lines, console):
    table = rich.table.Table(title="training")
    for heading in ("cell", "who", "form"):
        table.add_column(heading)
    for heading in ("units", "characters/s", "ms a step", "loss of 10 steps"):
        table.add_column(heading, justify="right")
    for r in training:
        table.add_row(
            r["cell"],
            r["who"],
            r["form"],
            str(r["units"]),
            f"{r['characters_per_second']:,.0f}",
            f"{r['ms_per_step']:.1f}",
            f"{r['first_loss']:.4f}",
        )
    console.print(table)
    for name, parts in profiles.items():
        table = rich.table.Table("part", title=f"our step, {name}")
        table.add_column("ms", justify="right")
        for part, ms in parts.items():
            table.add_row(part, f"{ms:.1f}")
        console.print(table)
    table = rich.table.Table("who", "form", title="sampling")
    for heading in ("batch", "characters/s"):
        table.add_column(heading, justify="right")
    for r in sampling:
        rate = f"{r['characters_per_second']:,.0f}"
        table.add_row(r["who"], r["form"], str(r["batch"]), rate)
    console.print(table)
    table = rich.table.Table("what", title="targets")
    for heading in ("times as fast", "must"):
        table.add_column(heading, justify="right")
    for what, ratio, must in lines:
        table.add_row(what, f"{ratio:.2f}", "" if must is None else f"{must:g}")
    console.print(table)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--length", type=int, default=1000, help="characters to sample")
    parser.add_argument("--few", type=int, default=100, help="the same for the loop")
    parser.add_argument("--toy", action="store_true", help="no figures from it")
    parser.add_argument(
        "--out", type=pathlib.Path, help="default: results/language.json"
    )
    arguments = parser.parse_args(words)
    if arguments.toy:
        vars(arguments).update(repeats=1, length=5, few=2)
    console = rich.console.Console()
    if torch is None:
        console.print(
            "torch is not installed, its rows are left out: "
            'pip install "saccade[bench]"',
            markup=False,
        )
    load = os.getloadavg()[0]
    config = APP.presets["hello"]() if arguments.toy else MEASURED
    task = APP.task_for(config)
    splits = task.read()
    alphabet = task.learn(splits.train).assets.own
    # Without a start, of which no peer knows.
    characters = characters_of(alphabet, with_start=False)
    text, size = splits.train.text(characters), characters.size
    training, profiles, sampling = [], {}, []
    for cell, units in MODELS["toy" if arguments.toy else "full"]:
        rows, parts = measure_training(
            cell, units, text, size, arguments.repeats, arguments.toy
        )
        training += rows
        profiles[f"{cell} {units}"] = parts
        keras.backend.clear_session()
    if arguments.toy:
        config = dataclasses.replace(config, units=4)
    model = our_model(config, size)
    for batch in (1, 64):
        sampling += measure_sampling(
            model,
            characters,
            batch,
            arguments.length,
            arguments.few,
            arguments.repeats,
        )
    lines = summarise(training, sampling)
    show(training, profiles, sampling, lines, console)
    report = {
        "settings": {k: v for k, v in vars(arguments).items() if k != "out"},
        "config": dataclasses.asdict(config),
        "vocabulary": size,
        "machine": machine(),
        "load_before": load,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "torch": torch and torch.__version__,
        "targets": [
            dict(zip(("what", "measured", "must"), line, strict=True)) for line in lines
        ],
        "training": training,
        "profiles_ms": profiles,
        "sampling": sampling,
    }
    out = arguments.out or (None if arguments.toy else RESULTS)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for key in dict.fromkeys((r["cell"], r["units"]) for r in training):
        losses = [r["first_loss"] for r in training if (r["cell"], r["units"]) == key]
        if max(losses) - min(losses) > 0.002:
            raise SystemExit(
                f"The losses of {key} differ, {losses}: they do not do the same work."
            )


if __name__ == "__main__":
    main()
