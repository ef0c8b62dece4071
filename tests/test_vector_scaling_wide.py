"""Vector scaling of rows that are too wide for the kernel's 64 side by side."""

import warnings

import numpy as np
import pytest
from linear_rows import compiled
from scipy.special import softmax

import fastcal as fc
from fastcal.calibrators import linear

K = linear.WIDE + 37


@compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_row_is_mapped_by_itself(dtype):
    """Also where the products of one of them overflow."""
    rng = np.random.default_rng(0)
    z = 3 * rng.standard_normal((2 * linear.ROWS_OF_WIDE + 3, K)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)  # which map it is does not matter
        fitted = fc.VectorScaling(max_iter=2).fit(z, rng.integers(0, K, len(z)))
    assert np.ptp(fitted.weight_) > 0.01
    p = fitted.predict_proba(z)
    assert p.dtype == dtype
    atol = 1e-6 if dtype == "float32" else 1e-14
    expected = softmax(z.astype(float) * fitted.weight_ + fitted.bias_, axis=1)
    np.testing.assert_allclose(p, expected, rtol=100 * atol, atol=atol)

    largest = int(fitted.weight_.argmax())
    assert fitted.weight_[largest] > 1
    z[5, largest] = np.finfo(dtype).max  # times a weight beyond 1: inf
    found = z.copy()
    fitted.predict_proba(found, out=found)
    np.testing.assert_array_equal(found[5], np.arange(K) == largest)
    others = np.arange(len(z)) != 5
    np.testing.assert_array_equal(found[others], p[others])
    np.testing.assert_array_equal(fitted.predict_proba(z[3:9]), found[3:9])
