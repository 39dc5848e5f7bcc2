"""Training a language model by truncated backpropagation through time."""

import dataclasses
import logging
import math

import keras

from ...data.parts import WHOLE
from ...training import devices, loop
from ...training.losses import GlobalMean
from .streams import Carrier, loss_meter, train_windows

log = logging.getLogger("saccade")

VALIDATED = 10**6  # tokens after each round, of a validation text that may be huge


class TokenLoss(GlobalMean, keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy of a token, the mean over the global batch."""


def compile_carrier(carrier, config):
    """Ready for `fit`: Adam, warm-up and cosine decay over the planned steps."""
    # In a few steps Adam's moments know too little for the full learning rate: a short
    # training that began at once ended half a nat worse (240 steps, 384 units).
    warm_up = max(1, config.steps // 50, min(50, config.steps // 5))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20,
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, config.steps - warm_up),
        alpha=0.01,
    )
    strategy = carrier.distribute_strategy
    with strategy.scope():
        optimizer = keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            beta_2=0.99,
            global_clipnorm=config.clip or None,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        carrier.compile(
            optimizer,
            loss=TokenLoss(from_logits=True, reduction="mean_with_sample_weight"),
            jit_compile=devices.xla(config.jit, strategy),
            # Keras' loop over several steps fails with the parts of several devices.
            steps_per_execution=1
            if devices.several(strategy)
            else config.steps_per_call,
        )


def fit(model, config, assets, splits, folder, resume, planned):
    """Train `model`; returns the config with the number of steps filled in.

    Args:
        splits: with `train` and `validation`, a `streams.Text` each.
        others: as in `App.training`.
    """
    rows, requested = config.batch_size, config.steps
    strategy = model.distribute_strategy
    with strategy.scope():
        carrier = Carrier(model, rows // strategy.num_replicas_in_sync)

    def batches(first_step, part=WHOLE):
        return train_windows(
            splits.train, rows, config.window, config.seed, first_step, part
        )

    compile_carrier(carrier, config)
    if not config.steps:
        steps = loop.steps_for(config.minutes, carrier, batches)
        config = dataclasses.replace(config, steps=steps)
    # Every round a whole number of calls.
    rounds = min(config.rounds, config.steps)
    per_round = config.steps // rounds
    calls = -(-per_round // config.steps_per_call)  # of a round
    per_call = per_round // calls
    per_round = calls * per_call
    config = dataclasses.replace(
        config, steps=rounds * per_round, steps_per_call=per_call
    )
    if requested not in (0, config.steps):
        log.info("%d steps instead of %d: whole rounds.", config.steps, requested)
    planned(config)
    compile_carrier(carrier, config)  # The learning rate falls over the planned steps.
    measure = loss_meter(model, most=VALIDATED)

    def score():
        nats = measure(splits.validation)
        return {**figures(nats, "val_"), "val_score": -nats}

    loop.train(carrier, batches, per_round, rounds, folder, score, resume, kept=model)
    return config


def figures(nats, prefix=""):
    """A loss in the three units in which papers give it."""
    return {
        f"{prefix}nats": nats,
        f"{prefix}bits": nats / math.log(2),
        # TensorBoard keeps float32, whose greatest number is exp(88.7).
        f"{prefix}perplexity": math.exp(min(nats, 88.0)),
    }
