"""Soft and hard attention against NumPy, Keras and the laws of chance."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import BahdanauAttention, HardAttention

from .helpers import BATCH, UNITS, check_gradients, normal, randomise, weights_of

REGIONS, WIDTH, QUERY = 6, 3, 5
VALUES_MASK = np.array(
    [
        [1, 1, 1, 1, 0, 0],
        [0, 1, 0, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],  # a row without regions
        [1, 1, 1, 1, 1, 1],
    ],
    bool,
)


def data(dtype="float32"):
    query = normal(BATCH, QUERY, dtype=dtype)
    return query, normal(BATCH, REGIONS, WIDTH, seed=1, dtype=dtype)


def make(attention_class=BahdanauAttention, **options):
    layer = attention_class(UNITS, **options)
    layer.build((BATCH, QUERY), (BATCH, REGIONS, WIDTH))
    return randomise(layer)


def numpy_weights(layer, query, values, mask=None):
    w = weights_of(layer)
    hidden = (query @ w["query_kernel"])[:, None] + values @ w["key_kernel"] + w["bias"]
    e = np.exp(np.tanh(hidden) @ w["score"])
    if mask is not None:
        e = e * mask
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-9)


@pytest.mark.parametrize("mask", [None, VALUES_MASK], ids=["unmasked", "masked"])
def test_soft_equals_numpy(mask):
    layer = make()
    query, values = data()
    context, weights = layer(query, values, values_mask=mask)
    expected = numpy_weights(layer, query, values, mask)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    expected = np.einsum("bl,bld->bd", expected, values)
    np.testing.assert_allclose(context, expected, atol=1e-6)


@pytest.mark.parametrize("attention_class", [BahdanauAttention, HardAttention])
def test_a_row_without_regions_sees_nothing(attention_class):
    layer = make(attention_class)
    query, values = data()
    context, weights = layer(query, values, values_mask=VALUES_MASK)
    assert not np.any(context[2]) and not np.any(weights[2])
    real = np.array(weights)[VALUES_MASK.any(-1)]
    np.testing.assert_allclose(real.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("mask", [None, VALUES_MASK], ids=["unmasked", "masked"])
def test_gradients(mask):
    layer = make(dtype="float64")
    query, values = data("float64")
    mix = normal(BATCH, WIDTH, seed=4, dtype="float64")

    def function(tensors):
        query, values, *weights = tensors
        (context, _), _ = layer.stateless_call(
            weights, [], query, values, values_mask=mask
        )
        return tf.reduce_sum(context * mix)

    weights = [w.numpy() for w in layer.trainable_weights]
    check_gradients(function, [query, values, *weights])


def test_keys_given_equal_keys_computed():
    layer = make()
    query, values = data()
    keys = layer.project(values)
    assert keys.shape == (BATCH, REGIONS, UNITS)
    for ours, theirs in zip(
        layer(query, values, keys=keys), layer(query, values), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_equals_keras_additive_attention():
    """Keras has no projections: with ours the identity, both are one equation."""
    layer = BahdanauAttention(WIDTH)
    layer.build((BATCH, WIDTH), (BATCH, REGIONS, WIDTH))
    for kernel in (layer.query_kernel, layer.key_kernel):
        kernel.assign(np.eye(WIDTH))
    layer.score.assign(np.ones(WIDTH))
    query, values = normal(BATCH, WIDTH), data()[1]
    theirs = keras.layers.AdditiveAttention(use_scale=False)
    mask = VALUES_MASK.copy()
    mask[2] = True  # Keras looks everywhere in a row without regions
    context, weights = theirs(
        [query[:, None], values], mask=[None, mask], return_attention_scores=True
    )
    ours = layer(query, values, values_mask=mask)
    np.testing.assert_allclose(ours[0], context[:, 0], atol=1e-6)
    np.testing.assert_allclose(ours[1], weights[:, 0], atol=1e-6)


def test_the_kernels_start_apart():
    """One seeded initialiser must not give Wq and Wk the same numbers."""
    layer = BahdanauAttention(UNITS)
    layer.build((BATCH, WIDTH), (BATCH, REGIONS, WIDTH))
    assert not np.allclose(layer.query_kernel.numpy(), layer.key_kernel.numpy())


@pytest.mark.parametrize("units", [0, -1, 2.5, "4", None])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match="`units` a positive integer, received"):
        BahdanauAttention(units)


@pytest.mark.parametrize("attention", [BahdanauAttention, HardAttention])
def test_lengths_are_no_mask(attention):
    query, values = np.zeros((BATCH, WIDTH)), np.zeros((BATCH, REGIONS, WIDTH))
    with pytest.raises(ValueError, match="`values_mask` of shape .*Turn lengths into"):
        attention(UNITS)(query, values, values_mask=np.ones(BATCH))


@pytest.mark.parametrize("mask", [None, VALUES_MASK], ids=["unmasked", "masked"])
def test_hard_takes_the_likeliest_at_inference(mask):
    layer = make(HardAttention)
    query, values = data()
    context, weights = layer(query, values, values_mask=mask)
    expected = values[np.arange(BATCH), np.argmax(weights, -1)]
    if mask is not None:
        expected[2] = 0
    np.testing.assert_allclose(context, expected, atol=1e-6)
    expected = numpy_weights(layer, query, values, mask)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def chosen_regions(layer, draws, mask=None):
    """Row 0 drawn many times over: the chosen rows and the distribution."""
    query, values = data()
    query, values = (np.repeat(a[:1], draws, axis=0) for a in (query, values))
    keys = layer.project(values)
    _, weights, chosen = layer.attend(query, values, keys, mask, training=True)
    return np.array(chosen), np.array(weights[0], "float64")


@pytest.mark.parametrize("masked", [False, True])
def test_hard_draws_follow_the_distribution(masked):
    draws = 20_000
    mask = np.repeat(VALUES_MASK[1:2], draws, axis=0) if masked else None
    chosen, weights = chosen_regions(
        make(HardAttention, expected=0.0, seed=7), draws, mask
    )
    assert (chosen.sum(-1) == 1).all() and set(chosen.flatten()) == {0.0, 1.0}
    counts, likely = chosen.sum(0), weights > 0
    assert counts[~likely].sum() == 0
    expected = weights[likely] * draws
    chi_square = np.sum((counts[likely] - expected) ** 2 / expected)
    assert chi_square < 20  # 5 degrees of freedom: above that 1 time in 800


def test_hard_takes_the_mean_in_the_expected_share():
    draws = 20_000
    chosen, weights = chosen_regions(make(HardAttention, expected=0.3, seed=7), draws)
    means = np.isclose(chosen, weights, atol=1e-6).all(-1)
    assert abs(means.mean() - 0.3) < 0.015
    assert (chosen[~means].max(-1) == 1).all()
    np.testing.assert_allclose(chosen[~means].mean(0), weights, atol=0.02)


def test_hard_with_expected_one_equals_soft():
    hard = make(HardAttention, expected=1.0)
    query, values = data()
    soft = make()
    soft.set_weights([w.numpy() for w in hard.trainable_weights])
    for ours, theirs in zip(
        hard(query, values, training=True), soft(query, values), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_seed_repeats_the_draws_and_calls_differ():
    first, again = (make(HardAttention, expected=0.0, seed=3) for _ in range(2))
    one, two = chosen_regions(first, 50)[0], chosen_regions(first, 50)[0]
    assert (one != two).any()
    np.testing.assert_array_equal(one, chosen_regions(again, 50)[0])
    np.testing.assert_array_equal(two, chosen_regions(again, 50)[0])


@pytest.mark.parametrize("expected", [-0.1, 1.5])
def test_expected_is_a_share(expected):
    with pytest.raises(ValueError, match="between 0 and 1, received"):
        HardAttention(UNITS, expected=expected)


@pytest.mark.parametrize("attention_class", [BahdanauAttention, HardAttention])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(attention_class, dtype):
    layer = make(attention_class, dtype=f"mixed_{dtype}")
    query, values = data()
    results = layer(query, values, values_mask=VALUES_MASK)
    for result in results:
        assert keras.backend.standardize_dtype(result.dtype) == dtype
        assert np.isfinite(tf.cast(result, "float32")).all()
    weights = tf.cast(results[1], "float32")
    expected = numpy_weights(layer, query, values, VALUES_MASK)
    np.testing.assert_allclose(
        weights, expected, atol=0.005 if "b" not in dtype else 0.03
    )


@pytest.mark.parametrize("attention_class", [BahdanauAttention, HardAttention])
def test_config_round_trip(attention_class):
    layer = attention_class(UNITS, kernel_initializer="he_normal", name="look")
    again = attention_class.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.units == UNITS


def test_symbolic_call_gives_shapes_and_takes_the_mask_of_its_values():
    query, values = keras.Input((QUERY,)), keras.Input((REGIONS,), dtype="int32")
    embedding = keras.layers.Embedding(4, WIDTH, mask_zero=True)
    context, weights = make()(query, embedding(values))
    assert context.shape == (None, WIDTH) and weights.shape == (None, REGIONS)
    model = keras.Model([query, values], weights)
    tokens = np.where(VALUES_MASK, 2, 0)
    result = np.array(model([data()[0], tokens]))
    assert (result[~VALUES_MASK] == 0).all() and (result[VALUES_MASK] > 0).all()
