"""DNA: a sequence goes in, its class comes out, and which bases decide.

Filters and a recurrent network in both directions read the sequence base by base; the
states at its centre, or at every place, decide. Beside the class come the saliency of
every base, the effect of every mutation, and the classes of all windows of a long
sequence.

    saccade train dna

learns builtin sequences with motifs of promoters and splice donors, and others in which
their order or distance is wrong. How they are drawn is known, and with it the best
accuracy that anyone can have (`ceiling`). The preset tiny reaches an accuracy of 80 %
at least.

    saccade train dna --data "$SACCADE_DATA/dna_splice"
    saccade evaluate dna --folds 10

measures UCI's splice junctions in ten folds, in which equal sequences stay together.
All figures, with what must be reached, are in docs/results/dna.md.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
