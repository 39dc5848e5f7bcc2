"""One vector, a picture's for instance, seen again at every step."""

import keras
from keras import ops

from .cells import WrapperCell, current_memory


@keras.saving.register_keras_serializable(package="saccade")
class ConditionedCell(WrapperCell):
    """Shows a vector v to any cell at EVERY step: h = tanh(Wx x + Wh h' + Wi v).

    The step of every cell begins with a product W [x; v] = Wx x + Wi v, so joining
    v to the input is the same equation: the first rows of the inner cell's `kernel`
    are Wx, the last `features of v` rows are Wi. The first column of image
    captioning in CS231n, lecture 10.

    Args:
        cell: any cell (ElmanCell, LSTMCell, GRUCell, a Keras cell ...).

    Call through `Recurrent(ConditionedCell(cell))(sequences, memory=v)` with v
    `(batch, features)`; outputs and states are those of the inner cell.
    """

    def build(self, inputs_shape, memory_shape):
        features = inputs_shape[-1] + memory_shape[-1]
        if not self.cell.built:
            self.cell.build((inputs_shape[0], features))
        self.built = True

    def prepare_memory(self, memory, memory_mask=None):
        if len(memory.shape) != 2:
            raise ValueError(
                "ConditionedCell expected one vector per row, memory of shape "
                f"(batch, features); received shape {tuple(memory.shape)}. For many "
                "regions, use an AttentionCell."
            )
        if memory_mask is not None:
            raise ValueError(
                "ConditionedCell reads one vector per row and has nothing to mask; "
                "received `memory_mask`. Leave it out."
            )
        return ops.cast(memory, self.compute_dtype)

    def fast_step(self, multiply, x, states, weights, training=False):
        vector = current_memory(self)  # (batch, features)
        parts = x if isinstance(x, tuple) else (ops.cast(x, vector.dtype),)
        x = (*parts, vector)
        return self.inner_step(multiply, x, states, weights["cell"], training)
