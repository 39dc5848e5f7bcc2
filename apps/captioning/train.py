"""Training: batches of captions, the loss over padded ones, REINFORCE, validation."""

import dataclasses
import logging

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ...layers import Reinforce
from ..core.data.order import index_batches
from ..core.data.parts import WHOLE
from ..core.errors import UserError
from ..core.inputs import pictures
from ..core.report.metrics import caption_metrics
from ..core.training import devices, loop
from ..core.training.losses import GlobalMean
from . import serve
from .config import Decode

log = logging.getLogger("saccade")


@keras.saving.register_keras_serializable(package="saccade")
class Captioner(keras.Model):
    """A functional captioning model and its loss.

    The loss is the cross-entropy of the next token, averaged over the real tokens
    of the batch. Hard attention adds the loss of `Reinforce`, once `reinforce` is
    set by `compile_model`.
    """

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        reinforce = getattr(self, "reinforce", None)
        if reinforce is None or not training:
            return loss
        real = ops.cast(sample_weight["logits"], "float32")  # (batch, time)
        said = -keras.losses.sparse_categorical_crossentropy(
            y["logits"], y_pred["logits"], from_logits=True
        )
        extra = reinforce(
            ops.sum(said * real, axis=-1),
            weights=y_pred["attention"],
            chosen=y_pred["chosen"],
            mask=real,
            training=True,
        )
        # Per token, like the cross-entropy that it is added to.
        return loss + ops.sum(extra) / ops.maximum(ops.sum(real), 1)


@keras.saving.register_keras_serializable(package="saccade")
class TokenLoss(GlobalMean, keras.losses.Loss):
    """Cross-entropy of token ids against logits, (batch, time) and (batch, time, V).
    With the default reduction, the mean over the tokens of the global batch.

    Args:
        smoothing: share of the target spread evenly over the vocabulary; it keeps
            the network from being surer than its data (Szegedy et al. 2016).
    """

    def __init__(
        self,
        smoothing=0.0,
        name="token_loss",
        reduction="mean_with_sample_weight",
        **kwargs,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        log_probs = ops.log_softmax(y_pred)
        target = ops.cast(y_true, "int32")[:, :, None]
        right = ops.take_along_axis(log_probs, target, axis=-1)[:, :, 0]
        return -(
            (1 - self.smoothing) * right + self.smoothing * ops.mean(log_probs, axis=-1)
        )

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


def compile_model(model, config):
    """Ready for `fit`: AdamW, warm-up and cosine decay over the planned steps."""
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20,
        warmup_target=config.learning_rate,
        warmup_steps=max(1, config.steps // 20),
        decay_steps=max(1, config.steps - config.steps // 20),
    )
    strategy = model.distribute_strategy
    with strategy.scope():
        optimizer = keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            global_clipnorm=config.clip or None,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        if config.attention == "hard":
            model.reinforce = Reinforce(config.reinforce, config.entropy)
        model.compile(
            optimizer,
            loss={"logits": TokenLoss(config.label_smoothing)},
            jit_compile=devices.xla(config.jit, strategy),
        )


def fit(model, config, vocabulary, splits, folder, resume, planned):
    """Train `model`; returns the config with the number of steps filled in.

    Args:
        splits: from `data.load_data`.
        folder: where `core.training.loop.train` keeps its files.
        resume: go on from the folder's checkpoint.
        planned: called with the final config before the first step.
    """
    if config.attention == "hard" and devices.several(model.distribute_strategy):
        raise UserError(
            "--attention hard trains on one device: its moving baseline and its draws "
            "are not shared among replicas. Train it with --strategy none, or take "
            "--attention soft."
        )
    pick = pictures.picker(splits.train.files, config.image_size)
    owner = np.repeat(
        np.arange(len(splits.train)), [len(c) for c in splits.train.captions]
    )
    sentences = [caption for captions in splits.train.captions for caption in captions]
    targets = vocabulary.encode(sentences, config.max_length).numpy()  # (n, time)

    def batches(first_step, part=WHOLE):
        """(inputs, targets, weights) for `fit`, from this step on."""

        def make(step, indices):
            indices = indices[part.of(config.batch_size)]
            # Every part moves its pictures in its own way.
            draw = step * part.count + part.index
            seed = tf.stack([config.seed, tf.cast(draw, tf.int32)])
            seen = pick(tf.gather(owner, indices))
            seen = pictures.shift_and_zoom(seen, config.shift, config.zoom, seed)
            said = tf.gather(targets, indices)  # (batch, time)
            heard = tf.pad(
                said[:, :-1], [[0, 0], [1, 0]], constant_values=vocabulary.start
            )
            real = tf.cast(said != vocabulary.pad, tf.float32)
            heard = tf.where(heard == vocabulary.end, vocabulary.pad, heard)
            return {"image": seen, "tokens": heard}, {"logits": said}, {"logits": real}

        stream = index_batches(len(targets), config.batch_size, config.seed, first_step)
        return stream.map(make, num_parallel_calls=2).prefetch(2)

    compile_model(model, config)
    if not config.steps:
        steps = loop.steps_for(config.minutes, model, batches)
        config = dataclasses.replace(config, steps=steps)
    rounds, asked = min(config.rounds, config.steps), config.steps
    config = dataclasses.replace(config, steps=asked // rounds * rounds)
    if config.steps != asked:
        log.info("%d steps instead of %d: whole rounds.", config.steps, asked)
    planned(config)
    compile_model(model, config)  # The learning rate falls over the planned steps.
    loop.train(
        model,
        batches,
        config.steps // rounds,
        rounds,
        folder,
        validation(model, config, vocabulary, splits.validation or splits.train),
        resume,
    )
    return config


def validation(model, config, vocabulary, examples, most=500):
    """A function that scores the model as it is by greedy captions of `examples`."""
    pixels = pictures.read(examples.files[:most], config.image_size)
    references = [vocabulary.canonical(c) for c in examples.captions[:most]]
    speak = tf.function(
        lambda batch: serve.speak(model, config, vocabulary, batch, Decode()).tokens
    )

    def score():
        tokens = [speak(pixels[i : i + 128]) for i in range(0, len(pixels), 128)]
        said = [s.decode() for s in vocabulary.decode(tf.concat(tokens, 0)).numpy()]
        figures = caption_metrics(said, references, vocabulary.units)
        # chrF moves with every letter, exact match by whole pictures; their sum
        # ranks rounds that one of them alone would call equal.
        total = figures["exact_match"] + figures["chrf"]
        return {
            "val_exact_match": figures["exact_match"],
            "val_chrf": figures["chrf"],
            "val_score": total,
        }

    return score
