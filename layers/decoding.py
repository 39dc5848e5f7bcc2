"""How a sentence is read out of a network that predicts one token at a time.

Every function here drives the caller's `step` inside ONE TensorFlow loop that stops
as soon as all rows are done, with stock TensorFlow operations only: it works eagerly,
in a `tf.function`, under XLA and in a SavedModel.

    step(tokens, state) -> logits, state              or
    step(tokens, state) -> logits, state, weights

with tokens int32 (rows,), the tokens chosen last; state any nest of tensors, rows
first; logits (rows, vocabulary), raw scores; weights (rows, L), the attention
weights. What does not change from step to step (a picture's features) is best kept
out of the state, in the closure of `step`: `beam_search` reorders the state's rows.
"""

from typing import Any, NamedTuple

import numpy as np

_IMPOSSIBLE = -1e9  # A log-probability; finite, because -inf - -inf is nan.


class Decoded(NamedTuple):
    """What decoding returns. n_best is there only for `beam_search`.

    tokens: int32 (batch, [n_best,] max_length), up to and including `end`, then pad.
    lengths: int32 (batch, [n_best]), number of tokens, `end` included.
    scores: float32 (batch, [n_best]), what hypotheses are ranked by.
    log_probs: float32 (batch, [n_best]), natural log of the tokens' probability.
    weights: (batch, [n_best,] max_length, L), the attention of each token; zeros
        after the end; None where `step` returns none.
    """

    tokens: Any
    lengths: Any
    scores: Any
    log_probs: Any
    weights: Any


def greedy(step, state, start, end, max_length, min_length=0, suppress=(), pad=0):
    """The likeliest token at every step.

    Args:
        step, state: see the module.
        start: int32 (batch,), the tokens to begin with.
        end: int, the token that ends a sentence.
        max_length: int, tokens at most, `end` included.
        min_length: int, tokens at least before `end`.
        suppress: ints, tokens never chosen (padding, <unk> ...).
        pad: int, fills the rows behind `end`.

    Returns:
        Decoded without n_best; scores equal log_probs.
    """
    import tensorflow as tf

    # Of 64 rows of 200 tokens, XLA does this in 17 microseconds; log_softmax and
    # argmax take it 39.
    def choose(logits, t):
        vocabulary = logits.shape[-1]
        highest = tf.reduce_max(logits, axis=-1, keepdims=True)
        firsts = tf.where(logits == highest, tf.range(vocabulary), vocabulary - 1)
        total = tf.reduce_sum(tf.exp(logits - highest), axis=-1)
        return tf.reduce_min(firsts, axis=-1), -tf.math.log(total)

    return _one_by_one(
        step, state, start, end, max_length, min_length, suppress, pad, choose
    )


def sample(
    step,
    state,
    start,
    end,
    max_length,
    seed,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    min_length=0,
    suppress=(),
    pad=0,
):
    """Draw every token from the network's distribution.

    A row's draws depend on its own seed and nothing else: not on the other rows.

    Args:
        seed: int32 scalar or (batch,). One scalar seeds row i with (seed, i).
        temperature: float scalar or (batch,), > 0; logits are divided by it. Below 1
            the likely tokens become likelier.
        top_k: int, draw among the k likeliest tokens only; 0, or more than there
            are: among all.
        top_p: float scalar or (batch,), draw among the fewest likely tokens whose
            probabilities sum to at least p (Holtzman et al. 2020).
        others: as in `greedy`.

    Returns:
        Decoded without n_best; log_probs are those of the distribution drawn from.
    """
    import tensorflow as tf

    start = tf.convert_to_tensor(start, tf.int32)
    batch = tf.shape(start)[0]
    column = tf.reshape  # (batch,) or scalar -> (batch, 1) or (1, 1)
    temperature = column(tf.cast(temperature, tf.float32), [-1, 1])
    top_p = column(tf.cast(top_p, tf.float32), [-1, 1])
    seed = tf.cast(seed, tf.int32)
    rows = tf.range(batch) if seed.shape.rank == 0 else tf.zeros_like(start)
    seeds = tf.stack([tf.broadcast_to(seed, [batch]), rows], axis=1)  # (batch, 2)

    # One number per row and step, drawn before the loop.
    draws = uniform(max_length, seeds)

    def choose(logits, t):
        log_probs = filter_top_k_top_p(logits, temperature, top_k, top_p)
        tokens = categorical(log_probs, tf.gather(draws, t, axis=1))
        return tokens, tf.gather(log_probs, tokens, batch_dims=1)

    return _one_by_one(
        step, state, start, end, max_length, min_length, suppress, pad, choose
    )


