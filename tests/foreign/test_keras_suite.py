"""Keras' own recurrent tests, passed by our layers.

Their weights are constants, so they cannot see swapped gates; they do see what tests
with random weights miss: starting values, configs, masks, statefulness, Bidirectional.
What is skipped, and why, stands in the `skip` tables.
"""

import keras
import pytest

from saccade.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Elman,
    ElmanCell,
    FullyRecurrent,
    GRUCell,
    LSTMCell,
    Recurrent,
    Stacked,
)

from .keras_suite import on_our_layers

if not keras.__version__.startswith("3.15."):
    pytest.skip(
        "Keras' tests are no public interface; this suite is written for keras "
        f"3.15.*, found {keras.__version__}.",
        allow_module_level=True,
    )
pytest.importorskip("keras.src.testing")

# Keras' harness gives arrays to fit and says shuffle=True with a data set made of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*shuffle=True.*:UserWarning")

TORCH = "needs the torch backend and a CUDA device"
FUSED = "tests a fused kernel that ours never asks for: it would pass and say nothing"
FUSABLE = "asks Keras' wrapper whether it would fuse two layers of Keras' own classes"
FLAT = "expects the states level by level; ours gives them in one flat list"
FUSED_TESTS = (
    "test_fused_lstm_eligibility",
    "test_fused_lstm_matches_unfused",
    "test_fused_gru_eligibility",
    "test_fused_gru_matches_unfused",
)
OURS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": Elman}


@keras.saving.register_keras_serializable(package="saccade_tests")
class PlainLSTM(LSTM):
    """What somebody may derive from ours, one option fixed."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **{**kwargs, "peephole": False})


@keras.saving.register_keras_serializable(package="saccade_tests")
class ZeroPeepholeLSTM(LSTM):
    """An LSTM with peepholes that see nothing yet, which is one without."""

    def __init__(self, units, **kwargs):
        fixed = {"peephole": True, "peephole_initializer": "zeros"}
        super().__init__(units, **{**kwargs, **fixed})


# The cells and layers

TestLSTM = on_our_layers("lstm_test", "LSTMTest", {"LSTM": LSTM})
TestPlainLSTM = on_our_layers("lstm_test", "LSTMTest", {"LSTM": PlainLSTM})
TestZeroPeepholeLSTM = on_our_layers(
    "lstm_test",
    "LSTMTest",
    {"LSTM": ZeroPeepholeLSTM},
    skip={"test_basics": "counts three weights; with peepholes there are four"},
)
TestGRU = on_our_layers(
    "gru_test",
    "GRUTest",
    {"GRU": GRU},
    skip={"test_torch_cudnn_dispatch_fires": TORCH},
)
TestElman = on_our_layers("simple_rnn_test", "SimpleRNNTest", {"SimpleRNN": Elman})
TestFullyRecurrent = on_our_layers(
    "simple_rnn_test", "SimpleRNNTest", {"SimpleRNN": FullyRecurrent}
)
TestRecurrent = on_our_layers("rnn_test", "RNNTest", {"RNN": Recurrent})
TestStackedCells = on_our_layers(
    "stacked_rnn_cells_test",
    "StackedRNNTest",
    {
        "RNN": Recurrent,
        "LSTMCell": LSTMCell,
        "GRUCell": GRUCell,
        "SimpleRNNCell": ElmanCell,
    },
)
TestStacked = on_our_layers(
    "stacked_rnn_cells_test",
    "StackedRNNTest",
    {"RNN": Stacked, "LSTMCell": LSTMCell},
    skip={
        "test_basics": "calls the list of cells `cell`; ours calls it `cells`",
        "test_correctness_two_states_stack": FLAT,
        "test_return_state_stacked_lstm_cell": FLAT,
    },
)
TestDropout = on_our_layers(
    "dropout_rnn_cell_test", "DropoutRNNCellTest", {"RNN": Recurrent}
)

# Bidirectional: Keras' around our layers, ours around Keras' layers, ours around ours

FUSABLE_TESTS = {
    "test_torch_cudnn_bidirectional_gru_dispatch_fires": TORCH,
    **dict.fromkeys(FUSED_TESTS, FUSABLE),
}
TestKerasBidirectional = on_our_layers(
    "bidirectional_test", "SimpleRNNTest", OURS, skip=FUSABLE_TESTS
)
TestOursAroundKeras = on_our_layers(
    "bidirectional_test",
    "SimpleRNNTest",
    {"Bidirectional": Bidirectional},
    skip={
        "test_torch_cudnn_bidirectional_gru_dispatch_fires": TORCH,
        **dict.fromkeys(FUSED_TESTS, FUSED),
    },
)
TestOursAroundOurs = on_our_layers(
    "bidirectional_test",
    "SimpleRNNTest",
    {"Bidirectional": Bidirectional, **OURS},
    skip=FUSABLE_TESTS,
)
