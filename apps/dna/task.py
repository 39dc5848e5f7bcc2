"""The task of dna: a sequence goes in, its class comes out, and which bases decide."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from ..core.data import fasta
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.files.whole import write_text
from ..core.inputs.sequence import ANY, Sequence
from ..core.tasks.classify import Classify, for_members
from ..core.tasks.pieces import in_pieces
from ..core.tasks.signatures import Signature
from ..core.training import batches
from . import builtin, config, data, logo, scores
from .model import build_model

AT_ONCE = 2**17  # bases that the network reads at once, where there are many sequences


class Dna(Classify):
    """See `Classify` and `Task`.

    `serving_default` gives, beside the label, how much every base speaks for it
    (`saliency`); the signature `mutate` what every possible replacement would change;
    `scan` the label of every window of a long sequence.
    """

    name = "dna"
    settings = config
    best = "accuracy"
    drawn = "mutate"
    writes = (*Classify.writes, *data.FASTA)

    def read(self):
        return data.read(self.config)

    def why_no_test(self):
        return data.why_no_test(self.config)

    def learn(self, train):
        """The labels, the window, and the widths to which sequences are padded."""
        lengths = np.array([len(sequence) for sequence in train["sequence"]])
        window = self.config.window or int(lengths.max())
        widths = tuple(batches.widths_for(lengths, few=True))
        assets = dataclasses.replace(super().learn(train).assets, widths=widths)
        return self.bound(dataclasses.replace(self.config, window=window), assets)

    def build_model(self):
        return build_model(self.config, self.assets)

    def augment(self, values, seed):
        """In training some bases are hidden: N in their place."""
        codes, share = values["sequence"], self.config.hidden
        if not share:
            return values
        hidden = tf.random.stateless_uniform(tf.shape(codes), seed) < share
        return {"sequence": tf.where(hidden & (codes != 0), ANY, codes)}

    def features(self, values):
        """`codes` int32 (batch, width)."""
        return batches.padded({"codes": values["sequence"]}, self.assets.widths)

    def targets(self, examples):
        return for_members(super().targets(examples), self.config.members)

    # Answers

    def respond(self, model, inputs, options):
        """`probabilities` float32 (batch, classes), the mean of the members'; `odds`
        float32 (batch,), the log-odds of the likeliest class; and `saliency` float32
        (batch, time): how much each base speaks for it,

            saliency_i = sum over bases b of (x_ib - 1/4) d log-odds / d x_ib

        which is, by the first order, what the log-odds would lose if nothing were known
        of that base.
        """
        rows, codes = one_more(inputs["codes"])
        bases, real = model.get_layer("bases")(codes), codes != 0
        with tf.GradientTape() as tape:
            tape.watch(bases)
            logits = model.get_layer("network")({"bases": bases, "real": real})
            log_p = log_mean(logits)
            odds = log_odds(log_p, tf.argmax(log_p, axis=-1))
        slopes = tf.cast(tape.gradient(odds, bases), tf.float32)
        saliency = tf.reduce_sum((tf.cast(bases, tf.float32) - 1 / 4) * slopes, axis=-1)
        return {
            "probabilities": tf.exp(log_p)[:rows],
            "odds": odds[:rows],
            "saliency": tf.where(real, saliency, 0.0)[:rows],
        }

    def answer(self, values, tensors, options):
        """As `Classify`, with `saliency` (batch, time), 0 behind a sequence's end."""
        answer = super().answer(values, tensors, options)
        return answer | {"saliency": tensors["saliency"]}

    def signatures(self):
        scanned = Sequence(config.EXAMPLES, config.SCANNED_AT_MOST)
        mutate = Signature(self.kinds(), self.respond_mutate, self.answer_mutate)
        scan = Signature(
            {"sequence": scanned},
            self.respond_scan,
            self.answer_scan,
            features=lambda values: {"codes": values["sequence"]},
        )
        return {"mutate": mutate, "scan": scan}

    def respond_mutate(self, model, inputs, options):
        """As `respond`, and `effect` float32 (batch, time, 4): by how much the log-odds
        of the likeliest class change where a base is replaced by A, C, G or T (in
        silico mutagenesis, Zhou & Troyanskaya 2015)."""
        rows, codes = one_more(inputs["codes"])
        tensors = self.respond(model, {"codes": codes}, options)
        best = tf.argmax(tensors["probabilities"], axis=-1)
        places = tf.where(codes != 0)  # (bases, 2): row and step

        def changed(indices):
            row, step = tf.unstack(tf.gather(places, indices // 4), axis=1)
            mutants = tf.where(
                tf.range(tf.shape(codes, tf.int64)[1]) == step[:, None],
                tf.bitwise.left_shift(1, indices % 4)[:, None],  # the code of the base
                tf.gather(codes, row),
            )
            log_p = log_mean(model({"codes": mutants})["logits"])
            before = tf.gather(tensors["odds"], row)
            return log_odds(log_p, tf.gather(best, row)) - before

        count = 4 * tf.shape(places)[0]
        effects = in_pieces(changed, count, at_once(tf.shape(codes)[1]), [])
        effects = tf.reshape(effects, [-1, 4])
        shape = tf.concat([tf.shape(codes, tf.int64), [4]], axis=0)
        tensors = tensors | {"effect": tf.scatter_nd(places, effects, shape)}
        return {name: tensor[:rows] for name, tensor in tensors.items()}

    def answer_mutate(self, values, tensors, options):
        """As `answer`, with `effect` (batch, time, 4) of `bases`, string (batch, 4)."""
        answer = self.answer(values, tensors, options)
        rows = tf.shape(tensors["effect"])[0]
        return answer | {
            "effect": tensors["effect"],
            "bases": tf.tile(tf.constant([[*"ACGT"]]), [rows, 1]),
        }

    def respond_scan(self, model, inputs, options):
        """`probabilities` float32 (batch, windows, classes) of every window of
        `config.window` bases, a `stride` of the options apart, and `real` bool (batch,
        windows): which lie inside their sequence. A shorter sequence is one window."""
        count, codes = one_more(inputs["codes"])
        size = self.config.window
        lengths = tf.reduce_sum(tf.cast(codes != 0, tf.int32), axis=1, keepdims=True)
        last = tf.maximum(lengths - size, 0)  # (batch, 1), where the last one begins
        most = tf.reduce_max(tf.concat([[[0]], last], axis=0))
        starts = tf.range(0, most + 1, options.stride)[None]  # (1, windows)
        real = starts <= last
        places = tf.where(real)  # (real windows, 2)
        codes = tf.pad(codes, [[0, 0], [0, size]])

        def read(indices):
            row, window = tf.unstack(tf.gather(places, indices), axis=1)
            start = tf.gather(starts[0], window)[:, None]
            steps = tf.cast(start + tf.range(size)[None], tf.int64)
            rows = tf.broadcast_to(row[:, None], tf.shape(steps))
            windows = tf.gather_nd(codes, tf.stack([rows, steps], axis=-1))
            return tf.exp(log_mean(model({"codes": windows})["logits"]))

        classes = len(self.assets.labels)
        found = in_pieces(read, tf.shape(places)[0], at_once(size), [classes])
        shape = tf.concat([tf.shape(real, tf.int64), [classes]], axis=0)
        probabilities = tf.scatter_nd(places, found, shape)
        return {"probabilities": probabilities[:count], "real": real[:count]}

    def answer_scan(self, values, tensors, options):
        """Of every window: `start` int32 (batch, windows), counted from 0; `label`,
        `score` and `probabilities` (batch, windows, classes), empty and 0 behind the
        last one; `windows` int32 (batch,), how many there are; `labels`."""
        real, probabilities = tensors["real"], tensors["probabilities"]
        labels = tf.constant(self.assets.labels)
        label = tf.gather(labels, tf.argmax(probabilities, axis=-1))
        start = tf.range(tf.shape(real)[1])[None] * options.stride
        return {
            "start": tf.where(real, start, 0),
            "label": tf.where(real, label, ""),
            "score": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
            "labels": tf.tile(labels[None], [tf.shape(real)[0], 1]),
            "windows": tf.reduce_sum(tf.cast(real, tf.int32), axis=1),
        }

    def readable(self, request, row):
        """As `Task.readable`, without what is behind the end of a sequence."""
        if "windows" in row:
            behind = int(row["windows"])
            cut = ("start", "label", "score", "probabilities")
        else:
            behind = len(self.kinds()["sequence"].letters(request["sequence"])[0])
            cut = ("saliency", "effect")
        row = {k: v[:behind] if k in cut else v for k, v in row.items()}
        return super().readable(request, row)

    def show(self, answer):
        """In a line; of `mutate` with the mutations that change most, of `scan` the
        surest windows."""
        if "effect" in answer:
            return f"{super().show(answer)}; {strongest_mutations(answer)}"
        if "windows" not in answer:
            return super().show(answer)
        labels, score = np.array(answer["label"]), answer["score"]
        surest = []
        for label in np.unique(labels):
            at = int(np.argmax(np.where(labels == label, score, -1)))
            start = answer["start"][at] + 1
            surest.append(f"{label} ({score[at]:.2f}) from base {start}")
        return f"{answer['windows']} windows; the surest: {', '.join(surest)}"

    def draw(self, requests, answers):
        """Letters as high as their saliency, and a map of all mutations below."""
        kind, rows = self.kinds()["sequence"], []
        for request, answer in zip(requests, answers, strict=True):
            if not answer["ok"]:
                continue
            if "effect" not in answer:
                raise UserError("--plot draws what --signature mutate answers.")
            value = request["sequence"] if isinstance(request, dict) else request
            title = f"{kind.name_of(value)} {super().show(answer)}".strip()
            rows.append((kind.letters(value)[0], answer, title))
        if not rows:
            raise UserError("No sequence could be read, so there is nothing to draw.")
        return logo.figure(rows)

    def write(self, path, kinds, requests, answers, given):
        """As `Task.write`; `.fasta`, `.fa` and `.fna` get the class behind the name."""
        if pathlib.Path(path).suffix.lower() not in data.FASTA:
            super().write(path, kinds, requests, answers, given)
            return
        kind, records = kinds["sequence"], []
        for i, (request, answer) in enumerate(zip(requests, answers, strict=True), 1):
            if answer["ok"]:
                name = kind.name_of(request["sequence"]) or f"sequence_{i}"
                header = f"{name}{self.config.label_separator}{answer['label']}"
                records.append((header, kind.letters(request["sequence"])[0]))
        write_text(path, fasta.write(records))

    # Figures

    def measure(self, answers, examples):
        """As `Classify`, and `scores.of_labels`. Of builtin sequences also `ceiling`,
        the accuracy of who knows how they were drawn, and `on_motif`, the share of the
        saliency that lies on bases of motifs, which are `motif_share` of all."""
        figures = super().measure(answers, examples)
        labels = examples["label"]
        figures |= scores.of_labels(answers, labels, self.assets.labels)
        if "planted" in examples:
            figures["ceiling"] = builtin.ceiling(examples["sequence"], labels)
            planted = [[base == "+" for base in row] for row in examples["planted"]]
            figures |= scores.on_motif(answers, planted)
        return figures

    def describe(self, splits):
        train, test = splits.train, splits.test
        every = [
            pair
            for part in (train, splits.validation, test)
            for pair in zip(part["sequence"], part["label"], strict=True)
        ]
        lengths = [len(sequence) for sequence, _ in every]
        different = len({sequence for sequence, _ in every})
        facts = {
            "lies in": lies_in(self.config, builtin="made by every command"),
            "labels in training": self.labels_shown(train),
            "bases": f"{min(lengths)} to {max(lengths)} a sequence",
            "different sequences": f"{different} of {len(every)}, "
            f"{len(set(every)) - different} with several labels",
        }
        if len(test):
            right = scores.naive_bayes(train, test)
            if right is not None:
                facts["naive Bayes by places"] = f"{right:.1f} % accuracy"
        if len(test) and "planted" in test:
            sequences = test["sequence"]
            expected = 100 * builtin.posterior(sequences).max(axis=1).mean()
            facts["ceiling"] = (
                f"{builtin.ceiling(sequences, test['label']):.1f} % accuracy on the "
                f"test split by the exact probabilities, {expected:.1f} % expected"
            )
        return facts


def one_more(codes):
    """How many rows codes (batch, time) have; and they with a row of one N behind them:
    of no rows TensorFlow's convolutions and loops give wrong shapes."""
    row = ANY * tf.one_hot([0], tf.shape(codes)[1], dtype=codes.dtype)
    return tf.shape(codes)[0], tf.concat([codes, row], axis=0)


def log_mean(logits):
    """Logits (batch, members, classes) -> the logarithm of the mean of the members'
    probabilities, float32 (batch, classes)."""
    each = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    members = tf.cast(tf.shape(each)[1], tf.float32)
    return tf.reduce_logsumexp(each, axis=1) - tf.math.log(members)


def log_odds(log_p, labels):
    """log p - log (1 - p) of a label (batch,) each, float32 (batch,).

    1 - p is the sum of the others: of an answer that is sure, p itself is 1 in float32,
    without a slope.
    """
    is_label = tf.one_hot(labels, tf.shape(log_p)[1], True, False, dtype=tf.bool)
    others = tf.reduce_logsumexp(tf.where(is_label, -1e9, log_p), axis=-1)
    return tf.gather(log_p, labels, batch_dims=1) - others


def strongest_mutations(answer, most=3):
    """Of an answer of `mutate`, the mutations whose effect is the greatest, whatever
    its sign, one a base, for people."""
    effect = np.array(answer["effect"])  # (bases, 4)
    best = np.abs(effect).argmax(axis=1)
    sizes = np.abs(effect).max(axis=1)
    named = [
        f"base {i + 1} as {answer['bases'][best[i]]} {effect[i, best[i]]:+.2f}"
        for i in np.argsort(-sizes, kind="stable")[:most]
    ]
    return f"the strongest mutations: {', '.join(named)}"


def at_once(width):
    """How many sequences of a width are read at once."""
    return AT_ONCE // tf.maximum(width, 1)


task_for = Dna
