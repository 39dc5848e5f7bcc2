"""Optimizers: AdamW with warm-up and cosine decay, by a config's settings."""

import keras


def adamw(config, steps, warm_up=None, **options):
    """AdamW for so many steps.

    Args:
        config: with `learning_rate`, the peak, `weight_decay` and `clip`.
        warm_up: steps in which the rate grows to its peak; None: a twentieth of all.
        options: of `keras.optimizers.AdamW`.
    """
    warm_up = max(1, steps // 20) if warm_up is None else warm_up
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20,
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
        **options.pop("schedule", {}),
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip or None,
        **options,
    )
    # What shifts and scales must stay free to do it.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
