"""Few rows go through one kernel, without a worker: the same bits as many have, and the same complaints."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal.accumulators import reliability
from fastcal.metrics import binning

ENDS = [0.0, 1.0, 0.2, 1 / 3, 1e-9, -5e-7, 1 + 5e-7, np.nextafter(0.4, 1), 6 / 15]
OPTIONS = [
    {},
    {"n_bins": 1},
    {"n_bins": 7},
    {"n_bins": 400},
    {"closed": "left"},
    *({"convention": name} for name in ("guo", "sklearn", "verified", "torchmetrics", "netcal", "mapie", "calibre")),
]


@st.composite
def confidences(draw):
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    values = st.floats(0, 1) if dtype is np.float64 else st.floats(0, 1, width=32)
    p = np.array(draw(st.lists(values | st.sampled_from(ENDS), min_size=1, max_size=40)), dtype)
    p[abs(p - 0.5) > 0.5] = np.round(p[abs(p - 0.5) > 0.5])  # what is within rounding of float64 is not of float32
    return np.array(draw(st.lists(st.integers(0, 1), min_size=len(p), max_size=len(p)))), p


@st.composite
def rows(draw):
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    some = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    weights = some.choice([0.0, 1.0, 1.0, 2.0, 3.0, 1e-6], (n, k))
    weights[:, 0] += weights.sum(axis=1) == 0
    p = (weights / weights.sum(axis=1, keepdims=True)).astype(dtype)
    p[0, 0] += draw(st.sampled_from([0.0, 1e-5, -1e-5, 9.95e-4]))  # as dumps have it: rounding, and near the tolerance
    p[0, 0] = max(p[0, 0], -9e-5)
    return some.integers(0, k, n), p


def outcome(call):
    try:
        return call()
    except fc.DataError as error:
        return str(error)


def slowly(monkeypatch, call):
    """The same call by way of an accumulator."""
    with monkeypatch.context() as changed:
        changed.setattr(reliability, "FEW", 0)
        changed.setattr(binning, "FEW", 0)
        return call()


@pytest.mark.parametrize("options", OPTIONS)
@given(confidences() | rows())
def test_the_same_bits_as_by_way_of_an_accumulator(options, drawn):
    y, p = drawn
    with pytest.MonkeyPatch.context() as monkeypatch:
        for norm in ("l1", "max", "l2", "debiased"):
            asked = {"norm": norm} if norm != "debiased" else {"norm": "l2", "debiased": True, "squared": True}
            ask = partial(fc.calibration_error, y, p, **options, **asked)
            found, expected = outcome(ask), slowly(monkeypatch, partial(outcome, ask))
            assert str(found) == str(expected), norm  # every digit of a float, and nan
            if isinstance(found, str):
                return
        draw = partial(fc.reliability_curve, y.tolist(), p, **options)
        curve, expected = draw(), slowly(monkeypatch, draw)
        for name in ("count", "weight", "confidence", "accuracy", "edges", "lower", "upper"):
            np.testing.assert_array_equal(getattr(curve, name), getattr(expected, name), name)


def test_what_is_wrong_is_said_as_of_many():
    y, p = np.array([0, 1, 1]), np.array([0.2, 0.7, 0.9])
    for place, value, problem in ((1, 1.5, r"y_prob\[1\] is 1.5"), (2, np.nan, r"y_prob\[2\] is nan")):
        wrong = p.copy()
        wrong[place] = value
        with pytest.raises(fc.DataError, match=problem):
            fc.ece(y, wrong)
    with pytest.raises(fc.DataError, match=r"y_true\[0\] is 2"):
        fc.ece(np.array([2, 1, 1]), p)
    assert fc.ece(y, np.array([0.2, np.nan, 0.9]), nan_policy="omit") == fc.ece(y[[0, 2]], p[[0, 2]])
    with pytest.raises(fc.DataError, match="y_true is empty"):
        fc.ece(y[:0], p[:0])
    with pytest.raises(ValueError, match="n_bins is 0"):
        fc.ece(y, p, n_bins=0)
    with pytest.raises(ValueError, match="n_bins is True"):
        fc.ece(y, p, n_bins=True)
    with pytest.raises(ValueError, match="closed is 'both'"):
        fc.ece(y, p, closed="both")
    for labels in (y, y.tolist()):
        with pytest.raises(ValueError, match=r"closed is \['left'\]"):
            fc.ece(labels, p, closed=["left"])
        with pytest.raises(ValueError, match=r"convention is \['guo'\]"):
            fc.ece(labels, p, convention=["guo"])
    with pytest.raises(TypeError, match="unexpected keyword"):
        fc.ece(y, p, bins=10)


def test_given_arrays_stay_as_they_are():
    y, p = np.array([0, 1]), np.array([0.25, 0.75])
    fc.ece(y, p)
    assert y.flags.writeable
    assert p.flags.writeable
    p.flags.writeable = False
    assert fc.ece(y, p) == fc.ece(y, p[::-1][::-1])
