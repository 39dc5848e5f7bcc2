"""Words from their characters, word by word and in a model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.layers import CharacterEncoder

IDS = np.array(
    [
        [[1, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0]],
        [[2, 2, 2, 2], [1, 2, 0, 0], [3, 4, 1, 0]],
    ]
)


def made(kind, **options):
    keras.utils.set_random_seed(0)
    layer = CharacterEncoder(5, 6, kind, embedding=3, **options)
    layer(IDS)
    for weight in layer.trainable_weights:
        weight.assign(np.random.default_rng(1).standard_normal(weight.shape))
    return layer


@pytest.mark.parametrize("kind", ["cnn", "rnn"])
def test_each_word_is_read_by_itself(kind):
    layer = made(kind)
    whole = layer(IDS).numpy()
    assert whole.shape == (2, 3, 6)
    assert not whole[0, 2].any()  # no characters
    for row in range(2):
        for word in range(3):
            alone = layer(IDS[row : row + 1, word : word + 1]).numpy()
            np.testing.assert_allclose(whole[row, word], alone[0, 0], atol=1e-6)


@pytest.mark.parametrize("kind", ["cnn", "rnn"])
def test_padding_changes_nothing(kind):
    layer = made(kind)
    wider = np.pad(IDS, [(0, 0), (0, 2), (0, 5)])
    other = CharacterEncoder(5, 6, kind, embedding=3)
    other(wider)
    other.set_weights(layer.get_weights())
    found = other(wider).numpy()
    np.testing.assert_allclose(found[:, :3], layer(IDS), atol=1e-6)
    assert not found[:, 3:].any()


def test_filters_by_numpy():
    layer = made("cnn", window=3)
    embedding, kernel, bias = (w.numpy() for w in layer.weights)
    x = np.pad(embedding[[1, 2, 3]], [(1, 1), (0, 0)])
    sums = [np.einsum("ce,cew->w", x[i : i + 3], kernel) + bias for i in range(3)]
    np.testing.assert_allclose(layer(IDS)[0, 0], np.max(sums, axis=0), rtol=1e-5)


@pytest.mark.parametrize("kind", ["cnn", "rnn"])
def test_the_end_of_a_word_counts(kind):
    layer = made(kind)
    words = np.array([[[1, 2, 3, 4], [1, 2, 3, 1]]])
    found = layer(words).numpy()[0]
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", ["cnn", "rnn"])
def test_in_a_model(kind, policy, tmp_path):
    ids = keras.Input((None, 4), dtype="int32")
    layer = CharacterEncoder(5, 6, kind, dtype=policy)
    model = keras.Model(ids, layer(ids))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(IDS), model(IDS))
    compiled = tf.function(model, jit_compile=True)(tf.constant(IDS, tf.int32))
    near = 1e-5 if policy == "float32" else 0.05
    np.testing.assert_allclose(compiled, model(IDS), atol=near)
    assert model.output_shape == (None, None, 6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CharacterEncoder(5, 6, "lstm"), "kind: expected one of"),
        (lambda: CharacterEncoder(5, 5, "rnn"), "width: expected an even number"),
        (
            lambda: CharacterEncoder(5, 6)(keras.Input((None, None), dtype="int32")),
            "with a known length",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
