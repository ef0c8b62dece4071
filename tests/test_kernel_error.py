"""The squared kernel calibration error: its definition, its mean over simulated models, its test, its errors."""

from __future__ import annotations

import math

import numpy as np
import oracle_kernel
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from strategies import rows

import fastcal as fc
from fastcal import engine
from fastcal.metrics import kernel_error

FORMS = [("laplacian", "total-variation"), ("laplacian", "euclidean"), ("gaussian", "euclidean")]
SIMULATIONS = 2000 if JIT else 100


def drawn(rng, p):
    """Labels with the probabilities of the rows: what makes a model calibrated."""
    return np.minimum((p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1), p.shape[1] - 1)


def calibrated(rng, n, n_classes):
    p = rng.dirichlet(np.full(n_classes, 0.5), n)
    return drawn(rng, p), p


def overconfident(rng, n, n_classes):
    y, p = calibrated(rng, n, n_classes)
    p = p**3
    return y, p / p.sum(axis=1, keepdims=True)


def assert_close(found, expected, tolerance):
    assert found.n_blocks == expected["n_blocks"]
    for name in ("statistic", "standard_error", "bandwidth"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=tolerance, atol=tolerance, err_msg=name)
    if found.standard_error > 1e-3:
        assert found.p_value == pytest.approx(expected["p_value"], abs=1e3 * tolerance)


@given(rows(min_rows=2, max_rows=30, weighted=False), st.sampled_from(FORMS), st.data())
def test_it_is_its_definition(given, form, data):
    kernel, distance = form
    options = {
        "kernel": kernel,
        "distance": distance,
        "bandwidth": data.draw(st.sampled_from([None, 0.1, 1, 30.0])),
        "block_size": data.draw(st.sampled_from([2, 3, 7, 30])),
        "from_logits": given.from_logits,
    }
    found = fc.kernel_calibration_test(given.labels, given.scores, **options)
    if found.bandwidth > 1e-3:  # the softmax of float32 logits is rounded to float32, which a small one magnifies
        tolerance = 1e-12 if given.scores.dtype == np.float64 else 1e-5
        assert_close(found, oracle_kernel.kernel_calibration_test(given.labels, given.scores, **options), tolerance)
    assert fc.kernel_calibration_error(given.labels, given.scores, **options) == found.statistic


@pytest.mark.parametrize("n_classes", [1, 2, 3, 10, 48, 49, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("form", FORMS)
def test_any_number_of_classes_and_any_float(form, dtype, n_classes):
    kernel, distance = form
    y, p = calibrated(np.random.default_rng(n_classes), 31, n_classes)
    p = p.astype(dtype)
    found = fc.kernel_calibration_test(y, p, kernel=kernel, distance=distance, block_size=3)
    assert_close(
        found, oracle_kernel.kernel_calibration_test(y, p, kernel=kernel, distance=distance, block_size=3), 1e-13
    )


def test_one_probability_a_row_is_two_classes():
    rng = np.random.default_rng(0)
    y, p = calibrated(rng, 101, 2)
    z = np.log(p[:, 1] / p[:, 0])
    two = fc.kernel_calibration_test(y, p)
    np.testing.assert_allclose(fc.kernel_calibration_test(y, p[:, 1]), two, rtol=1e-9)
    np.testing.assert_allclose(fc.kernel_calibration_test(y, z, from_logits=True), two, rtol=1e-9)
    np.testing.assert_allclose(fc.kernel_calibration_test(y, np.log(p), from_logits=True), two, rtol=1e-9)


def test_by_hand():
    half = [[0.5, 0.5]] * 2
    assert fc.kernel_calibration_error([0, 0], half) == 0.5
    assert fc.kernel_calibration_error([0, 1], half) == -0.5
    # apart by 0.5 in total variation: k = 1/e at that bandwidth; errors (0.25, -0.25) and (0.75, -0.75)
    rows = [[0.75, 0.25], [0.25, 0.75]]
    assert fc.kernel_calibration_error([0, 0], rows, bandwidth=0.5) == pytest.approx(0.375 / math.e)
    assert fc.kernel_calibration_error([0, 0], rows) == pytest.approx(0.375 / math.e)  # their median, too
    euclidean = math.sqrt(0.5)
    expected = 0.375 * math.exp(-(euclidean**2) / 2 / 4)
    assert fc.kernel_calibration_error([0, 0], rows, kernel="gaussian", bandwidth=2) == pytest.approx(expected)


def test_confident_rows_keep_their_digits():
    off = 2.0**-40
    rows = [[1 - off, off]] * 2
    assert fc.kernel_calibration_error([0, 0], rows) == 2 * off**2


@pytest.mark.parametrize("block_size", [2, 5, 20])
@pytest.mark.parametrize("model", [calibrated, overconfident])
def test_the_mean_over_simulations_is_the_error_and_the_diagonal_would_show(model, block_size):
    """Predictions are three rows, so that the error of the model is known."""
    rng = np.random.default_rng(block_size)
    _, rows = model(rng, 3, 3)
    rates = rows if model is calibrated else (rows + rng.dirichlet(np.ones(3), 3)) / 2
    weights = np.array([0.5, 0.3, 0.2])
    truth = oracle_kernel.error_of_a_model(weights, rows, rates, "laplacian", "total-variation", 0.5)
    found, biased = [], []
    for _ in range(SIMULATIONS):
        which = rng.choice(3, 20, p=weights)
        y, p = drawn(rng, rates[which]), rows[which]
        found.append(fc.kernel_calibration_error(y, p, bandwidth=0.5, block_size=block_size))
        diagonal = ((np.eye(3)[y] - p) ** 2).sum(axis=1).mean()
        biased.append((diagonal + (block_size - 1) * found[-1]) / block_size)
    with_diagonal = {"bandwidth": 0.5, "block_size": block_size, "diagonal": True}
    assert biased[-1] == pytest.approx(oracle_kernel.kernel_calibration_error(y, p, **with_diagonal))
    assert abs(np.mean(found) - truth) < 3 * np.std(found) / math.sqrt(len(found))
    if JIT:
        assert abs(np.mean(biased) - truth) > 6 * np.std(biased) / math.sqrt(len(biased))
    assert (truth == 0) == (model is calibrated)


@pytest.mark.parametrize("form", FORMS)
def test_the_median_of_distances_leaves_it_unbiased_under_calibration(form):
    kernel, distance = form
    rng = np.random.default_rng(1)
    found = []
    for _ in range(SIMULATIONS):
        y, p = calibrated(rng, 12, 4)
        found.append(fc.kernel_calibration_error(y, p, kernel=kernel, distance=distance, block_size=4))
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found))


