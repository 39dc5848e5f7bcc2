"""Faces: a picture of a face goes in, who it is comes out, or "unknown".

A Sequential CNN looks at the picture once; a functional model reads its rows with a
recurrent network in both directions and gives an embedding of length 1. A softmax over
the persons in training teaches it; afterwards the distance of two embeddings says
whether two pictures show the same person, whoever that is.

    saccade train faces

learns drawn faces. Of the preset tiny, the nearest person is the right one for 95 % of
the test pictures at least, and of persons that it never saw the AUC is 95 % at least.

    saccade train faces --data "$SACCADE_DATA/faces_orl" --out RUN
    saccade predict faces RUN a.png
    saccade predict faces RUN --signature verify a.png b.png
    saccade predict faces RUN --add NAME c.png d.png

The last line adds a person without training. Faces are not looked for in a picture: it
must hold one, cut out as those in training are. Figures are in docs/results/faces.md.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
