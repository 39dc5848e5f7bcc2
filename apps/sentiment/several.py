"""Texts that may have several labels at once, or none: each is answered by itself."""

import keras
import numpy as np
import tensorflow as tf

from ..core.tasks.classify import Classify
from ..core.tasks.task import Pairs


class SeveralLabels(Classify):
    """As `Classify`, with a sigmoid for each label in the place of a softmax.

    The label of an answer is that of a table: all labels that have the probability
    `threshold` (0.5 where it is 0), with `label_separator` between, perhaps none.
    """

    likeliest = "each label from its threshold on"

    def labels_of(self, cell):
        parts = cell.split(self.config.label_separator)
        return [part.strip() for part in parts if part.strip()]

    def targets(self, examples):
        chosen = self.chosen(examples[self.references])
        return Pairs(
            np.arange(len(chosen)),
            {"logits": chosen.astype(np.float32)},
            weights={"logits": np.ones(len(chosen), np.float32)},
        )

    def chosen(self, cells):
        """Bool (rows, classes): which labels each of the cells names."""
        rows = [set(self.labels_of(cell)) for cell in cells]
        return np.array(
            [[label in row for label in self.assets.labels] for row in rows]
        )

    def loss(self):
        smoothing = 2 * self.config.label_smoothing  # Keras smooths to a half
        return {
            "logits": keras.losses.BinaryCrossentropy(
                from_logits=True, label_smoothing=smoothing
            )
        }

    def probabilities(self, logits):
        return tf.sigmoid(logits)

    def label(self, probabilities, options):
        threshold = tf.where(options.threshold > 0, options.threshold, 0.5)
        labels = tf.broadcast_to(self.assets.labels, tf.shape(probabilities))
        chosen = tf.ragged.boolean_mask(labels, probabilities >= threshold[:, None])
        return tf.strings.reduce_join(
            chosen, axis=1, separator=self.config.label_separator
        )

    def figures(self, answers, references):
        """In percent: accuracy, all labels right; macro_f1, micro_f1; majority, the
        accuracy of the commonest set of labels; per label as in `label_metrics`."""
        from sklearn.metrics import precision_recall_fscore_support

        answered = self.chosen([answer["label"] for answer in answers])
        truths = self.chosen(references)
        scores = {
            how: precision_recall_fscore_support(
                truths, answered, average=how, zero_division=0
            )
            for how in ("macro", "micro", None)
        }
        _, counts = np.unique(truths, axis=0, return_counts=True)
        each = (100 * np.array(scores[None][:3])).T.tolist()
        return {
            "accuracy": 100 * float(np.mean((answered == truths).all(axis=1))),
            "macro_f1": 100 * float(scores["macro"][2]),
            "micro_f1": 100 * float(scores["micro"][2]),
            "majority": 100 * float(counts.max() / len(truths)),
            "classes": {
                label: dict(zip(("precision", "recall", "f1"), row, strict=True))
                for label, row in zip(self.assets.labels, each, strict=True)
            },
        }
