"""The Jordan network: the output is fed back, not the hidden state."""

import numbers

import keras

from .cells import FastCell, dropped, step_weight
from .products import multiply
from .recurrent import CellLayer


def jordan_step(
    x,
    y,
    kernel,
    recurrent_kernel,
    bias,
    output_kernel,
    output_bias,
    activation,
    output_activation,
    multiply=multiply,
):
    """One step of the Jordan network (Jordan 1986), y' the output one step before.

        h = activation(Wx x + Wy y' + b)
        y = output_activation(Wo h + bo)

    Args:
        x: `(batch, features)`, or a tuple of tensors that stand side by side.
        y: `(batch, output_units)`, the output y'.
        kernel: Wx, `(features, units)`;
        recurrent_kernel: Wy, `(output_units, units)`;
        bias: b, `(units,)` or None.
        output_kernel: Wo, `(units, output_units)`;
        output_bias: bo, `(output_units,)` or None.
        multiply: what does the products; see `products.Multiply`.

    Returns:
        y, `(batch, output_units)`.
    """
    h = activation(multiply((x, kernel), (y, recurrent_kernel), bias=bias))
    return output_activation(multiply((h, output_kernel), bias=output_bias))


@keras.saving.register_keras_serializable(package="saccade")
class JordanCell(FastCell, keras.layers.SimpleRNNCell):
    """One step of the Jordan network (Jordan 1986, "Serial order: a parallel
    distributed processing approach"); the equations stand in `jordan_step`.

    All that a step knows of the past is what the network said before, so the true
    output, given as the state, is teacher forcing.

    Weights: `kernel` `(features, units)`, `recurrent_kernel` `(output_units, units)`,
    `bias` `(units,)`, `output_kernel` `(units, output_units)`, `output_bias`
    `(output_units,)`. Dropout masks are drawn once per sequence (Gal & Ghahramani
    2016).

    Args:
        units: size of the hidden layer h.
        output_units: size of the output y; `units` where it is None.
        activation: of h; output_activation: of y.
        use_bias: whether h and y have biases.
        output_initializer, output_regularizer, output_constraint: of `output_kernel`.
        dropout: of x; recurrent_dropout: of the y' that is fed back.
        others: as in `keras.layers.SimpleRNNCell`; those of the bias hold for both.

    Call arguments:
        inputs: `(batch, features)`.
        states: the output before, `(batch, output_units)`, alone or in a list.
        training: bool; dropout only acts where it is True.

    Output:
        y `(batch, output_units)`, and the new state, y, in the form in which it came.

    Raises:
        ValueError: `output_units` is not a positive integer.
    """

    def __init__(
        self,
        units,
        output_units=None,
        activation="tanh",
        output_activation="tanh",
        output_initializer="glorot_uniform",
        output_regularizer=None,
        output_constraint=None,
        **kwargs,
    ):
        super().__init__(units, activation=activation, **kwargs)
        output_units = units if output_units is None else output_units
        if not isinstance(output_units, numbers.Integral) or output_units < 1:
            raise ValueError(
                "JordanCell expected `output_units`, the size of its output, to be a "
                f"positive integer or None for `units`; received {output_units!r}."
            )
        self.output_units = int(output_units)
        self.state_size = self.output_size = self.output_units
        self.output_activation = keras.activations.get(output_activation)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.output_regularizer = keras.regularizers.get(output_regularizer)
        self.output_constraint = keras.constraints.get(output_constraint)
        self.kernel = self.recurrent_kernel = self.bias = None
        self.output_kernel = self.output_bias = None

    def build(self, input_shape):
        if self.built:
            return

        def add(name, shape, kind):
            return self.add_weight(
                shape=shape,
                name=name,
                initializer=getattr(self, f"{kind}_initializer"),
                regularizer=getattr(self, f"{kind}_regularizer"),
                constraint=getattr(self, f"{kind}_constraint"),
            )

        units, output_units = self.units, self.output_units
        self.kernel = add("kernel", (input_shape[-1], units), "kernel")
        self.recurrent_kernel = add(
            "recurrent_kernel", (output_units, units), "recurrent"
        )
        if self.use_bias:
            self.bias = add("bias", (units,), "bias")
        self.output_kernel = add("output_kernel", (units, output_units), "output")
        if self.use_bias:
            self.output_bias = add("output_bias", (output_units,), "bias")
        self.built = True

    def step_weights(self, training=False, y=None):
        weights = {
            "kernel": step_weight(self, self.kernel),
            "recurrent_kernel": step_weight(self, self.recurrent_kernel),
            "output_kernel": step_weight(self, self.output_kernel),
        }
        if self.use_bias:
            weights["bias"] = step_weight(self, self.bias)
            weights["output_bias"] = step_weight(self, self.output_bias)
        weights["recurrent_mask"] = self.recurrent_mask(y, training)
        return weights

    def fast_step(self, multiply, x, states, weights, training=False):
        (y,) = states
        y = jordan_step(
            x,
            dropped(y, weights["recurrent_mask"]),
            weights["kernel"],
            weights["recurrent_kernel"],
            weights.get("bias"),
            weights["output_kernel"],
            weights.get("output_bias"),
            self.activation,
            self.output_activation,
            multiply,
        )
        return y, [y]

    def get_config(self):
        return {
            **super().get_config(),
            "output_units": self.output_units,
            "output_activation": keras.activations.serialize(self.output_activation),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
            "output_regularizer": keras.regularizers.serialize(self.output_regularizer),
            "output_constraint": keras.constraints.serialize(self.output_constraint),
        }


@keras.saving.register_keras_serializable(package="saccade")
class Jordan(CellLayer):
    """Jordan network over a sequence; the equations stand in `jordan_step`.

    Takes the options of `JordanCell` (`units`, `output_units`, `activation="tanh"`,
    `output_activation="tanh"`, dropout, initialisers, regularisers, constraints) and
    of the loop (`return_sequences`, `return_state`, `go_backwards`, `stateful`,
    `unroll`). Calls, masks and states: see `Recurrent`; the one state is the output
    y, `(batch, output_units)`.

    Example:
        >>> layer = Jordan(8, output_units=2, return_sequences=True)
        >>> layer(keras.Input((None, 3))).shape
        (None, None, 2)
    """

    cell_class = JordanCell
