"""The task of faces: a picture goes in, a person's name comes out, or "unknown"."""

import dataclasses
import json
import logging
import pathlib

import numpy as np
import tensorflow as tf

from ..core.data.labelled_pictures import why_no_test
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.inputs.kinds import as_request
from ..core.settings.json_text import read_json
from ..core.tasks.backbones import encode
from ..core.tasks.classify import Classify
from ..core.tasks.signatures import Signature
from . import config, data, verification
from .model import MarginLoss, build_model

log = logging.getLogger("saccade")

UNKNOWN = "unknown"
DRAWN_SIZE = 96  # pixels of a picture with its nearest
NO_STRANGERS = (
    "Validation holds no two persons who are not in training. The thresholds are "
    "chosen by known ones, who lie further apart than strangers do: look at the "
    "distances, and set --threshold."
)


@dataclasses.dataclass(frozen=True)
class Persons:
    """Who is known.

    labels: the persons in training, in the order of the logits.
    added: names of persons that were added to the trained model.
    vectors: the embedding of each of them, one behind the other.
    pair_threshold: the distance within which two faces are one person's.
    person_threshold: the one within which a face is the nearest person's.
    """

    labels: tuple[str, ...]
    added: tuple[str, ...] = ()
    vectors: tuple[float, ...] = ()
    pair_threshold: float = 1.0
    person_threshold: float = 1.0

    @property
    def names(self):
        return self.labels + self.added

    def with_person(self, name, vector):
        """These and one more, or with another vector of who was added already."""
        known = dict(zip(self.added, self.matrix(len(vector)), strict=True))
        known[name] = vector
        vectors = np.concatenate(list(known.values())).tolist()
        return dataclasses.replace(self, added=tuple(known), vectors=tuple(vectors))

    def matrix(self, size):
        """The added persons' embeddings, float32 (added, size)."""
        return np.array(self.vectors, np.float32).reshape(-1, size)

    def to_json(self):
        """JSON text from which `from_json` makes the same."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text):
        lists = {"labels": [str], "added": [str], "vectors": [float]}
        numbers = {"pair_threshold": float, "person_threshold": float}
        saved = read_json(text, lists | numbers)
        return cls(
            **{name: tuple(saved[name]) for name in lists},
            **{name: saved[name] for name in numbers},
        )


class Faces(Classify):
    """See `Classify` and `Task`.

    `serving_default` says who a face is; the signature `verify` whether two are the
    same person's; `embed` gives the embedding, for a search of one's own.
    """

    name = "faces"
    settings = config
    best = "rank_1"
    likeliest = "the nearest"
    comparable = False
    in_words = {"rank_1": "rank-1 {:.1f} %", "auc": "AUC of unseen {:.1f} %"}

    def read(self):
        return data.read(self.config)

    def why_no_test(self):
        return why_no_test(self.config)

    def learn(self, train):
        """The persons."""
        labels = super().learn(train).assets.labels
        if UNKNOWN in labels:
            raise UserError(
                f"A person is called {UNKNOWN!r}, which is the answer for faces of "
                "nobody in training. Rename the folder."
            )
        return self.bound(assets=Persons(labels))

    def assets_from_json(self, text):
        persons = Persons.from_json(text)
        expected = len(persons.added) * self.config.embedding
        if len(persons.vectors) != expected:
            raise UserError(
                f"expected {expected} numbers for {len(persons.added)} added persons; "
                f"received {len(persons.vectors)}."
            )
        return persons

    def learned_as(self, text):
        return Persons.from_json(text).labels == self.assets.labels

    def build_model(self):
        return build_model(self.config, self.assets)

    def calibrate(self, answerer, splits):
        """With the thresholds that suit the validation: of pairs the one at which 1 %
        of those of two persons are taken for one; of persons the one at which as many
        strangers are named as known persons are not."""
        examples = splits.validation
        if not len(examples):
            return self
        requests = examples.requests(self.kinds())
        answers = answerer.answers(requests, self.Options(), "embed")
        embeddings = np.array([answer["embedding"] for answer in answers])
        labels, known = np.array(examples["label"]), np.array(self.assets.labels)
        chosen = self.strangers_or_all(labels)
        if np.isin(labels[chosen], known).any():
            log.info(NO_STRANGERS)
        kernel = answerer.model.get_layer("persons").kernel
        apart = verification.distances(embeddings, np.array(kernel).T)
        own = labels[:, None] == known
        as_strangers = np.where(own, np.inf, apart).min(axis=1)[chosen]
        distance = np.concatenate([apart[own], as_strangers])
        same = np.arange(len(distance)) < own.sum()
        return self.bound(
            assets=dataclasses.replace(
                self.assets,
                pair_threshold=verification.threshold(
                    *verification.pairs(embeddings[chosen], labels[chosen]),
                    verification.at_far,
                ),
                person_threshold=verification.threshold(
                    distance, same, verification.equal_error
                ),
            )
        )

    def strangers_or_all(self, labels):
        """Bool (rows,): which rows show persons who are not in training; all, where
        these are not two at least."""
        strangers = ~np.isin(labels, self.assets.labels)
        several = len(set(labels[strangers].tolist())) > 1
        return strangers if several else np.full(len(labels), True)

    def augment(self, values, seed):
        """Faces are moved, scaled and turned a little, in another light."""
        config, seeds = self.config, tf.random.split(seed, 3)
        image = values["image"]
        if config.mirror:
            image = tf.image.stateless_random_flip_left_right(image, seeds[2])
        image = pictures.shift_and_zoom(image, config.shift, config.zoom, seeds[0])
        return {"image": turn_and_light(image, config.turn, config.contrast, seeds[1])}

    def loss(self):
        margin = self.config.margin * self.config.scale
        return {"logits": MarginLoss(margin, self.config.label_smoothing)}

    def rank(self, figures):
        # Where all persons are known, or none, there is one of them.
        return figures.get("rank_1", 0.0) + figures.get("auc", 0.0)

    # Answers

    def embed(self, model, image):
        """Embeddings of pixels, float32 (batch, embedding), of length 1; with `mirror`
        the mean of the picture's and its mirror image's, brought to that length."""
        network = model.get_layer("network")
        embedding = tf.cast(encode(network, image), tf.float32)
        if self.config.mirror:
            mirrored = encode(network, tf.reverse(image, [2]))
            embedding += tf.cast(mirrored, tf.float32)
        return tf.math.l2_normalize(embedding, axis=-1)

    def respond(self, model, inputs, options):
        """`embedding` float32 (batch, embedding); `cosines` float32 (batch, persons),
        of it and of every known person's vector."""
        embedding = self.embed(model, inputs["image"])
        vectors = tf.cast(model.get_layer("persons").kernel, tf.float32)
        added = self.assets.matrix(self.config.embedding)
        vectors = tf.concat([vectors, tf.transpose(tf.constant(added))], axis=1)
        return {"embedding": embedding, "cosines": tf.matmul(embedding, vectors)}

    def answer(self, values, tensors, options):
        """`label` string (batch,), the nearest person's name, or "unknown" where that
        is farther than `threshold`; `nearest` string (batch,), the name in any case;
        `distance` float32 (batch,), of the embeddings, 0 to 2; `score` float32
        (batch,), the nearest one's probability among the known persons; `embedding`
        float32 (batch, embedding), of length 1."""
        cosines = tensors["cosines"]
        distance = distance_of(tf.reduce_max(cosines, axis=-1))
        nearest = tf.gather(self.assets.names, tf.argmax(cosines, axis=-1))
        probabilities = tf.nn.softmax(self.config.scale * cosines)
        return {
            "label": tf.where(
                within(distance, options.threshold, self.assets.person_threshold),
                nearest,
                UNKNOWN,
            ),
            "nearest": nearest,
            "distance": distance,
            "score": tf.reduce_max(probabilities, axis=-1),
            "embedding": tensors["embedding"],
        }

    def signatures(self):
        two = self.kinds() | config.signature_kinds(self.config)
        verify = Signature(
            two, self.respond_verify, self.answer_verify, takes_options=True
        )
        embedded = Signature(self.kinds(), self.respond_embed, self.answer_embed)
        return {"verify": verify, "embed": embedded}

    def respond_embed(self, model, inputs, options):
        """`embedding` float32 (batch, embedding), of length 1."""
        return {"embedding": self.embed(model, inputs["image"])}

    def answer_embed(self, values, tensors, options):
        return tensors

    def respond_verify(self, model, inputs, options):
        """`distance` float32 (batch,), of the two pictures' embeddings, 0 to 2."""
        one, other = (self.embed(model, inputs[name]) for name in ("image", "other"))
        return {"distance": distance_of(tf.reduce_sum(one * other, axis=-1))}

    def answer_verify(self, values, tensors, options):
        """`distance`, and `same` bool (batch,), whether it is `threshold` at most."""
        distance, own = tensors["distance"], self.assets.pair_threshold
        return tensors | {"same": within(distance, options.threshold, own)}

    def add(self, answerer, name, requests):
        """The task that knows one more person: by the mean of the pictures'
        embeddings.

        Raises:
            UserError: the name is taken, or a picture cannot be read.
        """
        if not name.strip() or name in (*self.assets.labels, UNKNOWN):
            raise UserError(
                "--add expected the name of a person who was not in training, received "
                f"{name!r}. To give known persons more pictures, train again."
            )
        answers = answerer.answers(requests, self.Options(), "embed")
        for request, answer in zip(requests, answers, strict=True):
            if not answer["ok"]:
                raise UserError(f"--add: {request['image']!r:.99} {answer['error']}.")
        mean = np.mean([answer["embedding"] for answer in answers], axis=0)
        vector = mean / np.linalg.norm(mean)
        return self.bound(assets=self.assets.with_person(name, vector))

    # Figures

    def figures(self, answers, references):
        """Figures of names and of pairs, in percent.

        Of pictures of known persons: `rank_1`, the share whose nearest person is right;
        `named`, the share that is named rightly by the threshold. Of others: `refused`,
        the share that is called unknown, and what `verification.figures` gives of all
        pairs of their pictures.
        """
        known = np.isin(references, self.assets.names)
        references = np.array(references)
        label, nearest = (
            np.array([answer[name] for answer in answers])
            for name in ("label", "nearest")
        )
        found = {}
        if known.any():
            found["rank_1"] = 100 * float(np.mean((nearest == references)[known]))
            found["named"] = 100 * float(np.mean((label == references)[known]))
        if not known.all():
            found["refused"] = 100 * float(np.mean(label[~known] == UNKNOWN))
            embeddings = np.array([answer["embedding"] for answer in answers])
            pairs = verification.pairs(embeddings[~known], references[~known])
            if len(set(pairs[1].tolist())) == 2:
                found |= verification.figures(*pairs)
        return found

    def remark(self, examples):
        """Nothing: persons that were not in training have figures of their own."""
        return ""

    # For people

    def draw(self, requests, answers):
        """Every picture with the nearest of the others."""
        kind, rows = self.kinds()["image"], []
        for request, answer in zip(requests, answers, strict=True):
            if answer["ok"]:
                content, _ = kind.encode(as_request(self.kinds(), request)["image"])
                rows.append((content, self.show(answer), answer["embedding"]))
        if len(rows) < 2:
            raise UserError(
                "--plot draws every picture with the nearest of the others: expected "
                f"two pictures at least that can be read, received {len(rows)}."
            )
        contents, lines, embeddings = zip(*rows, strict=True)
        pixels, _ = pictures.decoder(DRAWN_SIZE)(tf.constant(contents))
        titles = [line.partition("  ")[0] for line in lines]
        return verification.nearest_figure(pixels.numpy(), titles, embeddings)

    def inspect(self, run, path, out):
        """The ROC curve of the test split's pairs, of strangers where there are two, as
        `roc.png`; and its figures."""
        examples = self.read().test
        labels = np.array(examples["label"])
        chosen = self.strangers_or_all(labels)
        if len(set(labels[chosen].tolist())) in (0, 1, chosen.sum()):
            raise UserError(
                "A ROC curve needs two persons in the test split, and two pictures of "
                f"one of them; {self.config.data} has none such."
            )
        answers = run.predict(examples.requests(self.kinds()), "embed")
        embeddings = np.array([answer["embedding"] for answer in answers])
        pairs = verification.pairs(embeddings[chosen], labels[chosen])
        who = "known persons" if chosen.all() else "persons who were not in training"
        title = f"{chosen.sum()} test pictures of {who}"
        path = pathlib.Path(out) / "roc.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        verification.roc_figure(*pairs, title).savefig(path)
        return {"drawn": str(path), "of": title, **verification.figures(*pairs)}

    def show(self, answer):
        if "same" in answer:
            who = "the same person" if answer["same"] else "two persons"
            return f"{who}  (distance {answer['distance']:.2f})"
        if "label" not in answer:
            return " ".join(f"{value:.3f}" for value in answer["embedding"])
        line = f"{answer['label']}  (distance {answer['distance']:.2f})"
        if answer["label"] == UNKNOWN:
            return f"{line}; the nearest: {answer['nearest']}"
        return line

    def describe(self, splits):
        train, labels = splits.train, set(self.assets.labels)
        counts = self.counted(train).values()
        unseen = {
            person
            for part in (splits.validation, splits.test)
            for person in part["label"]
            if person not in labels
        }
        return {
            "lies in": lies_in(self.config, builtin="drawn by every command"),
            "persons in training": self.labels_shown(train),
            "persons not in training": len(unseen),
            "pictures of a person": f"{min(counts)} to {max(counts)}",
            "while training": pictures.kept_in(len(train), self.config.image_size),
        }


