"""Streams of scores: merging is a law, exact while there are few scores, within the stated bounds beyond."""

from __future__ import annotations

import json
import pickle
import threading
from itertools import pairwise

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture
from strategies import cuts
from test_isotonic import weighted_rows

import fastcal as fc
from fastcal import kernels
from fastcal.accumulators import ordered

pytestmark = pytest.mark.usefixtures("cut_up")
KINDS = (fc.RankingAccumulator, fc.IsotonicAccumulator)


@pytest.fixture(autouse=True, scope="module")
def few_cells():
    """A limit that a few rows reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "MIN_CELLS", 2)
        yield


def seen(kind, x, y, w=None, **options):
    return kind(**options).update(y, x, sample_weight=w)


def part(rows, index):
    return tuple(None if values is None else values[index] for values in rows)


@pytest.mark.parametrize("kind", KINDS)
@given(weighted_rows(), st.integers(2, 50), st.data())
def test_parts_in_any_order_and_bracketing_make_the_whole(kind, rows, n_cells, data):
    x, y, w = rows
    if kind is fc.RankingAccumulator:
        y = (y > np.median(y)).astype(int)
    rows = (x, y, w)
    bounds = data.draw(cuts(len(x)))
    order = data.draw(st.permutations(range(len(bounds) - 1)))
    parts = [
        seen(kind, *part(rows, slice(a, b)), n_cells=n_cells) if b > a else kind(n_cells=n_cells)
        for a, b in pairwise(bounds)
    ]
    whole = seen(kind, x, y, w, n_cells=n_cells)
    middle = data.draw(st.integers(0, len(parts)))
    merged = [
        sum(parts[i] for i in order),
        sum((parts[i] for i in order[:middle]), kind(n_cells=n_cells))
        + sum((parts[i] for i in order[middle:]), kind(n_cells=n_cells)),
    ]
    one_by_one = kind(n_cells=n_cells)
    for i in np.random.default_rng(0).permutation(len(x)):
        one_by_one.update(*part((y, x), slice(i, i + 1)), sample_weight=None if w is None else w[i : i + 1])
    for other in (*merged, one_by_one):
        assert other._state.level == whole._state.level
        np.testing.assert_array_equal(other._state.keys, whole._state.keys)
        if w is None and set(y) <= {0, 1}:
            # a part whose targets happen to be labels is counted in integers, and converted without loss
            np.testing.assert_array_equal(other._state.groups().totals(), whole._state.groups().totals())
        scale = max(1, abs(np.asarray(y, float)).max())
        np.testing.assert_allclose(other._state.groups().score, whole._state.groups().score)
        assert len(other._state.keys) <= n_cells
        if kind is fc.IsotonicAccumulator:
            ours, theirs = (one.compute().predict(x.astype(float)) for one in (other, whole))
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 50), st.data())
def test_labels_without_weights_have_the_same_bytes_however_cut(kind, seed, n, n_cells, data):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(n), rng.integers(0, 2, n)
    bounds = data.draw(cuts(n))
    parts = [seen(kind, x[a:b], y[a:b], n_cells=n_cells) for a, b in pairwise(bounds)]
    whole = seen(kind, x, y, n_cells=n_cells)
    assert sum(data.draw(st.permutations(parts))).to_bytes() == whole.to_bytes()
    assert (whole + kind(n_cells=n_cells)).to_bytes() == (kind(n_cells=n_cells) + whole).to_bytes() == whole.to_bytes()
    assert kind.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()
    assert pickle.loads(pickle.dumps(whole)).to_bytes() == whole.to_bytes()
    assert kind(n_cells=n_cells).update(y, x).reset().to_bytes() == kind(n_cells=n_cells).to_bytes()


@given(weighted_rows())
def test_few_scores_are_exact(rows):
    x, y, w = rows
    fit = seen(fc.IsotonicAccumulator, x, y, w).compute()
    model = fc.IsotonicRegression().fit(x, y, w)
    assert (fit.resolution, fit.excess_loss) == (0, 0)
    np.testing.assert_allclose(
        fit.predict(x.astype(float)), model.predict(x), rtol=1e-6, atol=1e-6 * max(1, abs(y).max())
    )
    labels = (y > np.median(y)).astype(int)
    if 0 < labels.sum() < len(labels):
        report = seen(fc.RankingAccumulator, x, labels, w).compute()
        assert report["auroc"] == pytest.approx(fc.auroc(labels, x, sample_weight=w), rel=1e-12)
        assert report["average_precision"] == pytest.approx(fc.average_precision(labels, x, sample_weight=w), rel=1e-12)
        assert report["fpr_at_95_tpr"] == pytest.approx(fc.fpr_at_tpr(labels, x, sample_weight=w), rel=1e-12)
        assert report["auroc_bound"] == report["resolution"] == 0


@given(weighted_rows(), st.integers(2, 20), st.booleans())
def test_the_fit_of_cells_is_that_of_moved_scores_and_loses_no_more_than_it_says(rows, n_cells, increasing):
    x, y, w = rows
    x, y = x.astype(float), np.clip(y, -1e3, 1e3)
    w = np.ones(len(x)) if w is None else w
    seen_ = seen(fc.IsotonicAccumulator, x, y, w, n_cells=n_cells, increasing=increasing)
    fit = seen_.compute()
    keys = np.empty(len(x), np.int64)
    kernels.sorting.keys(x, keys)
    level = seen_._state.level
    moved = ordered.Cells(level, keys >> level, np.zeros((len(x), 2))).groups().score
    assert (moved <= x).all()
    assert ((x - moved) <= fit.resolution).all()
    exact = fc.IsotonicRegression(increasing=increasing).fit(x, y, w)
    of_moved = fc.IsotonicAccumulator(increasing=increasing).update(y, moved, sample_weight=w).compute()
    np.testing.assert_allclose(fit.predict(moved), of_moved.predict(moved), rtol=1e-9, atol=1e-9)

    def loss(predicted):
        return np.average((predicted - y) ** 2, weights=w)

    assert loss(fit.predict(x)) <= loss(exact.predict(x)) + fit.excess_loss + 1e-9
    np.testing.assert_allclose(fit.predict(x), fit.predict(moved), rtol=1e-12, atol=1e-12)
    assert not np.isnan(fit.predict(x, out_of_bounds="nan")).any()
    assert (level > 0) == (fit.resolution > 0)


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 20))
def test_auroc_of_cells_is_within_its_bound(seed, n, n_cells):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(n), rng.integers(0, 2, n)
    y[:2] = 0, 1
    report = seen(fc.RankingAccumulator, x, y, n_cells=n_cells).compute()
    assert abs(report["auroc"] - fc.auroc(y, x)) <= report["auroc_bound"] + 1e-12


@given(weighted_rows(), st.integers(2, 20), st.booleans(), st.integers(0, 99))
def test_a_second_look_makes_the_fit_exact(rows, n_cells, increasing, seed):
    x, y, w = rows
    rng = np.random.default_rng(seed)
    first = seen(fc.IsotonicAccumulator, x, y, w, n_cells=n_cells, increasing=increasing)
    order = np.array_split(rng.permutation(len(x)), 3)
    batches = [(y[i], x[i], None if w is None else w[i]) for i in order if len(i)]
    fit = first.refined(batches)
    exact = seen(fc.IsotonicAccumulator, x, y, w, increasing=increasing).compute()
    np.testing.assert_allclose(fit.scores, exact.scores)
    scale = max(1, abs(np.asarray(y, float)).max())
    np.testing.assert_allclose(fit.values, exact.values, rtol=1e-12, atol=1e-12 * scale)
    assert (fit.resolution, fit.excess_loss) == (0, 0)


@pytest.mark.skipif(not JIT, reason="too many rows for plain Python")
def test_a_second_look_at_a_large_dump_holds_few_rows():
    rng = np.random.default_rng(0)
    n = 400_000
    x = rng.random(n).astype(np.float32)
    y = rng.random(n) < x
    first = fc.IsotonicAccumulator(n_cells=1 << 15).update(y, x)
    halves = [fc.IsotonicRefinement(first).update(y[i::2], x[i::2]) for i in range(2)]
    second = halves[0].merge(halves[1])
    fit, model = second.compute(), fc.IsotonicRegression().fit(x, y)
    np.testing.assert_array_equal(fit.scores, model.X_thresholds_)
    np.testing.assert_allclose(fit.values, model.y_thresholds_, rtol=1e-6)
    assert second.n_scores < n / 3
    restored = pickle.loads(pickle.dumps(halves[0]))
    np.testing.assert_array_equal(restored.compute().scores, fit.scores)
    with pytest.raises(ValueError, match="saw other rows: 199999 of 400000"):
        fc.IsotonicRefinement(first).update(y[:199999], x[:199999]).compute()
    with pytest.raises(ValueError, match="saw other rows"):
        first.refined([(~y, x)])
    cold = x[~np.isin(x, second._rows.groups().score)][0]
    with pytest.raises(ValueError, match="saw other rows"):
        first.refined([(y ^ (x == cold), x)])
    with pytest.raises(ValueError, match="different accumulators"):
        halves[0].merge(fc.IsotonicRefinement(fc.IsotonicAccumulator().update(y[:9], x[:9])))


@pytest.mark.skipif(not JIT, reason="too many rows for plain Python")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_floats_are_always_exact(dtype):
    bits = np.arange(1 << 16, dtype=np.uint16)
    values = bits.view(np.float16).astype(np.float64)
    scores = bits.view(np.float16)
    if dtype == "bfloat16":
        with np.errstate(invalid="ignore"):
            values = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        scores = bits
    kept = np.isfinite(values)
    values, scores = values[kept], scores[kept]
    y = np.random.default_rng(0).integers(0, 2, len(values))
    options = {"dtype": "bfloat16"} if dtype == "bfloat16" else {}
    report = fc.RankingAccumulator().update(y, scores, **options).update(1 - y, scores, **options).compute()
    assert report["resolution"] == report["auroc_bound"] == 0
    single = fc.RankingAccumulator().update(y, scores, **options).compute()
    assert single["auroc"] == fc.auroc(y, values)


def test_labels_then_weights_then_real_targets():
    """Integers are carried over to floats when the first weights come."""
    x, y = np.arange(6.0), np.array([0, 1, 0, 1, 1, 1])
    for n_cells in (3, 100):
        mixed = seen(fc.IsotonicAccumulator, x, y, n_cells=n_cells).update(y, x, sample_weight=np.ones(6) / 2)
        mixed.update(y * 0.5, x)
        whole = fc.IsotonicAccumulator(n_cells=n_cells).update(
            np.concatenate([y, y, y * 0.5]), np.tile(x, 3), sample_weight=np.repeat([1, 0.5, 1], 6)
        )
        np.testing.assert_allclose(mixed.compute().mean, whole.compute().mean, rtol=1e-14)
        assert mixed.compute().excess_loss == pytest.approx(whole.compute().excess_loss, abs=1e-14)
    ranking = fc.RankingAccumulator().update(y, x).update(y, x, sample_weight=np.full(6, 2.0))
    assert ranking.compute()["auroc"] == pytest.approx(fc.auroc(y, x), rel=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_and_missing_labels(kind):
    empty = kind()
    assert empty.is_empty
    assert empty.update([], []).is_empty
    assert kind.from_bytes(empty.to_bytes()).is_empty
    if kind is fc.RankingAccumulator:
        assert np.isnan(empty.compute()["auroc"])
        report = kind().update([1, 1], [0.1, 0.2]).compute()
        assert np.isnan(report["auroc"])
        assert report["average_precision"] == 1
        assert json.loads(report.to_json())["auroc"] is None
    else:
        with pytest.raises(ValueError, match="no rows"):
            empty.compute()
        constant = kind().update([0.5], [3.0]).compute()
        assert constant.predict([1.0, 9.0]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("kind", KINDS)
def test_what_raises_leaves_the_state_as_it_was(kind):
    state = kind().update([0, 1], [0.25, 0.5])
    before = state.to_bytes()
    for bad in (([0, 1], [0.1, np.nan]), ([0, np.inf], [0.1, 0.2]), ([0], [0.1, 0.2]), ([0, 1], [0.1, 0.2], [1, -1])):
        with pytest.raises(fc.DataError):
            state.update(*bad[:2], sample_weight=bad[2] if len(bad) > 2 else None)
    with pytest.raises(ValueError, match="n_cells is 65536 here and 4096 there"):
        state.merge(kind(n_cells=4096))
    with pytest.raises(TypeError, match="cannot merge"):
        state.merge(fc.ScoreAccumulator())
    with pytest.raises(TypeError):
        state + 1
    assert state.to_bytes() == before
    assert repr(state).endswith(": 2 rows>")


@pytest.mark.parametrize("n_cells", [1, 0, -5, 2.5, "many", True, 1 << 40])
def test_bad_limits(n_cells):
    with pytest.raises(ValueError, match="n_cells is"):
        fc.RankingAccumulator(n_cells=n_cells)


def test_two_threads_are_told():
    state = fc.RankingAccumulator()
    with state._changing():
        errors = []

        def update():
            try:
                state.update([0, 1], [0.1, 0.2])
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=update)
        thread.start()
        thread.join()
    assert "another thread" in errors[0]


def test_scores_at_the_ends_of_float64():
    x = np.concatenate([[-1.7976931348623157e308, 1.7976931348623157e308, 0.0, -0.0, 5e-324], np.linspace(-1, 1, 40)])
    y = np.arange(len(x)) % 2
    state = fc.IsotonicAccumulator(n_cells=4).update(y, x)
    fit = state.compute()
    assert np.isfinite(fit.scores).all()
    assert np.isfinite(fit.predict(x)).all()
    exact = fc.IsotonicAccumulator().update(y, x).compute()
    np.testing.assert_allclose(state.refined([(y, x)]).values, exact.values)


@pytest.mark.parametrize("offset", [0.0, 3e7, -1e10])
def test_the_variance_within_cells_survives_an_offset(offset):
    rng = np.random.default_rng(0)
    n = 2000 if JIT else 200
    x, noise = rng.random(n), np.round(rng.random(n) * 1024) / 1024
    fit = fc.IsotonicAccumulator(n_cells=16).update(offset + noise, x).compute()
    plain = fc.IsotonicAccumulator(n_cells=16).update(noise, x).compute()
    assert fit.excess_loss == pytest.approx(plain.excess_loss, rel=1e-3)
    weighted = fc.IsotonicAccumulator(n_cells=16).update(offset + noise, x, sample_weight=np.full(n, 0.3)).compute()
    assert weighted.excess_loss == pytest.approx(plain.excess_loss, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_billions_of_rows(kind):
    """States added to themselves: counts beyond what products of integers can hold."""
    one = kind().update([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    for _ in range(40):
        one = one + one
    one = kind.from_bytes(one.to_bytes())
    if kind is fc.RankingAccumulator:
        assert one.compute()["auroc"] == 0.75
        assert one.compute()["average_precision"] == pytest.approx(5 / 6)
    else:
        assert one.compute().mean.tolist() == [0, 0.5, 1]


def test_a_float32_stream_with_the_lowest_float32():
    x = np.append(np.random.default_rng(0).random(300).astype(np.float32), np.finfo(np.float32).min)
    y = (x > 0.5).astype(int)
    fit = fc.IsotonicAccumulator(n_cells=16).update(y, x).compute()
    assert not np.isnan(fit.predict(x, out_of_bounds="nan")).any()


@pytest.mark.parametrize("kind", KINDS)
def test_batches_that_weigh_nothing(kind):
    x, y = [0.1, 0.2, 0.3], [0, 1, 1]
    state = kind().update(y, x, sample_weight=[0, 0, 0])
    assert not state.is_empty
    restored = kind.from_bytes(state.to_bytes())
    restored.update(y, x).update(y, x, sample_weight=[0, 0, 0])
    whole = kind().update(y, x)
    np.testing.assert_array_equal(restored._state.groups().totals(), whole._state.groups().totals())
    assert kind.from_bytes(restored.to_bytes()).to_bytes() == restored.to_bytes()
    if kind is fc.IsotonicAccumulator:
        with pytest.raises(ValueError, match="no rows"):
            state.compute()


def test_the_second_look_takes_empty_batches_and_weights():
    rng = np.random.default_rng(0)
    x, y, w = rng.random(500), rng.integers(0, 2, 500), rng.integers(1, 3, 500) / 2
    first = fc.IsotonicAccumulator(n_cells=64).update(y, x, sample_weight=w)
    second = fc.IsotonicRefinement(first).update(y, x, sample_weight=w).update([], [])
    exact = fc.IsotonicAccumulator().update(y, x, sample_weight=w).compute()
    np.testing.assert_allclose(second.compute().values, exact.values, rtol=1e-12, atol=1e-12)
    assert second.n_scores < 500


def test_settings_are_of_their_type():
    with pytest.raises(ValueError, match="increasing is 'auto'"):
        fc.IsotonicAccumulator(increasing="auto")
    data = fc.IsotonicAccumulator().to_bytes().replace(b'"increasing": true', b'"increasing": 1   ')
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.IsotonicAccumulator.from_bytes(data)
    assert fc.IsotonicAccumulator(n_cells=np.int64(4096)).merge(fc.IsotonicAccumulator(n_cells=4096)).is_empty


def test_huge_targets_make_a_state_that_can_be_read_back():
    state = fc.IsotonicAccumulator().update([1e100, -1e100], [1.0, 2.0], sample_weight=[1e100, 1e100])
    assert fc.IsotonicAccumulator.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()
