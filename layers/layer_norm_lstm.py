"""Long short-term memory with layer normalisation inside its step."""

import keras
from keras import ops

from .cells import dropped, step_weight
from .lstm import LSTMCell
from .products import multiply
from .recurrent import CellLayer

NORMS = {"kernel_norm": 4, "recurrent_norm": 4, "state_norm": 1}


def layer_norm(z, gamma, beta, epsilon):
    """gamma (z - mean) / sqrt(variance + epsilon) + beta, over the last axis.

    Mean and variance (the biased one) are computed in float32 where z is narrower:
    a float16 square overflows at 256.

    Args:
        z: `(batch, size)`; gamma, beta: `(size,)`.

    Returns:
        `(batch, size)`, in the dtype of z.
    """
    wide = ops.cast(z, keras.backend.result_type(z.dtype, "float32"))
    wide = wide - ops.mean(wide, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(wide), axis=-1, keepdims=True)
    normal = wide * ops.rsqrt(variance + epsilon)
    return ops.cast(normal, z.dtype) * gamma + beta


def layer_norm_lstm_step(
    x,
    h,
    c,
    weights,
    activation,
    recurrent_activation,
    epsilon,
    norm_carry,
    multiply=multiply,
):
    """One step of the LSTM with layer normalisation (Ba, Kiros & Hinton 2016).

    With LN(z) = gamma (z - mean(z)) / sqrt(var(z) + epsilon) + beta, where each of
    the three has its own gamma and beta, and
    [z_i, z_f, z_g, z_o] = LN_x(x W) + LN_h(h' U) + b:

        i = sigmoid(z_i)            input gate
        f = sigmoid(z_f)            forget gate
        g = tanh(z_g)               candidate
        o = sigmoid(z_o)            output gate
        s = f c' + i g              memory cell
        n = LN_c(s)                 the same, normalised
        h = o tanh(n)               hidden state
        c = n                       what the next step gets: with norm_carry
        c = s                       without it

    Args:
        x: `(batch, features)`, or a tuple of tensors that stand side by side;
        h, c: `(batch, units)`.
        weights: dict of `kernel` W `(features, 4 units)`, `recurrent_kernel` U
            `(units, 4 units)`, `bias` b `(4 units,)` (absent without biases), blocks
            in the order i, f, g, o; `kernel_norm`, `recurrent_norm`, `state_norm`:
            gamma and beta of LN_x, LN_h and LN_c.
        epsilon: what is added to the variance.
        norm_carry: which of the two lines for c holds.
        multiply: what does the products; see `products.Multiply`.

    Returns:
        h, c: `(batch, units)` each.
    """
    i, f, g, o = layer_norm_lstm_gates(
        x, h, weights, activation, recurrent_activation, epsilon, multiply
    )
    s = f * c + i * g
    n = layer_norm(s, *weights["state_norm"], epsilon)
    h = o * activation(n)
    return h, n if norm_carry else s


def layer_norm_lstm_gates(
    x, h, weights, activation, recurrent_activation, epsilon, multiply=multiply
):
    """The gates of `layer_norm_lstm_step`, and the candidate.

    Args:
        as of `layer_norm_lstm_step`.

    Returns:
        i, f, g, o: `(batch, units)` each.
    """
    z = layer_norm(multiply((x, weights["kernel"])), *weights["kernel_norm"], epsilon)
    z = z + layer_norm(
        multiply((h, weights["recurrent_kernel"])), *weights["recurrent_norm"], epsilon
    )
    if "bias" in weights:
        z = z + weights["bias"]
    z_i, z_f, z_g, z_o = ops.split(z, 4, axis=-1)
    i = recurrent_activation(z_i)
    f = recurrent_activation(z_f)
    o = recurrent_activation(z_o)
    return i, f, activation(z_g), o


