"""Classify: one label of several comes out."""

import collections
import dataclasses
import itertools
import json
import logging
import typing

import numpy as np
import tensorflow as tf

from ..data.labelled import labels_in
from ..errors import UserError
from ..inputs.tokenizer import Tokenizer
from ..report.metrics import label_metrics
from ..settings.json_text import read_json
from ..training.losses import TokenLoss
from .task import Pairs, Task

log = logging.getLogger("saccade")

SHOWN = 20  # labels that people are shown at most
NAMED = 5  # labels at most, in a warning


@dataclasses.dataclass(frozen=True)
class Classes:
    """What is learned before there is a model.

    labels: in the order of the probabilities.
    tokenizer: of texts; None where the inputs are no texts.
    widths: to which texts are padded, growing, see `training.batches.padded`.
    """

    labels: tuple[str, ...]
    tokenizer: Tokenizer | None = None
    widths: tuple[int, ...] = ()

    def to_json(self):
        """JSON text from which `from_json` makes the same."""
        tokenizer = self.tokenizer.to_json() if self.tokenizer else ""
        saved = {"labels": self.labels, "tokenizer": tokenizer, "widths": self.widths}
        return json.dumps(saved, ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        saved = read_json(text, {"labels": [str], "tokenizer": str, "widths": [int]})
        tokenizer = saved["tokenizer"]
        return cls(
            tuple(saved["labels"]),
            Tokenizer.from_json(tokenizer) if tokenizer else None,
            tuple(saved["widths"]),
        )


def for_members(pairs, members):
    """`Pairs` of a model whose output has a second axis, its members: each learns the
    same by itself."""

    def repeated(columns):
        return {
            name: np.repeat(column[:, None], members, axis=1)
            for name, column in columns.items()
        }

    return dataclasses.replace(
        pairs, targets=repeated(pairs.targets), weights=repeated(pairs.weights)
    )


class Classify(Task):
    """A family of tasks whose answer is a label.

    Its config has `label_smoothing` and `class_weights`; its assets are `Classes`; its
    model has the output `logits` (batch, classes).

    Attributes of a subclass:
        references: the column of the right labels, str.
    """

    references = "label"
    likeliest = "the likeliest"  # what an answer is, for people
    in_words: typing.ClassVar = {
        "accuracy": "accuracy {:.1f} %",
        "macro_f1": "macro F1 {:.1f} %",
    }

    def learn(self, train):
        """The labels; a task of texts learns its tokenizer besides."""
        counts, rows = self.counted(train), len(train)
        if rows >= SHOWN and len(counts) > rows / 2:
            log.warning(
                "There are %d labels in %d rows of the training split, most of them in "
                "one row only. Is --label-column the column of the labels?",
                len(counts),
                rows,
            )
        return self.bound(assets=Classes(labels_in(counts)))

    def counted(self, examples):
        """How often each label occurs in examples: `collections.Counter`."""
        cells = map(self.labels_of, examples[self.references])
        return collections.Counter(itertools.chain(*cells))

    def labels_shown(self, train):
        """The labels with how often they occur in the training split, for people."""
        counts = self.counted(train)
        some = self.assets.labels[:SHOWN]
        named = [f"{label} ({counts[label]})" for label in some]
        more = len(self.assets.labels) - len(some)
        return ", ".join(named) + (f" and {more} more" if more else "")

    def labels_of(self, cell):
        """The labels that a cell of the data holds: list of str."""
        return [cell]

    def assets_from_json(self, text):
        return Classes.from_json(text)

    def targets(self, examples):
        labels = examples[self.references]
        ids = {label: i for i, label in enumerate(self.assets.labels)}
        counts = collections.Counter(labels)
        weights = dict.fromkeys(labels, 1.0)
        if self.config.class_weights == "balanced":
            weights = {c: len(labels) / (len(ids) * counts[c]) for c in counts}
        return Pairs(
            owner=np.arange(len(labels)),
            targets={"logits": np.array([ids[label] for label in labels], np.int32)},
            weights={"logits": np.array([weights[c] for c in labels], np.float32)},
        )

    def loss(self):
        return {"logits": TokenLoss(self.config.label_smoothing)}

    def respond(self, model, inputs, options):
        """`probabilities` float32 (batch, classes)."""
        logits = model(inputs, training=False)["logits"]
        return {"probabilities": self.probabilities(tf.cast(logits, tf.float32))}

    def probabilities(self, logits):
        """Of float32 logits, of the same shape."""
        return tf.nn.softmax(logits)

    def answer(self, values, tensors, options):
        """`label`, string (batch,), the likeliest; `score` float32 (batch,), its
        probability; `probabilities` (batch, classes) of `labels`, string (batch,
        classes), which are the same in every row: a client need not know them."""
        probabilities = tensors["probabilities"]
        labels = tf.constant(self.assets.labels)
        rows = tf.shape(probabilities)[0]
        return {
            "label": self.label(probabilities, options),
            "score": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
            "labels": tf.tile(labels[None], [rows, 1]),
        }

    def label(self, probabilities, options):
        """What is answered: string (batch,)."""
        return tf.gather(self.assets.labels, tf.argmax(probabilities, axis=-1))

    def remark(self, examples):
        """Which labels of examples the model does not know."""
        counts = self.counted(examples)
        unknown = [
            (label, count)
            for label, count in counts.most_common()
            if label not in self.assets.labels
        ]
        if not unknown:
            return ""
        named = ", ".join(f"{label!r} ({count})" for label, count in unknown[:NAMED])
        if len(unknown) > NAMED:
            named += f" and {len(unknown) - NAMED} more"
        return (
            f"Of {len(examples)} examples some have labels that were not in training, "
            f"and no answer can be right there: {named}."
        )

    def measure(self, answers, examples):
        """Figures of labels, see `label_metrics`.

        Raises:
            UserError: an example cannot be read.
        """
        for i, answer in enumerate(answers):
            if not answer["ok"]:
                raise UserError(f"Example {i}: {answer['error']}.")
        figures = self.figures(answers, examples[self.references])
        classes = len(self.assets.labels)
        measured_on = f"{len(answers)} examples, {self.likeliest} of {classes} labels"
        return {**figures, "measured_on": measured_on}

    def figures(self, answers, references):
        return label_metrics(
            [answer["label"] for answer in answers],
            references,
            [answer["score"] for answer in answers],
        )

    def show(self, answer):
        return f"{answer['label'] or 'no label'}  ({answer['score']:.2f})"