def filter_top_k_top_p(logits, temperature=1.0, top_k=0, top_p=1.0):
    """Log-probabilities of the distribution that `sample` draws from.

    Args:
        logits: float32 (rows, vocabulary).
        temperature: float > 0, or (rows, 1). top_k: int; 0, or more than there are:
            all.
        top_p: float, or (rows, 1).

    Returns:
        float32 (rows, vocabulary); what may not be drawn has -1e9.
    """
    import tensorflow as tf

    log_probs = tf.nn.log_softmax(logits)
    # What is impossible stays so, however high the temperature.
    possible = log_probs > _IMPOSSIBLE / 2
    log_probs = tf.where(possible, log_probs / temperature, _IMPOSSIBLE)
    log_probs = tf.nn.log_softmax(log_probs)
    if top_k:
        most = min(top_k, log_probs.shape[-1])
        least = tf.math.top_k(log_probs, most).values[:, -1:]
        log_probs = tf.where(log_probs < least, _IMPOSSIBLE, log_probs)
    if isinstance(top_p, float) and top_p >= 1.0:  # All of them: nothing to sort.
        return tf.nn.log_softmax(log_probs) if top_k else log_probs
    ordered = tf.sort(log_probs, direction="DESCENDING")
    probabilities = tf.nn.softmax(ordered)
    before = tf.cumsum(probabilities, axis=-1, exclusive=True)
    kept = tf.reduce_sum(tf.cast(before < top_p, tf.int32), -1, keepdims=True)
    least = tf.gather(ordered, tf.maximum(kept, 1) - 1, axis=-1, batch_dims=1)
    return tf.nn.log_softmax(tf.where(log_probs < least, _IMPOSSIBLE, log_probs))


def categorical(log_probs, draws):
    """The tokens at which the cumulated probability passes a number in [0, 1).

    Args:
        log_probs: (rows, vocabulary). draws: (rows,), see `uniform`.
    """
    import tensorflow as tf

    cumulated = tf.cumsum(tf.exp(log_probs), axis=-1)
    reached = tf.cast(cumulated > draws[:, None] * cumulated[:, -1:], tf.int32)
    return tf.argmax(reached, axis=-1, output_type=tf.int32)


def uniform(count, seeds):
    """Numbers in [0, 1), float32 (rows, count): a function of each row's seed.

    They are the same under XLA and without: TensorFlow makes floats from other bits of
    a random integer than XLA does, and picks another generator; so both are fixed here.

    Args:
        count: int. seeds: int32 (rows, 2).
    """
    import tensorflow as tf

    def of_row(seed):
        bits = tf.random.stateless_uniform(
            [count], seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
        )
        bits = tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32))  # 23 are left
        return tf.cast(bits, tf.float32) * 2.0**-23

    # One row more than there are, because XLA cannot map over none.
    seeds = tf.concat([seeds, [[0, 0]]], axis=0)
    spec = tf.TensorSpec([count], tf.float32)
    return tf.map_fn(of_row, seeds, fn_output_signature=spec)[:-1]


