"""The task of glimpse: a picture goes in, its label comes out, after some looks."""

import typing

import numpy as np
import tensorflow as tf

from ...layers.decoding import uniform
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.inputs.kinds import as_request
from ..core.tasks.classify import Classify, for_members
from ..core.tasks.task import Pairs
from . import config, data, drawing, features
from .model import build_model
from .scores import sequence_metrics


class Glimpse(Classify):
    """See `Classify` and `Task`."""

    name = "glimpse"
    settings = config
    validated_at_most = 3000  # of easy pictures; 500 would hardly tell two rounds apart
    animates = True

    def read(self):
        return data.read(self.config, self.kinds()["image"])

    def why_no_test(self):
        return data.why_no_test(self.config)

    def build_model(self):
        return build_model(self.config, self.looks, len(self.assets.labels))

    @property
    def looks(self):
        """At a picture."""
        return self.config.glimpses

    def augment(self, values, seed):
        """In training pictures are turned and slanted."""
        if not self.config.turn:
            return values
        return {"image": pictures.turned(values["image"], self.config.turn, seed)}

    def features(self, values):
        """`image` float32 (batch, size, size, 1), see features.py."""
        return {"image": features.as_seen(values["image"])}

    # Training

    def targets(self, examples):
        """The label is right after every look; the last counts most."""
        pairs = for_members(super().targets(examples), self.looks)
        pairs.weights["logits"][:, : self.looks - 1] *= self.config.earlier
        return pairs

    def trainer(self, model):
        model.settings = self.config
        return model

    # Answers

    def respond(self, model, inputs, options):
        """`probabilities` float32 (batch, classes), after the last look; `path` float32
        (batch, looks, 2) and `beliefs` float32 (batch, looks, classes), where it looked
        and what it believed after that. Of several paths the beliefs are means, and the
        path is the first."""

        def head(looks):
            logits = tf.cast(model.get_layer("logits")(looks["outputs"]), tf.float32)
            return tf.nn.softmax(logits)

        path, beliefs = mean_over_paths(
            model.get_layer("glimpses"),
            inputs["image"],
            options,
            head,
            always_drawn=self.config.policy == "random",
        )
        return {"probabilities": beliefs[:, -1], "path": path, "beliefs": beliefs}

    def answer(self, values, tensors, options):
        """As `Classify`; and `path` float32 (batch, looks, 2), where it looked, x to
        the right and y downwards, from -1 to 1 across the picture; `scores` float32
        (batch, looks, classes), what it believed after each look."""
        return {
            **super().answer(values, tensors, options),
            "path": tensors["path"],
            "scores": tensors["beliefs"],
        }

    def draw(self, requests, answers):
        """The looks one after the other, see drawing.py."""
        rows, kind = [], self.kinds()["image"]
        for request, answer in zip(requests, answers, strict=True):
            if answer["ok"]:
                content, _ = kind.encode(as_request(self.kinds(), request)["image"])
                rows.append((self.seen(content), answer))
        if not rows:
            raise UserError("No picture could be read, so there is nothing to draw.")
        return drawing.animation(self.config, rows)

    def seen(self, content):
        """What the sensor sees parts of, float32 (size, size)."""
        pixels, _ = pictures.decoder(self.config.image_size)(tf.constant([content]))
        return features.as_seen(pixels)[0, :, :, 0].numpy()

    def example_row(self, examples, i):
        return f"{examples['name'][i]}: {examples['label'][i]}"

    def describe(self, splits):
        return {
            "lies in": lies_in(self.config, builtin="drawn by every command"),
            "labels in training": self.labels_shown(splits.train),
            "while training": pictures.kept_in(
                len(splits.train), self.config.image_size
            ),
        }


