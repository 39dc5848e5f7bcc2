"""How many captions a second: one graph against a Python loop and keras_hub.

    python benchmarks/decode.py                    # about 3 minutes on 2 cores
    python benchmarks/decode.py --quick            # seconds; proves only that it runs

Everybody gets the same network with the same weights (untrained: the time does not
depend on what is said), the same pictures as uint8 pixels and the same longest
sentence, and runs the encoder inside the measured time:

saccade     `saccade.layers.decoding` in one tf.function, as the app decodes; with
            every word's attention map and the sentence's log-probability.
keras_hub   GreedySampler and BeamSampler driving the same `step`, in one
            tf.function, as keras_hub's `generate` runs them; tokens only.
            Install with: pip install "saccade[bench]"
tutorial    a Python loop, eager calls, one picture at a time, the next word chosen
            with NumPy, as the public captioning tutorials do. Three forms:
  step      the decoder steps once per word and its state is carried along
            (TensorFlow's tutorial with Bahdanau attention, until 2022);
  sentence  the encoder runs once, then the whole sentence so far goes through the
            decoder for every word (keras.io; TensorFlow's tutorial since);
  predict   the same with a padded sentence through `model.predict` (blog posts).
            Beam search is in the form `step`, a picture's hypotheses as one batch,
            which is kinder than the call per hypothesis that one finds.
batched     not what the tutorials do, but the best that stays in eager Python: the
            loop of `step` over all pictures at once.

Two lengths of sentences: "full" lets none end early, so stopping plays no part; in
"ending" each picture's sentence ends at a step drawn beforehand, the same for
everybody.

The runs are interleaved, each round in another order, and a figure is the median of
its repeats.
Loops over one picture at a time are timed on fewer pictures and scaled. Every
contestant's captions are compared with the first one's.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import platform
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from timing import machine

from saccade.apps.captioning import APP
from saccade.apps.captioning.model import build_model
from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.core.tasks.backbones import encode
from saccade.layers import decoding

try:
    import keras_hub
except ImportError:
    keras_hub = None

RESULTS = pathlib.Path(__file__).parent / "results" / "decode.json"
NEVER, SURELY = -1e9, 1e9  # logits
WORDS = 200  # of the vocabulary; builtin has fewer, a real set more


@dataclasses.dataclass(frozen=True)
class Task:
    """What everybody decodes.

    pixels: uint8 (pictures, size, size, 3).
    ends: int32 (pictures,), the step at which the picture's sentence ends.
    """

    model: keras.Model
    config: object
    vocabulary: Tokenizer
    pixels: np.ndarray
    ends: np.ndarray
    beam: int

    @property
    def max_length(self):
        return self.config.max_length

    def begin(self, pixels, ends):
        """`begin` with the ends as planned; the step's number joins the state."""
        layer = self.model.get_layer
        regions = encode(layer("encoder"), pixels)
        step, state = layer("decoder").begin(regions, beam=self.beam)
        ends = tf.repeat(ends, self.beam)

        def planned_step(tokens, state):
            t, inner = state
            logits, inner, *attention = step(tokens, inner)
            return self.plan(logits, t == ends), (t + 1, inner), *attention

        return planned_step, (tf.zeros([tf.shape(pixels)[0]], tf.int32), state)

    def plan(self, logits, now):
        """Logits (rows, V) with which a sentence ends where `now` (rows,) is true."""
        token, own = tf.range(self.vocabulary.size), self.vocabulary
        marks = (token == own.pad) | (token == own.unknown) | (token == own.start)
        end = tf.where(now, SURELY, NEVER)[:, None]
        logits = tf.where(token == own.end, end, logits)
        return tf.where(marks, NEVER, logits)

    def start(self, rows):
        return tf.fill([rows], self.vocabulary.start)

    def first(self, count):
        return dataclasses.replace(
            self, pixels=self.pixels[:count], ends=self.ends[:count]
        )


# The contestants: Task -> function () -> tokens (pictures, max_length).


def saccade(task, jit):
    def decode(pixels, ends):
        step, state = task.begin(pixels, ends)
        common = {
            "start": task.start(len(task.pixels)),
            "end": task.vocabulary.end,
            "max_length": task.max_length,
        }
        if task.beam == 1:
            return decoding.greedy(step, state, **common)
        return decoding.beam_search(step, state, beam=task.beam, **common)

    graph = tf.function(decode, jit_compile=jit)

    def run():
        decoded = [part.numpy() for part in graph(task.pixels, task.ends)]
        return decoded[0] if task.beam == 1 else decoded[0][:, 0]

    return run


def hub(task, jit):
    sampler = keras_hub.samplers.GreedySampler()
    if task.beam > 1:
        sampler = keras_hub.samplers.BeamSampler(num_beams=task.beam)

    def decode(pixels, ends):
        step, state = task.begin(pixels, ends)

        def following(prompt, cache, index):
            logits, cache, *_ = step(prompt[:, index - 1], cache)
            return logits, None, cache

        shape = [len(task.pixels), task.max_length + 1]
        tokens = sampler(
            following,
            tf.fill(shape, task.vocabulary.start),
            cache=state,
            index=1,
            stop_token_ids=[task.vocabulary.end],
        )
        return tokens[:, 1:]

    graph = tf.function(decode, jit_compile=jit)
    return lambda: graph(task.pixels, task.ends).numpy()


