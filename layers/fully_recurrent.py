"""The fully recurrent network: every unit sees every unit and every input."""

import math
import numbers
from typing import Any, NamedTuple

import keras
from keras import ops, tree

from .elman import ElmanCell
from .products import multiply
from .recurrent import CellLayer


class Settled(NamedTuple):
    """Where `settle` came to rest.

    state: `(batch, units)`, the units of every row when it was last stepped.
    steps: int32 `(batch,)`, how many steps the row took.
    residual: `(batch,)`, how far its fastest unit moved in the last of them: a row
        settled where this is at most the tolerance.
    """

    state: Any
    steps: Any
    residual: Any


@keras.saving.register_keras_serializable(package="saccade")
class FullyRecurrentCell(ElmanCell):
    """One step of the fully recurrent network (Williams & Zipser 1989, "A learning
    algorithm for continually running fully recurrent neural networks"):

        s = activation(Wx x + Ws s' + b)      all units
        y = s[outputs]                        those that are seen from outside

    The units that are not in y are hidden: nothing is asked of them, and they come
    to hold what the network must remember. The step is `elman_step`, on all units.

    Weights are those of `keras.layers.SimpleRNNCell`: `kernel` Wx
    `(features, units)`, `recurrent_kernel` Ws `(units, units)`, `bias` b `(units,)`.

    Args:
        units: number of all units.
        output_units: which of them are the output: a number n for the first n, or a
            sequence of different indices below `units`, in the order in which y
            shows them; None for all.
        others: as in `keras.layers.SimpleRNNCell`.

    Call arguments:
        inputs: `(batch, features)`.
        states: the state s' of all units, `(batch, units)`, alone or in a list.
        training: bool; dropout only acts where it is True.

    Output:
        y `(batch, number of output units)`, and s in the form in which s' came.

    Raises:
        ValueError: `output_units` names units that there are not.
    """

    def __init__(self, units, output_units=None, **kwargs):
        super().__init__(units, **kwargs)
        if output_units is None:
            indices = range(units)
        elif isinstance(output_units, numbers.Integral):
            output_units = int(output_units)
            indices = range(output_units)
        else:
            indices = output_units = [int(i) for i in output_units]
        if (
            not indices
            or len(set(indices)) < len(indices)
            or not all(0 <= i < units for i in indices)
        ):
            raise ValueError(
                f"FullyRecurrentCell of {units} units expected `output_units` to be a "
                f"number from 1 to {units}, or different indices from 0 to "
                f"{units - 1}; received {output_units!r}."
            )
        self.output_units = output_units
        self.indices = tuple(indices)
        self.output_size = len(self.indices)

    def build(self, input_shape):
        if not self.built:
            super().build(input_shape)

    def fast_step(self, multiply, x, states, weights, training=False):
        s, states = super().fast_step(multiply, x, states, weights, training)
        return self.outputs_of(s), states

    def outputs_of(self, s):
        """y `(batch, number of output units)` of a state `(batch, units)`."""
        if self.indices == tuple(range(self.units)):
            return s
        if self.indices == tuple(range(self.output_size)):
            return s[:, : self.output_size]
        return ops.take(s, self.indices, axis=-1)

    def settle(self, inputs, tolerance=1e-5, max_steps=100, initial_state=None):
        """Show the network the same input until no unit moves any more.

        A network with feedback and a constant input is a dynamical system. Where it
        comes to rest, s = activation(Wx x + Ws s + b), and the start decides at which
        of its resting states; one that was trained or built to rest at certain states
        recalls the nearest (Hopfield 1984). With tanh and a symmetric Ws without
        negative eigenvalues it comes to rest in the end; with others it may circle
        for ever, which `residual` shows.

        Each row runs for itself: from the step on which it moves by at most
        `tolerance`, it stands still. No dropout acts.

        Args:
            inputs: `(batch, features)`, the same at every step.
            tolerance: by how much a unit may still move in a step, at least 0.
            max_steps: how many steps a row may take, at least 1.
            initial_state: `(batch, units)`, alone or in a list; zeros where None.

        Returns:
            `Settled`: state `(batch, units)`, steps int32 `(batch,)`, residual
            `(batch,)`; floats in the compute dtype.

        Raises:
            ValueError: a shape, `tolerance` or `max_steps` is not as above.
        """
        _check_limits(tolerance, max_steps)
        x = ops.cast(ops.convert_to_tensor(inputs), self.compute_dtype)
        if len(x.shape) != 2:
            raise ValueError(
                "settle expected one constant input per row, `inputs` of shape "
                f"(batch, features); received shape {tuple(x.shape)}. For sequences, "
                "call the layer."
            )
        self.build(x.shape)
        weights = self.step_weights()
        # What x adds is the same at every step, so it is computed once.
        drive = multiply((x, weights["kernel"]), bias=weights.get("bias"))
        s = ops.zeros_like(drive)
        if initial_state is not None:
            s = ops.convert_to_tensor(tree.flatten(initial_state)[0])
            if len(s.shape) != 2 or s.shape[-1] != self.units:
                raise ValueError(
                    "settle expected an `initial_state` of shape (batch, units) = "
                    f"(batch, {self.units}); received shape {tuple(s.shape)}."
                )
            s = ops.cast(s, self.compute_dtype)

        def moving(going, *_):
            return ops.any(going)

        def step(going, s, steps, residual):
            new = self.activation(drive + ops.matmul(s, weights["recurrent_kernel"]))
            change = ops.max(ops.abs(new - s), axis=-1)
            s = ops.where(going[:, None], new, s)
            residual = ops.where(going, change, residual)
            steps = steps + ops.cast(going, "int32")
            # Not `change > tolerance`: a row that became NaN has not settled.
            going = ops.logical_and(going, ops.logical_not(change <= tolerance))
            return going, s, steps, residual

        row = drive[:, 0]
        start = (
            ops.ones_like(row, dtype="bool"),
            s,
            ops.zeros_like(row, dtype="int32"),
            ops.zeros_like(row),
        )
        _, *rest = ops.while_loop(moving, step, start, maximum_iterations=max_steps)
        return Settled(*rest)

    def get_config(self):
        return {**super().get_config(), "output_units": self.output_units}


