"""The gated recurrent unit, in both reset conventions."""

import keras
from keras import ops

from .recurrent import CellLayer, dropped


def gru_step(
    x,
    h,
    kernel,
    recurrent_kernel,
    bias,
    activation,
    recurrent_activation,
    reset_after,
    carry=None,
):
    """One step of the GRU (Cho et al. 2014).

        z = sigmoid(Wz x + Uz h' + bz)                     update gate
        r = sigmoid(Wr x + Ur h' + br)                     reset gate
        g = tanh(Wh x + Uh (r h') + bh)                    reset before the product
        g = tanh(Wh x + bh + r (Uh h' + ch))               reset after it (cuDNN)
        h = z h' + (1 - z) g

    Args:
        x: `(batch, features)`; h: `(batch, units)`.
        kernel: `(features, 3 units)`; recurrent_kernel: `(units, 3 units)`; the
            blocks in the order z, r, h.
        bias: None, `(3 units,)`, or with `reset_after` `(2, 3 units)`: one row for
            the input product, one for the recurrent product.
        reset_after: which of the two lines for g holds.
        carry: the h' of the last line, where the products see one with dropout.

    Returns:
        h, `(batch, units)`.
    """
    units = h.shape[-1]
    input_bias, recurrent_bias = bias, None
    if bias is not None and reset_after:
        input_bias, recurrent_bias = bias[0], bias[1]
    x = ops.matmul(x, kernel)
    if input_bias is not None:
        x = x + input_bias
    x_zr, x_g = x[:, : 2 * units], x[:, 2 * units :]
    if reset_after:
        u = ops.matmul(h, recurrent_kernel)
        if recurrent_bias is not None:
            u = u + recurrent_bias
        z, r = ops.split(recurrent_activation(x_zr + u[:, : 2 * units]), 2, axis=-1)
        g = activation(x_g + r * u[:, 2 * units :])
    else:
        u = ops.matmul(h, recurrent_kernel[:, : 2 * units])
        z, r = ops.split(recurrent_activation(x_zr + u), 2, axis=-1)
        g = activation(x_g + ops.matmul(r * h, recurrent_kernel[:, 2 * units :]))
    return z * (h if carry is None else carry) + (1 - z) * g


@keras.saving.register_keras_serializable(package="saccade")
class GRUCell(keras.layers.GRUCell):
    """One step of the GRU; the equations stand in `gru_step`.

    Weights and options are those of `keras.layers.GRUCell` (`kernel`
    `(features, 3 units)`, `recurrent_kernel` `(units, 3 units)`, gates in the order
    z, r, h; `bias` `(2, 3 units)` with `reset_after=True`, the default, else
    `(3 units,)`). Dropout masks are drawn once per sequence.

    Call arguments:
        inputs: `(batch, features)`.
        states: the hidden state `(batch, units)`, alone or in a list.
        training: bool; dropout only acts where it is True.

    Output:
        h `(batch, units)`, and the new state in the form in which it came.
    """

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        # One mask for all three gates: they share one product here.
        self.dropout_mask_count = None

    def call(self, inputs, states, training=False):
        previous = states[0] if isinstance(states, (list, tuple)) else states
        x, masked = dropped(self, inputs, previous, training)
        h = gru_step(
            x,
            masked,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            self.activation,
            self.recurrent_activation,
            self.reset_after,
            carry=previous,
        )
        return h, [h] if isinstance(states, (list, tuple)) else h


@keras.saving.register_keras_serializable(package="saccade")
class GRU(CellLayer):
    """Gated recurrent unit over a sequence; the equations stand in `gru_step`.

    Takes the arguments of `keras.layers.GRU` (without `use_cudnn`), and its weights
    move to and from that layer unchanged. Calls, masks and states: see `Recurrent`.

    Example:
        >>> GRU(8, reset_after=False)(keras.Input((None, 3))).shape
        (None, 8)
    """

    cell_class = GRUCell
