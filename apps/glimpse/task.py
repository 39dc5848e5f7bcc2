"""The task of glimpse: a picture goes in, its label comes out, after some looks."""

import tensorflow as tf

from ...layers.decoding import uniform
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.inputs.kinds import as_request
from ..core.tasks.classify import Classify, for_members
from . import config, data, drawing, features
from .model import build_model


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
        return build_model(self.config, self.assets)

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
        looks = self.config.glimpses
        pairs = for_members(super().targets(examples), looks)
        pairs.weights["logits"][:, : looks - 1] *= self.config.earlier
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


task_for = Glimpse
