"""Confidences in cells of a limited number: exact while they are few, else within a stated bound; states."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cuts
from test_order import FIGURES, confidences

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import order
from fastcal.accumulators.serial import pack
from fastcal.ordered.calibration import OrderedPredictions
from fastcal.ordered.columns import scored_rows
from fastcal.ordered.groups import groups


def exactly(y, p, w, n_bins, swept):
    """Figures of all rows, the sweep's for a number of bins."""
    found = OrderedPredictions(groups(scored_rows(p, y, w), None, by_class=True), len(p))
    return {
        "ks_calibration_error": found.ks(),
        "kuiper_calibration_error": found.kuiper(),
        "adaptive_ece": found.l1(n_bins),
        "sweep_ece": found.l1(swept),
    }


DISTRIBUTIONS = {
    "uniform": lambda rng, n: rng.random(n),
    "peaked": lambda rng, n: 1 - 10.0 ** rng.uniform(-12, -0.3, n),
    "small": lambda rng, n: 10.0 ** rng.uniform(-300, 0, n),
    "overconfident": lambda rng, n: 1 - rng.random(n) ** 8 * 1e-3,
    "two clusters": lambda rng, n: np.where(rng.random(n) < 0.5, 0.2, 0.7) + 1e-6 * rng.random(n),
    "clusters and a heavy tie": lambda rng, n: np.where(rng.random(n) < 0.4, 0.75, rng.random(n)),
    "mostly in one cell": lambda rng, n: np.where(
        rng.random(n) < 0.1, 10.0 ** rng.uniform(-300, -1, n), rng.uniform(0.5, 1, n)
    ),
    "at both ends": lambda rng, n: np.where(rng.random(n) < 0.5, 1e-9 * rng.random(n), 1 - 1e-9 * rng.random(n)),
}
OUTCOMES = {
    "calibrated": lambda rng, p: rng.random(len(p)) < p,
    "against the order": lambda rng, p: rng.random(len(p)) < 1 - p,
    "rising": lambda _, p: np.arange(len(p))[np.argsort(np.argsort(p))] > 0.6 * len(p),
    "in waves": lambda _, p: np.argsort(np.argsort(p)) // max(len(p) // 47, 1) % 2 == 0,
}


@pytest.mark.skipif(not JIT, reason="too many rows for plain Python")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outcomes", OUTCOMES)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_bound_holds_and_means_something(distribution, outcomes, weighted):
    rng = np.random.default_rng(5)
    for n, n_bins in ((3000, 15), (20_000, 4), (20_000, 100)):
        p = np.clip(DISTRIBUTIONS[distribution](rng, n), 0, 1)
        y = OUTCOMES[outcomes](rng, p).astype(np.int64)
        w = rng.exponential(size=n) if weighted else None
        state = fc.OrderAccumulator(n_bins=n_bins, n_cells=1024).update(y, p, sample_weight=w)
        found = state.compute()
        part = state._parts["order"].view(state.part_state("order"))
        expected = exactly(y, p, w, n_bins, part.rows.swept())
        bound = found["order_bound"]
        assert bound > 0
        for name in FIGURES:
            assert abs(found[name] - expected[name]) <= bound + 1e-12, (name, n, n_bins)
        if distribution == "uniform" and n_bins == 15:
            assert bound < 0.15


def test_few_scores_are_exact():
    rng = np.random.default_rng(6)
    n = 20_000 if JIT else 500
    p = rng.integers(0, 1024, n) / 1023
    y, w = rng.integers(0, 2, n), rng.integers(0, 3, n)
    for weights in (None, w):
        found = fc.OrderAccumulator(n_cells=1024).update(y, p, sample_weight=weights).compute()
        assert found["order_bound"] == 0
        for name in FIGURES:
            assert found[name] == pytest.approx(getattr(fc, name)(y, p, sample_weight=weights), rel=1e-13)


@pytest.mark.skipif(not JIT, reason="too many rows for plain Python")
def test_half_precision_is_always_exact_and_so_is_a_state_without_limit():
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, 200_000)
    half = rng.random(200_000).astype(np.float16)
    assert fc.OrderAccumulator().update(y, half).compute()["order_bound"] == 0
    double = rng.random(200_000)
    assert fc.OrderAccumulator().update(y, double).compute()["order_bound"] > 0
    whole = fc.OrderAccumulator(n_cells=None).update(y, double).compute()
    assert whole["order_bound"] == 0
    for name in FIGURES:
        assert whole[name] == getattr(fc, name)(y, double)


