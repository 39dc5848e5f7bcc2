"""Weights from and to `keras.layers`, `torch.nn` and ONNX.

Works on NumPy arrays: neither torch nor onnx needs to be installed.

With u units, our kernels have one column per unit of each gate, `kernel`
`(features, gates u)` and `recurrent_kernel` `(units, gates u)`; theirs have one row,
`(gates u, features)` and `(gates u, units)`. The gates stand in this order:

                        Elman    LSTM          GRU
    ours, Keras         h        i, f, c, o    z, r, h
    torch               h        i, f, g, o    r, z, n       (g is c, n is h)
    ONNX                h        i, o, f, c    z, r, h

torch and ONNX have two biases, of the input product and of the recurrent one. Our GRU
with `reset_after=True` has both, as the rows of `bias` `(2, 3 u)`. All other cells only
ever need the sum of the two: it is taken on the way in, and on the way out it becomes
the first, and the second is zero.

torch's GRU is ours with `reset_after=True` (Keras' default); ONNX' is so with the
attribute `linear_before_reset=1`, and with 0, its default, ours with
`reset_after=False`. The arrays do not show which: both of `from_onnx` and `to_onnx`
leave that to the one who builds the other side.

Only weights travel, and what a direction means stays with the layer: torch's
`_reverse` weights and ONNX' backward ones go into a layer with `go_backwards=True`,
whose outputs stand in the order of reading, the last step first (`Bidirectional` turns
them round).
"""

import keras
import numpy as np

from .elman import Elman, ElmanCell
from .gru import GRU, GRUCell
from .lstm import LSTM, LSTMCell

_FROM_KERAS = {
    keras.layers.SimpleRNN: Elman,
    keras.layers.SimpleRNNCell: ElmanCell,
    keras.layers.LSTM: LSTM,
    keras.layers.LSTMCell: LSTMCell,
    keras.layers.GRU: GRU,
    keras.layers.GRUCell: GRUCell,
}
_TO_KERAS = {ours: theirs for theirs, ours in _FROM_KERAS.items()}
_OUR_OPTIONS = (
    "fast",
    "hoist",
    "peephole",
    "peephole_initializer",
    "trainable_state",
)

# The order of the gates, a letter each, by our names of them.
_OURS = {ElmanCell: "h", LSTMCell: "ifco", GRUCell: "zrh"}
_TORCH = {ElmanCell: "h", LSTMCell: "ifco", GRUCell: "rzh"}
_ONNX = {ElmanCell: "h", LSTMCell: "iofc", GRUCell: "zrh"}


def from_keras(layer):
    """Our layer or cell with the config and the weights of one of Keras.

    Args:
        layer: `keras.layers.SimpleRNN`, `LSTM`, `GRU` or one of their cells, built or
            not. A subclass is refused: what it computes is not known.

    Returns:
        Elman, LSTM, GRU or the cell, of the same name; built if `layer` is. The
        states of a stateful layer are not copied.

    Raises:
        ValueError: for any other layer.
    """
    config = layer.get_config()
    if hasattr(layer, "use_cudnn"):  # which is not in its config
        config["use_cudnn"] = layer.use_cudnn
    return _twin(layer, _FROM_KERAS, config)


def to_keras(layer):
    """The layer or cell of Keras with the config and the weights of ours.

    Args:
        layer: Elman, LSTM, GRU or one of their cells, built or not.

    Returns:
        `keras.layers.SimpleRNN`, `LSTM`, `GRU` or the cell, of the same name; built if
        `layer` is. The states of a stateful layer are not copied.

    Raises:
        ValueError: for any other layer, and for peepholes and
            `trainable_state=True`, which Keras lacks.
    """
    if getattr(layer, "trainable_state", False):
        raise ValueError(
            f"to_keras expected a layer that Keras has; received {_label(layer)} with "
            "trainable_state=True. Keep ours, or give its first states to Keras' layer "
            "as `initial_state`."
        )
    peephole = getattr(getattr(layer, "cell", layer), "peephole", False)
    if peephole:
        raise ValueError(
            f"to_keras expected a layer that Keras has; received {_label(layer)} with "
            f"peephole={peephole!r}, and keras.layers.LSTM has no peepholes. Keep "
            "ours, which saves and exports like any Keras layer."
        )
    config = layer.get_config()
    for option in _OUR_OPTIONS:
        config.pop(option, None)
    return _twin(layer, _TO_KERAS, config)


