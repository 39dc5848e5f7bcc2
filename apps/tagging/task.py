"""The task of tagging: a text goes in, a label for every token comes out."""

import dataclasses
import itertools
import json
import typing

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ...layers import CRFLoss, crf
from ..core.data.labelled import labels_in
from ..core.data.places import lies_in
from ..core.data.rows import Examples
from ..core.errors import UserError
from ..core.inputs.kinds import Tensor
from ..core.inputs.tokenizer import Tokenizer
from ..core.settings.json_text import read_json
from ..core.tasks.signatures import Signature
from ..core.tasks.task import Pairs, Task
from ..core.training import batches
from ..core.training.losses import TokenLoss
from . import builtin, config, data, gazetteer, pictures, schemes, scores, vectors
from .cutting import CUT, cut, given
from .model import LETTERS, build_model

SPECIAL = ("<pad>", "<unk>")
BY_TOKEN = ("tokens", "tags", "score", "start", "end", "start_byte", "end_byte")
BY_ENTITY = (
    "entity",
    "entity_label",
    "entity_score",
    "entity_start",
    "entity_end",
    "entity_start_byte",
    "entity_end_byte",
)


@dataclasses.dataclass(frozen=True)
class Tags:
    """What is learned before there is a model.

    labels: in the order of the scores. tokenizer: of tokens. letters: of the characters
    in them; None where none are read. names: of the gazetteer, each its tokens with a
    `CUT` between. widths: to which texts are padded, see `training.batches.padded`.
    """

    labels: tuple[str, ...]
    tokenizer: Tokenizer
    letters: Tokenizer | None = None
    names: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()

    def to_json(self):
        """JSON text from which `from_json` makes the same."""
        saved = {
            "labels": self.labels,
            "tokenizer": self.tokenizer.to_json(),
            "letters": self.letters.to_json() if self.letters else "",
            "names": self.names,
            "widths": self.widths,
        }
        return json.dumps(saved, ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        kinds = {"labels": [str], "tokenizer": str, "letters": str, "names": [str]}
        saved = read_json(text, kinds | {"widths": [int]})
        letters = saved["letters"]
        return cls(
            tuple(saved["labels"]),
            Tokenizer.from_json(saved["tokenizer"]),
            Tokenizer.from_json(letters) if letters else None,
            tuple(saved["names"]),
            tuple(saved["widths"]),
        )


class Tagging(Task):
    """See `Task`.

    `serving_default` gives labels of tokens, and the entities that they make;
    `n_best` the best answers; `cut` is of texts that are cut already.
    """

    name = "tagging"
    settings = config
    writes = (*Task.writes, ".conll", ".ann")

    in_words: typing.ClassVar = {"accuracy": "accuracy {:.2f} %", "f1": "F1 {:.2f} %"}

    @property
    def best(self):
        return "f1" if self.assets and self.scheme else "accuracy"

    @property
    def scheme(self):
        """Of the labels, "" where each token stands for itself."""
        return schemes.scheme_of(self.assets.labels)

    def read(self):
        return data.read(self.config)

    def why_no_test(self):
        return data.why_no_test(self.config)

    def learn(self, train):
        """The labels, the tokens and their characters, and the widths of texts."""
        config = self.config
        every = (label for row in train["labels"] for label in row)
        labels = labels_in(every, "--column")
        if config.decoder == "sigmoid" and len(labels) != 2:
            raise UserError(
                f"decoder=sigmoid expects two labels, as 0 and 1; the data has "
                f"{len(labels)}: {', '.join(labels[:8])}. Take softmax or crf, or "
                "another --column."
            )
        sentences = [tokens_of(text) for text in train["text"]]
        config = dataclasses.replace(config, tokenizer=tokenizer_for(config, sentences))
        if config.vectors:  # or a fault in them would show behind the first step
            next(vectors.read(config.vectors, config.embedding), None)
        tokenizer = Tokenizer.build(
            [" ".join(tokens) for tokens in sentences],
            "spaces",
            config.vocabulary_size,
            config.min_count,
            SPECIAL,
            config.lower,
        )
        letters = None
        if config.characters != "none":
            words = (word for tokens in sentences for word in tokens)
            letters = Tokenizer.build(words, "characters", special=SPECIAL)
        lengths = [min(len(tokens), config.max_length) for tokens in sentences]
        widths = tuple(batches.widths_for(np.array(lengths), few=True))
        names = gazetteer.read(config.gazetteer, config.tokenizer, config.lower)
        return self.bound(config, Tags(labels, tokenizer, letters, names, widths))

    def assets_from_json(self, text):
        return Tags.from_json(text)

    def build_model(self):
        return build_model(self.config, self.assets)

    def begin(self, model):
        if self.config.vectors:
            vectors.start_from(self.config, model, self.assets.tokenizer)

    def features(self, values):
        """`tokens` int32 (batch, width), and what else `build_model` reads."""
        return self.features_of(cut(values["text"], self.config.tokenizer).tokens)

    def features_of(self, tokens):
        """Of ragged strings (batch, tokens)."""
        # A word of CoNLL-U may hold a space; the tokenizer would cut it in two.
        tokens = tf.ragged.map_flat_values(
            tf.strings.regex_replace, tokens, r"[\s\p{Z}]", "_"
        )
        joined = tf.strings.reduce_join(tokens, axis=1, separator=" ")
        features = {"tokens": self.assets.tokenizer.encode(joined)[0]}
        if self.assets.letters:
            letters, _ = self.assets.letters.encode(tokens.flat_values, LETTERS)
            features["letters"] = tokens.with_flat_values(letters).to_tensor(
                0, shape=[None, None, LETTERS]
            )
        if self.config.gazetteer:
            features["listed"] = gazetteer.listed(
                tokens.to_tensor(""), self.assets.names, self.config.lower
            )
        return batches.padded(features, self.assets.widths)

    def targets(self, examples):
        ids = {label: i for i, label in enumerate(self.assets.labels)}
        # A label that training does not have counts as the first.
        rows = [[ids.get(label, 0) for label in row] for row in examples["labels"]]
        counts = [[1] * len(row) for row in rows]
        if self.config.decoder == "crf":  # its loss is that of a whole sentence
            counts = np.ones(len(rows))
        return Pairs(
            owner=np.arange(len(rows)),
            targets={"logits": rows},
            weights={"logits": counts},
            aligned=True,
        )

    def loss(self):
        kinds = {"crf": CRFLoss, "softmax": TokenLoss, "sigmoid": BinaryTokenLoss}
        return {"logits": kinds[self.config.decoder]()}

    def batches(self, examples):
        return super().batches(in_pieces(examples, self.config.max_length))

    # Answers

    def respond(self, model, inputs, options):
        """What `answer` needs, each (batch, width): `tags` int32; `score` float32, how
        likely each is; `begins` and `ends` bool, where entities do; `first` int32, the
        step where the entity of a step begins; `entity_score` float32, where one ends
        how likely all its labels are together."""
        logits = tf.cast(model(inputs, training=False)["logits"], tf.float32)
        real = inputs["tokens"] != 0
        steps = tf.zeros_like(inputs["tokens"]) + tf.range(tf.shape(real)[1])
        if self.config.decoder == "crf":
            chain = self.chain(logits)
            tags, _ = crf.viterbi(chain)
            sums = crf.forward_backward(chain)
            likely = crf.marginals(chain, sums)
        else:
            likely = probabilities(logits, self.config.decoder)
            tags = tf.argmax(likely, axis=-1, output_type=tf.int32)
        score = tf.reduce_sum(likely * tf.one_hot(tags, likely.shape[-1]), axis=-1)
        begins, ends = self.borders(tags, real)
        first = latest(tf.where(begins, steps, -1))
        if self.config.decoder == "crf":
            together = crf.span_probabilities(chain, tags, first, steps, sums)
        else:  # each label is chosen alone
            logs = tf.math.log(tf.maximum(score, 1e-30))
            so_far = tf.cumsum(logs, axis=1)
            before = tf.gather(so_far - logs, first, batch_dims=1)
            together = tf.exp(so_far - before)
        return {
            "tags": tags,
            "score": tf.where(real, score, 0),
            "begins": begins,
            "ends": ends,
            "first": first,
            "entity_score": together,
        }

    def chain(self, logits):
        """Of a CRF: what its paths consist of, only those that make sense."""
        chain = crf.unpack(logits)
        if self.scheme not in crf.SCHEMES:
            return chain
        return crf.restricted(chain, crf.allowed_by(self.assets.labels, self.scheme))

    def borders(self, tags, real):
        """Where entities begin and end: bool (batch, width) twice."""
        count = len(self.assets.labels)
        tags = tf.where(real, tags, count)
        none = tf.fill([tf.shape(tags)[0], 1], count)
        around = tf.concat([none, tags, none], axis=1)
        begin, end = (table.ravel() for table in schemes.tables(self.assets.labels))

        def look_up(table, here, there):
            return tf.gather(table, here * (count + 1) + there)

        return (
            look_up(begin, around[:, :-2], tags),
            look_up(end, tags, around[:, 2:]),
        )

    def answer(self, values, tensors, options):
        """In the order of the text: `tokens`, `tags`, string; `score` float32, the
        probability of a tag; `start`, `end`, `start_byte`, `end_byte` int32: each
        (batch, tokens), "" and 0 behind the last. `entity`, `entity_label`, string;
        `entity_score` float32; `entity_start`, `entity_end` (behind the last) and the
        same in bytes, int32: each (batch, entities); `entity_count` int32 (batch,).

        Places are those in `source`, string (batch,): the text itself, what is no UTF-8
        as U+FFFD, and of one that was cut already the tokens with a space between, of
        characters none.
        """
        return self.answer_of(
            cut(values["text"], self.config.tokenizer), tensors, options
        )

    def answer_of(self, found, tensors, options):
        width = tf.shape(found.starts)[1]
        here = {name: tensor[:, :width] for name, tensor in tensors.items()}
        real = tf.sequence_mask(found.lengths, width)
        labels = tf.constant(self.assets.labels)
        tokens = {
            "tokens": found.tokens.to_tensor(""),
            "tags": tf.where(real, tf.gather(labels, here["tags"]), ""),
            "score": here["score"],
            "start": found.starts,
            "end": found.ends,
            "start_byte": found.byte_starts,
            "end_byte": found.byte_ends,
        }
        likely = here["entity_score"] >= options.threshold[:, None]
        chosen = here["ends"] & likely & real

        def picked(values):
            return tf.ragged.boolean_mask(values, chosen)

        def at_first(values):
            return picked(tf.gather(values, here["first"], batch_dims=1))

        starts, ends = at_first(found.starts), picked(found.ends)
        kinds = tf.constant(schemes.kinds_of(self.assets.labels))
        sources = tf.gather(found.sources, starts.value_rowids())
        texts = tf.strings.substr(
            sources,
            starts.flat_values,
            ends.flat_values - starts.flat_values,
            unit="UTF8_CHAR",
        )
        entities = {
            "entity": starts.with_flat_values(texts),
            "entity_label": at_first(tf.gather(kinds, here["tags"])),
            "entity_score": picked(here["entity_score"]),
            "entity_start": starts,
            "entity_end": ends,
            "entity_start_byte": at_first(found.byte_starts),
            "entity_end_byte": picked(found.byte_ends),
        }
        return {
            "source": found.sources,
            **tokens,
            **{name: values.to_tensor() for name, values in entities.items()},
            "entity_count": tf.cast(starts.row_lengths(), tf.int32),
        }

    def signatures(self):
        """`n_best`: with a CRF, the best answers. `cut`: of `tokens`, string (batch,
        tokens), "" behind the last of each row, as `serving_default`."""
        found = {
            "cut": Signature(
                {"tokens": Words()},
                self.respond,
                self.answer_cut,
                features=lambda values: self.features_of(ragged(values["tokens"])),
            )
        }
        if self.config.decoder == "crf":
            found["n_best"] = Signature(
                self.kinds(), self.respond_n_best, self.answer_n_best
            )
        return found

    def answer_cut(self, values, tensors, options):
        tokens = ragged(values["tokens"])
        marked = tf.strings.reduce_join(
            tf.ragged.map_flat_values(lambda t: t + CUT, tokens), axis=1
        )
        return self.answer_of(cut(marked, self.config.tokenizer), tensors, options)

    def respond_n_best(self, model, inputs, options):
        """`tags` int32 (batch, n_best, width); `score` float32 (batch, n_best), the
        probability of each answer as a whole, 0 where there are fewer."""
        chain = self.chain(model(inputs, training=False)["logits"])
        tags, totals = crf.n_best(chain, options.n_best)
        logs = totals - crf.forward_backward(chain).log_partition[:, None]
        return {"tags": tags, "score": tf.exp(tf.minimum(logs, 0.0))}

    def answer_n_best(self, values, tensors, options):
        """`tokens` string (batch, tokens); `tags` string (batch, n_best, tokens) and
        `score` float32 (batch, n_best), the best first."""
        found = cut(values["text"], self.config.tokenizer)
        width = tf.shape(found.starts)[1]
        real = tf.sequence_mask(found.lengths, width)[:, None]
        real &= tensors["score"][..., None] > 0
        tags = tf.gather(tf.constant(self.assets.labels), tensors["tags"][..., :width])
        return {
            "tokens": found.tokens.to_tensor(""),
            "tags": tf.where(real, tags, ""),
            "score": tensors["score"],
        }

    def readable(self, request, row):
        """Without the padding behind tokens and entities."""
        answer = super().readable(request, row)
        count = sum(map(bool, answer["tokens"]))
        if "entity" not in answer:  # of n_best, without what there is not
            several = int((answer["score"] > 0).sum())
            return answer | {
                "tokens": answer["tokens"][:count],
                "tags": [line[:count] for line in answer["tags"][:several]],
                "score": answer["score"][:several],
            }
        entities = answer["entity_count"]
        cuts = dict.fromkeys(BY_TOKEN, count) | dict.fromkeys(BY_ENTITY, entities)
        return {k: v[: cuts[k]] if k in cuts else v for k, v in answer.items()}

    def measure(self, answers, examples):
        """Figures of labels and entities, see `scores`."""
        for i, answer in enumerate(answers):
            if not answer["ok"]:
                raise UserError(f"Example {i}: {answer['error']}.")
        labels = {label for row in examples["labels"] for label in row}
        if self.scheme and not schemes.scheme_of(labels | set(self.assets.labels)):
            raise UserError(
                f"The network knows {', '.join(self.assets.labels[:8])} ...; the data "
                f"has other labels: {', '.join(sorted(labels)[:8])} ... Name their "
                "column with --column."
            )
        tokens = [tokens_of(text) for text in examples["text"]]
        given_tags = [answer["tags"] for answer in answers]
        known = self.assets.tokenizer
        return {
            **scores.of_tokens(given_tags, examples["labels"], tokens, known),
            **(
                scores.of_entities(given_tags, examples["labels"])
                if self.scheme
                else {}
            ),
            "measured_on": f"{len(answers)} sentences, {sum(map(len, tokens))} tokens",
        }

    # For people

    def show(self, answer):
        if "entity" not in answer:
            pairs = zip(answer["tags"], answer["score"], strict=True)
            return "; ".join(f"{' '.join(t)}  ({s:.2f})" for t, s in pairs)
        if answer["entity_label"] == answer["tags"]:  # each token stands for itself
            pairs = zip(answer["tokens"], answer["tags"], strict=True)
            return " ".join(f"{token}/{tag}" for token, tag in pairs)
        found = zip(
            answer["entity"],
            answer["entity_label"],
            answer["entity_score"],
            strict=True,
        )
        named = ", ".join(f"{e} {label} ({s:.2f})" for e, label, s in found)
        return f"{answer['source']}: {named or 'nothing found'}"

    def draw(self, requests, answers):
        return pictures.figure(pictures.with_entities(answers))

    def page(self, requests, answers):
        return pictures.page(pictures.with_entities(answers))

    def write(self, path, kinds, requests, answers, given):
        """Also as CoNLL (.conll: a token and its tag a line), and as brat reads them
        (.ann beside a .txt of the texts)."""
        if not pictures.write(path, answers):
            super().write(path, kinds, requests, answers, given)

    def example_row(self, examples, i):
        pairs = zip(tokens_of(examples["text"][i]), examples["labels"][i], strict=True)
        return " ".join(f"{token}/{label}" for token, label in pairs)

    def describe(self, splits):
        labels = ", ".join(self.assets.labels)
        facts = {
            "lies in": lies_in(self.config, builtin="made by every command"),
            "labels": labels,
            "other texts are cut into": f"{self.config.tokenizer} (--tokenizer)",
            "tokens": len(self.assets.tokenizer.own),
            "longest text": f"{max(map(len, splits.train['labels']))} tokens",
        }
        if self.config.data == "builtin" and len(splits.test):
            best = builtin.left_only(self.config.column)
            answers = [
                [best["".join(tokens[: i + 1])] for i in range(len(tokens))]
                for tokens in map(tokens_of, splits.test["text"])
            ]
            known = scores.accuracy(answers, splits.test["labels"])
            facts["left side only"] = f"{known:.1f} % accuracy at most"
        return facts

    def inspect(self, run, path, out):
        """The scores of neighbours, as a picture."""
        return pictures.transitions(self, run.model, out)


class Words(Tensor):
    """Tokens that a program has cut: string (batch, tokens), "" behind the last."""

    def __init__(self):
        super().__init__("string", (None,))

    def examples(self):
        return [
            np.array(["王", "刚", "和"], object),
            np.array(["李", "明", ""], object),
        ]


@keras.saving.register_keras_serializable(package="saccade")
class BinaryTokenLoss(keras.losses.Loss):
    """Cross-entropy of 0 or 1, int (batch, time), against logits (batch, time, 1) of
    the 1: float32 (batch, time)."""

    def call(self, y_true, y_pred):
        logits = ops.cast(y_pred[..., 0], "float32")
        return ops.softplus(logits) - ops.cast(y_true, "float32") * logits


def tokens_of(text):
    """The tokens of a text that is cut already: list of str, without white space."""
    return ["_".join(token.split()) for token in text.split(CUT)[:-1]]


def tokenizer_for(config, sentences):
    """What cuts other texts: where every token of the data is a character, characters,
    else words."""
    if config.tokenizer != "auto":
        return config.tokenizer
    tokens = itertools.chain(*sentences)
    return "characters" if all(len(token) == 1 for token in tokens) else "words"


def ragged(tokens):
    """Strings (batch, tokens) without the empty ones behind the last of each row."""
    places = tf.where(tokens != "", tf.range(1, tf.shape(tokens)[1] + 1), 0)
    lengths = tf.reduce_max(tf.pad(places, [[0, 0], [0, 1]]), axis=1)
    # An empty one between others is a token all the same.
    tokens = tf.where(tokens == "", "_", tokens)
    return tf.RaggedTensor.from_tensor(tokens, lengths)


def probabilities(logits, decoder):
    """Of the labels of each step: (batch, time, labels)."""
    if decoder == "softmax":
        return tf.nn.softmax(logits)
    one = tf.sigmoid(logits)
    return tf.concat([1 - one, one], axis=-1)


def latest(places):
    """The last value that is not -1, at each step; 0 before the first: int32 (batch,
    time)."""

    def step(before, here):
        now = ops.where(here < 0, before, here)
        return now, now

    _, found = ops.scan(step, tf.zeros_like(places[:, 0]), tf.transpose(places))
    return tf.transpose(found)


def in_pieces(examples, longest):
    """Sentences of at most so many tokens: of a longer one all pieces."""
    texts, labels = [], []
    for text, row in zip(examples["text"], examples["labels"], strict=True):
        tokens = text.split(CUT)[:-1]
        for first in range(0, len(tokens), longest):
            texts.append(given(tokens[first : first + longest]))
            labels.append(row[first : first + longest])
    return Examples(text=texts, labels=labels)


def task_for(config, assets=None):
    return Tagging(config, assets)
