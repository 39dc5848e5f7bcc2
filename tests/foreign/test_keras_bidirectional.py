"""Keras' own tests of Bidirectional, passed by ours, around our layers and Keras'.

What is skipped, and why, stands in the two `skip` tables: tests of the option
use_cudnn, of fused kernels behind it, and of a CUDA device.
"""

import keras
import pytest

from saccade.layers import GRU, LSTM, Elman
from saccade.layers.bidirectional import Bidirectional

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

FUSED = "tests a fused kernel that ours never asks for: it would pass and say nothing"
TORCH = "needs the torch backend and a CUDA device"
CUDNN = "gives our layer the option use_cudnn, which it does not have"

TestAroundKerasLayers = on_our_layers(
    "bidirectional_test",
    "SimpleRNNTest",
    {"Bidirectional": Bidirectional},
    skip={
        "test_fused_lstm_eligibility": FUSED,
        "test_fused_lstm_matches_unfused": FUSED,
        "test_fused_gru_eligibility": FUSED,
        "test_fused_gru_matches_unfused": FUSED,
        "test_torch_cudnn_bidirectional_gru_dispatch_fires": TORCH,
    },
)
TestAroundOurLayers = on_our_layers(
    "bidirectional_test",
    "SimpleRNNTest",
    {"Bidirectional": Bidirectional, "LSTM": LSTM, "GRU": GRU, "SimpleRNN": Elman},
    skip={
        "test_fused_lstm_eligibility": CUDNN,
        "test_fused_lstm_matches_unfused": CUDNN,
        "test_fused_gru_eligibility": CUDNN,
        "test_fused_gru_matches_unfused": CUDNN,
        "test_keeps_use_cudnn": CUDNN,
        "test_torch_cudnn_bidirectional_gru_dispatch_fires": TORCH,
    },
)
