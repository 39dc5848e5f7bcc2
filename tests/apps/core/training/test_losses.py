"""Losses, averaged over what counts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.training.losses import Averaged, TokenLoss


@pytest.fixture
def case():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(3, 4, 5)).astype("float32")
    targets = draw.integers(0, 5, (3, 4))
    weights = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], "float32")
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    right = np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    return targets, logits, weights, right, log_probs


def test_a_mean_over_the_tokens_that_count(case):
    targets, logits, weights, right, _ = case
    loss = Averaged(TokenLoss())(targets, logits, weights)
    np.testing.assert_allclose(loss, -(right * weights).sum() / 4, rtol=1e-6)
    no_weights = Averaged(TokenLoss())(targets, logits)
    np.testing.assert_allclose(no_weights, -right.mean(), rtol=1e-6)


def test_a_sum_over_a_sentence(case):
    targets, logits, weights, right, _ = case
    loss = Averaged(TokenLoss(), over="sentence")(targets, logits, weights)
    np.testing.assert_allclose(loss, -(right * weights).sum() / 3, rtol=1e-6)


def test_nothing_counts(case):
    targets, logits, weights, *_ = case
    assert float(Averaged(TokenLoss())(targets, logits, 0 * weights)) == 0.0


def test_smoothing(case):
    targets, logits, _, right, log_probs = case
    got = TokenLoss(0.1).call(targets, logits)
    expected = -(0.9 * right + 0.1 * log_probs.mean(axis=-1))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_half_precision_is_averaged_in_single(case):
    targets, logits, weights, right, _ = case
    loss = Averaged(TokenLoss())(targets, tf.cast(logits, "bfloat16"), weights)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, -(right * weights).sum() / 4, rtol=0.02)


def test_it_is_saved_with_its_loss():
    loss = Averaged(TokenLoss(0.1), over="sentence")
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert again.over == "sentence" and again.loss.smoothing == 0.1