def beam_search(
    step,
    state,
    start,
    end,
    max_length,
    beam=5,
    n_best=1,
    length_penalty=0.0,
    min_length=0,
    suppress=(),
    pad=0,
    coverage_penalty=0.0,
    beams=None,
    max_lengths=None,
):
    """The likeliest sentence, searched for with `beam` hypotheses side by side.

    A finished hypothesis is frozen: it keeps its place and its score, and competes
    with those that still grow. The search ends when all are finished. Hypotheses are
    ranked as Wu et al. 2016 do it (section 7), with alpha the length penalty, beta the
    coverage penalty, and w_tl the attention weight of region l before token t:

        log p / ((5 + length) / 6) ** alpha + beta * sum_l log(min(sum_t w_tl, 1))

    With both 0 the log-probability alone ranks. A region that nothing looks at, as
    padding, has no part in the sum.

    Args:
        step, state: see the module; `step` is called with batch * beam rows (a
            row's hypotheses side by side), `state` is given with batch rows. What
            `step` closes over needs batch * beam rows: see `repeat_rows`.
        beam: int, hypotheses per row.
        n_best: int, how many of them are returned, the best first.
        length_penalty, coverage_penalty: float, or (batch,). The second needs a `step`
            that returns weights.
        beams: int32 (batch,), how many hypotheses each row uses, 1 to `beam`; None:
            all. The others' log-probability is about -1e9.
        max_lengths: int32 (batch,), tokens at most of each row, `max_length` at most.
        others: as in `greedy`.

    Returns:
        Decoded with n_best; weights are followed along each hypothesis.
    """
    import tensorflow as tf

    if not 1 <= n_best <= beam:
        raise ValueError(
            f"beam_search expected 1 <= n_best <= beam; received n_best={n_best}, "
            f"beam={beam}."
        )
    start = tf.convert_to_tensor(start, tf.int32)
    batch = tf.shape(start)[0]
    state = repeat_rows(state, beam)
    tokens = tf.repeat(start[:, None], beam, axis=1)  # (batch, beam)
    vocabulary, attention_weights = _probe(step, tf.reshape(tokens, [-1]), state)
    blocked = _blocked_until(end, min_length, suppress, vocabulary)
    first_row = (tf.range(batch) * beam)[:, None]  # (batch, 1)
    # A finished hypothesis goes on in one way only, for free.
    kept = min(beam, vocabulary)
    frozen = tf.where(tf.range(kept) == 0, 0.0, _IMPOSSIBLE)

    length_penalty, coverage_penalty = map(_per_row, (length_penalty, coverage_penalty))
    covers = coverage_penalty is not None
    if covers and attention_weights is None:
        raise ValueError(
            "beam_search expected a `step` that returns attention weights, because "
            "coverage_penalty is not 0; received one that returns none."
        )

    if beams is not None:
        idle = tf.range(beam) >= tf.cast(beams, tf.int32)[:, None]

    def terms(lengths, coverage):
        """By what a log-probability is divided, and what is added; (batch, beam)."""
        divisor = tf.ones([1, 1])
        if length_penalty is not None:
            divisor = ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** length_penalty
        added = tf.zeros([1, 1])
        if covers:
            seen = tf.math.log(tf.clip_by_value(coverage, 1e-30, 1.0))
            seen = tf.where(coverage > 0, seen, 0.0)
            added = coverage_penalty * tf.reduce_sum(seen, axis=-1)
        return divisor, added

    def grow(t, tokens, state, log_probs, lengths, finished, coverage, history):
        old = (tokens, state, log_probs, lengths, finished, coverage)
        logits, stepped, *weights = step(tf.reshape(tokens, [-1]), state)
        logits = blocked(tf.cast(logits, tf.float32), t)
        # Of a hypothesis no more than so many can be among the best of its row, and
        # the penalties are the same for all its tokens: the others are left here.
        new, choices = tf.math.top_k(logits, kept)
        new -= tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        new = tf.reshape(new, [batch, beam, kept])
        choices = tf.reshape(choices, [batch, beam, kept])
        totals = log_probs[:, :, None] + tf.where(finished[:, :, None], frozen, new)
        choices = tf.where(finished[:, :, None], end, choices)
        lengths += tf.cast(~finished, tf.int32)
        if covers:
            new = tf.reshape(tf.cast(weights[0], tf.float32), tf.shape(coverage))
            coverage += tf.where(finished[:, :, None], 0.0, new)
        ranks = totals
        if length_penalty is not None or covers:
            divisor, added = terms(lengths, coverage)
            ranks = totals / divisor[:, :, None] + added[:, :, None]
        _, best = tf.math.top_k(tf.reshape(ranks, [batch, beam * kept]), beam)
        parents = best // kept  # (batch, beam)
        tokens, log_probs = (
            tf.gather(tf.reshape(x, [batch, beam * kept]), best, batch_dims=1)
            for x in (choices, totals)
        )
        rows = first_row + parents

        def follow(x):  # (batch, beam) in the order of the parents
            return tf.gather(tf.reshape(x, [-1]), rows)

        stepped = tf.nest.map_structure(
            lambda x: tf.gather(x, tf.reshape(rows, [-1])), stepped
        )
        record = {"tokens": tokens, "parents": parents}
        if weights:
            record["weights"] = tf.cast(weights[0], tf.float32)
        history = {k: history[k].write(t, v) for k, v in record.items()}
        finished = follow(finished) | (tokens == end)
        if max_lengths is not None:
            finished |= (t + 1 >= tf.cast(max_lengths, tf.int32))[:, None]
        if beams is not None:
            finished |= idle
            log_probs = tf.where(idle, _IMPOSSIBLE, log_probs)
        if covers:
            coverage = tf.gather(coverage, parents, batch_dims=1)
        new = (tokens, stepped, log_probs, follow(lengths), finished, coverage)
        return t + 1, *_shaped_like(new, old), history

    only_first = tf.where(tf.range(beam) == 0, 0.0, _IMPOSSIBLE)
    rows = start.shape[0]
    shapes = {"tokens": [rows, beam], "parents": [rows, beam]}
    if attention_weights is not None:
        shapes["weights"] = [rows and rows * beam, attention_weights.shape[-1]]
    regions = tf.shape(attention_weights)[-1] if covers else 0
    t, _, _, log_probs, lengths, _, coverage, history = tf.while_loop(
        lambda t, tokens, state, log_probs, lengths, finished, coverage, history: (
            (t == 0) | ~tf.reduce_all(finished)
        ),
        grow,
        (
            tf.constant(0),
            tokens,
            state,
            tf.repeat(only_first[None], batch, axis=0),
            tf.zeros([batch, beam], tf.int32),
            tf.zeros([batch, beam], tf.bool),
            tf.zeros([batch, beam, regions]),
            _new_history(max_length, shapes),
        ),
        maximum_iterations=max_length,
    )
    divisor, added = terms(lengths, coverage)
    scores = (log_probs / divisor + added)[:, :n_best]
    after, before = _trace_back(history["parents"], t, max_length, n_best)
    tokens = tf.gather(history["tokens"].stack(), after, batch_dims=2)
    tokens = tf.transpose(tokens, [1, 2, 0])  # (batch, n_best, max_length)
    lengths = lengths[:, :n_best]
    real = tf.sequence_mask(lengths, max_length)
    weights = None
    if attention_weights is not None:
        weights = history["weights"].stack()
        shape = [max_length, batch, beam, weights.shape[-1] or tf.shape(weights)[-1]]
        weights = tf.reshape(weights, shape)
        weights = tf.gather(weights, before, batch_dims=2)
        weights = tf.transpose(weights, [1, 2, 0, 3])
        weights = tf.where(real[..., None], weights, 0.0)
    return Decoded(
        tf.where(real, tokens, pad),
        lengths,
        scores,
        log_probs[:, :n_best],
        weights,
    )


