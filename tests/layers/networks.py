"""A small random network to decode from, twice: in TensorFlow and in NumPy."""

import numpy as np
import tensorflow as tf

VOCABULARY, END, PAD = 4, 3, 9  # PAD is no token, so that padding cannot hide
REGIONS, SIZE = 5, 3


class Network:
    """Logits depend on the whole sentence so far, and on a bias of every row.

    The state is a nest: {"h": (rows, SIZE), "fixed": [bias (rows, VOCABULARY)]}.
    """

    def __init__(self, seed, batch=3, end_bias=0.0, vocabulary=VOCABULARY):
        draw = np.random.default_rng(seed)

        def normal(*shape):
            return draw.standard_normal(shape).astype("float32")

        self.batch = batch
        self.embedding = 2 * normal(vocabulary, SIZE)
        self.recurrent = normal(SIZE, SIZE)
        self.output = 1.5 * normal(SIZE, vocabulary)
        self.scorer = normal(SIZE, REGIONS)
        bias = normal(batch, vocabulary)
        bias[:, END] += end_bias
        self.state = {"h": normal(batch, SIZE), "fixed": [bias]}
        self.start = np.arange(batch, dtype="int32") % END

    def step(self, tokens, state):
        h = tf.gather(tf.constant(self.embedding), tokens)
        h = tf.tanh(tf.matmul(state["h"], self.recurrent) + h)
        logits = tf.matmul(h, self.output) + state["fixed"][0]
        attention_weights = tf.nn.softmax(tf.matmul(h, self.scorer))
        return logits, {"h": h, "fixed": state["fixed"]}, attention_weights

    def step_without_weights(self, tokens, state):
        return self.step(tokens, state)[:2]

    def row(self, index):
        """The state and the start token of one row."""
        bias = self.state["fixed"][0][index]
        return (self.state["h"][index], bias), self.start[index]

    def step_numpy(self, token, state):
        """One row: log-probabilities (VOCABULARY,), state, weights (REGIONS,)."""
        h, bias = state
        h = np.tanh(h @ self.recurrent + self.embedding[token])
        shares = np.exp(h @ self.scorer)
        return log_softmax(h @ self.output + bias), (h, bias), shares / shares.sum()

    def follow(self, index, tokens, suppress=(), min_length=0):
        """Log-probability of a row's sentence, and the attention of each token."""
        state, token = self.row(index)
        total, attention_weights = 0.0, []
        for t, following in enumerate(tokens):
            logits, state, weights = self.step_numpy(token, state)
            logits = allowed(logits, t, suppress, min_length)
            total += logits[following]
            attention_weights.append(weights)
            token = following
        return total, np.array(attention_weights)

    def sentences(self, index, max_length, suppress=(), min_length=0):
        """Every sentence that a row can have, with its log-probability."""
        state, start = self.row(index)
        growing = [((), 0.0, state, start)]
        done = []
        for t in range(max_length):
            longer = []
            for tokens, total, state, token in growing:
                logits, state, _ = self.step_numpy(token, state)
                logits = allowed(logits, t, suppress, min_length)
                for token in np.flatnonzero(np.isfinite(logits)):
                    grown = ((*tokens, int(token)), total + logits[token], state, token)
                    ends = token == END or t + 1 == max_length
                    (done if ends else longer).append(grown)
            growing = longer
        return [(tokens, total) for tokens, total, *_ in done]


def log_softmax(logits):
    logits = np.asarray(logits, "float64")
    logits = logits - logits.max()
    return logits - np.log(np.exp(logits).sum())


def allowed(logits, t, suppress=(), min_length=0):
    """Log-probabilities without what may not be chosen at step t."""
    logits = np.array(logits)
    logits[list(suppress)] = -np.inf
    if t < min_length:
        logits[END] = -np.inf
    return log_softmax(logits)


def without_padding(tokens):
    """A row of decoded tokens without its padding."""
    return tuple(int(t) for t in tokens if t != PAD)
