"""The task of sentiment: a text goes in, its label comes out."""

import dataclasses

import numpy as np
import tensorflow as tf

from ..core.data.places import lies_in
from ..core.inputs.tokenizer import learn_tokenizer
from ..core.report import html, plot
from ..core.report.metrics import many_labels
from ..core.tasks.classify import Classes, Classify, for_members
from ..core.tasks.signatures import Signature
from ..core.training import batches
from . import config, data, explain
from .model import TOPIC_TOKENS, build_model
from .several import SeveralLabels
from .warm_start import start_from

# What an answer has per token.
BY_TOKEN = ("tokens", "start", "end", "attention", "occlusion", "after")


class Sentiment(Classify):
    """See `Classify` and `Task`."""

    name = "sentiment"
    settings = config
    best = "macro_f1"
    drawn = "explain"

    def read(self):
        return data.read(self.config)

    def why_no_test(self):
        return data.why_no_test(self.config)

    def learn(self, train):
        """The labels, the tokenizer, the longest text, and the widths of texts."""
        config, texts = self.config, self.prepared(train["text"])
        labels = super().learn(train).assets.labels
        tokenizer = learn_tokenizer(texts, config)
        lengths = np.array(tokenizer.lengths(texts)) + 1  # with <end>
        longest = int(min(lengths.max(), config.max_length or lengths.max()))
        widths = batches.widths_for(np.minimum(lengths, longest), few=True)
        return self.bound(
            dataclasses.replace(config, max_length=longest),
            Classes(labels, tokenizer, tuple(widths)),
        )

    def prepared(self, texts):
        """Texts as the tokenizer reads them: by jieba their words are cut."""
        prepare = self.kinds()["text"].prepare
        return [prepare(text) for text in texts] if prepare else texts

    def build_model(self):
        return build_model(self.config, self.assets)

    def begin(self, model):
        if self.config.start_from:
            start_from(self.config, model, self.assets.tokenizer)

    def features(self, values):
        """`tokens` int32 (batch, width), <end> behind each text: so none is empty. Few
        widths, or `serving_xla` would compile for every other length. `topic` int32
        (batch, TOPIC_TOKENS), where there is one."""
        encode = self.assets.tokenizer.encode
        ids, lengths = encode(values["text"], end=True)
        tokens = shortened(ids, lengths, self.config.max_length)
        features = batches.padded({"tokens": tokens}, self.assets.widths)
        if "topic" in values:
            features["topic"], _ = encode(values["topic"], TOPIC_TOKENS, end=True)
        return features

    def targets(self, examples):
        return for_members(super().targets(examples), self.config.members)

    # Answers

    def respond(self, model, inputs, options):
        """As `Classify`, with `attention` float32 (batch, width)."""
        outputs = model(inputs, training=False)
        logits = tf.cast(outputs["logits"], tf.float32)  # (batch, members, classes)
        each = self.probabilities(logits / options.temperature[:, None, None])
        return {
            "probabilities": tf.reduce_mean(each, axis=1),
            "attention": tf.cast(outputs["attention"], tf.float32),
        }

    def answer(self, values, tensors, options):
        """As `Classify`, with `tokens` string, `start` and `end` int32, where they
        stand in the text, in code points, and `attention` float32, each (batch, width).

        Behind the tokens stands <end>. `label` is empty where no label has the
        probability `threshold`.
        """
        texts, tokenizer = values["text"], self.assets.tokenizer
        found = tokenizer.encode_with_offsets(texts)
        pieces = tokenizer.split(texts).to_tensor("")
        width = tf.shape(tensors["attention"])[1]

        def read(tokens, last):
            """As `features` has them, with `last` behind each text."""
            tokens = tf.pad(tokens, [[0, 0], [0, 1]])
            behind = tf.range(tf.shape(tokens)[1]) == found.lengths[:, None]
            tokens = tf.where(behind, last, tokens)
            return batches.fitted(
                shortened(tokens, found.lengths + 1, self.config.max_length), width
            )

        ends = tf.reduce_max(tf.pad(found.ends, [[0, 0], [0, 1]]), 1, keepdims=True)
        return {
            **super().answer(values, tensors, options),
            "tokens": read(pieces, tokenizer.tokens[tokenizer.end]),
            "start": read(found.starts, ends),
            "end": read(found.ends, ends),
            "attention": tensors["attention"],
        }

    def label(self, probabilities, options):
        likely = tf.reduce_max(probabilities, axis=-1) >= options.threshold
        return tf.where(likely, super().label(probabilities, options), "")

    def signatures(self):
        """`explain`: as `serving_default`, and what each token does to the answer."""
        kinds = self.kinds()
        explained = Signature(
            kinds, self.explained, self.answer_explained, takes_options=True
        )
        return {"explain": explained}

    def explained(self, model, inputs, options):
        tensors = self.respond(model, inputs, options)

        def respond(variants):
            rows = tf.shape(variants["tokens"])[0]
            same = {n: tf.fill([rows], v[0]) for n, v in vars(options).items()}
            return self.respond(model, variants, type(options)(**same))["probabilities"]

        return tensors | explain.by_token(respond, inputs, tensors["probabilities"])

    def answer_explained(self, values, tensors, options):
        """As `answer`, with `occlusion` float32 (batch, width): how much the log-odds
        of the likeliest label fall where the token is left out; and `after` float32
        (batch, width, classes): the probabilities if the text ended behind it."""
        more = {name: tensors[name] for name in ("occlusion", "after")}
        return {**self.answer(values, tensors, options), **more}

    def readable(self, request, row):
        """Without the padding behind the tokens."""
        answer = super().readable(request, row)
        count = sum(map(bool, answer["tokens"]))
        return {k: v[:count] if k in BY_TOKEN else v for k, v in answer.items()}

    def draw(self, requests, answers):
        return plot.coloured_text(self.panels(requests, answers), explain.NOTE)

    def page(self, requests, answers):
        return html.coloured_page(
            "Verdicts, word by word", explain.NOTE, self.panels(requests, answers)
        )

    def panels(self, requests, answers):
        kind = self.kinds()["text"]
        texts = [kind.encode(r["text"])[0].decode("utf-8", "replace") for r in requests]
        return [
            panel
            for text, answer in zip(texts, answers, strict=True)
            if answer["ok"]
            for panel in explain.panels(text, answer, Classify.show(self, answer))
        ]

    # For people

    def show(self, answer):
        """The verdict, and of `explain` the tokens that count most, with their
        occlusion: above 0 where they speak for it."""
        line = super().show(answer)
        if "occlusion" not in answer:
            return line
        return f"{line}; what counts most: {explain.strongest(answer)}"

    def describe(self, splits):
        train, test, assets = splits.train, splits.test, self.assets
        facts = {
            "lies in": lies_in(self.config, builtin="made by every command"),
            "labels in training": self.labels_shown(train),
            "tokens": len(assets.tokenizer.own),
            "longest text": f"{self.config.max_length - 1} tokens",
        }
        if len(test):
            facts["bag of words"] = f"{self.bag_of_words(train, test):.1f} % accuracy"
        return facts

    @many_labels()
    def bag_of_words(self, train, test):
        """The accuracy on `test`, in percent, of a logistic regression on counts: of
        who knows the words of a text and not their order."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        counts = CountVectorizer(analyzer=self.assets.tokenizer.ids)
        known = counts.fit_transform(self.prepared(train["text"]))
        learner = LogisticRegression(max_iter=1000).fit(known, train["label"])
        unknown = counts.transform(self.prepared(test["text"]))
        return 100 * learner.score(unknown, test["label"])


def shortened(ids, lengths, most):
    """Ids (batch, time) with `most` steps at most: of a text that is longer, its
    beginning and its end, half and half."""
    places = tf.range(tf.minimum(tf.shape(ids)[1], most))[None]  # (1, width)
    left_out = tf.maximum(lengths - most, 0)[:, None]  # (batch, 1)
    places = tf.where(places < most // 2, places, places + left_out)
    return tf.gather(ids, places, batch_dims=1)


class SeveralSentiments(Sentiment, SeveralLabels):
    """Texts that may have several labels, or none."""


def task_for(config, assets=None):
    kind = SeveralSentiments if config.label_separator else Sentiment
    return kind(config, assets)