@keras.saving.register_keras_serializable(package="saccade")
class LayerNormLSTMCell(LSTMCell):
    """One step of the LSTM with layer normalisation; the equations stand in
    `layer_norm_lstm_step` (Ba, Kiros & Hinton 2016, arXiv:1607.06450).

    Every norm is taken over one row's units at one time step, so it depends neither
    on the batch nor on the length of the sequence, and a model that decodes step by
    step computes what it did in training.

    Weights: `kernel`, `recurrent_kernel` and `bias` as in `LSTMCell`, then

        kernel_norm_gamma, kernel_norm_beta          (4 units,) each: LN_x
        recurrent_norm_gamma, recurrent_norm_beta    (4 units,) each: LN_h
        state_norm_gamma, state_norm_beta            (units,) each: LN_c

    in the order of `LayerNormLSTMCell` of TensorFlow Addons, whose weights fit here.
    There are no peepholes.

    Args:
        units: size of h and of c.
        norm_gamma_initializer, norm_beta_initializer: how the gammas and betas start.
        norm_epsilon: what is added to a variance before its root.
        norm_carry: whether the next step gets the normalised memory cell, as in
            TensorFlow Addons, or the memory cell itself, as in the paper, where the
            norm only stands before the tanh of the output.
        others: as in `LSTMCell`, dropout too.

    Call arguments:
        inputs: `(batch, features)`.
        states: list [h, c], `(batch, units)` each.
        training: bool; dropout only acts where it is True.

    Output:
        h `(batch, units)`, list [h, c].

    Raises:
        ValueError: peepholes were asked for.
    """

    def __init__(
        self,
        units,
        norm_gamma_initializer="ones",
        norm_beta_initializer="zeros",
        norm_epsilon=1e-3,
        norm_carry=True,
        **kwargs,
    ):
        if kwargs.get("peephole"):
            raise ValueError(
                f"{type(self).__name__} expected no peephole="
                f"{kwargs['peephole']!r}: it has no peepholes. Leave it out, or use "
                "an LSTM."
            )
        super().__init__(units, **kwargs)
        self.norm_gamma_initializer = keras.initializers.get(norm_gamma_initializer)
        self.norm_beta_initializer = keras.initializers.get(norm_beta_initializer)
        self.norm_epsilon = norm_epsilon
        self.norm_carry = norm_carry
        self.norms = {}

    def build(self, input_shape):
        if self.built:
            return
        super().build(input_shape)
        self.norms = {
            norm: [
                self.add_weight(
                    shape=(size * self.units,),
                    name=f"{norm}_{part}",
                    initializer=initializer,
                )
                for part, initializer in (
                    ("gamma", self.norm_gamma_initializer),
                    ("beta", self.norm_beta_initializer),
                )
            ]
            for norm, size in NORMS.items()
        }

    def step_weights(self, training=False, h=None):
        norms = {
            norm: [step_weight(self, weight) for weight in pair]
            for norm, pair in self.norms.items()
        }
        return {**super().step_weights(training, h), **norms}

    def fast_step(self, multiply, x, states, weights, training=False):
        h, c = states
        h, c = layer_norm_lstm_step(
            x,
            dropped(h, weights["recurrent_mask"]),
            c,
            weights,
            self.activation,
            self.recurrent_activation,
            self.norm_epsilon,
            self.norm_carry,
            multiply,
        )
        return h, [h, c]

    def step_gates(self, x, states, weights):
        i, f, _, o = layer_norm_lstm_gates(
            x,
            dropped(states[0], weights["recurrent_mask"]),
            weights,
            self.activation,
            self.recurrent_activation,
            self.norm_epsilon,
        )
        return {"input": i, "forget": f, "output": o}

    def get_config(self):
        config = super().get_config()
        del config["peephole"], config["peephole_initializer"]
        return {
            **config,
            "norm_gamma_initializer": keras.initializers.serialize(
                self.norm_gamma_initializer
            ),
            "norm_beta_initializer": keras.initializers.serialize(
                self.norm_beta_initializer
            ),
            "norm_epsilon": self.norm_epsilon,
            "norm_carry": self.norm_carry,
        }


@keras.saving.register_keras_serializable(package="saccade")
class LayerNormLSTM(CellLayer):
    """LSTM with layer normalisation over a sequence; see `LayerNormLSTMCell`.

    Takes the arguments of `LSTM` but the peepholes, and those of the norms. Calls,
    masks and states: see `Recurrent`; the states are h and c.

    Example:
        >>> LayerNormLSTM(8, return_sequences=True)(keras.Input((None, 3))).shape
        (None, None, 8)
    """

    cell_class = LayerNormLSTMCell
