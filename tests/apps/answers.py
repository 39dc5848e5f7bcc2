"""Comparing what a signature answers."""

import numpy as np
import tensorflow as tf


def tensor_of(rows, spec):
    """Rows as an input takes them; no rows do not tell their rank."""
    if len(rows):
        return tf.constant(rows, spec.dtype)
    return tf.zeros([0, *(size or 0 for size in spec.shape[1:])], spec.dtype)


def assert_same(got, expected, rtol=1e-4):
    """Equal answers: texts and integers exactly, floats up to rounding."""
    assert got.keys() == expected.keys()
    for key in expected:
        found, value = of_one_width(got[key], expected[key])
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found, value, rtol=rtol, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(found, value, err_msg=key)


def of_one_width(*outputs):
    """Outputs (batch, ...) without the padding that some have more of along an axis,
    which must be zeros or empty strings: a batch is as wide as its longest row."""
    for axis in range(1, min(output.ndim for output in outputs)):
        width = min(output.shape[axis] for output in outputs)
        for output in outputs:
            assert not np.moveaxis(output, axis, 0)[width:].any()
        outputs = [np.take(output, range(width), axis) for output in outputs]
    return outputs
