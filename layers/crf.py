"""Linear-chain conditional random fields: labels that are chosen together.

A path y_1 ... y_T through K tags has the score

    score(y) = starts[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_(t-1), y_t]
               + ends[y_T]

and the probability exp(score(y)) / Z, where Z is the sum over all K^T paths
(Lafferty et al. 2001, "Conditional random fields"). Everything here takes time
O(T K^2), in one loop over the steps.

    model:     potentials = CRF(tags)(scores, mask=mask)
    training:  model.compile(loss=CRFLoss()); model.fit(x, tags)
    answers:   chain = unpack(model(x)); viterbi(chain), marginals(chain) ...

Masks may have any shape: a step that does not count is as if it were not there, and a
row without steps has one path, the empty one, with score 0.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

# A log-probability of what is not allowed; finite, because -inf - -inf is nan.
_IMPOSSIBLE = -1e9


class Chain(NamedTuple):
    """What the scores of all paths consist of.

    scores: float32 (batch, time, tags). mask: bool (batch, time), where steps count.
    transitions: float32 (tags, tags), from the row's tag to the column's.
    starts, ends: float32 (tags,).
    """

    scores: Any
    mask: Any
    transitions: Any
    starts: Any
    ends: Any


class Allowed(NamedTuple):
    """Which paths an answer may take: bool arrays, see `allowed_by`.

    starts: (tags,). transitions: (tags, tags). ends: (tags,).
    """

    starts: np.ndarray
    transitions: np.ndarray
    ends: np.ndarray


@keras.saving.register_keras_serializable(package="saccade")
class CRF(keras.layers.Layer):
    """The parameters of a linear-chain CRF, put beside the scores of its steps.

    The output holds all that its loss and its answers need, so that it goes through a
    functional model, `fit`, a file and a SavedModel as any tensor does; `unpack` takes
    it apart.

    Args:
        tags: int, K.
        transitions_initializer, starts_initializer, ends_initializer: zeros: as if
            every tag were chosen alone.
        transitions_regularizer: a keras regularizer, or None.

    Weights: `transitions` (tags, tags), `starts` (tags,), `ends` (tags,).

    Call arguments:
        scores: (batch, time, tags), raw scores of the tags at every step.
        mask: bool (batch, time), True where a step counts; None: everywhere.

    Output: float32 in every dtype policy, because a log of a sum over paths needs it:
    (batch, time + tags + 2, tags + 1), which has no mask.
    """

    def __init__(
        self,
        tags,
        transitions_initializer="zeros",
        starts_initializer="zeros",
        ends_initializer="zeros",
        transitions_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(tags, bool) or not isinstance(tags, int) or tags < 1:
            raise ValueError(f"tags: expected an int of at least 1; received {tags!r}.")
        self.tags = tags
        self.transitions_initializer = keras.initializers.get(transitions_initializer)
        self.starts_initializer = keras.initializers.get(starts_initializer)
        self.ends_initializer = keras.initializers.get(ends_initializer)
        self.transitions_regularizer = keras.regularizers.get(transitions_regularizer)
        self.autocast = False  # scores come as they are, and are made float32
        self.supports_masking = True

    def build(self, scores_shape):
        if scores_shape[-1] != self.tags:
            raise ValueError(
                f"scores: expected (batch, time, {self.tags}), a score for each of the "
                f"{self.tags} tags; received the shape {tuple(scores_shape)}."
            )
        self.transitions = self.add_weight(
            shape=(self.tags, self.tags),
            initializer=self.transitions_initializer,
            regularizer=self.transitions_regularizer,
            name="transitions",
        )
        self.starts = self.add_weight(
            shape=(self.tags,), initializer=self.starts_initializer, name="starts"
        )
        self.ends = self.add_weight(
            shape=(self.tags,), initializer=self.ends_initializer, name="ends"
        )

    def call(self, scores, mask=None):
        scores = ops.cast(scores, "float32")
        if mask is None:
            mask = ops.ones_like(scores[..., 0], dtype="bool")
        counts = ops.cast(mask, "float32")[..., None]
        steps = ops.concatenate([scores, counts], axis=-1)
        parameters = (self.transitions, self.starts[None], self.ends[None])
        rows = ops.concatenate([ops.cast(p, "float32") for p in parameters], axis=0)
        # The same for every row of the batch, because outputs of models have a batch.
        rows = ops.pad(rows, [[0, 0], [0, 1]])[None]
        rows = ops.tile(rows, (ops.shape(scores)[0], 1, 1))
        return ops.concatenate([steps, rows], axis=1)

    def compute_mask(self, scores, mask=None):
        return None

    def get_config(self):
        return {
            **super().get_config(),
            "tags": self.tags,
            "transitions_initializer": keras.initializers.serialize(
                self.transitions_initializer
            ),
            "starts_initializer": keras.initializers.serialize(self.starts_initializer),
            "ends_initializer": keras.initializers.serialize(self.ends_initializer),
            "transitions_regularizer": keras.regularizers.serialize(
                self.transitions_regularizer
            ),
        }


def unpack(potentials):
    """What a `CRF` gives, (batch, time + tags + 2, tags + 1) -> `Chain`."""
    tags = potentials.shape[-1] - 1
    steps = ops.shape(potentials)[1] - tags - 2
    scores, counts = potentials[..., :tags], potentials[..., tags]
    # One row's will do; the sum gives zeros, not an error, where there is no row.
    rows = ops.sum(scores[:1, steps:], axis=0)
    mask = counts[:, :steps] > 0.5
    return Chain(scores[:, :steps], mask, rows[:tags], rows[tags], rows[tags + 1])


@keras.saving.register_keras_serializable(package="saccade")
class CRFLoss(keras.losses.Loss):
    """The negative log-likelihood of tags, int (batch, time), under what a `CRF` gave:
    float32 (batch,), in nats, before the reduction. What the tags are where no step
    counts does not matter."""

    def __init__(self, name="crf_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return -log_likelihood(unpack(y_pred), y_true)


# Probabilities


def log_likelihood(chain, tags):
    """log P(tags | scores), float32 (batch,).

    Args:
        chain: a `Chain`. tags: int (batch, time), below K where a step counts.
    """
    return path_score(chain, tags) - log_partition(chain)


def path_score(chain, tags):
    """The score of a path, see the module: float32 (batch,)."""
    steps = _Steps.of(chain)
    return ops.sum(_step_scores(steps, chain.transitions, tags), axis=0)


def log_partition(chain):
    """log Z: float32 (batch,), of a row without steps 0.

    Its gradient is its own: the probabilities of tags and of pairs of tags, by one loop
    forwards and one backwards.
    """
    steps = _Steps.of(chain)

    @ops.custom_gradient
    def total(scores, transitions):
        mine = steps._replace(scores=scores)
        alphas, shifts, log_z = _forward(mine, transitions)

        def gradient(*upstreams, upstream=None):
            upstream = upstreams[0] if upstream is None else upstream
            betas = _backward(mine, transitions)
            by_tag = _tag_probabilities(mine, alphas, betas)
            by_pair = _pair_probabilities(
                mine, transitions, alphas, shifts, betas, upstream
            )
            return by_tag * upstream[:, None], by_pair

        return log_z, gradient

    return total(steps.scores, chain.transitions)


class Sums(NamedTuple):
    """What `forward_backward` finds, see `_forward` and `_backward`: alphas and betas
    (time, batch, tags), shifts (time, batch), log_partition (batch,)."""

    alphas: Any
    shifts: Any
    betas: Any
    log_partition: Any


def forward_backward(chain):
    """The sums over all paths that `marginals` and `span_probabilities` need: `Sums`,
    for who asks both.

    Its log_partition is for answers: it has no gradient of its own, which TensorFlow
    would keep for every SavedModel that is loaded, with the graph around it.
    """
    steps = _Steps.of(chain)
    alphas, shifts, log_z = _forward(steps, chain.transitions)
    return Sums(alphas, shifts, _backward(steps, chain.transitions), log_z)


def marginals(chain, sums=None):
    """P(y_t = k | scores), by forward-backward: float32 (batch, time, tags), zeros
    where no step counts.

    Args:
        chain: a `Chain`. sums: what `forward_backward` gave for it, where it is known.
    """
    alphas, _, betas, _ = sums or forward_backward(chain)
    found = _tag_probabilities(_Steps.of(chain), alphas, betas)
    return ops.transpose(found, (1, 0, 2))


def span_probabilities(chain, tags, firsts, lasts, sums=None):
    """How likely parts of a path are, whatever stands before and behind them (Culotta &
    McCallum 2004, "Confidence estimation for information extraction").

    Args:
        chain: a `Chain`. tags: int (batch, time), the path.
        firsts, lasts: int (batch, spans), the first and the last step of each part;
            both count.
        sums: what `forward_backward` gave for the chain, where it is known.

    Returns:
        float32 (batch, spans): P(y_first = tags_first, ..., y_last = tags_last).
    """
    alphas, shifts, betas, _ = sums or forward_backward(chain)
    chosen = ops.one_hot(ops.transpose(tags), chain.scores.shape[-1])
    so_far = _step_scores(_Steps.of(chain), chain.transitions, tags) - shifts
    so_far = ops.cumsum(so_far, axis=0)
    before = ops.transpose(ops.sum(alphas * chosen, axis=-1) - so_far)  # (batch, time)
    behind = ops.sum(betas * chosen, axis=-1) + so_far
    behind = ops.transpose(behind - ops.logsumexp(alphas + betas, axis=-1))
    logs = ops.take_along_axis(before, firsts, axis=1)
    logs = logs + ops.take_along_axis(behind, lasts, axis=1)
    return ops.exp(ops.minimum(logs, 0.0))


def restricted(chain, allowed):
    """The chain in which what is not allowed costs more than anything else: its best
    paths and its probabilities are those among the allowed paths alone.

    Args:
        chain: a `Chain`. allowed: an `Allowed`.
    """

    def barred(scores, fine):
        return ops.where(ops.convert_to_tensor(fine), scores, scores + _IMPOSSIBLE)

    return chain._replace(
        transitions=barred(chain.transitions, allowed.transitions),
        starts=barred(chain.starts, allowed.starts),
        ends=barred(chain.ends, allowed.ends),
    )


# Answers


def viterbi(chain, allowed=None):
    """The best path.

    Args:
        chain: a `Chain`. allowed: an `Allowed`, or None: every path is.

    Returns:
        tags: int32 (batch, time), 0 where no step counts. score: float32 (batch,).
        Where no path is allowed: -inf, and a path that breaks few rules.
    """
    if allowed is not None:
        chain = restricted(chain, allowed)
    steps = _Steps.of(chain)
    transitions = chain.transitions

    def forward(best, step):
        scores, counts, follows = _Steps.unpacked(step)
        found = ops.max(best[:, :, None] + transitions, axis=1)
        found = ops.where(follows, found, 0.0) + scores
        return ops.where(counts, found, best), best

    # Where the best way to a tag came from is looked up on the way back, along the path
    # alone: a fifth of the time with 40 tags, because the loop finds no places.
    start = ops.zeros_like(ops.sum(steps.scores, axis=0))
    last, before = ops.scan(forward, start, steps.packed())

    def back(tag, step):
        ways = step[:, :-1] + ops.take(ops.transpose(transitions), tag, axis=0)
        origin = ops.cast(ops.argmax(ways, axis=-1), "int32")
        return ops.where(step[:, -1] > 0.5, origin, tag), tag

    follows = ops.cast(steps.follows, "float32")[..., None]
    tag = ops.cast(ops.argmax(last, axis=-1), "int32")
    _, path = ops.scan(
        back, tag, ops.concatenate([before, follows], axis=-1), reverse=True
    )
    score = ops.max(last, axis=-1)
    score = ops.where(ops.any(chain.mask, axis=1), score, 0.0)
    tags = ops.where(chain.mask, ops.transpose(path), 0)
    return tags, ops.where(score > _IMPOSSIBLE / 2, score, -np.inf)


def n_best(chain, n, allowed=None):
    """The n best paths, the best first (Viterbi with lists; Seshadri & Sundberg 1994).

    Args:
        chain: a `Chain`. n: int. allowed: an `Allowed`, or None: every path is.

    Returns:
        tags: int32 (batch, n, time), 0 where no step counts. scores: float32 (batch,
        n), -inf where there are fewer paths; the tags are then of no use, but of the
        first as in `viterbi`.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n: expected an int of at least 1; received {n!r}.")
    if allowed is not None:
        chain = restricted(chain, allowed)
    steps = _Steps.of(chain)
    width = n * chain.scores.shape[-1]
    transitions = ops.repeat(chain.transitions, n, axis=0)  # (width, tags)
    # The n best ways to every tag, side by side; before the first step there is one.
    places = ops.arange(width, dtype="int32")
    one_way = ops.where(places % n == 0, 0.0, _IMPOSSIBLE)
    batch = ops.shape(chain.scores)[0]
    ways = ops.tile(one_way[None], (batch, 1))
    same = ops.tile(places[None], (batch, 1))

    def forward(carry, step):
        ways, _ = carry
        scores, counts, follows = _Steps.unpacked(step)
        found, origins = _best_of(ways[:, :, None] + transitions, n)
        found = ops.where(follows, found, one_way)
        found = found + ops.repeat(scores, n, axis=-1)
        found = ops.where(counts, found, ways)
        carry = found, ops.where(follows, origins, same)
        return carry, carry

    (ways, _), (_, origins) = ops.scan(forward, (ways, same), steps.packed())
    no_step = ops.where(places == 0, 0.0, _IMPOSSIBLE)
    ways = ops.where(ops.any(chain.mask, axis=1)[:, None], ways, no_step)
    scores, last = _best_of(ways[:, :, None], n)  # (batch, n)

    def back(place, origins):
        return ops.take_along_axis(origins, place, axis=1), place

    _, path = ops.scan(back, last, origins, reverse=True)  # (time, batch, n)
    tags = ops.transpose(path // n, (1, 2, 0))
    tags = ops.where(chain.mask[:, None], tags, 0)
    return tags, ops.where(scores > _IMPOSSIBLE / 2, scores, -np.inf)


# Which labels may follow each other in a scheme: those that go on with an entity, those
# that one can go on from, and those that one must go on from.
SCHEMES = {
    "BIO": ("I", "BI", ""),
    "BIOES": ("IE", "BI", "BI"),
    "BMES": ("ME", "BM", "BM"),
}


def allowed_by(labels, scheme):
    """Which paths make sense: `Allowed`.

    Args:
        labels: list of str, "B-NAME", or "B" where there is one kind of thing, or "O".
        scheme: BIO (an entity begins with B, goes on with I), BIOES (its last label is
            E, a single one is S), or BMES (the same with M in the place of I).

    Raises:
        ValueError: the scheme is another, or a label is not of it.
    """
    if scheme not in SCHEMES:
        raise ValueError(
            f"scheme: expected one of {', '.join(SCHEMES)}; received {scheme!r}."
        )
    parts = [label.partition("-")[::2] for label in labels]
    for label, (prefix, kind) in zip(labels, parts, strict=True):
        if prefix not in (*scheme, "O") or (prefix == "O" and kind):
            raise ValueError(
                f"labels: expected O, or {', '.join(scheme.replace('O', ''))} with a "
                f"kind behind it as in B-NAME; received {label!r}."
            )
    going_on, open_behind, unfinished = SCHEMES[scheme]

    def follows(before, label):
        if label[0] in going_on:
            return before[0] in open_behind and before[1] == label[1]
        return before[0] not in unfinished

    return Allowed(
        np.array([prefix not in going_on for prefix, _ in parts]),
        np.array([[follows(a, b) for b in parts] for a in parts]),
        np.array([prefix not in unfinished for prefix, _ in parts]),
    )


# The loops


class _Steps(NamedTuple):
    """What the loops read, step by step.

    scores: (time, batch, tags), with `starts` at a row's first step that counts and
    `ends` at its last, zeros where none counts. counts: bool (time, batch).
    follows: bool (time, batch), whether the step counts and one before it does.
    """

    scores: Any
    counts: Any
    follows: Any

    @classmethod
    def of(cls, chain):
        counts = ops.transpose(chain.mask)
        so_far = ops.cumsum(ops.cast(counts, "int32"), axis=0)
        total = ops.sum(ops.cast(counts, "int32"), axis=0)
        first = ops.logical_and(counts, so_far == 1)[..., None]
        last = ops.logical_and(counts, so_far == total)[..., None]
        scores = ops.transpose(chain.scores, (1, 0, 2))
        scores = ops.where(counts[..., None], scores, 0.0)
        scores = scores + ops.where(first, chain.starts, 0.0)
        scores = scores + ops.where(last, chain.ends, 0.0)
        return cls(scores, counts, ops.logical_and(counts, so_far > 1))

    def packed(self):
        """As one tensor (time, batch, tags + 2): `keras.ops.scan` goes over one only,
        where the number of steps is open."""
        flags = ops.stack([self.counts, self.follows], axis=-1)
        return ops.concatenate([self.scores, ops.cast(flags, "float32")], axis=-1)

    @classmethod
    def unpacked(cls, step):
        """A step of `packed`: scores (batch, tags), counts and follows (batch, 1)."""
        return cls(step[:, :-2], step[:, -2:-1] > 0.5, step[:, -1:] > 0.5)


def _forward(steps, transitions):
    """alpha_t(k), the log of the sum over all paths that are at k at step t, of their
    scores so far: (time, batch, tags), at a step that does not count that of the last
    one that does; less the sum of what is second, shifts (time, batch), which keep its
    highest at 0, because float32 is exact only there; and log Z (batch,)."""
    start = ops.zeros_like(ops.sum(steps.scores, axis=0))

    def run(log_product):
        def step(carry, now):
            alpha, _ = carry
            scores, counts, follows = _Steps.unpacked(now)
            found = ops.where(follows, log_product(alpha), 0.0) + scores
            top = ops.max(found, axis=-1, keepdims=True)
            alpha = ops.where(counts, found - top, alpha)
            carry = alpha, ops.where(counts, top, 0.0)
            return carry, carry  # `keras.ops.scan` gives outputs as the carry is

        return ops.scan(step, (start, start[:, :1]), steps.packed())

    (last, _), (alphas, shifts) = _by_log_product(transitions, run)
    shifts = shifts[..., 0]
    log_z = ops.logsumexp(last, axis=-1) + ops.sum(shifts, axis=0)
    return alphas, shifts, ops.where(ops.any(steps.counts, axis=0), log_z, 0.0)


def _backward(steps, transitions):
    """beta_t(k), the log of the sum over all that may come behind k at step t: (time,
    batch, tags), at a step that does not count that of the next one that does; less
    its highest."""
    start = ops.zeros_like(ops.sum(steps.scores, axis=0))

    def run(log_product):
        def step(beta, now):
            scores, _, follows = _Steps.unpacked(now)
            before = ops.where(follows, log_product(scores + beta), beta)
            return before - ops.max(before, axis=-1, keepdims=True), beta

        return ops.scan(step, start, steps.packed(), reverse=True)

    _, betas = _by_log_product(ops.transpose(transitions), run)
    return betas


# Above this range of the transitions a product of exponentials would lose terms that
# count: below exp(-87) all is 0 in float32, and exp(-17) of a sum is its rounding.
_RANGE = 70.0


def _by_log_product(transitions, run):
    """run(f) with f(x)_j = log sum_i exp(x_i + transitions_ij).

    As a product of matrices of exponentials it takes a sixth of the time with 40 tags,
    on one core, and a sixteenth with 160; it is exact where no two transitions differ
    by more than `_RANGE`, whatever x is.
    """
    highest = ops.max(transitions, axis=0)
    shifted = ops.exp(transitions - highest)

    def quick(x):
        top = ops.max(x, axis=-1, keepdims=True)
        return ops.log(ops.matmul(ops.exp(x - top), shifted)) + top + highest

    def slow(x):
        return ops.logsumexp(x[:, :, None] + transitions, axis=1)

    return ops.cond(_moderate(transitions), lambda: run(quick), lambda: run(slow))


def _moderate(transitions):
    return ops.max(transitions) - ops.min(transitions) <= _RANGE


def _tag_probabilities(steps, alphas, betas):
    """(time, batch, tags), zeros where no step counts."""
    logs = alphas + betas
    logs = logs - ops.logsumexp(logs, axis=-1, keepdims=True)
    return ops.where(steps.counts[..., None], ops.exp(logs), 0.0)


def _pair_probabilities(steps, transitions, alphas, shifts, betas, weights):
    """sum over t and rows of weights P(y_(t-1) = i, y_t = j): (tags, tags)."""
    before = ops.concatenate([ops.zeros_like(alphas[:1]), alphas[:-1]], axis=0)
    totals = ops.logsumexp(alphas + betas, axis=-1) + shifts
    behind = steps.scores + betas - totals[..., None]
    weights = ops.where(steps.follows, weights, 0.0)[..., None]

    def quick():  # one large product, as in `_by_log_product`
        top = ops.max(before, axis=-1, keepdims=True)
        highest = ops.max(transitions)
        # No more than exp(_RANGE), where it counts.
        right = ops.exp(ops.minimum(behind + top + highest, _RANGE))
        sums = ops.einsum("tbi,tbj->ij", ops.exp(before - top), right * weights)
        return sums * ops.exp(transitions - highest)

    def slow():
        tags, count = transitions.shape[-1], ops.shape(before)[0]
        together = ops.concatenate([before, behind, weights], axis=-1)

        # No scan: its empty list of outputs fails under XLA where T is not known.
        def step(t, sums):
            one, next_one, weight = ops.split(together[t], [tags, 2 * tags], axis=-1)
            logs = one[:, :, None] + transitions + next_one[:, None]
            found = ops.exp(ops.minimum(logs, 0.0)) * weight[..., None]
            return t + 1, sums + ops.sum(found, axis=0)

        first = 0, ops.zeros_like(transitions)
        return ops.while_loop(lambda t, sums: t < count, step, first)[1]

    return ops.cond(_moderate(transitions), quick, slow)


def _step_scores(steps, transitions, tags):
    """What each step adds to a path's score: (time, batch). tags: (batch, time)."""
    tags = ops.cast(ops.transpose(tags), "int32")

    def step(tag, now):  # -1 where no step counts
        return ops.where(now < 0, tag, now), tag

    here = ops.where(steps.counts, tags, -1)
    _, before = ops.scan(step, ops.zeros_like(ops.sum(tags, axis=0)), here)
    count = steps.scores.shape[-1]
    # By products and sums, because the gradient of a look-up is slow under XLA.
    chosen = ops.one_hot(tags, count)
    moved = ops.matmul(ops.one_hot(before, count), transitions)
    moved = ops.where(steps.follows[..., None], moved, 0.0)
    found = ops.sum((steps.scores + moved) * chosen, axis=-1)
    return ops.where(steps.counts, found, 0.0)


def _best_of(scores, n):
    """The n best of (batch, ways, tags) for every tag, and which they are: both (batch,
    tags n)."""
    best, places = ops.top_k(ops.transpose(scores, (0, 2, 1)), n)
    width = scores.shape[-1] * n
    return (
        ops.reshape(best, (-1, width)),
        ops.reshape(ops.cast(places, "int32"), (-1, width)),
    )