class Several(Glimpse):
    """Several digits, read one after the other until the network says that there are no
    more (Ba et al. 2015, "Multiple object recognition with visual attention").

    `glimpses` looks go to each digit and to the end, which is one class more.
    """

    in_words: typing.ClassVar = {
        "accuracy": "whole sequences {:.1f} % right",
        "count_accuracy": "counts {:.1f} %",
    }

    def labels_of(self, cell):
        return list(cell)

    @property
    def looks(self):
        return self.config.glimpses * (self.config.digits + 1)

    def build_model(self):
        return build_model(self.config, self.looks, len(self.assets.labels) + 1)

    def targets(self, examples):
        """The digits from left to right, then the end; nothing counts behind it."""
        ids = {label: i for i, label in enumerate(self.assets.labels)}
        most = self.config.digits + 1
        targets = np.full((len(examples), most), len(ids), np.int32)
        weights = np.zeros((len(examples), most), np.float32)
        for row, cell in enumerate(examples[self.references]):
            targets[row, : len(cell)] = [ids[label] for label in self.labels_of(cell)]
            weights[row, : len(cell) + 1] = 1.0
        every = self.config.glimpses
        targets, weights = (np.repeat(a, every, axis=1) for a in (targets, weights))
        last = np.arange(self.looks) % every == every - 1
        weights[:, ~last] *= self.config.earlier
        return Pairs(
            owner=np.arange(len(examples)),
            targets={"logits": targets},
            weights={"logits": weights},
        )

    def respond(self, model, inputs, options):
        """As `Glimpse`, but `probabilities` float32 (batch, digits + 1, classes + 1),
        of every digit after the last look at it, and of the end, the last class."""
        tensors = super().respond(model, inputs, options)
        every = self.config.glimpses
        return tensors | {"probabilities": tensors["beliefs"][:, every - 1 :: every]}

    def answer(self, values, tensors, options):
        """`text` string (batch,), the digits; `length` int32 (batch,), how many;
        `score` float32 (batch,), the probability of all of them and of the end;
        `stop_scores` float32 (batch, digits + 1), that of the end after so many digits;
        `path` and `scores` as in `Glimpse`, `labels` string (batch, classes + 1), the
        end as an empty one."""
        probabilities = tensors["probabilities"]
        likeliest = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        end = len(self.assets.labels)
        ended = tf.cumsum(tf.cast(likeliest == end, tf.int32), axis=1)
        labels = tf.constant([*self.assets.labels, ""])
        # The end itself is the first place where it is counted.
        first = (likeliest == end) & (ended == 1)
        best = tf.reduce_max(probabilities, axis=-1)
        return {
            "text": tf.strings.reduce_join(
                tf.where(ended == 0, tf.gather(labels, likeliest), ""), axis=1
            ),
            "length": tf.reduce_sum(tf.cast(ended == 0, tf.int32), axis=1),
            "score": tf.reduce_prod(tf.where((ended == 0) | first, best, 1.0), axis=1),
            "stop_scores": probabilities[:, :, end],
            "path": tensors["path"],
            "scores": tensors["beliefs"],
            "labels": tf.tile(labels[None], [tf.shape(best)[0], 1]),
        }

    def figures(self, answers, references):
        return sequence_metrics([answer["text"] for answer in answers], references)

    def show(self, answer):
        return f"{answer['text'] or 'no digit'}  ({answer['score']:.2f})"


def mean_over_paths(looking, image, options, head, always_drawn):
    """Look along one path without noise, or along several that are drawn.

    Args:
        looking: the `GlimpseRNN`. image: (batch, size, size, 1).
        options: `samples` and `seed`, int32 (batch,) each: a row's paths depend on its
            own seed alone.
        head: function of what `looking` gives -> float32 (batch, ...), whose mean over
            the paths is wanted. always_drawn: one path has noise, too.

    Returns:
        the first path, float32 (batch, looks, 2); the mean.
    """
    rows, count = tf.shape(image)[0], looking.glimpses
    # A server does not check what is asked for.
    samples = tf.clip_by_value(options.samples, 1, config.MOST_SAMPLES)
    drawn = (samples > 1) | always_drawn

    def look(i):
        seeds = tf.stack([options.seed, tf.fill([rows], i)], axis=1)
        share = tf.clip_by_value(uniform(2 * count, seeds), 1e-6, 1 - 1e-6)
        noise = tf.math.ndtri(tf.reshape(share, [-1, count, 2]))
        noise = tf.where(drawn[:, None, None], noise, 0.0)
        looks = looking(image, noise=noise, training=False)
        return looks["locations"], head(looks)

    path, first = look(0)
    most = tf.reduce_max(tf.concat([samples, [1]], axis=0))

    def body(i, total):
        _, found = look(i)
        wanted = tf.reshape(i < samples, [-1] + [1] * (found.shape.rank - 1))
        total += tf.where(wanted, found, 0.0)
        return i + 1, tf.ensure_shape(total, first.shape)

    _, total = tf.while_loop(lambda i, _: i < most, body, (1, first))
    shares = tf.cast(samples, tf.float32)
    return path, total / tf.reshape(shares, [-1] + [1] * (first.shape.rank - 1))


def task_for(config, assets=None):
    """The task that reads the scene."""
    task = Several if config.scene == "several" else Glimpse
    return task(config, assets)
