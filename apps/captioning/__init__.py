"""Captioning: a picture goes in, a sentence comes out.

A small convolutional network turns the picture into 64 regions; an LSTM says one word
after the other and looks at the regions before each (Xu et al. 2015). Captions are
scored by free-running decoding, words lower-cased, punctuation dropped.

    saccade demo captioning

draws scenes of coloured shapes and learns, in a minute on two cores, to tell those
whose combinations were held out: it stops at an exact match of 80 %. The preset tiny
(15 seconds) reaches an exact match of 15 % at least.

    saccade train captioning

goes on to nearly all of them, in four to five minutes.

    saccade train captioning --data "$SACCADE_DATA/emoji_captions" \\
        --caption-column en --split-column split_composed --seed 0

takes a quarter of an hour and captions emoji whose skin tone was held out.
`docs/results/captioning.md` has the figures, with and without attention, by cell.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
