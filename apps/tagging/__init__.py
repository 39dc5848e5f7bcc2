"""Tagging: a text goes in, a label for every word or character comes out.

Vectors of tokens, of pairs of them and of their characters, a recurrent network in both
directions, and a conditional random field that chooses all labels of a sentence
together.

    saccade demo tagging
"""

from ..core.lazy import members

__getattr__ = members(__name__)
