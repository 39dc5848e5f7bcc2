"""The task of vqa: a picture and a question go in, an answer comes out."""

import collections
import dataclasses
import io

import numpy as np
import tensorflow as tf
from PIL import Image

from ..core.data.labelled import labels_in
from ..core.data.places import lies_in
from ..core.data.rows import Examples
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.inputs.kinds import as_request
from ..core.inputs.tokenizer import learn_tokenizer
from ..core.report import plot
from ..core.tasks.backbones import encode, frozen_backbone, kept_of
from ..core.tasks.classify import Classes, Classify
from ..core.tasks.signatures import Signature
from ..core.tasks.task import Pairs
from . import config, data, scores
from .model import build_model

TOP = 5  # answers that a response holds at most
DRAWN_SIZE = 224  # pixels of a picture in a drawing
TYPES_SHOWN = 12


class VQA(Classify):
    """See `Classify` and `Task`.

    `serving_default` answers with one of all answers; the signature `choose` with one
    of those that the request names.
    """

    name = "vqa"
    settings = config
    references = "answers"
    in_words = {"accuracy": "accuracy {:.1f} %"}

    def read(self):
        return data.read(self.config)

    def why_no_test(self):
        return data.why_no_test(self.config)

    # What is learned

    def learn(self, train):
        """The answers, the words of questions, and the longest question."""
        config, questions = self.config, train["question"]
        counts = self.counted(train)
        kept = [answer for answer, _ in counts.most_common(config.answers)]
        tokenizer = learn_tokenizer(questions, config)
        longest = max(tokenizer.lengths(questions)) + 1  # with <end>
        longest = min(longest, config.max_length or longest)
        return self.bound(
            dataclasses.replace(config, max_length=longest),
            Classes(labels_in(kept, "--answer-column"), tokenizer),
        )

    def counted(self, examples):
        """How often each answer is right, in the spelling that is the most frequent."""
        each = [answer for several in examples["answers"] for answer in several]
        spellings = {}
        for answer, short in zip(each, scores.normalised(each), strict=True):
            spellings.setdefault(short, collections.Counter())[answer] += 1
        found = collections.Counter()
        for counts in spellings.values():
            found[scores.commonest(counts.elements())] = counts.total()
        return found

    def targets(self, examples):
        """A pair for every different answer that people gave, which weighs as much as
        their share. What is not among the answers cannot be learned, and weighs 0."""
        known = scores.normalised(self.assets.labels)
        ids = {answer: i for i, answer in enumerate(known)}
        owners, answers, weights = [], [], []
        for row, several in enumerate(scores.normalised_each(examples["answers"])):
            for answer, count in collections.Counter(several).items():
                owners.append(row)
                answers.append(ids.get(answer, 0))
                weights.append(count / len(several) if answer in ids else 0.0)
        weights = np.array(weights, np.float32)
        if self.config.class_weights == "balanced":
            totals = np.bincount(answers, weights, len(ids))
            weights = weights / np.maximum(totals, 1)[answers] * len(weights) / len(ids)
        return Pairs(
            owner=np.array(owners),
            targets={"logits": np.array(answers, np.int32)},
            weights={"logits": weights.astype(np.float32)},
        )

    def build_model(self):
        return build_model(self.config, self.assets)

    def augment(self, values, seed):
        image = pictures.shift_and_zoom(
            values["image"], self.config.shift, self.config.zoom, seed
        )
        return values | {"image": image}

    def frozen(self, model):
        if self.config.fusion == "question":
            return None
        return frozen_backbone(self.config, model)

    def features(self, values):
        """`image` as it is; `tokens` int32 (batch, max_length), <end> behind each
        question: so none is empty."""
        tokens, _ = self.assets.tokenizer.encode(
            values["question"], self.config.max_length, end=True
        )
        return {"image": values["image"], "tokens": tokens}

    # Answers

    def respond(self, model, inputs, options):
        """`probabilities` float32 (batch, answers); `attention` float32 (batch, stacks,
        height, width)."""
        outputs = encode(model, inputs)
        attention = tf.cast(outputs["attention"], tf.float32)
        stacks, side = attention.shape[1], round(attention.shape[2] ** 0.5)
        return {
            "probabilities": tf.nn.softmax(tf.cast(outputs["logits"], tf.float32)),
            "attention": tf.reshape(attention, [-1, stacks, side, side]),
        }

    def answer(self, values, tensors, options):
        """`answer` string (batch,), the likeliest; `score` float32 (batch,), its
        probability; `answers` string and `scores` float32 (batch, 5), the likeliest
        ones in turn, fewer where there are fewer; `attention` float32 (batch, stacks,
        height, width)."""
        most = min(TOP, len(self.assets.labels))
        best, ids = tf.math.top_k(tensors["probabilities"], most)
        answers = tf.gather(tf.constant(self.assets.labels), ids)
        return {
            "answer": answers[:, 0],
            "score": best[:, 0],
            "answers": answers,
            "scores": best,
            "attention": tensors["attention"],
        }

    def signatures(self):
        kinds = self.kinds() | config.signature_kinds(self.config)
        return {"choose": Signature(kinds, self.respond, self.answer_choose)}

    def answer_choose(self, values, tensors, options):
        """`answer` string (batch,), the likeliest of the `choices`; `score` float32
        (batch,), its probability among them; `scores` float32 (batch, choices). A
        choice that is no answer of the model has none; where all are such, the first is
        answered, with a score of 0."""
        choices, probabilities = values["choices"], tensors["probabilities"]
        found = scores.normalise(choices)
        known = scores.normalise(tf.constant(self.assets.labels))
        same = found[:, :, None] == known
        own = tf.where(same, probabilities[:, None], 0.0)  # (batch, choices, answers)
        given = tf.reduce_max(own, axis=-1)
        shares = tf.math.divide_no_nan(given, tf.reduce_sum(given, -1, keepdims=True))
        # Empty ones fill a request up and are no choices. One more, so that the best
        # is defined where there are none.
        ranked = tf.where(choices == "", -1.0, shares)
        ranked = tf.pad(ranked, [[0, 0], [0, 1]], constant_values=-1.0)
        best = tf.argmax(ranked, axis=-1)
        with_one = tf.pad(choices, [[0, 0], [0, 1]], constant_values="")
        return {
            "answer": tf.gather(with_one, best, batch_dims=1),
            "score": tf.maximum(tf.reduce_max(ranked, axis=-1), 0),
            "scores": shares,
            "attention": tensors["attention"],
        }

    # Figures

    def remark(self, examples):
        """How many questions no answer of the model can be right for."""
        known = set(scores.normalised(self.assets.labels))
        each = scores.normalised_each(examples["answers"])
        lost = sum(known.isdisjoint(several) for several in each)
        if not lost:
            return ""
        return (
            f"Of {len(examples)} questions {lost} have an answer that was not in "
            "training, and no answer can be right there."
        )

    def measure(self, answers, examples):
        """See `scores.figures`.

        Raises:
            UserError: an example cannot be read.
        """
        for i, answer in enumerate(answers):
            if not answer["ok"]:
                raise UserError(f"Example {i}: {answer['error']}.")
        types = examples["type"] if "type" in examples else None
        if types and len(set(types)) > TYPES_SHOWN:
            types = None
        given = [answer["answer"] for answer in answers]
        figures = scores.figures(given, examples["answers"], types)
        classes = len(self.assets.labels)
        measured_on = f"{len(answers)} questions, the likeliest of {classes} answers"
        return {**figures, "measured_on": measured_on}

    def evaluate(self, answerer, examples, options, most=None):
        """`measure`, and when all examples are measured, `blank` and `shuffled`: the
        accuracy with a white picture, and with that of another question, in the place
        of the right one. So much the question alone gives away."""
        figures = super().evaluate(answerer, examples, options, most)
        if most is not None or self.config.fusion == "question":
            return figures
        measured_on = figures.pop("measured_on")
        images, half = examples["image"], len(examples) // 2
        others = {
            "blank": [white_picture()] * len(images),
            "shuffled": images[half:] + images[:half],
        }
        for name, column in others.items():
            changed = Examples(**{**examples.columns, "image": column})
            figures[name] = super().evaluate(answerer, changed, options)["accuracy"]
        return {**figures, "measured_on": measured_on}

    # For people

    def show(self, answer):
        if not answer["ok"]:
            return "no answer"
        if "answers" not in answer:
            return f"{answer['answer']}  ({answer['score']:.2f})"
        others = zip(answer["answers"], answer["scores"], strict=True)
        others = [f"{text} {score:.2f}" for text, score in others][1:]
        return f"{answer['answer']}  ({answer['score']:.2f}; {', '.join(others)})"

    def draw(self, requests, answers):
        """Every picture, and where the network looked in each stack of attention."""
        rows, kinds = [], self.kinds()
        for request, answer in zip(requests, answers, strict=True):
            if not answer["ok"]:
                continue
            request = as_request(kinds, request)
            content, _ = kinds["image"].encode(request["image"])
            pixels, _ = pictures.decoder(DRAWN_SIZE)(tf.constant([content]))
            maps = answer["attention"]
            question, _ = kinds["question"].text(request["question"])
            title = f"{question} {answer['answer']} ({answer['score']:.2f})"
            names = [f"look {i + 1}" for i in range(len(maps))]
            rows.append((pixels[0].numpy(), names, maps.reshape(len(maps), -1), title))
        if not rows:
            raise UserError("No request could be read, so there is nothing to draw.")
        return plot.attention_sheet(rows)

    def example_row(self, examples, i):
        picture = examples["image"][i]
        name = f"picture {i}" if isinstance(picture, bytes) else picture
        answer = scores.commonest(examples["answers"][i])
        return f"{name}: {examples['question'][i]} {answer}"

    def describe(self, splits):
        different = len(set(splits.train["image"]))
        return {
            "lies in": lies_in(self.config, builtin="drawn by every command"),
            "pictures in training": different,
            "answers in training": self.labels_shown(splits.train),
            "while training": kept_of(self.config, different),
        }


def white_picture():
    """The bytes of a PNG."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(file, "PNG")
    return file.getvalue()


task_for = VQA
