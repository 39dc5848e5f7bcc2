"""Rows of numbers that are worked out once and looked up in training: in memory, or
where they are many, in a temporary file."""

import tempfile

import numpy as np
import rich.filesize
import tensorflow as tf

from ..files.scratch import Scratch

MAX_MEMORY = 2**28  # bytes of one kind of rows


def bytes_of(count, shape, dtype):
    """What so many rows of a shape take."""
    return count * int(np.prod(shape)) * tf.as_dtype(dtype).size


def in_memory(count, shape, dtype):
    """Whether `picker` keeps so many rows in memory."""
    return bytes_of(count, shape, dtype) <= MAX_MEMORY


def kept_in(count, shape, dtype):
    """Where `picker` keeps so many rows, and how much they are, for people."""
    place = f"a temporary file of {tempfile.gettempdir()}"
    if in_memory(count, shape, dtype):
        place = "memory"
    needed = rich.filesize.decimal(bytes_of(count, shape, dtype))
    return f"{needed} in {place}"


def each_once(values, keep):
    """A function for `tf.data` that looks rows up by their index, of values of which
    some occur in several rows: what is kept of each is kept once.

    Args:
        values: list, one of each row.
        keep: function of the different values -> function of their indices, as `picker`
            gives one.

    Returns:
        function of the rows' indices int (n,) -> what `keep` gives for them.
    """
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    place_of_row = tf.constant([places[value] for value in values], tf.int64)
    look_up = keep(list(places))
    return lambda indices: look_up(tf.gather(place_of_row, indices))


def picker(chunks, count, shape, dtype):
    """A function for `tf.data` that looks rows up by their index.

    If not all of them fit into `MAX_MEMORY`, a temporary file takes them: memory stays
    as it is, however many there are.

    Args:
        chunks: tensors (n, *shape), `count` rows together; gone through once, here.
        shape: of a row. dtype: of the chunks.

    Returns:
        function of indices int (n,) -> (n, *shape).

    Raises:
        UserError: the temporary file cannot be written.
    """
    if in_memory(count, shape, dtype):
        rows = tf.concat([*chunks] or [tf.zeros([0, *shape], dtype)], axis=0)
        return lambda indices: tf.gather(rows, indices)

    store, bytes_each = Scratch(), bytes_of(1, shape, dtype)
    for chunk in chunks:
        store.append(chunk.numpy())
    dtype = tf.as_dtype(dtype)

    def read_rows(indices):
        rows = [store.read(i * bytes_each, bytes_each) for i in indices]
        return np.frombuffer(b"".join(rows), dtype.as_numpy_dtype).reshape(-1, *shape)

    def gather(indices):
        rows = tf.numpy_function(read_rows, [indices], dtype)
        return tf.ensure_shape(rows, [indices.shape[0], *shape])

    return gather
