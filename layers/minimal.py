"""The minimal GRU and LSTM: recurrences whose whole sequence is one parallel scan."""

import keras
from keras import ops, tree

from .cells import FastCell, current_reset, step_weight
from .masks import as_column
from .products import multiply
from .recurrent import CellLayer, Recurrent

BLOCK = 16


def positive(x):
    """g(x) = x + 0.5 for x >= 0, sigmoid(x) below: positive, continuous, monotonic."""
    return ops.where(x >= 0, x + 0.5, ops.sigmoid(x))


def min_gru_gates(k):
    """The gates of the minimal GRU (Feng et al. 2024), which see the input alone.

    With [k_z, k_h] = W x + b:

        z = sigmoid(k_z)             update gate
        h = (1 - z) h' + z g(k_h)    with g as in `positive`

    Args:
        k: `(..., 2 units)`, blocks in the order z, h.

    Returns:
        a = 1 - z and v = z g(k_h), `(..., units)` each: h = a h' + v.
    """
    k_z, k_h = ops.split(k, 2, axis=-1)
    z = ops.sigmoid(k_z)
    return 1 - z, z * positive(k_h)


def min_lstm_gates(k):
    """The gates of the minimal LSTM (Feng et al. 2024), which see the input alone.

    With [k_i, k_f, k_h] = W x + b:

        i = sigmoid(k_i)                           input gate
        f = sigmoid(k_f)                           forget gate
        h = f/(f + i) h' + i/(f + i) g(k_h)        with g as in `positive`

    f/(f + i) is computed as sigmoid(log f - log i): where both gates are shut, the
    quotient would be 0/0.

    Args:
        k: `(..., 3 units)`, blocks in the order i, f, h.

    Returns:
        a = f/(f + i) and v = i/(f + i) g(k_h), `(..., units)` each: h = a h' + v.
    """
    k_i, k_f, k_h = ops.split(k, 3, axis=-1)
    a = ops.sigmoid(ops.log_sigmoid(k_f) - ops.log_sigmoid(k_i))
    return a, (1 - a) * positive(k_h)


# The parallel form


def linear_recurrence(a, v, h, reset=None, start=None):
    """h_t = a_t h_(t-1) + v_t for all t at once.

    A scan over pairs: (a, v) followed by (a*, v*) is (a* a, a* v + v*). It never
    divides, and its products of decays only shrink, so that it neither overflows nor
    loses digits at any length. The form of the paper, logsumexp over cumulative sums
    of log a (Heinsen 2023), subtracts sums that grow with the time: it loses digits,
    and takes no negative state.

    Args:
        a: `(batch, time, units)`, in [0, 1]; v: the same shape; h: `(batch, units)`,
            the state before the first step.
        reset: bool `(batch, time, 1)` or None; where it is True, h_(t-1) is `start`,
            `(batch, units)`.

    Returns:
        `(batch, time, units)`, computed in float32 or wider, in the dtype of v.
    """
    dtype = v.dtype
    wide = keras.backend.result_type(dtype, "float32")
    a, v, h = (ops.cast(tensor, wide) for tensor in (a, v, h))
    if reset is not None:
        v = ops.where(reset, v + a * ops.cast(start, wide)[:, None], v)
        a = ops.where(reset, 0, a)
    v = ops.concatenate([v[:, :1] + a[:, :1] * h[:, None], v[:, 1:]], axis=1)
    return ops.cast(_scan(a, v), dtype)


def _scan(a, v):
    """h_t = a_t h_(t-1) + v_t from zero, with a gradient of its own."""
    return ops.custom_gradient(_with_gradient)(a, v)


def _with_gradient(a, v):
    """h, and its gradient, which is such a recurrence too, run backwards:
    d_t = upstream_t + a_(t+1) d_(t+1), with dv_t = d_t and da_t = d_t h_(t-1).
    """
    h = _blocks(a, v)

    def gradient(*args, upstream=None):
        if upstream is None:
            (upstream,) = args
        nothing = ops.zeros_like(a[:, :1])
        a_after = ops.concatenate([a[:, 1:], nothing], axis=1)
        d = _scan(ops.flip(a_after, axis=1), ops.flip(upstream, axis=1))
        d = ops.flip(d, axis=1)
        h_before = ops.concatenate([nothing, h[:, :-1]], axis=1)
        return d * h_before, d

    return h, gradient


