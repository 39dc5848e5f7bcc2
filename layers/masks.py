"""The mask rules: which steps there are, and where a row starts anew.

A mask of a sequence is bool `(batch, time)`, or `(batch, time, 1)` as Keras' loop has
it; True marks a real step. A reset mask marks the steps before which a row starts anew.
"""

import keras
from keras import ops, tree


def expect_padded(layer, **tensors):
    """An error where one of the tensors, by its argument's name, is ragged."""
    for name, tensor in tensors.items():
        if not hasattr(tensor, "row_lengths"):
            continue
        mask = "mask" if name == "sequences" else f"{name}_mask"
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' expected `{name}` padded to one "
            f"length, with a mask; received a ragged tensor x. Give it `x.to_tensor()` "
            f"in its place, and `{mask}=tf.sequence_mask(x.row_lengths())`."
        )


def at_least_one_step(tensor):
    """A tensor (batch, time, ...), with one step of zeros where it has no step."""
    tensor = ops.convert_to_tensor(tensor)
    if tensor.shape[1]:
        return tensor
    batch, time, *rest = ops.shape(tensor)
    missing = 1 if tensor.shape[1] == 0 else ops.maximum(1 - time, 0)
    nothing = ops.zeros((batch, missing, *rest), tensor.dtype)
    return ops.concatenate([tensor, nothing], axis=1)


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


def is_right_padded(mask):
    """Whether every row of a mask (batch, time) is real steps, at least one, and then
    padding: a bool tensor."""
    goes_on = ops.logical_or(mask[:, :-1], ops.logical_not(mask[:, 1:]))
    return ops.logical_and(ops.all(mask[:, 0]), ops.all(goes_on))


def reverse_time(mask):
    """A mask (batch, time) in the order of reading backwards; None as None."""
    return None if mask is None else ops.flip(mask, axis=1)


def reset_mask_backwards(reset_mask):
    """A reset mask for a layer that reads the same pieces backwards.

    The border between t - 1 and t, which is before step t forwards, is before step
    t - 1 backwards. A reset at the first step so falls away.
    """
    nothing = ops.zeros_like(reset_mask[:, :1])
    return ops.concatenate([reset_mask[:, 1:], nothing], axis=1)


def time_first(mask):
    """A mask (batch, time) or (batch, time, 1) as bool (time, batch); None as None."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    return ops.transpose(mask[:, :, 0] if len(mask.shape) == 3 else mask)


def as_column(mask):
    """A mask (batch, time) or (batch, time, 1) as bool (batch, time, 1), or None."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    return mask if len(mask.shape) == 3 else mask[:, :, None]
