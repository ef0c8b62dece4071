"""Isotonic calibration: column by column the isotonic regression, by whichever way, and the maps that apply it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from test_histogram_binning import assert_same_bits, sample

import fastcal as fc
from fastcal.calibrators import isotonic_calibration
from fastcal.calibrators.maps import Maps, flat

N = 400 if JIT else 60


def maps_of(calibrator):
    for start, stop in zip(calibrator.offsets_[:-1], calibrator.offsets_[1:], strict=True):
        yield calibrator.scores_[start:stop], calibrator.values_[start:stop]


@pytest.mark.parametrize("ties", ["exact", "sklearn"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_columns", [3, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_class_has_the_knots_of_its_regression(n_columns, dtype, ties, weighted):
    p, y, w = sample(N, n_columns, dtype=dtype)
    w = w if weighted else None
    calibrator = fc.IsotonicCalibration(ties=ties).fit(p, y, w)
    assert calibrator.scores_.dtype == calibrator.values_.dtype == dtype
    found = list(maps_of(calibrator))
    for k in range(n_columns):
        regression = fc.IsotonicRegression(out_of_bounds="clip", ties=ties).fit(p[:, k], y == k, w)
        np.testing.assert_array_equal(found[k][0], regression.X_thresholds_, strict=True)
        np.testing.assert_array_equal(found[k][1], regression.y_thresholds_, strict=True)
        assert (np.diff(found[k][1]) >= 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_are_those_of_scikit_learn(weighted):
    isotonic = pytest.importorskip("sklearn.isotonic")
    p, y, w = sample(N, 5)
    w = w + 0.5 if weighted else None  # it drops no weight of 0 where it looks for the ends
    given_, _, _ = sample(N, 5, seed=1)
    maps = [isotonic.IsotonicRegression(out_of_bounds="clip").fit(p[:, k], y == k, w) for k in range(5)]
    theirs = np.stack([one.predict(given_[:, k]) for k, one in enumerate(maps)], axis=1)
    total = theirs.sum(axis=1, keepdims=True)
    theirs = np.where(total > 0, theirs / np.where(total > 0, total, 1), 0.2)
    np.testing.assert_allclose(fc.IsotonicCalibration().fit(p, y, w).predict_proba(given_), theirs, rtol=1e-9)


def columns():
    """Rare outcomes of scores with ties, gaps of many octaves, 0 and 1."""
    kinds = st.sampled_from(["spread", "ties", "ends", "octaves", "equal", "dense"])
    return st.tuples(kinds, st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 9, N // 8]))


@given(columns())
def test_counting_between_rare_scores_is_sorting(case):
    kind, seed, n_own = case
    rng = np.random.default_rng(seed)
    scores = {
        "spread": lambda: rng.random(N),
        "ties": lambda: rng.integers(0, 9, N) / 8,
        "ends": lambda: rng.choice([0.0, 1e-45, 1.0], N),
        "octaves": lambda: 2.0 ** -rng.exponential(20, N),
        "equal": lambda: np.full(N, 0.3),
        "dense": lambda: np.where(rng.random(N) < 0.1, rng.random(N), 0.5 + 1e-6 * rng.random(N)),
    }[kind]()
    scores = scores.astype(np.float32)
    scores.flags.writeable = False
    own = rng.permutation(N)[:n_own]
    found = isotonic_calibration._of_rare(scores, scores[own])
    regression = fc.IsotonicRegression().fit(scores, np.isin(np.arange(N), own))
    x, values = isotonic_calibration.thresholds(found, scores.dtype)
    np.testing.assert_array_equal(x, regression.X_thresholds_, strict=True)
    np.testing.assert_array_equal(values, regression.y_thresholds_, strict=True)


def test_a_rare_class_goes_the_short_way(monkeypatch):
    p, y, _ = sample(N, 20, dtype=np.float32)
    whole = fc.IsotonicCalibration().fit(p, y)
    monkeypatch.setattr(isotonic_calibration, "blocks", None)
    monkeypatch.setattr(isotonic_calibration, "RARE", 1)
    assert_same_bits(whole, fc.IsotonicCalibration().fit(p, y))


def test_a_missing_class_is_0_and_the_rows_left_with_nothing_uniform():
    p = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.2, 0.6, 0.2]])
    calibrator = fc.IsotonicCalibration().fit(p, [0, 1, 1])
    found = list(maps_of(calibrator))
    np.testing.assert_array_equal(found[2][1], 0)
    np.testing.assert_array_equal(calibrator.predict_proba([[0.1, 0.1, 0.8]]), [[1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_array_equal(calibrator.predict_proba(p), [[1, 0, 0], [0, 1, 0], [0, 1, 0]])


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_maps_are_straight_lines(seed, dtype):
    rng = np.random.default_rng(seed)
    knots = []
    for n in (1, 2, 40, 600 if JIT else 30):
        scores = np.unique(np.append(rng.choice([0.0, 5e-324, 1e-30, 1e-3], 3), rng.random(n) ** rng.integers(1, 30)))[
            -n:
        ]
        knots.append((scores, np.sort(rng.random(len(scores)))))
    scores, offsets = flat([one[0] for one in knots])
    maps = Maps.lines(scores, np.concatenate([one[1] for one in knots]), offsets)
    at = np.concatenate([rng.random((40, 4)), rng.choice(scores, (40, 4)), [[0.0] * 4, [1.0] * 4]]).astype(dtype)
    out = np.empty(at.shape)
    maps(at, out)
    for k, (x, value) in enumerate(knots):
        np.testing.assert_allclose(out[:, k], np.interp(at[:, k].astype(float), x, value), rtol=1e-9, atol=1e-12)
        assert (out[:, k] >= value[0]).all()
        assert (out[:, k] <= value[-1]).all()


@pytest.mark.parametrize("left", [False, True])
def test_maps_are_steps(left):
    rng = np.random.default_rng(0)
    edges = [
        np.array([0.0, 1.0]),
        np.linspace(0, 1, 16),
        np.concatenate([[0], 0.5 + np.sort(rng.random(90)) * 1e-9, [0.9, 1]]),
    ]
    values = [rng.random(len(one) - 1) for one in edges]
    together, offsets = flat(edges)
    maps = Maps.steps(together, np.concatenate(values), offsets, left=left)
    at = np.concatenate([rng.random((50, 3)), rng.choice(together, (90, 3)), 0.5 + rng.random((90, 3)) * 1e-9])
    at = np.concatenate([at, [[np.nan] * 3, [-1.0] * 3, [np.inf] * 3]])  # what is no probability reads no other memory
    out = np.empty(at.shape)
    maps(at, out)
    for k in range(3):
        place = np.searchsorted(edges[k][1:-1], at[:-3, k], side="right" if left else "left")
        np.testing.assert_array_equal(out[:-3, k], values[k][place])
        np.testing.assert_array_equal(out[-3:, k], values[k][[0, 0, -1]])


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="ties is 'some'; expected 'exact' or 'sklearn'"):
        fc.IsotonicCalibration(ties="some").fit([0.5], [1])