def repeat_rows(nest, beam):
    """Every row of every tensor `beam` times, side by side: the rows of a beam. None
    stays None."""
    import tensorflow as tf

    return tf.nest.map_structure(
        lambda x: None if x is None else tf.repeat(x, beam, axis=0), nest
    )


def _one_by_one(step, state, start, end, max_length, min_length, suppress, pad, choose):
    """The loop of `greedy` and `sample`: one hypothesis per row.

    choose(logits, t) -> tokens (batch,), their log-probabilities (batch,).
    """
    import tensorflow as tf

    start = tf.convert_to_tensor(start, tf.int32)
    vocabulary, attention_weights = _probe(step, start, state)
    blocked = _blocked_until(end, min_length, suppress, vocabulary)

    # A finished row goes on with the others; its tokens from then on are cut off below.
    def grow(t, tokens, state, finished, history):
        old = (tokens, state, finished)
        logits, state, *weights = step(tokens, state)
        tokens, log_prob = choose(blocked(tf.cast(logits, tf.float32), t), t)
        record = {"tokens": tokens, "log_probs": log_prob}
        if weights:
            record["weights"] = tf.cast(weights[0], tf.float32)
        history = {k: history[k].write(t, v) for k, v in record.items()}
        new = (tokens, state, finished | (tokens == end))
        return t + 1, *_shaped_like(new, old), history

    rows = start.shape[0]
    shapes = {"tokens": [rows], "log_probs": [rows]}
    if attention_weights is not None:
        shapes["weights"] = [rows, attention_weights.shape[-1]]
    _, _, _, _, history = tf.while_loop(
        lambda t, tokens, state, finished, history: (t == 0) | ~tf.reduce_all(finished),
        grow,
        (
            tf.constant(0),
            start,
            state,
            tf.zeros_like(start, tf.bool),
            _new_history(max_length, shapes),
        ),
        maximum_iterations=max_length,
    )
    tokens = tf.transpose(history["tokens"].stack())  # (batch, max_length)
    unfinished = tf.cumsum(tf.cast(tokens == end, tf.int32), 1, exclusive=True) == 0
    lengths = tf.reduce_sum(tf.cast(unfinished, tf.int32), axis=1)
    log_probs = tf.transpose(history["log_probs"].stack())
    total = tf.reduce_sum(tf.where(unfinished, log_probs, 0.0), axis=1)
    weights = None
    if attention_weights is not None:
        weights = tf.transpose(history["weights"].stack(), [1, 0, 2])
        weights = tf.where(unfinished[:, :, None], weights, 0.0)
    return Decoded(tf.where(unfinished, tokens, pad), lengths, total, total, weights)