@pytest.mark.parametrize("block_size", [2, 4])
def test_p_values_of_calibrated_models_are_uniform(block_size):
    rng = np.random.default_rng(2)
    n_simulations, n = (1000, 200 * block_size) if JIT else (50, 40)
    tests = [fc.kernel_calibration_test(*calibrated(rng, n, 3), block_size=block_size) for _ in range(n_simulations)]
    p = np.array([test.p_value for test in tests])
    assert kstest(p, "uniform").pvalue > 0.01
    if JIT:
        assert 0.035 < np.mean(p < 0.05) < 0.07
        spread = np.std([test.statistic for test in tests])
        assert spread == pytest.approx(np.mean([test.standard_error for test in tests]), rel=0.1)


@pytest.mark.parametrize(("n_classes", "block_size"), [(2, 2), (3, 2), (5, 10), (10, 20)])
def test_miscalibrated_models_are_found_out(n_classes, block_size):
    rng = np.random.default_rng(3)
    y, p = calibrated(rng, 1000, n_classes)
    found = fc.kernel_calibration_test((y + 1) % n_classes, p, block_size=block_size)
    assert found.statistic > 4 * found.standard_error > 0
    assert found.p_value < 1e-4
    if JIT:  # most labels are right here, and the errors of one row resemble those of few others
        y, p = overconfident(rng, 40_000, n_classes)
        assert fc.kernel_calibration_test(y, p, block_size=block_size).p_value < 1e-4


def test_larger_blocks_are_more_certain():
    y, p = calibrated(np.random.default_rng(4), 1000, 3)
    errors = [fc.kernel_calibration_test(y, p, block_size=size).standard_error for size in (2, 4, 10)]
    assert errors[0] > 1.4 * errors[1] > 1.96 * errors[2]


def test_blocks_are_consecutive_and_an_incomplete_one_is_left_out_unless_it_is_the_only_one():
    y, p = calibrated(np.random.default_rng(5), 11, 3)
    options = {"bandwidth": 1.0, "block_size": 4}
    parts = [fc.kernel_calibration_error(y[i : i + 4], p[i : i + 4], **options) for i in (0, 4)]
    assert fc.kernel_calibration_error(y, p, **options) == pytest.approx(np.mean(parts), abs=1e-16)
    assert fc.kernel_calibration_error(y[:8], p[:8], **options) == fc.kernel_calibration_error(y, p, **options)
    alone = fc.kernel_calibration_test(y[:3], p[:3], **options)
    assert alone.statistic == fc.kernel_calibration_error(y[:3], p[:3], bandwidth=1.0, block_size=3)
    assert alone.n_blocks == 1
    assert math.isnan(alone.standard_error)
    assert math.isnan(alone.p_value)
    shuffled = np.random.default_rng(0).permutation(11)
    assert fc.kernel_calibration_error(y[shuffled], p[shuffled], **options) != fc.kernel_calibration_error(
        y, p, **options
    )


