"""Zoneout: state units that skip a step at random."""

import keras
from keras import ops, tree

from .cells import WrapperCell, cast_all


@keras.saving.register_keras_serializable(package="saccade")
class ZoneoutCell(WrapperCell):
    """Any cell, with state units that keep their value of the step before at random
    (Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden
    activations"):

        training:   s = m s' + (1 - m) cell(x, s')      m = 1 with probability rate
        inference:  s = rate s' + (1 - rate) cell(x, s')

    Unlike recurrent dropout it draws anew at every step and sets nothing to zero, so
    the gradient has a way through the units that keep their value.

    Args:
        cell: the inner cell, whose output is its first state (LSTMCell, GRUCell ...).
        rate: probability that a unit keeps its value, from 0 to 1, one for all states
            or a list of one per state; the paper takes 0.5 for the c and 0.05 for the
            h of an LSTM: `rate=[0.05, 0.5]`.
        seed: of the draws.

    Call through `Recurrent(ZoneoutCell(cell, 0.1))`; states and output are those of
    the inner cell.
    """

    def __init__(self, cell, rate=0.1, seed=None, **kwargs):
        super().__init__(cell, **kwargs)
        sizes = tree.flatten(cell.state_size)
        self.rate, self.seed = rate, seed
        self.rates = [*rate] if isinstance(rate, (list, tuple)) else [rate] * len(sizes)
        if len(self.rates) != len(sizes) or not all(0 <= r <= 1 for r in self.rates):
            raise ValueError(
                f"ZoneoutCell expected `rate` from 0 to 1, or a list of {len(sizes)} "
                f"such, one per state of its {type(cell).__name__}; received {rate!r}."
            )
        if cell.output_size != sizes[0]:
            raise ValueError(
                "ZoneoutCell expected a cell whose output is its first state; "
                f"{type(cell).__name__} has states of sizes {sizes} and an output of "
                f"size {cell.output_size}."
            )
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, inputs_shape):
        if not self.cell.built:
            self.cell.build(inputs_shape)
        self.built = True

    def call(self, inputs, states, training=False):
        _, new = self.cell(inputs, states, training=training)
        new = cast_all(tree.flatten(new), self.compute_dtype)
        pairs = zip(self.rates, tree.flatten(states), new, strict=True)
        new = [self._zoned_out(*pair, training) for pair in pairs]
        return new[0], tree.pack_sequence_as(states, new)

    def _zoned_out(self, rate, before, after, training):
        if not training:
            return rate * before + (1 - rate) * after
        draws = keras.random.uniform(
            ops.shape(after), dtype="float32", seed=self.seed_generator
        )
        return ops.where(draws < rate, before, after)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
