"""fastcal.jit from Python: the bits of the public functions, any layout, any number, and an interface that stays."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from conftest import JIT
from hypothesis import example, given
from hypothesis import strategies as st

import fastcal as fc
from fastcal import jit

DTYPES = (np.float32, np.float64)
WIDTHS = (1, 2, 3, 8, 33, 48, 49, 64, 128, 129, 130, 300, 641) if JIT else (1, 2, 3, 49, 129, 300)
TEMPERATURES = (1.0, 1.7, 0.3)
N = 12 if JIT else 5


def logits(n_classes, dtype):
    """Rows of all kinds, those that are no distribution among them."""
    rng = np.random.default_rng(n_classes)
    z = rng.standard_normal((N + 5, n_classes)) * rng.choice([0.1, 1.0, 10.0, 60.0], (N + 5, 1))
    z[0] = np.round(z[0])  # ties
    z[N, : n_classes // 2] = -np.inf
    z[N + 1, n_classes // 2] = np.inf
    z[N + 2] = -np.inf
    z[N + 3, n_classes - 1] = np.nan
    z[N + 4, 0] = z[N + 4, n_classes - 1] = np.inf
    return z.astype(dtype)


def same(found, expected):
    expected = np.asarray(expected)
    found = np.asarray(found)
    assert found.astype(expected.dtype).tobytes() == expected.tobytes() or np.array_equal(
        found, expected, equal_nan=True
    ), (found, expected)


def filled(function, rows, *more):
    """What a function makes of each row, in an array of its own."""
    out = np.empty_like(rows)
    for row, target in zip(rows, out, strict=True):
        function(row, target, *more)
    return out


def each(function, rows, *more):
    """The columns of what a function returns of each row."""
    return [np.array(column) for column in zip(*[function(row, *more) for row in rows], strict=True)]


def columns(summary):
    return summary.prediction, summary.confidence, summary.margin, summary.entropy, summary.logsumexp


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_classes", WIDTHS)
def test_rows_of_logits_have_the_bits_of_the_public_functions(n_classes, dtype):
    z = logits(n_classes, dtype)
    for temperature in TEMPERATURES:
        same(filled(jit.softmax, z, temperature), fc.softmax(z, temperature=temperature))
        same(filled(jit.log_softmax, z, temperature), fc.log_softmax(z, temperature=temperature))
        same([jit.logsumexp(row, temperature) for row in z], fc.logsumexp(z, temperature=temperature))
        found = each(jit.softmax_summary, z, temperature)
        for one, other in zip(found, columns(fc.softmax_summary(z, temperature=temperature)), strict=True):
            same(one, other)
        out = np.empty_like(z)
        jit.softmax_rows(z, out, temperature)
        same(out, fc.softmax(z, temperature=temperature))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_classes", WIDTHS)
def test_rows_with_a_label_have_the_bits_of_the_public_functions(n_classes, dtype):
    z = logits(n_classes, dtype)[: N + 1]
    p = fc.softmax(z)
    y = np.arange(N + 1) % n_classes
    same([jit.entropy(row) for row in p], fc.entropy(p))
    for k in range(0, N + 1, 1 if JIT else 3):
        one = y[k : k + 1]
        if n_classes > 1:
            expected = [score(one, z[k : k + 1], from_logits=True) for score in (fc.nll, fc.brier_score)]
            assert [float(score) for score in jit.scores_from_logits(y[k], z[k], 1.0)] == expected
            assert float(jit.nll(y[k], p[k])) == fc.nll(one, p[k : k + 1])
            assert float(jit.brier_score(y[k], p[k])) == fc.brier_score(one, p[k : k + 1])
    assert np.isnan([jit.nll(-1, p[0]), jit.nll(n_classes, p[0]), jit.brier_score(-1, p[0])]).all()
    assert np.isnan(jit.scores_from_logits(n_classes, z[0], 1.0)).all()
    assert np.isnan(jit.scores_from_logits(0, z[0], -1.0)).all()
    nan = np.full(n_classes, np.nan, dtype)
    assert np.isnan([jit.entropy(nan), jit.nll(0, nan), jit.brier_score(0, nan)]).all()
    assert np.isnan(jit.scores_from_logits(0, nan, 1.0)).all()
    assert np.isnan(jit.scores_from_logits(0, np.full(n_classes, -np.inf, dtype), 1.0)).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf, 1e-320])
def test_a_temperature_that_is_none_gives_nan(temperature):
    z = np.array([1.0, 2.0, 3.0])
    for function in (jit.softmax, jit.log_softmax):
        assert np.isnan(filled(function, z[None], temperature)).all()
    rows = np.ones((2, 3))
    jit.softmax_rows(rows, rows, temperature)
    assert np.isnan(rows).all()
    assert math.isnan(jit.logsumexp(z, temperature))
    assert jit.softmax_summary(z, temperature)[0] == -1
    assert np.isnan(jit.softmax_summary(z, temperature)[1:]).all()


def test_nothing_at_all():
    none = np.empty(0)
    jit.softmax(none, none, 1.0)
    jit.log_softmax(none, none, 1.0)
    jit.softmax_rows(np.empty((3, 0)), np.empty((3, 0)), 1.0)
    jit.softmax_rows(np.empty((0, 3)), np.empty((0, 3)), 1.0)
    assert jit.logsumexp(none, 1.0) == -np.inf
    assert jit.entropy(none) == 0
    assert jit.softmax_summary(none, 1.0)[0] == -1
    assert math.isnan(jit.brier_score(0, none))
    assert jit.pool_adjacent_violators(none, None, none, np.empty((6, 0))) == 0
    assert math.isnan(jit.interpolate(0.5, none, none))
    assert math.isnan(jit.calibration_error(np.zeros((15, 4), np.int64)))
    for members in (np.empty((0, 3)), np.empty((3, 0))):
        assert jit.ensemble_uncertainty(members, np.empty(335), False)[0] == -1


@pytest.mark.parametrize("n_classes", [2, 5, 300])
def test_any_layout_and_in_place(n_classes):
    z = logits(n_classes, np.float64)
    for function, public in ((jit.softmax, fc.softmax), (jit.log_softmax, fc.log_softmax)):
        expected = public(z)
        columns_, reverse = np.asfortranarray(z), z[:, ::-1]
        for row in range(0, N + 5, 3):
            out = np.zeros((n_classes, 2))
            function(columns_[row], out[:, 0], 1.0)
            same(out[:, 0], expected[row])
            own = reverse[row].copy()[::-1]
            function(own, own, 1.0)
            same(own, expected[row])
    frozen = z[0].copy()
    frozen.flags.writeable = False
    out = np.empty(n_classes)
    jit.softmax(frozen, out, 1.0)
    same(out, fc.softmax(z)[0])
    rows = z.copy()
    jit.softmax_rows(rows, rows, 1.0)
    same(rows, fc.softmax(z))


def test_what_is_no_row_is_refused_by_name():
    row, rows = np.ones(3), np.ones((2, 3))
    frozen = np.ones(3)
    frozen.flags.writeable = False
    for given_, message in ((np.arange(3), "int64"), (rows, "2d"), (row.astype(np.float16), "float16")):
        with pytest.raises(TypeError, match=f"expected a row, a 1-D array of float32 or float64, not.*{message}"):
            jit.logsumexp(given_)
    for out in (row.astype(np.float32), rows, frozen):
        with pytest.raises(TypeError, match="expected an array for results that can be written, like"):
            jit.softmax(row, out)
    for given_ in (rows.T, row):
        with pytest.raises(TypeError, match="expected rows, a C-contiguous 2-D array"):
            jit.softmax_rows(given_, given_)


@pytest.mark.parametrize("from_logits", [False, True])
def test_members_of_an_ensemble(from_logits):
    dtype = np.float64  # one of them: it takes 10 s to compile
    for n_classes in (1, 2, 9, 48, 128, 129) if JIT else (3, 129):
        for n_members in (1, 4):
            z = np.stack([logits(n_classes, dtype)[k : k + 3] for k in range(n_members)])
            members = z if from_logits else fc.softmax(z)
            found = fc.ensemble_uncertainty(members, from_logits=from_logits)
            n = 5 * n_classes + 320
            space = np.full(n + 1500, 7.0, dtype)
            work = space[:n]
            rows = [np.ascontiguousarray(members[:, row]) for row in range(3)]
            names = ("max_probability", "softmax_variance", "predictive_entropy", "expected_entropy")
            names = ("prediction", *names, "mutual_information", "variation_ratio")
            for name, column in zip(names, each(jit.ensemble_uncertainty, rows, work, from_logits), strict=True):
                same(column, getattr(found, name))
            assert (space[n:] == 7).all()
    nan = np.full((2, 3), np.nan, dtype)
    assert jit.ensemble_uncertainty(nan, work, from_logits)[0] == -1


edges_of = st.integers(1, 40).map(lambda n: np.linspace(0, 1, n + 1))
scores = st.floats(-0.5, 1.5) | st.floats(0, 1, width=32)


@given(edges_of, st.lists(scores, min_size=1, max_size=20), st.integers(0, 40))
def test_bins_are_those_of_searchsorted(edges, given_, edge):
    at = edges[edge % len(edges)]
    p = np.array([*given_, at, np.nextafter(at, 2), np.nextafter(at, -1)])
    n_bins = len(edges) - 1
    expected = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, n_bins - 1).tolist()
    assert [jit.bin_index(x, edges) for x in p] == expected
    assert [jit.uniform_bin_index(x, n_bins) for x in p] == expected
    assert [jit.uniform_bin_index(np.float32(x), n_bins) for x in p] == [jit.bin_index(np.float32(x), edges) for x in p]


def test_no_bin_for_nan():
    edges = np.array([0.0, 0.5, 1.0])
    assert jit.bin_index(np.nan, edges) == jit.uniform_bin_index(np.nan, 2) == -1
    assert jit.bin_index(-np.inf, edges) == jit.uniform_bin_index(-np.inf, 2) == 0
    assert jit.bin_index(np.inf, edges) == jit.uniform_bin_index(np.inf, 2) == 1
    bins = np.zeros((2, 4), np.int64)
    jit.add_to_bins(bins, -1, 0.5, 1)
    jit.add_to_bins(bins, 2, 0.5, 1)
    assert not bins.any()


def binned(p, y, n_bins):
    bins = np.zeros((n_bins, 4), np.int64)
    for confidence, outcome in zip(p, y, strict=True):
        jit.add_to_bins(bins, jit.uniform_bin_index(confidence, n_bins), confidence, outcome)
    return bins


rows_of_p = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


@given(rows_of_p, st.integers(0, 30), st.integers(1, 16))
@example([(1.0, 1), (1.0, 0), (0.0, 0), (1e-300, 1)], 2, 3)
def test_bins_of_parts_add_up_and_are_those_of_the_report(rows, cut, n_bins):
    p, y = np.array(rows).T
    y = y.astype(np.int64)
    bins = binned(p, y, n_bins)
    parts = binned(p[cut:], y[cut:], n_bins) + binned(p[:cut], y[:cut], n_bins)
    curve = fc.reliability_curve(y, p, n_bins=n_bins)
    assert jit.calibration_error(parts) == jit.calibration_error(bins)
    assert abs(jit.calibration_error(bins) - fc.ece(y, p, n_bins=n_bins)) <= 1e-15
    for j in range(n_bins):
        count, outcomes, confidence = jit.bin_sums(parts, j)
        assert (count, outcomes, confidence) == jit.bin_sums(bins, j)
        assert count == curve.count[j]
        if count:
            assert (outcomes / count, confidence / count) == (curve.accuracy[j], curve.confidence[j])


@given(
    st.lists(st.integers(-9, 9).map(float) | st.floats(-1e6, 1e6), min_size=1, max_size=40),
    st.none() | st.floats(0.1, 10),
)
def test_pooling_is_isotonic_regression(y, weight):
    y = np.array(y)
    weights = None if weight is None else weight + np.arange(len(y)) % 3
    result = fc.isotonic_regression(y, weights=weights)
    work = np.empty((6, len(y)))
    out = np.empty_like(y)
    n_blocks = jit.pool_adjacent_violators(y, weights, out, work)
    same(out, result.x)
    assert n_blocks == len(result.blocks) - 1
    same(work[0, :n_blocks], result.x[result.blocks[:-1]])
    same(work[1, :n_blocks], result.weights)
    jit.pool_adjacent_violators(y, weights, y, work)
    same(y, out)


def test_interpolation_is_that_of_isotonic_regression():
    rng = np.random.default_rng(0)
    x = rng.random(200 if JIT else 30)
    model = fc.IsotonicRegression(out_of_bounds="clip").fit(x, rng.random(len(x)) < x)
    knots, values = model.X_thresholds_, model.y_thresholds_
    asked = np.concatenate([knots, rng.random(100) * 1.4 - 0.2])
    same([jit.interpolate(one, knots, values) for one in asked], model.predict(asked))
    assert math.isnan(jit.interpolate(np.nan, knots, values))
    assert jit.interpolate(5.0, np.array([0.5]), np.array([0.25])) == 0.25
    far = np.array([-1e308, 1e308])
    assert jit.interpolate(0.0, far, np.array([0.0, 1.0])) == 0.5


def exact_sum(numbers):
    state = np.zeros(jit.SUM_SIZE, np.int64)
    for number in numbers:
        jit.add_to_sum(state, number)
    return state


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(st.lists(finite | st.sampled_from([1e16, 1.0, -1e16, 5e-324, -2.5e-310]), max_size=12), st.integers(0, 12))
@example([1.0, 2.0**-53], 0)
@example([1.0, 2.0**-53, 2.0**-1074], 1)
@example([-1.0, -(2.0**-53), -(2.0**-200)], 1)
@example([2.0**64, 2.0**31, 2.0**11, 1.0], 1)
@example([2.0**45, 1.0, 2.0**-20, 2.0**-60], 1)
@example([-(2.0**45), -(2.0**-8), -(2.0**-60)], 1)
def test_sums_are_those_of_fsum_however_cut_up(numbers, cut):
    state = exact_sum(numbers)
    assert jit.sum_of(state) == math.fsum(numbers)
    merged = exact_sum(numbers[cut:]) + exact_sum(numbers[:cut])
    assert jit.sum_of(merged) == math.fsum(numbers)
    jit.carry_sum(merged)
    jit.carry_sum(state)
    assert merged.tolist() == state.tolist()
    assert jit.sum_of(state) == math.fsum(numbers)


def test_sums_of_what_is_not_finite():
    assert jit.sum_of(exact_sum([1.0, np.inf])) == np.inf
    assert jit.sum_of(exact_sum([-np.inf, 1.0])) == -np.inf
    assert math.isnan(jit.sum_of(exact_sum([np.inf, -np.inf])))
    assert math.isnan(jit.sum_of(exact_sum([np.nan, np.inf])))
    assert jit.sum_of(exact_sum([1.7e308] * 3)) == np.inf
    assert jit.sum_of(exact_sum([1.7e308, 1.7e308, -1.7e308])) == 1.7e308


def test_elementary_functions_and_half_floats():
    for dtype in DTYPES:
        x = np.array([0.5, 1.0, 3.25, 80.0], dtype)
        for function, expected in ((jit.exp, np.exp), (jit.log, np.log), (jit.log1p, np.log1p)):
            found = np.array([function(one) for one in x])
            np.testing.assert_array_max_ulp(found.astype(dtype), expected(x), 2)
    assert (jit.exp(-1000.0), jit.exp(1000.0), jit.log(0.0)) == (0.0, np.inf, -np.inf)
    assert np.isnan([jit.exp(np.nan), jit.log(-1.0)]).all()
    bits = np.arange(0, 1 << 16, 7 if JIT else 997, dtype=np.uint16)
    same([jit.from_float16(one) for one in bits], bits.view(np.float16).astype(np.float32))
    same([jit.from_bfloat16(one) for one in bits], (bits.astype(np.uint32) << 16).view(np.float32))


# Part of the interface: a change here is a new major version of fastcal.
SIGNATURES = {
    "add_to_bins": "bins j confidence outcome",
    "add_to_sum": "state x",
    "bin_index": "p edges",
    "bin_sums": "bins j",
    "brier_score": "label p",
    "calibration_error": "bins",
    "carry_sum": "state",
    "ensemble_uncertainty": "members work from_logits=False",
    "entropy": "p",
    "exp": "x",
    "from_bfloat16": "bits",
    "from_float16": "bits",
    "interpolate": "x knots values",
    "log": "x",
    "log1p": "x",
    "log_softmax": "z out temperature=1.0",
    "logsumexp": "z temperature=1.0",
    "nll": "label p",
    "pool_adjacent_violators": "y weights out work",
    "scores_from_logits": "label z temperature=1.0",
    "softmax": "z out temperature=1.0",
    "softmax_rows": "logits out temperature=1.0",
    "softmax_summary": "z temperature=1.0",
    "sum_of": "state",
    "uniform_bin_index": "p n_bins",
}


def test_the_interface_stays():
    assert set(jit.__all__) == {*SIGNATURES, "SUM_SIZE"}
    assert jit.SUM_SIZE == 71
    for name, expected in SIGNATURES.items():
        function = getattr(jit, name)
        parameters = inspect.signature(getattr(function, "py_func", function)).parameters.values()
        found = [one.name + ("" if one.default is one.empty else f"={one.default}") for one in parameters]
        assert " ".join(found) == expected, name
        assert ">>> " in function.__doc__, name
