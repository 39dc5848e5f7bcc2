"""The tagging model, and what goes into it."""

import keras
import numpy as np
import pytest

from saccade.apps.core.data.rows import Examples
from saccade.apps.core.errors import ConfigError, UserError
from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.tagging import APP, build_model, build_sequential
from saccade.apps.tagging.config import Config
from saccade.apps.tagging.cutting import given
from saccade.apps.tagging.model import LETTERS
from saccade.apps.tagging.task import BinaryTokenLoss, Tags, in_pieces, tokens_of

WORDS = Tokenizer([*"王刚府和李明"], "spaces", special=("<pad>", "<unk>"))
LETTER = Tokenizer([*"abc"], "characters", special=("<pad>", "<unk>"))
ASSETS = Tags(("O", "B-P", "I-P"), WORDS, LETTER, ("王",), (4, 9))
MODELS = {
    "crf": {},
    "softmax": {"decoder": "softmax"},
    "sigmoid": {"decoder": "sigmoid"},
    "one way": {"bidirectional": False, "cell": "elman"},
    "pairs": {"ngrams": 2, "buckets": 50, "levels": 2},
    "cnn": {"characters": "cnn", "gazetteer": "names.txt"},
    "rnn": {"characters": "rnn", "cell": "lstm"},
}


def config(**settings):
    return Config(units=5, embedding=4, **settings)


def inputs_of(settings, tokens):
    draw = np.random.default_rng(0)
    inputs = {"tokens": tokens}
    if settings.get("characters"):
        letters = draw.integers(0, 5, (*tokens.shape, LETTERS)).astype("int32")
        inputs["letters"] = letters * (tokens[..., None] > 0)
    if settings.get("gazetteer"):
        inputs["listed"] = (tokens > 0) + (tokens == 2)
    return {name: np.asarray(value, "int32") for name, value in inputs.items()}


@pytest.mark.parametrize("case", MODELS)
def test_padding_changes_nothing(case):
    settings = MODELS[case]
    model = build_model(config(**settings), ASSETS)
    tokens = np.array([[2, 7, 4, 3, 0], [6, 3, 0, 0, 0], [3, 0, 0, 0, 0]], np.int32)
    inputs = inputs_of(settings, tokens)
    whole = model(inputs)["logits"].numpy()
    for row, length in enumerate((4, 2, 1)):
        alone = {name: v[row : row + 1, :length] for name, v in inputs.items()}
        found = model(alone)["logits"].numpy()
        np.testing.assert_allclose(
            whole[row, :length, :3], found[0, :length, :3], atol=1e-6
        )


@pytest.mark.parametrize("case", [c for c in MODELS if c not in ("cnn", "rnn")])
def test_sequential_is_the_same(case):
    settings = MODELS[case]
    model = build_model(config(**settings), ASSETS)
    sequential = build_sequential(config(**settings), ASSETS)
    sequential.set_weights(model.get_weights())
    tokens = np.array([[2, 7, 4, 3], [6, 3, 0, 0]], np.int32)
    found, expected = sequential(tokens), model({"tokens": tokens})["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_sequential_has_one_input():
    with pytest.raises(ValueError, match="one input; received characters='cnn'"):
        build_sequential(config(characters="cnn"), ASSETS)


@pytest.mark.parametrize("two_way", [False, True])
def test_only_the_right_side_tells_a_name(two_way):
    """他说，「王刚 and 他说，「王府 are the same as far as 王: left to right its output
    is the same number; only who reads backwards too can differ."""
    model = build_model(config(decoder="sigmoid", bidirectional=two_way), ASSETS)
    ids = np.int32([WORDS.ids("和 李 王 刚"), WORDS.ids("和 李 王 府")])
    name, palace = model({"tokens": ids})["logits"].numpy()[:, 2]
    assert (name == palace).all() != two_way


def test_binary_loss_is_that_of_the_lecture():
    """-y log p - (1 - y) log(1 - p) at every step."""
    logits = np.array([[[2.0], [-1.0], [30.0]]], "float32")
    labels = np.array([[1, 1, 0]])
    p = 1 / (1 + np.exp(-logits[..., 0].astype("float64")))
    expected = -labels * np.log(p) - (1 - labels) * np.log1p(-p)
    found = BinaryTokenLoss().call(labels, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_long_sentences_are_read_in_pieces():
    text = "".join(f"{i}\x1f" for i in range(10))
    found = in_pieces(Examples(text=[text], labels=[list("abcdefghij")]), 4)
    assert [tokens_of(t) for t in found["text"]] == [
        list("0123"),
        list("4567"),
        list("89"),
    ]
    assert found["labels"] == [list("abcd"), list("efgh"), list("ij")]


@pytest.mark.parametrize(
    "tokens, expected", [(["a", "b"], "characters"), (["a", "bc"], "words")]
)
def test_the_data_says_how_texts_are_cut(tokens, expected):
    train = Examples(text=[given(tokens)], labels=[["x", "y"]])
    assert APP.task_for(Config()).learn(train).config.tokenizer == expected
    asked = APP.task_for(Config(tokenizer="spaces")).learn(train)
    assert asked.config.tokenizer == "spaces"


def test_vectors_from_a_file(tmp_path):
    (tmp_path / "v.txt").write_text("3 2\n王 1 2\n刚 3 4\nother 5 6\n", "utf-8")
    settings = Config(embedding=2, vectors=str(tmp_path / "v.txt"))
    task = APP.task_for(settings, ASSETS)
    model = task.build_model()
    before = model.get_layer("embedding").embeddings.numpy()
    task.begin(model)
    found = model.get_layer("embedding").embeddings.numpy()
    np.testing.assert_array_equal(found[WORDS.id_of("王")], [1, 2])
    np.testing.assert_array_equal(found[WORDS.id_of("刚")], [3, 4])
    same = [i for i in range(WORDS.size) if i not in WORDS.ids("王 刚")]
    np.testing.assert_array_equal(found[same], before[same])


@pytest.mark.parametrize(
    "text, message",
    [
        ("王 1 2 3\n", "line 1: expected a word and 2 numbers"),
        ("x 1 2\n", "none of its"),
    ],
)
def test_wrong_vectors(text, message, tmp_path):
    (tmp_path / "v.txt").write_text(text, "utf-8")
    settings = Config(embedding=2, vectors=str(tmp_path / "v.txt"))
    task = APP.task_for(settings, ASSETS)
    with pytest.raises(UserError, match=message):
        task.begin(task.build_model())


def test_wrong_settings():
    with pytest.raises(ConfigError, match="loss_over: expected sentence"):
        Config(loss_over="token")
    train = Examples(text=["a\x1fb\x1fc\x1f"], labels=[["x", "y", "z"]])
    with pytest.raises(UserError, match="sigmoid expects two labels.*has 3: x, y, z"):
        APP.task_for(Config(decoder="sigmoid")).learn(train)


@pytest.mark.parametrize("case", ["crf", "cnn"])
def test_a_saved_model_is_the_same(case, tmp_path):
    settings = MODELS[case]
    model = build_model(config(**settings), ASSETS)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    inputs = inputs_of(settings, np.array([[2, 7, 4]], np.int32))
    np.testing.assert_array_equal(again(inputs)["logits"], model(inputs)["logits"])