def batched(task):
    return lambda: greedy_loop(task, task.pixels, task.ends)


def tutorial_step(task):
    decode_one = greedy_loop if task.beam == 1 else beam_loop

    def run():
        one = [slice(i, i + 1) for i in range(len(task.pixels))]
        captions = [decode_one(task, task.pixels[i], task.ends[i]) for i in one]
        return np.concatenate(captions)

    return run


def tutorial_sentence(task):
    decoder = sentence_decoder(task.model)

    def predict(regions, sentence):
        logits = decoder([regions, tf.constant([sentence], tf.int32)], training=False)
        return logits[:, -1]

    return lambda: sentence_loop(task, predict)


def tutorial_predict(task):
    decoder = sentence_decoder(task.model)

    def predict(regions, sentence):
        padded = np.full((1, task.max_length), task.vocabulary.pad, np.int32)
        padded[0, : len(sentence)] = sentence
        logits = decoder.predict([regions.numpy(), padded], verbose=0)
        return tf.constant(logits[:, len(sentence) - 1])

    return lambda: sentence_loop(task, predict)


def greedy_loop(task, pixels, ends):
    """One call of `step` per word, for all `pixels` at once."""
    step, state = task.begin(tf.constant(pixels), tf.constant(ends))
    tokens = task.start(len(pixels))
    captions = np.full((len(pixels), task.max_length), task.vocabulary.pad)
    done = np.zeros(len(pixels), bool)
    for t in range(task.max_length):
        logits, state, *_ = step(tokens, state)
        chosen = np.argmax(logits.numpy(), axis=-1)
        captions[:, t] = np.where(done, task.vocabulary.pad, chosen)
        done |= chosen == task.vocabulary.end
        if done.all():
            break
        tokens = tf.constant(chosen, tf.int32)
    return captions


def beam_loop(task, pixels, ends):
    """Beam search in Python for ONE picture, its hypotheses as a batch."""
    step, state = task.begin(tf.constant(pixels), tf.constant(ends))
    state = decoding.repeat_rows(state, task.beam)
    tokens = task.start(task.beam)
    totals = np.array([0.0] + [NEVER] * (task.beam - 1))
    captions = np.full((task.beam, task.max_length), task.vocabulary.pad)
    for t in range(task.max_length):
        logits, state, *_ = step(tokens, state)
        log_probs = tf.nn.log_softmax(logits).numpy()
        grown = (totals[:, None] + log_probs).ravel()
        best = np.argsort(-grown)[: task.beam]
        parents, chosen = np.divmod(best, log_probs.shape[1])
        totals, captions = grown[best], captions[parents]
        captions[:, t] = chosen
        if (chosen == task.vocabulary.end).all():  # All end at the same step here.
            break
        tokens = tf.constant(chosen, tf.int32)
        follow = functools.partial(tf.gather, indices=parents)
        state = tf.nest.map_structure(follow, state)
    return captions[:1]


def sentence_loop(task, predict):
    """One picture at a time, the whole sentence so far for every word."""
    encoder, own = task.model.get_layer("encoder"), task.vocabulary
    captions = np.full((len(task.pixels), task.max_length), own.pad)
    for i, picture in enumerate(task.pixels):
        regions = encoder(picture[None], training=False)
        sentence = [own.start]
        for t in range(task.max_length):
            logits = task.plan(predict(regions, sentence), t == task.ends[i : i + 1])
            sentence.append(int(np.argmax(logits[0].numpy())))
            if sentence[-1] == own.end:
                break
        captions[i, : len(sentence) - 1] = sentence[1:]
    return captions


def sentence_decoder(model):
    """The model behind its encoder: (regions, tokens) -> logits."""
    regions = keras.Input(model.get_layer("encoder").output.shape[1:])
    tokens = keras.Input((None,), dtype="int32")
    logits = model.get_layer("decoder")(tokens, memory=regions)["logits"]
    return keras.Model([regions, tokens], logits)


