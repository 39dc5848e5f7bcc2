"""The recurrent loop: how a cell's step is repeated over a sequence."""

import contextlib

import keras
from keras import ops, tree

from . import time_loop
from .cells import (
    cast_all,
    current_length,
    current_reset,
    dropped,
    expect_cell,
    forget_dropout_masks,
    is_fast,
    length_set,
    memory_set,
    prepared_memory,
    reset_set,
)
from .masks import (
    at_least_one_step,
    expect_mask,
    expect_padded,
    mask_of_outputs,
    time_first,
)
from .products import multiply


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
            numbers, sooner. Its quick gradient needs `training=True`, which a training
            loop of one's own has to pass; it cannot be differentiated twice.
        hoist: whether that loop multiplies the inputs of all steps by their kernels at
            once, beforehand; None: where this was measured to be quicker, for one row
            and large kernels. It needs room for the products of all steps.
        trainable_state: whether the state before the first step is a weight, one
            vector per state, zeros before training; it is used where no
            `initial_state` is given. Not with `stateful`, which starts from numbers
            that no gradient passes.

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
        followed by the states with `return_state`. Of a sequence of no steps: zeros,
        or no outputs, and the states with which it began.

    Raises:
        ValueError: for no cell, a ragged tensor, masks of other shapes, a memory that
            the cell does not read or that is missing, a first state that trains in a
            stateful layer.
    """

    def __init__(self, cell, fast=True, hoist=None, trainable_state=False, **kwargs):
        for part in cell if isinstance(cell, (list, tuple)) else [cell]:
            expect_cell(type(self).__name__, part)
        if trainable_state and kwargs.get("stateful"):
            raise ValueError(
                f"{type(self).__name__} expected either trainable_state=True or "
                "stateful=True; received both. No gradient passes a state that was "
                "kept, so the first state would not train. Leave out stateful, and "
                "hand the states on by `initial_state=`."
            )
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
        if self.first_states is None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' expected to be built before its "
                "trainable first state is read. Call it, or its `build`, first."
            )
        rows = ops.ones((batch_size, 1), self.compute_dtype)
        states = [rows * ops.cast(s, rows.dtype) for s in self.first_states]
        return tree.pack_sequence_as(self.state_size, states)

    def reset_state(self):
        """Put a stateful layer back to the state in which a sequence starts."""
        if self.states is None:
            return
        kept = tree.flatten(self.states)
        start = tree.flatten(self.get_initial_state(kept[0].shape[0]))
        for variable, value in zip(kept, start, strict=True):
            variable.assign(value)

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
        expect_padded(self, sequences=sequences, memory=memory)
        expect_mask(self, "`mask` or `sequences_mask`", mask, sequences, "time")
        expect_mask(self, "`reset_mask`", reset_mask, sequences, "time")
        prepared = None
        if memory is not None:
            prepared = self.prepare_memory(memory, memory_mask)
        start = None
        if reset_mask is not None:
            start = self.own_state(ops.shape(sequences)[0], memory, memory_mask)
            start = cast_all(start, self.cell.compute_dtype)
        length = ops.shape(sequences)[1]
        # The loops take at least one step; `inner_loop` takes it back.
        sequences, mask, reset_mask = (
            tensor if tensor is None else at_least_one_step(tensor)
            for tensor in (sequences, mask, reset_mask)
        )
        with (
            memory_set(prepared),
            reset_set(reset_mask, start),
            length_set(length),
            self._dropout_masks(sequences),
        ):
            return super().call(
                sequences, initial_state=initial_state, mask=mask, training=training
            )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        results = self.run_steps(sequences, initial_state, mask, training)
        length = current_length()
        if length is None or (isinstance(length, int) and length > 0):
            return results
        last, outputs, states = results
        empty = ops.equal(length, 0)
        states = tree.map_structure(
            lambda old, new: ops.where(empty, ops.cast(old, new.dtype), new),
            tree.pack_sequence_as(states, tree.flatten(initial_state)),
            states,
        )
        last = tree.map_structure(lambda o: ops.where(empty, 0, o), last)
        outputs = tree.map_structure(lambda o: o[:, :length], outputs)
        return last, outputs, states

    def run_steps(self, sequences, initial_state, mask, training=False):
        """Repeat the cell over at least one step.

        Returns:
            the last output `(batch, units)`; all outputs `(batch, time, units)`, or
            without `return_sequences` any tensor of that rank; the states. The outputs
            come in the nest in which `cell_step` gives them.
        """
        if keras.backend.backend() == "tensorflow":
            if self.runs_fast() or current_reset()[0] is not None:
                return self.own_loop(sequences, initial_state, mask, training)
            return super().inner_loop(sequences, initial_state, mask, training)
        self.expect_no_reset()
        if mask is None:
            return super().inner_loop(sequences, initial_state, mask, training)
        return self._loop_with_output(sequences, initial_state, mask, training)

    def runs_fast(self):
        """Whether the sequence takes the fast loop."""
        return self.fast and is_fast(self.cell) and not self.unroll

    def expect_no_reset(self):
        """An error for a `reset_mask` on a backend without a loop of ours."""
        if current_reset()[0] is not None:
            raise NotImplementedError(
                f"{type(self).__name__} '{self.name}' takes `reset_mask=` on the "
                f"TensorFlow backend only; this is {keras.backend.backend()}. "
                "Call it once per sequence instead."
            )

    def own_loop(self, sequences, initial_state, mask, training=False):
        """`run_steps` by the loop of `time_loop`, fast or not."""
        cell, prepared, (reset, start) = self.cell, prepared_memory(), current_reset()
        fast = self.runs_fast()
        weights = _Numbers(cell.step_weights(training) if fast else None)
        memory = _Numbers(prepared)

        def step(multiply, x, states, weight_tensors, memory_tensors):
            with memory_set(memory.packed(memory_tensors)):
                states = tree.pack_sequence_as(initial_state, states)
                step_weights = weights.packed(weight_tensors) if fast else None
                output, states = self.cell_step(
                    multiply, x, states, step_weights, training
                )
                return output, tree.flatten(states)

        x = ops.swapaxes(ops.cast(sequences, cell.compute_dtype), 0, 1)
        if fast:
            x = dropped(x, cell.input_mask(x, training))
        mask, reset = time_first(mask), time_first(reset)
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
        states = tree.pack_sequence_as(initial_state, states)
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
            output `(batch, units)`, list of new states, in the layer's compute dtype.
        """
        # A copy has no mask: what an Embedding hung on the tensor is for sequences.
        inputs = keras.ops.copy(inputs)
        if training and hasattr(self.cell, "draw_dropout_masks"):
            self.cell.draw_dropout_masks(ops.shape(inputs)[0])
        try:
            with memory_set(memory):
                results = self.cell_step(multiply, inputs, states, None, training)
            return cast_all(results, self.compute_dtype)
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
    def _dropout_masks(self, sequences):
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