def _blocks(a, v):
    """The scan: all blocks of time at once, then what each hands to the next.

    `keras.ops.associative_scan` would do, but with TensorFlow it compiles neither
    for XLA nor for an unknown length (Keras 3.15).
    """
    batch, time, units = ops.shape(a)
    size = min(BLOCK, a.shape[1] or BLOCK)
    blocks = (time + size - 1) // size
    rest = [[0, 0], [0, blocks * size - time], [0, 0]]
    # Steps that change nothing fill the last block up.
    a = ops.reshape(ops.pad(a, rest, constant_values=1), (batch, blocks, size, units))
    v = ops.reshape(ops.pad(v, rest), (batch, blocks, size, units))
    decays, states = [a[:, :, 0]], [v[:, :, 0]]
    for t in range(1, size):
        states.append(a[:, :, t] * states[-1] + v[:, :, t])
        decays.append(a[:, :, t] * decays[-1])
    # What a block gets from those before it: the state at the end of the last one.
    ends = _doubling(decays[-1], states[-1], blocks)
    h = ops.concatenate([ops.zeros_like(ends[:, :1]), ends[:, :-1]], axis=1)
    h = ops.stack([s + d * h for d, s in zip(decays, states, strict=True)], axis=2)
    return ops.reshape(h, (batch, blocks * size, units))[:, :time]


def _doubling(a, v, length):
    """The scan in log2(length) rounds: every step takes in what lies 1, 2, 4, ...
    steps before it (Hillis & Steele 1986)."""
    steps = ops.arange(length, dtype="int32")

    def body(distance, a, v):
        inside = (steps >= distance)[:, None]
        before = ops.maximum(steps - distance, 0)
        v_before = ops.where(inside, ops.take(v, before, axis=1), 0)
        a_before = ops.where(inside, ops.take(a, before, axis=1), 1)
        return 2 * distance, a * a_before, a * v_before + v

    return ops.while_loop(lambda distance, *_: distance < length, body, (1, a, v))[2]


# Cells and layers


class MinimalCell(FastCell, keras.layers.SimpleRNNCell):
    """What `MinGRUCell` and `MinLSTMCell` share.

    A `SimpleRNNCell` for its dropout mask, its one state and its options; there is no
    recurrent kernel, so the options of one are missing.
    """

    gate_count = None  # blocks of the kernel
    no_options = (
        "activation",
        "recurrent_initializer",
        "recurrent_regularizer",
        "recurrent_constraint",
        "recurrent_dropout",
    )

    def __init__(self, units, **kwargs):
        for option in self.no_options:
            if option in kwargs:
                raise ValueError(
                    f"{type(self).__name__} has no option {option}: its gates see the "
                    f"input alone. Received {option}={kwargs[option]!r}; leave it out."
                )
        super().__init__(units, **kwargs)
        self.kernel = None
        self.bias = None

    def build(self, input_shape):
        if self.built:
            return
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.gate_count * self.units),
            name="kernel",
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.gate_count * self.units,),
                name="bias",
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def gates(self, k):
        """a and v of h = a h' + v, from k = W x + b."""
        raise NotImplementedError

    def named_gates(self, a):
        """The gates by their names, from a of h = a h' + v."""
        raise NotImplementedError

    def step_weights(self, training=False, h=None):
        weights = {"kernel": step_weight(self, self.kernel)}
        if self.use_bias:
            weights["bias"] = step_weight(self, self.bias)
        return weights

    def fast_step(self, multiply, x, states, weights, training=False):
        k = multiply((x, weights["kernel"]), bias=weights.get("bias"))
        a, v = self.gates(k)
        (h,) = states
        h = a * h + v
        return h, [h]

    def step_gates(self, x, states, weights):
        k = multiply((x, weights["kernel"]), bias=weights.get("bias"))
        return self.named_gates(self.gates(k)[0])

    def get_config(self):
        config = super().get_config()
        return {k: v for k, v in config.items() if k not in self.no_options}


@keras.saving.register_keras_serializable(package="saccade")
class Scan(Recurrent):
    """A `Recurrent` around a `MinimalCell`: the sequence as one scan.

    The gates see the input alone, so the products of all steps are one product, and
    what is left, h = a h' + v, is `linear_recurrence`. A masked step has a = 1 and
    v = 0.

    Args:
        cell: a MinGRUCell or a MinLSTMCell.
        parallel: whether the sequence is one scan or the loop of `Recurrent`, with the
            same numbers. The loop also serves calls that have both `mask=` and
            `reset_mask=`, without `zero_output_for_mask`.
        others: as in `Recurrent`.

    Raises:
        ValueError: the cell is no MinimalCell, or has a step of its own.
    """

    def __init__(self, cell, parallel=True, **options):
        if not scans(cell):
            raise ValueError(
                "Scan expected a MinGRUCell or a MinLSTMCell, whose gates see the "
                f"input alone; received {type(cell).__name__}. Use Recurrent."
            )
        super().__init__(cell, **options)
        self.parallel = parallel

    def run_steps(self, sequences, initial_state, mask, training=False):
        reset, start = current_reset()
        # A padded step repeats the output before it, which after a reset is no longer
        # the state: only the loop knows it.
        repeats_output = mask is not None and not self.zero_output_for_mask
        if not self.parallel or (repeats_output and reset is not None):
            return super().run_steps(sequences, initial_state, mask, training)
        cell = self.cell
        x = ops.cast(sequences, cell.compute_dtype)
        dropout = cell.input_mask(x[:, 0], training)
        x = x if dropout is None else x * dropout[:, None]
        mask, reset = as_column(mask), as_column(reset)
        if self.go_backwards:
            x, mask, reset = (
                m if m is None else ops.flip(m, axis=1) for m in (x, mask, reset)
            )
        weights = cell.step_weights(training)
        # Rows, because a product of rank 3 does not train under XLA with an unknown
        # batch size.
        rows = ops.reshape(x, (-1, x.shape[-1]))
        k = multiply((rows, weights["kernel"]), bias=weights.get("bias"))
        k = ops.reshape(k, (*ops.shape(x)[:2], k.shape[-1]))
        a, v = cell.gates(k)
        if mask is not None:
            a, v = ops.where(mask, a, 1), ops.where(mask, v, 0)
        start = None if reset is None else tree.flatten(start)[0]
        h = linear_recurrence(a, v, tree.flatten(initial_state)[0], reset, start)
        outputs = h
        if mask is not None:
            # Before the first real step there is no output to repeat.
            has_output = mask
            if not self.zero_output_for_mask:
                has_output = ops.cumsum(ops.cast(mask, "int32"), axis=1) > 0
            outputs = ops.where(has_output, h, 0)
        return outputs[:, -1], outputs, [h[:, -1]]

    def get_config(self):
        return {**super().get_config(), "parallel": self.parallel}


