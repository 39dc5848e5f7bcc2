"""Comparing what a signature answers."""

import numpy as np


def assert_same(got, expected, rtol=1e-4):
    """Equal answers: texts and integers exactly, floats up to rounding."""
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(
                got[key], value, rtol=rtol, atol=1e-5, err_msg=key
            )
        else:
            np.testing.assert_array_equal(got[key], value, err_msg=key)