def from_torch(layer, state_dict, level=0, reverse=False, prefix=""):
    """Put the weights of a `torch.nn.RNN`, `LSTM` or `GRU` into our layer.

    Args:
        layer: a built Elman, LSTM or GRU, a `Recurrent` around their cells, or a cell.
            Deep: each of `Stacked`'s `levels` in its turn. Bidirectional: the
            `forward_layer`, then the `backward_layer` with `reverse=True`.
        state_dict: dict, name -> array or torch tensor, for instance
            `module.state_dict()`.
        level: which of torch's `num_layers`; None for the names of `torch.nn.LSTMCell`
            and its like, which have no number.
        reverse: whether to take the weights of the backward direction.
        prefix: what stands before the names, for instance `"encoder.rnn."` in the
            state dict of a whole model.

    Returns:
        `layer`.

    Raises:
        ValueError: if the layer is not built, is of another kind, or has options that
            torch lacks; if arrays are missing, are too many (`bias=False`, `proj_size`)
            or have other shapes. The layer then keeps the weights it had.

    Example:
        >>> layer = GRU(8, return_sequences=True)
        >>> layer.build((None, None, 3))
        >>> from_torch(layer, torch_gru.state_dict())(x)  # torch: batch_first=True
    """
    cell = _cell_for_torch(layer, "from_torch")
    names = _torch_names(level, reverse, prefix)
    projection = names[1].replace("weight_hh", "weight_hr")
    if projection in state_dict:
        raise ValueError(
            f"from_torch expected weights without projection; received '{projection}', "
            f"which belongs to proj_size > 0. {_label(layer)} has no such weight."
        )
    if not cell.use_bias:
        for name in names[2:]:
            if name in state_dict:
                raise ValueError(
                    f"from_torch expected no '{name}' for {_label(layer)} with "
                    "use_bias=False; received one. Build ours with use_bias=True."
                )
        names = names[:2]
    missing = [name for name in names if name not in state_dict]
    if missing:
        without = ""
        if missing == names[2:]:
            without = " For torch's bias=False build ours with use_bias=False."
        raise ValueError(
            f"from_torch expected {missing} for {_label(layer)}; the state dict has "
            f"{sorted(state_dict)}. Check `level`, `reverse` and `prefix`.{without}"
        )
    rows = [_array(state_dict[name]) for name in names]
    for name, array, shape in zip(names, rows, _row_shapes(cell), strict=False):
        _expect_shape(layer, name, array, shape)
    _assign_rows(cell, _TORCH[type(cell)], *rows)
    return layer


def to_torch(layer, level=0, reverse=False, prefix=""):
    """The weights of our layer under torch's names and in torch's layout.

    Args:
        layer, level, reverse, prefix: as in `from_torch`.

    Returns:
        dict, name -> array: `weight_ih_l0`, `weight_hh_l0`, and with a bias
        `bias_ih_l0`, `bias_hh_l0` (with `use_bias=False` torch needs `bias=False`).
        The dicts of several levels and directions join to one:
        `module.load_state_dict({name: torch.tensor(a) for name, a in d.items()})`.

    Raises:
        ValueError: if the layer is not built, is of another kind, or has options that
            torch lacks.
    """
    cell = _cell_for_torch(layer, "to_torch")
    rows = _rows(cell, _TORCH[type(cell)])
    return dict(zip(_torch_names(level, reverse, prefix), rows, strict=False))


