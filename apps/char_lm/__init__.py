"""Character language models: a text goes in, its continuation comes out.

An LSTM, or any other cell of `saccade.layers`, in one to three levels, reads one
character after the other and says which may come next (Karpathy, Johnson & Li 2015). It
is trained by truncated backpropagation through time, its state carried from window to
window.

    saccade train char_lm --preset tiny
    saccade predict char_lm --prompt "def main(" --length 300 --seed 1
    saccade inspect char_lm program.py

The preset tiny learns the source text of Python's standard library, which needs no
download, to 2.5 nats per character at most, in seconds on two cores.

    saccade train char_lm --data tfds:tiny_shakespeare --minutes 5

takes a text of one's own, or a set of tensorflow-datasets; what it reaches in minutes
stands in `docs/results/char_lm.md`.

    saccade export char_lm

writes a SavedModel that continues texts, says how probable they are, and streams: see
`task` for a client.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
