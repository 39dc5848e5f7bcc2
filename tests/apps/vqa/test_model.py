"""The ways in which a question and a picture are joined, and what `choose` answers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.inputs.kinds import Choices
from saccade.apps.vqa import APP
from saccade.apps.vqa.model import FUSIONS


def small_task(**settings):
    config = dataclasses.replace(
        APP.presets["tiny"](), builtin_size=60, units=8, embedding=8, filters=(4, 4, 8)
    )
    task = APP.task_for(dataclasses.replace(config, **settings))
    return task.learn(task.read().train)


@pytest.fixture(scope="module")
def task():
    return small_task()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_only_without_the_picture_it_does_not_matter(fusion):
    keras.utils.set_random_seed(0)
    task = small_task(fusion=fusion)
    model = task.build_model()
    tokens = np.ones((2, task.config.max_length), "int32")
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (2, 40, 40, 3)).astype("uint8")
    out = model({"image": image, "tokens": tokens}, training=False)
    same = np.allclose(out["logits"][0], out["logits"][1])
    assert same == (fusion == "question")
    np.testing.assert_allclose(np.sum(out["attention"], -1), 1, rtol=1e-5)
    looks = {"stacks": task.config.stacks, "relation": 2}.get(fusion, 1)
    assert out["attention"].shape == (2, looks, 1 if fusion == "question" else 100)


def test_embeddings_spread_as_they_are_told():
    for spread in (0.2, 1.0):
        embedding = small_task(spread=spread).build_model().get_layer("embedding")
        assert np.std(embedding.embeddings) == pytest.approx(spread, rel=0.2)
    assert APP.presets["backbone"]().spread < APP.presets["default"]().spread == 1


def test_without_a_cell_the_order_of_words_does_not_matter():
    for cell in ("none", "gru"):
        model = small_task(cell=cell).build_model()
        length = model.input["tokens"].shape[1]
        tokens = np.zeros((2, length), "int32")
        tokens[:, :3] = [[2, 3, 4], [4, 2, 3]]
        image = np.full((2, 40, 40, 3), 7, "uint8")
        out = model({"image": image, "tokens": tokens}, training=False)["logits"]
        assert np.allclose(out[0], out[1], atol=1e-6) == (cell == "none")


def test_several_answers_share_the_weight_of_a_row(task):
    examples = task.read().train[:2]
    examples.columns["answers"] = [["yes", "yes", "no"], ["nonsense"]]
    pairs = task.targets(examples)
    assert pairs.owner.tolist() == [0, 0, 1]
    np.testing.assert_allclose(pairs.weights["logits"], [2 / 3, 1 / 3, 0])


def test_answers_are_spelled_as_most_people_do(task):
    examples = task.read().train[:3]
    examples.columns["answers"] = [["yes", "Yes"], ["Yes"], ["No."]]
    labels = task.learn(examples).assets.labels
    assert labels == ("No.", "Yes")
    pairs = task.bound(assets=task.learn(examples).assets).targets(examples)
    assert pairs.targets["logits"].tolist() == [1, 1, 0]


def test_choices_are_weighed_among_each_other(task):
    labels = task.assets.labels
    probabilities = np.zeros((3, len(labels)), "float32")
    probabilities[:, labels.index("yes")] = 0.3
    probabilities[:, labels.index("no")] = 0.1
    choices = tf.constant([["No", " yes", ""], ["cat", "dog", ""], ["no", "", ""]])
    tensors = {"probabilities": tf.constant(probabilities), "attention": tf.zeros([3])}
    answer = task.answer_choose({"choices": choices}, tensors, task.Options())
    assert answer["answer"].numpy().tolist() == [b" yes", b"cat", b"no"]
    np.testing.assert_allclose(answer["score"], [0.75, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(answer["scores"][0], [0.25, 0.75, 0], rtol=1e-6)


def test_choices_are_read_from_words_and_lists():
    kind = Choices([["a", "b"], ["c"]])
    assert kind.encode("yes| no") == ((b"yes", b"no"), "")
    assert kind.encode(["yes", "no"]) == kind.encode("yes|no")
    assert kind.encode(" | ")[1] and kind.encode([])[1]
    assert kind.aligned([(b"a",), (b"b", b"c"), ()]) == [
        [b"a", b""],
        [b"b", b"c"],
        [b"", b""],
    ]