def _check_limits(tolerance, max_steps):
    if not (
        isinstance(tolerance, numbers.Real)
        and math.isfinite(tolerance)
        and tolerance >= 0
    ):
        raise ValueError(
            "settle expected `tolerance`, the largest change of a unit that counts as "
            f"rest, to be a finite number of at least 0; received {tolerance!r}."
        )
    if not isinstance(max_steps, numbers.Integral) or max_steps < 1:
        raise ValueError(
            "settle expected `max_steps` to be an integer of at least 1; received "
            f"{max_steps!r}."
        )


@keras.saving.register_keras_serializable(package="saccade")
class FullyRecurrent(CellLayer):
    """Fully recurrent network over a sequence: s = tanh(Wx x + Ws s' + b), of which
    `output_units` are seen.

    Takes the arguments of `keras.layers.SimpleRNN` and `output_units`, a number or
    the indices of units; see `FullyRecurrentCell`. Calls, masks and states: see
    `Recurrent`; the one state is that of all units, `(batch, units)`.

    `settle` runs the network on one constant input until it rests.

    Example:
        >>> layer = FullyRecurrent(8, output_units=[5, 0])
        >>> layer(keras.Input((None, 3))).shape
        (None, 2)
        >>> layer.settle(keras.ops.ones((4, 3))).state.shape
        (4, 8)
    """

    cell_class = FullyRecurrentCell

    def settle(self, inputs, tolerance=1e-5, max_steps=100, initial_state=None):
        """Where the network comes to rest: see `FullyRecurrentCell.settle`."""
        return self.cell.settle(inputs, tolerance, max_steps, initial_state)
