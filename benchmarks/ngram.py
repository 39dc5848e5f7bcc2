"""A model of n-grams: what a token's last few predecessors say about it, counted.

It is what a recurrent network must beat, and what shows which of its errors a longer
memory has nothing to do with.

Own code, because neither known library fits: nltk keeps every n-gram in Python
dictionaries (tens of gigabytes for order 20 on a novel), and kenlm must be compiled
for the order and estimates by a program of its own.
"""

import dataclasses

import numpy as np

from saccade.apps.core.errors import UserError

SMOOTHINGS = ("witten_bell", "kneser_ney")


class NGram:
    """Interpolated n-grams of integer tokens.

    The probability of token x behind the context c, its n - 1 predecessors, is

        P_n(x | c) = kept(c x) + left(c) P_{n-1}(x | c without its first token)
        P_0(x)     = 1 / vocabulary_size

    and P_n = P_{n-1} where c was never seen. With N(c x) the number of times x stood
    behind c, N(c) their sum over x, and T(c) the number of different x behind c:

        witten_bell   kept = N(c x) / (N(c) + T(c)),  left = T(c) / (N(c) + T(c))
                      (Witten & Bell 1991, as Chen & Goodman 1999, section 2.5)
        kneser_ney    kept = (N(c x) - D) / N(c),     left = sum of the D / N(c)
                      D = D_1, D_2 or D_3 as N(c x) is 1, 2 or more; below the highest
                      order N(c x) is the number of different tokens before c x
                      (modified Kneser-Ney, Chen & Goodman 1999, section 3)

    A text's first tokens have fewer predecessors: they get a lower order.

    Args:
        order: tokens in the longest n-gram; 1: no context.
        smoothing: "witten_bell" or "kneser_ney".
    """

    def __init__(self, order, smoothing="witten_bell"):
        if order < 1 or smoothing not in SMOOTHINGS:
            raise UserError(
                f"An n-gram model expected an order of 1 or more and a smoothing, one "
                f"of {', '.join(SMOOTHINGS)}; received {order} and {smoothing!r}."
            )
        self.order, self.smoothing = order, smoothing
        self.levels = []

    def fit(self, ids, vocabulary_size=None):
        """Count; returns self. A token takes about 24 bytes per order.

        Args:
            ids: int array (length,), at least `order` tokens, from 0.
            vocabulary_size: number of different ids; None: the highest one plus 1.
        """
        ids = np.asarray(ids, np.int64)
        if len(ids) < self.order:
            raise UserError(
                f"An n-gram model of order {self.order} expected at least as many "
                f"tokens, received {len(ids)}."
            )
        self.vocabulary_size = vocabulary_size or int(ids.max()) + 1
        self._check(ids)
        self.levels = []
        grams = np.zeros(len(ids) + 1, np.int64)  # The empty gram, round every token.
        for k in range(self.order):
            # A (k + 1)-gram is the number of a k-gram and the token behind it.
            codes, first, longer, counts = np.unique(
                grams[:-1] * self.vocabulary_size + ids[k:],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            contexts = 1
            if k:
                shorter = self.levels[-1]
                contexts = len(shorter.codes)
                if self.smoothing == "kneser_ney":
                    # Each different (k + 1)-gram is one token before its last k.
                    shorter.counts = np.bincount(grams[1:][first], minlength=contexts)
            self.levels.append(Level(codes, counts, contexts))
            grams = longer
        for level in self.levels:
            self._smooth(level)
        return self

    def _smooth(self, level):
        """Counts to probabilities: fills `kept` and `left`, drops `counts`."""
        counts, size = level.counts, level.contexts
        context = level.codes // self.vocabulary_size
        total = np.bincount(context, counts, size)
        if self.smoothing == "witten_bell":
            discounted, freed = counts, np.bincount(context, minlength=size)
            total = total + freed
        else:
            discount = discounts(counts)[np.minimum(counts, 3)]
            discounted, freed = counts - discount, np.bincount(context, discount, size)
        # A context that only ends the text has no follower: the lower order decides.
        empty = total == 0
        total[empty] = 1
        level.kept = discounted / total[context]
        level.left = np.where(empty, 1.0, freed / total)
        level.counts = None

    def log_probs(self, ids):
        """Natural-log probability of every token given all that stands before it.

        Args:
            ids: int array (length,).

        Returns:
            float64 (length,).
        """
        if not self.levels:
            raise UserError("The n-gram model was not fitted: call fit(ids) first.")
        ids = np.asarray(ids, np.int64)
        self._check(ids)
        probs = np.full(len(ids), 1 / self.vocabulary_size)
        before = np.zeros(len(ids), np.int64)  # The context's number, -1 where unseen.
        for level in self.levels:
            codes = before * self.vocabulary_size + ids
            places = np.searchsorted(level.codes, codes)
            places = np.minimum(places, len(level.codes) - 1)
            found = level.codes[places] == codes
            probs *= np.where(before >= 0, level.left[before], 1)
            probs += np.where(found, level.kept[places], 0)
            grams = np.where(found, places, -1)
            before = np.concatenate([[-1], grams[:-1]])[: len(ids)]
        return np.log(probs)

    def _check(self, ids):
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.vocabulary_size:
            raise UserError(
                f"An n-gram model of {self.vocabulary_size} tokens expected ids from 0 "
                f"to {self.vocabulary_size - 1}, received {ids.min()} to {ids.max()}."
            )


@dataclasses.dataclass
class Level:
    """The n-grams of one order. A context's number is its place among the `codes` of
    the order below."""

    codes: np.ndarray  # (grams,): context * vocabulary_size + token, rising
    counts: np.ndarray  # (grams,)
    contexts: int  # number of contexts
    kept: np.ndarray = None  # (grams,): the part of P that is the gram's own
    left: np.ndarray = None  # (contexts,): what goes to the order below


def discounts(counts):
    """D_0 ... D_3 of modified Kneser-Ney, D_0 being 0 (Chen & Goodman 1999, 26).

        D_i = i - (i + 1) Y n_{i+1} / n_i,  Y = n_1 / (n_1 + 2 n_2)

    with n_i the number of grams counted i times. Where there are too few of them to
    say (the 82 single characters of a novel, say): 1/2, 1, 3/2.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    i = np.arange(1, 4)
    if n[1:5].all():
        d = i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
        if (d > 0).all() and (d < i).all():
            return np.array([0, *d])
    return np.array([0, 0.5, 1, 1.5])
