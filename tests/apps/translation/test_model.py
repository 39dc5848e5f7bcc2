"""The network: what it reads, what padding does to it, and the ways it can be built."""

import dataclasses

import keras
import numpy as np
import pytest

from saccade.apps.core.errors import ConfigError
from saccade.apps.core.inputs.tokenizer import Tokenizer
from saccade.apps.translation import APP
from saccade.apps.translation.config import Config, Options
from saccade.apps.translation.model import build_encoder, build_model
from saccade.apps.translation.task import Translation, Vocabularies
from saccade.layers import LSTM, AttentionRNN, Bidirectional

LETTERS = Tokenizer(list("abcdef"), "characters")
ASSETS = Vocabularies(LETTERS, LETTERS, (4, 8))
SMALL = {"units": 5, "embedding": 4, "attention_units": 3, "dropout": 0.0}
SOURCE = np.array([[4, 5, 6, 3], [7, 3, 0, 0], [8, 4, 3, 0]], "int32")
TOKENS = np.array([[2, 4, 5], [2, 6, 0], [2, 0, 0]], "int32")

WAYS = {
    "default": {},
    "lecture": {"attention": "none", "bidirectional": False},
    "no attention, both ways": {"attention": "none"},
    "first": {"bridge": "first"},
    "every": {"bridge": "every"},
    "every, no attention": {"bridge": "every", "attention": "none"},
    "first, no attention": {"bridge": "first", "attention": "none"},
    "deep": {"encoder_cell": ("lstm", "gru"), "decoder_cell": ("gru", "elman")},
    "deep, no attention": {
        "encoder_cell": ("gru", "lstm"),
        "decoder_cell": ("lstm", "gru"),
        "attention": "none",
    },
    "input feeding": {"input_feeding": True, "decoder_cell": ("lstm", "gru")},
    "gate, tied": {"gate": True, "tied": True, "activation": "tanh"},
}


def build(**settings):
    keras.utils.set_random_seed(0)
    return build_model(Config(**SMALL | settings), ASSETS)


@pytest.mark.parametrize("way", WAYS)
def test_padding_changes_nothing(way):
    model = build(**WAYS[way])
    outputs = model({"source": SOURCE, "tokens": TOKENS})
    attends = WAYS[way].get("attention") != "none"
    assert ("attention" in outputs) == attends
    for row, (width, time) in enumerate([(4, 3), (2, 2), (3, 1)]):
        alone = model(
            {
                "source": SOURCE[row : row + 1, :width],
                "tokens": TOKENS[row : row + 1, :time],
            }
        )
        np.testing.assert_allclose(
            outputs["logits"][row, :time], alone["logits"][0], atol=1e-5
        )
        if attends:
            weights = np.array(outputs["attention"])[row, :time]
            np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
            assert not weights[:, width:].any()


@pytest.mark.parametrize("way", WAYS)
def test_every_weight_learns(way):
    model = build(**WAYS[way])
    # Fresh vectors are small, and so is what reaches the attention of them.
    model.compile(
        keras.optimizers.SGD(1e3),
        {"logits": keras.losses.SparseCategoricalCrossentropy(True)},
    )
    before = [np.array(w) for w in model.trainable_weights]
    model.train_on_batch({"source": SOURCE, "tokens": TOKENS}, {"logits": TOKENS})
    same = [
        w.path
        for w, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(np.array(w), old)
    ]
    assert not same


def test_without_attention_the_last_state_is_all_that_is_known():
    """The lecture's encoder-decoder: the memory is the encoder's state at <end>."""
    config = Config(**SMALL, attention="none", bidirectional=False)
    encoder = build_encoder(config, LETTERS.size)
    memory = encoder(SOURCE)
    assert memory.shape == (3, 1, 5)
    every = build_encoder(dataclasses.replace(config, attention="soft"), LETTERS.size)
    every.set_weights(encoder.get_weights())
    states = np.array(every(SOURCE))
    for row, last in enumerate([3, 1, 2]):
        np.testing.assert_allclose(memory[row, 0], states[row, last], atol=1e-6)


def test_cells_are_those_that_were_named():
    model = build(encoder_cell=("lstm", "gru"), decoder_cell=("gru", "lstm"))
    levels = [
        layer.forward_layer
        for layer in model.get_layer("encoder").layers
        if isinstance(layer, Bidirectional)
    ]
    assert [type(level).__name__ for level in levels] == ["LSTM", "GRU"]
    assert isinstance(levels[0], LSTM)
    rnn = model.get_layer("decoder").rnn
    assert isinstance(rnn, AttentionRNN)
    cells = [type(cell).__name__ for cell in rnn.cell.cell.cells]
    assert cells == ["GRUCell", "LSTMCell"]


def test_tied_uses_one_matrix():
    tied, apart = build(tied=True), build(tied=False)
    difference = apart.count_params() - tied.count_params()
    assert difference == LETTERS.size * SMALL["embedding"] + LETTERS.size  # and a bias


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder_cell": ()}, "encoder_cell: expected a cell or more"),
        ({"decoder_cell": ("rnn",)}, "decoder_cell"),
        (
            {"input_feeding": True, "attention": "none"},
            "input_feeding: expected attention=soft",
        ),
        ({"attention": "hard"}, "attention"),
        ({"source": "de", "target": "de"}, "target: expected another language"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


def test_room_for_hypotheses():
    task = Translation(Config(**SMALL), ASSETS)
    assert task.in_graph(Options(beam=7)).max_beam == 7
    assert task.in_graph(Options(beam=2, max_beam=6)).max_beam == 6
    assert Options(beam=2, max_beam=3, n_best=3).n_best == 3
    with pytest.raises(ConfigError, match="n_best: expected at most as many as beam"):
        Options(beam=2, n_best=3)


def test_the_command_line_names_a_cell_per_level():
    from saccade.apps.core.settings.command_line import parse_overrides

    config = parse_overrides(Config, ["--encoder-cell=lstm,gru"])
    assert config.encoder_cell == ("lstm", "gru")
    assert APP.config.preset_for("somewhere") == "sentences"
