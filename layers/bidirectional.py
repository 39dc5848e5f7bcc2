"""A recurrent layer and its mirror image, side by side."""

import inspect

import keras
from keras import ops, tree

from .attention_rnn import AttentionRNN
from .masks import expect_mask, expect_padded, reset_mask_backwards


@keras.saving.register_keras_serializable(package="saccade")
class Bidirectional(keras.layers.Bidirectional):
    """Reads a sequence in both directions (Schuster & Paliwal 1997).

        f_t = forward(x_t, f_{t-1})       from the first step to the last
        b_t = backward(x_t, b_{t+1})      from the last step to the first
        y_t = merge(f_t, b_t)

    `keras.layers.Bidirectional`, plus a memory, plus its own mask rules. Outputs of
    both directions stand at the steps that they belong to. Without
    `return_sequences`, y merges the last that each has to say: f after the last real
    step of a row and b after the first.

    Args:
        layer: a recurrent layer (LSTM, GRU, Elman, Recurrent, Stacked, a Keras layer
            ...); both directions are made from its config, with fresh weights.
        merge_mode: "concat" ([f; b]), "sum" (f + b), "mul" (f b), "ave"
            ((f + b) / 2), or None: f and b one after the other.
        backward_layer: another layer for the second direction, with
            `go_backwards=True` and the same `return_sequences`, `return_state` and
            `stateful`. It may differ in all else; its outputs need the size of the
            forward ones only for the modes that calculate with both.

    Call arguments:
        sequences: `(batch, time, features)`.
        initial_state: list of the states of the forward layer, then those of the
            backward layer; the layers' own where it is None.
        mask, sequences_mask: bool `(batch, time)`; both directions step over what is
            False, wherever it stands: right, left or in between. A row's backward
            direction so begins at its last real step. Outputs at such steps are
            zeros, with or without `zero_output_for_mask` in the layers. Keras fills
            `mask` when a call has one tensor argument and `sequences_mask` when it has
            more, see `Recurrent`.
        training: bool.
        memory, memory_mask: what the cells read, see `Recurrent`; both directions get
            the same.
        reset_mask: bool `(batch, time)`; where it is True, a new piece of the row
            begins, and both directions give what they give for the piece alone. The
            forward direction starts anew before that step, as in `Recurrent`; the
            backward direction before the step at t - 1, the last one of the piece
            before, which it reads after it is through with the step at t. A reset at
            the first step so means nothing to the backward direction.

    Output:
        y, `(batch, units)` or with `return_sequences` `(batch, time, units)`, where
        units is the sum of both with "concat"; f and b with None. With `return_state`
        followed by the states of the forward layer, then those of the backward layer.
        The mask goes on to the next layer with outputs in time. Of a row in pieces,
        the states are those of its last piece forwards and of its first backwards.

    Raises:
        ValueError: for an AttentionRNN (its outputs are a dict), a `layer` that reads
            backwards, `zero_output_for_mask` without `return_sequences`, a wrong number
            of states, sizes that cannot be merged, a `reset_mask` for layers that take
            none, and in the cases of `keras.layers.Bidirectional`.

    Example:
        >>> Bidirectional(LSTM(8, return_sequences=True))(keras.Input((None, 3))).shape
        (None, None, 16)
    """

    def __init__(self, layer, merge_mode="concat", *, backward_layer=None, **kwargs):
        for given in (layer, backward_layer):
            if isinstance(given, AttentionRNN):
                raise ValueError(
                    "Bidirectional expected a layer whose outputs are one tensor; "
                    f"received the AttentionRNN '{given.name}', which returns a dict. "
                    "Use Recurrent(ConditionedCell(...)) to show both directions a "
                    "memory."
                )
            is_layer = isinstance(given, keras.layers.Layer)
            if is_layer and not hasattr(given, "return_sequences"):
                raise ValueError(
                    "Bidirectional expected a recurrent layer, which runs over a "
                    f"sequence; received {type(given).__name__} '{given.name}'. Wrap a "
                    f"cell in a layer: Recurrent({type(given).__name__}(...))."
                )
        if getattr(layer, "go_backwards", False):
            raise ValueError(
                "Bidirectional expected a layer that reads forwards; received "
                f"{type(layer).__name__} '{layer.name}' with go_backwards=True. Leave "
                "that out: the second layer reads backwards."
            )
        for given in (layer, backward_layer):
            zeros = getattr(given, "zero_output_for_mask", False)
            if zeros and not given.return_sequences:
                raise ValueError(
                    "Bidirectional without return_sequences gives the output of the "
                    "last real step, and zeros for no row but an empty one; received "
                    f"{type(given).__name__} '{given.name}' with "
                    "zero_output_for_mask=True. Leave that out."
                )
        super().__init__(layer, merge_mode, backward_layer=backward_layer, **kwargs)
        # Keras 3.16 sets this to False for RNNs; a mask must survive the layer.
        self.supports_masking = True

    def build(self, sequences_shape, initial_state_shape=None, memory_shape=None):
        if self.built:
            return
        shapes = {} if memory_shape is None else {"memory_shape": memory_shape}
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape, **shapes)
        self.compute_output_shape(sequences_shape)  # raises for sizes that differ
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
        start_f, start_b = self._halves(initial_state)
        call = {"mask": mask, "training": training}
        if memory is not None:
            call |= {"memory": memory, "memory_mask": memory_mask}
        expect_mask(self, "`reset_mask`", reset_mask, sequences, "time")
        if reset_mask is not None:
            self._expect_resets()
            call["reset_mask"] = reset_mask
        f = self.forward_layer(sequences, initial_state=start_f, **call)
        if reset_mask is not None:
            call["reset_mask"] = reset_mask_backwards(reset_mask)
        b = self.backward_layer(sequences, initial_state=start_b, **call)
        states = ()
        if self.return_state:
            (f, *states_f), (b, *states_b) = f, b
            states = (*states_f, *states_b)
        f, b = ops.cast(f, self.compute_dtype), ops.cast(b, self.compute_dtype)
        if self.return_sequences:
            # Masked steps took their places too: turning round the whole of time puts
            # every output at its own step, wherever the padding stands.
            b = ops.flip(b, axis=1)
        if self.merge_mode is None:
            return (f, b, *states)
        y = self._merged(f, b)
        return (y, *states) if self.return_state else y

    def _merged(self, f, b):
        if self.merge_mode == "concat":
            return ops.concatenate([f, b], axis=-1)
        if self.merge_mode == "mul":
            return f * b
        return f + b if self.merge_mode == "sum" else (f + b) / 2

    def _expect_resets(self):
        for layer in (self.forward_layer, self.backward_layer):
            if "reset_mask" not in inspect.signature(layer.call).parameters:
                raise ValueError(
                    f"Bidirectional '{self.name}' received `reset_mask=`, but its "
                    f"{type(layer).__name__} '{layer.name}' takes none. Wrap a layer "
                    "of this package (LSTM, GRU, Recurrent, Stacked ...)."
                )

    def _halves(self, initial_state):
        """The states of the forward and of the backward layer."""
        if initial_state is None:
            return None, None
        forward = len(self.forward_layer.state_size)
        backward = len(self.backward_layer.state_size)
        if len(initial_state) != forward + backward:
            raise ValueError(
                f"Bidirectional '{self.name}' expected {forward} states of its forward "
                f"layer, then {backward} of its backward layer; received "
                f"{len(initial_state)}."
            )
        return initial_state[:forward], initial_state[forward:]

    def compute_output_shape(
        self, sequences_shape, initial_state_shape=None, memory_shape=None
    ):
        f = self.forward_layer.compute_output_shape(sequences_shape)
        b = self.backward_layer.compute_output_shape(sequences_shape)
        states = ()
        if self.return_state:
            (f, *states_f), (b, *states_b) = f, b
            states = (*states_f, *states_b)
        if self.merge_mode is None:
            return (f, b, *states)
        y = (*f[:-1], f[-1] + b[-1])
        if self.merge_mode != "concat":
            if f[-1] != b[-1]:
                raise ValueError(
                    f"Bidirectional '{self.name}' expected outputs of one size for "
                    f"merge_mode='{self.merge_mode}'; received sizes {f[-1]} forwards "
                    f"and {b[-1]} backwards. Make them equal, or use 'concat' or None."
                )
            y = f
        return (y, *states) if self.return_state else y

    def compute_mask(self, inputs, previous_mask):
        mask = tree.flatten(previous_mask)[0] if self.return_sequences else None
        masks = [mask] if self.merge_mode else [mask, mask]
        if self.return_state:
            both = (self.forward_layer, self.backward_layer)
            masks += [None for layer in both for _ in tree.flatten(layer.state_size)]
        return masks if len(masks) > 1 else mask
