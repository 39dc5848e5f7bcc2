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
from .config import Decode
from .decode import decode_captions

log = logging.getLogger("saccade")


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
        if config.attention == "hard" and not hasattr(model, "reinforce"):
            model.reinforce = Reinforce(config.reinforce, config.entropy)
            # Its baseline must be there before the first step: a checkpoint is read
            # into what a model has, and timed steps are undone in it.
            model.reinforce.build((None,))
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
    gather_pictures = pictures.picker(splits.train.files, config.image_size)
    owner = np.repeat(
        np.arange(len(splits.train)), [len(c) for c in splits.train.captions]
    )
    sentences = [caption for captions in splits.train.captions for caption in captions]
    tokens = vocabulary.encode(sentences, config.max_length).numpy()  # (n, time)

    def batches(first_step, part=WHOLE):
        """(inputs, targets, weights) for `fit`, from this step on."""

        def make(step, indices):
            indices = indices[part.of(config.batch_size)]
            # Every part moves its pictures in its own way.
            draw = step * part.count + part.index
            seed = tf.stack([config.seed, tf.cast(draw, tf.int32)])
            pixels = gather_pictures(tf.gather(owner, indices))
            pixels = pictures.shift_and_zoom(pixels, config.shift, config.zoom, seed)
            targets = tf.gather(tokens, indices)  # (batch, time)
            decoder_inputs = tf.pad(
                targets[:, :-1], [[0, 0], [1, 0]], constant_values=vocabulary.start
            )
            decoder_inputs = tf.where(
                decoder_inputs == vocabulary.end, vocabulary.pad, decoder_inputs
            )
            real = tf.cast(targets != vocabulary.pad, tf.float32)
            inputs = {"image": pixels, "tokens": decoder_inputs}
            return inputs, {"logits": targets}, {"logits": real}

        stream = index_batches(len(tokens), config.batch_size, config.seed, first_step)
        return stream.map(make, num_parallel_calls=2).prefetch(2)

    compile_model(model, config)
    if not config.steps:
        steps = loop.steps_for(config.minutes, model, batches)
        config = dataclasses.replace(config, steps=steps)
    rounds, requested = min(config.rounds, config.steps), config.steps
    config = dataclasses.replace(config, steps=requested // rounds * rounds)
    if config.steps != requested:
        log.info("%d steps instead of %d: whole rounds.", config.steps, requested)
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
    decode = tf.function(
        lambda batch: decode_captions(model, config, vocabulary, batch, Decode()).tokens
    )

    def score():
        tokens = [decode(pixels[i : i + 128]) for i in range(0, len(pixels), 128)]
        strings = vocabulary.decode(tf.concat(tokens, 0)).numpy()
        captions = [string.decode() for string in strings]
        figures = caption_metrics(captions, references, vocabulary.units)
        # chrF moves with every letter, exact match by whole pictures; their sum
        # ranks rounds that one of them alone would call equal.
        total = figures["exact_match"] + figures["chrf"]
        return {
            "val_exact_match": figures["exact_match"],
            "val_chrf": figures["chrf"],
            "val_score": total,
        }

    return score
