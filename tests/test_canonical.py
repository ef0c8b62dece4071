"""The canonical calibration error: against a dictionary of cells, the laws of its state, its edges and bad input."""

from __future__ import annotations

import pickle
from fractions import Fraction
from itertools import pairwise

import numpy as np
import oracle_canonical as oracle
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from strategies import cuts, rows

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import canonical as cells
from fastcal.accumulators import rows as chunking
from fastcal.accumulators.canonical import CanonicalAccumulator
from fastcal.accumulators.serial import pack
from fastcal.arrays import predictions
from fastcal.metrics.canonical import canonical_error

LABELS = np.array([0, 2, 1, 1])
ROWS = np.array([[0.7, 0.2, 0.1], [0.65, 0.25, 0.1], [0.1, 0.9, 0.0], [0.1, 0.2, 0.7]])


def seen(data, index=slice(None), **options):
    labels, scores, weights = data.part(index)
    return CanonicalAccumulator(from_logits=data.from_logits, **options).update(labels, scores, sample_weight=weights)


def held(accumulator):
    """The state as the oracle has it: bins of a row to exact sums."""
    state, part = accumulator._states["canonical"], accumulator._parts["canonical"]
    weight, gaps = (state[f"{name}_pair"].view(float) for name in ("weight", "gaps"))
    found = {}
    for key, w, gap in zip(state["keys"].tolist(), weight, gaps, strict=True):
        places = [(word >> (part.bits * i)) % (1 << part.bits) for word in key for i in range(part.a_word)]
        exact = [[Fraction(high) + Fraction(low) for high, low in pairs] for pairs in ([w], gap)]
        found[tuple(places[: len(gap)])] = exact[0][0], exact[1]
    return found


