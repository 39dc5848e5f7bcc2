"""The task of draw: a seed goes in, a painted picture comes out."""

import base64
import dataclasses
import json
import math
import typing

import keras
import numpy as np
import tensorflow as tf

from ...layers import decoding
from ..core.data.labelled_pictures import why_no_test
from ..core.data.places import lies_in
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.settings.json_text import read_json
from ..core.tasks.signatures import Signature
from ..core.tasks.task import Pairs, Task
from . import config, data, gallery
from .model import LAYER, build_model

BETWEEN = 8  # pictures from one to the other, both with
RAREST = 0.002  # share of ink that a pixel has at least, and of paper


@dataclasses.dataclass(frozen=True)
class Ink:
    """What is learned before there is a model.

    shares: how often each pixel is ink in training, row by row.
    """

    shares: tuple[float, ...]

    def to_json(self):
        """JSON text from which `from_json` makes the same."""
        return json.dumps({"shares": self.shares})

    @classmethod
    def from_json(cls, text):
        return cls(tuple(read_json(text, {"shares": [float]})["shares"]))

    def nats(self, ink):
        """-log p of pictures in which each pixel is ink by its share alone, float64
        (n,). ink: bool (n, height, width)."""
        shares = np.array(self.shares)
        flat = ink.reshape(len(ink), -1)
        return -np.where(flat, np.log(shares), np.log(1 - shares)).sum(axis=1)


@keras.saving.register_keras_serializable(package="saccade")
class Itself(keras.losses.Loss):
    """A loss that the model has computed: its output."""

    def call(self, y_true, y_pred):
        return y_pred


