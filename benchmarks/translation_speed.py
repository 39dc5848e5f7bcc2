"""How fast translation is: against a Python loop, and against layers of Keras alone.

    python benchmarks/translation_speed.py            minutes
    python benchmarks/translation_speed.py --quick    a toy; proves only that it runs

Both parts have the same network, untrained, without dropout: a bidirectional GRU reads
the source, a GRU with Bahdanau attention writes the target, and its embedding is its
output too. All sentences are equally long and none ends early, so that neither padding
nor stopping plays a part.

Decoding: sentences a second by beam search, the encoder inside the measured time, of

- ours: `saccade.layers.decoding.beam_search` in one tf.function, called by the app's
  own `respond`, plain and with XLA; with what that tells besides tokens, scores and the
  alignment, and the length penalty, which changes nothing among equal lengths;
- loop: the encoder and one step of the decoder are a tf.function each; a Python loop
  calls the step once per token and keeps the beam's books eagerly, all sentences at
  once. It keeps tokens alone and knows no sentence that has ended, which is kinder than
  what a user needs. Also with the two functions compiled by XLA;
- one by one: the same loop over one sentence at a time, as tutorials have it, timed on
  fewer of them and scaled.

Training: a step forwards and backwards, global clipping and AdamW, of

- ours: `build_model` of the app, compiled as `saccade train` does it, plain and with
  XLA;
- keras: the same network of layers of Keras alone, a GRUCell stepped in Python inside
  the tf.function of the step, with the optimizer and the loss of ours.

All must find the same: the tokens of all sentences are equal, and so are the losses of
the first steps from equal weights; else the program ends with an error. The runs are
interleaved, each round in another order, and a figure is the median of its repeats.
Beside the tables stands the time of a product of two 1024 x 1024 matrices.

    --json FILE     also writes the rows
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from keras import ops
from timing import machine, medians

from saccade.apps.core.inputs.tokenizer import SPECIAL, Tokenizer
from saccade.apps.core.tasks.signatures import options_in_graph
from saccade.apps.core.training.fit import compile_trainer
from saccade.apps.translation.config import Config
from saccade.apps.translation.model import memory_mask
from saccade.apps.translation.task import Translation, Vocabularies
from saccade.layers import decoding

NEVER = -1e9  # a logit
FIRST_STEPS = 3  # whose losses are compared: a later one shows the gradients before
PLANNED = 10**7  # steps: so many that the rate stays as the warm-up begins


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of the network and its batches. few: sentences that are decoded one by one."""

    units: int = 192  # also of embedding and attention
    vocabulary: int = 6000  # tokens of each language
    steps: int = 20  # tokens of a source, and of a translation
    beam: int = 5
    decoded: int = 32
    few: int = 4
    trained: int = 64


QUICK = Sizes(units=8, vocabulary=50, steps=3, beam=3, decoded=4, few=2, trained=3)


class Endless(Translation):
    """Whose sentences have no end: all are as long as they may be."""

    def limits(self, rows):
        return super().limits(rows) | {"suppress": suppressed(self.vocabulary)}


def suppressed(vocabulary):
    """What nobody writes."""
    return vocabulary.pad, vocabulary.unknown, vocabulary.start, vocabulary.end


def task_of(sizes):
    """The task with these sizes, both languages with as many tokens."""
    tokenizer = Tokenizer([f"w{i}" for i in range(sizes.vocabulary - len(SPECIAL))])
    config = Config(
        units=sizes.units,
        embedding=sizes.units,
        attention_units=sizes.units,
        max_length=sizes.steps,
        tied=True,
        dropout=0.0,
        learning_rate=0.1,  # of which the warm-up begins with a twentieth
    )
    return Endless(config, Vocabularies(tokenizer, tokenizer, (sizes.steps,)))


def random_tokens(sizes, rows, seed):
    """int32 (rows, steps), none of them special."""
    draw = np.random.default_rng(seed)
    shape = (rows, sizes.steps)
    return draw.integers(len(SPECIAL), sizes.vocabulary, shape, np.int32)


# Decoding: functions of sources (rows, steps), which give tokens (rows, steps)


def ours(task, model, beam, jit=False):
    options = task.in_graph(task.Options(beam=beam, replace_unknown=False))

    @tf.function(jit_compile=jit)
    def decode(source):
        # What a request may set is one value per row there.
        given = options_in_graph(options, len(source), {})
        return task.respond(model, {"source": source}, given)

    def run(source):
        tensors = {name: tensor.numpy() for name, tensor in decode(source).items()}
        return tensors["tokens"][:, 0]

    return run


