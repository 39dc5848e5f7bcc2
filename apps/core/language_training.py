"""Training a language model by truncated backpropagation through time."""

import dataclasses
import math

import keras

from . import training
from .streams import Carrier, loss_meter, train_windows


def compile_carrier(carrier, config):
    """Ready for `fit`: Adam, warm-up and cosine decay over the planned steps."""
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20,
        warmup_target=config.learning_rate,
        warmup_steps=max(1, config.steps // 50),
        decay_steps=max(1, config.steps - config.steps // 50),
        alpha=0.01,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        beta_2=0.99,
        global_clipnorm=config.clip or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    carrier.compile(
        optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        jit_compile=config.jit,
        steps_per_execution=config.steps_per_call,
    )


def fit(model, config, assets, splits, folder, resume, planned):
    """Train `model`; returns the config with the number of steps filled in.

    Args:
        splits: with `train` and `validation`, a `streams.Text` each.
        others: as in `App.training`.
    """
    rows = config.batch_size
    carrier = Carrier(model, rows)

    def batches(first_step):
        return train_windows(splits.train, rows, config.window, config.seed, first_step)

    compile_carrier(carrier, config)
    if not config.steps:
        steps = training.steps_for(config.minutes, carrier, batches)
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
    planned(config)
    compile_carrier(carrier, config)  # The learning rate falls over the planned steps.
    measure = loss_meter(model)

    def score():
        nats = measure(splits.validation)
        return {**figures(nats, "val_"), "val_score": -nats}

    training.train(
        carrier, batches, per_round, rounds, folder, score, resume, kept=model
    )
    return config


def figures(nats, prefix=""):
    """A loss in the three units in which papers give it."""
    return {
        f"{prefix}nats": nats,
        f"{prefix}bits": nats / math.log(2),
        f"{prefix}perplexity": math.exp(min(nats, 700.0)),
    }
