"""The recurrent loop: how a cell's step is repeated over a sequence."""

import contextlib
import contextvars
import itertools

import keras
from keras import ops, tree

from . import time_loop
from .products import multiply

_MEMORY = contextvars.ContextVar("saccade_memory", default=None)
_RESET = contextvars.ContextVar("saccade_reset", default=(None, None))


@contextlib.contextmanager
def memory_set(prepared):
    """Let the cells called inside this block read `prepared` as their memory.

    A context variable, not an attribute of the cell: two threads may trace the
    same layer at once, and a batch's memory must not outlive its call.
    """
    token = _MEMORY.set(prepared)
    try:
        yield
    finally:
        _MEMORY.reset(token)


def current_memory(cell):
    """The prepared memory of the running call; an error where there is none."""
    prepared = _MEMORY.get()
    if prepared is None:
        raise ValueError(
            f"{type(cell).__name__} '{cell.name}' reads a memory at every step, but "
            "received none. Wrap it in a Recurrent layer and call that with "
            "`memory=`, a float tensor with the batch as its first dimension."
        )
    return prepared


def current_reset():
    """The `reset_mask` of the running call and the states to which it puts a row back;
    None, None without one."""
    return _RESET.get()


@keras.saving.register_keras_serializable(package="saccade")
class Recurrent(keras.layers.RNN):
    """`keras.layers.RNN` plus a memory that the cell may read at every step.

    A memory is what the whole sequence looks at: the features of a picture, the
    states of an encoder. A cell that reads one offers
    `prepare_memory(memory, memory_mask)`, which is called once per sequence and
    does there what need not be done once per step (projections), and gets the
    result back inside its `call` from `current_memory(self)`.

    Masks: Keras fills `mask=` only when a call has one tensor argument, and drops
    the mask of `sequences` without a word when `initial_state=` or `memory=` is
    given too. This layer therefore also takes `sequences_mask` and `memory_mask`,
    the names that Keras fills in that case, and uses whichever is set. It passes
    its mask on to the next layer on every Keras version.

    Dtypes: a layer and its cell each have a dtype policy, given by `dtype=` or the
    global one. The cell computes by its own; what goes into the layer and what comes
    out of it, outputs and states, has the layer's compute dtype.

    Args:
        cell: a cell (or a list of cells, stacked) with `call(inputs, states)`,
            `state_size` and `get_initial_state`.
        return_sequences, return_state, go_backwards, stateful, unroll,
        zero_output_for_mask: as in `keras.layers.RNN`.
        fast: whether the cells that can, which are those of this package without
            draws inside a step, run through the loop of `time_loop`: the same
            numbers, sooner. It cannot be differentiated twice in training.
        hoist: whether that loop multiplies the inputs of all steps by their kernels at
            once, beforehand; None: where this was measured to be quicker, for one row
            and large kernels. It needs room for the products of all steps.
        trainable_state: whether the state before the first step is a weight, one
            vector per state, zeros before training; it is used where no
            `initial_state` is given.

    Call arguments:
        sequences: `(batch, time, features)`.
        initial_state: list of `(batch, size)`, one per state of the cell; the
            cell's own initial state where it is None.
        mask, sequences_mask: bool `(batch, time)`; a step with False leaves the
            state as it is and repeats the output before it (zeros with
            `zero_output_for_mask=True`).
        training: bool.
        memory: float tensor, batch first; only for cells that read a memory.
        memory_mask: bool tensor, False where the memory is padding.
        reset_mask: bool `(batch, time)`; before a step with True the row starts anew
            from the layer's own initial state, whatever state came in, so that one row
            can hold one sequence after the other, also over several calls that hand
            the state on (TensorFlow only).

    Output:
        `(batch, units)`, or `(batch, time, units)` with `return_sequences`;
        followed by the states with `return_state`.
    """

    def __init__(self, cell, fast=True, hoist=None, trainable_state=False, **kwargs):
        for one in cell if isinstance(cell, (list, tuple)) else [cell]:
            expect_cell(type(self).__name__, one)
        super().__init__(cell, **kwargs)
        self.fast = fast
        self.hoist = hoist
        self.trainable_state = trainable_state
        self.first_states = None
        # Keras 3.16 sets this to False for RNNs; a mask must survive a stack.
        self.supports_masking = True

    def build(self, sequences_shape, initial_state_shape=None, memory_shape=None):
        if hasattr(self.cell, "prepare_memory"):
            if memory_shape is None:
                raise ValueError(
                    f"{type(self).__name__} '{self.name}' expected `memory=`, which "
                    f"its cell {type(self.cell).__name__} reads at every step; "
                    "received none. Call it with a float tensor, batch first."
                )
            if not self.cell.built:
                inputs_shape = (sequences_shape[0], *sequences_shape[2:])
                self.cell.build(inputs_shape, memory_shape)
        elif memory_shape is not None:
            raise self._reads_no_memory()
        super().build(sequences_shape)
        if self.trainable_state and self.first_states is None:
            self.first_states = [
                self.add_weight(
                    name=f"first_state_{i}", shape=(size,), initializer="zeros"
                )
                for i, size in enumerate(tree.flatten(self.state_size))
            ]

    def get_initial_state(self, batch_size):
        if not self.trainable_state:
            states = super().get_initial_state(batch_size)
            return cast_all(states, self.compute_dtype)
        rows = ops.ones((batch_size, 1), self.compute_dtype)
        return [rows * ops.cast(s, rows.dtype) for s in self.first_states]

    def own_state(self, batch_size, memory=None, memory_mask=None):
        """The state in which a sequence starts where none is given."""
        return self.get_initial_state(batch_size)

    def compute_output_shape(
        self, sequences_shape, initial_state_shape=None, memory_shape=None
    ):
        return super().compute_output_shape(sequences_shape)

    def call(
        self,
        sequences,
        initial_state=None,
        mask=None,
        training=False,
        memory=None,
        memory_mask=None,
        sequences_mask=None,
        reset_mask=None,
    ):
        if mask is None:
            mask = sequences_mask
        expect_mask(self, "`mask` or `sequences_mask`", mask, sequences, "time")
        expect_mask(self, "`reset_mask`", reset_mask, sequences, "time")
        prepared = None
        if memory is not None:
            prepared = self.prepare_memory(memory, memory_mask)
        start = None
        if reset_mask is not None:
            start = self.own_state(ops.shape(sequences)[0], memory, memory_mask)
            start = cast_all(start, self.cell.compute_dtype)
        token = _RESET.set((reset_mask, start))
        try:
            with memory_set(prepared), self._dropout_masks(sequences, initial_state):
                return super().call(
                    sequences, initial_state=initial_state, mask=mask, training=training
                )
        finally:
            _RESET.reset(token)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        reset, _ = current_reset()
        if keras.backend.backend() == "tensorflow":
            if self.runs_fast() or reset is not None:
                return self.own_loop(sequences, initial_state, mask, training)
            return super().inner_loop(sequences, initial_state, mask, training)
        self.expect_no_reset(reset)
        if mask is None:
            return super().inner_loop(sequences, initial_state, mask, training)
        return self._loop_with_output(sequences, initial_state, mask, training)

    def runs_fast(self):
        """Whether the sequence takes the fast loop."""
        return self.fast and is_fast(self.cell) and not self.unroll

    def expect_no_reset(self, reset):
        """An error for a `reset_mask` on a backend without a loop of ours."""
        if reset is not None:
            raise NotImplementedError(
                f"{type(self).__name__} '{self.name}' takes `reset_mask=` on the "
                f"TensorFlow backend only; this is {keras.backend.backend()}. "
                "Call it once per sequence instead."
            )

    def own_loop(self, sequences, initial_state, mask, training=False):
        """`inner_loop` by the loop of `time_loop`; the outputs in the nest in which
        `cell_step` gives them."""
        cell, prepared, (reset, start) = self.cell, _MEMORY.get(), current_reset()
        fast = self.runs_fast()
        weights = _Numbers(cell.step_weights(training) if fast else None)
        memory = _Numbers(prepared)

        def step(multiply, x, states, weight_tensors, memory_tensors):
            with memory_set(memory.packed(memory_tensors)):
                now = weights.packed(weight_tensors) if fast else None
                output, states = self.cell_step(multiply, x, states, now, training)
                return output, tree.flatten(states)

        x = ops.swapaxes(ops.cast(sequences, cell.compute_dtype), 0, 1)
        if fast and not isinstance(cell, WrapperCell):  # which do it step by step
            x = dropped(x, input_mask(cell, x, training))
        mask, reset = _time_first(mask), _time_first(reset)
        if self.go_backwards:
            x = ops.flip(x, axis=0)
            mask, reset = (None if m is None else m[::-1] for m in (mask, reset))
        outputs, states = time_loop.run(
            step,
            x,
            tree.flatten(initial_state),
            weights.tensors,
            memory.tensors,
            mask,
            self.zero_output_for_mask,
            reset,
            tree.flatten(start),
            all_outputs=self.return_sequences,
            own_gradient=fast and bool(training),
            hoist=self.hoist if fast else False,
        )
        if not self.return_sequences:
            return outputs, tree.map_structure(lambda o: o[:, None], outputs), states
        last = tree.map_structure(lambda o: o[-1], outputs)
        outputs = tree.map_structure(lambda o: ops.swapaxes(o, 0, 1), outputs)
        return last, outputs, states

    def cell_step(self, multiply, x, states, weights, training):
        """One step of the cell -> output, new states.

        weights: what the cell's `step_weights` gave; None: the cell reads its own.
        """
        if weights is None:
            return self.cell(x, states, training=training)
        return self.cell.fast_step(multiply, x, states, weights, training)

    def _loop_with_output(self, sequences, initial_state, mask, training):
        """Keras' loop for masks on the other backends, where it takes the first state
        for the output before a masked step: so that output is made the first state."""
        states = tree.flatten(initial_state)
        output, _ = self.cell(sequences[:, 0], initial_state)  # for its shape
        loop = keras.layers.RNN(
            _WithOutput(self.cell, initial_state, output.shape[-1]),
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            unroll=self.unroll,
            zero_output_for_mask=self.zero_output_for_mask,
        )
        states = [ops.zeros_like(output), *states]
        last, outputs, (_, *states) = loop.inner_loop(
            sequences, states, ops.convert_to_tensor(mask), training
        )
        return last, outputs, tree.pack_sequence_as(initial_state, states)

    def compute_mask(self, inputs, previous_mask):
        return mask_of_outputs(self, previous_mask)

    def prepare_memory(self, memory, memory_mask=None):
        """What `step` needs of a memory: computed once, used at every step."""
        if not hasattr(self.cell, "prepare_memory"):
            raise self._reads_no_memory()
        return self.cell.prepare_memory(memory, memory_mask)

    def _reads_no_memory(self):
        return ValueError(
            f"{type(self).__name__} '{self.name}' received `memory=`, but its cell "
            f"{type(self.cell).__name__} reads none. Wrap the cell in a "
            "ConditionedCell (one vector) or an AttentionCell (many regions)."
        )

    def step(self, inputs, states, memory=None, training=False):
        """One time step, for decoding and streaming.

        Args:
            inputs: `(batch, features)`.
            states: list of `(batch, size)`.
            memory: what `prepare_memory` returned.

        Returns:
            output `(batch, units)`, list of new states.
        """
        # A copy has no mask: what an Embedding hung on the tensor is for sequences.
        inputs = keras.ops.copy(inputs)
        if training and hasattr(self.cell, "draw_dropout_masks"):
            self.cell.draw_dropout_masks(ops.shape(inputs)[0])
        try:
            with memory_set(memory):
                result = self.cell_step(multiply, inputs, states, None, training)
            return cast_all(result, self.compute_dtype)
        finally:
            # A mask that the cell kept would belong to a graph that has ended.
            forget_dropout_masks(self.cell)

    def get_config(self):
        return {
            **super().get_config(),
            "fast": self.fast,
            "hoist": self.hoist,
            "trainable_state": self.trainable_state,
        }

    @contextlib.contextmanager
    def _dropout_masks(self, sequences, initial_state):
        """Draw the masks of a wrapped cell before the loop, drop them after it.

        Keras does this for cells that it wraps itself; a cell inside an
        AttentionCell or a ConditionedCell would draw its mask inside the loop and
        keep a tensor that means nothing outside of it.
        """
        if not hasattr(self.cell, "draw_dropout_masks"):
            yield
            return
        self.cell.draw_dropout_masks(keras.ops.shape(sequences)[0])
        try:
            yield
        finally:
            self.cell.reset_dropout_masks()


