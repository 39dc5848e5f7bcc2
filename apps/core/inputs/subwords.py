"""Pieces of words: learned by byte pair encoding, found in the graph by a trie."""

import collections
import heapq

import numpy as np
import tensorflow as tf

CODES = 0x110000  # characters that Unicode has room for
LONGEST = 16  # characters of a learned piece


def learn(words, alphabet, size, min_count=2):
    """Pieces by byte pair encoding (Sennrich et al. 2016).

    Args:
        words: dict, str -> count.
        alphabet: the characters that are pieces already; a word is cut at others.
        size: pieces to learn at most; 0: no limit.
        min_count: a pair that is rarer is not joined.

    Returns:
        list of str of two characters or more, in the order in which they were learned;
        equal counts in the order of the alphabet.
    """
    alphabet = set(alphabet)
    parts = [[c if c in alphabet else None for c in word] for word in words]
    counts = list(words.values())
    pairs, places = collections.Counter(), collections.defaultdict(set)
    for i, symbols in enumerate(parts):
        for pair in _pairs(symbols):
            pairs[pair] += counts[i]
            places[pair].add(i)
    queue = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(queue)
    pieces, known = [], set()
    while queue and (not size or len(pieces) < size):
        count, pair = heapq.heappop(queue)
        if -count != pairs[pair]:  # An entry that was true once.
            continue
        if -count < max(min_count, 1):
            break
        piece = pair[0] + pair[1]
        if piece not in known:  # "a" "bc" and "ab" "c" are the same.
            known.add(piece)
            pieces.append(piece)
        changed = set()
        for i in places.pop(pair):
            old = _pairs(parts[i])
            parts[i] = _joined(parts[i], pair)
            new = _pairs(parts[i])
            for sign, some in ((-1, old), (1, new)):
                for p in some:
                    pairs[p] += sign * counts[i]
                    changed.add(p)
            for p in new:
                places[p].add(i)
        changed.discard(pair)
        del pairs[pair]
        for p in changed:
            if pairs[p] > 0:
                heapq.heappush(queue, (-pairs[p], p))
    return pieces


def _pairs(symbols):
    """Neighbours that may be joined, each as often as it stands there."""
    return [
        (a, b)
        for a, b in zip(symbols, symbols[1:], strict=False)
        if a and b and len(a) + len(b) <= LONGEST
    ]


def _joined(symbols, pair):
    joined = []
    for symbol in symbols:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] = pair[0] + pair[1]
        else:
            joined.append(symbol)
    return joined


class Trie:
    """Finds pieces in texts of code points, in the graph: searches in constants.

    Its edges are sorted by (node, code point), so that one step down from many nodes is
    one binary search.

    Args:
        pieces: dict, str -> its id.
    """

    def __init__(self, pieces):
        edges, self._ids = {}, [-1]  # (node, code point) -> node; id by node
        for piece, id_ in pieces.items():
            node = 0
            for code in map(ord, piece):
                node = edges.setdefault((node, code), len(edges) + 1)
                if node == len(self._ids):
                    self._ids.append(-1)
            self._ids[node] = id_
        keys = np.array([node * CODES + code for node, code in edges], np.int64)
        order = np.argsort(keys)
        self._keys = keys[order]
        self._nodes = np.array(list(edges.values()), np.int32)[order]
        self._ids = np.array(self._ids, np.int32)
        self.depth = max(map(len, pieces))

    def _step(self, nodes, codes):
        """The nodes below by these code points, -1 where there is none."""
        keys = tf.cast(nodes, tf.int64) * CODES + tf.cast(codes, tf.int64)
        places = tf.searchsorted(tf.constant(self._keys), keys)
        places = tf.minimum(places, len(self._keys) - 1)
        found = tf.gather(tf.constant(self._keys), places) == keys
        return tf.where(found, tf.gather(tf.constant(self._nodes), places), -1)

    def _id(self, nodes):
        return tf.gather(tf.constant(self._ids), tf.maximum(nodes, 0))

    def cut(self, codes, row_splits):
        """Every text from left to right, each time by the longest piece that fits.

        Args:
            codes: int32 (n,), the code points of all texts.
            row_splits: int32 (batch + 1,), where the texts begin and end.

        Returns:
            firsts, lengths, ids: int32 (tokens,), the place of each token's first code
            point, how many it has, its id. Where no piece fits, the length is 1 and
            the id -1.
        """
        n = tf.size(codes)
        nodes = self._step(tf.zeros_like(codes), codes)
        ids, lengths = self._id(nodes), tf.ones_like(codes)
        if self.depth == 1:
            return tf.range(n), lengths, ids
        ends = tf.repeat(row_splits[1:], row_splits[1:] - row_splits[:-1])

        def longer(depth, places, nodes, ids, lengths):
            inside = places + depth < tf.gather(ends, places)
            places = tf.boolean_mask(places, inside)
            nodes = tf.boolean_mask(nodes, inside)
            nodes = self._step(nodes, tf.gather(codes, places + depth))
            exists = nodes >= 0
            places, nodes = places[exists], nodes[exists]
            is_piece = self._id(nodes) >= 0
            where, their_ids = places[is_piece][:, None], self._id(nodes)[is_piece]
            ids = tf.tensor_scatter_nd_update(ids, where, their_ids)
            their_lengths = tf.fill(tf.shape(their_ids), depth + 1)
            lengths = tf.tensor_scatter_nd_update(lengths, where, their_lengths)
            return depth + 1, places, nodes, ids, lengths

        exists = nodes >= 0
        ragged, whole = tf.TensorShape([None]), codes.shape
        *_, ids, lengths = tf.while_loop(
            lambda depth, places, *_: tf.size(places) > 0,
            longer,
            (1, tf.range(n)[exists], nodes[exists], ids, lengths),
            (tf.TensorShape([]), ragged, ragged, whole, whole),
            maximum_iterations=self.depth - 1,
        )
        firsts = _reached(tf.range(n) + lengths, row_splits)
        return firsts, tf.gather(lengths, firsts), tf.gather(ids, firsts)


def _reached(following, row_splits):
    """The places at which tokens begin: the texts' beginnings and all that follow.

    Step k goes 2^k tokens at once, so the steps are few.

    Args:
        following: int32 (n,), the place behind the token that would begin here.
    """
    n = tf.size(following)
    reached = tf.tensor_scatter_nd_update(
        tf.zeros([n + 1], tf.bool),
        row_splits[:, None],
        tf.ones_like(row_splits, tf.bool),
    )
    longest = tf.reduce_max(tf.concat([row_splits[1:] - row_splits[:-1], [0]], 0))

    def further(width, reached, following):
        places = tf.gather(following, tf.where(reached)[:, 0])
        reached = tf.tensor_scatter_nd_update(
            reached, places[:, None], tf.ones_like(places, tf.bool)
        )
        return 2 * width, reached, tf.gather(following, following)

    following = tf.concat([following, [n]], axis=0)
    _, reached, _ = tf.while_loop(
        lambda width, *_: width < longest, further, (1, reached, following)
    )
    return tf.cast(tf.where(reached[:-1])[:, 0], tf.int32)
