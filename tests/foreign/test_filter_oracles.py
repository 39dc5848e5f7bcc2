"""Sobel and Scharr against OpenCV's."""

import numpy as np
import pytest

from saccade.layers import Scharr, Sobel

from .oracle_cases import each_seed, need, oracle


@oracle
@each_seed
@pytest.mark.parametrize("layer", [Sobel, Scharr])
@pytest.mark.parametrize("border", ["reflect", "zero", "valid"])
def test_equal_to_opencv(layer, border, seed):
    cv2 = need("cv2")
    draw = np.random.default_rng(seed)
    shape = draw.integers(3, 40, size=2)
    pixels = draw.integers(0, 256, shape).astype("float64")
    borders = {
        "reflect": cv2.BORDER_REFLECT_101,
        "zero": cv2.BORDER_CONSTANT,
        "valid": cv2.BORDER_CONSTANT,
    }

    def theirs(pixels, x, y):
        how = {"borderType": borders[border]}
        if layer is Scharr:
            edges = cv2.Scharr(pixels, cv2.CV_64F, x, y, **how)
        else:
            edges = cv2.Sobel(pixels, cv2.CV_64F, x, y, ksize=3, **how)
        return edges[1:-1, 1:-1] if border == "valid" else edges

    def ours(pixels, output):
        made = layer(border, output, dtype="float64")
        return np.array(made(pixels[None, :, :, None]))[0, :, :, 0]

    dx, dy = theirs(pixels, 1, 0), theirs(pixels, 0, 1)
    np.testing.assert_array_equal(ours(pixels, "gradient"), np.stack([dy, dx], -1))
    np.testing.assert_array_equal(ours(pixels, "magnitude"), cv2.magnitude(dx, dy))
    # Of other numbers only the order of rounding differs.
    pixels = draw.normal(size=shape)
    expected = np.stack([theirs(pixels, 0, 1), theirs(pixels, 1, 0)], -1)
    np.testing.assert_allclose(ours(pixels, "gradient"), expected, atol=1e-13)