class _WithOutput(keras.layers.Layer):
    """A cell whose first state is the output before."""

    def __init__(self, cell, states, output_size):
        super().__init__(dtype=cell.dtype_policy)
        self.cell = cell
        self.states = states  # only for their nesting
        self.output_size = output_size
        self.state_size = [output_size, *tree.flatten(cell.state_size)]
        self.built = True

    def call(self, inputs, states, training=False):
        states = tree.pack_sequence_as(self.states, list(states[1:]))
        output, states = self.cell(inputs, states, training=training)
        return output, [output, *tree.flatten(states)]


def expect_cell(owner, cell):
    """An error where a whole layer, or no cell at all, is in the place of a cell."""
    if hasattr(cell, "return_sequences"):
        inner = getattr(cell, "cell", None)
        name = "LSTMCell" if inner is None else type(inner).__name__
        raise ValueError(
            f"{owner} expected a cell, which does one step; received the layer "
            f"{type(cell).__name__} '{cell.name}', which runs over a sequence. Give it "
            f"a cell in its place: {name}(...)."
        )
    if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
        raise ValueError(
            f"{owner} expected a cell, an object with `call(inputs, states)` and "
            f"`state_size`; received {cell!r}. Give it a cell, such as LSTMCell(units)."
        )


def expect_mask(layer, names, mask, masked, axis):
    """An error where `mask` is not (batch, `axis`), the first two axes of `masked`.

    What comes instead is mostly lengths, (batch,), which would fail where nobody can
    tell why, or be broadcast.
    """
    shape = getattr(mask, "shape", None)  # None and lists have none.
    if shape is None or getattr(shape, "rank", 0) is None:
        return
    size = masked.shape[1]
    if len(shape) in (2, 3) and (None in (shape[1], size) or shape[1] == size):
        return
    size = axis if size is None else size
    raise ValueError(
        f"{type(layer).__name__} '{layer.name}' expected {names} of shape (batch, "
        f"{axis}) = ({masked.shape[0]}, {size}), bool; received shape {tuple(shape)}, "
        f"{keras.backend.standardize_dtype(mask.dtype)}. Turn lengths into a mask by "
        f"`keras.ops.arange({size}) < lengths[:, None]`."
    )


