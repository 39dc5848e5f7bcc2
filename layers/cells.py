"""The protocol of a cell: what the loops expect of one step, and what cells share."""

import contextlib
import contextvars
import itertools

import keras
from keras import ops, tree

from .products import multiply

_MEMORY = contextvars.ContextVar("saccade_memory", default=None)
_RESET = contextvars.ContextVar("saccade_reset", default=(None, None))
_LENGTH = contextvars.ContextVar("saccade_length", default=None)


# What a running call hands to the cells. A context variable, not an attribute of the
# cell: two threads may trace the same layer at once, and a batch's memory must not
# outlive its call.


@contextlib.contextmanager
def memory_set(prepared):
    """Let the cells called inside this block read `prepared` as their memory."""
    token = _MEMORY.set(prepared)
    try:
        yield
    finally:
        _MEMORY.reset(token)


def prepared_memory():
    """The prepared memory of the running call; None without one."""
    return _MEMORY.get()


def current_memory(cell):
    """The prepared memory of the running call; an error where there is none."""
    prepared = prepared_memory()
    if prepared is None:
        raise ValueError(
            f"{type(cell).__name__} '{cell.name}' reads a memory at every step, but "
            "received none. Wrap it in a Recurrent layer and call that with "
            "`memory=`, a float tensor with the batch as its first dimension."
        )
    return prepared


@contextlib.contextmanager
def reset_set(reset_mask, start):
    """Let the loops inside this block put a row back to the states `start` before each
    step at which `reset_mask` is True."""
    token = _RESET.set((reset_mask, start))
    try:
        yield
    finally:
        _RESET.reset(token)


def current_reset():
    """The `reset_mask` of the running call and the states to which it puts a row back;
    None, None without one."""
    return _RESET.get()


@contextlib.contextmanager
def length_set(length):
    """Let the loops inside this block know of how many steps the sequence is."""
    token = _LENGTH.set(length)
    try:
        yield
    finally:
        _LENGTH.reset(token)


def current_length():
    """The number of steps of the running call, an int or in a graph a tensor."""
    return _LENGTH.get()


class FastCell:
    """A cell whose step can run through the loop of `time_loop`.

    A class derives from this and from a Keras cell, which gives it its weights, its
    states and its dropout masks; it writes `step_weights` and `fast_step`, and this
    class owns `call`:

        class MyCell(FastCell, keras.layers.SimpleRNNCell):
            def step_weights(self, training=False, h=None): ...
            def fast_step(self, multiply, x, states, weights, training=False): ...

    One with gates also writes `step_gates(x, states, weights)`, which takes what
    `fast_step` takes and gives the gates that it computes, dict name -> `(batch,
    units)`, to `diagnostics.gates`.
    """

    def call(self, inputs, states, training=False):
        x = dropped(inputs, self.input_mask(inputs, training))
        weights = self.step_weights(training, tree.flatten(states)[0])
        alone = not isinstance(states, (list, tuple))
        states = [states] if alone else states
        output, states = self.fast_step(multiply, x, states, weights, training)
        return output, tree.flatten(states)[0] if alone else states

    def step_weights(self, training=False, h=None):
        """What every step of a sequence reads, got ready once.

        Args:
            training: bool.
            h: the first state, `(batch, size)`, for which a dropout mask is drawn; None
                where the masks of the sequence were drawn before.

        Returns:
            dict (of dicts) of tensors in the compute dtype; the names of what no
            gradient reaches end with "mask".
        """
        raise NotImplementedError

    def fast_step(self, multiply, x, states, weights, training=False):
        """One step, with all its matrix products done by `multiply`; see `time_loop`.

        Args:
            multiply: a `products.Multiply`.
            x: `(batch, features)`, dropout done, or a tuple of tensors side by side.
            states: list of `(batch, size)`.
            weights: what `step_weights` returned.

        Returns:
            output `(batch, output size)`, list of new states.
        """
        raise NotImplementedError

    @property
    def is_fast(self):
        """Whether a loop may run `fast_step` in the place of `call`.

        Not where a subclass overrides `call`: the loop would pass it by.
        """
        return type(self).call is FastCell.call

    def input_mask(self, inputs, training):
        """The dropout mask of this sequence's inputs, drawn for `inputs` if need be."""
        if training and self.dropout > 0:
            return self.get_dropout_mask(inputs)
        return None

    def recurrent_mask(self, h, training):
        """The dropout mask of this sequence's state, drawn for `h` if need be."""
        if training and self.recurrent_dropout > 0:
            return self.get_recurrent_dropout_mask(h)
        return None


