"""The CORP decomposition: an identity, its signs, its bands, its errors."""

from __future__ import annotations

import numpy as np
import oracle_ordered
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc


@st.composite
def forecasts(draw):
    """Labels, probabilities with ties, 0 and 1, and weights or none."""
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = rng.random(n)
    if draw(st.booleans()):
        p = np.round(p, 1)
    y = (rng.random(n) < p).astype(int)
    w = draw(st.sampled_from([None, rng.random(n) + 0.1]))
    return y, p, w


@pytest.mark.parametrize("score", ["brier", "log"])
@given(forecasts())
def test_identity_signs_and_definition(score, rows):
    y, p, w = rows
    found = fc.score_decomposition(y, p, score=score, sample_weight=w)
    expected = oracle_ordered.score_decomposition(y, p, sample_weight=w, score=score)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-11, abs=1e-12)
    assert found.miscalibration >= 0
    assert found.discrimination >= 0
    assert found.uncertainty >= 0
    if np.isfinite(found.score):
        assert found.score == pytest.approx(found.miscalibration - found.discrimination + found.uncertainty, abs=1e-14)
    mean = (fc.brier_score if score == "brier" else fc.nll)(y, p, sample_weight=w)
    assert found.score == mean


def test_calibrated_forecasts_have_no_miscalibration():
    y, p = [0, 0, 0, 1, 1, 1, 1, 0], [0.25] * 4 + [0.75] * 4
    found = fc.score_decomposition(y, p)
    assert found == (0.1875, 0.0, 0.0625, 0.25)
    assert fc.score_decomposition([0, 1], [0.5, 0.5]) == (0.25, 0.0, 0.0, 0.25)
    certain = fc.score_decomposition([0, 1], [1.0, 1.0], score="log")
    assert certain.score == certain.miscalibration == np.inf
    assert certain.uncertainty == pytest.approx(np.log(2))


def test_curve_blocks_and_knots():
    curve = fc.corp_curve([0, 1, 0, 1, 1], [0.1, 0.2, 0.4, 0.4, 0.9])
    assert curve.event_rate.tolist() == [0.0, pytest.approx(2 / 3), 1.0]
    assert curve.first.tolist() == [0.1, 0.2, 0.9]
    assert curve.last.tolist() == [0.1, 0.4, 0.9]
    assert curve.weight.tolist() == [1, 3, 1]
    assert curve.x.tolist() == [0.1, 0.2, 0.4, 0.9]
    assert curve.lower is curve.upper is None


@pytest.mark.parametrize("band", ["consistency", "confidence"])
def test_bands(band):
    rng = np.random.default_rng(0)
    p = np.round(rng.random(2000), 2)
    y = rng.random(2000) < p
    one = fc.corp_curve(y, p, band=band, n_resamples=200, random_state=1, n_threads=1)
    two = fc.corp_curve(y, p, band=band, n_resamples=200, random_state=1, n_threads=2)
    np.testing.assert_array_equal(one.lower, two.lower)
    np.testing.assert_array_equal(one.upper, two.upper)
    assert (one.lower <= one.upper).all()
    assert (np.diff(one.lower) >= 0).all()
    centre = one.x if band == "consistency" else one.fitted
    inside = (one.lower - 1e-12 <= centre) & (centre <= one.upper + 1e-12)
    assert inside.mean() > 0.8
    wider = fc.corp_curve(y, p, band=band, n_resamples=200, random_state=1, level=0.99)
    assert (wider.lower <= one.lower).all()
    assert (wider.upper >= one.upper).all()
    assert 0.005 < np.mean(one.upper - one.lower) < 0.2


def test_a_miscalibrated_forecast_leaves_its_consistency_band():
    rng = np.random.default_rng(0)
    p = rng.random(5000)
    y = rng.random(5000) < p**3
    curve = fc.corp_curve(y, p, band="consistency", random_state=0)
    assert np.mean((curve.fitted < curve.lower) | (curve.fitted > curve.upper)) > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"band": "both"}, "band is 'both'"),
        ({"level": 1.0}, "level is 1.0"),
        ({"n_resamples": 0}, "n_resamples is 0"),
        ({"band": "confidence", "sample_weight": [1, 1]}, "sample_weight is given"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        fc.corp_curve([0, 1], [0.2, 0.8], **options)


@pytest.mark.parametrize("function", [fc.score_decomposition, fc.corp_curve])
def test_bad_rows(function):
    with pytest.raises(fc.DataError, match=r"y_prob\[1\] is 1.5; probabilities lie in"):
        function([0, 1], [0.2, 1.5])
    with pytest.raises(fc.DataError, match=r"y_true\[1\] is 2"):
        function([0, 2], [0.2, 0.5])
    with pytest.raises(fc.DataError, match=r"y_prob has shape \(2, 2\)"):
        function([0, 1], [[0.2, 0.8]] * 2)
    with pytest.raises(fc.DataError, match=r"^y_prob\[1\] is nan$"):  # no nan_policy is offered that there is not
        function([0, 1], [0.2, np.nan])
    with pytest.raises(ValueError, match="score is 'spherical'"):
        fc.score_decomposition([0, 1], [0.2, 0.5], score="spherical")