def contestants(task, few):
    """(name, form, pictures, function) of everybody who takes part in this task."""
    part = task.first(few)
    entries = [
        ("saccade", "plain", task, saccade(task, False)),
        ("saccade", "XLA", task, saccade(task, True)),
    ]
    if keras_hub is not None:
        entries += [
            ("keras_hub", "plain", task, hub(task, False)),
            ("keras_hub", "XLA", task, hub(task, True)),
        ]
    entries.append(("tutorial", "step", part, tutorial_step(part)))
    if task.beam == 1:
        fewer = task.first(max(1, few // 4))
        entries += [
            ("tutorial", "sentence", part, tutorial_sentence(part)),
            ("tutorial", "predict", fewer, tutorial_predict(fewer)),
            ("batched", "step", task, batched(task)),
        ]
    return entries


def measure(task, few, repeats):
    """A list of rows, one per contestant; the first is the measure of `same`."""
    entries = contestants(task, few)
    captions = [run() for *_, run in entries]  # Also traces and compiles.
    times = [[] for _ in entries]
    order = np.random.default_rng(0)
    for _ in range(repeats):
        for i in order.permutation(len(entries)):
            *_, run = entries[i]
            started = time.perf_counter()
            run()
            times[i].append(time.perf_counter() - started)
    return [
        {
            "who": who,
            "form": form,
            "pictures": len(part.pixels),
            "seconds": statistics.median(seconds),
            "fastest": min(seconds),
            "slowest": max(seconds),
            "captions_per_second": len(part.pixels) / statistics.median(seconds),
            "same_captions": share_equal(tokens, captions[0], task.vocabulary.end),
        }
        for (who, form, part, _), seconds, tokens in zip(
            entries, times, captions, strict=True
        )
    ]


def share_equal(ours, reference, end):
    """Share of the captions that are equal up to their end."""

    def whole(row):
        row = list(row)
        return row[: row.index(end)] if end in row else row

    pairs = zip(ours, reference, strict=False)
    return float(np.mean([whole(a) == whole(b) for a, b in pairs]))


def prepare(arguments):
    """The network, and random pictures: they cost the same as real ones."""
    draw = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(
        APP.presets[arguments.preset](), max_length=arguments.max_length
    )
    vocabulary = Tokenizer([f"word{i}" for i in range(WORDS)])
    model = build_model(config, vocabulary)
    # Far apart, so that rounding cannot swap two words.
    kernel = model.get_layer("decoder").logits.kernel
    kernel.assign(20 * kernel)
    size = config.image_size
    pixels = draw.integers(0, 256, (arguments.pictures, size, size, 3), np.uint8)
    return Task(model, config, vocabulary, pixels, ends=None, beam=1), draw


def run_all(arguments):
    task, draw = prepare(arguments)
    longest, count = arguments.max_length, arguments.pictures
    lengths = {
        "full": np.full(count, longest, np.int32),  # step `longest` is never reached
        "ending": draw.integers(longest // 4, longest // 2 + 1, count, np.int32),
    }
    if arguments.quick:
        del lengths["full"]
    rows = []
    for beam in (1, arguments.beam):
        for name, ends in lengths.items():
            now = dataclasses.replace(task, ends=ends, beam=beam)
            decode = "greedy" if beam == 1 else f"beam {beam}"
            measured = measure(now, arguments.few, arguments.repeats)
            base = next(r for r in measured if r["who"] == "tutorial")
            for row in measured:
                ratio = row["captions_per_second"] / base["captions_per_second"]
                rows.append({"decode": decode, "lengths": name, **row, "ratio": ratio})
    return rows


def show(rows, console):
    for decode, lengths in dict.fromkeys((r["decode"], r["lengths"]) for r in rows):
        table = rich.table.Table(title=f"{decode}, sentences: {lengths}")
        for heading in ("who", "form"):
            table.add_column(heading)
        for heading in ("captions/s", "times tutorial", "ms (range)", "same captions"):
            table.add_column(heading, justify="right")
        for r in rows:
            if (r["decode"], r["lengths"]) == (decode, lengths):
                ms = [1e3 * r[k] for k in ("seconds", "fastest", "slowest")]
                table.add_row(
                    r["who"],
                    r["form"],
                    f"{r['captions_per_second']:.1f}",
                    f"{r['ratio']:.1f}",
                    f"{ms[0]:.1f} ({ms[1]:.1f}-{ms[2]:.1f}) for {r['pictures']}",
                    f"{r['same_captions']:.0%}",
                )
        console.print(table)


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="default", choices=sorted(APP.presets))
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--few", type=int, default=4, help="pictures of the slow loops")
    parser.add_argument(
        "--max-length", type=int, default=20, help="tokens, end included"
    )
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--quick", action="store_true", help="a toy: no figures from it"
    )
    parser.add_argument("--out", type=pathlib.Path, help="default: results/decode.json")
    arguments = parser.parse_args(words)
    if arguments.quick:
        toy = {"preset": "tiny", "pictures": 3, "few": 1, "max_length": 4}
        vars(arguments).update(toy, beam=2, repeats=1)

    console = rich.console.Console()
    if keras_hub is None:
        console.print(
            "keras_hub is not installed, its rows are left out: "
            'pip install "saccade[bench]"',
            markup=False,
        )
    load = os.getloadavg()[0]
    rows = run_all(arguments)
    show(rows, console)
    report = {
        "settings": {k: v for k, v in vars(arguments).items() if k != "out"},
        "vocabulary": WORDS,
        "machine": machine(),
        "load_before": load,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras_hub": keras_hub and keras_hub.__version__,
        "rows": rows,
    }
    out = arguments.out or (None if arguments.quick else RESULTS)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    apart = [r for r in rows if r["same_captions"] < 0.9]
    if apart:
        names = ", ".join(f"{r['who']} {r['form']} ({r['decode']})" for r in apart)
        raise SystemExit(
            f"The captions of {names} differ: they do not do the same work."
        )


if __name__ == "__main__":
    main()