def loop(task, model, beam, jit=False):
    """Beam search as users write it, of all sentences at once."""
    vocabulary, longest = task.vocabulary, task.config.max_length
    decoder = model.get_layer("decoder")
    blocked = np.zeros(vocabulary.size, np.float32)
    blocked[list(suppressed(vocabulary))] = NEVER

    @tf.function(jit_compile=jit)
    def encode(source):
        memory = model.get_layer("encoder")(source, training=False)
        mask = memory_mask(task.config, source)
        _, state = decoder.begin(memory, mask)
        both = decoder.prepare_memory(memory, mask), state
        return decoding.repeat_rows(both, beam)

    @tf.function(jit_compile=jit)
    def step(tokens, state, prepared):
        logits, state, _ = decoder.step(tokens, state, prepared)
        return logits, state

    def run(source):
        rows = len(source)
        prepared, state = encode(source)
        tokens = tf.fill([rows * beam], vocabulary.start)
        totals = tf.constant([[0.0] + [NEVER] * (beam - 1)] * rows)
        first = beam * tf.range(rows)[:, None]
        history = tf.zeros([rows * beam, 0], tf.int32)
        for _ in range(longest):
            logits, state = step(tokens, state, prepared)
            log_probs = tf.nn.log_softmax(logits + blocked)
            grown = totals[:, :, None] + tf.reshape(log_probs, [rows, beam, -1])
            totals, best = tf.math.top_k(tf.reshape(grown, [rows, -1]), beam)
            parents = tf.reshape(first + best // vocabulary.size, [-1])
            tokens = tf.reshape(best % vocabulary.size, [-1])
            state = [tf.gather(part, parents) for part in state]
            history = tf.gather(history, parents)
            history = tf.concat([history, tokens[:, None]], axis=1)
        return history[::beam].numpy()

    return run


def one_by_one(decode):
    def run(source):
        return np.concatenate([decode(source[i : i + 1]) for i in range(len(source))])

    return run


def decoders(task, model, sizes):
    """{(who, form): (function, sentences)}."""
    several = {
        ("ours", "plain"): ours(task, model, sizes.beam),
        ("ours", "XLA"): ours(task, model, sizes.beam, jit=True),
        ("loop", "plain"): loop(task, model, sizes.beam),
        ("loop", "XLA"): loop(task, model, sizes.beam, jit=True),
    }
    every = {name: (run, sizes.decoded) for name, run in several.items()}
    alone = one_by_one(loop(task, model, sizes.beam))
    return every | {("one by one", "plain"): (alone, sizes.few)}


def measure_decoding(sizes, **rounds):
    """A row for each way of decoding. rounds: as of `medians`."""
    task = task_of(sizes)
    model = task.build_model()
    for vote in model.get_layer("decoder").votes:
        # Logits far apart: rounding must not swap two hypotheses.
        vote.kernel.assign(20 * vote.kernel)
    source = tf.constant(random_tokens(sizes, sizes.decoded, seed=1))
    contestants, expected = decoders(task, model, sizes), None
    for name, (run, count) in contestants.items():
        tokens = run(source[:count])
        expected = tokens if expected is None else expected
        if not np.array_equal(tokens, expected[:count]):
            raise SystemExit(f"Decoding: {' '.join(name)} writes something else.")

    def timed(run, count):
        part = source[:count]
        return lambda: run(part)

    runs = {name: timed(*entry) for name, entry in contestants.items()}
    times = medians(runs, **rounds)
    each = {name: contestants[name][1] / times[name] for name in runs}
    return [
        {
            "who": who,
            "form": form,
            "sentences": contestants[who, form][1],
            "ms": 1e3 * times[who, form],
            "sentences_per_second": speed,
            "against_loop": speed / each["loop", "plain"],
        }
        for (who, form), speed in each.items()
    ]


# Training


class KerasTranslator(keras.Model):
    """The network of layers of Keras alone; inputs and outputs are those of ours, but
    for the attention, and its layers stand in the order of our weights."""

    def __init__(self, sizes):
        super().__init__()
        layers, units = keras.layers, sizes.units
        self.steps = sizes.steps
        self.source_embedding = layers.Embedding(sizes.vocabulary, units)
        self.encoder = layers.Bidirectional(layers.GRU(units, return_sequences=True))
        self.embedding = layers.ReversibleEmbedding(sizes.vocabulary, units)
        self.cell = layers.GRUCell(units)
        self.query = layers.Dense(units, use_bias=False)
        self.key = layers.Dense(units)
        self.score = layers.Dense(1, use_bias=False)
        self.initial_state = layers.Dense(units, "tanh")
        self.vote_h, self.vote_context = layers.Dense(units), layers.Dense(units)

    def call(self, inputs, training=False):
        source, tokens = inputs["source"], inputs["tokens"]
        real = ops.not_equal(source, 0)
        memory = self.encoder(self.source_embedding(source), mask=real)
        count = ops.cast(real, memory.dtype)[:, :, None]
        mean = ops.sum(memory * count, axis=1) / ops.sum(count, axis=1)
        keys, h = self.key(memory), self.initial_state(mean)
        words, outputs, contexts = self.embedding(tokens), [], []
        for t in range(self.steps):
            scores = self.score(ops.tanh(keys + self.query(h)[:, None]))
            scores = ops.where(real[:, :, None], scores, NEVER)
            context = ops.sum(ops.softmax(scores, axis=1) * memory, axis=1)
            x = ops.concatenate([words[:, t], context], axis=-1)
            h, _ = self.cell(x, [h])
            outputs.append(h)
            contexts.append(context)
        # Behind the loop: one product for all steps, which is kinder.
        vote = words + self.vote_h(ops.stack(outputs, axis=1))
        vote = vote + self.vote_context(ops.stack(contexts, axis=1))
        return {"logits": self.embedding(vote, reverse=True)}


def trainer(model, task, batches, jit):
    """A function without arguments: a step of training, which gives its loss."""
    config = dataclasses.replace(task.config, jit=jit)
    compile_trainer(model, task.bound(config), PLANNED)
    model.make_train_function()
    stream = iter(batches)

    def run():
        model.reset_metrics()  # The loss is a mean since the last reset.
        return float(model.train_function(stream)["loss"])

    return run


def trainers(sizes):
    """{(who, form): function}, all with the same weights and batch."""
    task = task_of(sizes)
    tokens = random_tokens(sizes, sizes.trained, seed=2)
    before = np.full_like(tokens, task.vocabulary.start)
    before[:, 1:] = tokens[:, :-1]
    source = random_tokens(sizes, sizes.trained, seed=3)
    batch = {"source": source, "tokens": before}
    weights = {"logits": np.ones(tokens.shape, np.float32)}
    rows = (batch, {"logits": tokens}, weights)
    batches = tf.data.Dataset.from_tensors(rows).cache().repeat()
    values, runs = task.build_model().get_weights(), {}
    for form, jit in {"plain": False, "XLA": True}.items():
        for who in ("ours", "keras"):
            model = task.build_model() if who == "ours" else KerasTranslator(sizes)
            if who == "keras":
                model(batch)  # makes the weights
            same = zip(values, model.weights, strict=True)
            model.set_weights([value.reshape(own.shape) for value, own in same])
            runs[who, form] = trainer(model, task, batches, jit)
    return runs


def measure_training(sizes, **rounds):
    """A row for each training. rounds: as of `medians`."""
    runs = trainers(sizes)
    losses = {name: [run() for _ in range(FIRST_STEPS)] for name, run in runs.items()}
    for name, found in losses.items():
        gaps = np.abs(np.subtract(found, losses["ours", "plain"]))
        # AdamW makes as large a step of a gradient that is nothing but rounding.
        if gaps[0] > 1e-4 or gaps.max() > 1e-3:
            raise SystemExit(f"Training: {' '.join(name)} has other losses: {losses}.")
    times = medians(runs, **rounds)
    return [
        {
            "who": who,
            "form": form,
            "ms": 1e3 * seconds,
            "first_losses": losses[who, form],
            # Of the same form: how many times as fast as it is Keras.
            "against_keras": times["keras", form] / seconds,
        }
        for (who, form), seconds in times.items()
    ]


def product_ms(size=1024, **rounds):
    """Milliseconds of a float32 matrix product."""
    a = tf.random.normal([size, size])
    product = tf.function(lambda: tf.matmul(a, a))
    times = medians({"product": lambda: product()[0, 0].numpy()}, **rounds)
    return 1e3 * times["product"]


def show(title, rows, columns, console):
    """columns: heading -> (key of a row, format)."""
    table = rich.table.Table("", "", title=title, box=None)
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in rows:
        figures = (form.format(row[key]) for key, form in columns.values())
        table.add_row(row["who"], row["form"], *figures)
    console.print(table)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a toy: no figures from it"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args(words)
    sizes = QUICK if arguments.quick else Sizes()
    # Everybody has run once before, to be compared.
    rounds = {"repeats": 1 if arguments.quick else arguments.repeats}
    console = rich.console.Console()
    load = os.getloadavg()[0]
    product = product_ms(warm_up=1, **rounds)
    decoded = measure_decoding(sizes, **rounds)
    keras.backend.clear_session()
    trained = measure_training(sizes, **rounds)
    ms = {"ms": ("ms", "{:.1f}"), "sentences": ("sentences", "{}")}
    show(
        f"beam {sizes.beam}, {sizes.steps} tokens",
        decoded,
        {"sentences/s": ("sentences_per_second", "{:.1f}")}
        | {"times loop": ("against_loop", "{:.2f}")}
        | ms,
        console,
    )
    show(
        f"a step of training, {sizes.trained} sentences",
        trained,
        {"ms": ms["ms"], "times keras, same form": ("against_keras", "{:.2f}")},
        console,
    )
    console.print(f"a 1024 x 1024 x 1024 float32 product: {product:.1f} ms")
    if arguments.json:
        report = {
            **rounds,
            "sizes": dataclasses.asdict(sizes),
            "machine": machine(),
            "load_before": load,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "product_ms": product,
            "decoding": decoded,
            "training": trained,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report, indent=1) + "\n"
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
