"""Draw: a seed goes in, a picture that was painted in steps comes out.

A network looks at a picture and at its own canvas, through a small window that it
places itself, and adds a stroke; from random numbers alone it then paints new pictures
(DRAW, Gregor et al. 2015).

    saccade train draw --preset tiny

learns builtin glyphs in seconds. The preset tiny needs at least 30 % fewer nats per
picture than independent pixels do. For MNIST see docs/results/draw.md.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
