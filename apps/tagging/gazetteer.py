"""Names from a file as an input: which tokens belong to one of them."""

import numpy as np
import tensorflow as tf

from ..core.data.encodings import read_utf8
from ..core.data.places import path_of
from ..core.errors import UserError
from .cutting import CUT, cut

LONGEST = 8  # tokens of a name; longer ones are left out
BUCKETS = 2**63 - 1
OUT_OF_NAMES, IN_A_NAME = 1, 2


def read(file, units, lower):
    """The names in a file, one a line: tuple of str, each its tokens, `CUT` between.

    Raises:
        UserError: there is no such file, or no name in it.
    """
    if not file:
        return ()
    lines = [line.strip() for line in read_utf8(path_of(file)).splitlines()]
    lines = sorted({line.lower() if lower else line for line in lines if line})
    if not lines:
        raise UserError(f"{file}: expected names, one a line, found none.")
    tokens = cut(tf.constant(lines), units).tokens.to_list()
    names = (CUT.encode().join(row).decode() for row in tokens if len(row) <= LONGEST)
    return tuple(names)


def listed(tokens, names, lower):
    """In the graph: what each token is, int32 (batch, time): 0 where it is padding,
    `IN_A_NAME` or `OUT_OF_NAMES`.

    Args:
        tokens: string (batch, time), "" behind the last. names: of `read`.
    """
    if lower:
        tokens = tf.strings.lower(tokens, encoding="utf-8")
    with tf.init_scope():  # once, and not in the graph
        hashes = np.sort(tf.strings.to_hash_bucket_fast(list(names), BUCKETS).numpy())
    longest = max(name.count(CUT) + 1 for name in names)
    time = tf.shape(tokens)[1]
    inside = tf.zeros(tf.shape(tokens), tf.bool)
    window = tokens
    for n in range(1, longest + 1):
        # At each place the n tokens from there on; "" at its end where there are less.
        wanted = tf.strings.to_hash_bucket_fast(window, BUCKETS)
        places = tf.searchsorted(hashes, tf.reshape(wanted, [-1]))
        found = tf.gather(hashes, tf.minimum(places, len(hashes) - 1))
        found = tf.reshape(found, tf.shape(wanted)) == wanted
        for shift in range(n):
            moved = tf.pad(found, [[0, 0], [shift, 0]])[:, :time]
            inside |= moved
        behind = tf.pad(tokens, [[0, 0], [0, n]], constant_values="")[:, n:]
        window = tf.strings.join([window, behind], CUT)
    listed = tf.where(inside, IN_A_NAME, OUT_OF_NAMES)
    return tf.where(tokens == "", 0, listed)
