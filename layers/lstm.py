"""Long short-term memory, with or without peepholes."""

import keras
from keras import ops

from .cells import FastCell, dropped, step_weight
from .cudnn import CudnnLayer
from .products import multiply


def lstm_step(
    x,
    h,
    c,
    kernel,
    recurrent_kernel,
    bias,
    activation,
    recurrent_activation,
    peephole=None,
    multiply=multiply,
    peephole_of_output="current",
):
    """One step of the LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers 1999).

    With [z_i, z_f, z_g, z_o] = x W + h' U + b:

        i = sigmoid(z_i + p_i c')      input gate
        f = sigmoid(z_f + p_f c')      forget gate
        g = tanh(z_g)                  candidate
        c = f c' + i g                 memory cell
        o = sigmoid(z_o + p_o c)       output gate
        h = o tanh(c)                  hidden state

    The peephole terms p exist only where `peephole` is given (Gers, Schraudolph &
    Schmidhuber 2002): i and f look at the cell one step before, o at the new one. With
    `peephole_of_output="previous"` all three look at the cell one step before:

        o = sigmoid(z_o + p_o c')

    Args:
        x: `(batch, features)`, or a tuple of tensors that stand side by side;
        h, c: `(batch, units)`.
        kernel: W `(features, 4 units)`; recurrent_kernel: U `(units, 4 units)`;
        bias: b `(4 units,)` or None; the four blocks in the order i, f, g, o.
        peephole: p_i, p_f, p_o, `(units,)` each, or None.
        multiply: what does the products; see `products.Multiply`.
        peephole_of_output: "current" or "previous", the cell that o looks at.

    Returns:
        h, c: `(batch, units)` each.
    """
    *_, o, c = lstm_gates(
        x,
        h,
        c,
        kernel,
        recurrent_kernel,
        bias,
        activation,
        recurrent_activation,
        peephole,
        multiply,
        peephole_of_output,
    )
    return o * activation(c), c


def lstm_gates(
    x,
    h,
    c,
    kernel,
    recurrent_kernel,
    bias,
    activation,
    recurrent_activation,
    peephole=None,
    multiply=multiply,
    peephole_of_output="current",
):
    """The gates of `lstm_step`, and the memory cell, at which one of them may look.

    Args:
        as of `lstm_step`.

    Returns:
        i, f, o and the new c: `(batch, units)` each.
    """
    z = multiply((x, kernel), (h, recurrent_kernel), bias=bias)
    z_i, z_f, z_g, z_o = ops.split(z, 4, axis=-1)
    previous = c
    if peephole is not None:
        z_i = z_i + peephole[0] * previous
        z_f = z_f + peephole[1] * previous
    i = recurrent_activation(z_i)
    f = recurrent_activation(z_f)
    c = f * previous + i * activation(z_g)
    if peephole is not None:
        z_o = z_o + peephole[2] * (previous if peephole_of_output == "previous" else c)
    o = recurrent_activation(z_o)
    return i, f, o, c


@keras.saving.register_keras_serializable(package="saccade")
class LSTMCell(FastCell, keras.layers.LSTMCell):
    """One step of the LSTM; the equations stand in `lstm_step`.

    Weights and options are those of `keras.layers.LSTMCell` (`kernel`
    `(features, 4 units)`, `recurrent_kernel` `(units, 4 units)`, `bias`
    `(4 units,)`, gates in the order i, f, c, o). Dropout masks are drawn once per
    sequence and act before the one fused product, so `recurrent_dropout` costs no
    speed (Gal & Ghahramani 2016).

    Args:
        units: size of h and of c.
        peephole: whether the gates also look at the memory cell; adds the weight
            `peephole` `(3, units)` with rows for i, f, o. True: the output gate looks
            at the new cell, the others at the one before; "previous": all three look
            at the one before.
        peephole_initializer: how the peephole weights start.
        others: as in `keras.layers.LSTMCell`.

    Call arguments:
        inputs: `(batch, features)`.
        states: list [h, c], `(batch, units)` each.
        training: bool; dropout only acts where it is True.

    Output:
        h `(batch, units)`, list [h, c].

    Raises:
        ValueError: `peephole` is none of the three.
    """

    def __init__(
        self, units, peephole=False, peephole_initializer="random_uniform", **kwargs
    ):
        super().__init__(units, **kwargs)
        if peephole not in (False, True, "previous"):
            raise ValueError(
                f"{type(self).__name__} expected `peephole` False, True (the output "
                'gate looks at the new memory cell) or "previous" (all gates look at '
                f"the one before); received {peephole!r}."
            )
        self.peephole = peephole
        self.peephole_initializer = keras.initializers.get(peephole_initializer)
        self.peephole_weights = None
        # One mask for all four gates: they share one product here.
        self.dropout_mask_count = None

    def build(self, input_shape):
        super().build(input_shape)
        if self.peephole:
            self.peephole_weights = self.add_weight(
                shape=(3, self.units),
                name="peephole",
                initializer=self.peephole_initializer,
            )

    def step_weights(self, training=False, h=None):
        weights = {
            "kernel": step_weight(self, self.kernel),
            "recurrent_kernel": step_weight(self, self.recurrent_kernel),
        }
        if self.use_bias:
            weights["bias"] = step_weight(self, self.bias)
        weights["recurrent_mask"] = self.recurrent_mask(h, training)
        if self.peephole:
            weights["peephole"] = ops.unstack(step_weight(self, self.peephole_weights))
        return weights

    def fast_step(self, multiply, x, states, weights, training=False):
        h, c = lstm_step(*self._arguments(multiply, x, states, weights))
        return h, [h, c]

    def step_gates(self, x, states, weights):
        i, f, o, _ = lstm_gates(*self._arguments(multiply, x, states, weights))
        return {"input": i, "forget": f, "output": o}

    def _arguments(self, multiply, x, states, weights):
        """What `lstm_step` and `lstm_gates` take."""
        h, c = states
        return (
            x,
            dropped(h, weights["recurrent_mask"]),
            c,
            weights["kernel"],
            weights["recurrent_kernel"],
            weights.get("bias"),
            self.activation,
            self.recurrent_activation,
            weights.get("peephole"),
            multiply,
            "previous" if self.peephole == "previous" else "current",
        )

    def get_config(self):
        return {
            **super().get_config(),
            "peephole": self.peephole,
            "peephole_initializer": keras.initializers.serialize(
                self.peephole_initializer
            ),
        }


@keras.saving.register_keras_serializable(package="saccade")
class LSTM(CudnnLayer):
    """Long short-term memory over a sequence; the equations stand in `lstm_step`.

    Takes the arguments of `keras.layers.LSTM` and `peephole=True` or
    `peephole="previous"` for the peephole LSTM, see `LSTMCell`; without peepholes its
    weights move to and from `keras.layers.LSTM` unchanged. `use_cudnn` ("auto", True or
    False): see `cudnn`. Calls, masks and states: see `Recurrent`; the states are h and
    c.

    Example:
        >>> LSTM(8, peephole=True, return_sequences=True)(keras.Input((None, 3))).shape
        (None, None, 8)
    """

    cell_class = LSTMCell
    cudnn_cell = LSTMCell
    keras_layer = keras.layers.LSTM
