"""The task of sentiment: a text goes in, its label comes out."""

import collections
import dataclasses

import numpy as np
import tensorflow as tf

from ..core.data.places import lies_in
from ..core.inputs.tokenizer import learn_tokenizer
from ..core.tasks.classify import Classes, Classify
from ..core.training import batches
from . import bag_of_words, config, data
from .model import build_model


class Sentiment(Classify):
    """See `Classify` and `Task`."""

    name = "sentiment"
    settings = config
    best = "macro_f1"

    def read(self):
        return data.read(self.config)

    def why_no_test(self):
        return data.why_no_test(self.config)

    def learn(self, train):
        """The labels, the tokenizer, the longest text, and the widths of texts."""
        config = self.config
        labels = super().learn(train).assets.labels
        tokenizer = learn_tokenizer(train["text"], config)
        lengths = np.array(tokenizer.lengths(train["text"])) + 1  # with <end>
        longest = int(min(lengths.max(), config.max_length or lengths.max()))
        widths = batches.widths_for(np.minimum(lengths, longest), few=True)
        return self.bound(
            dataclasses.replace(config, max_length=longest),
            Classes(labels, tokenizer, tuple(widths)),
        )

    def build_model(self):
        return build_model(self.config, self.assets)

    def features(self, values):
        """`tokens` int32 (batch, width), <end> behind each text: so none is empty. Few
        widths, or `serving_xla` would compile for every other length."""
        ids, lengths = self.assets.tokenizer.encode(values["text"], end=True)
        tokens = shortened(ids, lengths, self.config.max_length)
        return batches.padded({"tokens": tokens}, self.assets.widths)

    def describe(self, splits):
        train, test, assets = splits.train, splits.test, self.assets
        counts = collections.Counter(train["label"])
        facts = {
            "lies in": lies_in(self.config, builtin="made by every command"),
            "labels": ", ".join(f"{label} {counts[label]}" for label in assets.labels),
            "tokens": len(assets.tokenizer.own),
            "longest text": f"{self.config.max_length - 1} tokens",
        }
        if len(test):
            facts["bag of words"] = f"{self.bag_of_words(train, test):.1f} % accuracy"
        return facts

    def bag_of_words(self, train, test):
        """The accuracy on `test`, in percent, of who knows the words of a text and not
        their order."""
        tokenizer, labels = self.assets.tokenizer, list(self.assets.labels)
        known = [i for i, label in enumerate(test["label"]) if label in labels]
        share = len(known) / len(test)  # a label that training lacks is never answered
        right = bag_of_words.accuracy(
            tokenizer.ids(train["text"]),
            [labels.index(label) for label in train["label"]],
            tokenizer.ids([test["text"][i] for i in known]),
            [labels.index(test["label"][i]) for i in known],
        )
        return share * right


def shortened(ids, lengths, most):
    """Ids (batch, time) with `most` steps at most: of a text that is longer, its
    beginning and its end, half and half."""
    places = tf.range(tf.minimum(tf.shape(ids)[1], most))[None]  # (1, width)
    left_out = tf.maximum(lengths - most, 0)[:, None]  # (batch, 1)
    places = tf.where(places < most // 2, places, places + left_out)
    return tf.gather(ids, places, batch_dims=1)


task_for = Sentiment
