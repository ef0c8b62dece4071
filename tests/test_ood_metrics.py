"""ood_metrics: figures against their definitions and scikit-learn, laws, intervals that cover, awkward input."""

from __future__ import annotations

import json
import math

import ml_dtypes
import numpy as np
import oracle_ood
import peers_ood
import pytest
from conftest import JIT
from forms import Framed, read_only
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from small_pieces import cut_up  # noqa: F401 - a fixture

import fastcal as fc
from fastcal import kernels
from fastcal.metrics import ood_intervals
from fastcal.ordered.groups import Groups
from fastcal.ordered.ranking import MAX_PAIRS, Ranking

NAN, INF = float("nan"), float("inf")
FIGURES = ("auroc", "aupr_in", "aupr_out", "fpr95", "detection_error")
needs_many = pytest.mark.skipif(not JIT, reason="needs hundreds of simulations")


def figures(score_in, score_out, **options):
    found = fc.ood_metrics(score_in, score_out, **{"n_resamples": 0, **options})
    return {name: getattr(found, name) for name in FIGURES}


@st.composite
def two_sets(draw):
    """Scores of two sets, some with ties, of any float type."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.integers(1, 45)), draw(st.integers(1, 45))
    apart = draw(st.sampled_from([-3.0, 0.0, 1.0, 4.0]))
    digits = draw(st.sampled_from([0, 1, 9]))
    dtype = draw(st.sampled_from([np.float64, np.float32, np.float16, ml_dtypes.bfloat16]))
    drawn = rng.normal(apart, 1, sizes[0]), rng.normal(0, 1, sizes[1])
    return tuple(np.round(one, digits).astype(dtype) for one in drawn)


@given(two_sets())
@pytest.mark.usefixtures("cut_up")
def test_figures_equal_their_definitions(sets):
    for name, expected in oracle_ood.ood_metrics(*sets).items():
        assert figures(*sets)[name] == pytest.approx(expected, rel=1e-12, abs=1e-15), name


@given(two_sets())
def test_figures_equal_scikit_learns(sets):
    pytest.importorskip("sklearn")
    scores = np.concatenate([one.astype(float) for one in sets])
    labels = np.repeat([1, 0], [len(one) for one in sets])
    found = figures(*sets)
    for name, expected in peers_ood.sklearn_ood(labels, scores).items():
        if name != "fpr95" or len(sets[0]) % 20:  # 19 of 20 are 95 %, whatever both sides round to
            assert found[name] == pytest.approx(expected, rel=1e-12, abs=1e-15), name


@given(two_sets(), st.integers(0, 99))
@pytest.mark.usefixtures("cut_up")
def test_order_of_rows_and_rising_maps_change_nothing(sets, seed):
    rng = np.random.default_rng(seed)
    inside, out = (one.astype(float) for one in sets)
    found = fc.ood_metrics(inside, out, n_resamples=10, random_state=seed)
    assert fc.ood_metrics(rng.permutation(inside), rng.permutation(out), n_resamples=10, random_state=seed) == found
    assert fc.ood_metrics(np.exp2(inside / 64), np.exp2(out / 64), n_resamples=10, random_state=seed) == found
    for n_threads in (1, 3):
        again = fc.ood_metrics(inside, out, n_resamples=10, random_state=seed, n_threads=n_threads)
        assert again == found


@given(two_sets())
def test_the_sets_change_places(sets):
    inside, out = (one.astype(float) for one in sets)
    found, turned, mirrored = figures(inside, out), figures(out, inside), figures(-out, -inside)
    assert turned["auroc"] == pytest.approx(1 - found["auroc"], abs=1e-12)
    assert mirrored["auroc"] == pytest.approx(found["auroc"], abs=1e-12)
    assert (mirrored["aupr_in"], mirrored["aupr_out"]) == (found["aupr_out"], found["aupr_in"])
    assert mirrored["detection_error"] == pytest.approx(found["detection_error"], abs=1e-15)


@given(two_sets())
def test_figures_are_those_of_the_single_functions(sets):
    inside, out = (one.astype(float) for one in sets)
    labels, scores = np.repeat([1, 0], [len(inside), len(out)]), np.concatenate([inside, out])
    found = figures(inside, out)
    assert found["auroc"] == fc.auroc(labels, scores)
    assert found["aupr_in"] == fc.average_precision(labels, scores)
    assert found["aupr_out"] == fc.average_precision(1 - labels, -scores)
    assert found["fpr95"] == fc.fpr_at_tpr(labels, scores)
    assert 0 <= found["detection_error"] <= 0.5


@given(two_sets())
def test_error_of_auroc_is_delongs(sets):
    inside, out = (np.append(one, one[:1]).astype(float) for one in sets)  # two rows at least
    found = fc.ood_metrics(inside, out, n_resamples=0).intervals["auroc"]
    auroc, error = oracle_ood.ood_metrics(inside, out)["auroc"], oracle_ood.auroc_error(inside, out)
    if 0 < auroc < 1:
        half = norm.ppf(0.975) * error / (auroc * (1 - auroc))
        middle = math.log(auroc / (1 - auroc))
        expected = [1 / (1 + math.exp(-middle + side * half)) for side in (1, -1)]
        assert found == pytest.approx(expected, rel=1e-9)


def test_many_pairs_are_counted_as_floats():
    groups = Groups(np.arange(3.0), np.array([[1 << 31, 1], [1, 1 << 31], [0, 5]]))
    ranking = Ranking(groups)
    assert ranking.n_negative * ranking.n_positive > MAX_PAIRS
    assert ranking.auroc() == pytest.approx(1, abs=1e-8)
    assert ranking.detection_error() == pytest.approx(2**-31, rel=1e-6, abs=0)


def test_rankings_without_a_label():
    ranking = Ranking(Groups(np.arange(2.0), np.array([[0, 1], [0, 2]])))
    assert math.isnan(ranking.detection_error())
    assert math.isnan(ranking.auroc_error())


def test_detection_error_with_weights():
    """Sums in two parts, as weighted rankings have them."""
    sums = np.array([[0.1, 0, 0.3, 0], [0.5, 0, 0.2, 0], [0.1, 0, 0.7, 0]])
    found = Ranking(Groups(np.arange(3.0), sums)).detection_error()
    assert found == pytest.approx(min(0.3 / 1.2 + 0.6 / 0.7, 0.5 / 1.2 + 0.1 / 0.7) / 2, rel=1e-12)


# Intervals

TWO = np.random.default_rng(0).normal([[1.0], [0.0]], 1, (2, 300 if JIT else 40))


def test_intervals_hold_their_estimates_and_lie_within_what_is_possible():
    found = fc.ood_metrics(*TWO, random_state=0, n_resamples=200)
    wider = fc.ood_metrics(*TWO, random_state=0, n_resamples=200, level=0.99)
    for name in FIGURES:
        low, high = found.intervals[name]
        assert 0 <= wider.intervals[name][0] < low <= getattr(found, name) <= high < wider.intervals[name][1] <= 1
    assert found.intervals["detection_error"][1] <= 0.5


def test_seeds_and_no_resamples():
    found = [fc.ood_metrics(*TWO, random_state=seed, n_resamples=50).intervals for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert found[0]["auroc"] == found[2]["auroc"]
    assert fc.ood_metrics(*TWO, n_resamples=50) != fc.ood_metrics(*TWO, n_resamples=50)
    none = fc.ood_metrics(*TWO, n_resamples=0).intervals
    assert none == {**dict.fromkeys(FIGURES), "auroc": found[0]["auroc"]}


def test_to_dict_is_json():
    found = fc.ood_metrics(*TWO, random_state=0, n_resamples=20)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["auroc"] == found.auroc
    assert plain["intervals"]["fpr95"] == list(found.intervals["fpr95"])
    assert (plain["n_in"], plain["n_out"], plain["level"]) == (len(TWO[0]), len(TWO[1]), 0.95)
    assert fc.ood_metrics(*TWO, n_resamples=0).to_dict()["intervals"]["fpr95"] is None


def test_resamples_are_the_same_for_any_number_of_threads(monkeypatch):
    monkeypatch.setattr("fastcal.engine.SMALL", 0)
    found = [fc.ood_metrics(*TWO, random_state=0, n_resamples=100, n_threads=n) for n in (1, 2, 3)]
    assert found[0] == found[1] == found[2]


def test_cells_hold_all_rows_in_order_and_about_as_many_each():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, (2, 500))
    counts[:, 100] = 400, 500  # one large group
    cells = np.zeros((32, 2), np.int64)
    kernels.separation.gather(*counts, *counts.sum(axis=1), cells)
    np.testing.assert_array_equal(cells.sum(axis=0), counts.sum(axis=1))
    cumulated = np.cumsum(counts, axis=1)
    for column in range(2):
        assert set(np.cumsum(cells[:, column])) <= {0, *cumulated[column]}
    share = (cells / cells.sum(axis=0)).mean(axis=1)
    assert np.sort(share)[-2] < 2.5 / 32


def test_resampled_figures_are_those_of_a_ranking():
    rng = np.random.default_rng(0)
    negatives, positives = (rng.multinomial(n, np.full(9, 1 / 9), size=4) for n in (50, 70))
    found = np.empty((4, 3))
    kernels.separation.resampled(negatives, positives, 50, 70, found)
    for row in range(4):
        rows = [np.repeat(np.arange(9), one[row]) for one in (positives, negatives)]
        expected = oracle_ood.ood_metrics(*rows)
        scaled = found[row] / (70, 50, 2 * 50 * 70)
        assert scaled == pytest.approx([expected[name] for name in ood_intervals.RESAMPLED], rel=1e-12)


@needs_many
def test_cells_have_the_standard_errors_of_rows(monkeypatch):
    """Of 4000 rows in cells, against each row in its own."""
    rng = np.random.default_rng(0)
    outside = rng.random(4000) > np.linspace(0, 1, 4000)
    ranking = Ranking(Groups(np.arange(4000.0), np.stack([outside, ~outside], axis=1).astype(np.int64)))
    coarse = ood_intervals.resampled(ranking, 3000, 0, None)
    monkeypatch.setattr(ood_intervals, "CELLS", 1 << 20)
    fine = ood_intervals.resampled(ranking, 3000, 0, None)
    for name in ood_intervals.RESAMPLED:
        assert coarse[name].std() == pytest.approx(fine[name].std(), rel=0.07), name
        assert coarse[name].mean() == pytest.approx(fine[name].mean(), abs=0.5 * fine[name].std()), name


def truth(apart, n_in, n_out):
    """Of N(apart, 1) against N(0, 1)."""
    t = np.linspace(-8, 8 + apart, 100_001)
    tpr, fpr = norm.sf(t - apart), norm.sf(t)

    def area(recall, other, odds):
        recall = np.maximum(recall, 1e-300)
        return abs(np.trapezoid(recall / (recall + odds * other), recall))

    return {
        "auroc": norm.cdf(apart / math.sqrt(2)),
        "aupr_in": area(tpr, fpr, n_out / n_in),
        "aupr_out": area(1 - fpr, 1 - tpr, n_in / n_out),
        "fpr95": norm.sf(apart + norm.ppf(0.05)),
        "detection_error": norm.sf(apart / 2),
    }


@needs_many
@pytest.mark.parametrize(("apart", "n_in", "n_out"), [(1.0, 100, 100), (2.0, 200, 100), (3.0, 60, 200)])
def test_intervals_cover(apart, n_in, n_out):
    """Of 93 to 96 %, within 3.5 standard errors of 250 simulations."""
    rng = np.random.default_rng(11)
    expected = truth(apart, n_in, n_out)
    covered = dict.fromkeys(FIGURES, 0)
    n_simulations = 250
    for seed in range(n_simulations):
        sets = rng.normal(apart, 1, n_in), rng.normal(0, 1, n_out)
        found = fc.ood_metrics(*sets, n_resamples=200, random_state=seed, n_threads=1)
        for name in FIGURES:
            low, high = found.intervals[name]
            covered[name] += low <= expected[name] <= high
    shares = {name: n / n_simulations for name, n in covered.items()}
    assert all(0.88 <= share <= 0.996 for share in shares.values()), shares


def test_sets_without_overlap_have_intervals_of_some_width():
    found = fc.ood_metrics(np.arange(10, 60), np.arange(10), random_state=0)
    assert (found.auroc, found.aupr_in, found.aupr_out, found.fpr95, found.detection_error) == (1, 1, 1, 0, 0)
    most = -math.log(0.025) / 10
    assert found.intervals["auroc"] == pytest.approx((1 - most, 1.0))
    assert found.intervals["detection_error"] == pytest.approx((0.0, most / 2))
    assert found.intervals["fpr95"] == pytest.approx((0.0, most))
    for name in ("aupr_in", "aupr_out"):
        low, high = found.intervals[name]
        assert 0 <= low < 1 == high
    none = fc.ood_metrics(np.arange(10, 60), np.arange(10), n_resamples=0).intervals
    assert none == {**dict.fromkeys(FIGURES), "auroc": found.intervals["auroc"]}
    assert fc.ood_metrics([1.0], [0.0], random_state=0).intervals["auroc"] == (0.0, 1.0)


def test_worst_precision_of_sets_without_overlap():
    """Worst of all rankings whose errors are of one kind, by their areas."""
    most = ood_intervals.most_errors(100, 300, 0.95)
    low = ood_intervals.apart(100, 300, 0.95, True)["aupr_in"][0]
    recall = np.linspace(0, 1, 200_001)
    above = np.trapezoid(recall / (recall + 3 * most), recall)
    below = np.trapezoid(np.where(recall <= 1 - most, 1, recall / (recall + 3)), recall)
    assert low == pytest.approx(min(above, below), abs=1e-4)


def test_sets_in_the_wrong_order():
    found = fc.ood_metrics(np.arange(10), np.arange(10, 60), random_state=0, n_resamples=50)
    assert (found.auroc, found.detection_error, found.fpr95) == (0, 0.5, 1)
    assert found.intervals["auroc"] == pytest.approx((0.0, -math.log(0.025) / 10))
    assert found.intervals["detection_error"][1] == 0.5
    assert all(math.isfinite(end) for ends in found.intervals.values() for end in ends)


def test_nothing_but_ties():
    found = fc.ood_metrics(np.zeros(10), np.zeros(30), random_state=0, n_resamples=50)
    assert (found.auroc, found.aupr_in, found.aupr_out, found.fpr95, found.detection_error) == (0.5, 0.25, 0.75, 1, 0.5)
    assert found.intervals["auroc"][0] < 0.5 < found.intervals["auroc"][1]


@pytest.mark.parametrize("n_resamples", [0, 10])
def test_a_single_row_has_no_spread(n_resamples):
    found = fc.ood_metrics([0.5], [0.4, 0.6, 0.7], n_resamples=n_resamples, random_state=0).intervals
    assert np.isnan(found["auroc"]).all()
    assert found["fpr95"] is None if n_resamples == 0 else np.isnan(found["fpr95"]).all()


# Input

P, Q = np.array([0.75, 1.5, 2.0, 0.25]), np.array([0.5, -1.0, 0.125])


SAME = {
    "list": lambda x: x.tolist(),
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "bfloat16": lambda x: x.astype(ml_dtypes.bfloat16),
    "long double": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f8"),
    "strided": lambda x: np.repeat(x, 2)[::2],
    "read-only": read_only,
    "masked, nothing hidden": np.ma.masked_array,
    "frame": Framed,
}


@pytest.mark.parametrize("form", SAME.values(), ids=SAME)
def test_forms_of_the_same_scores(form):
    found = figures(P, Q)
    assert figures(form(P), form(Q)) == figures(form(P), Q) == figures(P, form(Q)) == found
    assert fc.valid_ood_region(form(P), form(Q)).tolist() == fc.valid_ood_region(P, Q).tolist()
    assert fc.softmax_extrapolation(form(P), Q).tolist() == fc.softmax_extrapolation(P, Q).tolist()


def test_integers_and_booleans():
    assert figures([3, 2, 2], [1, 2]) == figures([3.0, 2.0, 2.0], [1.0, 2.0])
    assert figures([True, True], [False, True])["auroc"] == 0.75


def test_tensors():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert figures(torch.tensor(P, dtype=dtype), torch.tensor(Q)) == figures(P, Q)


BAD = [
    (([0.1, NAN], [0.2]), fc.DataError, r"score_in\[1\] is nan; expected finite numbers"),
    (([0.1], [0.2, -INF]), fc.DataError, r"score_out\[1\] is -inf"),
    (([], [0.2]), fc.DataError, "score_in is empty"),
    (([0.1], []), fc.DataError, "score_out is empty"),
    (([[0.1]], [0.2]), fc.DataError, r"score_in has shape \(1, 1\)"),
    ((0.1, [0.2]), fc.DataError, r"score_in has shape \(\)"),
    ((np.ma.masked_array([0.1, 0.2], [0, 1]), [0.2]), fc.DataError, r"score_in\[1\] is masked"),
    ((np.float32([0.1, NAN]), np.array([0.2])), fc.DataError, r"score_in\[1\] is nan"),
    ((["a"], [0.2]), TypeError, "score_in has dtype"),
]


@pytest.mark.parametrize(("sets", "error", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_scores(sets, error, message):
    with pytest.raises(error, match=message):
        fc.ood_metrics(*sets)
    renamed = message.replace("score_in", "uncertainty_in").replace("score_out", "uncertainty")
    if message != "score_out is empty":
        for function in (fc.valid_ood_region, fc.valid_ood_share, fc.softmax_extrapolation):
            with pytest.raises(error, match=renamed):
                function(*sets)


OPTIONS = [
    ({"level": 1}, "level is 1"),
    ({"level": 0}, "level is 0"),
    ({"n_resamples": 1}, "n_resamples is 1"),
    ({"n_resamples": -5}, "n_resamples is -5"),
    ({"n_resamples": 2.5}, "n_resamples is 2.5"),
    ({"n_resamples": True}, "n_resamples is True"),
    ({"random_state": -1}, "random_state is -1"),
    ({"n_threads": 0}, "n_threads is 0"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        fc.ood_metrics([0.1], [0.2], **options)