class Draw(Task):
    """See `Task`."""

    name = "draw"
    settings = config
    best = "-nats"
    in_words: typing.ClassVar = {"nats": "{:.2f} nats", "gain": "{:.1f} % below pixels"}
    validated_at_most = 2000
    trains = "reconstruct"
    animates = True

    def read(self):
        return data.read(self.config, self.row_kinds()["image"])

    def why_no_test(self):
        return why_no_test(self.config)

    def build_model(self):
        return build_model(self.config, self.assets)

    # Training

    def learn(self, train):
        """How often each pixel is ink."""
        ink = data.pixels(train["image"], self.config.image_size)
        shares = np.clip(ink.mean(axis=0), RAREST, 1 - RAREST).ravel()
        return self.bound(assets=Ink(tuple(round(float(s), 6) for s in shares)))

    def assets_from_json(self, text):
        return Ink.from_json(text)

    def begin(self, model):
        """The first canvas is the mean picture: 20 nats sooner after 400 steps (MNIST)
        than from an empty one."""
        canvas = model.get_layer(LAYER).first_canvas
        shares = np.reshape(self.assets.shares, canvas.shape)
        canvas.assign(np.log(shares / (1 - shares)))

    def augment(self, values, seed):
        """Beside every picture the noise of its strokes, new in every step."""
        shape = [tf.shape(values["image"])[0], *self.noise_shape]
        return values | {"noise": tf.random.stateless_normal(shape, seed)}

    def targets(self, examples):
        count = len(examples)
        return Pairs(
            owner=np.arange(count),
            targets={"nats": np.zeros(count, np.float32)},
            weights={"nats": np.ones(count, np.float32)},
        )

    def loss(self):
        return {"nats": Itself()}

    # Random numbers

    @property
    def noise_shape(self):
        """Of a picture: (strokes, latent)."""
        return self.config.strokes, self.config.latent

    def normal(self, seed, number=0):
        """Draws from N(0, 1), float32 (batch, strokes, latent): a function of each
        row's seed, int32 (batch,), and of a number, the same with XLA and without."""
        seeds = tf.stack([seed, tf.zeros_like(seed) + number], axis=1)
        uniform = decoding.uniform(math.prod(self.noise_shape), seeds)
        # In the middles of the 2^23 steps, so that none is 0.
        normal = tf.math.ndtri(uniform + 2.0**-24)
        return tf.reshape(normal, [-1, *self.noise_shape])

    def seed_of(self, image):
        """A number for every picture, int32 (batch,): what is drawn for it does not
        depend on its neighbours."""
        size = self.config.image_size
        draw = np.random.default_rng(0)
        factors = draw.integers(2**31, size=(size, size), dtype=np.int64)
        total = tf.reduce_sum(tf.cast(image, tf.int64) * factors, axis=[1, 2])
        return tf.cast(total % (2**31 - 1), tf.int32)

    # Painting

    def respond(self, model, inputs, options):
        """`canvases` float32 (batch, strokes, size, size), and `windows` (batch,
        strokes, 4)."""
        latents = self.normal(inputs["seed"])
        return self.painted(model, latents * options.temperature[:, None, None])

    def painted(self, model, latents):
        """What a network paints by latents, in float32."""
        painting = model.get_layer(LAYER).paint(latents)
        return {
            "canvases": tf.sigmoid(tf.cast(painting["canvases"], tf.float32)),
            "windows": tf.cast(painting["write_windows"], tf.float32),
        }

    def answer(self, values, tensors, options):
        """`png_bytes` string (batch,), the last canvas; `canvases` float32 (batch,
        strokes, size, size), after every stroke, how probably each pixel is ink;
        `windows` float32 (batch, strokes, 4), where each stroke was written: left, top,
        right, bottom in pixels."""
        return {"png_bytes": encoded(tensors["canvases"][:, -1]), **tensors}

    # Signatures

    def signatures(self):
        """`reconstruct`, of pictures, by which it learns; `interpolate`, from one
        picture to another."""
        two = config.signature_kinds(self.config)
        one = {"image": two["image"]}
        return {
            "reconstruct": Signature(
                one, self.respond_reconstruct, self.answer, self.seen
            ),
            "interpolate": Signature(
                two, self.respond_interpolate, self.answer_interpolate, self.seen_both
            ),
        }

    def ink(self, image):
        """Of decoded pictures uint8 (batch, size, size, 3): float32 (batch, size,
        size), 0, paper, or 1, ink, which is what the edge is not. A picture that is no
        square lies on paper."""
        bright = tf.reduce_mean(tf.cast(image, tf.float32), axis=-1) / 255
        inside, edge = pictures.extents(image)
        edge = tf.cast(edge, tf.float32)
        light = tf.reduce_sum(bright * edge, [1, 2]) > 0.5 * tf.reduce_sum(edge, [1, 2])
        bright = tf.where(light[:, None, None], 1 - bright, bright)
        return tf.cast(inside & (bright > 0.5), tf.float32)

    def seen(self, values):
        """`image` float32 (batch, size, size), and `noise` float32 (batch, strokes,
        latent): of the step in training, else the picture's own."""
        image = self.ink(values["image"])
        noise = values.get("noise")
        if noise is None:
            noise = self.normal(self.seed_of(image))
        return {"image": image, "noise": noise}

    def respond_reconstruct(self, model, inputs, options):
        """`bound`, `recon`, `kl` and what was painted; with `samples` above 1 also
        `iwae`."""
        outputs = model(inputs, training=False)
        response = {
            "bound": outputs["nats"],
            "recon": outputs["reconstruction"],
            "kl": outputs["kl"],
            "read_windows": tf.cast(outputs["read_windows"], tf.float32),
            **self.painted(model, outputs["latents"]),
        }
        if options.samples > 1:
            response["iwae"] = self.iwae(model, inputs["image"], options.samples)
        return response

    def iwae(self, model, image, samples):
        """The importance-weighted bound on -log p(image) in nats, float32 (batch,):
        -log of the mean of p(image, z) / q(z | image) over samples (Burda et al. 2016,
        arXiv:1509.00519)."""
        seed = self.seed_of(image)

        def log_weight(number):
            noise = self.normal(seed, number)
            outputs = model({"image": image, "noise": noise}, training=False)
            names = ("latents", "log_scales")
            latents, log_scales = (tf.cast(outputs[n], tf.float32) for n in names)
            # log N(z; 0, 1) - log N(z; mean, s), with noise = (z - mean) / s.
            ratio = (noise**2 - latents**2) / 2 + log_scales
            return tf.reduce_sum(ratio, axis=[1, 2]) - outputs["reconstruction"]

        # Number 0 is the single sample of `bound`.
        numbers = tf.range(1, samples + 1)
        spec = tf.TensorSpec([None], tf.float32)
        weights = tf.map_fn(log_weight, numbers, fn_output_signature=spec)
        return math.log(samples) - tf.reduce_logsumexp(weights, axis=0)

    def seen_both(self, values):
        """Both pictures, float32 (batch, 2, size, size)."""
        both = [self.ink(values[name]) for name in ("image", "other")]
        return {"both": tf.stack(both, axis=1)}

    def respond_interpolate(self, model, inputs, options):
        """`between` float32 (batch, BETWEEN, size, size): painted by latents on the way
        from one picture's means to the other's."""
        size = self.config.image_size
        images = tf.reshape(inputs["both"], [-1, size, size])
        none = tf.zeros([tf.shape(images)[0], *self.noise_shape])
        outputs = model({"image": images, "noise": none}, training=False)
        ends = tf.reshape(outputs["latents"], [-1, 2, 1, *self.noise_shape])
        share = tf.cast(tf.linspace(0.0, 1.0, BETWEEN), ends.dtype)[:, None, None]
        latents = ends[:, 0] * (1 - share) + ends[:, 1] * share
        latents = tf.reshape(latents, [-1, *self.noise_shape])
        last = self.painted(model, latents)["canvases"][:, -1]
        return {"between": tf.reshape(last, [-1, BETWEEN, size, size])}

    def answer_interpolate(self, values, tensors, options):
        """`between`, and `png_bytes` string (batch,), the same side by side."""
        strip = tf.transpose(tensors["between"], [0, 2, 1, 3])
        size = self.config.image_size
        strip = tf.reshape(strip, [-1, size, BETWEEN * size])
        return {"png_bytes": encoded(strip), **tensors}

    # Figures

    def evaluate(self, answerer, examples, options, most=None):
        figures = super().evaluate(answerer, examples, options, most)
        if options.samples > 1:
            name = f"iwae_{options.samples}"
            figures = {name: figures.pop("iwae"), **figures}
        return figures

    def measure(self, answers, examples):
        """`nats` per picture, the bound on -log p, and its parts `reconstruction` and
        `kl`; `kl_by_stroke`; `independent`, the nats of pixels that know nothing of
        each other, by how often each was ink in training; `gain`, percent that `nats`
        are below them.

        Raises:
            UserError: a picture cannot be read.
        """
        for i, answer in enumerate(answers):
            if not answer["ok"]:
                raise UserError(f"Picture {i}: {answer['error']}.")
        means = {
            name: float(np.mean([np.sum(answer[name]) for answer in answers]))
            for name in ("bound", "recon", "kl", "iwae")
            if name in answers[0]
        }
        ink = data.pixels(examples["image"], self.config.image_size)
        independent = float(self.assets.nats(ink).mean())
        strokes = np.mean([answer["kl"] for answer in answers], axis=0)
        figures = {
            "nats": means["bound"],
            "reconstruction": means["recon"],
            "kl": means["kl"],
            "independent": independent,
            "gain": 100 * (1 - means["bound"] / independent),
            "kl_by_stroke": {
                "kl": {str(i): float(kl) for i, kl in enumerate(strokes, 1)}
            },
            "measured_on": f"{len(answers)} pictures, binary, one sample each",
        }
        return figures | {k: v for k, v in means.items() if k == "iwae"}

    # For people

    def show(self, answer):
        if "between" in answer:
            return f"{BETWEEN} pictures from one to the other; see them with --plot"
        share = 100 * float(np.mean(answer["canvases"][-1]))
        painted = f"{len(answer['canvases'])} strokes, {share:.0f} % ink"
        if "bound" not in answer:
            return f"{painted}; --plot painting.gif shows it"
        line = f"{answer['bound']:.1f} nats: {answer['recon']:.1f} of the pixels, "
        line += f"{np.sum(answer['kl']):.1f} of {painted}"
        return line + (f"; IWAE {answer['iwae']:.1f}" if "iwae" in answer else "")

    def draw(self, requests, answers):
        """Paintings: an `Animation`, a frame per stroke. Of pictures: a Figure, what
        was seen and every canvas, or the pictures from one to the other."""
        rows = []
        for request, answer in zip(requests, answers, strict=True):
            if answer["ok"]:
                rows.append((self.given(request), answer))
        if not rows:
            raise UserError("No request could be answered, so there is no picture.")
        if "between" in rows[0][1]:
            return gallery.between(rows)
        if "bound" in rows[0][1]:
            return gallery.reconstructions(rows)
        return gallery.paintings(rows)

    def given(self, request):
        """What a request holds, as it is drawn: its seed, or its picture as it was
        seen, bool (size, size)."""
        if not isinstance(request, dict):
            request = {"seed": request}
        if "image" not in request:
            return str(request["seed"])
        kind = self.row_kinds()["image"]
        content, _ = kind.encode(request["image"])
        decoded, _ = pictures.decoder(self.config.image_size)(tf.constant([content]))
        return self.ink(decoded)[0].numpy()

    def readable(self, request, row):
        """The PNG as TF Serving's REST API gives what is called `_bytes`: in base64."""
        png = base64.b64encode(bytes(row["png_bytes"])).decode()
        return {**super().readable(request, row), "png_bytes": png}

    def example_row(self, examples, i):
        ink = data.pixels(examples["image"][i : i + 1], self.config.image_size)
        return f"{examples['name'][i]}: {100 * ink.mean():.0f} % ink"

    def describe(self, splits):
        size, count = self.config.image_size, len(splits.train)
        ink = data.pixels(splits.train["image"], size)
        return {
            "lies in": lies_in(self.config, builtin="drawn by every command"),
            "made binary": f"once, by draws with the seed {data.SEED}",
            "ink in training": f"{100 * ink.mean():.1f} % of the pixels",
            "independent pixels": f"{self.assets.nats(ink).mean():.1f} nats a picture",
            "while training": pictures.kept_in(count, size),
        }


def encoded(pictures):
    """PNGs of 16 greys, ink white: float32 (batch, height, width), 0 to 1 -> string
    (batch,). With finer ones the rounding of sums would show, and a picture would not
    be the same beside other neighbours."""
    grey = tf.cast(17 * tf.round(pictures * 15), tf.uint8)[..., None]
    spec = tf.TensorSpec([], tf.string)
    return tf.map_fn(tf.io.encode_png, grey, fn_output_signature=spec)


task_for = Draw
