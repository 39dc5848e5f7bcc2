"""Sampling: what is drawn, how often, and from which seed."""

import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import decoding

from .networks import END, PAD, Network, log_softmax

MANY = 10_000
# One logit for each of 6 tokens; END is the unlikeliest.
LOGITS = np.array([1.5, 0.3, 0.9, -2.0, 0.0, 1.0], "float32")


def draw(rows=MANY, logits=LOGITS, max_length=1, seed=3, **options):
    """Tokens drawn from the same logits in every row and at every step."""

    def step(tokens, state):
        return tf.repeat(logits[None], tf.shape(tokens)[0], axis=0), state

    @tf.function  # many rows take long eagerly
    def run():
        start = tf.zeros([rows], tf.int32)
        return decoding.sample(
            step, tf.zeros([rows, 1]), start, END, max_length, seed, pad=PAD, **options
        )

    return run()


def follows(tokens, probabilities):
    """Whether counts agree with a distribution, by the chi-square statistic."""
    counts = np.bincount(np.array(tokens).flatten(), minlength=len(probabilities))
    likely = probabilities > 0
    if counts[~likely].any():
        return False
    expected = probabilities[likely] * counts.sum()
    statistic = np.sum((counts[likely] - expected) ** 2 / expected)
    return statistic < 20.5 + len(expected)  # 5 degrees: by chance 1 time in 5000


def chances(temperature=1.0, kept=None):
    logits = LOGITS / temperature
    if kept is not None:
        logits = np.where(np.isin(np.arange(len(LOGITS)), kept), logits, -np.inf)
    return np.exp(log_softmax(logits))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_draws_follow_the_tempered_distribution(temperature):
    found = draw(temperature=temperature)
    assert follows(found.tokens, chances(temperature))
    assert not follows(found.tokens, chances(1.3 * temperature))
    expected = np.log(chances(temperature))[np.array(found.tokens)[:, 0]]
    np.testing.assert_allclose(found.log_probs, expected, atol=1e-5)


def test_steps_draw_independently():
    tokens = np.array(draw(max_length=2, suppress=(END,)).tokens)
    p = chances(kept=[0, 1, 2, 4, 5])
    pairs = tokens[:, 0] * len(p) + tokens[:, 1]
    assert follows(pairs, np.outer(p, p).flatten())


def test_temperature_near_zero_is_greedy():
    network = Network(3, batch=8)
    args = network.step, network.state, network.start, END, 7
    cold = decoding.sample(*args, seed=1, temperature=1e-6, pad=PAD)
    np.testing.assert_array_equal(cold.tokens, decoding.greedy(*args, pad=PAD).tokens)


@pytest.mark.parametrize("k", [1, 3])
def test_top_k_draws_among_the_k_likeliest(k):
    kept = np.argsort(-LOGITS)[:k]
    found = draw(top_k=k)
    assert follows(found.tokens, chances(kept=kept))
    expected = np.log(chances(kept=kept)[np.array(found.tokens)[:, 0]])
    np.testing.assert_allclose(found.log_probs, expected, atol=1e-5)


@pytest.mark.parametrize("k", [len(LOGITS), 50])
@pytest.mark.parametrize("p", [1.0, 0.6])
def test_top_k_of_all_tokens_or_more_leaves_all(k, p):
    found, every = draw(top_k=k, top_p=p), draw(top_p=p)
    np.testing.assert_array_equal(found.tokens, every.tokens)
    np.testing.assert_allclose(found.log_probs, every.log_probs, atol=1e-6)


@pytest.mark.parametrize("p", [0.01, 0.6, 0.97])
def test_top_p_draws_among_the_fewest_that_reach_p(p):
    ordered = np.argsort(-LOGITS)
    reached = np.cumsum(chances()[ordered])
    kept = ordered[: np.searchsorted(reached, p - 1e-6) + 1]
    assert follows(draw(top_p=p).tokens, chances(kept=kept))


def test_top_p_counts_what_top_k_and_temperature_leave():
    kept = np.argsort(-LOGITS)[:3]
    left = chances(0.5, kept)
    assert left.max() < 0.7 < np.sort(left)[-2:].sum()
    found = draw(top_k=3, top_p=0.7, temperature=0.5)
    assert follows(found.tokens, chances(0.5, kept[:2]))


def test_temperature_and_top_p_may_differ_by_row():
    rows = np.arange(MANY)
    warm = np.where(rows % 2, 2.0, 0.5).astype("float32")
    tokens = np.array(draw(temperature=warm).tokens)
    assert follows(tokens[rows % 2 == 0], chances(0.5))
    assert follows(tokens[rows % 2 == 1], chances(2.0))
    small_or_all = np.where(rows % 2, 1.0, 0.01).astype("float32")
    tokens = np.array(draw(top_p=small_or_all).tokens)
    assert set(tokens[rows % 2 == 0].flatten()) == {0}
    assert follows(tokens[rows % 2 == 1], chances())
    same = draw(50, temperature=np.full(50, 0.7, "float32"), max_length=5)
    scalar = draw(50, temperature=0.7, max_length=5)
    np.testing.assert_array_equal(same.tokens, scalar.tokens)


@pytest.mark.parametrize("temperature", [1e-6, 1e9])
def test_what_is_suppressed_is_never_drawn(temperature):
    tokens = draw(200, max_length=9, temperature=temperature, suppress=(0, 2)).tokens
    assert not np.isin(tokens, [0, 2]).any()


@pytest.mark.parametrize("temperature", [1e-6, 1e9])
def test_no_end_before_min_length_however_hot(temperature):
    logits = np.where(np.arange(6) == END, 9.0, LOGITS).astype("float32")
    found = draw(200, logits, max_length=5, temperature=temperature, min_length=3)
    assert not (np.array(found.tokens)[:, :3] == END).any()


def test_a_seed_repeats_its_draws():
    first, again = (draw(100, max_length=8, seed=7).tokens for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != np.array(draw(100, max_length=8, seed=8).tokens)).any()


def test_a_row_depends_on_its_own_seed_only():
    seeds = np.array([11, 5, 11, 8], "int32")
    tokens = np.array(draw(4, max_length=12, seed=seeds).tokens)
    np.testing.assert_array_equal(tokens[0], tokens[2])
    assert (tokens[0] != tokens[1]).any()
    for row, seed in enumerate(seeds):
        alone = draw(1, max_length=12, seed=np.array([seed])).tokens
        np.testing.assert_array_equal(alone[0], tokens[row])


def test_one_seed_gives_every_row_draws_of_its_own():
    """They do not change where rows are added behind."""
    tokens = np.array(draw(6, max_length=12, seed=4, suppress=(END,)).tokens)
    assert len({tuple(row) for row in tokens}) == 6
    fewer = draw(3, max_length=12, seed=4, suppress=(END,)).tokens
    np.testing.assert_array_equal(fewer, tokens[:3])


def test_rows_of_other_lengths_do_not_move_a_rows_draws():
    """A neighbour that ends at once leaves the draws of the others as they are."""
    network = Network(5, batch=4)
    seeds = np.array([1, 2, 3, 4], "int32")
    args = network.start, END, 8, seeds

    def tokens_with(bias):
        state = {**network.state, "fixed": [bias]}
        return np.array(decoding.sample(network.step, state, *args, pad=PAD).tokens)

    bias = network.state["fixed"][0]
    ending = bias.copy()
    ending[1, END] += 50
    assert (tokens_with(ending)[1, 1:] == PAD).all()
    np.testing.assert_array_equal(
        tokens_with(ending)[[0, 2, 3]], tokens_with(bias)[[0, 2, 3]]
    )
