"""Recurrent cells and layers, attention, and decoding for Keras 3."""

if not __name__.startswith("saccade."):
    raise ImportError("import saccade.layers")

from . import convert, crf, decoding, diagnostics
from .attention import BahdanauAttention, HardAttention
from .attention_rnn import AttentionCell, AttentionRNN
from .bidirectional import Bidirectional
from .character_encoder import CharacterEncoder
from .conditioned import ConditionedCell
from .crf import CRF, CRFLoss
from .elman import Elman, ElmanCell
from .filters import Scharr, Sobel
from .fully_recurrent import FullyRecurrent, FullyRecurrentCell
from .glimpse import GlimpseCell, GlimpseRNN, GlimpseSensor
from .gru import GRU, GRUCell
from .jordan import Jordan, JordanCell
from .layer_norm_lstm import LayerNormLSTM, LayerNormLSTMCell
from .lstm import LSTM, LSTMCell
from .minimal import MinGRU, MinGRUCell, MinLSTM, MinLSTMCell
from .patch_attention import DRAW, DRAWCell, GaussianRead, GaussianWrite
from .recurrent import Recurrent
from .reinforce import Reinforce
from .stacked import Stacked
from .token_decoder import TokenDecoder
from .zoneout import ZoneoutCell

__all__ = [
    "AttentionCell",
    "AttentionRNN",
    "BahdanauAttention",
    "Bidirectional",
    "CRF",
    "CRFLoss",
    "CharacterEncoder",
    "ConditionedCell",
    "DRAW",
    "DRAWCell",
    "Elman",
    "ElmanCell",
    "FullyRecurrent",
    "FullyRecurrentCell",
    "GRU",
    "GRUCell",
    "GaussianRead",
    "GaussianWrite",
    "GlimpseCell",
    "GlimpseRNN",
    "GlimpseSensor",
    "HardAttention",
    "Jordan",
    "JordanCell",
    "LSTM",
    "LSTMCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "MinGRU",
    "MinGRUCell",
    "MinLSTM",
    "MinLSTMCell",
    "Recurrent",
    "Reinforce",
    "Scharr",
    "Sobel",
    "Stacked",
    "TokenDecoder",
    "ZoneoutCell",
    "convert",
    "crf",
    "decoding",
    "diagnostics",
]
