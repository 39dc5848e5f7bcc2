"""Reinforce: an estimator whose mean is the gradient that enumeration gives."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import Reinforce

from .helpers import normal

STEPS, REGIONS = 2, 3
LOGITS = normal(STEPS, REGIONS, seed=2)
# log p(y | the regions looked at), a table with one entry for each way to look.
LIKELIHOOD = normal(REGIONS, REGIONS, seed=3)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def exact_gradient():
    """Of the expected log-likelihood by the logits: all 9 ways to look, summed."""
    p = softmax(LOGITS.astype("float64"))
    gradient = np.zeros_like(p)
    for ways in itertools.product(range(REGIONS), repeat=STEPS):
        chance = np.prod([p[t, way] for t, way in enumerate(ways)])
        for t, way in enumerate(ways):
            d_log_p = np.eye(REGIONS)[way] - p[t]
            gradient[t] += chance * LIKELIHOOD[ways] * d_log_p
    return gradient


def losses_and_gradient(layer, chosen, likelihood, training=False):
    """Row losses, and the gradient of their mean by the logits that all rows share."""
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        weights = tf.repeat(tf.nn.softmax(logits)[None], len(chosen), axis=0)
        losses = layer(likelihood, weights, chosen, training=training)
        loss = tf.reduce_mean(losses)
    return np.array(losses), np.array(tape.gradient(loss, logits))


def drawn(count):
    draw = np.random.default_rng(0)
    p = softmax(LOGITS)
    ways = np.stack([draw.choice(REGIONS, count, p=row / row.sum()) for row in p], 1)
    return np.eye(REGIONS, dtype="float32")[ways], LIKELIHOOD[ways[:, 0], ways[:, 1]]


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_the_mean_estimate_is_the_exact_gradient(baseline):
    """With any baseline: it only makes the estimate steadier."""
    layer = Reinforce(entropy=0.0)
    layer.build((None,))
    layer.baseline.assign(baseline)
    _, gradient = losses_and_gradient(layer, *drawn(100_000))
    np.testing.assert_allclose(-gradient, exact_gradient(), atol=0.01)
    assert np.abs(exact_gradient()).max() > 0.1


def test_loss_of_a_row_is_the_equation():
    """- scale (log p(y | draws) - baseline) log p(draws), entropy left out."""
    layer = Reinforce(scale=2.0, entropy=0.0)
    layer.build((None,))
    layer.baseline.assign(0.7)
    chosen, likelihood = drawn(5)
    losses, _ = losses_and_gradient(layer, chosen, likelihood)
    log_draws = np.sum(chosen * np.log(softmax(LOGITS)), axis=(1, 2))
    np.testing.assert_allclose(losses, -2 * (likelihood - 0.7) * log_draws, rtol=1e-4)


def test_scale_weighs_the_estimate():
    chosen, likelihood = drawn(10)
    one = losses_and_gradient(Reinforce(entropy=0.0), chosen, likelihood)
    three = losses_and_gradient(Reinforce(scale=3.0, entropy=0.0), chosen, likelihood)
    np.testing.assert_allclose(three[0], 3 * one[0], rtol=1e-5)
    np.testing.assert_allclose(three[1], 3 * one[1], rtol=1e-5)


def test_entropy_is_a_bonus():
    chosen, _ = drawn(2)
    losses, _ = losses_and_gradient(
        Reinforce(scale=0.0, entropy=0.5), chosen, np.zeros(2, "float32")
    )
    p = softmax(LOGITS)
    expected = 0.5 * np.sum(p * np.log(p))
    np.testing.assert_allclose(losses, [expected, expected], rtol=1e-5)


def test_means_count_for_nothing():
    """Where the mean was taken instead of a draw, REINFORCE has no gradient."""
    chosen = np.repeat(softmax(LOGITS)[None], 4, axis=0)
    likelihood = normal(4)
    _, gradient = losses_and_gradient(Reinforce(entropy=0.0), chosen, likelihood)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_masked_steps_count_nothing():
    layer = Reinforce()
    chosen, likelihood = drawn(3)
    weights = np.repeat(softmax(LOGITS)[None], 3, axis=0)
    mask = np.array([[True, False]] * 3)
    cut = layer(likelihood, weights[:, :1], chosen[:, :1])
    np.testing.assert_allclose(
        layer(likelihood, weights, chosen, mask=mask), cut, rtol=1e-5
    )
    # AttentionRNN gives zeros at padded steps; their logarithm must do no harm.
    weights[:, 1], chosen[:, 1] = 0, 0
    np.testing.assert_allclose(
        layer(likelihood, weights, chosen, mask=mask), cut, rtol=1e-5
    )


def test_the_baseline_moves_by_its_momentum_and_only_in_training():
    layer = Reinforce(momentum=0.75)
    chosen, likelihood = drawn(8)
    losses_and_gradient(layer, chosen, likelihood)
    assert layer.baseline.numpy() == 0
    expected = 0.0
    for _ in range(3):
        losses_and_gradient(layer, chosen, likelihood, training=True)
        expected = 0.75 * expected + 0.25 * likelihood.mean()
        np.testing.assert_allclose(layer.baseline.numpy(), expected, rtol=1e-5)
    assert layer.trainable_weights == []


def test_no_gradient_flows_into_likelihood_or_draws():
    chosen, likelihood = (tf.constant(a) for a in drawn(4))
    weights = tf.constant(np.repeat(softmax(LOGITS)[None], 4, axis=0))
    layer = Reinforce()
    with tf.GradientTape() as tape:
        tape.watch([chosen, likelihood])
        loss = tf.reduce_sum(layer(likelihood, weights, chosen))
    assert tape.gradient(loss, [chosen, likelihood]) == [None, None]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_stays_finite_under_a_mixed_policy(policy):
    """Regions of no weight: in float16 the 1e-8 that guards the logarithm is 0."""
    keras.config.set_dtype_policy(policy)
    try:
        layer = Reinforce()
    finally:
        keras.config.set_dtype_policy("float32")
    dtype = policy.removeprefix("mixed_")
    weights = tf.constant([[[0.5, 0.5, 0.0]]], dtype)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = layer(tf.constant([-60.0]), weights, weights)
    assert np.isfinite(tf.cast(loss, "float32")).all()
    assert np.isfinite(tf.cast(tape.gradient(loss, weights), "float32")).all()


def test_config_round_trip():
    layer = Reinforce(scale=2.0, entropy=0.1, momentum=0.8)
    again = Reinforce.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
