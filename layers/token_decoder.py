"""A decoder of tokens: one network for training and, step by step, for decoding."""

import functools

import keras
from keras import ops, tree

from .attention_rnn import AttentionRNN, mean_region
from .cells import nested_states
from .decoding import repeat_rows
from .masks import expect_mask, expect_padded
from .recurrent import Recurrent
from .stacked import Stacked

CONDITIONS = ("initial", "first", "every")


@keras.saving.register_keras_serializable(package="saccade")
class TokenDecoder(keras.layers.Layer):
    """Writes tokens, one after the other, from a memory: the regions of a picture, the
    states of an encoder.

    With y' the token before, h the output of `rnn` and a the context of an
    AttentionRNN (Xu et al. 2015, "Show, attend and tell", equation 7):

        x = D E y'
        h, a = rnn(x, memory)
        v = tanh(x + W0 h + b0 + W1 a + b1)      without attention no term in a
        logits = Wo D v + bo

    D is dropout, E the embedding. Training gives whole sequences to `call`; decoding
    begins with `begin` and calls `step` once per token. Both compute the same.

    Args:
        rnn: an `AttentionRNN`, or another recurrent layer of this package with
            `return_sequences=True` and `return_state=True`: LSTM, Recurrent around a
            cell, Stacked ... Whether the context passes a gate before it enters the
            cell is the option `gate` of the AttentionRNN. With `condition="every"` its
            cell (of a stack: at least one) is a ConditionedCell, else none is.
        vocabulary_size: number of token ids; 0 is padding.
        embedding_size: of x and of v.
        condition: where the memory as a whole, the mean of its regions, enters:
            "initial": as the first states, tanh(W mean + b) each;
            "first": as an input W mean + b before the first token;
            "every": in every step, beside the token.
            An AttentionRNN has its own first states, tanh(W mean + b) too, under any
            condition; "first" and "every" come on top.
        activation: of the vote v; a name or a function of Keras.
        dropout: share dropped of x and of v in training.
        tied: whether Wo is the embedding, E transposed, and bo zero (Press & Wolf 2017,
            "Using the output embedding to improve language models").

    Call arguments:
        tokens: int `(batch, time)`, each the token before the one to be written; a step
            with 0 is padding, which changes no state.
        memory: float `(batch, regions, features)`.
        memory_mask: bool `(batch, regions)`, False where the memory is padding; taken
            from the tensor where Keras carries masks.
        training: bool.

    Output: a dict of
        logits: `(batch, time, vocabulary_size)`, raw scores of the token that follows
            each, float32 (float64 where the layer computes in it);
        attention: with an AttentionRNN, `(batch, time, regions)`, its weights before
            that token, zeros at padding;
        chosen: with HardAttention, `(batch, time, regions)`, the region it chose.
    The mask of each is that of the tokens.

    Weights: in the sublayers `embedding`, `memory_as_word` (condition "first"),
    `initial_states` (a list, condition "initial" without attention), `rnn`, `votes` (a
    list: of h, of a) and, unless `tied`, `logits`.

    Raises:
        ValueError: `condition` is none of the three, or the cell does not fit it; `rnn`
            is no recurrent layer, returns only its last output or no states, reads
            backwards or keeps states; the memory is missing, ragged or of another rank.

    Example:
        >>> rnn = AttentionRNN(LSTMCell(8), BahdanauAttention(4))
        >>> decoder = TokenDecoder(rnn, vocabulary_size=10, embedding_size=6)
        >>> tokens, regions = keras.Input((None,), dtype="int32"), keras.Input((9, 5))
        >>> decoder(tokens, memory=regions)["logits"].shape
        (None, None, 10)

        >>> step, state = decoder.begin(regions, beam=3)    # now with numbers in it
        >>> decoding.beam_search(step, state, start, end=2, max_length=20, beam=3)
    """

    def __init__(
        self,
        rnn,
        vocabulary_size,
        embedding_size,
        condition="initial",
        activation="tanh",
        dropout=0.0,
        tied=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _expect_rnn(rnn)
        _expect_condition(rnn, condition)
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.condition = condition
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        self.tied = tied
        self.attends = isinstance(rnn, AttentionRNN)
        self.draws = self.attends and rnn.attention.draws
        policy = self.dtype_policy
        dense = functools.partial(keras.layers.Dense, dtype=policy)
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        embed = keras.layers.Embedding
        if tied:
            embed = functools.partial(
                keras.layers.ReversibleEmbedding, reverse_dtype=wide
            )
        self.embedding = embed(
            vocabulary_size, embedding_size, dtype=policy, name="embedding"
        )
        self.embedding_dropout = keras.layers.Dropout(
            dropout, dtype=policy, name="embedding_dropout"
        )
        self.memory_as_word = None
        if condition == "first":
            self.memory_as_word = dense(embedding_size, name="memory_as_word")
        self.initial_states = []
        if condition == "initial" and not self.attends:
            self.initial_states = [
                dense(size, "tanh", dtype=rnn.dtype_policy, name=f"initial_state_{i}")
                for i, size in enumerate(tree.flatten(rnn.state_size))
            ]
        self.rnn = rnn
        self.votes = [
            dense(embedding_size, name=f"vote_{i}") for i in range(1 + self.attends)
        ]
        self.vote_dropout = keras.layers.Dropout(
            dropout, dtype=policy, name="vote_dropout"
        )
        self.logits_dtype, self.logits = wide, None
        if not tied:
            self.logits = keras.layers.Dense(vocabulary_size, dtype=wide, name="logits")
        self.supports_masking = True

    def build(self, tokens_shape, memory_shape=None):
        if self.built:
            return
        self._expect_memory(memory_shape)
        batch, _, features = memory_shape
        mean_shape = (batch, features)
        words_shape = (batch, None, self.embedding_size)
        self.embedding.build(tokens_shape)
        if self.memory_as_word is not None:
            self.memory_as_word.build(mean_shape)
        for layer in self.initial_states:
            layer.build(mean_shape)
        if self.attends:
            self.rnn.build(words_shape, memory_shape=memory_shape)
            shapes = self.rnn.compute_output_shape(words_shape, memory_shape)
            parts = [shapes["outputs"], shapes["contexts"]]
        else:
            reads = {"memory_shape": mean_shape} if self.condition == "every" else {}
            self.rnn.build(words_shape, **reads)
            parts = [self.rnn.compute_output_shape(words_shape)[0]]
        for layer, shape in zip(self.votes, parts, strict=True):
            layer.build(shape)
        if not self.tied:
            self.logits.build(words_shape)
        self.built = True

    def call(self, tokens, memory=None, memory_mask=None, training=False):
        self._expect_memory(memory)
        expect_padded(self, memory=memory)
        expect_mask(self, "`memory_mask`", memory_mask, memory, "regions")
        mean = self._mean(memory, memory_mask)
        words = self.embedding_dropout(self.embedding(tokens), training=training)
        sequence, mask = words, ops.not_equal(tokens, 0)
        if self.condition == "first":
            first = ops.cast(self.memory_as_word(mean), words.dtype)[:, None]
            sequence = ops.concatenate([first, words], axis=1)
            real = ops.ones((ops.shape(tokens)[0], 1), "bool")
            mask = ops.concatenate([real, mask], axis=1)
        read = {"sequences_mask": mask, "training": training}
        if self.attends:
            read |= {"memory": memory, "memory_mask": memory_mask}
        elif self.condition == "every":
            read |= {"memory": mean}
        elif self.condition == "initial":
            read |= {"initial_state": self._initial_states(mean)}
        parts, attention = self._named(self.rnn(sequence, **read))
        if self.condition == "first":  # Nothing is written behind the memory alone.
            parts = [part[:, 1:] for part in parts]
            attention = {name: part[:, 1:] for name, part in attention.items()}
        return {"logits": self._vote(words, parts, training), **attention}

    def begin(self, memory, memory_mask=None, beam=1):
        """What decoding begins with, as `decoding.greedy`, `sample` and `beam_search`
        take it.

        Args:
            memory, memory_mask: as in `call`.
            beam: hypotheses per row of the memory, the `beam` of `beam_search`.

        Returns:
            a function step(tokens, state) for batch * beam rows, which is `step` with
            what it reads of this memory; and the state before the first token, a list
            of `(batch, size)`.

        Raises:
            ValueError: the layer is not built yet; the memory or its mask do not fit.
        """
        if not self.built:
            raise ValueError(
                f"TokenDecoder '{self.name}' expected to be built before it decodes. "
                "Call it, or the model that it is in, on tokens and a memory first."
            )
        self._expect_memory(memory)
        prepared = self.prepare_memory(memory, memory_mask)
        mean = self._mean(memory, memory_mask)
        if self.attends:
            state = self.rnn.initial_state_from(memory, memory_mask)
        elif self.condition == "initial":
            state = self._initial_states(mean)
        else:
            state = self.rnn.get_initial_state(ops.shape(memory)[0])
        if self.condition == "first":
            word = self.memory_as_word(mean)
            _, state = self.rnn.step(word, state, prepared)
        if beam > 1:
            prepared = repeat_rows(prepared, beam)
        step = functools.partial(self.step, prepared=prepared)
        return step, tree.flatten(state)

    def prepare_memory(self, memory, memory_mask=None):
        """What every `step` reads of a memory: a nest of tensors, batch first; None
        where a step reads nothing of it."""
        if self.attends:
            return self.rnn.prepare_memory(memory, memory_mask)
        if self.condition == "every":
            return self.rnn.prepare_memory(self._mean(memory, memory_mask))
        return None

    def step(self, tokens, state, prepared=None):
        """One token, for decoding. No token counts as padding here.

        Args:
            tokens: int `(rows,)`, the token before.
            state: list of `(rows, size)`, from `begin` or from the step before.
            prepared: what `prepare_memory` returned, of as many rows.

        Returns:
            logits `(rows, vocabulary_size)`; the list of new states; with an
            AttentionRNN also its weights `(rows, regions)`.
        """
        words = self.embedding(tokens)
        state = nested_states(self.rnn.state_size, state)
        result, state = self.rnn.step(words, state, prepared)
        parts, attention = self._named(result if self.attends else [result])
        logits = self._vote(words, parts)
        return logits, tree.flatten(state), *list(attention.values())[:1]

    def _named(self, result):
        """What the rnn gave -> [h, a] or [h]; its attention by the names of `call`."""
        if not self.attends:
            return [result[0]], {}
        attention = {"attention": result["weights"]}
        if self.draws:
            attention["chosen"] = result["chosen"]
        return [result["outputs"], result["contexts"]], attention

    def _vote(self, words, parts, training=False):
        """Word, output and context vote on the token that follows: its logits."""
        vote = words
        for layer, part in zip(self.votes, parts, strict=True):
            vote = vote + layer(part)
        vote = self.vote_dropout(self.activation(vote), training=training)
        return self.embedding(vote, reverse=True) if self.tied else self.logits(vote)

    def _mean(self, memory, memory_mask):
        return mean_region(ops.cast(memory, self.compute_dtype), memory_mask)

    def _initial_states(self, mean):
        states = [layer(mean) for layer in self.initial_states]
        return nested_states(self.rnn.state_size, states)

    def _expect_memory(self, memory):
        shape = getattr(memory, "shape", memory)
        if shape is None or len(shape) != 3:
            received = "none" if shape is None else f"shape {tuple(shape)}"
            raise ValueError(
                f"TokenDecoder '{self.name}' expected `memory=`, a tensor of shape "
                f"(batch, regions, features); received {received}. One vector per row "
                "is one region: `vector[:, None]`."
            )

    def compute_output_shape(self, tokens_shape, memory_shape=None):
        batch, time = tokens_shape
        shapes = {"logits": (batch, time, self.vocabulary_size)}
        if self.attends:
            shapes["attention"] = (batch, time, memory_shape[1])
        if self.draws:
            shapes["chosen"] = (batch, time, memory_shape[1])
        return shapes

    def compute_output_spec(
        self, tokens, memory=None, memory_mask=None, training=False
    ):
        self._expect_memory(memory)
        shapes = self.compute_output_shape(tokens.shape, memory.shape)
        dtypes = dict.fromkeys(shapes, self.rnn.compute_dtype)
        dtypes["logits"] = self.logits_dtype
        return {
            name: keras.KerasTensor(shape, dtypes[name])
            for name, shape in shapes.items()
        }

    def compute_mask(self, inputs, previous_mask):
        names = ["logits", "attention", "chosen"][: 1 + self.attends + self.draws]
        return dict.fromkeys(names, ops.not_equal(inputs, 0))

    def get_config(self):
        return {
            **super().get_config(),
            "rnn": _unbuilt(keras.saving.serialize_keras_object(self.rnn)),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "condition": self.condition,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "tied": self.tied,
        }

    @classmethod
    def from_config(cls, config):
        rnn = keras.saving.deserialize_keras_object(config["rnn"])
        return cls(**{**config, "rnn": rnn})


def _unbuilt(config):
    """A config from which Keras builds nothing at once: what it builds before `build`
    of the decoder has weights whose paths lack the decoder's name."""
    if isinstance(config, dict):
        return {k: _unbuilt(v) for k, v in config.items() if k != "build_config"}
    return [_unbuilt(c) for c in config] if isinstance(config, list) else config


def _expect_rnn(rnn):
    if not isinstance(rnn, (Recurrent, Stacked)):
        raise ValueError(
            "TokenDecoder expected `rnn` a recurrent layer of saccade.layers, such as "
            "an AttentionRNN or LSTM(256, return_sequences=True, return_state=True); "
            f"received {rnn!r}. Put a cell into a Recurrent."
        )
    options = ("return_sequences", "return_state", "go_backwards", "stateful")
    expected = (True, True, False, False)
    for option, value in zip(options, expected, strict=True):
        if getattr(rnn, option) is not value:
            raise ValueError(
                f"TokenDecoder expected `rnn` a layer with {option}={value}; received "
                f"{type(rnn).__name__} '{rnn.name}' with {option}={not value}. It "
                "writes forwards, from states that it carries itself."
            )


def _expect_condition(rnn, condition):
    """An error where the cells do not read what the condition gives them."""
    if condition not in CONDITIONS:
        raise ValueError(
            f"TokenDecoder expected `condition` one of {', '.join(CONDITIONS)}; "
            f"received {condition!r}."
        )
    if isinstance(rnn, Stacked):
        cells = [level.cell for level in rnn.levels]
    else:
        cells = [rnn.cell.cell if isinstance(rnn, AttentionRNN) else rnn.cell]
    reads = any(hasattr(cell, "prepare_memory") for cell in cells)
    if reads != (condition == "every"):
        names = ", ".join(type(cell).__name__ for cell in cells)
        raise ValueError(
            'TokenDecoder expected a ConditionedCell with condition="every", and no '
            f"cell that reads a memory with another; received {names} with "
            f"condition={condition!r}."
        )