def is_fast(cell):
    """Whether any cell, Keras' too, can take part in the loop of `time_loop`."""
    return isinstance(cell, FastCell) and cell.is_fast


def has_gates(cell):
    """Whether a cell's `step_gates` are those of its step: a subclass with another
    `fast_step` has gates of its own, or none."""
    if not is_fast(cell):
        return False
    owners = [
        next((owner for owner in type(cell).__mro__ if name in vars(owner)), None)
        for name in ("fast_step", "step_gates")
    ]
    return owners[0] is owners[1]


class WrapperCell(FastCell, keras.layers.Layer):
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
    def is_fast(self):
        return super().is_fast and is_fast(self.cell)

    def input_mask(self, inputs, training):
        """None: the inner cell's mask acts in `inner_step`, on all that it reads."""
        return None

    def step_weights(self, training=False, h=None):
        return {"cell": self.inner_weights(training)}

    def inner_weights(self, training):
        """The inner cell's weights for `inner_step`; none where it reads its own."""
        if not is_fast(self.cell):
            return {}
        weights = self.cell.step_weights(training)
        return {**weights, "input_mask": self.cell.input_mask(None, training)}

    def inner_step(self, multiply, x, states, weights, training):
        """The inner cell's step on a tuple of inputs that stand side by side, in the
        inner cell's dtype; what it gives comes back in this cell's."""
        x, states = cast_all((x, states), self.cell.compute_dtype)
        if not is_fast(self.cell):
            result = self.cell(ops.concatenate(x, axis=-1), states, training=training)
        else:
            x = dropped(x, weights["input_mask"])
            result = self.cell.fast_step(multiply, x, states, weights, training)
        return cast_all(result, self.compute_dtype)

    def draw_dropout_masks(self, batch_size):
        """Draw the inner cell's masks, one per sequence (variational dropout)."""
        draw_dropout_masks(self.cell, batch_size)

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


def cast_all(nest, dtype):
    """Every tensor of a nest in this dtype."""
    return tree.map_structure(lambda tensor: ops.cast(tensor, dtype), nest)


def as_list(states):
    """The states of a cell, or their sizes, where it has one alone too."""
    return list(states) if isinstance(states, (list, tuple)) else [states]


def nested_states(state_size, states):
    """A flat sequence of states in lists that are nested as a cell's `state_size`.

    Plain lists: an attribute's are lists of Keras' own, which `tree` takes for another
    structure.
    """
    flat = iter(states)

    def nested(size):
        return [nested(s) for s in size] if tree.is_nested(size) else next(flat)

    return nested(state_size)


def step_weight(cell, weight):
    """A weight as a step reads it: a tensor in the cell's compute dtype."""
    return ops.cast(ops.convert_to_tensor(weight), cell.compute_dtype)


def dropped(inputs, mask):
    """Inputs, or a tuple of inputs side by side, under a dropout mask or None."""
    if mask is None:
        return inputs
    if not isinstance(inputs, tuple):
        return inputs * mask
    ends = list(itertools.accumulate(part.shape[-1] for part in inputs))
    masks = ops.split(mask, ends[:-1], axis=-1)
    return tuple(part * m for part, m in zip(inputs, masks, strict=True))


def draw_dropout_masks(cell, batch_size):
    """Let a cell, plain, wrapped or stacked, draw its masks for one sequence."""
    if hasattr(cell, "draw_dropout_masks"):
        cell.draw_dropout_masks(batch_size)
    elif hasattr(cell, "get_dropout_mask"):
        features = cell.kernel.shape[0]
        size = tree.flatten(cell.state_size)[0]
        dtype = cell.compute_dtype
        cell.get_dropout_mask(ops.ones((batch_size, features), dtype))
        cell.get_recurrent_dropout_mask(ops.ones((batch_size, size), dtype))
    for level in getattr(cell, "cells", ()):
        draw_dropout_masks(level, batch_size)


def forget_dropout_masks(cell):
    """Let a cell, plain, wrapped or stacked, draw new masks next time."""
    if hasattr(cell, "reset_dropout_masks"):
        cell.reset_dropout_masks()
    elif hasattr(cell, "reset_dropout_mask"):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    for inner in getattr(cell, "cells", ()):
        forget_dropout_masks(inner)
