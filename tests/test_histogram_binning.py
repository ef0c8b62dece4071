"""Histogram binning: its definition, its bins, and what holds for all methods that go one against the rest."""

from __future__ import annotations

import itertools

import numpy as np
import oracle_binned_calibrators as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal.calibrators import class_columns, histogram, maps, rows

METHODS = {
    "uniform": (
        lambda **options: fc.HistogramBinning(n_bins=4, **options),
        oracle.histogram(lambda *_: np.linspace(0, 1, 5)),
    ),
    "left": (
        lambda **options: fc.HistogramBinning(n_bins=4, closed="left", **options),
        oracle.histogram(lambda *_: np.linspace(0, 1, 5), left=True),
    ),
    "edges": (
        lambda **options: fc.HistogramBinning(binning=[0, 0.1, 0.5, 1], **options),
        oracle.histogram(lambda *_: np.array([0, 0.1, 0.5, 1])),
    ),
    "quantile": (
        lambda **options: fc.HistogramBinning(n_bins=5, binning="quantile", **options),
        oracle.histogram(oracle.quantile_edges(5)),
    ),
    "isotonic": (fc.IsotonicCalibration, oracle.isotonic_map),
    "bbq": (fc.BBQ, oracle.bbq),
}
COLUMNS = [0, 2, 3, 20] if JIT else [0, 3]
every = pytest.mark.parametrize("method", METHODS)


