"""The task of captioning: a picture goes in, a sentence comes out."""

import tensorflow as tf

from ...layers import Reinforce
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.inputs.kinds import as_request
from ..core.inputs.tokenizer import Tokenizer, normalised_for_scores
from ..core.report import plot
from ..core.report.metrics import attention_on_objects, caption_metrics
from ..core.tasks.backbones import encode, frozen_backbone, kept_of
from ..core.tasks.tell import Tell
from ..core.training import devices
from . import config
from .data import load_data, why_no_test
from .model import build_model

DRAWN_SIZE = 256  # pixels of a picture under its maps, more than the network sees


class Captioning(Tell):
    """See `Tell` and `Task`."""

    name = "captioning"
    settings = config
    text, references = "caption", "captions"

    def read(self):
        return load_data(self.config)

    def why_no_test(self):
        return why_no_test(self.config)

    def build_model(self):
        return build_model(self.config, self.assets)

    # Training

    def augment(self, values, seed):
        shift, zoom = self.config.shift, self.config.zoom
        return {"image": pictures.shift_and_zoom(values["image"], shift, zoom, seed)}

    def frozen(self, model):
        return frozen_backbone(self.config, model)

    def trainer(self, model):
        """The model; with hard attention it has the loss of REINFORCE besides."""
        if self.config.attention != "hard":
            return model
        if devices.several(model.distribute_strategy):
            raise UserError(
                "--attention hard trains on one device: its moving baseline and its "
                "draws are not shared among replicas. Train it with --strategy none, "
                "or take --attention soft."
            )
        model.reinforce = Reinforce(self.config.reinforce, self.config.entropy)
        # Its baseline must be there before the first step: a checkpoint is read into
        # what a model has, and timed steps are undone in it.
        model.reinforce.build((None,))
        return model

    def rank(self, figures):
        # chrF moves with every letter, exact match by whole pictures; their sum ranks
        # rounds that one of them alone would call equal.
        return figures["exact_match"] + figures["chrf"]

    # Answers

    def memory(self, model, inputs):
        return encode(model.get_layer("encoder"), inputs["image"]), None

    def exported(self):
        return self.Options(beam=self.config.serve_beam)

    def measure(self, answers, examples):
        """Figures of captions; where the data names the boxes of its objects (builtin),
        also how much of the attention lies on the object that is being named:
        `attention_on_object` is the share of the map inside its box, `object_area` the
        box's share of the picture, `attention_ratio` the quotient of the two.

        Raises:
            UserError: a picture of the examples cannot be read.
        """
        for answer, picture in zip(answers, examples["image"], strict=True):
            if not answer["ok"]:
                raise UserError(f"The picture {picture!r:.99} {answer['error']}.")
        units = "characters" if self.config.tokenizer == "characters" else "words"
        captions = [answer["caption"] for answer in answers]
        captions = normalised_for_scores(captions, units)
        references = [normalised_for_scores(c, units) for c in examples["captions"]]
        figures = caption_metrics(captions, references, units)
        if "boxes" in examples and self.config.attention != "none":
            figures |= attention_on_objects(answers, examples["boxes"])
        return {**figures, "pictures": len(answers)}

    def draw(self, requests, answers):
        """Every picture once per word, with where the network looked for it."""
        rows, kinds = [], self.kinds()
        for request, answer in zip(requests, answers, strict=True):
            if "attention" not in answer:
                raise UserError(
                    "--plot draws where the network looked, but this model was trained "
                    "with --attention=none. Train one with --attention=soft or hard."
                )
            if not answer["ok"]:
                continue
            content, _ = kinds["image"].encode(as_request(kinds, request)["image"])
            pixels, _ = pictures.decoder(DRAWN_SIZE)(tf.constant([content]))
            pieces = answer["pieces"][:-1]  # the last one is <end>
            rows.append((pixels[0].numpy(), pieces, answer["attention"][: len(pieces)]))
        if not rows:
            raise UserError("No picture could be read, so there is nothing to draw.")
        return plot.attention_sheet(rows)

    def example_row(self, examples, i):
        picture = examples["image"][i]
        name = f"picture {i}" if isinstance(picture, bytes) else picture
        return f"{name}: {examples['captions'][i][0]}"

    def describe(self, splits):
        sentences = [text for c in splits.train["captions"] for text in c]
        tokenizer = Tokenizer.build(sentences)
        lengths = tokenizer.lengths(sentences)
        return {
            "lies in": lies_in(self.config, builtin="drawn by every command"),
            "captions": len(sentences),
            "words": len(tokenizer.own),
            "longest caption": f"{max(lengths)} words",
            "mean caption": f"{sum(lengths) / len(lengths):.1f} words",
            "while training": kept_of(self.config, len(splits.train)),
        }


task_for = Captioning