def few(n, n_classes, seed=0, dtype=np.float64):
    """Rows of which some share a cell, none at an edge."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(n_classes, 0.3), n).astype(dtype)
    return rng.integers(0, n_classes, n), p


# The figures


@pytest.mark.parametrize("n_bins", [1, 2, 5, 15, 1000])
@pytest.mark.parametrize("n_classes", [1, 2, 3, 10, 40])
def test_figures_are_those_of_a_dictionary_of_cells(n_bins, n_classes):
    y, p = few(150 if JIT else 30, n_classes)
    for weights in (None, np.random.default_rng(1).exponential(size=len(y))):
        for norm, squared in (("l1", False), ("l2", False), ("l2", True), ("max", False)):
            given_ = {"n_bins": n_bins, "norm": norm, "squared": squared, "sample_weight": weights}
            expected = pytest.approx(oracle.canonical_error(y, p, **given_), rel=1e-12, abs=1e-15)
            assert canonical_error(y, p, **given_) == expected


@given(rows(max_rows=40), st.sampled_from([2, 5, 15]))
def test_sums_are_exact_but_for_real_weights(drawn, n_bins):
    p = drawn.scores
    if drawn.from_logits:  # what the state sees, whose rounding the oracle need not share
        chunk = chunking.Rows(predictions(drawn.labels, p, from_logits=True), light=True)
        chunk.fill(0, len(p))
        p = chunk.probabilities()
    expected = oracle.cells(drawn.labels, p, n_bins=n_bins, sample_weight=drawn.weights)
    found = held(seen(drawn, n_bins=n_bins))
    assert found.keys() == expected.keys()
    if drawn.weights is None or drawn.weights.dtype.kind == "i":
        assert found == expected
    ours, theirs = ([[float(n) for n in (s[key][0], *s[key][1])] for key in expected] for s in (found, expected))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_logits_are_those_of_their_softmax():
    rng = np.random.default_rng(3)
    for shape in ((60, 4), (60, 70), (60,)):
        z = rng.standard_normal(shape) * 3
        y = rng.integers(0, 2, 60)
        for norm in ("l1", "l2", "max"):
            expected = oracle.canonical_error(y, z, norm=norm, from_logits=True)
            assert canonical_error(y, z, norm=norm, from_logits=True) == pytest.approx(expected, rel=1e-12)


def test_of_two_classes_it_is_the_binned_error_of_one():
    rng = np.random.default_rng(4)
    p = rng.random(500 if JIT else 50)
    y = (rng.random(len(p)) < p**2).astype(int)
    assert canonical_error(y, p) == pytest.approx(fc.ece(y, p), rel=1e-12)
    assert canonical_error(y, p, norm="max") == pytest.approx(fc.mce(y, p), rel=1e-12)
    assert canonical_error(y, p, norm="l2") == pytest.approx(fc.rmsce(y, p) * np.sqrt(2), rel=1e-12)
    assert canonical_error(y, p) == canonical_error(y, np.stack([1 - p, p], axis=1))


def test_it_sees_what_class_wise_errors_do_not():
    """Each class alone is calibrated, and so is the largest one; whole rows are not."""
    p = np.array([[0.1, 0.3, 0.6], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6], [0.3, 0.6, 0.1], [0.6, 0.1, 0.3], [0.6, 0.3, 0.1]])
    outcomes = np.array([[2, 2, 6], [0, 7, 3], [2, 2, 6], [4, 5, 1], [7, 0, 3], [5, 4, 1]])
    y = np.concatenate([np.repeat(np.arange(3), counts) for counts in outcomes])
    rows_ = np.repeat(p, 10, axis=0)
    for k in range(3):
        assert fc.ece(y == k, rows_[:, k], n_bins=10) == pytest.approx(0, abs=1e-15)
    assert fc.ece(y, rows_, n_bins=10) == pytest.approx(0, abs=1e-15)
    assert canonical_error(y, rows_, n_bins=10) == pytest.approx(0.1)


def test_labels_drawn_from_the_rows_leave_little():
    rng = np.random.default_rng(5)
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.05, 0.05, 0.9]])[rng.integers(0, 3, 20000 if JIT else 1000)]
    y = (rng.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1)
    assert canonical_error(y, p) < (0.01 if JIT else 0.05)
    assert canonical_error(y[::-1], p) > 0.2


# Edges


@pytest.mark.parametrize("n_bins", [*range(1, 21), 29, 33, 58, 100] if JIT else [1, 3, 10])
def test_bins_at_the_edges(n_bins):
    edges = np.linspace(0, 1, n_bins + 1)
    p = np.concatenate([edges, np.arange(n_bins + 1) / n_bins, [5e-324, 1e-300, 0.5]])
    p = np.clip(np.concatenate([p, np.nextafter(p, 0), np.nextafter(p, 1)]), 0, 1)
    for dtype in (np.float64, np.float32):
        scores = np.stack([p, 1 - p], axis=1).astype(dtype)
        for row in scores:
            found = CanonicalAccumulator(n_bins=n_bins).update([0], row[None])
            assert held(found) == oracle.cells([0], row[None], n_bins=n_bins)


def test_the_width_gives_no_bin_too_low():
    """What the kernel relies on: it mends bins downwards only."""
    for n_bins in range(1, 16_385):
        above = np.nextafter(np.linspace(0, 1, n_bins + 1)[:-1], 1)
        assert ((above * n_bins).astype(int) >= np.arange(n_bins)).all()


def test_zero_is_in_the_first_bin_and_one_in_the_last():
    found = CanonicalAccumulator(n_bins=4).update([0, 0], [[0.0, 1.0], [1e-9, 1 - 1e-9]])
    assert list(held(found)) == [(0, 3)]
    assert found.compute()["canonical_ece"] == pytest.approx(1 - 0.5e-9, rel=1e-15)


def test_a_probability_within_rounding_counts_as_zero_or_one():
    exact = CanonicalAccumulator().update([0, 1], [[1.0, 0.0], [0.0, 1.0]]).to_bytes()
    assert CanonicalAccumulator().update([0, 1], [[1.0000001, -1e-7], [0.0, 1.0000001]]).to_bytes() == exact
    exact = CanonicalAccumulator().update([0, 1], [1.0, 0.0]).to_bytes()
    for dtype in (np.float64, np.float32):
        near = np.array([1.0000001, -1e-7], dtype)
        assert CanonicalAccumulator().update([0, 1], near).to_bytes() == exact


# The laws of the state


@given(rows(), st.data())
def test_merge_of_parts_in_any_order_has_the_bytes_of_the_whole(drawn, data):
    bounds = data.draw(cuts(len(drawn)))
    parts = [seen(drawn, slice(a, b)) for a, b in pairwise(bounds)]
    order = data.draw(st.permutations(range(len(parts))))
    middle = data.draw(st.integers(0, len(parts)))
    empty = CanonicalAccumulator(from_logits=drawn.from_logits)
    whole = seen(drawn)
    merged = [sum(parts[i] for i in order), sum(parts[:middle], empty) + sum(parts[middle:], empty)]
    mixed = data.draw(st.permutations(range(len(drawn))))
    merged.append(seen(drawn, np.array(mixed)))
    for other in merged:
        if drawn.weights is None or drawn.weights.dtype.kind == "i":
            assert other.to_bytes() == whole.to_bytes()
        assert held(other).keys() == held(whole).keys()
        for name, value in whole.compute().items():
            assert other.compute()[name] == pytest.approx(value, rel=1e-12, abs=1e-15, nan_ok=True)


@given(rows(max_rows=40, weighted=False), st.integers(0, 99))
def test_an_integer_weight_is_a_repeated_row_in_bits(drawn, seed):
    weights = np.random.default_rng(seed).integers(0, 4, len(drawn))
    weights[0] = 1
    weighted, repeated = (CanonicalAccumulator(from_logits=drawn.from_logits) for _ in range(2))
    weighted.update(drawn.labels, drawn.scores, sample_weight=weights)
    repeated.update(np.repeat(drawn.labels, weights), np.repeat(drawn.scores, weights, axis=0))
    for name, array in repeated._states["canonical"].items():
        np.testing.assert_array_equal(weighted._states["canonical"][name], array)


@given(rows())
def test_bytes_and_pickles_come_back_as_they_went(drawn):
    whole = seen(drawn, n_bins=4, max_cells=100_000)
    for back in (CanonicalAccumulator.from_bytes(whole.to_bytes()), pickle.loads(pickle.dumps(whole))):
        assert back.to_bytes() == whole.to_bytes()
        assert back.compute().to_json() == whole.compute().to_json()
    assert whole.reset().to_bytes() == CanonicalAccumulator(**whole._settings).to_bytes()


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 17])
def test_threads_and_chunks_do_not_show(monkeypatch, n_threads, chunk_bytes):
    y, p = few(3000 if JIT else 400, 6, dtype=np.float32)
    whole = CanonicalAccumulator(n_threads=1).update(y, p)
    assert whole.n_cells > cells.FIRST_CELLS  # so that tables grew
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(cells, "FIRST_CELLS", 1)
    assert CanonicalAccumulator(n_threads=n_threads).update(y, p).to_bytes() == whole.to_bytes()


def test_rows_of_a_thousand_classes():
    y, p = few(2000 if JIT else 30, 1000, dtype=np.float32)
    p[::7] = p[3]
    expected = oracle.canonical_error(y[:30], p[:30], n_bins=15)
    assert canonical_error(y[:30], p[:30]) == pytest.approx(expected, rel=1e-12)
    whole = CanonicalAccumulator().update(y, p)
    half = len(y) // 2
    assert (
        sum(CanonicalAccumulator().update(y[i], p[i]) for i in (slice(half, None), slice(half))).n_cells
        == whole.n_cells
    )
    np.testing.assert_array_equal(
        np.unique(whole._states["canonical"]["keys"], axis=0), whole._states["canonical"]["keys"]
    )


def test_rows_of_no_weight_are_in_no_cell():
    y, p = few(50, 3)
    none = CanonicalAccumulator().update(y, p, sample_weight=np.zeros(50))
    assert (none.n_cells, none.compute()["n"]) == (0, 50)
    assert all(np.isnan(none.compute()[name]) for name in ("canonical_ece", "canonical_rmsce", "canonical_mce"))
    assert CanonicalAccumulator.from_bytes(none.to_bytes()).to_bytes() == none.to_bytes()
    weights = np.ones(50)
    weights[7] = 0
    kept = CanonicalAccumulator().update(np.delete(y, 7), np.delete(p, 7, axis=0))
    assert held(CanonicalAccumulator().update(y, p, sample_weight=weights)) == held(kept)
    assert held(none + kept) == held(kept)


# The limit


def test_more_cells_than_allowed_raise_and_change_nothing():
    base = CanonicalAccumulator(n_bins=4, max_cells=2).update(LABELS[:3], ROWS[:3])
    before = base.to_bytes()
    assert base.n_cells == base.compute()["n_cells"] == 2
    message = (
        "max_cells is 2; the rows fall into more cells of 4 bins a class: take fewer bins, or allow for more cells"
    )
    for y, p in ((LABELS, ROWS), (LABELS[3:], ROWS[3:])):  # of a batch, and of a batch and the state
        with pytest.raises(fc.DataError, match=message):
            base.update(y, p)
    other = CanonicalAccumulator(n_bins=4, max_cells=2).update(LABELS[3:], ROWS[3:])
    theirs = other.to_bytes()
    with pytest.raises(ValueError, match="max_cells is 2"):
        base.merge(other)
    assert (base.to_bytes(), other.to_bytes()) == (before, theirs)
    assert base.update(LABELS[:2], ROWS[:2]).n_cells == 2
    with pytest.raises(ValueError, match="max_cells is 1;"):
        canonical_error(LABELS, ROWS, max_cells=1)


def test_by_default_cells_take_so_many_bytes_at_most(monkeypatch):
    assert CanonicalAccumulator()._parts["canonical"].limit(10) == (1 << 30) // (8 * 23)
    assert CanonicalAccumulator()._parts["canonical"].limit(1000) > 60_000
    monkeypatch.setattr(cells, "DEFAULT_BYTES", 100)
    with pytest.raises(
        ValueError, match=r"max_cells is 1 \(its default for 3 classes\); the rows fall into more cells"
    ):
        canonical_error(LABELS, ROWS)


# Bad input

ONE_NAN = np.where(np.arange(4)[:, None] == 1, np.nan, ROWS)
BAD = [
    ({"y_prob": ONE_NAN}, r"y_prob\[1, 0\] is nan"),
    ({"y_prob": np.where(ROWS == 0.9, 1.35, ROWS)}, r"y_prob\[2, 1\] is 1.35"),
    ({"y_prob": ROWS / 2}, r"y_prob\[0\] sums to 0.5"),
    ({"y_prob": ROWS[:3]}, r"y_true has shape \(4,\), expected \(3,\)"),
    ({"y_true": [0, 2, 3, 1]}, r"y_true\[2\] is 3; labels are integers 0 to 2"),
    ({"sample_weight": [1, 1, -1, 1]}, r"sample_weight\[2\] is -1"),
    ({"y_true": [], "y_prob": np.empty((0, 3))}, "y_true is empty"),
    ({"n_bins": 0}, "n_bins is 0; expected an integer from 1 to 16384"),
    ({"n_bins": 2.5}, "n_bins is 2.5"),
    ({"n_bins": True}, "n_bins is True"),
    ({"max_cells": 0}, "max_cells is 0; expected an integer from 1"),
    ({"max_cells": "many"}, "max_cells is 'many'"),
    ({"norm": "l3"}, "norm is 'l3'; expected one of l1, l2, max"),
    ({"squared": True}, "squared is True, which norm='l1' has no use for"),
    ({"nan_policy": "drop"}, "nan_policy is 'drop'"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        canonical_error(**{"y_true": LABELS, "y_prob": ROWS, **changes})


def test_nan_policies():
    kept = canonical_error(LABELS[[0, 2, 3]], ROWS[[0, 2, 3]])
    assert canonical_error(LABELS, ONE_NAN, nan_policy="omit") == kept
    assert canonical_error(LABELS, ONE_NAN, nan_policy="omit", sample_weight=[1, 5, 1, 1]) == kept
    assert np.isnan(canonical_error(LABELS, ONE_NAN, nan_policy="propagate"))


def test_a_merge_that_does_not_fit_raises_and_changes_neither():
    base = CanonicalAccumulator().update(LABELS, ROWS)
    others = [
        (CanonicalAccumulator(n_bins=10).update(LABELS, ROWS), ValueError, "n_bins is 15 here and 10 there"),
        (CanonicalAccumulator(max_cells=9).update(LABELS, ROWS), ValueError, "max_cells is None here and 9 there"),
        (CanonicalAccumulator(nan_policy="omit").update(LABELS, ROWS), ValueError, "nan_policy"),
        (CanonicalAccumulator(from_logits=True).update(LABELS, ROWS), ValueError, "from_logits"),
        (CanonicalAccumulator().update([0], [0.5]), ValueError, "3 columns here and 0 there"),
        (CanonicalAccumulator().update([0], [[0.5, 0.5]]), ValueError, "3 columns here and 2 there"),
        (fc.ScoreAccumulator().update(LABELS, ROWS), TypeError, "ScoreAccumulator into CanonicalAccumulator"),
    ]
    before = base.to_bytes()
    for other, error, message in others:
        theirs = other.to_bytes()
        with pytest.raises(error, match=message):
            base.merge(other)
        assert (base.to_bytes(), other.to_bytes()) == (before, theirs)
    with pytest.raises(ValueError, match="rows before it were"):
        base.update([0], [0.5])
    assert base.to_bytes() == before


# Bytes from outside


def made_up(settings=None, **changes):
    """Bytes of a state of two cells, (0, 0, 3) and (0, 3, 0) of 4 bins, that was changed."""
    state = CanonicalAccumulator(n_bins=4, max_cells=5).update([2, 1, 1], [[0.1, 0.1, 0.8], [0.0, 0.9, 0.1], [0, 1, 0]])
    arrays = {f"{part}.{name}": a.copy() for part, own in state._states.items() for name, a in own.items()}
    for name, change in changes.items():
        arrays[f"canonical.{name}"] = change(arrays[f"canonical.{name}"])
    arrays = {name: array for name, array in arrays.items() if array is not None}
    return pack("CanonicalAccumulator", {**state._settings, "columns": 3, **(settings or {})}, arrays)


def floats(change):
    return lambda array: change(array.view(float)).copy().view(np.int64)


PAIRS = "weight_pair", "gaps_pair"
BAD_STATES = {
    "keys that fall": {"keys": lambda a: a[::-1].copy()},
    "equal keys": {"keys": lambda a: a * 0},
    "a negative key": {"keys": lambda a: a - 49},
    "a class too many in a key": {"keys": lambda a: a + (np.int64(1) << 6)},
    "bits that are no class": {"keys": lambda a: a + (np.int64(1) << 60)},
    "keys of two words": {"keys": lambda a: np.repeat(a, 2, axis=1)},
    "keys of no dimension": {"keys": lambda _: np.int64(3).reshape(())},
    "keys missing": {"keys": lambda _: None},
    "gaps missing": {"gaps_pair": lambda _: None},
    "gaps of fewer cells": {"gaps_pair": lambda a: a[:1].copy()},
    "gaps of fewer classes": {"gaps_pair": lambda a: a[:, :2].copy()},
    "pairs of no parts": {"gaps_pair": lambda a: a[..., :0].copy()},
    "pairs of no dimension": {"weight_pair": lambda _: np.int64(3).reshape(())},
    "gaps beyond the weight": {"gaps_pair": floats(lambda a: a * 64)},
    "gaps that are NaN": {"gaps_pair": floats(lambda a: a * np.nan)},
    "infinite gaps": {"gaps_pair": floats(lambda a: a / np.float64(5e-324))},
    "parts that overlap": {"gaps_pair": floats(lambda a: a + 0.125)},
    "a cell of no weight": {"weight_pair": floats(lambda a: a * [[0], [1]])},
    "an empty cell": {name: floats(lambda a: a * [[0], [1]] if a.ndim == 2 else a * [[[0]], [[1]]]) for name in PAIRS},
    "a negative weight": {"weight_pair": floats(lambda a: -a)},
    "other bins": {"settings": {"n_bins": 3}},
    "fewer cells allowed": {"settings": {"max_cells": 1}},
    "cells without columns": {"settings": {"columns": None}},
    "other columns": {"settings": {"columns": 4}},
    "a limit that is a bool": {"settings": {"max_cells": True}},
}


def test_a_state_that_was_not_changed_is_taken():
    assert CanonicalAccumulator.from_bytes(made_up()).compute()["n_cells"] == 2


@pytest.mark.parametrize("changes", BAD_STATES.values(), ids=BAD_STATES)
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:divide by zero", "ignore:invalid value")
def test_bytes_that_are_no_state(changes):
    with pytest.raises(ValueError, match="not a fastcal state"):
        CanonicalAccumulator.from_bytes(made_up(**changes))


@given(st.data())
def test_a_flipped_byte_is_noticed_or_harmless(data):
    state = bytearray(made_up())
    state[data.draw(st.integers(0, len(state) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        back = CanonicalAccumulator.from_bytes(bytes(state))
    except ValueError:
        return
    assert back.compute()["n_cells"] == 2
