"""The sentiment model and what goes into it."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.data.rows import Examples
from saccade.apps.core.errors import ConfigError
from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.core.tasks.classify import Classes
from saccade.apps.core.training.losses import TokenLoss
from saccade.apps.sentiment import APP, build_model, build_sequential
from saccade.apps.sentiment.config import Config
from saccade.apps.sentiment.model import TOPIC_TOKENS, NgramEmbedding, Pooling
from saccade.apps.sentiment.task import shortened

from ...groups import of_apps
from ..answers import assert_same
from ..runs import ready_to_fit

ASSETS = Classes(("a", "b", "c"), Tokenizer([*"efghij"]), (2, 3, 7))
MODELS = {
    "last": {},
    "mean": {"pool": "mean"},
    "max": {"pool": "max", "bidirectional": True},
    "attention": {"pool": "attention", "bidirectional": True, "token_dropout": 0.1},
    "all": {"pool": "all", "ngrams": 3},
    "both directions": {"bidirectional": True, "cell": "lstm"},
    "three levels": {"levels": 3, "bidirectional": True, "pool": "mean"},
    "pairs": {"ngrams": 2, "buckets": 50},
    "elman": {"cell": "elman", "levels": 2},
}


@pytest.fixture(**of_apps("sentiment"))
def name(request):
    return request.param


def config(**settings):
    return Config(units=5, embedding=4, attention_units=3, **settings)


@pytest.mark.parametrize("case", MODELS)
def test_padding_changes_nothing(case):
    model = build_model(config(**MODELS[case]), ASSETS)
    tokens = np.array([[5, 7, 4, 3], [6, 3, 0, 0], [3, 0, 0, 0]], np.int32)
    padded = np.pad(tokens, [(0, 0), (0, 5)])
    outputs = {k: v.numpy() for k, v in model({"tokens": padded}).items()}
    logits, attention = outputs["logits"], outputs["attention"]
    assert logits.shape == (3, 1, 3) and attention.shape == padded.shape
    np.testing.assert_allclose(attention.sum(axis=1), 1, rtol=1e-6)
    assert not attention[padded == 0].any()
    for row, length in enumerate((4, 2, 1)):
        width = max(length, 2)  # Keras warns of a softmax over a single step
        alone = model({"tokens": tokens[row : row + 1, :width]})
        np.testing.assert_allclose(logits[row], alone["logits"][0], atol=1e-6)
        np.testing.assert_allclose(
            attention[row, :width], alone["attention"][0], atol=1e-6
        )
    # The last token counts, and so does the first.
    for place in (0, 3):
        other = tokens[:1].copy()
        other[0, place] = 8
        changed = model({"tokens": other})["logits"][0] - logits[0]
        assert np.abs(changed).max() > 1e-4


@pytest.mark.parametrize("case", MODELS)
def test_the_sequential_model_is_the_functional_one(case):
    settings = config(**MODELS[case])
    functional = build_model(settings, ASSETS)
    sequential = build_sequential(settings, ASSETS)
    assert isinstance(sequential, keras.Sequential)
    assert sequential.count_params() == functional.count_params()
    sequential.set_weights(functional.get_weights())
    tokens = np.array([[5, 7, 4, 3, 0], [6, 3, 0, 0, 0]], np.int32)
    np.testing.assert_array_equal(
        sequential(tokens), functional({"tokens": tokens})["logits"][:, 0]
    )


def test_attention_pools_with_its_weights():
    states = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    pooled, weights = Pooling("attention", 5)(states, mask=mask)
    np.testing.assert_allclose(pooled, np.einsum("bt,btu->bu", weights, states), 1e-6)
    every, same = Pooling("all", 5)(states, mask=mask)
    assert every.shape == (2, 9)
    np.testing.assert_allclose(every[1], np.tile(states[1, 0], 3), rtol=1e-6)
    assert np.allclose(same[1], [1, 0, 0, 0])


def test_max_counts_the_units_that_a_step_decides():
    states = np.array([[[1, 5, 0], [2, 4, 9], [8, 8, 8]]], "float32")
    pooled, weights = Pooling("max")(states, mask=np.array([[True, True, False]]))
    np.testing.assert_array_equal(pooled, [[2, 5, 9]])
    np.testing.assert_allclose(weights, [[1 / 3, 2 / 3, 0]], rtol=1e-6)


def test_an_ngram_has_a_vector_of_its_own():
    embed = NgramEmbedding(2, 1000, input_dim=9, output_dim=4)
    ids = np.array([[5, 7, 5, 7, 6, 0]], np.int32)
    vectors = embed(ids).numpy()[0]
    own = embed.get_weights()[0][ids[0]]
    pairs = vectors - own
    np.testing.assert_allclose(pairs[1], pairs[3], atol=1e-6)  # 5 7 both times
    for other in (0, 2, 4):  # 5 at the beginning, 7 5, 7 6
        assert np.abs(pairs[1] - pairs[other]).max() > 1e-3
    again = NgramEmbedding.from_config(embed.get_config())
    np.testing.assert_array_equal(again.hashes(ids)[0], embed.hashes(ids)[0])


def test_a_bag_of_words_ties_and_a_recurrent_network_does_not():
    """张三打了李四 and 李四打了张三: the same words."""
    tokens = np.array([[4, 5, 6, 7, 8, 9, 3], [8, 9, 6, 7, 4, 5, 3]], np.int32)
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        for pool in ("mean", "max", "attention", "all"):
            bag = build_model(config(levels=0, pool=pool), ASSETS)
            one, other = bag({"tokens": tokens})["logits"].numpy()
            np.testing.assert_allclose(one, other, atol=1e-6)
        for cell in ("elman", "lstm", "gru"):
            network = build_model(config(cell=cell), ASSETS)
            one, other = network({"tokens": tokens})["logits"].numpy()
            assert np.abs(one - other).max() > 1e-3
    with pytest.raises(ConfigError, match="pool: expected mean, max, attention or all"):
        config(levels=0)


def test_a_topic_changes_the_verdict():
    model = build_model(config(topic_column="about"), ASSETS)
    tokens = np.array([[5, 7, 4, 3]] * 3, np.int32)
    topic = np.zeros((3, TOPIC_TOKENS), np.int32)
    topic[:, :2] = [[5, 3], [6, 3], [5, 3]]
    logits = model({"tokens": tokens, "topic": topic})["logits"].numpy()
    np.testing.assert_allclose(logits[0], logits[2], atol=1e-6)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    with pytest.raises(ValueError, match="one way; received topic_column='about'"):
        build_sequential(config(topic_column="about"), ASSETS)


@pytest.mark.parametrize("case", ["pairs", "all", "attention"])
def test_a_saved_model_is_the_same(case, tmp_path):
    model = build_model(config(**MODELS[case]), ASSETS)
    model.save(tmp_path / "model.keras")
    other = build_model(config(**MODELS[case]), ASSETS)
    other.load_weights(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    tokens = np.array([[5, 7, 4, 3], [6, 3, 0, 0]], np.int32)
    for name, expected in model({"tokens": tokens}).items():
        for loaded in (other, again):
            np.testing.assert_array_equal(loaded({"tokens": tokens})[name], expected)


def test_members_differ_and_their_probabilities_are_averaged():
    settings = config(members=3, pool="attention")
    model = build_model(settings, ASSETS)
    alone = build_model(config(pool="attention"), ASSETS)
    assert model.count_params() == 3 * alone.count_params()
    tokens = tf.constant([[5, 7, 4, 3], [6, 3, 0, 0]])
    logits = model({"tokens": tokens})["logits"].numpy()
    assert logits.shape == (2, 3, 3)
    assert np.abs(np.diff(logits, axis=1)).max() > 1e-3
    task = APP.task_for(settings, ASSETS)
    options = types.SimpleNamespace(temperature=tf.ones(2), threshold=tf.zeros(2))
    found = task.respond(model, {"tokens": tokens}, options)["probabilities"]
    each = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, each.mean(axis=1), rtol=1e-5)
    pairs = task.targets(Examples(label=["b", "c"]))
    assert pairs.targets["logits"].tolist() == [[1] * 3, [2] * 3]
    assert pairs.weights["logits"].tolist() == [[1.0] * 3] * 2
    with pytest.raises(ValueError, match="and members=3. Use build_model"):
        build_sequential(settings, ASSETS)


def test_the_number_of_parameters():
    """Embedding 10 x 4; GRU 3 gates of (4 + 5 + 2) x 5; 3 labels of 5 + 1."""
    model = build_model(config(), ASSETS)
    assert model.count_params() == 10 * 4 + 3 * 5 * (4 + 5 + 2) + 3 * (5 + 1)


# Widths


def test_a_long_text_keeps_its_beginning_and_its_end():
    ids = tf.constant([[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 0, 0, 0, 0]])
    got = shortened(ids, tf.constant([7, 3]), 5)
    np.testing.assert_array_equal(got, [[1, 2, 5, 6, 7], [1, 2, 3, 0, 0]])
    np.testing.assert_array_equal(shortened(ids, tf.constant([7, 3]), 9), ids)
    assert shortened(ids[:0], tf.zeros([0], tf.int32), 5).shape == (0, 5)


def test_texts_of_any_length_have_few_widths(run):
    widths = run.assets.widths
    assert len(widths) <= 4 and widths[-1] == run.config.max_length
    found = set()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def features(text):
        return run.task.features({"text": text})["tokens"]

    for words in range(100):
        tokens = features(tf.constant(["good " * words]))
        found.add(tokens.shape[1])
        real = min(words + 1, widths[-1])  # <end> too
        assert np.count_nonzero(tokens) == real
        assert tokens[0, real - 1] == run.assets.tokenizer.end
        assert tokens.shape[1] == min(w for w in widths if w >= real)
    assert found == set(widths)


def test_the_longest_text_is_learned_or_set():
    texts = {"text": ["a b c", "d e f g h i"], "label": ["x", "y"]}
    for given, learned in ((0, 7), (5, 5), (99, 7)):
        task = APP.task_for(Config(max_length=given)).learn(texts)
        assert task.config.max_length == task.assets.widths[-1] == learned


@pytest.mark.slow
def test_under_xla_widths_are_few_and_traced_once(tmp_path, monkeypatch):
    traces = []
    loss = TokenLoss.call

    def noted(self, y_true, y_pred):
        traces.append(y_pred.shape)
        return loss(self, y_true, y_pred)

    monkeypatch.setattr(TokenLoss, "call", noted)
    settings = config(builtin_size=600, jit=True, batch_size=8, steps=40)
    model, batches = ready_to_fit(APP, settings, tmp_path)
    widths = [inputs["tokens"].shape[1] for inputs, *_ in batches.take(60)]
    assert 1 < len(set(widths)) <= 4
    model.fit(batches, steps_per_epoch=1, verbose=0, shuffle=False)
    first = len(traces)
    model.fit(batches.skip(1), steps_per_epoch=40, verbose=0, shuffle=False)
    assert model.jit_compile and set(widths[1:41]) - {widths[0]}
    assert first and len(traces) == first


def test_the_compiled_twin_answers_alike(signatures, good):
    text = tf.constant(good["text"])
    answers = [
        {name: value.numpy() for name, value in signatures[s](text=text).items()}
        for s in ("serving_default", "serving_xla")
    ]
    assert_same(*answers)


# What it has learned


def test_one_word_in_another_place_turns_the_verdict(run):
    texts = [
        "the room is not bad and the staff is good .",
        "the room is bad and the staff is not good .",
        "although the screen is poor , the camera is great .",
        "although the camera is great , the screen is poor .",
    ]
    labels = [answer["label"] for answer in run.predict(texts)]
    assert labels == ["positive", "negative"] * 2
