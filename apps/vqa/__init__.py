"""Questions about a picture (VQA): a picture and a question go in, an answer comes out.

A convolutional network turns the picture into regions, a recurrent network the question
into a vector. They are joined in one of several ways, by concatenation, by a product,
by two stacks of attention or by relations to what the question is about, and the
answer is one of those that occur in training.

    saccade train vqa --preset tiny

learns questions about drawn shapes in a minute or two. The preset tiny reaches an
accuracy of 60 % at least; who never sees the picture gets 50.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
