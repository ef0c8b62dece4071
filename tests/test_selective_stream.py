"""Streams of selective prediction: merging is a law, exact while there are few confidences, else within its bounds."""

from __future__ import annotations

import json
import math
import pickle
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import oracle_selective as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture
from strategies import cuts, rows
from test_selective import AREAS, predicted

import fastcal as fc
from fastcal.accumulators import ordered, selective

STATE = Path(__file__).parent / "states" / "selective.bin"
few = settings(max_examples=50 if JIT else 5)


@pytest.fixture(autouse=True, scope="module")
def few_cells():
    """A limit that a few rows reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "MIN_CELLS", 2)
        yield


def seen(y, p, index=slice(None), *, n_cells=1 << 16, confidence=None, sample_weight=None, **options):
    def some(values):
        return None if values is None else values[index]

    accumulator = fc.SelectiveAccumulator(n_cells=n_cells, **options)
    return accumulator.update(y[index], p[index], confidence=some(confidence), sample_weight=some(sample_weight))


def numbers(accumulator):
    return {name: value for name, value in accumulator.compute().items() if isinstance(value, float)}


# Laws


@pytest.mark.usefixtures("cut_up")
@few
@given(predicted(weighted=False), st.integers(2, 50), st.data())
def test_any_split_order_and_bracketing_gives_the_same_bytes(drawn, n_cells, data):
    y, p, options = drawn
    bounds = data.draw(cuts(len(y)))
    parts = [seen(y, p, slice(a, b), n_cells=n_cells, **options) for a, b in pairwise(bounds)]
    whole = seen(y, p, n_cells=n_cells, **options)
    empty = fc.SelectiveAccumulator(n_cells=n_cells)
    order = data.draw(st.permutations(parts))
    middle = data.draw(st.integers(0, len(parts)))
    merged = sum(order[:middle], empty) + sum(order[middle:], empty)
    assert sum(order).to_bytes() == merged.to_bytes() == whole.to_bytes()
    assert (whole + empty).to_bytes() == (empty + whole).to_bytes() == whole.to_bytes()
    one_by_one = fc.SelectiveAccumulator(n_cells=n_cells, n_threads=1)
    for i in data.draw(st.permutations(range(len(y)))):
        score = None if options["confidence"] is None else options["confidence"][i : i + 1]
        one_by_one.update(y[i : i + 1], p[i : i + 1], confidence=score)
    assert one_by_one.to_bytes() == whole.to_bytes()
    assert fc.SelectiveAccumulator.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()
    assert pickle.loads(pickle.dumps(whole)).to_bytes() == whole.to_bytes()
    assert whole.reset().to_bytes() == empty.to_bytes()
    assert whole.is_empty


@few
@given(predicted(weighted=True), st.integers(2, 50), st.data())
def test_real_weights_agree_however_cut(drawn, n_cells, data):
    y, p, options = drawn
    bounds = data.draw(cuts(len(y)))
    parts = [seen(y, p, slice(a, b), n_cells=n_cells, **options) for a, b in pairwise(bounds)]
    whole = numbers(seen(y, p, n_cells=n_cells, **options))
    merged = sum(data.draw(st.permutations(parts)))
    assert numbers(merged) == pytest.approx(whole, rel=1e-12, abs=1e-13)
    again = fc.SelectiveAccumulator.from_bytes(merged.to_bytes())
    assert numbers(again) == numbers(merged)


@few
@given(predicted(), predicted(weighted=False))
def test_weighted_and_plain_rows_merge(one, other):
    score = np.zeros(len(one[0])), np.ones(len(other[0]))
    weights = np.ones(len(one[0])) if one[2]["sample_weight"] is None else one[2]["sample_weight"]
    parts = [
        seen(*one[:2], confidence=score[0], sample_weight=weights),
        seen(*other[:2], confidence=score[1]),
    ]
    both = sum(parts)
    y, p, c = (np.concatenate(pair) for pair in ((one[0], other[0]), (one[1], other[1]), score))
    w = np.append(weights, np.ones(len(other[0])))
    for merged in (both, parts[1] + parts[0]):
        for name in AREAS:
            expected = getattr(fc, name)(y, p, confidence=c, sample_weight=w)
            assert merged.compute()[name] == pytest.approx(expected, rel=1e-12, abs=1e-13)


@few
@given(predicted())
def test_few_confidences_are_exact_and_equal_to_one_call(drawn):
    y, p, options = drawn
    for n_cells in (1 << 16, None):
        accumulator = seen(y, p, n_cells=n_cells, **options)
        report = accumulator.compute()
        assert report["aurc_bound"] == report["augrc_bound"] == report["resolution"] == 0
        if options["sample_weight"] is None:
            assert {name: report[name] for name in AREAS} == {n: getattr(fc, n)(y, p, **options) for n in AREAS}
        else:
            for name in AREAS:
                assert report[name] == pytest.approx(getattr(fc, name)(y, p, **options), rel=1e-12, abs=1e-14)
        assert report["risk_at_80_coverage"] == fc.risk_at_coverage(y, p, **options)
        assert report["coverage_at_5_risk"] == fc.coverage_at_risk(y, p, **options)
        wrong = oracle.judged(y, p)[1]
        w = oracle.weights_of(wrong, options["sample_weight"])
        assert report["risk"] == pytest.approx((w * wrong).sum() / w.sum(), rel=1e-12)
        curve, expected = accumulator.curve(), fc.risk_coverage_curve(y, p, **options)
        assert curve.to_dict() == expected.to_dict()


@pytest.mark.usefixtures("cut_up")
@few
@given(predicted(max_rows=80), st.integers(2, 12))
def test_the_bounds_hold(drawn, n_cells):
    y, p, options = drawn
    rng = np.random.default_rng(len(y))
    options["confidence"] = rng.standard_normal(len(y))
    wrong = oracle.judged(y, p)[1]
    if n_cells % 3:  # in the best and in the worst order
        options["confidence"] = np.sort(options["confidence"])[np.argsort(np.argsort(wrong))][
            :: 1 if n_cells % 2 else -1
        ]
    accumulator = seen(y, p, n_cells=n_cells, **options)
    report = accumulator.compute()
    for name in AREAS:
        bound = report["augrc_bound" if name == "augrc" else "aurc_bound"]
        assert abs(report[name] - getattr(fc, name)(y, p, **options)) <= bound + 1e-12, name
    everything = fc.risk_coverage_curve(y, p, **options)
    curve = accumulator.curve()
    # its points are those of the exact curve
    at = np.searchsorted(-everything.threshold, -curve.threshold, side="right") - 1
    np.testing.assert_allclose(everything.coverage[at], curve.coverage, rtol=1e-12)
    np.testing.assert_allclose(everything.risk[at], curve.risk, rtol=1e-11, atol=1e-14)


def test_the_bounds_are_reached_and_small():
    """All errors of a cell behind all else in it, or before: that far off is the average, and no farther."""
    n, cell = 1 << (14 if JIT else 8), 1 << 4
    high = 1 + np.arange(n) / n  # cells of 16 confidences each
    place = np.arange(n) % cell
    for wrong in (place < 2, place < 14, place >= 2, place >= 14):
        y, p = 1 - wrong.astype(int), np.full(n, 0.75)
        report = fc.SelectiveAccumulator(n_cells=n // cell).update(y, p, confidence=high).compute()
        off = abs(report["aurc"] - fc.aurc(y, p, confidence=high))
        assert 0.5 * report["aurc_bound"] < off <= report["aurc_bound"] * (1 + 1e-9)
        off = abs(report["augrc"] - fc.augrc(y, p, confidence=high))
        assert off == pytest.approx(report["augrc_bound"], rel=1e-9)
    rng = np.random.default_rng(0)
    p = rng.random(100_000 if JIT else 500)
    report = fc.SelectiveAccumulator(n_cells=4096 if JIT else 100).update(rng.random(len(p)) < p, p).compute()
    assert 0 < report["aurc_bound"] < (1e-3 if JIT else 0.03)
    assert 0 < report["augrc_bound"] < (1e-3 if JIT else 0.03)


@pytest.mark.parametrize("n_cells", [2, 9, 40])
@pytest.mark.parametrize("n_classes", [0, 3])
def test_rows_that_are_only_counted_give_the_same_bytes(n_cells, n_classes, monkeypatch):
    """Batches of more rows than cells are not sorted, once the cells are known to be wide."""
    counted = []
    monkeypatch.setattr(selective.Dense, "add", spied(selective.Dense.add, counted))
    rng = np.random.default_rng(7)
    n = 4000 if JIT else 300
    p = rng.dirichlet(np.ones(n_classes), n) if n_classes else rng.random(n)
    y = rng.integers(0, max(n_classes, 2), n)
    batches = [slice(0, n // 4), slice(n // 4, n // 4 + 2), slice(n // 4 + 2, n)]
    w = rng.integers(1, 3, n)
    for score, weights in ((None, None), (None, w), (2 * rng.random(n), None), (rng.random(n) + 5, None)):
        counted.clear()
        given_ = {"confidence": score, "sample_weight": weights}
        whole = seen(y, p, n_cells=n_cells, **given_)
        assert not counted
        parts = fc.SelectiveAccumulator(n_cells=n_cells)
        for index in batches:
            parts.update(y[index], p[index], **{k: None if v is None else v[index] for k, v in given_.items()})
        assert bool(counted) == (score is None and weights is None)
        assert parts.to_bytes() == whole.to_bytes()
        parts.update(y, p)  # where the cells seen are all above 1, or wide
        expected = sum([seen(y, p, n_cells=n_cells), whole])
        np.testing.assert_array_equal(parts.curve().coverage, expected.curve().coverage)
        np.testing.assert_array_equal(parts.curve().threshold, expected.curve().threshold)


def spied(function, calls):
    def call(*args):
        calls.append(args)
        return function(*args)

    return call


@pytest.mark.parametrize("dtype", [np.float16, "bfloat16"])
def test_half_precision_is_exact_in_cells(dtype):
    torch = pytest.importorskip("torch") if dtype == "bfloat16" else None
    rng = np.random.default_rng(4)
    p = rng.random(3000 if JIT else 60)
    y = (rng.random(len(p)) < p).astype(int)
    half = torch.from_numpy(p).to(torch.bfloat16) if torch else p.astype(dtype)
    wide = half.float().numpy() if torch else half.astype(np.float32)
    report = fc.SelectiveAccumulator().update(y, np.full(len(p), 0.75), confidence=half).compute()
    assert report["resolution"] == 0
    assert report["aurc"] == fc.aurc(y, np.full(len(p), 0.75), confidence=wide)
    assert report["aurc"] == fc.aurc(y, np.full(len(p), 0.75), confidence=half)


# NaN, and nothing


@settings(max_examples=20 if JIT else 5)
@given(rows(max_rows=40), st.data())
def test_rows_that_are_no_distribution_follow_the_policy(drawn, data):
    missing = np.array(data.draw(st.lists(st.booleans(), min_size=len(drawn), max_size=len(drawn))))
    scores = drawn.scores.copy()
    scores[missing] = np.nan
    own = np.where(missing, np.nan, np.arange(len(drawn)) % 7)
    for confidence in (None, own):
        given_ = {"confidence": confidence, "sample_weight": drawn.weights}
        kept = {name: None if one is None else one[~missing] for name, one in given_.items()}
        options = {"from_logits": drawn.from_logits}
        found = fc.SelectiveAccumulator(**options, nan_policy="omit").update(drawn.labels, scores, **given_)
        expected = fc.SelectiveAccumulator(**options).update(drawn.labels[~missing], scores[~missing], **kept)
        assert found.compute().to_dict() | {"n_nan": 0} == pytest.approx(expected.compute().to_dict(), nan_ok=True)
        assert found.compute()["n_nan"] == missing.sum()
        if not missing.any():
            continue
        propagated = fc.SelectiveAccumulator(**options, nan_policy="propagate").update(drawn.labels, scores, **given_)
        assert math.isnan(propagated.compute()["aurc"])
        assert np.isnan(propagated.curve().risk).all()
        assert propagated.compute()["n_nan"] == missing.sum()
        with pytest.raises(fc.DataError, match=r"y_prob\["):
            fc.SelectiveAccumulator(**options).update(drawn.labels, scores, **given_)


def test_figures_of_nothing_are_nan():
    for accumulator in (fc.SelectiveAccumulator(), fc.SelectiveAccumulator().update([], [])):
        report = accumulator.compute()
        assert (report["n"], report["n_nan"]) == (0, 0)
        assert all(math.isnan(report[name]) for name in (*AREAS, "risk", "aurc_bound", "risk_at_80_coverage"))
        assert accumulator.curve().to_dict() == {key: [] for key in accumulator.curve().to_dict()}
        assert accumulator.is_empty
    weightless = fc.SelectiveAccumulator().update([0, 1], [0.3, 0.4], sample_weight=[0, 0])
    assert math.isnan(weightless.compute()["aurc"])
    assert weightless.compute()["n"] == 2
    assert fc.SelectiveAccumulator.from_bytes(weightless.to_bytes()).to_bytes() == weightless.to_bytes()
    assert json.loads(weightless.compute().to_json())["aurc"] is None
    assert set(weightless.compute().descriptions) == set(weightless.compute())


def test_ties_are_exact():
    report = fc.SelectiveAccumulator().update([0, 1, 1, 1], [0.75, 0.75, 0.75, 0.25]).compute()
    assert (report["aurc"], report["aurc_bound"], report["augrc_bound"]) == (0.5, 0, 0)


def test_nothing_is_undefined_where_no_row_is():
    accumulator = fc.SelectiveAccumulator(nan_policy="propagate").update([0, 1], [0.25, 0.25])
    assert accumulator.compute()["aurc"] == fc.aurc([0, 1], [0.25, 0.25], nan_policy="propagate") == 0.5
    assert accumulator.curve().risk.tolist() == [0.5]
    omitted = fc.SelectiveAccumulator(nan_policy="omit").update([0], [math.nan])
    assert omitted.compute()["n_nan"] == 1
    assert omitted.reset().to_bytes() == fc.SelectiveAccumulator(nan_policy="omit").to_bytes()


def test_a_failed_update_changes_nothing_and_two_threads_are_told():
    accumulator = fc.SelectiveAccumulator().update([0, 1], [0.2, 0.3])
    before = accumulator.to_bytes()
    for bad in (([0, 2], [0.1, 0.2], None), ([0, 1], [0.1, 0.2], [1.0, np.inf]), ([0, 1], [0.1, 1.2], None)):
        with pytest.raises(fc.DataError):
            accumulator.update(*bad[:2], confidence=bad[2])
        assert accumulator.to_bytes() == before
    told = []
    with accumulator._changing():

        def change():
            with pytest.raises(RuntimeError, match="changed in another thread"):
                accumulator.update([0], [0.1])
            told.append(True)

        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
    assert told


def test_only_the_same_can_be_merged():
    with pytest.raises(ValueError, match="n_cells is 65536 here and None there"):
        fc.SelectiveAccumulator().merge(fc.SelectiveAccumulator(n_cells=None))
    with pytest.raises(ValueError, match="from_logits is False here and True there"):
        fc.SelectiveAccumulator() + fc.SelectiveAccumulator(from_logits=True)
    with pytest.raises(TypeError, match="cannot merge RankingAccumulator into SelectiveAccumulator"):
        fc.SelectiveAccumulator().merge(fc.RankingAccumulator())


# States


def example():
    rng = np.random.default_rng(2024)
    y, p = rng.integers(0, 2, 40), rng.integers(0, 17, 40) / 16
    p[3] = np.nan
    return y, p


def test_a_state_of_the_first_version_is_read():
    """``selective.bin`` was written when the class was new, by ``update(*example())``; it is read for ever."""
    state = fc.SelectiveAccumulator.from_bytes(STATE.read_bytes())
    y, p = example()
    assert state.to_bytes() == fc.SelectiveAccumulator(nan_policy="omit").update(y, p).to_bytes()
    report = state.compute()
    assert (report["n"], report["n_nan"]) == (39, 1)
    kept = ~np.isnan(p)
    assert report["aurc"] == pytest.approx(oracle.aurc(y[kept], p[kept]), rel=1e-14)


def test_rows_that_were_all_left_out_are_rows():
    state = fc.SelectiveAccumulator(nan_policy="omit")
    assert state.is_empty
    assert not state.update([0], [[np.nan, 0.5]]).is_empty
