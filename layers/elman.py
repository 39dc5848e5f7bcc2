"""The vanilla (Elman) recurrent network."""

import keras

from .cells import FastCell, dropped, step_weight
from .products import multiply
from .recurrent import CellLayer


def elman_step(x, h, kernel, recurrent_kernel, bias, activation, multiply=multiply):
    """h = activation(Wx x + Wh h' + b), with h' the hidden state one step before.

    Args:
        x: `(batch, features)`, or a tuple of tensors that stand side by side.
        h: `(batch, units)`, the hidden state h'.
        kernel: Wx, `(features, units)`; recurrent_kernel: Wh, `(units, units)`;
        bias: b, `(units,)` or None.
        multiply: what does the products; see `products.Multiply`.

    Returns:
        h, `(batch, units)`.
    """
    return activation(multiply((x, kernel), (h, recurrent_kernel), bias=bias))


@keras.saving.register_keras_serializable(package="saccade")
class ElmanCell(FastCell, keras.layers.SimpleRNNCell):
    """One step of the vanilla recurrent network (Elman 1990, "Finding structure in
    time"): h = tanh(Wx x + Wh h' + b).

    Weights and options are those of `keras.layers.SimpleRNNCell`: `kernel`
    `(features, units)`, `recurrent_kernel` `(units, units)`, `bias` `(units,)`.
    Dropout masks are drawn once per sequence (Gal & Ghahramani 2016).

    Call arguments:
        inputs: `(batch, features)`.
        states: the hidden state `(batch, units)`, alone or in a list.
        training: bool; dropout only acts where it is True.

    Output:
        h `(batch, units)`, and the new state in the form in which it came.
    """

    def step_weights(self, training=False, h=None):
        weights = {
            "kernel": step_weight(self, self.kernel),
            "recurrent_kernel": step_weight(self, self.recurrent_kernel),
        }
        if self.use_bias:
            weights["bias"] = step_weight(self, self.bias)
        weights["recurrent_mask"] = self.recurrent_mask(h, training)
        return weights

    def fast_step(self, multiply, x, states, weights, training=False):
        (h,) = states
        h = elman_step(
            x,
            dropped(h, weights["recurrent_mask"]),
            weights["kernel"],
            weights["recurrent_kernel"],
            weights.get("bias"),
            self.activation,
            multiply,
        )
        return h, [h]


@keras.saving.register_keras_serializable(package="saccade")
class Elman(CellLayer):
    """Vanilla recurrent layer: h = tanh(Wx x + Wh h' + b) over a sequence.

    Takes the arguments of `keras.layers.SimpleRNN` (`units`, `activation="tanh"`,
    `dropout`, `recurrent_dropout`, initialisers, regularisers, constraints,
    `return_sequences`, `return_state`, `go_backwards`, `stateful`, `unroll`), and
    its weights move to and from that layer unchanged. Calls, masks and states: see
    `Recurrent`.

    Example:
        >>> Elman(8, return_sequences=True)(keras.Input((None, 3))).shape
        (None, None, 8)
    """

    cell_class = ElmanCell
