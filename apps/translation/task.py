"""The task of translation: a sentence in, the same in another language out."""

import dataclasses
import json
import typing

import numpy as np
import tensorflow as tf

from ...layers import decoding
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.inputs.tokenizer import SPECIAL, Tokenizer, learn_tokenizer
from ..core.settings.json_text import read_json
from ..core.tasks.signatures import Signature
from ..core.tasks.tell import Tell
from ..core.training import batches
from . import config, data, pictures, scores
from .model import build_model, memory_mask

END = SPECIAL[3]  # what stands behind the last token of an answer
NO_HYPOTHESIS = -1e6  # a score below is that of none
BY_TOKEN = ("tokens", "alignment", "token_log_prob")


@dataclasses.dataclass(frozen=True)
class Vocabularies:
    """The tokenizers of both languages, and the widths to which sources are padded, see
    `training.batches.padded`."""

    source: Tokenizer
    target: Tokenizer
    widths: tuple[int, ...]

    def to_json(self):
        """JSON text from which `from_json` makes the same."""
        saved = {
            "source": self.source.to_json(),
            "target": self.target.to_json(),
            "widths": self.widths,
        }
        return json.dumps(saved, ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        saved = read_json(text, {"source": str, "target": str, "widths": [int]})
        source, target = map(Tokenizer.from_json, (saved["source"], saved["target"]))
        return cls(source, target, tuple(saved["widths"]))


class Translation(Tell):
    """See `Tell` and `Task`. `score` says how likely a given translation is."""

    name = "translation"
    settings = config
    text, references = "translation", "translations"
    best = "chrf"
    in_words: typing.ClassVar = {
        "bleu": "BLEU {:.2f}",
        "chrf": "chrF {:.1f}",
        "exact_match": "exact match {:.1f} %",
    }

    def read(self):
        return data.read(self.config)

    def why_no_test(self):
        return data.why_no_test(self.config)

    def learn(self, train):
        """The tokens of both languages, the widths of sources, and the longest
        translation's length."""
        config = self.config
        if not len(train):
            raise UserError(
                f"{config.data} has no sentences to learn from: it is validation or "
                "test alone. Name the folder that has train, too."
            )
        texts = [text for several in train["translations"] for text in several]
        source = learn_tokens(train["text"], config)
        target = learn_tokens(texts, config)
        lengths = np.array(source.lengths(train["text"])) + 1  # <end>
        widths = tuple(batches.widths_for(lengths, few=True))
        if not config.max_length:
            longest = max(target.lengths(texts)) + 1
            config = dataclasses.replace(config, max_length=longest)
        return self.bound(config, Vocabularies(source, target, widths))

    def assets_from_json(self, text):
        return Vocabularies.from_json(text)

    @property
    def vocabulary(self):
        return self.assets.target

    def build_model(self):
        return build_model(self.config, self.assets)

    def features(self, values):
        """`source` int32 (batch, width), <end> behind each text: so none is empty."""
        ids, lengths = self.assets.source.encode(values["text"], end=True)
        if self.config.reverse_source:
            ids = tf.reverse_sequence(ids, lengths, seq_axis=1)
        return batches.padded({"source": ids}, self.assets.widths)

    def targets(self, examples):
        """As `Tell`, each pair as long as its own sentence."""
        pairs = super().targets(examples)
        lengths = pairs.weights["logits"].sum(axis=1).astype(int)

        def cut(columns):
            return {
                name: [row[:n] for row, n in zip(column, lengths, strict=True)]
                for name, column in columns.items()
            }

        return dataclasses.replace(
            pairs,
            inputs=cut(pairs.inputs),
            targets=cut(pairs.targets),
            weights=cut(pairs.weights),
        )

    # Answers

    def validated(self):
        return self.Options(beam=1)

    def in_graph(self, options):
        """With room for the beam; without attention there is no coverage."""
        if options.coverage_penalty and self.config.attention == "none":
            raise UserError(
                "--coverage-penalty expected a model with attention; this one was "
                "trained with --attention=none. Leave the option out."
            )
        return dataclasses.replace(
            options, max_beam=max(options.beam, options.max_beam)
        )

    def exported(self):
        beam = self.config.serve_beam
        return self.Options(beam=beam, max_beam=beam, n_best=beam)

    def rank(self, figures):
        return figures["bleu"] + figures["chrf"]

    def memory(self, model, inputs):
        source = inputs["source"]
        memory = model.get_layer("encoder")(source, training=False)
        return memory, memory_mask(self.config, source)

    def copies(self, options):
        """Whether source words stand in the place of unknown ones."""
        writes = (
            self.vocabulary.fallback == "unknown" and self.config.attention != "none"
        )
        return writes and options.replace_unknown

    def respond(self, model, inputs, options):
        """Of `n_best` translations, the best first: `tokens` int32 (batch, n_best,
        time); `length` int32, `score` float32, by which they are ranked, `log_prob`
        float32, the natural logarithm of their probability, each (batch, n_best); with
        attention also `alignment` float32 (batch, n_best, time, source steps), its
        weights before each token."""
        memory, mask = self.memory(model, inputs)
        attends = self.config.attention != "none"
        step, state = model.get_layer("decoder").begin(memory, mask, options.max_beam)
        limits = self.limits(tf.shape(memory)[0])
        if self.copies(options):
            limits["suppress"] = (self.vocabulary.pad, self.vocabulary.start)
        longest = self.config.max_length
        lengths = tf.where(options.length > 0, options.length, longest)
        decoded = decoding.beam_search(
            step,
            state,
            beam=options.max_beam,
            n_best=options.n_best,
            length_penalty=sound(options.length_penalty),
            coverage_penalty=sound(options.coverage_penalty) if attends else 0.0,
            beams=tf.clip_by_value(options.beam, 1, options.max_beam),
            max_lengths=tf.minimum(lengths, longest),
            **limits,
        )
        tensors = {
            "tokens": decoded.tokens,
            "length": decoded.lengths,
            "score": decoded.scores,
            "log_prob": decoded.log_probs,
        }
        if attends:
            tensors["alignment"] = self.in_order(decoded.weights, inputs["source"])
        return tensors

    def in_order(self, weights, source):
        """Weights (..., source steps) in the order of the text, float32."""
        weights = tf.cast(weights, tf.float32)
        if not self.config.reverse_source:
            return weights
        lengths = tf.reduce_sum(tf.cast(source != 0, tf.int32), axis=1)
        axis = weights.shape.rank - 1
        return tf.reverse_sequence(weights, lengths, seq_axis=axis)

    def answer(self, values, tensors, options):
        """Of the best: `translation`, string (batch,), `score` and `log_prob`, see
        `respond`, float32 (batch,); `tokens`, string (batch, time), <end> behind the
        last; with attention `alignment`, float32 (batch, time, source tokens).
        `source_tokens`, string (batch, source tokens). `n_best`, string (batch,
        n_best), all of them, and their `n_best_score`, float32; `ended`, bool (batch,),
        False where the translation has no end within the tokens that it may have.
        """
        source_tokens = self.source_tokens(values["text"])
        ids = tensors["tokens"]
        width = tf.shape(source_tokens)[1]
        unknown, names = None, None
        if self.copies(options):
            # Not the last source token, which is <end>.
            words = tf.where(source_tokens == END, "", source_tokens)
            weights = tensors["alignment"][..., :width]
            weights *= tf.cast(words != "", tf.float32)[:, None, None]
            place = tf.argmax(weights, axis=-1, output_type=tf.int32)
            unknown = tf.gather(words, place, batch_dims=1)  # (batch, n_best, time)
            names = unknown[:, 0]
        texts = tf.strings.strip(self.vocabulary.decode(ids, unknown=unknown))
        answer = {
            self.text: texts[:, 0],
            "score": tensors["score"][:, 0],
            "log_prob": tensors["log_prob"][:, 0],
            "tokens": self.pieces(ids[:, 0], names),
            "source_tokens": source_tokens,
            "n_best": texts,
            "n_best_score": tensors["score"],
            "ended": tf.reduce_any(ids[:, 0] == self.vocabulary.end, axis=1),
        }
        if "alignment" in tensors:
            answer["alignment"] = tensors["alignment"][:, 0, :, :width]
        return answer

    def pieces(self, ids, unknown=None):
        """Token ids (batch, time) as strings, each alone, "" behind the last. By their
        names come <end>, <unk> where there is no `unknown`, and a byte that is no
        whole character, <0xE6>."""
        several = None if unknown is None else unknown[..., None]
        texts = trimmed(self.vocabulary.decode(ids[..., None], None, several))
        names = tf.gather(tf.constant(self.vocabulary.tokens), ids)
        named = texts == ""
        if unknown is None:
            named |= ids == self.vocabulary.unknown
        return tf.where(named & (ids != self.vocabulary.pad), names, texts)

    def source_tokens(self, texts):
        """Strings (batch,) to their tokens as they stand there, <end> behind the last:
        string (batch, source tokens). Of several bytes the first is the whole
        character, the others "·"."""
        found = self.assets.source.encode_with_offsets(texts)
        clean = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        count = tf.shape(found.starts)[1]
        clean = tf.repeat(clean[:, None], count, axis=1)
        tokens = tf.strings.substr(
            clean, found.starts, found.ends - found.starts, unit="UTF8_CHAR"
        )
        again = found.starts[:, 1:] == found.starts[:, :-1]
        again = tf.pad(again, [[0, 0], [1, 0]])[:, :count]
        again &= tf.sequence_mask(found.lengths, count)
        tokens = tf.where(again, "·", trimmed(tokens))
        tokens = tf.pad(tokens, [[0, 0], [0, 1]])
        behind = tf.range(count + 1) == found.lengths[:, None]
        return tf.where(behind, END, tokens)

    def signatures(self):
        """`score`: of a `text` and its `translation`, how likely that is."""
        return {
            "score": Signature(
                self.kinds() | config.signature_kinds(self.config),
                self.respond_score,
                self.answer_score,
                features=self.features_of_score,
            )
        }

    def features_of_score(self, values):
        targets, _ = self.vocabulary.encode(values["translation"], end=True)
        tokens = self.decoder_inputs(targets)
        return self.features(values) | {"tokens": tokens, "targets": targets}

    def respond_score(self, model, inputs, options):
        """`token_log_prob` float32 (batch, time), natural logarithms, 0 in padding;
        with attention `alignment` (batch, time, source steps)."""
        targets = inputs["targets"]
        inputs = {name: inputs[name] for name in ("source", "tokens")}
        outputs = model(inputs, training=False)
        log_probs = tf.nn.log_softmax(tf.cast(outputs["logits"], tf.float32))
        log_probs = tf.gather(log_probs, targets, batch_dims=2)
        tensors = {
            "token_log_prob": tf.where(targets != self.vocabulary.pad, log_probs, 0.0)
        }
        if "attention" in outputs:
            tensors["alignment"] = self.in_order(outputs["attention"], inputs["source"])
        return tensors

    def answer_score(self, values, tensors, options):
        """`log_prob` float32 (batch,), the natural logarithm of the translation's
        probability, its end included; `token_log_prob` float32 (batch, time), of which
        it is the sum; `tokens`, `source_tokens` and `alignment` as in `answer`."""
        ids, _ = self.vocabulary.encode(values["translation"], end=True)
        source_tokens = self.source_tokens(values["text"])
        answer = {
            "log_prob": tf.reduce_sum(tensors["token_log_prob"], axis=1),
            "token_log_prob": tensors["token_log_prob"],
            "tokens": self.pieces(ids),
            "source_tokens": source_tokens,
        }
        if "alignment" in tensors:
            width = tf.shape(source_tokens)[1]
            answer["alignment"] = tensors["alignment"][..., :width]
        return answer

    def readable(self, request, row):
        """Without the padding behind tokens."""
        answer = super(Tell, self).readable(request, row)
        count = length_of(answer["tokens"])
        sources = length_of(answer["source_tokens"])
        answer = {k: v[:count] if k in BY_TOKEN else v for k, v in answer.items()}
        answer["source_tokens"] = answer["source_tokens"][:sources]
        if "alignment" in answer:
            answer["alignment"] = answer["alignment"][:, :sources]
        if "n_best" in answer:  # without what a smaller beam has not
            there = answer["n_best_score"] > NO_HYPOTHESIS
            count = max(1, int(there.sum()))
            answer["n_best"] = answer["n_best"][:count]
            answer["n_best_score"] = answer["n_best_score"][:count]
        return answer

    # For people

    def measure(self, answers, examples):
        """See `scores.figures`."""
        texts = [answer["translation"] for answer in answers]
        return scores.figures(texts, examples["translations"], self.config.target)

    def show(self, answer):
        if "translation" not in answer:  # of `score`
            words = zip(answer["tokens"], answer["token_log_prob"], strict=True)
            each = ", ".join(f"{token} {value:.2f}" for token, value in words)
            return f"log probability {answer['log_prob']:.2f}: {each}"
        lines = [
            f"{text}  ({score:.2f})"
            for text, score in zip(
                answer["n_best"], answer["n_best_score"], strict=True
            )
        ]
        if answer["ok"] and not answer["ended"]:
            lines[0] += "  cut off: no end within --length, or that of training"
        others = [f"    {i}. {line}" for i, line in enumerate(lines[1:], 2)]
        return "\n".join([lines[0], *others])

    def draw(self, requests, answers):
        """The alignment of each, as a matrix with both sentences."""
        kind = self.kinds()["text"]
        texts, drawn = [], []
        for request, answer in zip(requests, answers, strict=True):
            if answer["ok"]:
                text = request["text"] if isinstance(request, dict) else request
                texts.append(kind.encode(text)[0].decode("utf-8", "replace"))
                drawn.append(answer)
        if drawn and "alignment" not in drawn[0]:
            raise UserError(
                "--plot draws the attention, but this model was trained with "
                "--attention=none. Train one with --attention=soft."
            )
        if not drawn:
            raise UserError("No text could be read, so there is nothing to draw.")
        return pictures.alignments(texts, drawn)

    def example_row(self, examples, i):
        return f"{examples['text'][i]} → {examples['translations'][i][0]}"

    def describe(self, splits):
        train, assets = splits.train, self.assets
        return {
            "lies in": lies_in(self.config, builtin="made by every command"),
            "translations": sum(map(len, train["translations"])),
            "source vocabulary": f"{assets.source.size} {self.config.tokenizer}",
            "target vocabulary": f"{assets.target.size} {self.config.tokenizer}",
            "longest translation": f"{self.config.max_length - 1} tokens",
        }


def learn_tokens(texts, config):
    """A `Tokenizer` of these texts; of characters and subwords, what is unknown comes
    as its bytes, so that every text comes back as it was."""
    exact = config.tokenizer in ("characters", "subwords")
    return learn_tokenizer(texts, config, "bytes" if exact else "unknown")


def sound(penalties):
    """Penalties of a request, with 0 in the place of what is none."""
    fine = tf.math.is_finite(penalties) & (penalties > 0)
    return tf.where(fine, tf.minimum(penalties, 100.0), 0.0)


def trimmed(tokens):
    """Strings without white space around them, but for those that are nothing else."""
    stripped = tf.strings.strip(tokens)
    return tf.where(stripped == "", tokens, stripped)


def length_of(tokens):
    """How many tokens there are up to `END`, that included; else all that are not
    empty."""
    tokens = list(tokens)
    if END in tokens:
        return tokens.index(END) + 1
    return max((i + 1 for i, token in enumerate(tokens) if token), default=0)


task_for = Translation