@pytest.mark.parametrize("form", ["rows", "single", "logits"])
@pytest.mark.parametrize("block_size", [2, 7, 100, 5000])
def test_threads_and_chunks_do_not_show(monkeypatch, form, block_size):
    y, p = calibrated(np.random.default_rng(6), 1501 if JIT else 151, 3 if form == "rows" else 2)
    p = {"rows": p, "single": p[:, 1], "logits": np.log(p)}[form].astype(np.float32)
    options = {"block_size": block_size, "from_logits": form == "logits", "bandwidth": None if JIT else 0.3}
    whole = fc.kernel_calibration_test(y, p, n_threads=1, **options)
    monkeypatch.setattr(engine, "SMALL", 0)
    for n in (64, 250):
        monkeypatch.setattr(kernel_error, "rows_per_chunk", lambda _, n=n: n)
        for n_threads in (1, 2, 5):
            np.testing.assert_equal(fc.kernel_calibration_test(y, p, n_threads=n_threads, **options), whole)


def test_many_rows_on_threads_equal_one_thread():
    y, p = calibrated(np.random.default_rng(7), 60_001 if JIT else 151, 10)
    options = {"block_size": 3}
    one, two = (fc.kernel_calibration_test(y, p, n_threads=n, **options) for n in (1, 2))
    assert one == two
    assert one.n_blocks == len(y) // 3


def test_the_bandwidth_is_the_median_of_some_rows(monkeypatch):
    if not JIT:
        monkeypatch.setattr(kernel_error, "SAMPLE", 20)
    y, p = calibrated(np.random.default_rng(8), 700, 3)
    found = fc.kernel_calibration_test(y, p)
    assert found.bandwidth == pytest.approx(
        oracle_kernel.median_distance(p, "total-variation", kernel_error.SAMPLE), rel=1e-14
    )
    assert fc.kernel_calibration_error(y, p, bandwidth=found.bandwidth) == found.statistic
    if JIT:  # fewer of many classes
        y, p = calibrated(np.random.default_rng(8), 60, 10_000)
        expected = oracle_kernel.median_distance(p, "total-variation", 57)
        assert fc.kernel_calibration_test(y, p).bandwidth == pytest.approx(expected, rel=1e-13)


def test_equal_predictions_have_a_bandwidth_too():
    one, other = [0.5, 0.5], [0.25, 0.75]
    y = [0, 1, 0, 1]
    assert fc.kernel_calibration_test(y, [one] * 4).bandwidth == 1
    assert fc.kernel_calibration_test(y, [one] * 3 + [other]).bandwidth == 0.125  # the median of three 0 and three 1/4
    mostly = fc.kernel_calibration_test([*y, 0], [one] * 4 + [other])  # four of ten pairs are 1/4 apart: their mean
    assert mostly.bandwidth == pytest.approx(0.1)


def test_p_values_where_all_blocks_are_the_same():
    sure = fc.kernel_calibration_test([0, 1] * 4, [[1.0, 0.0], [0.0, 1.0]] * 4)
    assert (sure.statistic, sure.standard_error, sure.p_value) == (0, 0, 1)
    assert fc.kernel_calibration_test([0, 0] * 4, [[0.5, 0.5]] * 8)[:3] == (0.5, 0, 0)
    assert fc.kernel_calibration_test([0, 1] * 4, [[0.5, 0.5]] * 8)[:3] == (-0.5, 0, 1)


@pytest.mark.parametrize("form", ["rows", "single", "logits"])
def test_rows_that_are_no_distribution(form):
    y, p = calibrated(np.random.default_rng(9), 50, 2)
    p = {"rows": p, "single": p[:, 1], "logits": np.log(p)}[form]
    options = {"from_logits": form == "logits"}
    holes = np.array([3, 4, 10, 31, 49])
    kept = np.delete(np.arange(50), holes)
    dirty = p.copy()
    dirty[holes] = np.nan
    with pytest.raises(fc.DataError, match=r"y_prob\[3(, 0)?\] is nan; nan_policy='omit' leaves such rows out"):
        fc.kernel_calibration_error(y, dirty, **options)
    omitted = fc.kernel_calibration_test(y, dirty, nan_policy="omit", **options)
    assert omitted == fc.kernel_calibration_test(y[kept], p[kept], **options)
    masked = np.ma.masked_invalid(dirty)
    assert fc.kernel_calibration_test(y, masked, nan_policy="omit", **options) == omitted
    propagated = fc.kernel_calibration_test(y, dirty, nan_policy="propagate", **options)
    assert np.isnan(propagated[:4]).all()
    clean = fc.kernel_calibration_test(y, p, **options)
    for policy in ("omit", "propagate"):
        assert fc.kernel_calibration_test(y, p, nan_policy=policy, **options) == clean