def from_onnx(layer, W, R, B=None, P=None, direction=0):
    """Put the weights of an ONNX `RNN`, `LSTM` or `GRU` node into our layer.

    Args:
        layer: a built Elman, LSTM or GRU, a `Recurrent` around their cells, or a cell.
            Its options have to say what the node's attributes say: `activations`
            (ours are the same by default), `linear_before_reset` (see the module),
            `direction`. Attributes `clip` and `input_forget` have no like here.
        W: `(directions, gates u, features)`, R: `(directions, gates u, u)`, arrays
            (`onnx.numpy_helper.to_array` makes them of an initialiser).
        B: `(directions, 2 gates u)`: of the input product, then of the recurrent one;
            zeros where it is None, as ONNX says.
        P: `(directions, 3 u)`: p_i, p_o, p_f, for `peephole=True`; zeros where None.
        direction: which of the directions; 1 is the backward one of a bidirectional
            node.

    Returns:
        `layer`.

    Raises:
        ValueError: if the layer is not built or of another kind, has no place for B
            (`use_bias=False`) or P (`peephole=False`), looks at the memory cell in
            another way (`peephole="previous"`), or the shapes do not fit. The layer
            then keeps the weights it had.
    """
    cell = _cell_for_onnx(layer, "from_onnx")
    peephole = getattr(cell, "peephole", False)
    if B is not None and not cell.use_bias:
        raise ValueError(
            f"from_onnx expected no B for {_label(layer)} with use_bias=False; "
            "received one. Build ours with use_bias=True."
        )
    if P is not None and not peephole:
        raise ValueError(
            f"from_onnx expected no P for {_label(layer)}; received peephole weights. "
            "Build an LSTM with peephole=True."
        )
    (w_shape, r_shape, b_shape, _), units = _row_shapes(cell), cell.units
    shapes = {
        "W": (W, w_shape),
        "R": (R, r_shape),
        "B": (B, (2 * b_shape[0],)),
        "P": (P, (3 * units,)),
    }
    one = {}
    for name, (array, shape) in shapes.items():
        if array is None:
            one[name] = np.zeros(shape)
            continue
        array = _array(array)
        _expect_shape(layer, name, array, ("directions", *shape), anything_first=True)
        if not 0 <= direction < len(array):
            raise ValueError(
                f"from_onnx expected a direction below {len(array)}, as many as {name} "
                f"has; received direction={direction}."
            )
        one[name] = array[direction]
    biases = np.split(one["B"], 2) if cell.use_bias else []
    _assign_rows(cell, _ONNX[type(cell)], one["W"], one["R"], *biases)
    if peephole:
        p = _reordered(one["P"], "iof", "ifo")
        cell.peephole_weights.assign(p.reshape(3, units))
    return layer


def to_onnx(layer):
    """The weights of our layer in the layout of an ONNX `RNN`, `LSTM` or `GRU` node.

    Args:
        layer: as in `from_onnx`.

    Returns:
        dict of arrays with one direction: `W` `(1, gates u, features)`, `R`
        `(1, gates u, u)`, and where the layer has them `B` `(1, 2 gates u)` and `P`
        `(1, 3 u)`. Joined along the first axis, those of a forward and of a backward
        layer are those of a bidirectional node. The node's attributes have to say what
        the layer's options say, see `from_onnx`.

    Raises:
        ValueError: if the layer is not built, of another kind, or has
            `peephole="previous"`.
    """
    cell = _cell_for_onnx(layer, "to_onnx")
    w, r, *biases = _rows(cell, _ONNX[type(cell)])
    weights = {"W": w[None], "R": r[None]}
    if biases:
        weights["B"] = np.concatenate(biases)[None]
    if getattr(cell, "peephole", False):
        p = _array(cell.peephole_weights).reshape(-1)
        weights["P"] = _reordered(p, "ifo", "iof")[None]
    return weights


def _twin(layer, twins, config):
    """A layer of the other library with this config and the same weights."""
    if type(layer) not in twins:
        expected = ", ".join(_name(kind) for kind in twins)
        raise ValueError(
            f"Expected one of {expected}, and no subclass; received {_label(layer)}. "
            "Take a wrapper's inner layers (`forward_layer`, `cell` ...) one by one."
        )
    twin = twins[type(layer)].from_config(config)
    if layer.built:
        cell = getattr(layer, "cell", layer)
        shape = (None, cell.kernel.shape[0])
        if cell is not layer:
            batch = layer.states[0].shape[0] if layer.stateful else None
            shape = (batch, *shape)
        twin.build(shape)
        twin.set_weights(layer.get_weights())
    return twin


def _cell(layer, function):
    """The built cell of a layer, or the cell itself."""
    cell = getattr(layer, "cell", layer)
    if type(cell) not in _OURS:
        kinds = ", ".join(_name(kind) for kind in _OURS)
        raise ValueError(
            f"{function} expected a layer whose cell is one of {kinds}; received "
            f"{_label(layer)}. Give a wrapper's inner layers or cells one by one; a "
            "layer of Keras goes through from_keras first."
        )
    if not cell.built:
        raise ValueError(
            f"{function} expected a built layer; {_label(layer)} has no weights yet. "
            "Call `layer.build((None, None, features))`, or the layer on an input."
        )
    return cell


