"""The way through cuDNN: calls of LSTM and GRU that Keras' layers take on a GPU.

Where TensorFlow sees a GPU, `keras.layers.LSTM` and `GRU` run a whole sequence by one
kernel of cuDNN. A `CudnnLayer` hands its calls to them, with its own cell, so with its
own weights. With `use_cudnn="auto"` it does so wherever the numbers stay the same, and
runs its own loop where

- a setting is one that the kernel lacks: another activation than tanh, another
  recurrent activation than sigmoid, no bias, recurrent dropout, peepholes, the reset
  before the product (GRU), `unroll`, a cell of another class;
- the call has a `reset_mask`, or a mask that is not right-padded. The kernel takes
  lengths of one step at least, so that a row of padding alone goes the other way too.
  In a graph the mask decides when it runs, and the graph holds both ways;
- XLA compiles the call, because it has no such kernel;
- `without_cudnn` stands around it.

Keras' layers refuse a mask that is not right-padded, and give zeros at padding; here it
is as in `Recurrent`, with cuDNN and without. What runs through cuDNN cannot be
differentiated twice. None of this was tried on a GPU yet: the tests have a function of
their own in the place of cuDNN's kernel.
"""

import contextlib
import contextvars
import functools

import keras
from keras import ops

from .cells import current_length, current_reset, dropped
from .masks import as_column, is_right_padded, reverse_time
from .recurrent import CellLayer

_ALLOWED = contextvars.ContextVar("saccade_cudnn", default=True)


