"""The smooth calibration error against its definition, within the bound that is stated for its grid."""

from __future__ import annotations

import math
import pickle

import numpy as np
import oracle_smooth as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dct
from scipy.optimize import brentq

import fastcal as fc
from fastcal import engine, kernels
from fastcal.accumulators import rows as chunking
from fastcal.accumulators import smooth

KERNELS = ("identity", "logit")


def bound(y, p, s, kernel, of_all):
    """What ``accumulators/smooth.py`` states: the grid, the rounding of shares, the changes of sign."""
    step = smooth.GRIDS[kernel].step
    points = max(step / s, 1 / smooth.FINE)
    return 0.0657 * (step / s) ** 4 * abs(y - p).mean() + 2e-9 + 0.02 * points**3 * of_all


@st.composite
def scored(draw, max_rows=25):
    """Labels and probabilities: spread, peaked, tied, at the ends, or crowded in a few cells of the grid."""
    n = draw(st.integers(1, max_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["spread", "peaked", "tied", "ends", "crowded"]))
    p = {
        "spread": lambda: rng.random(n),
        "peaked": lambda: 1 - rng.random(n) ** 6,
        "tied": lambda: rng.integers(0, 5, n) / 4,
        "ends": lambda: rng.integers(0, 2, n) * 1.0,
        "crowded": lambda: 0.4 + rng.random(n) * 1e-3,
    }[kind]()
    return (rng.random(n) < p ** rng.uniform(0.3, 3)).astype(np.int64), p