def mask_of_outputs(layer, previous_mask):
    """The mask of a layer's outputs, in the order in which the steps were read, and
    None for each of its states."""
    mask = tree.flatten(previous_mask)[0] if layer.return_sequences else None
    if mask is not None and layer.go_backwards:
        mask = ops.flip(mask, axis=1)
    return [mask] + [None] * len(layer.state_size) if layer.return_state else mask


def _time_first(mask):
    """A mask (batch, time) or (batch, time, 1) as bool (time, batch); None as None."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    return ops.transpose(mask[:, :, 0] if len(mask.shape) == 3 else mask)


class _Numbers:
    """The tensors of a nest to which a gradient flows, and the way back to the nest.

    Masks, and what is not a float, stay as they are.
    """

    def __init__(self, nest):
        self.nest = nest
        named = tree.flatten_with_path(nest)
        self.parts = [part for _, part in named]
        self.flows = [
            part is not None
            and not (path and str(path[-1]).endswith("mask"))
            and keras.backend.is_float_dtype(part.dtype)
            for path, part in named
        ]
        self.tensors = [
            part for part, flows in zip(self.parts, self.flows, strict=True) if flows
        ]

    def packed(self, tensors):
        """The nest with other tensors in the places of `self.tensors`."""
        tensors = iter(tensors)
        parts = [
            next(tensors) if flows else part
            for part, flows in zip(self.parts, self.flows, strict=True)
        ]
        return tree.pack_sequence_as(self.nest, parts)


class CellLayer(Recurrent):
    """A recurrent layer that makes its own cell: what LSTM, GRU and Elman share.

    Subclasses set `cell_class`. All options that are not the loop's or the layer's
    go to the cell.
    """

    cell_class = None

    def __init__(
        self,
        units,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        fast=True,
        hoist=None,
        trainable_state=False,
        activity_regularizer=None,
        name=None,
        dtype=None,
        trainable=True,
        **cell_options,
    ):
        cell = self.cell_class(units, dtype=dtype, trainable=trainable, **cell_options)
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            fast=fast,
            hoist=hoist,
            trainable_state=trainable_state,
            activity_regularizer=activity_regularizer,
            name=name,
            dtype=dtype,
            trainable=trainable,
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def units(self):
        return self.cell.units

    def get_config(self):
        layer_config = super().get_config()
        del layer_config["cell"]
        layer_config["activity_regularizer"] = keras.regularizers.serialize(
            self.activity_regularizer
        )
        return {**self.cell.get_config(), **layer_config}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class WrapperCell(keras.layers.Layer):
    """A cell around another cell: same states, same dropout, something added.

    Each of the two computes by the dtype policy that it was made with. What the outer
    one hands in, states included, is cast to the inner one's compute dtype, and what
    it gets back to its own, as Keras does it between a layer and its cell.
    """

    def __init__(self, cell, **kwargs):
        expect_cell(type(self).__name__, cell)
        super().__init__(**kwargs)
        self.cell = cell
        self.state_size = cell.state_size
        self.output_size = cell.output_size

    def get_initial_state(self, batch_size=None):
        states = self.cell.get_initial_state(batch_size=batch_size)
        return cast_all(states, self.compute_dtype)

    @property
    def may_be_fast(self):
        return is_fast(self.cell)

    def inner_weights(self, training):
        """The inner cell's weights for `inner_step`; none where it reads its own."""
        if not is_fast(self.cell):
            return {}
        weights = self.cell.step_weights(training)
        if not isinstance(self.cell, WrapperCell):
            weights["input_mask"] = input_mask(self.cell, None, training)
        return weights

    def inner_step(self, multiply, x, states, weights, training):
        """The inner cell's step on a tuple of inputs that stand side by side, in the
        inner cell's dtype; what it gives comes back in this cell's."""
        x, states = cast_all((x, states), self.cell.compute_dtype)
        if not is_fast(self.cell):
            result = self.cell(ops.concatenate(x, axis=-1), states, training=training)
        else:
            if not isinstance(self.cell, WrapperCell):  # which do it with their cell
                x = dropped(x, weights["input_mask"])
            result = self.cell.fast_step(multiply, x, states, weights, training)
        return cast_all(result, self.compute_dtype)

    def draw_dropout_masks(self, batch_size):
        """Draw the inner cell's masks, one per sequence (variational dropout)."""
        if hasattr(self.cell, "draw_dropout_masks"):
            self.cell.draw_dropout_masks(batch_size)
        elif hasattr(self.cell, "get_dropout_mask"):
            ones = keras.ops.ones
            dtype = self.cell.compute_dtype
            features = self.cell.kernel.shape[0]
            size = tree.flatten(self.cell.state_size)[0]
            self.cell.get_dropout_mask(ones((batch_size, features), dtype))
            self.cell.get_recurrent_dropout_mask(ones((batch_size, size), dtype))

    def reset_dropout_masks(self):
        forget_dropout_masks(self.cell)

    def get_config(self):
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["cell"] = keras.saving.deserialize_keras_object(config["cell"])
        return cls(**config)