class MinimalLayer(CellLayer, Scan):
    """What `MinGRU` and `MinLSTM` share: a `Scan` that makes its own cell."""

    def __init__(self, units, parallel=True, **options):
        super().__init__(units, **options)
        self.parallel = parallel


def scans(cell):
    """Whether a `Scan` gives what the cell's own steps give."""
    if not isinstance(cell, MinimalCell):
        return False
    return type(cell).fast_step is MinimalCell.fast_step and cell.is_fast


@keras.saving.register_keras_serializable(package="saccade")
class MinGRUCell(MinimalCell):
    """One step of the minimal GRU; the equations stand in `min_gru_gates` (Feng et
    al. 2024, "Were RNNs all we needed?", arXiv:2410.01201).

    Weights: `kernel` `(features, 2 units)` and `bias` `(2 units,)`, blocks in the
    order z, h. No state enters a product: there is no recurrent kernel.

    Args:
        units: size of h.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
        bias_regularizer, kernel_constraint, bias_constraint, dropout, seed: as in
            `keras.layers.GRUCell`. The dropout mask of the inputs is drawn once per
            sequence.

    Call arguments:
        inputs: `(batch, features)`.
        states: the hidden state `(batch, units)`, alone or in a list.
        training: bool; dropout only acts where it is True.

    Output:
        h `(batch, units)`, and the new state in the form in which it came.

    Raises:
        ValueError: an option of the recurrent kernel, or an activation, was given.
    """

    gate_count = 2

    def gates(self, k):
        return min_gru_gates(k)

    def named_gates(self, a):
        return {"update": 1 - a}


@keras.saving.register_keras_serializable(package="saccade")
class MinLSTMCell(MinimalCell):
    """One step of the minimal LSTM; the equations stand in `min_lstm_gates` (Feng et
    al. 2024, "Were RNNs all we needed?", arXiv:2410.01201).

    Weights: `kernel` `(features, 3 units)` and `bias` `(3 units,)`, blocks in the
    order i, f, h. There is one state, h: the memory cell and the hidden state of the
    LSTM are the same here. Arguments, calls and errors: see `MinGRUCell`.
    """

    gate_count = 3

    def gates(self, k):
        return min_lstm_gates(k)

    def named_gates(self, a):
        # i and f by themselves say nothing: only their shares of their sum act.
        return {"input": 1 - a, "forget": a}


@keras.saving.register_keras_serializable(package="saccade")
class MinGRU(MinimalLayer):
    """The minimal GRU over a sequence, all steps in parallel; the equations stand in
    `min_gru_gates`.

    Args:
        units: size of h.
        parallel: whether the sequence is one scan, of 16 steps and log2(time / 16)
            rounds instead of `time` steps, or the loop of `Recurrent`; the numbers are
            the same. In the scan `unroll` and `fast` have nothing to do.
        others: as in `MinGRUCell` and `Recurrent`.

    Calls, masks and states: see `Recurrent`.

    Example:
        >>> MinGRU(8, return_sequences=True)(keras.Input((None, 3))).shape
        (None, None, 8)
    """

    cell_class = MinGRUCell


@keras.saving.register_keras_serializable(package="saccade")
class MinLSTM(MinimalLayer):
    """The minimal LSTM over a sequence, all steps in parallel; the equations stand in
    `min_lstm_gates`. Arguments, calls, masks and states: see `MinGRU`.

    Example:
        >>> MinLSTM(8)(keras.Input((None, 3))).shape
        (None, 8)
    """

    cell_class = MinLSTMCell
