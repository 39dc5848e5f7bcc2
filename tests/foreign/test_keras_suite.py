"""Keras' own recurrent tests, passed by our layers.

Their weights are constants, so they cannot see swapped gates; they do see what tests
with random weights miss: starting values, configs, masks, statefulness, Bidirectional.
"""

import keras
import pytest

from saccade.layers import GRU, LSTM, Elman, ElmanCell, GRUCell, LSTMCell, Recurrent

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
FUSED = "tests a cuDNN kernel of Keras' own layers; ours have one portable loop"

TestLSTM = on_our_layers("lstm_test", "LSTMTest", {"LSTM": LSTM})
TestGRU = on_our_layers(
    "gru_test",
    "GRUTest",
    {"GRU": GRU},
    skip={"test_torch_cudnn_dispatch_fires": TORCH},
)
TestElman = on_our_layers("simple_rnn_test", "SimpleRNNTest", {"SimpleRNN": Elman})
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
TestBidirectional = on_our_layers(
    "bidirectional_test",
    "SimpleRNNTest",
    {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": Elman},
    skip={
        "test_fused_lstm_eligibility": FUSED,
        "test_fused_lstm_matches_unfused": FUSED,
        "test_fused_gru_eligibility": FUSED,
        "test_fused_gru_matches_unfused": FUSED,
        "test_keeps_use_cudnn": "our layers have no option use_cudnn",
        "test_torch_cudnn_bidirectional_gru_dispatch_fires": TORCH,
    },
)
TestDropout = on_our_layers(
    "dropout_rnn_cell_test", "DropoutRNNCellTest", {"RNN": Recurrent}
)
