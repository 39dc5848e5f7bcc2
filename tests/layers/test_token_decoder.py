"""TokenDecoder against its formula in plain Keras layers, and call against step."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from saccade.layers import (
    LSTM,
    AttentionCell,
    AttentionRNN,
    BahdanauAttention,
    Bidirectional,
    ConditionedCell,
    ElmanCell,
    FullyRecurrentCell,
    GRUCell,
    HardAttention,
    JordanCell,
    LayerNormLSTMCell,
    LSTMCell,
    MinGRU,
    MinGRUCell,
    MinLSTMCell,
    Recurrent,
    Stacked,
    TokenDecoder,
    ZoneoutCell,
    decoding,
)

from .helpers import normal, randomise, reload, reload_export

BATCH, TIME, UNITS, EMBEDDING, VOCABULARY = 3, 4, 5, 4, 7
REGIONS, FEATURES = 6, 3
END, LONGEST = 2, 6
MEMORY = normal(BATCH, REGIONS, FEATURES)
MEMORY_MASK = np.arange(REGIONS) < np.array([[6], [4], [2]])
TOKENS = np.random.default_rng(0).integers(1, VOCABULARY, (BATCH, TIME))
START = np.ones(BATCH, "int32")
ALL = {"return_sequences": True, "return_state": True}

ATTENTIONS = {"none": None, "soft": BahdanauAttention, "hard": HardAttention}
CONDITIONS = ("initial", "first", "every")
CELLS = {
    "elman": lambda: ElmanCell(UNITS),
    "jordan": lambda: JordanCell(UNITS, output_units=3),
    "fully recurrent": lambda: FullyRecurrentCell(UNITS, output_units=[3, 1]),
    "lstm": lambda: LSTMCell(UNITS),
    "peephole": lambda: LSTMCell(UNITS, peephole="previous"),
    "layer norm": lambda: LayerNormLSTMCell(UNITS),
    "gru": lambda: GRUCell(UNITS),
    "min gru": lambda: MinGRUCell(UNITS),
    "min lstm": lambda: MinLSTMCell(UNITS),
    "zoneout": lambda: ZoneoutCell(LSTMCell(UNITS), 0.3),
    "keras": lambda: keras.layers.LSTMCell(UNITS),
    "levels": lambda: layers.StackedRNNCells([LSTMCell(UNITS), GRUCell(3)]),
}
LAYERS = {  # and the conditions under which they can stand
    "lstm": (lambda: LSTM(UNITS, **ALL), ("initial", "first")),
    "start state": (lambda: LSTM(UNITS, trainable_state=True, **ALL), ("first",)),
    "min gru": (lambda: MinGRU(UNITS, **ALL), ("initial", "first")),
    "list": (
        lambda: Recurrent([GRUCell(UNITS), LSTMCell(3)], **ALL),
        ("initial", "first"),
    ),
    "stacked": (
        lambda: Stacked([LSTMCell(UNITS), MinGRUCell(3)], **ALL),
        ("initial", "first"),
    ),
    "stacked, every": (
        lambda: Stacked([GRUCell(UNITS), ConditionedCell(LSTMCell(3))], **ALL),
        ("every",),
    ),
    "no gate": (
        lambda: AttentionRNN(LSTMCell(UNITS), BahdanauAttention(3), gate=False),
        ("initial", "first"),
    ),
    "levels": (
        lambda: AttentionRNN([LSTMCell(UNITS), GRUCell(3)], HardAttention(3)),
        ("initial", "first"),
    ),
    "input feeding": (
        lambda: AttentionRNN(
            [GRUCell(UNITS), LSTMCell(3)], BahdanauAttention(3), input_feeding=True
        ),
        ("initial", "first"),
    ),
}
# Each attention and each condition once, for what takes long.
ONCE = [("none", "every"), ("soft", "first"), ("hard", "initial")]
POLICIES = {  # policy: what rounding may change in the logits
    "float32": 1e-5,
    "float64": 1e-12,
    "mixed_float16": 3e-2,
    "mixed_bfloat16": 2e-1,
}
each_attention = pytest.mark.parametrize("attention", ATTENTIONS)
each_condition = pytest.mark.parametrize("condition", CONDITIONS)


def rnn_of(attention, condition, cell="lstm", **options):
    cell = CELLS[cell]()
    if condition == "every":
        cell = ConditionedCell(cell)
    if attention == "none":
        return Recurrent(cell, **ALL)
    return AttentionRNN(cell, ATTENTIONS[attention](3), **options)


def built(rnn, **options):
    """A decoder with random weights."""
    decoder = TokenDecoder(rnn, VOCABULARY, EMBEDDING, **options)
    decoder(TOKENS[:, :1], memory=MEMORY)
    return randomise(decoder)


def make(attention, condition, cell="lstm", **options):
    return built(rnn_of(attention, condition, cell), condition=condition, **options)


def numbers(tensor):
    return np.array(tf.cast(tensor, "float64"))


def assert_close(ours, theirs, atol=1e-5):
    np.testing.assert_allclose(numbers(ours), numbers(theirs), atol=atol)


@pytest.fixture
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


# The formula


class SideBySide:
    """The same network of plain Keras layers with the same weights, and its steps."""

    def __init__(self, decoder):
        self.rnn, self.condition = decoder.rnn, decoder.condition
        self.attends = isinstance(self.rnn, AttentionRNN)
        copies = {layer.name: self.copied(layer) for layer in decoder.votes}
        self.votes = list(copies.values())
        self.initial = [self.copied(layer) for layer in decoder.initial_states]
        self.logits = self.copied(decoder.logits)
        if self.condition == "first":
            self.as_word = self.copied(decoder.memory_as_word)
        table = decoder.embedding.get_weights()
        self.embed = layers.Embedding(*table[0].shape, mask_zero=True)
        self.embed.build()
        self.embed.set_weights(table)

    def copied(self, dense):
        kernel, bias = dense.get_weights()
        layer = layers.Dense(len(bias), dense.activation, dtype=dense.dtype_policy)
        layer.build((None, len(kernel)))
        layer.set_weights([kernel, bias])
        return layer

    def model(self):
        tokens = keras.Input((None,), dtype="int32")
        memory = keras.Input((REGIONS, FEATURES))
        mean = layers.GlobalAveragePooling1D()(memory)
        words = sequence = self.embed(tokens)
        if self.condition == "first":
            first = layers.Reshape((1, EMBEDDING))(self.as_word(mean))
            sequence = layers.Concatenate(axis=1)([first, words])
        if self.attends:
            read = self.rnn(sequence, memory=memory)
            parts = [read["outputs"], read["contexts"]]
        elif self.condition == "every":
            parts = [self.rnn(sequence, memory=mean)[0]]
        elif self.condition == "first":
            parts = [self.rnn(sequence)[0]]
        else:
            state = [layer(mean) for layer in self.initial]
            parts = [self.rnn(sequence, initial_state=state)[0]]
        if self.condition == "first":
            parts = [part[:, 1:] for part in parts]
        votes = [vote(part) for vote, part in zip(self.votes, parts, strict=True)]
        vote = layers.Activation("tanh")(layers.Add()([words, *votes]))
        return keras.Model([tokens, memory], self.logits(vote))

    def begin(self, memory, beam):
        mean = tf.reduce_mean(memory, axis=1)
        prepared = None
        if self.attends:
            prepared = self.rnn.prepare_memory(memory)
            state = self.rnn.initial_state_from(memory)
        elif self.condition == "initial":
            state = [layer(mean) for layer in self.initial]
        else:
            state = self.rnn.get_initial_state(BATCH)
        if self.condition == "every" and not self.attends:
            prepared = self.rnn.prepare_memory(mean)
        if self.condition == "first":
            _, state = self.rnn.step(self.as_word(mean), state, prepared)
        if prepared is not None:
            prepared = decoding.repeat_rows(prepared, beam)

        def step(tokens, state):
            word = self.embed(tokens)
            read, state = self.rnn.step(word, state, prepared)
            parts = [read["outputs"], read["contexts"]] if self.attends else [read]
            votes = [vote(part) for vote, part in zip(self.votes, parts, strict=True)]
            logits = self.logits(tf.tanh(tf.add_n([word, *votes])))
            return (logits, state, read["weights"]) if self.attends else (logits, state)

        return step, state


def read_out(how, begin):
    """A `Decoded` from what `begin(memory, beam)` gives."""
    beam = 3 if how == "beam" else 1
    step, state = begin(tf.constant(MEMORY), beam=beam)
    common = {"start": START, "end": END, "max_length": LONGEST, "suppress": (0,)}
    if how == "greedy":
        return decoding.greedy(step, state, **common)
    if how == "sample":
        return decoding.sample(step, state, seed=4, temperature=1.5, **common)
    return decoding.beam_search(step, state, beam=beam, n_best=2, **common)


@each_condition
@each_attention
def test_equals_the_formula_in_plain_layers(attention, condition):
    decoder = make(attention, condition)
    plain = SideBySide(decoder)
    tokens = np.where([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], TOKENS, 0)
    logits = decoder(tokens, memory=MEMORY)["logits"]
    assert logits.shape == (BATCH, TIME, VOCABULARY)
    assert_close(logits, plain.model()([tokens, MEMORY]), atol=1e-6)
    for how in ("greedy", "beam", "sample"):
        ours, theirs = read_out(how, decoder.begin), read_out(how, plain.begin)
        np.testing.assert_array_equal(ours.tokens, theirs.tokens)
        assert_close(ours.scores, theirs.scores)
        assert (ours.weights is None) == (theirs.weights is None)
        if ours.weights is not None:
            assert_close(ours.weights, theirs.weights)


# Call and step


def step_by_step(decoder, tokens, memory=MEMORY, memory_mask=None):
    """What the steps give, as `call` names it."""
    step, state = decoder.begin(memory, memory_mask)
    results = []
    for t in range(tokens.shape[1]):
        logits, state, *rest = step(tokens[:, t], state)
        results.append([logits, *rest])
    stacked = [tf.stack(part, axis=1) for part in zip(*results, strict=True)]
    return dict(zip(["logits", "attention"], stacked, strict=False))


def scores_by_call(decoder, tokens, lengths):
    """Log-probabilities of decoded sentences, in which 0 was never chosen."""
    inputs = tf.concat([START[:, None], tokens[:, :-1]], axis=1)
    logits = numbers(decoder(inputs, memory=MEMORY)["logits"])
    logits[..., 0] = -1e9
    log_probs = tf.gather(tf.nn.log_softmax(logits), tokens, batch_dims=2)
    real = tf.sequence_mask(lengths, tokens.shape[1], "float64")
    return tf.reduce_sum(log_probs * real, axis=1)


def assert_steps_equal_the_call(decoder, atol=1e-5):
    """Two steps, under a memory mask; without one the formula above takes more."""
    tokens = TOKENS[:, :2]
    whole = decoder(tokens, memory=MEMORY, memory_mask=MEMORY_MASK)
    stepped = step_by_step(decoder, tokens, MEMORY, MEMORY_MASK)
    chosen = whole.pop("chosen", None)
    assert (chosen is not None) == decoder.draws
    assert whole.keys() == stepped.keys()
    for name, value in whole.items():
        assert value.dtype == stepped[name].dtype
        assert_close(stepped[name], value, atol)
    assert not np.allclose(whole["logits"], whole["logits"][:1])
    return whole["logits"]


@pytest.mark.parametrize("cell", CELLS)
@each_condition
@each_attention
def test_steps_equal_the_call(attention, condition, cell):
    assert_steps_equal_the_call(make(attention, condition, cell))


@pytest.mark.parametrize(
    "name, condition", [(name, c) for name in LAYERS for c in LAYERS[name][1]]
)
def test_steps_of_other_layers_equal_the_call(name, condition):
    decoder = built(LAYERS[name][0](), condition=condition)
    assert_steps_equal_the_call(decoder)
    step, state = decoder.begin(MEMORY, beam=2)
    found = decoding.beam_search(step, state, START, END, 2, beam=2, suppress=(0,))
    expected = scores_by_call(decoder, found.tokens[:, 0], found.lengths[:, 0])
    assert_close(found.log_probs[:, 0], expected)


@pytest.mark.parametrize("policy", POLICIES, indirect=True)
@pytest.mark.parametrize("cell", ["lstm", "levels"])
@each_condition
@each_attention
def test_steps_equal_the_call_under_every_policy(attention, condition, cell, policy):
    decoder = make(attention, condition, cell)
    logits = assert_steps_equal_the_call(decoder, POLICIES[policy])
    assert logits.dtype == ("float64" if policy == "float64" else "float32")


@pytest.mark.parametrize("policy", POLICIES, indirect=True)
@each_attention
def test_the_score_of_a_sentence_is_that_of_its_call(attention, policy):
    decoder = make(attention, "first")
    tolerance = LONGEST * max(POLICIES[policy], 1e-5)
    greedy = read_out("greedy", decoder.begin)
    expected = scores_by_call(decoder, greedy.tokens, greedy.lengths)
    assert_close(greedy.log_probs, expected, tolerance)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
@each_condition
@each_attention
def test_parts_of_other_dtypes(attention, condition, policy):
    """The layer has a policy of its own, the rnn that of everything."""
    decoder = make(attention, condition, dtype=policy)
    assert decoder.compute_dtype != decoder.rnn.compute_dtype
    assert_steps_equal_the_call(decoder, max(POLICIES[policy], 1e-5))
    for how in ("greedy", "beam"):
        assert np.isfinite(read_out(how, decoder.begin).scores).all()


# Masks


@each_condition
@each_attention
def test_padding_changes_nothing_behind_it(attention, condition):
    """Of the rows padded in front and in the middle, too: no state moves."""
    decoder = make(attention, condition)
    real = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0]], bool)
    whole = decoder(np.where(real, TOKENS, 0), memory=MEMORY)
    for row in range(BATCH):
        alone = decoder(TOKENS[row, real[row]][None], memory=MEMORY[row : row + 1])
        for name, value in alone.items():
            assert_close(whole[name][row][real[row]], value[0])
            if name != "logits":
                assert_close(whole[name][row][~real[row]], 0)
    for value in whole.values():
        np.testing.assert_array_equal(value._keras_mask, real)


@each_condition
@each_attention
def test_masked_regions_might_as_well_be_missing(attention, condition):
    decoder = make(attention, condition)
    whole = decoder(TOKENS, memory=MEMORY, memory_mask=MEMORY_MASK)
    for row, count in enumerate(MEMORY_MASK.sum(1)):
        rows = slice(row, row + 1)
        alone = decoder(TOKENS[rows], memory=MEMORY[rows, :count])
        assert_close(whole["logits"][rows], alone["logits"])
        if attention != "none":
            assert_close(whole["attention"][row, :, :count], alone["attention"][0])
            assert_close(whole["attention"][row, :, count:], 0)


def test_keras_carries_the_memory_mask():
    decoder = make("soft", "every")
    tokens, memory = keras.Input((None,)), keras.Input((REGIONS, FEATURES))
    model = keras.Model(
        [tokens, memory], decoder(tokens, memory=layers.Masking()(memory))
    )
    masked = np.where(MEMORY_MASK[..., None], MEMORY, 0)
    expected = decoder(TOKENS, memory=MEMORY, memory_mask=MEMORY_MASK)
    assert_close(model([TOKENS, masked])["logits"], expected["logits"])


# Options


def test_dropout_acts_in_training_only():
    decoder = make("soft", "initial", dropout=0.5)
    plain = make("soft", "initial")
    expected = plain(TOKENS, memory=MEMORY)["logits"]
    np.testing.assert_array_equal(decoder(TOKENS, memory=MEMORY)["logits"], expected)
    trained = [decoder(TOKENS, memory=MEMORY, training=True) for _ in range(2)]
    assert not np.allclose(trained[0]["logits"], trained[1]["logits"])
    assert_steps_equal_the_call(decoder)


@pytest.mark.parametrize("activation", ["linear", keras.activations.relu])
def test_the_activation_is_that_of_the_vote(activation):
    decoder = make("none", "initial", activation=activation)
    h = decoder.rnn(
        decoder.embedding(TOKENS),
        initial_state=[layer(MEMORY.mean(1)) for layer in decoder.initial_states],
    )[0]
    vote = decoder.embedding(TOKENS) + decoder.votes[0](h)
    vote = np.maximum(vote, 0) if activation != "linear" else vote
    logits = decoder(TOKENS, memory=MEMORY)["logits"]
    assert_close(logits, decoder.logits(vote))
    assert_steps_equal_the_call(decoder)


def test_the_penalty_of_the_attention_is_a_loss_of_the_decoder():
    decoder = built(rnn_of("soft", "initial", penalty=0.5))
    weights = decoder(TOKENS, memory=MEMORY)["attention"]
    expected = 0.5 * np.mean(np.sum((1 - np.sum(weights, axis=1)) ** 2, axis=-1))
    np.testing.assert_allclose(decoder.losses, [expected], rtol=1e-5)


# In models


def model_of(decoder):
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    memory = keras.Input((REGIONS, FEATURES), name="memory")
    return keras.Model([tokens, memory], decoder(tokens, memory=memory))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"], indirect=True)
@each_attention
def test_a_model_has_the_shapes_and_dtypes_of_its_numbers(attention, policy):
    model = model_of(make(attention, "first"))
    result = model([TOKENS, MEMORY])
    names = ["attention", "chosen", "logits"]
    expected = {"none": names[2:], "soft": names[::2], "hard": names}[attention]
    assert sorted(model.output) == sorted(result) == expected
    for name, symbol in model.output.items():
        assert symbol.dtype == keras.backend.standardize_dtype(result[name].dtype)
        assert symbol.shape[2:] == result[name].shape[2:]
        assert symbol.shape[:2] == (None, None)


@pytest.mark.parametrize(
    "attention, condition, jit",
    [
        *((*pair, False) for pair in ONCE),
        pytest.param("soft", "first", True, marks=pytest.mark.slow),
    ],
)
def test_training_moves_every_weight(attention, condition, jit):
    model = model_of(make(attention, condition))
    tokens = np.where(np.arange(TIME) < [[4], [2], [3]], TOKENS, 0)
    before = [w.numpy() for w in model.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", {"logits": loss}, jit_compile=jit)
    history = model.fit([tokens, MEMORY], {"logits": TOKENS}, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    learns = {True: [], False: []}
    for old, weight in zip(before, model.trainable_weights, strict=True):
        learns[not np.array_equal(old, weight.numpy())].append(weight.path)
    # A region that was chosen passes no gradient to what it was chosen by.
    rest = [path for path in learns[False] if "hard_attention" not in path]
    assert not rest


# One in the fast tier; the others compile for seconds.
@pytest.mark.parametrize(
    "attention, condition, how",
    [
        ("soft", "first", "beam"),
        *(
            pytest.param(*pair, how, marks=pytest.mark.slow)
            for pair in ONCE
            for how in ("greedy", "beam")
            if (*pair, how) != ("soft", "first", "beam")
        ),
    ],
)
def test_decoding_under_xla(attention, condition, how):
    decoder = make(attention, condition)
    read = tf.function(lambda: read_out(how, decoder.begin), jit_compile=True)
    ours, theirs = read(), read_out(how, decoder.begin)
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    assert_close(ours.scores, theirs.scores)


@pytest.mark.parametrize(
    "attention, condition, cell",
    [*itertools.product(ATTENTIONS, CONDITIONS, ["lstm"]), ("soft", "first", "levels")],
)
def test_comes_back_from_a_file(attention, condition, cell, tmp_path):
    decoder = make(attention, condition, cell, activation="relu", dropout=0.25)
    model = model_of(decoder)
    again = reload(model, tmp_path)
    for name, value in model([TOKENS, MEMORY]).items():
        np.testing.assert_array_equal(again([TOKENS, MEMORY])[name], value)
    theirs = again.get_layer(decoder.name)
    assert json.dumps(theirs.get_config()) == json.dumps(decoder.get_config())
    assert (theirs.dropout, theirs.activation) == (0.25, keras.activations.relu)
    assert [w.path for w in theirs.weights] == [w.path for w in decoder.weights]
    ours = read_out("greedy", decoder.begin)
    np.testing.assert_array_equal(read_out("greedy", theirs.begin).tokens, ours.tokens)


def test_exports(tmp_path):
    model = model_of(make("soft", "first"))
    signature = [
        tf.TensorSpec((None, None), "int32"),
        tf.TensorSpec((None, REGIONS, FEATURES)),
    ]
    served = reload_export(model, tmp_path, signature)
    ours = model([TOKENS, MEMORY])
    theirs = served.serve(tf.constant(TOKENS, "int32"), tf.constant(MEMORY))
    for name, value in ours.items():
        assert_close(theirs[name], value)


def test_no_rows_and_no_steps():
    for attention, condition in itertools.product(ATTENTIONS, CONDITIONS):
        decoder = make(attention, condition)
        none = decoder(TOKENS[:0], memory=MEMORY[:0])["logits"]
        assert none.shape == (0, TIME, VOCABULARY)
        step, state = decoder.begin(MEMORY[:0])
        greedy = decoding.greedy(step, state, START[:0], END, LONGEST)
        assert greedy.tokens.shape == (0, LONGEST)
        none = decoder(TOKENS[:, :0], memory=MEMORY)["logits"]
        assert none.shape == (BATCH, 0, VOCABULARY)


def test_build_is_done_once():
    decoder = make("soft", "first")
    weights = decoder.get_weights()
    decoder.build(TOKENS.shape, MEMORY.shape)
    model_of(decoder)
    assert len(decoder.weights) == len(weights)
    for ours, theirs in zip(decoder.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_names_of_the_weights():
    decoder = built(rnn_of("soft", "first"), condition="first", name="decoder")
    paths = [w.path.split("/")[:2] for w in decoder.weights]
    parts = list(dict.fromkeys(part for owner, part in paths))
    assert {owner for owner, _ in paths} == {"decoder"}
    rnn = decoder.rnn.name
    expected = ["embedding", "memory_as_word", rnn, "vote_0", "vote_1", "logits"]
    assert parts == expected
    paths = [w.path for w in make("none", "initial").weights]
    assert any("initial_state_1/kernel" in path for path in paths)


# Errors


@pytest.mark.parametrize(
    "rnn, message",
    [
        (lambda: LSTMCell(3), "recurrent layer of saccade.layers.*Put a cell into"),
        (lambda: keras.layers.LSTM(3), "recurrent layer of saccade.layers"),
        (lambda: Bidirectional(LSTM(3, **ALL)), "recurrent layer of saccade.layers"),
        (lambda: LSTM(3, return_state=True), "return_sequences=True; received LSTM"),
        (lambda: LSTM(3, return_sequences=True), "return_state=True; received LSTM"),
        (lambda: LSTM(3, go_backwards=True, **ALL), "with go_backwards=False"),
        (lambda: Stacked([GRUCell(3)], stateful=True, **ALL), "with stateful=False"),
        (
            lambda: Recurrent(ConditionedCell(GRUCell(3)), **ALL),
            "received ConditionedCell with condition='initial'",
        ),
        (
            lambda: Stacked([AttentionCell(GRUCell(3), HardAttention(3))], **ALL),
            "received AttentionCell with condition='initial'",
        ),
    ],
)
def test_an_rnn_that_does_not_fit(rnn, message):
    with pytest.raises(ValueError, match=message):
        TokenDecoder(rnn(), VOCABULARY, EMBEDDING)


@each_attention
def test_a_condition_that_does_not_fit(attention):
    with pytest.raises(ValueError, match="received LSTMCell with condition='every'"):
        TokenDecoder(rnn_of(attention, "first"), 7, 4, condition="every")
    with pytest.raises(ValueError, match="initial, first, every; received 'last'"):
        TokenDecoder(rnn_of(attention, "first"), 7, 4, condition="last")


def test_a_memory_that_does_not_fit():
    decoder = TokenDecoder(rnn_of("soft", "first"), 7, 4, "first", name="writer")
    with pytest.raises(ValueError, match="'writer' expected to be built before it"):
        decoder.begin(MEMORY)
    with pytest.raises(ValueError, match="'writer' expected `memory=`.*received none"):
        decoder(TOKENS)
    with pytest.raises(ValueError, match=r"received shape \(3, 3\).*vector\[:, None\]"):
        decoder(TOKENS, memory=MEMORY[:, 0])
    decoder(TOKENS, memory=MEMORY)
    with pytest.raises(ValueError, match="`memory_mask` of shape"):
        decoder(TOKENS, memory=MEMORY, memory_mask=MEMORY_MASK.sum(1))
    with pytest.raises(ValueError, match="`memory_mask` of shape"):
        decoder.begin(MEMORY, MEMORY_MASK.sum(1))
    with pytest.raises(ValueError, match="received shape"):
        decoder.begin(MEMORY[:, 0])
