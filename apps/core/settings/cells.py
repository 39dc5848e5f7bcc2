"""The recurrent layers by the names that --cell takes, and the picture encoders.

They are named, not imported: the command line reads this without paying for TensorFlow.
"""

# name: class of `saccade.layers`, its options
CELLS = {
    "elman": ("Elman", {}),
    "jordan": ("Jordan", {}),
    "fully_recurrent": ("FullyRecurrent", {}),
    "lstm": ("LSTM", {}),
    "peephole_lstm": ("LSTM", {"peephole": True}),
    "layer_norm_lstm": ("LayerNormLSTM", {}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "min_gru": ("MinGRU", {}),
    "min_lstm": ("MinLSTM", {}),
}

# Networks of keras.applications, see `tasks.backbones`.
BACKBONES = (
    "mobilenet",
    "mobilenetv3",
    "efficientnetv2",
    "inceptionv3",
    "resnet50v2",
)