def sample(n, n_columns, seed=0, dtype=np.float64, ties=False):
    """Probabilities (n,) or (n, K), labels, and weights, some of them 0."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, (n, max(n_columns, 2)))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p = rng.multinomial(16, p) / 16 if ties else p
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, max(n_columns, 2) - 1)
    w = rng.exponential(size=n) * (rng.random(n) < 0.8) + (np.arange(n) == 0)
    return (p[:, 1] if n_columns == 0 else p).astype(dtype), y, w


def fitted(calibrator):
    return {name: getattr(calibrator, name) for name in calibrator.fitted}


def assert_same_bits(one, other):
    for name, value in fitted(one).items():
        np.testing.assert_array_equal(value, getattr(other, name), strict=True, err_msg=name)


@pytest.fixture
def in_small_pieces(monkeypatch):
    """Blocks of 64 rows, on threads, a few columns at a time."""
    monkeypatch.setattr(rows, "BLOCK_SIZE", 64)
    monkeypatch.setattr(rows, "WAVE_BYTES", 1)
    monkeypatch.setattr(class_columns, "GROUP_BYTES", 1)
    monkeypatch.setattr(class_columns, "LEAST_COLUMNS", 2)
    monkeypatch.setattr("fastcal.engine.SMALL", 0)
    monkeypatch.setenv("FASTCAL_NUM_THREADS", "3")


@every
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_columns", COLUMNS)
def test_is_its_definition(method, n_columns, weighted, monkeypatch):
    monkeypatch.setattr(maps, "PLACES", 64)
    monkeypatch.setattr(maps, "LEAST_ROWS", 8)
    make, twin = METHODS[method]
    p, y, w = sample(70 if JIT else 40, n_columns, ties=n_columns == 3)
    other = sample(30, n_columns, seed=1)[0]
    w = w if weighted else None
    found = make().fit(p, y, w).predict_proba(other)
    tolerance = {"rtol": 1e-9, "atol": 2e-6} if method == "bbq" else {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(found, oracle.one_against_rest(other, twin, p, y, w), **tolerance)


@every
@pytest.mark.parametrize("weighted", [False, True])
def test_any_source_gives_the_same_bits(method, weighted, in_small_pieces, monkeypatch):
    make = METHODS[method][0]
    n, n_columns = (300, 20) if JIT else (70, 5)
    p, y, w = sample(n, n_columns, dtype=np.float32)
    whole = make().fit(p, y, w if weighted else None)
    cuts = [0, 1, 1, n // 4, n - 5, n - 4, n]
    batches = [(p[i:j], y[i:j], *([w[i:j]] if weighted else [])) for i, j in itertools.pairwise(cuts)]
    alone = make(n_threads=1)
    assert_same_bits(whole, alone.fit(p, y, w if weighted else None))
    assert_same_bits(whole, make().fit_batches(batches))
    monkeypatch.setattr(class_columns, "HELD_BYTES", n * 4 * 3)
    assert_same_bits(whole, make().fit_batches(batches))
    assert_same_bits(whole, make().fit_batches(iter(batches)))


@every
def test_logits_are_the_same_as_their_softmax(method):
    make = METHODS[method][0]
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 2, (200, 4)), rng.integers(0, 4, 200)
    z[3, 1] = -np.inf
    z[4] = [1e300, -1e300, 0, 1e300]
    p = fc.softmax(z, axis=1)
    by_logits, by_probs = make(input="logits").fit(z, y), make().fit(p, y)
    np.testing.assert_allclose(by_logits.predict_proba(z), by_probs.predict_proba(p), rtol=1e-6, atol=1e-9)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_columns_are_one(method, dtype):
    make = METHODS[method][0]
    p, y, w = sample(200, 2, dtype=dtype)
    two, one = make().fit(p, y, w), make().fit(p[:, 1], y, w)
    assert_same_bits(two, one)
    found = two.predict_proba(p)
    np.testing.assert_array_equal(found[:, 1], one.predict_proba(p[:, 1]), strict=True)
    np.testing.assert_array_equal(two.predict(p), one.predict(p[:, 1]))
    assert found.dtype == dtype


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 2, 3, 20]), st.booleans(), st.sampled_from(sorted(METHODS)))
def test_the_order_of_rows_changes_nothing(seed, n_columns, ties, method):
    make = METHODS[method][0]
    p, y, _ = sample(60 if JIT else 20, n_columns, seed, np.float32, ties)
    order = np.random.default_rng(seed).permutation(len(p))
    assert_same_bits(make().fit(p, y), make().fit(p[order], y[order]))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3, 20]), st.sampled_from(sorted({*METHODS} - {"quantile"})))
def test_a_weight_is_a_number_of_rows(seed, n_columns, method):
    make = METHODS[method][0]
    p, y, _ = sample(50 if JIT else 15, n_columns, seed)
    times = np.random.default_rng(seed).integers(0, 3, len(p))
    times[0] = 1
    weighted = make().fit(p, y, times)
    repeated = make().fit(p.repeat(times, axis=0), y.repeat(times))
    np.testing.assert_allclose(weighted.predict_proba(p), repeated.predict_proba(p), rtol=1e-9, atol=1e-12)


@every
def test_weights_of_one_are_no_weights(method):
    make = METHODS[method][0]
    p, y, _ = sample(100, 3)
    one, none = make().fit(p, y, np.ones(100)), make().fit(p, y)
    np.testing.assert_allclose(one.predict_proba(p), none.predict_proba(p), rtol=1e-12)


@every
@pytest.mark.parametrize("n_columns", COLUMNS)
@pytest.mark.parametrize(
    "case",
    ["separable", "all wrong", "constant", "one class", "class missing", "zeros and ones", "one row", "tiny weights"],
)
def test_edge_cases_end_in_distributions(method, n_columns, case):
    make = METHODS[method][0]
    p, y, _ = sample(60 if JIT else 25, n_columns)
    k = max(n_columns, 2)
    label = p.argmax(axis=1) if n_columns else (p > 0.5).astype(int)
    weights = None
    if case == "separable":
        y = label
    elif case == "all wrong":
        y = (label + 1) % k
    elif case == "constant":
        p = np.full(p.shape, 1 / k)
    elif case == "one class":
        y = np.full(len(y), 1)
    elif case == "class missing":
        y = np.minimum(y, k - 2)
    elif case == "zeros and ones":
        p = np.eye(k)[label] if n_columns else label.astype(float)
    elif case == "one row":
        p, y = p[:1], y[:1]
    else:
        weights = np.where(np.arange(len(y)) % 2, 1e-100, 1e100)
    calibrator = make().fit(p, y, weights)
    found = calibrator.predict_proba(p)
    assert ((found >= 0) & (found <= 1)).all()
    if n_columns:
        np.testing.assert_allclose(found.sum(axis=1), 1)
    if case == "constant":
        bbq = {"rtol": 0.2, "atol": 0.05}
        share = np.bincount(y, minlength=k) / len(y)
        want = share[1] if n_columns == 0 else share
        np.testing.assert_allclose(found[0], want, **(bbq if method == "bbq" else {"rtol": 1e-12}))
    if case == "one class" and method != "bbq":
        np.testing.assert_array_equal(found[:, 1] if n_columns else found, 1)


@every
def test_bad_rows_are_named_and_change_nothing(method):
    make = METHODS[method][0]
    p, y, w = sample(40, 3)
    calibrator = make().fit(p, y)
    before = {name: np.copy(value) for name, value in fitted(calibrator).items()}
    bad = p.copy()
    bad[17, 1] = 1.2
    with pytest.raises(fc.DataError, match=r"scores\[17, 1\] is 1.2"):
        calibrator.fit(bad, y)
    with pytest.raises(fc.DataError, match=r"y_true\[5\] is 3"):
        calibrator.fit(p, np.where(np.arange(40) == 5, 3, y))
    with pytest.raises(fc.DataError, match=r"sample_weight\[0\] is 0.0, as all the others"):
        calibrator.fit(p, y, np.zeros(40))
    with pytest.raises(fc.DataError, match=r"sample_weight\[7\] is -1"):
        calibrator.fit(p, y, np.where(np.arange(40) == 7, -1, w))
    with pytest.raises(fc.DataError, match="batches has no rows"):
        calibrator.fit_batches([(p[:0], y[:0])])
    for name, value in before.items():
        np.testing.assert_array_equal(value, getattr(calibrator, name))


@every
def test_rounding_of_0_and_1_counts_as_them(method):
    make = METHODS[method][0]
    p, y, _ = sample(60, 3)
    p[:5] = [1.00001, -0.00001, 0]
    calibrator = make().fit(p, y)
    assert_same_bits(calibrator, make().fit(np.clip(p, 0, 1), y))
    np.testing.assert_array_equal(calibrator.predict_proba(p), calibrator.predict_proba(np.clip(p, 0, 1)))


@every
def test_float16_is_its_float32(method):
    make = METHODS[method][0]
    p, y, _ = sample(60, 3, dtype=np.float16, ties=True)
    half, single = make().fit(p, y), make().fit(p.astype(np.float32), y)
    assert_same_bits(half, single)
    np.testing.assert_array_equal(half.predict_proba(p), single.predict_proba(p.astype(np.float32)), strict=True)


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bins_are_calibrated_on_their_own_rows(binning, dtype):
    p, y, _ = sample(500, 0, dtype=dtype)
    calibrator = fc.HistogramBinning(n_bins=10, binning=binning).fit(p, y)
    q = calibrator.predict_proba(p.astype(np.float64))
    bins = np.searchsorted(calibrator.edges_[1:-1], p.astype(np.float64), side="left")
    for j in np.unique(bins):
        np.testing.assert_allclose(q[bins == j].mean(), y[bins == j].mean(), rtol=1e-12)
    assert fc.ece(y, q, n_bins=10_000) < 1e-12


def test_what_is_fitted():
    calibrator = fc.HistogramBinning(n_bins=4).fit([0.0, 0.25, 0.26, 1.0], [0, 1, 1, 1])
    np.testing.assert_array_equal(calibrator.edges_, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(calibrator.values_, [0.5, 1, 0.625, 1])
    np.testing.assert_array_equal(calibrator.weight_, [2, 1, 0, 1])
    assert calibrator.n_empty_ == 1
    left = fc.HistogramBinning(n_bins=4, closed="left").fit([0.0, 0.25, 0.26, 1.0], [0, 1, 1, 1])
    np.testing.assert_array_equal(left.weight_, [1, 2, 0, 1])
    assert left.predict_proba([0.25])[0] == 1
    assert left.predict_proba([np.nextafter(0.25, 0)])[0] == 0


def test_the_closure_is_the_one_that_was_fitted():
    calibrator = fc.HistogramBinning(n_bins=2).fit([0.5, 0.6], [0, 1])
    assert calibrator.set_params(closed="left").predict_proba([0.5])[0] == 0


def test_many_bins_are_counted_in_one_thread_alike(monkeypatch):
    p, y, _ = sample(100, 3)
    few = fc.HistogramBinning(n_bins=8).fit(p, y)
    monkeypatch.setattr(histogram, "MOST_SUMS", 1)
    assert_same_bits(few, fc.HistogramBinning(n_bins=8).fit(p, y))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"n_bins": 0}, "n_bins is 0"),
        ({"n_bins": 2.5}, "n_bins is 2.5"),
        ({"binning": "mass"}, "binning is 'mass'"),
        ({"binning": [0, 0.5]}, "edges rise from 0 to 1"),
        ({"binning": [0, 0.5, 1], "n_bins": 3}, "n_bins is 3"),
        ({"closed": "both"}, "closed is 'both'"),
        ({"closed": "left", "binning": "quantile"}, "closed='left' does not apply"),
    ],
)
def test_bad_parameters_are_named(options, problem):
    with pytest.raises(ValueError, match=problem):
        fc.HistogramBinning(**options).fit([0.5], [1])


def broken(calibrator, **changes):
    for name, value in changes.items():
        setattr(calibrator, name, value)
    return calibrator


@every
def test_what_a_file_may_not_hold_is_refused(method):
    make = METHODS[method][0]
    p, y, _ = sample(60, 3)
    calibrator = make().fit(p, y)
    calibrator._check_fitted()
    scores = "scores_" if method == "isotonic" else "edges_"
    good = {name: np.copy(value) for name, value in fitted(calibrator).items()}
    upside_down = good[scores].copy()
    upside_down[:2] = upside_down[1::-1]
    for name, value in [
        ("offsets_", good["offsets_"][:-1]),
        ("offsets_", good["offsets_"] + 1),
        ("offsets_", good["offsets_"].astype(float)),
        ("offsets_", np.array([0, 10**6, 2 * 10**6, good["offsets_"][-1]])),
        ("values_", good["values_"][:-1]),
        ("values_", good["values_"] + np.nan),
        ("values_", good["values_"] + 1.5),
        (scores, good[scores] - 0.5),
        (scores, upside_down),
        (scores, good[scores].reshape(1, -1)),
        *([("values_", good["values_"][::-1])] if method == "isotonic" else []),
        *([("weight_", -good["weight_"]), ("weight_", good["weight_"][:-1])] if "weight_" in good else []),
        *([("closed_", "both")] if "closed_" in good else []),
        *([("n_models_", good["n_models_"][:-1])] if method == "bbq" else []),
    ]:
        with pytest.raises(ValueError):  # noqa: PT011 - each its own
            broken(calibrator, **{**good, name: value})._check_fitted()