def forget_dropout_masks(cell):
    """Let a cell, plain, wrapped or stacked, draw new masks next time."""
    if hasattr(cell, "reset_dropout_masks"):
        cell.reset_dropout_masks()
    elif hasattr(cell, "reset_dropout_mask"):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    for inner in getattr(cell, "cells", ()):
        forget_dropout_masks(inner)


def is_fast(cell):
    """Whether a cell can take part in the loop of `time_loop`.

    A subclass that overrides `call` alone cannot: the loop would not call it.
    """
    for kind in type(cell).__mro__:
        if "fast_step" in vars(kind):
            return getattr(cell, "may_be_fast", True)
        if "call" in vars(kind):
            return False
    return False


def cast_all(nest, dtype):
    """Every tensor of a nest in this dtype."""
    return tree.map_structure(lambda tensor: ops.cast(tensor, dtype), nest)


def step_weight(cell, weight):
    """A weight as a step reads it: a tensor in the cell's compute dtype."""
    return ops.cast(ops.convert_to_tensor(weight), cell.compute_dtype)


def input_mask(cell, inputs, training):
    """The cell's dropout mask of this sequence, drawn for `inputs` if need be."""
    if training and cell.dropout > 0:
        return cell.get_dropout_mask(inputs)
    return None


def recurrent_mask(cell, h, training):
    """The cell's recurrent dropout mask of this sequence, drawn for `h` if need be."""
    if training and cell.recurrent_dropout > 0:
        return cell.get_recurrent_dropout_mask(h)
    return None


def dropped(inputs, mask):
    """Inputs, or a tuple of inputs side by side, under a dropout mask or None."""
    if mask is None:
        return inputs
    if not isinstance(inputs, tuple):
        return inputs * mask
    ends = list(itertools.accumulate(part.shape[-1] for part in inputs))
    masks = ops.split(mask, ends[:-1], axis=-1)
    return tuple(part * m for part, m in zip(inputs, masks, strict=True))