def seen(y, p, w=None, **options):
    return fc.OrderAccumulator(**options).update(y, p, sample_weight=w)


@pytest.mark.parametrize("n_cells", [None, 1024])
@settings(max_examples=60 if JIT else 5)
@given(confidences(max_rows=60), st.data())
def test_states_do_not_depend_on_the_split(n_cells, drawn, data):
    y, p, w = drawn
    if w is not None and w.dtype.kind == "f":
        w = np.arange(len(y)) % 3
    bounds = data.draw(cuts(len(y)))
    parts = [seen(y[a:b], p[a:b], None if w is None else w[a:b], n_cells=n_cells) for a, b in pairwise(bounds)]
    ordering = data.draw(st.permutations(range(len(parts))))
    whole = seen(y, p, w, n_cells=n_cells)
    assert sum(parts[i] for i in ordering).to_bytes() == whole.to_bytes()
    for back in (fc.OrderAccumulator.from_bytes(whole.to_bytes()), pickle.loads(pickle.dumps(whole))):
        assert back.to_bytes() == whole.to_bytes()
        assert back.compute().to_json() == whole.compute().to_json()
    empty = fc.OrderAccumulator(n_cells=n_cells)
    assert (empty + whole).to_bytes() == (whole + empty).to_bytes() == whole.to_bytes()


@pytest.mark.skipif(not JIT, reason="too many rows for plain Python")
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_states_of_many_scores_do_not_depend_on_the_split(distribution, monkeypatch):
    rng = np.random.default_rng(8)
    n = 6000
    p = np.clip(DISTRIBUTIONS[distribution](rng, n), 0, 1)
    y, w = rng.integers(0, 2, n), rng.integers(0, 4, n)
    for weights in (None, w):
        whole = seen(y, p, weights, n_cells=1024)
        bounds = [0, 700, 701, 2500, n]
        parts = [
            seen(y[a:b], p[a:b], None if weights is None else weights[a:b], n_cells=1024) for a, b in pairwise(bounds)
        ]
        assert sum(parts[::-1]).to_bytes() == whole.to_bytes()
        shuffled = rng.permutation(n)
        again = seen(y[shuffled], p[shuffled], None if weights is None else weights[shuffled], n_cells=1024)
        assert again.to_bytes() == whole.to_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(order, "MOST_ROWS", 300)
            patch.setattr(engine, "SMALL", 0)
            assert seen(y, p, weights, n_cells=1024, n_threads=3).to_bytes() == whole.to_bytes()
            assert fc.OrderAccumulator.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