def within(distance, asked, own):
    """Whether distances (batch,) are within a threshold, float (batch,), as a request
    asks for it, or where that is 0 within the run's own: bool (batch,)."""
    return distance <= tf.where(asked > 0, asked, own)


def distance_of(cosines):
    """The distance of two vectors of length 1, by their cosine."""
    return tf.sqrt(tf.maximum(2 - 2 * cosines, 0.0))


def turn_and_light(pixels, degrees, contrast, seed):
    """Turn every picture about its middle, and change its contrast and light at random.

    Args:
        pixels: uint8 (batch, size, size, 3).
        degrees: at most, either way. contrast: at most, as a share, of both.
        seed: int32 (2,), of which it is a pure function.

    Returns:
        uint8 (batch, size, size, 3); what was outside of the picture is white.
    """
    batch, middle = tf.shape(pixels)[0], (pixels.shape[1] - 1) / 2
    draws = tf.random.stateless_uniform([batch, 3], seed, -1.0, 1.0)
    angle = draws[:, 0] * degrees * np.pi / 180
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros([batch])
    x, y = middle * (1 - cos + sin), middle * (1 - cos - sin)
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(pixels, tf.float32),
        transforms=tf.stack([cos, -sin, x, sin, cos, y, zero, zero], axis=1),
        output_shape=tf.shape(pixels)[1:3],
        fill_value=255.0,
        interpolation="BILINEAR",
    )
    factor, light = (1 + contrast * draws[:, i, None, None, None] for i in (1, 2))
    changed = 128 + factor * (turned - 128) + 128 * (light - 1)
    return tf.cast(tf.round(tf.clip_by_value(changed, 0, 255)), tf.uint8)


task_for = Faces
