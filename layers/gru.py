"""The gated recurrent unit, in both reset conventions."""

import keras
from keras import ops

from .cells import FastCell, dropped, step_weight
from .cudnn import CudnnLayer
from .products import multiply


def gru_step(
    x,
    h,
    weights,
    activation,
    recurrent_activation,
    reset_after,
    carry=None,
    multiply=multiply,
):
    """One step of the GRU (Cho et al. 2014).

        z = sigmoid(Wz x + Uz h' + bz)                     update gate
        r = sigmoid(Wr x + Ur h' + br)                     reset gate
        g = tanh(Wh x + Uh (r h') + bh)                    reset before the product
        g = tanh(Wh x + bh + r (Uh h' + ch))               reset after it (cuDNN)
        h = z h' + (1 - z) g

    Reset before the product is the printed form of Cho et al. 2014; reset after it,
    cuDNN's and Keras' default, is one product a step instead of two. Many texts print
    the last line the other way round, h = (1 - z) h' + z g: there the gate says how
    much is new, here how much stays. Since 1 - sigmoid(a) = sigmoid(-a), it is the same
    network with the signs of Wz, Uz and bz turned.

    Args:
        x: `(batch, features)`, or a tuple of tensors that stand side by side;
        h: `(batch, units)`.
        weights: dict of `kernel` `(features, 3 units)`, blocks in the order z, r, h;
            `recurrent_kernel` `(units, 3 units)`, or without `reset_after` its parts
            `recurrent_kernel_zr` `(units, 2 units)` and `recurrent_kernel_h`
            `(units, units)`; `bias` `(3 units,)` of the input product and, only with
            `reset_after`, `recurrent_bias` `(3 units,)` of the other; none without
            biases.
        reset_after: which of the two lines for g holds.
        carry: the h' of the last line, where the products see one with dropout.
        multiply: what does the products; see `products.Multiply`.

    Returns:
        h, `(batch, units)`.
    """
    z, _, g = gru_gates(
        x, h, weights, activation, recurrent_activation, reset_after, multiply
    )
    return z * (h if carry is None else carry) + (1 - z) * g


def gru_gates(
    x, h, weights, activation, recurrent_activation, reset_after, multiply=multiply
):
    """The gates of `gru_step`, and the candidate, which reads one of them.

    Args:
        as of `gru_step`.

    Returns:
        z, r, g: `(batch, units)` each.
    """
    units = h.shape[-1]
    x = multiply((x, weights["kernel"]), bias=weights.get("bias"))
    x_zr, x_g = x[:, : 2 * units], x[:, 2 * units :]
    if reset_after:
        u = multiply(
            (h, weights["recurrent_kernel"]), bias=weights.get("recurrent_bias")
        )
        z, r = ops.split(recurrent_activation(x_zr + u[:, : 2 * units]), 2, axis=-1)
        g = activation(x_g + r * u[:, 2 * units :])
    else:
        u = multiply((h, weights["recurrent_kernel_zr"]))
        z, r = ops.split(recurrent_activation(x_zr + u), 2, axis=-1)
        g = activation(x_g + multiply((r * h, weights["recurrent_kernel_h"])))
    return z, r, g


@keras.saving.register_keras_serializable(package="saccade")
class GRUCell(FastCell, keras.layers.GRUCell):
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

    def step_weights(self, training=False, h=None):
        recurrent = step_weight(self, self.recurrent_kernel)
        weights = {"kernel": step_weight(self, self.kernel)}
        if self.reset_after:
            weights["recurrent_kernel"] = recurrent
        else:
            weights["recurrent_kernel_zr"] = recurrent[:, : 2 * self.units]
            weights["recurrent_kernel_h"] = recurrent[:, 2 * self.units :]
        if self.use_bias and self.reset_after:
            bias = step_weight(self, self.bias)
            weights["bias"], weights["recurrent_bias"] = bias[0], bias[1]
        elif self.use_bias:
            weights["bias"] = step_weight(self, self.bias)
        weights["recurrent_mask"] = self.recurrent_mask(h, training)
        return weights

    def fast_step(self, multiply, x, states, weights, training=False):
        (previous,) = states
        h = gru_step(
            x,
            dropped(previous, weights["recurrent_mask"]),
            weights,
            self.activation,
            self.recurrent_activation,
            self.reset_after,
            carry=previous,
            multiply=multiply,
        )
        return h, [h]

    def step_gates(self, x, states, weights):
        z, r, _ = gru_gates(
            x,
            dropped(states[0], weights["recurrent_mask"]),
            weights,
            self.activation,
            self.recurrent_activation,
            self.reset_after,
        )
        return {"update": z, "reset": r}


@keras.saving.register_keras_serializable(package="saccade")
class GRU(CudnnLayer):
    """Gated recurrent unit over a sequence; the equations stand in `gru_step`.

    Takes the arguments of `keras.layers.GRU`, and its weights move to and from that
    layer unchanged. `use_cudnn` ("auto", True or False): see `cudnn`. Calls, masks and
    states: see `Recurrent`.

    Example:
        >>> GRU(8, reset_after=False)(keras.Input((None, 3))).shape
        (None, 8)
    """

    cell_class = GRUCell
    cudnn_cell = GRUCell
    keras_layer = keras.layers.GRU
