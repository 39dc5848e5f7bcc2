"""Deep recurrent networks: levels of cells, each reading what the one below gives."""

import itertools

import keras
from keras import tree

from .attention_rnn import AttentionRNN
from .cells import expect_cell
from .masks import at_least_one_step, expect_padded, mask_of_outputs, reverse_time
from .minimal import Scan, scans
from .recurrent import Recurrent


@keras.saving.register_keras_serializable(package="saccade")
class Stacked(keras.layers.Layer):
    """A deep recurrent network: at every step, level k reads level k - 1.

        h_0 = cell_0(x, h_0')                       x is the input of the stack
        h_k = cell_k(D h_{k-1}, h_k')               D is dropout, h' one step before
        h_k = cell_k(D h_{k-1}, h_k') + h_{k-1}     with residual=True, k = 1, 2, ...

    (Schmidhuber 1992, "Learning complex, extended sequences using the principle of
    history compression"; Graves 2013, "Generating sequences with recurrent neural
    networks"; the residual form: Wu et al. 2016, "Google's neural machine
    translation system"; dropout between levels and not in time: Zaremba et al. 2014,
    "Recurrent neural network regularization"; one mask of it for all steps: Merity et
    al. 2018, "Regularizing and optimizing LSTM language models".)

    The numbers are those of `keras.layers.RNN([cell_0, cell_1, ...])` for the same
    weights, and `get_weights` and `set_weights` have the same order. Every level runs
    through a `Recurrent` of its own over the whole sequence, so that it has the fast
    loop and its large products; a level of MinGRUCell or MinLSTMCell is a `Scan`.

    Args:
        cells: list of cells, from the lowest level to the highest, of any kinds
            (LSTMCell, GRUCell, ConditionedCell, AttentionCell, a Keras cell ...).
            A recurrent layer in the list stands for its cell; options of the loop
            (`go_backwards` ...) are given to the stack, not to such a layer.
        residual: whether every level but the lowest adds its input, before dropout,
            to its output; all levels must then have outputs of one size. The lowest
            does not, because its input is of another kind.
        dropout: the rate at which elements of a level's input are dropped, from the
            second level on. Dropout of the lowest input and of the states is the
            cells' own.
        locked_dropout: whether one mask is drawn per row and level for all steps of a
            call, instead of one for each step. Under XLA on a CPU masks for each step
            took four times as long as the rest of a training step (GRU, 384 units, 32
            rows, 64 steps).
        return_sequences, return_state, go_backwards, stateful, unroll,
        zero_output_for_mask: as in `keras.layers.RNN`.
        fast, hoist, trainable_state: as in `Recurrent`, for every level.
        seed: of the dropout between levels.

    Call arguments:
        sequences: `(batch, time, features)`.
        initial_state: the states `(batch, size)` of all levels, from the lowest to the
            highest, in one list, in one list per level, or in a dict by `state_names`;
            each cell's own initial state where it is None.
        mask, sequences_mask: bool `(batch, time)`; a step with False changes the
            state of no level and repeats the output before it (zeros with
            `zero_output_for_mask=True`). Keras fills one of the two, see `Recurrent`.
        training: bool.
        memory: float tensor, batch first, handed to each level whose cell reads one.
        memory_mask: bool tensor, False where the memory is padding.
        reset_mask: bool `(batch, time)`; before a step with True all levels of the row
            start anew from their initial states, see `Recurrent`.

    Output:
        `(batch, units)` of the highest level, or `(batch, time, units)` with
        `return_sequences`; with `return_state` followed by the states of all levels,
        from the lowest to the highest, in one flat list (`split_states` gives them
        back by level). Of an AttentionCell only h goes to the next level and to the
        output. With `go_backwards` the outputs, and
        the mask that is passed on with them, stand in the order of reading.

    Raises:
        ValueError: for no cells, the same cell twice, an AttentionRNN in the list
            (name its AttentionCell), outputs of several sizes with `residual`, a
            wrong number or wrong names of states, a memory that no level reads or that
            is missing.

    Example:
        >>> stack = Stacked([LSTMCell(8), GRUCell(4)], return_state=True)
        >>> output, h_0, c_0, h_1 = stack(keras.Input((None, 3)))
        >>> output.shape, c_0.shape, h_1.shape
        ((None, 4), (None, 8), (None, 4))
        >>> stack.state_names
        ['level_0_h', 'level_0_c', 'level_1_h']
    """

    def __init__(
        self,
        cells,
        residual=False,
        dropout=0.0,
        locked_dropout=False,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        fast=True,
        hoist=None,
        trainable_state=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        cells = [_cell_of(cell) for cell in cells]
        for cell in cells:
            expect_cell("Stacked", cell)
        _expect_stackable(cells, residual)
        self.residual = residual
        self.dropout = dropout
        self.locked_dropout = locked_dropout
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.fast = fast
        self.hoist = hoist
        self.trainable_state = trainable_state
        self.seed = seed
        self.levels = [
            (Scan if scans(cell) else Recurrent)(
                cell,
                fast=fast,
                hoist=hoist,
                trainable_state=trainable_state,
                return_sequences=return_sequences or k + 1 < len(cells),
                return_state=True,
                go_backwards=go_backwards and k == 0,  # the rest read its outputs
                stateful=stateful,
                unroll=unroll,
                zero_output_for_mask=zero_output_for_mask,
                dtype=self.dtype_policy,
                name=f"level_{k}",
            )
            for k, cell in enumerate(cells)
        ]
        self.between = keras.layers.Dropout(
            dropout,
            noise_shape=(None, 1, None) if locked_dropout else None,
            seed=seed,
            dtype=self.dtype_policy,
            name="between",
        )
        self.state_size = [size for level in self.levels for size in level.state_size]
        self.units = _output_size(cells[-1])
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.supports_masking = True

    def build(self, sequences_shape, initial_state_shape=None, memory_shape=None):
        if self.built:
            return
        self._expect_readers(memory_shape)
        shape = tuple(sequences_shape)
        for level in self.levels:
            level.build(shape, memory_shape=memory_shape if _reads(level) else None)
            shape = (*shape[:2], _output_size(level.cell))
        self.built = True

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
        self._expect_readers(memory)
        starts = [None] * len(self.levels)
        if initial_state is not None:
            starts = self.split_states(initial_state)
        x, states = sequences, []
        for k, (level, start) in enumerate(zip(self.levels, starts, strict=True)):
            memories = {}
            if _reads(level):
                memories = {"memory": memory, "memory_mask": memory_mask}
            y, *new = level(
                x if k == 0 else self.between(x, training=training),
                initial_state=start,
                mask=mask,
                training=training,
                reset_mask=reset_mask,
                **memories,
            )
            if self.residual and k > 0:
                y = y + (x if level.return_sequences else at_least_one_step(x)[:, -1])
            if level.go_backwards:  # The next level reads in its order.
                mask, reset_mask = reverse_time(mask), reverse_time(reset_mask)
            x = y
            states += new
        return (x, *states) if self.return_state else x

    def step(self, inputs, states, memory=None, training=False):
        """One time step through all levels, for decoding and streaming.

        Args:
            inputs: `(batch, features)`.
            states: list of `(batch, size)`, flat or by level, or a dict by names.
            memory: what `prepare_memory` returned.

        Returns:
            output `(batch, units)`, flat list of new states.
        """
        memory = [None] * len(self.levels) if memory is None else memory
        parts = zip(self.levels, self.split_states(states), memory, strict=True)
        x, states = inputs, []
        for k, (level, old, prepared) in enumerate(parts):
            inputs = x
            if k > 0:  # as a sequence of one step
                inputs = self.between(x[:, None], training=training)[:, 0]
            y, new = level.step(inputs, old, prepared, training)
            x = y + x if self.residual and k > 0 else y
            states += new
        return x, states

    def prepare_memory(self, memory, memory_mask=None):
        """What `step` needs of a memory: one part per level, None where none reads."""
        self._expect_readers(memory)
        return [
            level.prepare_memory(memory, memory_mask) if _reads(level) else None
            for level in self.levels
        ]

    @property
    def state_names(self):
        """The names of all states, in the order of `state_size`.

        The first state of level k is `level_<k>_h`, the second `level_<k>_c`; of cells
        with more, the others are `level_<k>_2`, `level_<k>_3` ...
        """
        return [
            f"level_{k}_{'hc'[i] if i < 2 else i}"
            for k, level in enumerate(self.levels)
            for i in range(len(level.state_size))
        ]

    def split_states(self, states):
        """The states of all levels, flat, by level or by name -> one list per level."""
        if isinstance(states, dict):
            states = self._in_order(states)
        flat = tree.flatten(states)
        if len(flat) != len(self.state_size):
            expected = ", ".join(
                f"{len(level.state_size)} of {type(level.cell).__name__}"
                for level in self.levels
            )
            raise ValueError(
                f"Stacked '{self.name}' expected {len(self.state_size)} states, from "
                f"the lowest level to the highest ({expected}); received {len(flat)}. "
                "`get_initial_state` and `return_state=True` give them all."
            )
        flat = iter(flat)
        return [
            list(itertools.islice(flat, len(level.state_size))) for level in self.levels
        ]

    def _in_order(self, states):
        names = self.state_names
        if set(states) != set(names):
            raise ValueError(
                f"Stacked '{self.name}' expected a dict of the states {names}; "
                f"received {list(states)}. `state_names` gives the names."
            )
        return [states[name] for name in names]

    def get_initial_state(self, batch_size):
        """The states before the first step, in one flat list."""
        by_level = [level.get_initial_state(batch_size) for level in self.levels]
        return tree.flatten(by_level)

    @property
    def zero_output_for_mask(self):
        return self.levels[-1].zero_output_for_mask

    @zero_output_for_mask.setter
    def zero_output_for_mask(self, value):
        # Keras' Bidirectional sets it on the layers that it wraps.
        for level in self.levels:
            level.zero_output_for_mask = value

    @property
    def states(self):
        """What a stateful stack remembers, in one flat list; None before `build`."""
        if self.levels[0].states is None:
            return None
        return [state for level in self.levels for state in level.states]

    def reset_state(self):
        """Forget what a stateful stack remembers."""
        for level in self.levels:
            level.reset_state()

    def reset_states(self):
        """`reset_state` by its older name."""
        self.reset_state()

    def compute_output_shape(
        self, sequences_shape, initial_state_shape=None, memory_shape=None
    ):
        batch, time = sequences_shape[:2]
        shape = (batch, self.units)
        if self.return_sequences:
            shape = (batch, time, self.units)
        if self.return_state:
            return shape, *((batch, size) for size in self.state_size)
        return shape

    def compute_mask(self, inputs, previous_mask):
        return mask_of_outputs(self, previous_mask)

    def _expect_readers(self, memory):
        if memory is not None and not any(_reads(level) for level in self.levels):
            raise ValueError(
                f"Stacked '{self.name}' received `memory=`, but the cell of no level "
                "reads one. Wrap a cell in a ConditionedCell (one vector) or an "
                "AttentionCell (many regions)."
            )

    def get_config(self):
        return {
            **super().get_config(),
            "cells": [
                keras.saving.serialize_keras_object(level.cell) for level in self.levels
            ],
            "residual": self.residual,
            "dropout": self.dropout,
            "locked_dropout": self.locked_dropout,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
            "fast": self.fast,
            "hoist": self.hoist,
            "trainable_state": self.trainable_state,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        cells = [keras.saving.deserialize_keras_object(c) for c in config["cells"]]
        return cls(**{**config, "cells": cells})


def _cell_of(cell):
    """The cell itself, or the cell of a recurrent layer."""
    if not isinstance(cell, keras.layers.RNN):
        return cell
    if isinstance(cell, AttentionRNN):
        raise ValueError(
            f"Stacked expected cells; received the AttentionRNN '{cell.name}', whose "
            "output is a dict. Name its cell: AttentionCell(cell, attention)."
        )
    for option, default in _LAYER_OPTIONS.items():
        value = getattr(cell, option, default)
        if value != default:
            raise ValueError(
                f"Stacked takes only the cell of {type(cell).__name__} '{cell.name}'; "
                f"received one with {option}={value}. Give that option to Stacked."
            )
    if not getattr(cell, "parallel", True):
        raise ValueError(
            f"Stacked takes only the cell of {type(cell).__name__} '{cell.name}', and "
            "runs it as a scan; received one with parallel=False. Leave that out."
        )
    if getattr(cell, "use_cudnn", False) is True:
        raise ValueError(
            f"Stacked takes only the cell of {type(cell).__name__} '{cell.name}', and "
            "runs it without cuDNN; received one with use_cudnn=True. Leave that out, "
            "or call one layer after the other in the place of the stack."
        )
    return cell.cell


# What a layer must not bring along, because only its cell is taken.
_LAYER_OPTIONS = {
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
    "zero_output_for_mask": False,
    "activity_regularizer": None,
    "fast": True,
    "hoist": None,
    "trainable_state": False,
}


def _expect_stackable(cells, residual):
    if not cells:
        raise ValueError(
            "Stacked expected a list of at least one cell; received none of them."
        )
    if len({id(cell) for cell in cells}) < len(cells):
        raise ValueError(
            "Stacked expected a cell of its own for every level; received the same "
            "cell twice. Make new ones: [LSTMCell(8) for _ in range(2)], not "
            "[LSTMCell(8)] * 2."
        )
    for cell in cells:
        if any(tree.is_nested(size) for size in _state_sizes(cell)):
            raise ValueError(
                "Stacked expected cells whose state sizes are integers; received "
                f"{cell.state_size} of {type(cell).__name__}. Give the cells of a "
                "StackedRNNCells one by one."
            )
    sizes = [_output_size(cell) for cell in cells]
    if residual and len(set(sizes)) > 1:
        raise ValueError(
            "Stacked with residual=True adds the input of a level to its output and "
            f"expected levels of one size; received sizes {sizes}, from the lowest to "
            "the highest. Make them equal, or leave out residual."
        )


def _output_size(cell):
    if getattr(cell, "output_size", None) is not None:
        return cell.output_size
    return _state_sizes(cell)[0]


def _state_sizes(cell):
    sizes = cell.state_size
    return list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]


def _reads(level):
    """Whether the level's cell reads a memory."""
    return hasattr(level.cell, "prepare_memory")
