"""Soft (Bahdanau) and hard attention over the regions of a memory."""

import keras
from keras import ops

from .cells import cast_all, step_weight
from .masks import expect_mask
from .products import multiply


@keras.saving.register_keras_serializable(package="saccade")
class BahdanauAttention(keras.layers.Layer):
    """Additive attention (Bahdanau, Cho & Bengio 2015): a small network scores every
    region l of the values against the query, and the context is their mean under
    the softmax of the scores:

        e_l = s . tanh(Wq q + Wk v_l + b)
        weights = softmax(e)
        context = sum over l of weights_l v_l

    The soft attention of Xu et al. 2015 ("Show, attend and tell") with q = h'.

    Args:
        units: width U of the scoring network.
        kernel_initializer: for Wq, Wk and s.

    Weights: `query_kernel` Wq (H, U), `key_kernel` Wk (D, U), `bias` b (U,),
    `score` s (U,).

    Call arguments:
        query: (batch, H).
        values: (batch, L, D), the regions.
        values_mask: bool (batch, L), False where a region is padding. A row with no
            region at all gets weights and context of zeros.
        keys: (batch, L, U), what `project(values)` returned. Give it where the same
            values are attended to more than once: the projection is the costly part.

    Output:
        context (batch, D), weights (batch, L); the weights of a row sum to 1.
    """

    draws = False  # whether `chosen` differs from the weights

    def __init__(self, units, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if not isinstance(units, int) or units < 1:
            raise ValueError(
                f"BahdanauAttention expected `units` a positive integer, received "
                f"{units!r}."
            )
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, query_shape, values_shape, keys_shape=None):
        if self.built:
            return

        def weight(name, shape, initializer):
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        # Each weight draws its own numbers: one initialiser object with one seed
        # would give the two kernels the same values.
        def fresh():
            return self.kernel_initializer.clone()

        self.query_kernel = weight(
            "query_kernel", (query_shape[-1], self.units), fresh()
        )
        self.key_kernel = weight("key_kernel", (values_shape[-1], self.units), fresh())
        self.bias = weight("bias", (self.units,), "zeros")
        self.score = weight("score", (self.units,), fresh())
        self.built = True

    def project(self, values):
        """Wk v + b for every region: (batch, L, D) -> (batch, L, U)."""
        values = ops.cast(values, self.compute_dtype)
        keys = ops.matmul(values, step_weight(self, self.key_kernel))
        return keys + step_weight(self, self.bias)

    def step_weights(self):
        """The weights that `attend` reads, for a caller with many queries."""
        return {
            "query_kernel": step_weight(self, self.query_kernel),
            "score": step_weight(self, self.score),
        }

    def weigh(self, query, keys, values_mask=None, weights=None, multiply=multiply):
        """The attention weights (batch, L) for a query and projected keys.

        Args:
            weights: what `step_weights` returned; read anew where it is None.
            multiply: what does the products; see `products.Multiply`.
        """
        weights = self.step_weights() if weights is None else weights
        query, keys = cast_all((query, keys), self.compute_dtype)
        query = multiply((query, weights["query_kernel"]))[:, None, :]  # (batch, 1, U)
        # Of rank 2: products of rank 3 with an unknown batch size do not train inside a
        # loop under XLA, and a sum over features takes longer.
        hidden = ops.reshape(ops.tanh(keys + query), (-1, self.units))
        scores = ops.matmul(hidden, weights["score"][:, None])
        scores = ops.reshape(scores, ops.shape(keys)[:2])
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        scores = ops.cast(scores, wide)
        if values_mask is None:
            return ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        scores = ops.where(values_mask, scores, -1e9)
        attention_weights = ops.softmax(scores, axis=-1) * ops.cast(values_mask, wide)
        return ops.cast(attention_weights, self.compute_dtype)

    def attend(self, query, values, keys, values_mask=None, training=False, **products):
        """As `call`, with a third result: what was chosen, (batch, L).

        Soft attention chooses all regions at once, by their weights. For `products` see
        `weigh`.
        """
        attention_weights = self.weigh(query, keys, values_mask, **products)
        values = ops.cast(values, self.compute_dtype)
        context = products.get("multiply", multiply).mix(attention_weights, values)
        return context, attention_weights, attention_weights

    def call(self, query, values, values_mask=None, keys=None, training=False):
        expect_mask(self, "`values_mask`", values_mask, values, "regions")
        if keys is None:
            keys = self.project(values)
        context, attention_weights, _ = self.attend(
            query, values, keys, values_mask, training
        )
        return context, attention_weights

    def compute_output_shape(self, query_shape, values_shape, keys_shape=None):
        batch, regions, features = values_shape
        return (batch, features), (batch, regions)

    def compute_mask(self, inputs, previous_mask):
        return None  # The regions end here, and their mask with them.

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": initializer,
        }


@keras.saving.register_keras_serializable(package="saccade")
class HardAttention(BahdanauAttention):
    """Hard attention (Xu et al. 2015, section 4.1): the context is ONE region.

    The weights are those of BahdanauAttention, read as a distribution. In training
    the region is drawn from it, and in a share `expected` of the draws the mean
    under the distribution is taken instead, which steadies the estimate (Xu et al.
    use one half). At inference the most likely region is taken.

    A draw has no gradient: train with `Reinforce`, which needs the third result of
    `attend` (one-hot where a region was drawn).

    Args:
        units, kernel_initializer: as in BahdanauAttention.
        expected: share of the draws replaced by the mean, 0 to 1.
        seed: int, makes the draws repeatable.

    Call arguments and output: as in BahdanauAttention; `weights` is the
    distribution from which the region was drawn.
    """

    draws = True

    def __init__(self, units, expected=0.5, seed=None, **kwargs):
        super().__init__(units, **kwargs)
        if not 0 <= expected <= 1:
            raise ValueError(
                "HardAttention expected `expected` between 0 and 1, received "
                f"{expected}."
            )
        self.expected = expected
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def attend(self, query, values, keys, values_mask=None, training=False, **products):
        attention_weights = self.weigh(query, keys, values_mask, **products)
        values = ops.cast(values, self.compute_dtype)
        regions = ops.shape(values)[1]
        likeliest = ops.one_hot(
            ops.argmax(attention_weights, axis=-1), regions, dtype=self.compute_dtype
        )
        chosen = likeliest
        if training:
            batch = ops.shape(values)[0]
            draws = keras.random.uniform(
                (batch, 2), dtype="float32", seed=self.seed_generator
            )
            # The region whose share of the cumulated distribution holds the draw.
            cumulated = ops.cumsum(ops.cast(attention_weights, "float32"), axis=-1)
            drawn = ops.one_hot(
                ops.argmax(
                    ops.cast(cumulated > draws[:, :1] * cumulated[:, -1:], "int32"),
                    axis=-1,
                ),
                regions,
                dtype=self.compute_dtype,
            )
            chosen = ops.where(draws[:, 1:] < self.expected, attention_weights, drawn)
        if values_mask is not None:  # A row without regions chooses none.
            chosen = chosen * ops.cast(values_mask, chosen.dtype)
        return multiply.mix(chosen, values), attention_weights, chosen

    def get_config(self):
        return {**super().get_config(), "expected": self.expected, "seed": self.seed}
