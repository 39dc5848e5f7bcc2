import collections
import math

import numpy as np
import pytest

from saccade.apps.core.errors import UserError

from .benchmark import load_benchmark

ngram = load_benchmark("ngram")
SMOOTHINGS, NGram, discounts = ngram.SMOOTHINGS, ngram.NGram, ngram.discounts


def text(length=400, size=5):
    """Tokens that lean on their predecessor."""
    draw = np.random.default_rng(0)
    ids = [0]
    for _ in range(length - 1):
        near = draw.random() < 0.7
        ids.append((ids[-1] + 1) % size if near else int(draw.integers(size)))
    return np.array(ids)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_the_probabilities_of_all_tokens_sum_to_1(smoothing, order):
    model = NGram(order, smoothing).fit(text(), 6)  # The sixth token never occurs.
    draw = np.random.default_rng(1)
    contexts = [draw.integers(0, 6, length) for length in (0, 1, 2, 5, 9)]
    contexts += [text()[i : i + 8] for i in (0, 50, 100)] + [text()]
    for context in contexts:
        probs = [np.exp(model.log_probs([*context, x])[-1]) for x in range(6)]
        assert min(probs) > 0
        assert sum(probs) == pytest.approx(1, abs=1e-12)


def plain_witten_bell(train, size, order, context, x):
    """The docstring's equations, one count at a time."""
    p = 1 / size
    for n in range(min(order, len(context) + 1)):
        c = tuple(context[len(context) - n :])
        behind = collections.Counter(
            train[i + n] for i in range(len(train) - n) if tuple(train[i : i + n]) == c
        )
        if behind:
            total, kinds = sum(behind.values()), len(behind)
            p = (behind[x] + kinds * p) / (total + kinds)
    return p


def plain_kneser_ney(train, size, order, context, x):
    def grams(n):
        if n == order:
            return [tuple(train[i : i + n]) for i in range(len(train) - n + 1)]
        return [g[1:] for g in {*map(tuple, windows(train, n + 1))}]

    p = 1 / size
    for n in range(1, min(order, len(context) + 1) + 1):
        counts = collections.Counter(grams(n))
        d = discounts(np.array(list(counts.values())))
        c = tuple(context[len(context) - n + 1 :])
        behind = {g[-1]: count for g, count in counts.items() if g[:-1] == c}
        if behind:
            cut = {y: d[min(count, 3)] for y, count in behind.items()}
            own = behind[x] - cut[x] if x in behind else 0
            p = (own + sum(cut.values()) * p) / sum(behind.values())
    return p


def windows(ids, n):
    return [ids[i : i + n] for i in range(len(ids) - n + 1)]


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize(
    "smoothing, plain",
    [("witten_bell", plain_witten_bell), ("kneser_ney", plain_kneser_ney)],
)
def test_equals_the_equations_counted_one_by_one(smoothing, plain, order):
    train, test = text(300).tolist(), [3, 1, 2, 3, 4, 4, 0, 5, 1, 2, 3, 4, 0, 1]
    expected = [
        math.log(plain(train, 6, order, test[:i], x)) for i, x in enumerate(test)
    ]
    model = NGram(order, smoothing).fit(train, 6)
    np.testing.assert_allclose(model.log_probs(test), expected, rtol=1e-12)


def test_by_hand():
    """a b a c: behind a stand b and c, once each."""
    model = NGram(2).fit([0, 1, 0, 2])
    # P_1 = (2, 1, 1) + 3 / 3, each through 4 + 3
    first = np.array([3, 2, 2]) / 7
    np.testing.assert_allclose(np.exp(model.log_probs([0])), first[0])
    np.testing.assert_allclose(
        np.exp(model.log_probs([0, 1])[1]), (1 + 2 * first[1]) / (2 + 2)
    )
    # c ended the text: nothing is known of what follows.
    np.testing.assert_allclose(np.exp(model.log_probs([2, 1])[1]), first[1])


def test_discounts():
    counts = np.repeat([1, 2, 3, 4, 9], [40, 10, 6, 3, 8])
    y = 40 / 60
    d = [0, 1 - 2 * y * 10 / 40, 2 - 3 * y * 6 / 10, 3 - 4 * y * 3 / 6]
    np.testing.assert_allclose(discounts(counts), d)
    assert discounts(np.array([7, 9])).tolist() == [0, 0.5, 1, 1.5]


def test_errors_say_what_was_expected():
    with pytest.raises(UserError, match="order of 1 or more.* received 0"):
        NGram(0)
    with pytest.raises(UserError, match="witten_bell, kneser_ney; .*'laplace'"):
        NGram(2, "laplace")
    with pytest.raises(UserError, match="order 5 expected .* received 3"):
        NGram(5).fit([0, 1, 2])
    with pytest.raises(UserError, match="call fit"):
        NGram(2).log_probs([0])
    with pytest.raises(UserError, match="from 0 to 2, received 1 to 3"):
        NGram(2).fit([0, 1, 2]).log_probs([1, 3])


def test_war_and_peace(saccade_data):
    """The figure that another program measured, with the paper's 80/10/10."""
    book = (saccade_data / "war_and_peace" / "warpeace_input.txt").read_text("utf-8")
    _, ids = np.unique([ord(c) for c in book], return_inverse=True)
    train, test = ids[: round(0.8 * len(ids))], ids[round(0.9 * len(ids)) :]
    model = NGram(6).fit(train, ids.max() + 1)
    assert -model.log_probs(test).mean() == pytest.approx(1.344, abs=5e-4)
