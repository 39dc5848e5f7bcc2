"""Attention inside the recurrent loop: attend, then step."""

import contextvars

import keras
from keras import ops, tree

from .cells import (
    WrapperCell,
    as_list,
    cast_all,
    current_memory,
    current_reset,
    expect_cell,
    memory_set,
    nested_states,
    step_weight,
)
from .masks import expect_mask, expect_padded
from .products import multiply
from .recurrent import Recurrent

# What the steps of the running call gave, by name: see `AttentionRNN.inner_loop`. A
# context variable, because two threads may trace one layer at once.
_STEPS = contextvars.ContextVar("saccade_attention_steps")


@keras.saving.register_keras_serializable(package="saccade")
class AttentionCell(WrapperCell):
    """A cell that attends to the regions a_l of a memory before every step.

    The decoder of Xu et al. 2015 ("Show, attend and tell") around any inner cell:

        context = attention(query=h', values=a)      h' is the state one step before
        beta = sigmoid(Wb h' + bb)                   the gate: how much to let in
        h = cell([x; beta context], h')

    With `input_feeding` (Luong et al. 2015, section 3.3) the cell reads besides what it
    and the attention made of the step before, f', which is one more state, the last:

        h = cell([x; beta context; f'], h')
        f = tanh([h; context] Wf + bf)

    An inner ConditionedCell reads the mean region as its vector.

    Args:
        cell: the inner cell; its first state is the query.
        attention: BahdanauAttention or HardAttention.
        gate: whether there is a gate beta.
        input_feeding: whether there is a state f, of the size of the cell's output.

    The output of a step is h, as a loop around any cell wants it: `Recurrent` and
    `Stacked` give h alone. `AttentionRNN` also gives what `attend_and_step` returns
    besides, context and weights.
    """

    def __init__(self, cell, attention, gate=True, input_feeding=False, **kwargs):
        super().__init__(cell, **kwargs)
        self.attention = attention
        self.gate = gate
        self.input_feeding = input_feeding
        if input_feeding:
            self.state_size = [*as_list(cell.state_size), cell.output_size]

    def get_initial_state(self, batch_size=None):
        states = super().get_initial_state(batch_size)
        if not self.input_feeding:
            return states
        fed = ops.zeros((batch_size, self.output_size), self.compute_dtype)
        return [*as_list(states), fed]

    def build(self, inputs_shape, memory_shape):
        if self.built:
            return
        self._expect_regions(memory_shape)
        batch, _, features = memory_shape
        units = tree.flatten(self.state_size)[0]  # of the query, the first state
        if not self.attention.built:
            self.attention.build((batch, units), memory_shape)
        fed = self.output_size if self.input_feeding else 0
        inner_shape = (batch, inputs_shape[-1] + features + fed)
        if not self.cell.built:
            if hasattr(self.cell, "prepare_memory"):
                self.cell.build(inner_shape, (batch, features))
            else:
                self.cell.build(inner_shape)
        if self.gate:
            self.gate_kernel = self.add_weight(
                name="gate_kernel", shape=(units, 1), initializer="glorot_uniform"
            )
            self.gate_bias = self.add_weight(
                name="gate_bias", shape=(1,), initializer="zeros"
            )
        if self.input_feeding:
            self.feed_kernel = self.add_weight(
                name="feed_kernel",
                shape=(fed + features, fed),
                initializer="glorot_uniform",
            )
            self.feed_bias = self.add_weight(
                name="feed_bias", shape=(fed,), initializer="zeros"
            )
        self.context_size = features
        self.built = True

    def prepare_memory(self, memory, memory_mask=None):
        """What every step needs: values, their keys (projected once), mask."""
        self._expect_regions(memory.shape)
        expect_mask(self, "`memory_mask`", memory_mask, memory, "regions")
        values = ops.cast(memory, self.attention.compute_dtype)
        prepared = {"values": values, "keys": self.attention.project(values)}
        if memory_mask is not None:
            prepared["mask"] = ops.cast(memory_mask, "bool")
        if hasattr(self.cell, "prepare_memory"):
            mean = mean_region(values, memory_mask)
            prepared["inner"] = self.cell.prepare_memory(mean)
        return prepared

    def _expect_regions(self, memory_shape):
        if len(memory_shape) != 3:
            raise ValueError(
                "AttentionCell expected a memory of shape (batch, regions, features); "
                f"received shape {tuple(memory_shape)}. Flatten height and width of a "
                "picture's features into one dimension of regions."
            )

    @property
    def is_fast(self):
        # What is drawn in a step would be drawn again by the backward loop.
        return super().is_fast and not self.attention.draws

    def step_weights(self, training=False, h=None):
        weights = {
            "attention": self.attention.step_weights(),
            "cell": self.inner_weights(training),
        }
        if self.gate:
            weights["gate_kernel"] = step_weight(self, self.gate_kernel)
            weights["gate_bias"] = step_weight(self, self.gate_bias)
        if self.input_feeding:
            weights["feed_kernel"] = step_weight(self, self.feed_kernel)
            weights["feed_bias"] = step_weight(self, self.feed_bias)
        return weights

    def fast_step(self, multiply, x, states, weights, training=False):
        result, states = self.attend_and_step(x, states, training, weights, multiply)
        return result["outputs"], states

    def attend_and_step(
        self, x, states, training=False, weights=None, multiply=multiply
    ):
        """One step and all that it gives.

        Args:
            x, states, training: as in `call`, in the cell's compute dtype.
            weights: what `step_weights` returned; read anew where it is None.
            multiply: what does the products; see `products.Multiply`.

        Returns:
            a dict of outputs h `(batch, units)`, contexts `(batch, D)`, weights
            `(batch, L)` and, for HardAttention, chosen `(batch, L)`; new states.
        """
        weights = self.step_weights(training) if weights is None else weights
        memory = current_memory(self)
        h = tree.flatten(states)[0]
        attended = self.attention.attend(
            h,
            memory["values"],
            memory["keys"],
            memory.get("mask"),
            training,
            weights=weights["attention"],
            multiply=multiply,
        )
        context, attention_weights, chosen = cast_all(attended, self.compute_dtype)
        gated_context = context
        if self.gate:
            gated_context = context * ops.sigmoid(
                multiply((h, weights["gate_kernel"]), bias=weights["gate_bias"])
            )
        x = (ops.cast(x, gated_context.dtype), gated_context)
        if self.input_feeding:
            *states, fed = states
            x = (*x, fed)
        with memory_set(memory.get("inner")):
            h, states = self.inner_step(multiply, x, states, weights["cell"], training)
        if self.input_feeding:
            fed = multiply(
                ((h, context), weights["feed_kernel"]), bias=weights["feed_bias"]
            )
            states = [*as_list(states), ops.tanh(fed)]
        result = {"outputs": h, "contexts": context, "weights": attention_weights}
        if self.attention.draws:  # Otherwise they are the weights.
            result["chosen"] = chosen
        return result, states

    def get_config(self):
        attention = keras.saving.serialize_keras_object(self.attention)
        return {
            **super().get_config(),
            "attention": attention,
            "gate": self.gate,
            "input_feeding": self.input_feeding,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["attention"] = keras.saving.deserialize_keras_object(config["attention"])
        return super().from_config(config)


@keras.saving.register_keras_serializable(package="saccade")
class AttentionRNN(Recurrent):
    """A recurrent layer that attends to a memory before each of its steps.

    Args:
        cell: the inner cell, for instance `LSTMCell(256)`, or a list of cells, one per
            level, of which the lowest reads the context and is the query (Wu et al.
            2016, "Google's neural machine translation system").
        attention: `BahdanauAttention(units)` (soft) or `HardAttention(units)`.
        gate: whether the context passes the gate beta of Xu et al. 2015.
        input_feeding: whether the cell reads what it and the attention made of the step
            before (Luong et al. 2015), see `AttentionCell`; one more state, the last.
        penalty: weight of the doubly stochastic penalty: over a sentence, every
            region should have weights of about one in all,
            penalty * mean over rows of sum over l of (1 - sum over t weights_tl)^2,
            added to the model's loss (Xu et al. 2015, equation 14). 0: none.

    Call arguments:
        sequences: (batch, T, features).
        memory: (batch, L, D), the regions.
        initial_state: as in Recurrent; where it is None, every state starts as
            tanh(W mean(memory) + b) (Xu et al. 2015, section 3.1.2).
        sequences_mask, memory_mask: bool (batch, T), (batch, L), False for padding;
            taken from the tensors where Keras carries masks. A padded step has
            weights of zeros.
        reset_mask: as in Recurrent.
        training: bool.

    Output: a dict of
        outputs: (batch, T, units), h after each step;
        contexts: (batch, T, D), the context of each step;
        weights: (batch, T, L), the attention weights of each step, rows sum to 1;
        chosen: (batch, T, L), the region drawn (HardAttention), else the weights;
        states: list of (batch, units), after the last step; of a list of cells, one
            such list, or one state, per level.
    """

    def __init__(
        self, cell, attention, gate=True, penalty=0.0, input_feeding=False, **kwargs
    ):
        for fixed in ("return_sequences", "return_state"):
            if not kwargs.pop(fixed, True):
                raise ValueError(
                    f"AttentionRNN always returns sequences and states; received "
                    f"{fixed}=False. Take what you need from the dict it returns."
                )
        for refused in ("stateful", "trainable_state"):
            if kwargs.get(refused):
                raise ValueError(
                    f"AttentionRNN expected no {refused}=True: its states start from "
                    "the memory, by layers that train. Leave it out, and hand states "
                    "on by `initial_state=result['states']`."
                )
        dtype = kwargs.get("dtype")
        if isinstance(cell, (list, tuple)):
            for level in cell:
                expect_cell(type(self).__name__, level)
            cell = _levels(cell, dtype)
        expect_cell(type(self).__name__, cell)
        cell = AttentionCell(
            cell, attention, gate, input_feeding, dtype=dtype, name="attention_cell"
        )
        super().__init__(cell, return_sequences=True, return_state=True, **kwargs)
        self.attention = attention
        self.gate = gate
        self.input_feeding = input_feeding
        self.penalty = penalty
        self.initial_layers = [
            keras.layers.Dense(
                size, "tanh", dtype=self.dtype_policy, name=f"initial_state_{i}"
            )
            for i, size in enumerate(tree.flatten(self.state_size))
        ]

    def build(self, sequences_shape, memory_shape=None, initial_state_shape=None):
        self._expect_memory(memory_shape)
        super().build(sequences_shape, memory_shape=memory_shape)
        for layer in self.initial_layers:
            if not layer.built:
                layer.build((memory_shape[0], memory_shape[-1]))

    def call(
        self,
        sequences,
        memory=None,
        initial_state=None,
        mask=None,
        training=False,
        memory_mask=None,
        sequences_mask=None,
        reset_mask=None,
    ):
        if mask is None:
            mask = sequences_mask
        self._expect_memory(memory)
        expect_padded(self, sequences=sequences, memory=memory)
        if initial_state is None:
            initial_state = self.own_state(None, memory, memory_mask)
        steps = {}
        token = _STEPS.set(steps)
        try:
            outputs, *states = super().call(
                sequences,
                initial_state=initial_state,
                mask=mask,
                training=training,
                memory=memory,
                memory_mask=memory_mask,
                reset_mask=reset_mask,
            )
        finally:
            _STEPS.reset(token)
        result = _with_chosen({**steps, "outputs": outputs})
        if mask is not None:
            real = ops.cast(mask, outputs.dtype)[:, :, None]
            if self.go_backwards:  # The outputs stand in the order of reading.
                real = ops.flip(real, axis=1)
            result["weights"] = result["weights"] * real
            result["chosen"] = result["chosen"] * real
        if self.penalty:
            self.add_loss(self._doubly_stochastic(result["weights"], memory_mask))
        return {**result, "states": states}

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Keras' `call` around it takes one tensor, so h alone is returned; all that
        the steps gave goes by `_STEPS` to the `call` above."""
        last, outputs, states = super().inner_loop(
            sequences, initial_state, mask, training
        )
        _STEPS.get().update(outputs)
        return last["outputs"], outputs["outputs"], states

    def run_steps(self, sequences, initial_state, mask, training=False):
        on_tensorflow = keras.backend.backend() == "tensorflow"
        if on_tensorflow and (current_reset()[0] is not None or not self.unroll):
            return self.own_loop(sequences, initial_state, mask, training)
        self.expect_no_reset()
        return self._keras_loop(sequences, initial_state, mask, training)

    def _keras_loop(self, sequences, initial_state, mask, training):
        """The loop of Keras, on other backends and unrolled."""
        cell = _OneTensor(self.cell)
        loop = Recurrent(
            cell,
            return_sequences=True,
            go_backwards=self.go_backwards,
            stateful=self.stateful,
            unroll=self.unroll,
            zero_output_for_mask=self.zero_output_for_mask,
            dtype=self.dtype_policy,
            name="keras_loop",  # a name of Keras' own would count the user's on
        )
        last, outputs, states = loop.run_steps(sequences, initial_state, mask, training)
        return cell.fields(last), cell.fields(outputs), states

    def cell_step(self, multiply, x, states, weights, training):
        x, states = cast_all((x, states), self.cell.compute_dtype)
        if weights is None:
            return self.cell.attend_and_step(x, states, training)
        return self.cell.attend_and_step(x, states, training, weights, multiply)

    def _expect_memory(self, memory):
        if memory is None:
            raise ValueError(
                f"AttentionRNN '{self.name}' expected `memory=`, a tensor of shape "
                "(batch, regions, features) to look at; received none."
            )

    def own_state(self, batch_size, memory=None, memory_mask=None):
        return self.initial_state_from(memory, memory_mask)

    def initial_state_from(self, memory, memory_mask=None):
        """One tanh(W mean(memory) + b) per state of the cell: list of (batch, size), or
        of such lists where the cell has levels."""
        expect_mask(self, "`memory_mask`", memory_mask, memory, "regions")
        mean = mean_region(ops.cast(memory, self.compute_dtype), memory_mask)
        states = [layer(mean) for layer in self.initial_layers]
        return nested_states(self.state_size, states)

    def step(self, inputs, states, memory=None, training=False):
        """One step: (batch, features) in; a dict of outputs (batch, units), contexts
        (batch, D), weights and chosen (batch, L), and the list of states out."""
        result, states = super().step(inputs, states, memory, training)
        return _with_chosen(result), states

    def compute_output_shape(
        self, sequences_shape, memory_shape=None, initial_state_shape=None
    ):
        batch, time = sequences_shape[:2]
        regions, features = memory_shape[1:]
        return {
            "outputs": (batch, time, self.cell.cell.output_size),
            "contexts": (batch, time, features),
            "weights": (batch, time, regions),
            "chosen": (batch, time, regions),
            "states": nested_states(
                self.state_size,
                [(batch, size) for size in tree.flatten(self.state_size)],
            ),
        }

    def compute_mask(self, inputs, previous_mask):
        mask, *_ = super().compute_mask(inputs, previous_mask)
        parts = ("outputs", "contexts", "weights", "chosen")
        states = [None] * len(tree.flatten(self.state_size))
        return {**dict.fromkeys(parts, mask), "states": states}

    def _doubly_stochastic(self, weights, memory_mask):
        missing = (1 - ops.sum(weights, axis=1)) ** 2  # (batch, L)
        if memory_mask is not None:
            missing = missing * ops.cast(memory_mask, missing.dtype)
        return self.penalty * ops.mean(ops.sum(missing, axis=-1))

    def get_config(self):
        config = super().get_config()
        del config["return_sequences"], config["return_state"]
        serialize = keras.saving.serialize_keras_object
        return {
            **config,
            "cell": serialize(self.cell.cell),
            "attention": serialize(self.attention),
            "gate": self.gate,
            "penalty": self.penalty,
            "input_feeding": self.input_feeding,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("cell", "attention"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)


def _levels(cells, dtype):
    """One cell of several levels; a single level is its cell."""
    if len(cells) == 1:
        return cells[0]
    return keras.layers.StackedRNNCells(cells, dtype=dtype, name="levels")


class _OneTensor(keras.layers.Layer):
    """An AttentionCell whose output is all that a step gives, side by side.

    For the loop of Keras alone, which takes one tensor for the output of a step: that
    of JAX and of NumPy under masks, and every unrolled one.
    """

    def __init__(self, cell):
        super().__init__(dtype=cell.dtype_policy, name="one_tensor")
        self.cell = cell
        self.state_size = cell.state_size
        self.built = True

    def call(self, inputs, states, training=False):
        result, states = self.cell.attend_and_step(inputs, states, training)
        parts = [result[name] for name in self._names()]
        return ops.concatenate(parts, axis=-1), states

    def fields(self, output):
        """The output by its names."""
        units, features = self.cell.cell.output_size, self.cell.context_size
        names = self._names()
        regions = (ops.shape(output)[-1] - units - features) // (len(names) - 2)
        sizes = [units, features, regions, regions]
        fields, start = {}, 0
        for name, size in zip(names, sizes, strict=False):
            fields[name] = output[..., start : start + size]
            start = start + size
        return fields

    def _names(self):
        names = ("outputs", "contexts", "weights")
        return (*names, "chosen") if self.cell.attention.draws else names


def _with_chosen(result):
    """Where nothing is drawn, the whole mean is chosen: the weights."""
    return {"chosen": result["weights"], **result}


def mean_region(values, mask=None):
    """Mean over the regions that the mask leaves: (batch, L, D) -> (batch, D)."""
    if mask is None:
        return ops.mean(values, axis=1)
    mask = ops.cast(mask, values.dtype)[:, :, None]
    return ops.sum(values * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1)
