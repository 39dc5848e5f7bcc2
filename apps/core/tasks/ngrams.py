"""Vectors of tokens and of those that stand beside each other."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="saccade")
class NgramEmbedding(layers.Layer):
    """Vectors of tokens, plus vectors of the 2 ... `ngrams` tokens that end there.

    N-grams have their vectors by a hash: several may share one (Weinberger et al. 2009,
    arXiv:0902.2206), so that what never occurred in training has one too. At the
    beginning, an n-gram takes what is missing as 0.

    Args:
        ngrams: 2 or more. buckets: vectors of n-grams.
        input_dim, output_dim: as in keras.layers.Embedding.

    Call arguments: ids, int (batch, time), 0 is padding. Output: (batch, time,
    output_dim), with the mask of what is no padding.
    """

    def __init__(self, ngrams, buckets, input_dim, output_dim, **kwargs):
        super().__init__(**kwargs)
        self.ngrams, self.buckets = ngrams, buckets
        self.input_dim, self.output_dim = input_dim, output_dim
        self.of_tokens = layers.Embedding(
            input_dim, output_dim, dtype=self.dtype_policy, name="of_tokens"
        )
        self.of_ngrams = layers.Embedding(
            buckets, output_dim, dtype=self.dtype_policy, name="of_ngrams"
        )

    def build(self, ids_shape):
        for part in (self.of_tokens, self.of_ngrams):
            if not part.built:
                part.build(ids_shape)
        self.built = True

    def call(self, ids):
        vectors = self.of_tokens(ids)
        for buckets in self.hashes(ids):
            vectors = vectors + self.of_ngrams(buckets)
        return vectors

    def compute_mask(self, ids, mask=None):
        return ops.not_equal(ids, 0)

    def hashes(self, ids):
        """The bucket of the n-gram that ends at each step, n = 2 ... `ngrams`: list of
        int64 (batch, time)."""
        hashed = before = ops.cast(ids, "int64")
        found = []
        for _ in range(self.ngrams - 1):
            before = ops.pad(before, [[0, 0], [1, 0]])[:, :-1]
            # In 64 bits this cannot overflow: both factors are below 2 ** 31.
            hashed = (hashed * 1_000_003 + before + 1) % (2**31 - 1)
            found.append(hashed % self.buckets)
        return found

    def get_config(self):
        own = ("ngrams", "buckets", "input_dim", "output_dim")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
