"""Attention inside the recurrent loop: look, then step."""

import keras
from keras import ops, tree

from .products import multiply
from .recurrent import (
    Recurrent,
    WrapperCell,
    cast_all,
    current_memory,
    expect_cell,
    expect_mask,
    memory_set,
    step_weight,
)


@keras.saving.register_keras_serializable(package="saccade")
class AttentionCell(WrapperCell):
    """A cell that looks at the regions a_l of a memory before every step.

    The decoder of Xu et al. 2015 ("Show, attend and tell") around any inner cell:

        context = attention(query=h', values=a)      h' is the state one step before
        beta = sigmoid(Wb h' + bb)                   the gate: how much to let in
        h = cell([x; beta context], h')

    An inner ConditionedCell sees the mean region as its vector.

    Args:
        cell: the inner cell; its first state is the query.
        attention: BahdanauAttention or HardAttention.
        gate: whether there is a gate beta.

    Call through `AttentionRNN`. The output of a step is one tensor, because a Keras
    loop returns one: [h, context, weights] side by side, and where HardAttention looked
    behind them; `parts` splits it.
    """

    def __init__(self, cell, attention, gate=True, **kwargs):
        super().__init__(cell, **kwargs)
        self.attention = attention
        self.gate = gate

    def build(self, inputs_shape, memory_shape):
        if self.built:
            return
        self._expect_regions(memory_shape)
        batch, _, features = memory_shape
        units = tree.flatten(self.state_size)[0]  # of the query, the first state
        if not self.attention.built:
            self.attention.build((batch, units), memory_shape)
        inner_shape = (batch, inputs_shape[-1] + features)
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

    def call(self, inputs, states, training=False):
        return self.fast_step(
            multiply, inputs, states, self.step_weights(training), training
        )

    @property
    def may_be_fast(self):
        # What is drawn in a step would be drawn again by the backward loop.
        return super().may_be_fast and not self.attention.draws

    def step_weights(self, training=False):
        weights = {
            "attention": self.attention.step_weights(),
            "cell": self.inner_weights(training),
        }
        if self.gate:
            weights["gate_kernel"] = step_weight(self, self.gate_kernel)
            weights["gate_bias"] = step_weight(self, self.gate_bias)
        return weights

    def fast_step(self, multiply, x, states, weights, training=False):
        memory = current_memory(self)
        h = states[0] if isinstance(states, (list, tuple)) else states
        attended = self.attention.attend(
            h,
            memory["values"],
            memory["keys"],
            memory.get("mask"),
            training,
            weights=weights["attention"],
            multiply=multiply,
        )
        context, looks, chosen = cast_all(attended, self.compute_dtype)
        seen = context
        if self.gate:
            seen = context * ops.sigmoid(
                multiply((h, weights["gate_kernel"]), bias=weights["gate_bias"])
            )
        x = (ops.cast(x, seen.dtype), seen)
        with memory_set(memory.get("inner")):
            h, states = self.inner_step(multiply, x, states, weights["cell"], training)
        looked = [looks, chosen] if self.attention.draws else [looks]
        return ops.concatenate([h, context, *looked], axis=-1), states

    def parts(self, output):
        """The cell's output by its parts: outputs, contexts, weights, chosen."""
        units, features = self.cell.output_size, self.context_size
        weights = chosen = output[..., units + features :]
        if self.attention.draws:
            regions = ops.shape(output)[-1] - units - features
            weights, chosen = weights[..., : regions // 2], chosen[..., regions // 2 :]
        return {
            "outputs": output[..., :units],
            "contexts": output[..., units : units + features],
            "weights": weights,
            "chosen": chosen,
        }

    def get_config(self):
        attention = keras.saving.serialize_keras_object(self.attention)
        return {**super().get_config(), "attention": attention, "gate": self.gate}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["attention"] = keras.saving.deserialize_keras_object(config["attention"])
        return super().from_config(config)


@keras.saving.register_keras_serializable(package="saccade")
class AttentionRNN(Recurrent):
    """A recurrent layer that looks at a memory before each of its steps.

    Args:
        cell: the inner cell, for instance `LSTMCell(256)`.
        attention: `BahdanauAttention(units)` (soft) or `HardAttention(units)`.
        gate: whether the context passes the gate beta of Xu et al. 2015.
        penalty: weight of the doubly stochastic penalty: over a sentence, every
            region should be looked at about once,
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
        contexts: (batch, T, D), what it saw at each step;
        weights: (batch, T, L), where it looked at each step, rows sum to 1;
        chosen: (batch, T, L), the region drawn (HardAttention), else the weights;
        states: list of (batch, units), after the last step.
    """

    def __init__(self, cell, attention, gate=True, penalty=0.0, **kwargs):
        for fixed in ("return_sequences", "return_state"):
            if not kwargs.pop(fixed, True):
                raise ValueError(
                    f"AttentionRNN always returns sequences and states; received "
                    f"{fixed}=False. Take what you need from the dict it returns."
                )
        expect_cell(type(self).__name__, cell)
        dtype = kwargs.get("dtype")
        cell = AttentionCell(cell, attention, gate, dtype=dtype, name="attention_cell")
        super().__init__(cell, return_sequences=True, return_state=True, **kwargs)
        self.attention = attention
        self.gate = gate
        self.penalty = penalty
        self.initial_layers = [
            keras.layers.Dense(
                size, "tanh", dtype=self.dtype_policy, name=f"initial_state_{i}"
            )
            for i, size in enumerate(self.state_size)
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
        if initial_state is None:
            initial_state = self.own_state(None, memory, memory_mask)
        output, *states = super().call(
            sequences,
            initial_state=initial_state,
            mask=mask,
            training=training,
            memory=memory,
            memory_mask=memory_mask,
            reset_mask=reset_mask,
        )
        result = self.cell.parts(output)
        if mask is not None:
            real = ops.cast(mask, output.dtype)[:, :, None]
            if self.go_backwards:  # The outputs stand in the order of reading.
                real = ops.flip(real, axis=1)
            result["weights"] = result["weights"] * real
            result["chosen"] = result["chosen"] * real
        if self.penalty:
            self.add_loss(self._doubly_stochastic(result["weights"], memory_mask))
        return {**result, "states": states}

    def _expect_memory(self, memory):
        if memory is None:
            raise ValueError(
                f"AttentionRNN '{self.name}' expected `memory=`, a tensor of shape "
                "(batch, regions, features) to look at; received none."
            )

    def own_state(self, batch_size, memory=None, memory_mask=None):
        return self.initial_state_from(memory, memory_mask)

    def initial_state_from(self, memory, memory_mask=None):
        """One tanh(W mean(memory) + b) per state of the cell: list of (batch, size)."""
        expect_mask(self, "`memory_mask`", memory_mask, memory, "regions")
        mean = mean_region(ops.cast(memory, self.compute_dtype), memory_mask)
        return [layer(mean) for layer in self.initial_layers]

    def step(self, inputs, states, memory=None, training=False):
        """One step: (batch, features) in; a dict of outputs (batch, units), contexts
        (batch, D), weights and chosen (batch, L), and the list of states out."""
        output, states = super().step(inputs, states, memory, training)
        return self.cell.parts(output), states

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
            "states": [(batch, size) for size in self.state_size],
        }

    def compute_mask(self, inputs, previous_mask):
        mask, *_ = super().compute_mask(inputs, previous_mask)
        parts = ("outputs", "contexts", "weights", "chosen")
        return {**dict.fromkeys(parts, mask), "states": [None] * len(self.state_size)}

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
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("cell", "attention"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)


def mean_region(values, mask=None):
    """Mean over the regions that the mask leaves: (batch, L, D) -> (batch, D)."""
    if mask is None:
        return ops.mean(values, axis=1)
    mask = ops.cast(mask, values.dtype)[:, :, None]
    return ops.sum(values * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1)
