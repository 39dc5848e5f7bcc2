"""The vanilla (Elman) recurrent network."""

import keras
from keras import ops

from .recurrent import CellLayer, dropped


def elman_step(x, h, kernel, recurrent_kernel, bias, activation):
    """h = activation(Wx x + Wh h' + b), with h' the hidden state one step before.

    Args:
        x: `(batch, features)`.
        h: `(batch, units)`, the hidden state h'.
        kernel: Wx, `(features, units)`; recurrent_kernel: Wh, `(units, units)`;
        bias: b, `(units,)` or None.

    Returns:
        h, `(batch, units)`.
    """
    z = ops.matmul(x, kernel) + ops.matmul(h, recurrent_kernel)
    return activation(z if bias is None else z + bias)


@keras.saving.register_keras_serializable(package="saccade")
class ElmanCell(keras.layers.SimpleRNNCell):
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

    def call(self, inputs, states, training=False):
        h = states[0] if isinstance(states, (list, tuple)) else states
        x, h = dropped(self, inputs, h, training)
        h = elman_step(
            x, h, self.kernel, self.recurrent_kernel, self.bias, self.activation
        )
        return h, [h] if isinstance(states, (list, tuple)) else h


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