@pytest.mark.parametrize("kernel", KERNELS)
@given(scored(), st.floats(0, 1))
def test_the_integral_at_a_bandwidth_is_within_the_bound_of_its_definition(kernel, rows, share):
    y, p = rows
    least = smooth.GRIDS[kernel].least
    s = least * (1 / least) ** max(share, 0.1)  # the oracle takes long below
    expected = oracle.smooth_ece_at(y, p, s, kernel=kernel)
    assert abs(fc.smooth_ece(y, p, kernel=kernel, bandwidth=s) - expected) <= bound(y, p, s, kernel, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@given(scored(max_rows=8))
def test_the_fixed_point_is_within_the_bound_of_its_definition(kernel, rows):
    y, p = rows
    found = fc.smooth_ece(y, p, kernel=kernel)
    least = smooth.GRIDS[kernel].least
    if found >= least:
        expected = oracle.smooth_ece(y, p, kernel=kernel)
        assert abs(found - expected) <= 1e-10 + bound(y, p, min(found, expected), kernel, expected)
    else:
        expected = oracle.smooth_ece_at(y, p, least, kernel=kernel)
        assert abs(found - expected) <= bound(y, p, least, kernel, expected)


CELL = 1 / 8192
# Of the same cell, so that a grid that split rows over two nodes would take one for another.
WITHIN_A_CELL = {
    "two": ([1, 0], 0.5 + CELL * np.array([0.3, 0.8])),
    "four": ([1, 1, 0, 0], 0.5 + CELL * np.array([0.5, 0.5, 0.0, 1.0])),
    "the other way": ([0, 0, 1, 1], 0.5 + CELL * np.array([0.5, 0.5, 0.0, 1.0])),
    "at the end": ([0, 1, 1], 1 - CELL * np.array([0.0, 0.5, 0.4])),
}


@pytest.mark.parametrize("name", WITHIN_A_CELL)
@pytest.mark.parametrize("s", [2.5e-4, 5e-4, 1e-3, 2e-3])
def test_rows_that_conspire_with_the_grid_are_within_the_bound(name, s):
    y, p = np.array(WITHIN_A_CELL[name][0]), WITHIN_A_CELL[name][1]
    expected = oracle.smooth_ece_at(y, p, s)
    error = abs(fc.smooth_ece(y, p, bandwidth=s) - expected)
    assert error <= bound(y, p, s, "identity", expected)
    assert error <= 1e-5 or s < 1e-3


def test_the_oracles_integral_is_that_of_trapezoids():
    rng = np.random.default_rng(0)
    p = rng.random(20)
    y = rng.integers(0, 2, 20)
    for kernel in KERNELS:
        for s in (0.02, 0.2):
            expected = oracle.trapezoids(y, p, s, kernel=kernel)
            assert oracle.smooth_ece_at(y, p, s, kernel=kernel) == pytest.approx(expected, rel=1e-5)


def cosine(n, k, size):
    """Weighted rows whose residuals are an eigenfunction of the reflected Gaussian, and smECE_s in closed form."""
    p = (np.arange(n) + 0.5) / n
    p = np.concatenate([p, p])
    y = np.repeat([0, 1], n)
    wave = 1 + size * np.cos(np.pi * k * p)
    w = np.where(y == 1, wave / (1 - p), 1 / p)
    return y, p, w, lambda s: size * n / w.sum() * 2 / math.pi * math.exp(-0.5 * (math.pi * k * s) ** 2)


@pytest.mark.parametrize(("k", "size"), [(3, 0.9), (60, 0.9), (700, 0.5), (900, 0.3)])
def test_waves_of_residuals_have_their_closed_form_down_to_a_thousandth(k, size):
    y, p, w, at = cosine(50_000 if JIT else 5000, k, size)
    expected = brentq(lambda s: at(s) - s, 0, 1, xtol=1e-14)
    assert fc.smooth_ece(y, p, sample_weight=w) == pytest.approx(expected, abs=1e-7)
    assert expected > 5e-4
    for s in (1e-3, 1e-2):
        assert fc.smooth_ece(y, p, sample_weight=w, bandwidth=s) == pytest.approx(at(s), abs=1e-6 if s < 2e-3 else 1e-9)


def on_a_fine_grid(y, p, cells=1 << 17):
    """The definition on sixteen times the nodes, each row at its two, for more rows than the oracle can take."""
    place = p * cells
    low = np.minimum(place.astype(int), cells - 1)
    nodes = np.bincount(low, (y - p) * (1 - (place - low)), cells + 1) / len(p)
    nodes += np.bincount(low + 1, (y - p) * (place - low), cells + 1) / len(p)
    nodes[1:-1] /= 2
    waves = dct(nodes, type=1) / cells
    k = np.arange(cells + 1)

    def at(s):
        f = dct(waves * np.exp(-0.5 * (np.pi * k * s) ** 2), type=1)
        return abs(f).sum() - (abs(f[0]) + abs(f[-1])) / 2

    return brentq(lambda s: at(s) - s, 1e-4, 1, xtol=1e-12)


@pytest.mark.parametrize("peaked", [False, True])
def test_a_million_calibrated_rows_have_their_small_error(peaked):
    rng = np.random.default_rng(7)
    n = 1_000_000 if JIT else 20_000
    p = 1 - 0.5 * rng.random(n) ** 5 if peaked else rng.random(n)
    y = (rng.random(n) < p).astype(np.int64)
    expected = on_a_fine_grid(y, p)
    assert expected < 4e-3 or not JIT
    assert fc.smooth_ece(y, p) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_residuals_of_one_sign_are_their_mean_whatever_the_bandwidth(kernel):
    rng = np.random.default_rng(1)
    p = rng.random(50) * 0.8
    expected = (1 - p).mean()
    for bandwidth in (None, 0.01, 0.1, 1.0, 5.0, 100.0):
        found = fc.smooth_ece(np.ones(50, int), p, kernel=kernel, bandwidth=bandwidth)
        assert found == pytest.approx(expected, abs=2e-9), bandwidth


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_ends_of_the_scale(kernel):
    assert fc.smooth_ece([0, 1, 1], [0.0, 1.0, 1.0], kernel=kernel) == 0
    assert fc.smooth_ece([0, 0], [1.0, 1.0], kernel=kernel) == pytest.approx(1, abs=1e-12)
    # one half at each end, as far apart as they can be
    expected = oracle.smooth_ece([0, 1], np.array([1.0, 0.0]), kernel=kernel)
    assert fc.smooth_ece([0, 1], [1.0, 0.0], kernel=kernel) == pytest.approx(expected, abs=1e-7)
    # less than the least bandwidth
    tiny = fc.smooth_ece([0] * 999 + [0], [0.0] * 999 + [1e-4], kernel=kernel)
    assert tiny == pytest.approx(1e-7, abs=2e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@given(scored())
def test_the_integral_never_grows_with_the_bandwidth(kernel, rows):
    least = smooth.GRIDS[kernel].least
    values = [fc.smooth_ece(*rows, kernel=kernel, bandwidth=s) for s in np.geomspace(16 * least, 1, 9)]
    assert (np.diff(values) < 1e-6).all()


@given(st.floats(0, 1), st.sampled_from([0, 1]), st.sampled_from([None, 16.0]))
def test_shares_keep_the_moments_of_a_row_up_to_the_third(p, outcome, limit):
    nodes = np.zeros(19, np.int64)
    assert kernels.smoothing.add(read_only([p]), read_only([outcome], np.uint8), limit, nodes) == 1
    place = p * 16
    if limit:
        with np.errstate(divide="ignore"):
            place = np.clip(np.log(p) - np.log1p(-p), -limit, limit) * 0.5 + 8
    for power in range(4):
        found = nodes @ (np.arange(19) - 1.0 - place) ** power * 2.0**-31
        assert found == pytest.approx(outcome - p if power == 0 else 0, abs=1e-8)


def read_only(values, dtype=np.float64):
    array = np.array(values, dtype)
    array.flags.writeable = False
    return array


def test_rows_of_several_classes_are_their_confidence_and_hit():
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((200, 4)) * 2
    y = rng.integers(0, 4, 200)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for kernel in KERNELS:
        expected = fc.smooth_ece(probs.argmax(axis=1) == y, probs.max(axis=1), kernel=kernel)
        assert fc.smooth_ece(y, probs, kernel=kernel) == pytest.approx(expected, abs=1e-12)
        assert fc.smooth_ece(y, logits, kernel=kernel, from_logits=True) == pytest.approx(expected, abs=1e-9)


def test_float32_is_as_given_and_a_little_beyond_one_is_one():
    rng = np.random.default_rng(3)
    p = rng.random(300).astype(np.float32)
    y = rng.integers(0, 2, 300)
    assert fc.smooth_ece(y, p) == fc.smooth_ece(y, p.astype(float))
    above = np.array([1.0000001, 0.5, -1e-8], np.float32)
    for kernel in KERNELS:
        for weights in (None, [1, 1, 1]):
            found = fc.smooth_ece([0, 1, 0], above, kernel=kernel, sample_weight=weights)
            assert found == fc.smooth_ece([0, 1, 0], [1.0, 0.5, 0.0], kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@given(scored(), st.integers(0, 99))
def test_any_split_has_the_bytes_of_the_whole(kernel, rows, seed):
    y, p = rows
    whole = fc.SmoothAccumulator(kernel=kernel).update(y, p)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    cuts = np.sort(rng.integers(0, len(y) + 1, 2))
    parts = [
        fc.SmoothAccumulator(kernel=kernel).update(y[part], p[part]) for part in np.split(order, cuts) if len(part)
    ]
    assert sum(parts).to_bytes() == whole.to_bytes()
    streamed = fc.SmoothAccumulator(kernel=kernel)
    for part in np.split(order, cuts):
        streamed.update(y[part], p[part])
    assert streamed.to_bytes() == whole.to_bytes()


def test_threads_and_chunks_do_not_show(monkeypatch):
    rng = np.random.default_rng(4)
    n = 3000 if JIT else 200
    y, p = rng.integers(0, 2, n), rng.random(n)
    whole = fc.SmoothAccumulator(n_threads=1).update(y, p).to_bytes()
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 10)
    for n_threads in (1, 2, 5):
        assert fc.SmoothAccumulator(n_threads=n_threads).update(y, p).to_bytes() == whole


@pytest.mark.parametrize("kernel", KERNELS)
@given(scored(), st.integers(0, 99))
def test_integer_weights_are_repeated_rows_to_the_bit(kernel, rows, seed):
    y, p = rows
    w = np.random.default_rng(seed).integers(0, 4, len(y))
    w[0] = 3
    repeated = fc.smooth_ece(np.repeat(y, w), np.repeat(p, w), kernel=kernel)
    assert fc.smooth_ece(y, p, kernel=kernel, sample_weight=w) == repeated
    half = len(y) // 2
    mixed = fc.SmoothAccumulator(kernel=kernel).update(np.repeat(y[:half], w[:half]), np.repeat(p[:half], w[:half]))
    mixed.update(y[half:], p[half:], sample_weight=w[half:])
    assert mixed.figure("smooth_ece") == repeated


@given(scored(max_rows=12), st.integers(0, 99))
def test_real_weights_are_within_the_bound_and_in_any_order(rows, seed):
    y, p = rows
    rng = np.random.default_rng(seed)
    w = rng.random(len(y)) * 10.0 ** rng.integers(-3, 3, len(y))
    found = fc.smooth_ece(y, p, sample_weight=w, bandwidth=0.03)
    expected = oracle.smooth_ece_at(y, p, 0.03, sample_weight=w)
    assert found == pytest.approx(expected, abs=1e-8)
    order = rng.permutation(len(y))
    assert fc.smooth_ece(y[order], p[order], sample_weight=w[order], bandwidth=0.03) == pytest.approx(found, abs=1e-12)
    assert fc.smooth_ece(y, p, sample_weight=w * 2.0**40, bandwidth=0.03) == pytest.approx(found, abs=1e-12)
    assert math.isfinite(fc.smooth_ece(y, p, sample_weight=np.where(w > 1, 1e100, 1e-100)))


def test_rows_left_out_and_no_rows():
    y, p = [1, 0, 1], [0.3, np.nan, 0.6]
    kept = fc.smooth_ece([1, 1], [0.3, 0.6])
    assert fc.smooth_ece(y, p, nan_policy="omit") == kept
    assert fc.smooth_ece(y, p, nan_policy="omit", sample_weight=[1, 9, 1]) == kept
    assert math.isnan(fc.smooth_ece(y, p, nan_policy="propagate"))
    assert math.isnan(fc.SmoothAccumulator().compute()["smooth_ece"])
    assert math.isnan(fc.smooth_ece([1, 0], [0.3, 0.2], sample_weight=[0, 0]))
    with pytest.raises(fc.DataError, match=r"y_prob\[1\] is nan"):
        fc.smooth_ece(y, p)
    with pytest.raises(fc.DataError, match="y_true is empty"):
        fc.smooth_ece([], [])


@pytest.mark.parametrize("bandwidth", [0, -1, 1e-5, 101.0, math.nan, math.inf, "wide", True])
def test_a_bandwidth_that_is_not_resolved_raises(bandwidth):
    with pytest.raises(
        ValueError, match=r"^bandwidth is .*; expected a number from 0\.000244140625 to 100 for the iden"
    ):
        fc.smooth_ece([1], [0.5], bandwidth=bandwidth)


def test_another_kernel_raises():
    with pytest.raises(ValueError, match="kernel is 'box'; expected one of identity, logit"):
        fc.smooth_ece([1], [0.5], kernel="box")


def test_states_come_back_and_those_of_other_settings_do_not_merge():
    acc = fc.SmoothAccumulator(kernel="logit", bandwidth=0.25).update([1, 0], [0.3, 0.2])
    acc.update([1], [0.9], sample_weight=[2.5])
    for back in (fc.SmoothAccumulator.from_bytes(acc.to_bytes()), pickle.loads(pickle.dumps(acc))):
        assert back.to_bytes() == acc.to_bytes()
        assert back.compute() == acc.compute()
    assert len(fc.SmoothAccumulator().update([1], [0.5]).to_bytes()) < 200_000
    before = acc.to_bytes()
    for other in (fc.SmoothAccumulator(bandwidth=0.25), fc.SmoothAccumulator(kernel="logit")):
        with pytest.raises(ValueError, match="cannot merge: "):
            acc.merge(other)
        assert acc.to_bytes() == before


def test_states_that_contradict_themselves_are_refused():
    for weights, name in ((None, "residual_signed_sum"), ([2.0], "weighted_residual_pair")):
        acc = fc.SmoothAccumulator().update([1], [0.25], sample_weight=weights)
        state = acc._states["smooth"]
        array = state[name].copy()
        array[5] = [0, 7] if weights is None else np.array([1e20, 0.0]).view(np.int64)
        acc._states["smooth"] = {**state, name: array}
        with pytest.raises(ValueError, match="the counts of smooth contradict each other"):
            fc.SmoothAccumulator.from_bytes(acc.to_bytes())


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda _: 0.0, 0.0),
        (lambda _: 1.0, 1.0),
        (lambda _: 0.3, 0.3),
        (lambda s: math.exp(-s), 0.567143290409784),
        (lambda s: 1e-3 / math.sqrt(s), 0.01),
        (lambda s: 0.9 if s < 0.2 else 0.1, 0.2),  # a step, which has no fixed point but the step itself
        (lambda s: 0.9 if s < 1e-3 else 0.0, 1e-3),
        (lambda s: math.exp(-((s / 1e-3) ** 2) / 2), None),
    ],
)
def test_fixed_points(function, expected):
    found = smooth.fixed_point(function)
    if expected is None:
        expected = brentq(lambda s: function(s) - s, 1e-9, 1, xtol=1e-15)
    assert found == pytest.approx(expected, abs=1e-9)


def relplots(y, p, logit):
    relplot = pytest.importorskip("relplot")
    before = relplot.config.use_logit_scaling
    relplot.config.use_logit_scaling = logit
    try:
        return relplot.smECE(p, y)
    finally:
        relplot.config.use_logit_scaling = before


@pytest.mark.parametrize("n", [2, 20, 300, 20_000] if JIT else [20])
def test_relplot_agrees_within_its_grid(n):
    """Away from the ends: rows closer to 0 or 1 than half a cell of its grid of 0.001 count half there."""
    rng = np.random.default_rng(n)
    for logit, low, tolerance in ((False, 0.002, 2e-3), (True, 0.05, 1e-3)):
        for power in (0.5, 1.0, 1.5):
            p = low + (1 - 2 * low) * rng.random(n)
            y = (rng.random(n) < p**power).astype(np.int64)
            found = fc.smooth_ece(y, p, kernel="logit" if logit else "identity")
            assert found == pytest.approx(relplots(y, p, logit), abs=tolerance)