def test_real_weights_merge_to_the_same_figures():
    rng = np.random.default_rng(9)
    n = 4000 if JIT else 60
    y, p, w = rng.integers(0, 2, n), rng.random(n), rng.exponential(size=n)
    whole = seen(y, p, w, n_cells=1024).compute()
    parts = [seen(y[own], p[own], w[own], n_cells=1024) for own in (slice(0, n // 3), slice(n // 3, None))]
    mixed = seen(y, p, n_cells=1024).merge(seen(y, p, w, n_cells=1024)).compute()
    again = seen(np.tile(y, 2), np.tile(p, 2), np.append(np.ones(n), w), n_cells=1024).compute()
    for name in (*FIGURES, "order_bound"):
        assert sum(parts).compute()[name] == pytest.approx(whole[name], rel=1e-12, abs=1e-13)
        assert mixed[name] == pytest.approx(again[name], rel=1e-12, abs=1e-13)


def test_no_rows_have_no_figures():
    empty = fc.OrderAccumulator()
    weightless = seen([0, 1], [0.2, 0.6], [0, 0])
    missing = seen([0, 1], [np.nan, np.nan], nan_policy="omit")
    for state in (empty, weightless, missing):
        found = state.compute()
        assert all(np.isnan(found[name]) for name in (*FIGURES, "order_bound"))
        assert fc.OrderAccumulator.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()
    assert (weightless + seen([1], [0.5])).compute()["ks_calibration_error"] == 0.5
    with pytest.raises(fc.DataError, match="y_true is empty"):
        fc.ks_calibration_error([], [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bins": 0}, "n_bins is 0"),
        ({"n_bins": 1.5}, "n_bins is 1.5"),
        ({"n_bins": True}, "n_bins is True"),
        ({"n_bins": 1 << 20}, "n_bins is 1048576"),
        ({"n_cells": 1000}, "n_cells is 1000; expected an integer from 1024"),
        ({"n_cells": "many"}, "n_cells is 'many'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        fc.OrderAccumulator(**options)


def test_states_that_do_not_fit():
    base = seen([0, 1], [0.2, 0.7])
    before = base.to_bytes()
    others = [(seen([0], [0.5], n_cells=2048), "n_cells"), (seen([0], [0.5], n_bins=4), "n_bins")]
    others.append((seen([0], [[0.5, 0.5]]), "columns"))
    for other, message in others:
        theirs = other.to_bytes()
        with pytest.raises(ValueError, match=message):
            base.merge(other)
        assert (base.to_bytes(), other.to_bytes()) == (before, theirs)


def made_up(weights=None, **changes):
    """Bytes of a state that was changed."""
    state = seen([0, 1, 1], [0.1, 0.2, 0.3], weights, n_cells=1024)
    arrays = {f"{part}.{name}": a for part, own in state._states.items() for name, a in own.items()}
    for name, change in changes.items():
        arrays[f"order.{name}"] = change(arrays[f"order.{name}"])
    kept = {name: a for name, a in arrays.items() if a is not None}
    return pack("OrderAccumulator", {**state._settings, "columns": 0}, kept)


@pytest.mark.parametrize("weights", [None, [1, 2, 0.5]])
def test_a_state_that_was_not_changed_is_taken(weights):
    expected = fc.ks_calibration_error([0, 1, 1], [0.1, 0.2, 0.3], sample_weight=weights)
    found = fc.OrderAccumulator.from_bytes(made_up(weights))
    assert found.compute()["ks_calibration_error"] == pytest.approx(expected, rel=1e-14)


BAD_STATES = {
    "keys that fall": {"keys": lambda a: a[::-1].copy()},
    "equal keys": {"keys": lambda a: a * 0},
    "a key below 0": {"keys": lambda a: a - a[0] - 1},
    "a key beyond the largest float": {"keys": lambda a: np.append(a[:2], 0x7FF0000000000000)},
    "a key too many": {"keys": lambda a: np.append(a, a[-1] + 1)},
    "no keys": {"keys": lambda a: a[:0].copy(), "sums": lambda a: a[:0].copy()},
    "keys in rows": {"keys": lambda a: a.reshape(1, -1)},
    "counts below 0": {"sums": lambda a: -a},
    "an empty cell": {"sums": lambda a: a * np.array([[0], [1], [1]])},
    "counts of other rows": {"sums": lambda a: 2 * a},
    "other rows": {"size": lambda a: a - np.array([1, 0])},
    "a negative level": {"size": lambda a: a - np.array([0, 1])},
    "a level too high": {"size": lambda a: a + np.array([0, 64])},
    "keys too large for their level": {"size": lambda a: a + np.array([0, 30])},
    "no size": {"size": lambda _: None},
    "no sums": {"sums": lambda _: None},
    "sums of three columns": {"sums": lambda _: np.ones((3, 3), np.int64)},
    "counts that wrap": {"sums": lambda _: np.full((3, 2), 1 << 62)},
    "more cells than the limit": {
        "keys": lambda _: np.arange(2000),
        "sums": lambda _: np.ones((2000, 2), np.int64),
        "size": lambda _: np.array([4000, 0]),
    },
}
BAD_PAIRS = {
    "weights that are NaN": lambda a: np.full_like(a.view(np.float64), np.nan).view(np.int64),
    "weights below 0": lambda a: (-a.view(np.float64)).view(np.int64),
    "weights beyond any sum": lambda a: np.full_like(a.view(np.float64), 1e300).view(np.int64),
    "parts that overlap": lambda a: np.ones_like(a.view(np.float64)).view(np.int64),
    "cells of weight 0": lambda a: a * 0,
}


@pytest.mark.parametrize("changes", BAD_STATES.values(), ids=BAD_STATES)
def test_made_up_states(changes):
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.OrderAccumulator.from_bytes(made_up(**changes))


@pytest.mark.parametrize("change", BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_made_up_weights(change):
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.OrderAccumulator.from_bytes(made_up([1, 2, 0.5], sums_pair=change))
