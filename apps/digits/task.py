"""The task of digits: a picture goes in, its label comes out."""

import tensorflow as tf

from ...layers import Scharr, Sobel
from ..core.data.labelled_pictures import why_no_test
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.inputs.kinds import as_request
from ..core.tasks.backbones import encode
from ..core.tasks.classify import Classify
from ..core.tasks.signatures import Signature
from . import config, data, features, gallery
from .model import build_model


class Digits(Classify):
    """See `Classify` and `Task`."""

    name = "digits"
    settings = config
    validated_at_most = 3000  # of easy pictures; 500 would hardly tell two rounds apart

    def read(self):
        return data.read(self.config, self.kinds()["image"])

    def why_no_test(self):
        return why_no_test(self.config)

    def build_model(self):
        return build_model(self.config, self.assets)

    def augment(self, values, seed):
        """In training pictures are turned and slanted."""
        if not self.config.turn:
            return values
        return {"image": pictures.turned(values["image"], self.config.turn, seed)}

    def features(self, values):
        """`image` float32 (batch, side, side, channels), see features.py."""
        return {"image": features.as_seen(self.config, values["image"])}

    # Answers

    def respond(self, model, inputs, options):
        """As `Classify`, of no rows too."""
        logits = encode(model, inputs)["logits"]
        return {"probabilities": self.probabilities(tf.cast(logits, tf.float32))}

    def signatures(self):
        """`filters`: the edges of the picture that the network sees."""
        kinds = self.kinds()
        return {"filters": Signature(kinds, self.respond_filters, self.answer_filters)}

    def respond_filters(self, model, inputs, options):
        grey = tf.reduce_mean(inputs["image"], axis=-1, keepdims=True)
        edges = {
            "sobel": Sobel(),
            "scharr": Scharr(),
            "magnitude": Sobel(output="magnitude"),
        }
        return {name: layer(grey)[:, :, :, 0] for name, layer in edges.items()}

    def answer_filters(self, values, tensors, options):
        """`sobel` and `scharr` float32 (batch, side, side, 2), the gradient, downwards
        and to the right; `magnitude` float32 (batch, side, side), of Sobel's."""
        return tensors

    def show(self, answer):
        if "magnitude" in answer:
            side, edge = len(answer["magnitude"]), answer["magnitude"].max()
            return f"edges of {side} x {side} pixels, the steepest {edge:.1f}"
        return super().show(answer)

    def draw(self, requests, answers):
        """Every picture as the network saw it, beside how likely each label is."""
        rows, kind = [], self.kinds()["image"]
        for request, answer in zip(requests, answers, strict=True):
            if "label" not in answer:
                raise UserError("--plot draws what serving_default answers.")
            if answer["ok"]:
                content, _ = kind.encode(as_request(self.kinds(), request)["image"])
                rows.append((self.seen([content])[0], answer))
        if not rows:
            raise UserError("No picture could be read, so there is nothing to draw.")
        return gallery.figure(rows)

    def seen(self, contents):
        """What the network sees of encoded pictures, float32 (n, side, side,
        channels)."""
        pixels, _ = pictures.decoder(self.config.image_size)(tf.constant(contents))
        return self.features({"image": pixels})["image"].numpy()

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


task_for = Digits
