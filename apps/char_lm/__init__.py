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

reaches 1.505 nats on the last tenth in 264 seconds (6,390 steps) on two cores, and

    saccade train char_lm --data tfds:tiny_shakespeare --minutes 1.667 \\
        --units-rnn 256 --dropout 0 --rounds 4

1.526 in 92 seconds (3,888 steps).

    saccade export char_lm

writes a SavedModel that continues texts, says how probable they are, and streams: see
`serve` for a client.
"""

import importlib


def __getattr__(name):
    # Lazily: the command line reads `config` without paying for TensorFlow.
    if name == "APP":
        from ..core.app import App

        modules = {
            part: importlib.import_module(f".{part}", __name__)
            for part in ("config", "data", "model", "train", "serve", "reading")
        }
        value = App(
            name="char_lm",
            summary="a text goes in, its continuation comes out, a character at a time",
            config=modules["config"],
            data=modules["data"],
            model=modules["model"],
            training=modules["train"],
            serve=modules["serve"],
            reading=modules["reading"],
        )
    elif name == "build_model":
        from .model import build_model as value
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
