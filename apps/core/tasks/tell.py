"""Tell: a sequence of tokens comes out, from a `layers.TokenDecoder` named `decoder`.

Training is by teacher forcing: the decoder reads the right tokens, each one step late.
Answers are decoded freely: greedily, by beam search, or drawn.
"""

import dataclasses
import typing

import numpy as np
import tensorflow as tf

from ....layers import decoding
from ..inputs.tokenizer import Tokenizer, learn_tokenizer
from ..settings import options as makers
from ..training.losses import TokenLoss
from .task import Pairs, Task


class Tell(Task):
    """A family of tasks whose answer is a text.

    Its config has `tokenizer`, `lower`, `vocabulary_size`, `min_count`, `max_length`
    and `label_smoothing`; its assets are a `Tokenizer`, or `vocabulary` is overridden.
    Its `Options` are `beam`, `length_penalty`, `temperature`, `top_k`, `top_p` and
    `seed`, or `respond` is overridden.

    Attributes of a subclass:
        text: the name of the response's text.
        references: the column of the right texts, a list of them for each row.
    """

    text = "text"
    references = "texts"
    best = "exact_match"
    in_words: typing.ClassVar = {
        "exact_match": "exact match {:.1f} %",
        "chrf": "chrF {:.1f}",
    }

    @property
    def vocabulary(self):
        """The `Tokenizer` of the answers."""
        return self.assets

    def memory(self, model, inputs):
        """In the graph: what the decoder reads of the inputs, (batch, regions,
        features), and its mask, bool (batch, regions), or None."""
        raise NotImplementedError

    def learn(self, train):
        """The tokenizer of the training texts, and the longest text's length."""
        config = self.config
        texts = [text for several in train[self.references] for text in several]
        tokenizer = learn_tokenizer(texts, config)
        if not config.max_length:
            longest = max(tokenizer.lengths(texts)) + 1  # <end>
            config = dataclasses.replace(config, max_length=longest)
        return self.bound(config, tokenizer)

    def assets_from_json(self, text):
        return Tokenizer.from_json(text)

    def targets(self, examples):
        """A pair for every right text of a row."""
        references = examples[self.references]
        texts = [text for several in references for text in several]
        vocabulary = self.vocabulary
        tokens, _ = vocabulary.encode(texts, self.config.max_length, end=True)
        before, tokens = self.decoder_inputs(tokens).numpy(), tokens.numpy()
        return Pairs(
            owner=np.repeat(np.arange(len(references)), [len(r) for r in references]),
            inputs={"tokens": before},
            targets={"logits": tokens},
            weights={"logits": (tokens != vocabulary.pad).astype("float32")},
        )

    def decoder_inputs(self, targets):
        """What the decoder reads to write these: ids (batch, time), <end> behind the
        last of each row -> the same one step late, <start> before them."""
        vocabulary = self.vocabulary
        starts = tf.fill([tf.shape(targets)[0], 1], vocabulary.start)
        before = tf.concat([starts, targets], axis=1)[:, :-1]  # of no rows too
        return tf.where(before == vocabulary.end, vocabulary.pad, before)

    def loss(self):
        return {"logits": TokenLoss(self.config.label_smoothing)}

    def respond(self, model, inputs, options):
        """`tokens` int32 (batch, time), `length` int32 (batch,), `score` float32
        (batch,), with attention also `attention` float32 (batch, time, regions)."""
        memory, mask = self.memory(model, inputs)
        step, state = model.get_layer("decoder").begin(memory, mask, options.beam)
        decoded = self._decode(step, state, tf.shape(memory)[0], options)
        tensors = {
            "tokens": decoded.tokens,
            "length": decoded.lengths,
            "score": decoded.scores,
        }
        if decoded.weights is not None:
            tensors["attention"] = decoded.weights
        return tensors

    def limits(self, rows):
        """What every way of decoding so many rows is told."""
        vocabulary = self.vocabulary
        return {
            "start": tf.fill([rows], vocabulary.start),
            "end": vocabulary.end,
            "max_length": self.config.max_length,
            "min_length": 1,
            "suppress": (vocabulary.pad, vocabulary.unknown, vocabulary.start),
            "pad": vocabulary.pad,
        }

    def _decode(self, step, state, rows, options):
        common = self.limits(rows)
        if options.temperature:
            return decoding.sample(
                step,
                state,
                seed=options.seed,
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
                **common,
            )
        if options.beam == 1:
            return decoding.greedy(step, state, **common)
        best = decoding.beam_search(
            step,
            state,
            beam=options.beam,
            length_penalty=options.length_penalty,
            **common,
        )
        return decoding.Decoded(*(None if x is None else x[:, 0] for x in best))

    def answer(self, values, tensors, options):
        """The text, string (batch,); `pieces` string (batch, time), that of each token;
        and what `respond` returned: `score` is the natural logarithm of its
        probability, `attention` where it looked before each token."""
        tokens = tensors["tokens"]
        pieces = self.vocabulary.decode(tokens[:, :, None])
        return {self.text: self.vocabulary.decode(tokens), "pieces": pieces, **tensors}

    def readable(self, request, row):
        answer = super().readable(request, row)
        for name in ("tokens", "pieces", "attention"):
            if name in answer:
                answer[name] = answer[name][: answer["length"]]
        return answer

    def show(self, answer):
        return f"{answer[self.text]}  ({answer['score']:.2f})"

    def evaluate(self, answerer, examples, options, most=None):
        figures = super().evaluate(answerer, examples, options, most)
        return {**figures, "decode": makers.describe(options)}
