"""The task of the word language model.

A client of an export ranks what a recogniser heard with TensorFlow only:

    import sys
    import tensorflow as tf

    folder, *hypotheses = sys.argv[1:]
    score = tf.saved_model.load(folder).signatures["score"]
    rank_scores = score(text=tf.constant(hypotheses))["rank_score"].numpy()
    for score, text in sorted(zip(rank_scores, hypotheses), reverse=True):
        print(f"{score:.2f}  {text}")
"""

import math

import numpy as np
import tensorflow as tf

from ..core.tasks.language.task import Language
from . import config, grammar, vocabulary
from .data import read
from .model import build_model


class WordLM(Language):
    """See `Language`."""

    name = "word_lm"
    settings = config
    scored = "line"
    made = {"builtin": "made by every command, by a grammar"}

    def read(self):
        return read(self.config)

    def learn(self, train):
        lines = (line for _, line in train)
        return self.bound(assets=vocabulary.learn(lines, self.config))

    def assets_from_json(self, text):
        return vocabulary.from_json(text)

    def build_model(self):
        return build_model(self.config, self.assets)

    def vocabulary_facts(self):
        words = self.assets
        return {
            "vocabulary": f"{words.size:,}, <UNK> and <EOS> included; "
            f"{words.rare:,} rarer ones are <UNK>"
        }

    def size_of(self, documents):
        counts = self.counts(self.text(documents))
        return (
            f"{counts['tokens']:,} tokens, {counts['unknown_percent']:.2f}% of them "
            "<UNK>"
        )

    def example_rows(self, splits):
        """Three lines of the training text: its first, and those behind its thirds."""
        words = self.assets
        lines = [line for _, line in splits.train]
        for i in (0, len(lines) // 3, 2 * len(lines) // 3):
            ids = words.ids(lines[i])
            yield words.decode(ids[None, :60]).numpy()[0].decode()

    def evaluate(self, answerer, examples, options, most=None):
        """As `Language.evaluate`, <EOS> included, and `vocabulary`, how many words.

        With builtin data also `agreement_percent`: how often a sentence whose verb
        agrees with its subject gets the higher score than the same with the other verb,
        over distances of 1 to 20; guessing reaches 50.
        """
        found = super().evaluate(answerer, examples, options, most)
        found["vocabulary"] = self.assets.size
        if self.config.data == "builtin":
            found["agreement_percent"] = agreement_percent(answerer, options)
        return found

    # Continuations

    def features(self, values):
        return super().features({"text": with_ends(values["text"])})

    def encoded(self, values):
        return super().encoded({"text": with_ends(values["text"])})

    def stop_tokens(self, options):
        return [self.assets.end] if options.stop else []

    def stop_tokens_by(self, encode, options):
        # An empty text is the <EOS> before it.
        return encode("") if options.stop else []

    def prompt_of(self, request):
        return super().prompt_of(request).rstrip("\n")

    def before(self, prompt):
        # Words stand apart, Chinese does not.
        return prompt + (" " if prompt and prompt.isascii() else "")

    # Scores

    def score_kinds(self):
        return {"text": config.text(self.config, lines=True)}

    def score_features(self, values):
        """Every sentence from the <EOS> before it to the <EOS> behind it."""
        ids, lengths = self.assets.encode(values["text"])
        ids = tf.pad(ids, [[0, 0], [0, 1]], constant_values=self.assets.end)
        return {"tokens": ids, "length": lengths + 1}

    def respond_score(self, model, inputs, options):
        unknown = tf.cast(inputs["tokens"] == self.assets.unknown, tf.int32)
        scored = super().respond_score(model, inputs, options)
        return {**scored, "unknown": tf.reduce_sum(unknown, axis=1)}

    def answer_score(self, values, tensors, options):
        """How probable sentences are, each for itself; all (batch,):

            log_prob     float32, sum over t = 1 ... n of ln p(w_t | w_1 ... w_{t-1}),
                         where w_n is <EOS>; before w_1 stands <EOS> with the initial
                         state
            length       int32, n
            unknown      int32, how many of the n are <UNK>
            rank_score   float32, log_prob - unknown ln(R), for comparing sentences

        p(<UNK>) is the probability that ANY of the R rare words comes, which is high:
        with it a sentence of words nobody knows would win. `rank_score` gives each of
        them an equal share of it (Ueberla 1994).
        """
        share = math.log(max(self.assets.rare, 1))
        rare = tf.cast(tensors["unknown"], tf.float32) * share
        return {**tensors, "rank_score": tensors["log_prob"] - rare}

    def show_score(self, answer):
        """score, log p, perplexity, tokens, <UNK> and the line."""
        return (
            f"{answer['rank_score']:7.2f}  {answer['log_prob']:7.2f}  "
            f"{answer['perplexity']:10.2f}  {answer['length']:6}  "
            f"{answer['unknown']:5}  {answer['line']}"
        )


def with_ends(text):
    """In the graph: a line break ends a sentence, unless nothing follows."""
    text = tf.strings.regex_replace(text, r"\n+\z", "")
    return tf.strings.regex_replace(text, r"\n", " <EOS> ")


def agreement_percent(answerer, options):
    """See `WordLM.evaluate`: 5 sentences of each distance."""
    items = [
        item for d in grammar.DISTANCES for item in grammar.agreement(d, 5, seed=1)
    ]
    lines = [
        " ".join([*before, verb, *after])
        for before, right, wrong, after in items
        for verb in (right, wrong)
    ]
    scores = answerer.answers(lines, options, "score")
    log_probs = [score["log_prob"] for score in scores]
    agrees = np.greater(log_probs[::2], log_probs[1::2])
    return 100 * float(np.mean(agrees))


task_for = WordLM