def _per_row(penalty):
    """A penalty as (batch, 1) or (1, 1); None where it is a 0 of Python's."""
    import tensorflow as tf

    if isinstance(penalty, (int, float)) and not penalty:
        return None
    return tf.reshape(tf.cast(penalty, tf.float32), [-1, 1])


def _probe(step, tokens, state):
    """Size of the vocabulary, and the attention weights of a step or None.

    `step` is called once to learn them; in a graph that call costs nothing, because
    nobody reads its numbers.
    """
    logits, _, *weights = step(tokens, state)
    return logits.shape[-1], weights[0] if weights else None


def _blocked_until(end, min_length, suppress, vocabulary):
    """A function that takes from the logits what may not be chosen at step t."""
    import tensorflow as tf

    never = np.zeros(vocabulary, np.float32)
    never[list(suppress)] = _IMPOSSIBLE
    early = never.copy()
    early[end] = _IMPOSSIBLE

    def blocked(logits, t):
        if min_length:
            return logits + tf.where(t < min_length, early, never)
        return logits + never if suppress else logits

    return blocked


def _new_history(max_length, shapes):
    """Empty TensorArrays for what every step records; unwritten steps read as 0."""
    import tensorflow as tf

    dtypes = {"tokens": tf.int32, "parents": tf.int32}
    return {
        name: tf.TensorArray(
            dtypes.get(name, tf.float32), size=max_length, element_shape=shape
        )
        for name, shape in shapes.items()
    }


def _shaped_like(new, old):
    """The new values, with the static shapes of the old: a loop wants them equal."""
    import tensorflow as tf

    def shaped(n, o):
        old_shape, new_shape = tf.TensorShape(o.shape), tf.TensorShape(n.shape)
        if new_shape.rank is not None and list(new_shape) == list(old_shape):
            return n  # Equal as it is, and one operation less in every step.
        return tf.ensure_shape(n, old_shape)

    return tf.nest.map_structure(shaped, new, old)


def _trace_back(parents, t, max_length, n_best):
    """Which of the beam's places the best hypotheses had, from last step to first.

    Args:
        parents: TensorArray of int32 (batch, beam), written at steps 0 to t - 1.

    Returns:
        int32 (max_length, batch, n_best) twice: the place after each step, where its
        token stands, and the place before it, whose weights they are. 0 behind t.
    """
    import tensorflow as tf

    parents = parents.stack()  # (max_length, batch, beam)
    last = tf.repeat(tf.range(n_best)[None], tf.shape(parents)[1], axis=0)

    def back(i, place, after, before):
        after = after.write(i, place)
        place = tf.gather(parents[i], place, batch_dims=1)
        return i - 1, place, after, before.write(i, place)

    chains = [
        tf.TensorArray(tf.int32, max_length, element_shape=last.shape) for _ in "ab"
    ]
    _, _, after, before = tf.while_loop(
        lambda i, *_: i >= 0, back, (t - 1, last, *chains)
    )
    return after.stack(), before.stack()