def test_too_few_rows():
    for n, found in ((0, "no row"), (1, "1 row")):
        with pytest.raises(fc.DataError, match=f"y_true holds {found}; a pair needs 2"):
            fc.kernel_calibration_error([0] * n, np.full((n, 2), 0.5))
    dirty = [[0.5, 0.5], [np.nan, 0.5], [np.nan, np.nan]]
    with pytest.raises(fc.DataError, match="y_true holds 1 row that is kept; a pair needs 2"):
        fc.kernel_calibration_error([0, 1, 0], dirty, nan_policy="omit")
    with pytest.raises(fc.DataError, match="y_true holds no row that is kept; a pair needs 2"):
        fc.kernel_calibration_error([0, 1], dirty[1:], nan_policy="omit")
    assert np.isnan(fc.kernel_calibration_error([0, 1], dirty[:2], nan_policy="propagate"))


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1, 1], [[0.5, 0.5], [1.5, -0.5], [0.5, 0.5]], r"y_prob\[1, 0\] is 1.5; probabilities lie in"),
        ([0, 1, 1], [[0.5, 0.5], [0.5, 0.5], [0.7, 0.5]], r"y_prob\[2\] sums to 1.2"),
        ([0, 2, 1], [[0.5, 0.5]] * 3, r"y_true\[1\] is 2; labels are integers 0 to 1"),
        ([0, 1, -1], [0.5, 0.5, 0.5], r"y_true\[2\] is -1"),
        ([0, 1, 1], [0.5, 0.5, 1.2], r"y_prob\[2\] is 1.2"),
        ([0, 1], [0.5, 0.5, 0.5], r"y_true has shape \(2,\), expected \(3,\)"),
    ],
)
def test_bad_rows_are_named_also_in_a_block_that_is_left_out(y, p, message):
    for policy in ("raise", "omit", "propagate"):
        with pytest.raises(fc.DataError, match=message):
            fc.kernel_calibration_error(y, p, nan_policy=policy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "cosine"}, "kernel is 'cosine'; expected one of laplacian, gaussian"),
        ({"distance": "l3"}, "distance is 'l3'; expected one of total-variation, euclidean"),
        ({"kernel": "gaussian", "distance": "total-variation"}, "of which 'gaussian' makes no kernel"),
        ({"bandwidth": 0}, "bandwidth is 0; expected None or a positive, finite number"),
        ({"bandwidth": math.inf}, "bandwidth is inf"),
        ({"bandwidth": math.nan}, "bandwidth is nan"),
        ({"bandwidth": True}, "bandwidth is True"),
        ({"bandwidth": "median"}, "bandwidth is 'median'"),
        ({"block_size": 1}, "block_size is 1; expected an integer of at least 2"),
        ({"block_size": 2.0}, "block_size is 2.0"),
        ({"block_size": True}, "block_size is True"),
        ({"nan_policy": "drop"}, "nan_policy is 'drop'; expected one of raise, omit, propagate"),
        ({"n_threads": 0}, "n_threads is 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        fc.kernel_calibration_test([0, 1], [0.5, 0.5], **options)


def test_a_pair_has_no_weight():
    with pytest.raises(TypeError, match="sample_weight"):
        fc.kernel_calibration_error([0, 1], [0.5, 0.5], sample_weight=[1, 2])


def test_a_gaussian_of_the_total_variation_is_no_kernel():
    """Why it is refused: of these rows its matrix has a negative eigenvalue, where ours have none."""
    p = np.random.default_rng(0).dirichlet(np.full(6, 0.1), 200)
    lowest = {}
    for kernel, distance in [*FORMS, ("gaussian", "total-variation")]:
        d = np.array([[oracle_kernel.distance_of(a, b, distance) for b in p] for a in p])
        matrix = np.exp(-d) if kernel == "laplacian" else np.exp(-(d**2) / 2)
        lowest[kernel, distance] = np.linalg.eigvalsh(matrix)[0]
    assert lowest.pop(("gaussian", "total-variation")) < -1e-3
    assert min(lowest.values()) > -1e-10