@contextlib.contextmanager
def without_cudnn():
    """Let the layers called inside this block run without cuDNN, `use_cudnn=True` or
    not: for a graph that is made where there is a GPU and runs where there is none.

        with without_cudnn():
            model.export("folder")
    """
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def has_gpu():
    """Whether the backend is TensorFlow, and sees a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def under_xla():
    """Whether XLA compiles what is being traced by TensorFlow."""
    import tensorflow as tf

    return tf.__internal__.get_enclosing_xla_context() is not None


class CudnnLayer(CellLayer):
    """A CellLayer whose calls Keras' layer can take: what LSTM and GRU share.

    Subclasses set `keras_layer`, Keras' class, and `cudnn_cell`, the cell whose step it
    computes.

    Args:
        use_cudnn: "auto", where it can be done; True, or an error that says why not;
            False, never.
        others: as in `CellLayer`.

    Raises:
        ValueError: `use_cudnn` is none of the three, or True with a setting that
            cuDNN's kernel lacks; in a call, True without a GPU, under XLA, with a
            `reset_mask` or, in eager mode, with a mask that is not right-padded. In a
            graph that mask is an InvalidArgumentError of Keras.
    """

    keras_layer = None
    cudnn_cell = None

    def __init__(self, units, *loop_options, use_cudnn="auto", **options):
        super().__init__(units, *loop_options, **options)
        if use_cudnn not in ("auto", True, False):
            raise ValueError(
                f'{type(self).__name__} expected `use_cudnn` "auto" (where it can be '
                f"done), True or False; received {use_cudnn!r}."
            )
        self.use_cudnn = use_cudnn
        lacking = self._lacking()
        if lacking and use_cudnn is True:
            raise self._cannot(*lacking)
        if use_cudnn and not lacking and has_gpu():
            # As Keras' layers: `jit_compile="auto"` then is no XLA, which has no cuDNN.
            self.supports_jit = False

    def run_steps(self, sequences, initial_state, mask, training=False):
        own_loop = super().run_steps
        if not self._takes_cudnn():
            return own_loop(sequences, initial_state, mask, training)
        # Drawn here: inside a branch it would mean nothing to the other.
        dropout_mask = self.cell.input_mask(sequences[:, 0], training)
        if mask is None:
            return self._keras_loop(sequences, initial_state, None, dropout_mask)
        mask = as_column(mask)[:, :, 0]
        if current_length() is not None:
            # The one step that stands for none is real; `inner_loop` takes it back.
            mask = ops.logical_or(mask, ops.equal(current_length(), 0))
        fits = is_right_padded(mask)
        if self.use_cudnn is True:
            self._expect_right_padded(fits)
            return self._keras_loop(sequences, initial_state, mask, dropout_mask)

        def own():
            last, outputs, states = own_loop(sequences, initial_state, mask, training)
            return last, outputs, list(states)

        return ops.cond(
            fits,
            lambda: self._keras_loop(sequences, initial_state, mask, dropout_mask),
            own,
        )

    def _keras_loop(self, sequences, initial_state, mask, dropout_mask):
        """`run_steps` by Keras' layer.

        mask: bool `(batch, time)`, right-padded, or None.
        dropout_mask: of the inputs, `(batch, features)`, or None.
        """
        x = ops.cast(sequences, self.cell.compute_dtype)
        if dropout_mask is not None:
            x = dropped(x, dropout_mask[:, None])
        layer = _around_a_cell(self.keras_layer)(
            self.cell,
            self.use_cudnn,
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            dtype=self.dtype_policy,
            name=self.name,
        )
        last, outputs, states = layer.inner_loop(x, initial_state, mask, training=False)
        if mask is None:
            return last, outputs, list(states)
        # Padding is read last or, backwards, first, where there is nothing to repeat.
        repeats = not (self.go_backwards or self.zero_output_for_mask)
        if self.return_sequences:
            real = reverse_time(mask) if self.go_backwards else mask
            padding = last[:, None] if repeats else 0
            outputs = ops.where(real[:, :, None], outputs, padding)
        if self.zero_output_for_mask and not self.go_backwards:
            last = ops.where(mask[:, -1:], last, 0)
        return last, outputs, list(states)

    def _takes_cudnn(self):
        """Whether this call goes to Keras' layer, or would but for its mask."""
        if self.use_cudnn is False or not _ALLOWED.get():
            return False
        hindrance = self._lacking() or self._hindrance()
        if hindrance and self.use_cudnn is True:
            raise self._cannot(*hindrance)
        return not hindrance

    def _lacking(self):
        """The first setting that cuDNN's kernel lacks: what it expects, what came."""
        cell = self.cell
        if type(cell) is not self.cudnn_cell:
            return f"a cell of class {self.cudnn_cell.__name__}", type(cell).__name__
        settings = {
            "activation": (cell.activation, keras.activations.tanh),
            "recurrent_activation": (
                cell.recurrent_activation,
                keras.activations.sigmoid,
            ),
            "use_bias": (cell.use_bias, True),
            "recurrent_dropout": (cell.recurrent_dropout, 0),
            "peephole": (getattr(cell, "peephole", False), False),
            "reset_after": (getattr(cell, "reset_after", True), True),
            "unroll": (self.unroll, False),
        }
        for name, (value, expected) in settings.items():
            if value != expected:
                value = getattr(value, "__name__", value)
                expected = getattr(expected, "__name__", expected)
                return f"{name}={expected!r}", f"{name}={value!r}"
        return None

    def _hindrance(self):
        """What keeps this call from cuDNN: what is expected, what came."""
        if not has_gpu():
            return (
                "a GPU that TensorFlow sees",
                f"none, on the {keras.backend.backend()} backend",
            )
        if under_xla():
            return "a call without XLA, which has no cuDNN", "one that XLA compiles"
        if current_reset()[0] is not None:
            return "no `reset_mask`", "one"
        return None

    def _cannot(self, expected, received):
        return ValueError(
            f"{type(self).__name__} '{self.name}' with use_cudnn=True expected "
            f"{expected}; received {received}. Change that, or give it "
            'use_cudnn="auto", which takes cuDNN where it can be done.'
        )

    def _expect_right_padded(self, fits):
        import tensorflow as tf

        # In a graph Keras asserts the same.
        if tf.executing_eagerly() and not fits:
            raise self._cannot(
                "a right-padded mask, with a real step in every row", "another"
            )

    def get_config(self):
        return {**super().get_config(), "use_cudnn": self.use_cudnn}


@functools.cache
def _around_a_cell(keras_layer):
    """A class of Keras' that takes its cell in the place of making one: the cell's
    weights are then the layer's."""

    class AroundCell(keras_layer):
        def __init__(self, cell, use_cudnn, **options):
            keras.layers.RNN.__init__(self, cell, **options)
            self.use_cudnn = use_cudnn

    return AroundCell
