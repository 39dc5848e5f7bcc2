"""How a sentence is read out of a network that predicts one token at a time.

Every function here drives the caller's `step` inside ONE TensorFlow loop that stops
as soon as all rows are done, with stock TensorFlow operations only: it works eagerly,
in a `tf.function`, under XLA and in a SavedModel.

    step(tokens, state) -> logits, state              or
    step(tokens, state) -> logits, state, weights

with tokens int32 (rows,), the tokens chosen last; state any nest of tensors, rows
first; logits (rows, vocabulary), raw scores; weights (rows, L), where the network
looked. What does not change from step to step (a picture's features) is best kept
out of the state, in the closure of `step`: `beam_search` reorders the state's rows.
"""

import functools
from typing import Any, NamedTuple

_IMPOSSIBLE = -1e9  # A log-probability; finite, because -inf - -inf is nan.


class Decoded(NamedTuple):
    """What decoding returns. n_best is there only for `beam_search`.

    tokens: int32 (batch, [n_best,] max_length), up to and including `end`, then pad.
    lengths: int32 (batch, [n_best]), number of tokens, `end` included.
    scores: float32 (batch, [n_best]), what hypotheses are ranked by.
    log_probs: float32 (batch, [n_best]), natural log of the tokens' probability.
    weights: (batch, [n_best,] max_length, L), where it looked for each token; zeros
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

    def choose(log_probs, t):
        return tf.argmax(log_probs, axis=-1, output_type=tf.int32)

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
        top_k: int, draw among the k likeliest tokens only; 0: among all.
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

    # One number per row and step, drawn before the loop; one row more than there
    # are, because XLA cannot map over none.
    seeds = tf.concat([seeds, [[0, 0]]], axis=0)
    draws = tf.map_fn(
        lambda s: _uniform(max_length, s),
        seeds,
        fn_output_signature=tf.TensorSpec([max_length], tf.float32),
    )

    def narrow(log_probs):
        # What is impossible stays so, however high the temperature.
        possible = log_probs > _IMPOSSIBLE / 2
        log_probs = tf.where(possible, log_probs / temperature, _IMPOSSIBLE)
        log_probs = tf.nn.log_softmax(log_probs)
        if top_k:
            least = tf.math.top_k(log_probs, top_k).values[:, -1:]
            log_probs = tf.where(log_probs < least, _IMPOSSIBLE, log_probs)
        ordered = tf.sort(log_probs, direction="DESCENDING")
        probabilities = tf.nn.softmax(ordered)
        before = tf.cumsum(probabilities, axis=-1, exclusive=True)
        kept = tf.reduce_sum(tf.cast(before < top_p, tf.int32), -1, keepdims=True)
        least = tf.gather(ordered, tf.maximum(kept, 1) - 1, axis=-1, batch_dims=1)
        return tf.nn.log_softmax(tf.where(log_probs < least, _IMPOSSIBLE, log_probs))

    def choose(log_probs, t):
        cumulated = tf.cumsum(tf.exp(log_probs), axis=-1)
        drawn = tf.gather(draws, t, axis=1)[:batch, None] * cumulated[:, -1:]
        reached = tf.cast(cumulated > drawn, tf.int32)
        return tf.argmax(reached, axis=-1, output_type=tf.int32)

    return _one_by_one(
        step, state, start, end, max_length, min_length, suppress, pad, choose, narrow
    )


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
):
    """The likeliest sentence, searched for with `beam` hypotheses side by side.

    A finished hypothesis is frozen: it keeps its place and its score, and competes
    with those that still grow. The search ends when all are finished. Hypotheses are
    ranked by log p / ((5 + length) / 6) ** length_penalty (Wu et al. 2016); 0 ranks
    by the log-probability alone.

    Args:
        step, state: see the module; `step` is called with batch * beam rows (a
            row's hypotheses side by side), `state` is given with batch rows. What
            `step` closes over needs batch * beam rows: see `repeat_rows`.
        beam: int, hypotheses per row.
        n_best: int, how many of them are returned, the best first.
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
    blocked = _blocked_until(end, min_length, suppress)
    first_row = (tf.range(batch) * beam)[:, None]  # (batch, 1)

    def rank(log_probs, lengths):
        penalty = ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** length_penalty
        return log_probs / penalty

    def grow(t, tokens, state, log_probs, lengths, finished, history):
        old = (tokens, state, log_probs, lengths, finished)
        logits, stepped, *weights = step(tf.reshape(tokens, [-1]), state)
        vocabulary = tf.shape(logits)[-1]
        new = tf.nn.log_softmax(blocked(tf.cast(logits, tf.float32), t))
        new = tf.reshape(new, [batch, beam, vocabulary])
        # A finished hypothesis goes on in one way only, for free.
        frozen = tf.where(tf.range(vocabulary) == end, 0.0, _IMPOSSIBLE)
        new = tf.where(finished[:, :, None], frozen, new)

        totals = log_probs[:, :, None] + new  # (batch, beam, vocabulary)
        grown = lengths + tf.cast(~finished, tf.int32)
        ranks = rank(totals, grown[:, :, None])
        _, best = tf.math.top_k(tf.reshape(ranks, [batch, -1]), beam)
        parents, tokens = best // vocabulary, best % vocabulary  # (batch, beam)

        def follow(x):  # (batch, beam, ...) in the order of the parents
            return tf.gather(x, parents, batch_dims=1)

        log_probs = tf.gather(
            tf.reshape(totals, [batch, -1]), best, batch_dims=1, axis=1
        )
        was_finished, lengths = follow(finished), follow(grown)
        rows = tf.reshape(first_row + parents, [-1])
        stepped = tf.nest.map_structure(lambda x: tf.gather(x, rows), stepped)
        record = {"tokens": tf.where(was_finished, pad, tokens), "parents": parents}
        if weights:
            looked = tf.gather(tf.cast(weights[0], tf.float32), rows)
            looked = tf.reshape(looked, [batch, beam, tf.shape(looked)[-1]])
            record["weights"] = tf.where(was_finished[:, :, None], 0.0, looked)
        history = {k: history[k].write(t, v) for k, v in record.items()}
        finished = was_finished | (tokens == end)
        new = (tokens, stepped, log_probs, lengths, finished)
        return t + 1, *_shaped_like(new, old), history

    only_first = tf.where(tf.range(beam) == 0, 0.0, _IMPOSSIBLE)
    state = repeat_rows(state, beam)
    tokens = tf.repeat(start[:, None], beam, axis=1)
    history = _new_history(
        step,
        tf.reshape(tokens, [-1]),
        state,
        max_length,
        record_shape=[tokens.shape[0], beam],
        parents=tf.int32,
    )
    t, _, _, log_probs, lengths, _, history = tf.while_loop(
        lambda t, tokens, state, log_probs, lengths, finished, history: (
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
            history,
        ),
        maximum_iterations=max_length,
    )
    tokens, weights = _trace_back(history, t, batch, beam, max_length, pad)
    return Decoded(
        tokens[:, :n_best],
        lengths[:, :n_best],
        rank(log_probs, lengths)[:, :n_best],
        log_probs[:, :n_best],
        None if weights is None else weights[:, :n_best],
    )


def repeat_rows(nest, beam):
    """Every row of every tensor `beam` times, side by side: the rows of a beam."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda x: tf.repeat(x, beam, axis=0), nest)


def _one_by_one(
    step,
    state,
    start,
    end,
    max_length,
    min_length,
    suppress,
    pad,
    choose,
    narrow=None,
):
    """The loop of `greedy` and `sample`: one hypothesis per row."""
    import tensorflow as tf

    start = tf.convert_to_tensor(start, tf.int32)
    batch = tf.shape(start)[0]
    blocked = _blocked_until(end, min_length, suppress)

    def grow(t, tokens, state, total, lengths, finished, history):
        old = (tokens, state, total, lengths, finished)
        logits, stepped, *weights = step(tokens, state)
        log_probs = tf.nn.log_softmax(blocked(tf.cast(logits, tf.float32), t))
        if narrow is not None:
            log_probs = narrow(log_probs)
        tokens = choose(log_probs, t)
        chance = tf.gather(log_probs, tokens, batch_dims=1)
        record = {"tokens": tf.where(finished, pad, tokens)}
        if weights:
            looked = tf.cast(weights[0], tf.float32)
            record["weights"] = tf.where(finished[:, None], 0.0, looked)
        history = {k: history[k].write(t, v) for k, v in record.items()}
        total += tf.where(finished, 0.0, chance)
        lengths += tf.cast(~finished, tf.int32)
        finished |= tokens == end
        new = (tokens, stepped, total, lengths, finished)
        return t + 1, *_shaped_like(new, old), history

    history = _new_history(step, start, state, max_length, [start.shape[0]])
    t, _, _, total, lengths, _, history = tf.while_loop(
        lambda t, tokens, state, total, lengths, finished, history: (
            (t == 0) | ~tf.reduce_all(finished)
        ),
        grow,
        (
            tf.constant(0),
            start,
            state,
            tf.zeros([batch]),
            tf.zeros([batch], tf.int32),
            tf.zeros([batch], tf.bool),
            history,
        ),
        maximum_iterations=max_length,
    )
    tokens = _fill(history["tokens"], t, max_length, tf.fill([batch], pad))
    tokens = tf.transpose(tokens)  # (batch, max_length)
    weights = None
    if "weights" in history:
        nothing = tf.zeros_like(history["weights"].read(0))
        weights = _fill(history["weights"], t, max_length, nothing)
        weights = tf.transpose(weights, [1, 0, 2])  # (batch, max_length, L)
    return Decoded(tokens, lengths, total, total, weights)


def _uniform(count, seed):
    """Numbers in [0, 1), the same ones under XLA and without.

    TensorFlow makes floats from other bits of a random integer than XLA does, and
    picks another generator; so both are fixed here.
    """
    import tensorflow as tf

    bits = tf.random.stateless_uniform(
        [count], seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    bits = tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32))  # 23 are left
    return tf.cast(bits, tf.float32) * 2.0**-23


def _blocked_until(end, min_length, suppress):
    """A function that takes from the logits what may not be chosen at step t."""
    import tensorflow as tf

    def blocked(logits, t):
        vocabulary = tf.range(tf.shape(logits)[-1])
        for token in suppress:
            logits = tf.where(vocabulary == token, _IMPOSSIBLE, logits)
        if min_length:
            too_early = (vocabulary == end) & (t < min_length)
            logits = tf.where(too_early, _IMPOSSIBLE, logits)
        return logits

    return blocked


def _new_history(step, tokens, state, max_length, record_shape, **more):
    """Empty TensorArrays for what every step records.

    `step` is called once here to learn whether it returns weights; in a graph that
    call costs nothing, because nobody reads its result.
    """
    import tensorflow as tf

    # An eager array forgets what was read, unless told not to.
    array = functools.partial(tf.TensorArray, size=max_length, clear_after_read=False)
    history = {
        "tokens": array(tf.int32, element_shape=record_shape),
        **{name: array(t, element_shape=record_shape) for name, t in more.items()},
    }
    _, _, *weights = step(tokens, state)
    if weights:
        shape = [*record_shape, weights[0].shape[-1]]
        history["weights"] = array(tf.float32, element_shape=shape)
    return history


def _shaped_like(new, old):
    """The new values, with the static shapes of the old: a loop wants them equal."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda n, o: tf.ensure_shape(n, o.shape), new, old)


def _fill(array, t, max_length, row):
    """Write `row` where the loop stopped early: a full array stacks to a fixed T."""
    import tensorflow as tf

    _, array = tf.while_loop(
        lambda i, _: i < max_length,
        lambda i, array: (i + 1, array.write(i, row)),
        (t, array),
    )
    return array.stack()


def _trace_back(history, t, batch, beam, max_length, pad):
    """Follow the parents from the last step to the first.

    Returns tokens (batch, beam, max_length), weights (batch, beam, max_length, L) or
    None, both in the order of the last step's hypotheses.
    """
    import tensorflow as tf

    own = tf.repeat(tf.range(beam)[None], batch, axis=0)  # (batch, beam)
    parents = _fill(history["parents"], t, max_length, own)

    def back(i, positions, chain):
        chain = chain.write(i, positions)
        return i - 1, tf.gather(parents[i], positions, batch_dims=1), chain

    chain = tf.TensorArray(tf.int32, max_length, element_shape=[None, beam])
    _, _, chain = tf.while_loop(
        lambda i, positions, chain: i >= 0, back, (max_length - 1, own, chain)
    )
    chain = chain.stack()  # (max_length, batch, beam): where each hypothesis was

    def follow(name, filling):
        row = tf.fill(tf.shape(history[name].read(0)), filling)
        steps = _fill(history[name], t, max_length, row)
        return tf.gather(steps, chain, batch_dims=2)

    tokens = tf.transpose(follow("tokens", pad), [1, 2, 0])
    if "weights" not in history:
        return tokens, None
    return tokens, tf.transpose(follow("weights", 0.0), [1, 2, 0, 3])
