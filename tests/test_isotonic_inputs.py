"""What isotonic regression makes of awkward input: values of any form, and errors that name the place."""

from __future__ import annotations

import numpy as np
import pytest
from small_pieces import cut_up  # noqa: F401 - a fixture

import fastcal as fc

pytestmark = pytest.mark.usefixtures("cut_up")


def read_only(values):
    values = np.array(values, float)
    values.flags.writeable = False
    return values


@pytest.mark.parametrize("given_as", [list, tuple, read_only, lambda v: np.repeat(np.array(v, float), 2)[::2]])
def test_arguments_of_any_form(given_as):
    x, y, w = (given_as(values) for values in ([3.0, 1.0, 2.0], [1.0, 0.5, 0.0], [1.0, 2.0, 3.0]))
    assert fc.IsotonicRegression().fit(x, y, w).predict(x).tolist() == [1.0, 0.2, 0.2]
    assert fc.isotonic_regression(y, weights=w).x.tolist() == [1 / 3] * 3


NAN, INF = float("nan"), float("inf")
X, Y, W = [0.1, 0.2, 0.3], [0.0, 1.0, 0.5], [1.0, 2.0, 3.0]
BAD_FITS = [
    (([0.1, NAN, 0.3], Y), r"X\[1\] is nan; expected finite numbers"),
    (([0.1, 0.2, -INF], Y), r"X\[2\] is -inf"),
    ((X, [0, INF, 1]), r"y\[1\] is inf"),
    ((X, [0, 0.5, NAN]), r"y\[2\] is nan"),
    ((X, Y, [1, 1, NAN]), r"sample_weight\[2\] is nan"),
    ((X, Y, [1, -1, -2]), r"sample_weight\[1\] is -1; a weight is 0, or from 1e-100 to 1e\+100"),
    ((X, Y, [1, -0.5, 2]), r"sample_weight\[1\] is -0.5"),
    ((X, Y, [0, 0, 0]), r"sample_weight\[0\] is 0, as all the others"),
    ((X, Y, [1, 1e101, 2]), r"sample_weight\[1\] is 1e\+101"),
    ((X, Y, [1, 1e-101, 2]), r"sample_weight\[1\] is 1e-101"),
    ((X, [0, 1, 1e101]), r"y\[2\] is 1e\+101; targets lie between"),
    ((X, [0, -1e101, 1]), r"y\[1\] is -1e\+101"),
    ((np.array(X, np.float32), [0, 1, 1e50]), "y has fitted values beyond float32"),
    ((X, Y[:2]), r"y has shape \(2,\), but X has 3 rows"),
    ((X, Y, W[:2]), r"sample_weight has shape \(2,\)"),
    ((X, [Y, Y, Y]), r"y has shape \(3, 3\)"),
    (([[1, 2]] * 3, Y), r"X has shape \(3, 2\)"),
    ((0.5, Y), r"X has shape \(\)"),
    (([], []), "X is empty"),
    ((np.ma.masked_array(X, [0, 1, 0]), Y), r"X\[1\] is masked"),
    ((X, np.ma.masked_array(Y, [0, 0, 1])), r"y\[2\] is masked"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_FITS, ids=[message for _, message in BAD_FITS])
def test_bad_rows(arguments, message):
    model = fc.IsotonicRegression()
    with pytest.raises(fc.DataError, match=message):
        model.fit(*arguments)
    assert not hasattr(model, "X_thresholds_")


def test_what_is_no_numbers():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="X is a sparse matrix"):
        fc.IsotonicRegression().fit(scipy_sparse.csr_matrix([[1.0], [2.0]]), [0, 1])
    with pytest.raises(TypeError, match="X has dtype <U1; expected real numbers"):
        fc.IsotonicRegression().fit(["a", "b"], [0, 1])
    with pytest.raises(TypeError, match="y has dtype object"):
        fc.IsotonicRegression().fit([1, 2], [0, None])
    with pytest.raises(TypeError, match="complex"):
        fc.isotonic_regression([1j])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "y is empty"),
        (([1, NAN],), r"y\[1\] is nan"),
        (([1, 2], [1, 0]), r"weights\[1\] is 0"),
        (([1, 2], [1, -2]), r"weights\[1\] is -2"),
        (([1, 2], [1, INF]), r"weights\[1\] is inf"),
        (([1, 2], [1, NAN]), r"weights\[1\] is nan"),
        (([1e101, 2],), r"y\[0\] is 1e\+101"),
        (([1, 2], [1]), r"weights has shape \(1,\)"),
        (([[1, 2]],), "incorrect number of dimensions: 2; expected 1"),
    ],
)
def test_bad_sequences(arguments, message):
    y, *weights = arguments
    with pytest.raises(fc.DataError, match=message):
        fc.isotonic_regression(y, weights=weights[0] if weights else None)


def test_zero_weights_are_dropped():
    x, y = [0.0, 1.0, 2.0, 3.0], [5.0, 1.0, 2.0, -9.0]
    model = fc.IsotonicRegression().fit(x, y, [0, 1, 1, 0])
    assert (model.X_min_, model.X_max_) == (1.0, 2.0)
    assert model.predict([1.0, 2.0]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"y_min": "0"}, "y_min is '0'"),
        ({"y_max": NAN}, "y_max is nan"),
        ({"increasing": "maybe"}, "increasing is 'maybe'"),
        ({"increasing": None}, "increasing is None"),
        ({"out_of_bounds": "wrap"}, "out_of_bounds is 'wrap'"),
        ({"ties": "none"}, "ties is 'none'"),
        ({"n_threads": 0}, "n_threads is 0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        fc.IsotonicRegression(**parameters).fit(X, Y)


def test_bad_predictions():
    model = fc.IsotonicRegression().fit(X, Y)
    with pytest.raises(fc.DataError, match=r"T\[1\] is nan"):
        model.predict([0.1, NAN])
    with pytest.raises(fc.DataError, match=r"T\[0\] is inf"):
        model.predict([INF])
    with pytest.raises(ValueError, match="not fitted"):
        fc.IsotonicRegression().predict([0.1])
    with pytest.raises(ValueError, match="out has shape"):
        model.predict([0.1], out=np.empty(2))
    with pytest.raises(TypeError, match="out has dtype"):
        model.predict([0.1], out=np.empty(1, np.float32))
    row = np.zeros(3)
    with pytest.raises(ValueError, match="out overlaps T"):
        model.predict(row[:2], out=row[1:])
    assert model.predict(np.array([])).shape == (0,)
    rows = np.linspace(0.1, 0.3, 50)
    rows[[20, 40]] = NAN
    before = rows.copy()
    with pytest.raises(fc.DataError, match=r"T\[20\] is nan"):
        model.predict(rows, out=rows)
    np.testing.assert_array_equal(rows, before)
    with pytest.raises(fc.DataError, match=r"y has shape \(1,\)"):
        model.score(X, [5])
    with pytest.raises(fc.DataError, match=r"X\[0\] lies outside the fitted range"):
        model.score([9.0, 0.1, 0.2], Y)
    with pytest.raises(ValueError, match="increasing is 'no'"):
        fc.isotonic_regression([1, 2], increasing="no")
    with pytest.raises(ValueError, match="ties is 'sklearn'"):
        fc.IsotonicRegression(ties="sklearn").fit_batches([(X, Y)])
