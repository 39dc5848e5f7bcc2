"""Captioning: a picture goes in, a sentence comes out.

A small convolutional network turns the picture into 64 regions; an LSTM says one word
after the other and looks at the regions before each (Xu et al. 2015). Captions are
scored by free-running decoding, words lower-cased, punctuation dropped.

    saccade demo captioning

draws scenes of coloured shapes and learns to tell them in three minutes on two cores:
exact match 99.9 % on held-out combinations, 57 % of the attention on the object being
named, which covers 10 % of the picture. The preset tiny (15 seconds) reaches an exact
match of 15 % at least.

    saccade train captioning --data "$SACCADE_DATA/emoji_captions" \\
        --caption-column en --split-column split_composed --seed 0

takes 15 minutes on two cores (5,380 steps) and captions emoji whose skin tone was
held out: exact match 94.8 %, BLEU 96.8, chrF 98.3 (greedy, seed 0). On `split`, whose
concepts were never seen, it reaches 14.6 / 46.8 / 60.9 with stronger regularisation; we
aim at 15 / 50 / 68. With a fifth of the steps, for comparison (greedy, exact match):

    soft attention 47, none 6, hard 8; GRU 49, Elman 50 instead of the LSTM;
    Chinese captions in characters 48

`docs/results/captioning.md` has the whole tables and their commands.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