def _cell_for_onnx(layer, function):
    """`_cell`, and an error where ONNX has no such equations."""
    cell = _cell(layer, function)
    if getattr(cell, "peephole", False) == "previous":
        raise ValueError(
            f"{function} expected a layer whose equations ONNX has; received "
            f'{_label(layer)} with peephole="previous", and the output gate of ONNX '
            "looks at the new memory cell. Use peephole=True."
        )
    return cell


def _cell_for_torch(layer, function):
    """`_cell`, and an error where torch has no such equations."""
    cell = _cell(layer, function)
    tanh, sigmoid, relu = (
        getattr(keras.activations, name) for name in ("tanh", "sigmoid", "relu")
    )
    unlike = None
    if getattr(cell, "peephole", False):
        unlike = f"peephole={cell.peephole!r}", "torch.nn.LSTM has no peepholes"
    elif not getattr(cell, "reset_after", True):
        unlike = "reset_after=False", "torch.nn.GRU resets after the product"
    elif isinstance(cell, ElmanCell):
        if cell.activation not in (tanh, relu):
            unlike = f"activation={cell.activation}", "torch.nn.RNN knows tanh and relu"
    elif (cell.activation, cell.recurrent_activation) != (tanh, sigmoid):
        unlike = (
            f"activation={cell.activation}, "
            f"recurrent_activation={cell.recurrent_activation}",
            "torch knows tanh and sigmoid there",
        )
    if unlike:
        raise ValueError(
            f"{function} expected a layer that torch has; received {_label(layer)} "
            f"with {unlike[0]}, and {unlike[1]}."
        )
    return cell


def _torch_names(level, reverse, prefix):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    end = "" if level is None else f"_l{level}"
    end += "_reverse" if reverse else ""
    return [f"{prefix}{name}{end}" for name in names]


def _row_shapes(cell):
    """The shapes of what `_rows` returns with a bias."""
    rows = len(_OURS[type(cell)]) * cell.units
    return (rows, cell.kernel.shape[0]), (rows, cell.units), (rows,), (rows,)


def _rows(cell, order):
    """Input kernel, recurrent kernel, and with a bias both biases: a row per unit of
    each gate, the gates in `order`."""
    arrays = [_array(cell.kernel).T, _array(cell.recurrent_kernel).T]
    if cell.use_bias:
        bias = _array(cell.bias)
        arrays += list(bias) if bias.ndim == 2 else [bias, np.zeros_like(bias)]
    arrays = [_reordered(a, _OURS[type(cell)], order) for a in arrays]
    return [np.ascontiguousarray(a) for a in arrays]


def _assign_rows(cell, order, kernel, recurrent_kernel, *biases):
    """The way back from `_rows`."""

    def ours(rows):
        return _reordered(rows, order, _OURS[type(cell)])

    cell.kernel.assign(ours(kernel).T)
    cell.recurrent_kernel.assign(ours(recurrent_kernel).T)
    if biases:
        two = np.stack([ours(bias) for bias in biases])
        cell.bias.assign(two if len(cell.bias.shape) == 2 else two.sum(axis=0))


def _reordered(rows, old, new):
    """Blocks of rows in the order of the letters `old` -> in the order `new`."""
    blocks = dict(zip(old, np.split(rows, len(old)), strict=True))
    return np.concatenate([blocks[letter] for letter in new])


def _array(weights):
    """An array of an array, a Keras variable or a torch tensor."""
    if isinstance(weights, keras.Variable):
        return keras.ops.convert_to_numpy(weights)
    if hasattr(weights, "detach"):  # double: NumPy has no bfloat16
        return weights.detach().cpu().double().numpy()
    return np.asarray(weights)


def _expect_shape(layer, name, array, expected, anything_first=False):
    skip = int(anything_first)
    if array.ndim != len(expected) or array.shape[skip:] != expected[skip:]:
        shape = ", ".join(str(size) for size in expected)
        shape += "," if len(expected) == 1 else ""
        raise ValueError(
            f"{_label(layer)} expected {name} of shape ({shape}); received shape "
            f"{array.shape}. Use the kind of layer, the units and the input features "
            "that the weights were made with."
        )


def _label(layer):
    return f"{type(layer).__name__} '{getattr(layer, 'name', '')}'"


def _name(kind):
    ours = kind.__module__.startswith("saccade")
    return kind.__name__ if ours else f"keras.layers.{kind.__name__}"
