"""Uncertainty of a stream: figures against definitions and scikit-learn, and the same bits however rows were cut up."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import oracle_uncertainty as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cuts

import fastcal as fc
from fastcal import engine, kernels
from fastcal.accumulators import uncertainty, uncertainty_adding, uncertainty_rows
from fastcal.accumulators.uncertainty_state import MEASURES, grid_of

NONE_OF_THEM = "energy"


@st.composite
def rows(draw, names=("predictive_entropy", "variation_ratio", NONE_OF_THEM), max_rows=80):
    """Columns of measures, whether predictions are correct (or None), and which rows are out of distribution."""
    n = draw(st.integers(1, max_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns = {}
    for name in draw(st.sampled_from([names, names[:1], names[-1:]])):
        kind = draw(st.sampled_from(["uniform", "log", "grid", "tiny", "saturated", "large", "bits"]))
        values = {
            "uniform": lambda: rng.random(n) * 2,
            "log": lambda: 10.0 ** rng.uniform(-30, 0, n),
            "grid": lambda: rng.integers(0, 4, n) / 5,
            "tiny": lambda: 10.0 ** rng.uniform(-323, -290, n),
            "saturated": lambda: np.where(rng.random(n) < 0.7, 0.0, rng.random(n)),
            "large": lambda: rng.random(n) * 10.0 ** rng.integers(1, 30, n),
            "bits": lambda: rng.integers(0, 1 << 62, n).view(np.float64) / 1e160,
        }[kind]()
        if name == NONE_OF_THEM:
            values = values * rng.choice([-1, 1], n)
        elif name == "variation_ratio":
            values = np.clip(values, 0, 1)
        columns[name] = values.astype(draw(st.sampled_from([np.float32, np.float64])) if kind != "bits" else float)
        assert np.isfinite(columns[name]).all()
    correct = draw(st.sampled_from([None, rng.random(n) < 0.7, True, False]))
    out = draw(st.sampled_from([False, True, rng.random(n) < 0.4]))
    return columns, correct, out


def seen(columns, correct=None, out=False, part=slice(None), **settings):
    def of(values):
        return values[part] if isinstance(values, np.ndarray) else values

    accumulator = fc.UncertaintyAccumulator(**settings)
    some = {name: values[part] for name, values in columns.items()}
    return accumulator.update_measures(some, correct=of(correct), out_of_distribution=of(out))


def check(report, columns, kinds):
    """Every figure against the oracle's; ranks within their bounds."""
    for name, value in oracle.counts(kinds).items():
        np.testing.assert_equal(report[name], value, err_msg=name)
    for name, values in columns.items():
        found, expected = report[name], oracle.figures(values, kinds)
        for split in oracle.SPLITS:
            own = {key: value for key, value in expected[split].items() if key != "at_limit" or name in MEASURES}
            np.testing.assert_equal({key: found[split][key] for key in own}, own, err_msg=f"{name} {split}")
            np.testing.assert_equal(found[split]["standard_deviation"], np.sqrt(own["variance"]))
        for task in ("error", "ood"):
            exact = expected[f"{task}_auroc"], expected[f"{task}_fpr_at_95_tpr"]
            ours = found[f"{task}_auroc"], found[f"{task}_fpr_at_95_tpr"]
            bounds = found[f"{task}_auroc_bound"], found[f"{task}_fpr_at_95_tpr_bound"]
            if math.isnan(exact[0]):
                assert np.isnan([*ours, *bounds]).all()
                continue
            assert abs(ours[0] - exact[0]) <= bounds[0] + 1e-12
            assert ours[1] - bounds[1] - 1e-12 <= exact[1] <= ours[1] + 1e-12


@given(rows())
def test_figures(drawn):
    columns, correct, out = drawn
    n = len(next(iter(columns.values())))
    check(seen(*drawn).compute(), columns, oracle.kinds_of(n, correct, out))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.3, 1e-9]), st.booleans())
def test_auroc_is_scikit_learns_within_its_bound(seed, spacing, ties):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    n = 400 if JIT else 40
    u = rng.random(n) * spacing
    u = np.round(u / spacing * 20) * spacing / 20 if ties else u
    wrong, out = rng.random(n) < 0.2 + u / spacing / 2, rng.random(n) < 0.3
    wrong[:2], out[:3] = [True, False], [False, False, True]
    found = seen({"mutual_information": u}, ~wrong, out).compute()["mutual_information"]
    assert found["error_auroc_bound"] == found["ood_auroc_bound"] == 0.0 or not ties
    error, ood = metrics.roc_auc_score(wrong[~out], u[~out]), metrics.roc_auc_score(out, u)
    assert abs(found["error_auroc"] - error) <= found["error_auroc_bound"] + 1e-12
    assert abs(found["ood_auroc"] - ood) <= found["ood_auroc_bound"] + 1e-12
    # accepted: label 1, and certain: a high score
    for task, label, some in (("error", ~wrong, ~out), ("ood", ~out, slice(None))):
        exact = fc.fpr_at_tpr(label[some], -u[some])
        value = found[f"{task}_fpr_at_95_tpr"]
        assert value - found[f"{task}_fpr_at_95_tpr_bound"] - 1e-12 <= exact <= value + 1e-12


def test_bounds_are_small_where_values_lie_in_one_octave():
    rng = np.random.default_rng(1)
    u = 1 + rng.random(3000 if JIT else 100)
    wrong = rng.random(len(u)) < u / 3
    found = seen({"predictive_entropy": u}, ~wrong).compute()["predictive_entropy"]
    assert 0 < found["error_auroc_bound"] < (1e-3 if JIT else 1e-2)
    assert abs(found["error_auroc"] - oracle.auroc(u[~wrong], u[wrong])) <= found["error_auroc_bound"] + 1e-12


def test_the_largest_error_that_the_bound_allows():
    """All pairs in one cell and in the order that counts least: the bound is reached."""
    low, high = 1.0, 1.0 + 2.0**-11
    found = seen({"predictive_entropy": np.array([low, high])}, np.array([True, False])).compute()
    assert found["predictive_entropy"]["error_auroc"] == 0.5
    assert found["predictive_entropy"]["error_auroc_bound"] == 0.5
    assert found["predictive_entropy"]["error_fpr_at_95_tpr"] == 1.0
    assert found["predictive_entropy"]["error_fpr_at_95_tpr_bound"] == 1.0
    apart = seen({"predictive_entropy": np.array([low, low + 2.0**-10])}, np.array([True, False])).compute()
    assert apart["predictive_entropy"]["error_auroc"] == 1.0
    assert apart["predictive_entropy"]["error_fpr_at_95_tpr"] == 0.0


# Cells


@given(st.floats(0, allow_nan=False), st.booleans())
def test_a_number_is_in_the_cell_between_its_edges(value, signed):
    name = NONE_OF_THEM if signed else "predictive_entropy"
    grid = grid_of((name,))
    if not signed and math.isinf(value):
        value = 1e308
    for one in (value, -value) if signed else (value,):
        state = seen({name: np.array([one])})._state
        (cell,) = np.flatnonzero(state.counts[0].any(axis=1))
        low, high = grid.edges[cell], grid.edges[cell + 1]
        assert low <= one <= high
        assert one != high or math.isinf(one) or one < 0
        assert one != low or one >= 0 or math.isinf(one)
        assert (one == 0) == (cell == grid.zero)
        if value > 0:
            assert grid.cell(value) - grid.zero == abs(int(cell) - grid.zero)


@pytest.mark.parametrize("exponent", [-64, -63, -21, -20, -19, 0, 3, 4, 19, 20])
@pytest.mark.parametrize("signed", [False, True])
def test_a_power_of_two_begins_a_cell(exponent, signed):
    edge = 2.0**exponent
    name = NONE_OF_THEM if signed else "predictive_entropy"
    found = [seen({name: np.array([value])}).histogram(name) for value in (np.nextafter(edge, 0), edge)]
    highest = 20 if signed else 4
    if exponent <= highest:
        assert found[0].edges[1] == found[1].edges[0] == edge
    else:
        assert found[0].edges.tolist() == found[1].edges.tolist() == [2.0**highest, math.inf]


def test_cells_rise_and_are_as_narrow_as_said():
    for signed in (False, True):
        grid = grid_of((NONE_OF_THEM,) if signed else MEASURES)
        assert len(grid.edges) == grid.size + 1
        inner = grid.edges[np.isfinite(grid.edges)]
        assert (np.diff(inner) > 0).all()
        above = inner[inner >= 2.0**-64]
        width = np.diff(above) / above[:-1]
        assert width[above[:-1] >= 2.0**-20].max() <= 2.0**-10
        assert width.max() <= 2.0**-7
        assert above[-1] == 2.0 ** (20 if signed else 4)


def test_histogram():
    u = np.array([0.0, 0.0, 0.5, 0.5, 0.75, 2.0])
    correct, out = np.array([1, 1, 0, 1, 1, 0], bool), np.array([0, 0, 0, 1, 0, 0], bool)
    histogram = seen({"predictive_entropy": u}, correct, out).histogram("predictive_entropy")
    assert histogram.edges[0] == 0.0
    assert histogram.edges[-2] == 2.0
    assert len(histogram.edges) == len(histogram.correct) + 1
    for value, expected in {0.0: (2, 0, 0), 0.5: (0, 1, 1), 0.75: (1, 0, 0), 2.0: (0, 1, 0)}.items():
        cell = np.searchsorted(histogram.edges, value, side="right") - 1
        assert (histogram.correct[cell], histogram.wrong[cell], histogram.out[cell]) == expected
    assert histogram.correct.sum() + histogram.wrong.sum() + histogram.out.sum() == 6
    assert histogram.unlabelled.sum() == 0
    assert sum(histogram.to_dict()["correct"]) == 3
    with pytest.raises(KeyError, match="no measure 'energy'; there are predictive_entropy"):
        seen({"predictive_entropy": u}).histogram("energy")
    with pytest.raises(KeyError, match="there are none yet"):
        fc.UncertaintyAccumulator().histogram("energy")
    empty = fc.UncertaintyAccumulator(nan_policy="omit").update_measures({"energy": [math.nan]}).histogram("energy")
    assert (len(empty.edges), len(empty.out)) == (1, 0)


# Laws


@settings(max_examples=50 if JIT else 5)
@given(rows(max_rows=30), st.data())
def test_any_split_order_and_merge_gives_the_same_bits(drawn, data):
    columns, correct, out = drawn
    n = len(next(iter(columns.values())))
    bounds = data.draw(cuts(n))
    parts = [seen(*drawn, part=slice(a, b)) for a, b in pairwise(bounds)]
    whole = seen(*drawn)
    order = data.draw(st.permutations(range(len(parts))))
    assert sum(parts[i] for i in order).to_bytes() == whole.to_bytes()
    stream = fc.UncertaintyAccumulator()
    for i in np.random.default_rng(n).permutation(n):
        stream.merge(seen(*drawn, part=slice(i, i + 1)))
    assert stream.to_bytes() == whole.to_bytes()
    again = fc.UncertaintyAccumulator()
    for a, b in pairwise(bounds):
        some = {name: values[a:b] for name, values in columns.items()}
        y, o = (value[a:b] if isinstance(value, np.ndarray) else value for value in (correct, out))
        again.update_measures(some, correct=y, out_of_distribution=o)
    assert again.to_bytes() == whole.to_bytes()
    empty = fc.UncertaintyAccumulator()
    assert (whole + empty).to_bytes() == (empty + whole).to_bytes() == whole.to_bytes()


@settings(max_examples=30 if JIT else 4)
@given(rows(), st.integers(1, 3))
def test_threads_and_chunks_do_not_show(drawn, n_threads):
    whole = seen(*drawn).to_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SMALL", 0)
        for module in (uncertainty, uncertainty_adding, uncertainty_rows):
            patch.setattr(module, "CHUNK", 7)
        accumulator = seen(*drawn, n_threads=n_threads)
        assert accumulator.to_bytes() == whole
        columns, correct, out = drawn
        twice = accumulator.update_measures(columns, correct=correct, out_of_distribution=out)  # in the spare state
    assert twice.to_bytes() == (seen(*drawn) + seen(*drawn)).to_bytes()
    assert accumulator.update_measures(columns, correct=correct, out_of_distribution=out).compute()["n"] == 3 * len(
        next(iter(columns.values()))
    )


def test_a_state_is_not_changed_by_being_added_to_another():
    left, right = seen({"energy": np.array([1.0])}), seen({"energy": np.array([-2.0, 7.0])})
    before = left.to_bytes(), right.to_bytes()
    both = left + right
    both.update_measures({"energy": [3.0]})
    assert (left.to_bytes(), right.to_bytes()) == before
    assert both.compute()["energy"]["all"]["mean"] == 2.25
    left.merge(left)
    assert left.compute()["n"] == 2
    first = fc.UncertaintyAccumulator().merge(right)
    first.update_measures({"energy": [3.0]})
    assert right.to_bytes() == before[1]
    assert both.reset().is_empty
    assert both.to_bytes() == fc.UncertaintyAccumulator().to_bytes()


@pytest.mark.parametrize("doublings", [25, 44])
def test_billions_of_rows(doublings):
    """The same rows doubled until they are many: counts, sums and ranks stay what they were, also of 2^61 pairs."""
    rng = np.random.default_rng(3)
    n = 1000 if JIT else 60
    u = rng.random(n) * 2
    correct, out = rng.random(n) < 1 - u / 4, rng.random(n) < 0.3
    accumulator = seen({"predictive_entropy": u}, correct, out)
    one = accumulator.compute()["predictive_entropy"]
    for _ in range(doublings):
        accumulator.merge(accumulator)
    many = fc.UncertaintyAccumulator.from_bytes(accumulator.to_bytes()).compute()
    assert many["n"] == n << doublings > 10**9
    found = many["predictive_entropy"]
    for name in ("error_auroc", "error_auroc_bound", "ood_auroc", "ood_auroc_bound", "error_fpr_at_95_tpr"):
        assert found[name] == pytest.approx(one[name], rel=1e-14)
    for split in oracle.SPLITS:
        np.testing.assert_equal({**found[split], "n": one[split]["n"]}, one[split])
    assert abs(found["ood_auroc"] - oracle.auroc(u[~out], u[out])) <= found["ood_auroc_bound"] + 1e-14


def test_a_state_holds_as_many_rows_as_can_be_counted():
    accumulator = seen({"energy": np.array([1.5])}, True)
    for _ in range(61):
        accumulator.merge(accumulator)
    before = accumulator.to_bytes()
    for change in (lambda: accumulator.merge(accumulator), lambda: accumulator.update_measures({"energy": [1.0]})):
        with pytest.raises(ValueError, match="a state holds at most 2305843009213693952 rows"):
            change()
    assert accumulator.to_bytes() == before == fc.UncertaintyAccumulator.from_bytes(before).to_bytes()
    assert accumulator.compute()["energy"]["correct"]["mean"] == 1.5


# Sums of awkward numbers


@pytest.mark.parametrize(
    "values",
    {
        "above 2^10": [5000.3, 1e6 / 3, -3e9, 0.1],
        "near 2^10": [1023.999, -1023.999, 1024.0, 1e-30],
        "far apart": [1e150, 1.0, -1e150, 1e-300, 5e-324, -5e-324],
        "more levels than two": [512.0, 2.0**-60, 1e-40, 3e-55],
        "too small for the levels": [1.0, 1e-200, 3e-320],
        "cancelling": [1e16, 1.0, -1e16],
    }.values(),
)
def test_sums_are_exact(values):
    values = np.array(values)
    found = seen({"energy": values}).compute()["energy"]["all"]
    expected = oracle.moments(values)
    assert found["mean"] == expected["mean"] == pytest.approx(math.fsum(values) / len(values), rel=3e-16)
    assert found["variance"] == expected["variance"]


@pytest.mark.parametrize("exponent", [-480, -230, -100, -1, 0, 9, 140, 299, 300, 301, 511])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_variance_is_exact_however_narrow(exponent, dtype):
    """All 106 bits of squares count where numbers hardly differ, and small ones beside large ones."""
    rng = np.random.default_rng(exponent + 500)
    near = 1 - (rng.random(700 if JIT else 40) * 2.0**-20).astype(dtype).astype(float)
    scale = 2.0**exponent
    for values in (
        near * scale,
        np.append(near * scale, near[:9] * max(2.0**-90 * scale, 2.0**-480) * 2),
        -near * scale,
    ):
        accumulator = seen({"energy": values})
        assert accumulator._state.sums(0, 2)[1] == sum(map(oracle.square, values.tolist())) * (1 << 1074)
        found = accumulator.compute()["energy"]["all"]
        assert found["variance"] == oracle.moments(values)["variance"] > 0
        assert found["standard_deviation"] == math.sqrt(found["variance"])


def test_equal_values_have_no_variance():
    for value in (0.1, -1234569.123, 1e6 / 3, 1e-160, 1e160, -np.finfo(float).max):
        found = seen({"energy": np.full(10, value)}).compute()["energy"]["all"]
        assert (found["mean"], found["variance"], found["standard_deviation"]) == (value, 0.0, 0.0)


def test_squares_that_no_float_holds_leave_no_variance():
    most = np.nextafter(2.0**511, 0)
    for values in ([most, -most, 0.0], [most, 0.0]):
        found = seen({"energy": np.array(values)}).compute()["energy"]["all"]
        assert found["variance"] == oracle.moments(np.array(values))["variance"] > 1e306
    for values in ([2.0**511 * 1.1, 0.0], [2.0**512 * (1 - 2.0**-53), 0.0], [1e200, -1e-200], [np.finfo(float).max, 0]):
        accumulator = seen({"energy": np.array(values)})
        assert accumulator._state.sums(0, 2)[1] == int(np.finfo(float).max) << 1074  # whatever the processor fuses
        found = fc.UncertaintyAccumulator.from_bytes(accumulator.to_bytes()).compute()["energy"]["all"]
        assert found["mean"] == np.mean(values)
        assert math.isnan(found["variance"])
        assert math.isnan(found["standard_deviation"])


@given(st.lists(st.sampled_from([math.inf, -math.inf, 1.0, -2.0]), min_size=1, max_size=6))
def test_infinite_values(values):
    values = np.array(values)
    correct = np.arange(len(values)) % 2 == 0
    found = seen({"energy": values}, correct).compute()
    check(found, {"energy": values}, oracle.kinds_of(len(values), correct, False))
    assert len(fc.UncertaintyAccumulator.from_bytes(seen({"energy": values}, correct).to_bytes()).to_bytes()) > 0


# The report


def test_the_report_is_strict_json_and_says_what_is_what():
    accumulator = seen({"energy": np.array([math.inf, 1.0])}, np.array([True, False]))
    report = accumulator.compute()
    assert '"Infinity"' in report.to_json()
    assert report.to_dict()["energy"]["correct"]["max"] == math.inf
    assert set(report) == set(report.descriptions)
    assert set(report["energy"]) == set(report["energy"].descriptions)
    assert repr(accumulator) == "<UncertaintyAccumulator(from_logits=False, nan_policy='raise'): 2 rows>"
    empty = fc.UncertaintyAccumulator().compute()
    assert (empty["n"], empty["n_classes"], math.isnan(empty["accuracy"])) == (0, 0, True)


def test_a_cell_knows_the_only_number_it_held():
    state = seen({"energy": np.array([1.5, 1.5, 1.5 + 2.0**-12, -3.0])})._state
    held = state.held[0][state.counts[0].any(axis=1)]
    assert held[0].view(np.float64) == -3.0
    assert held[1] == kernels.uncertainty.DIFFERENT


def test_numbers_that_differ_in_two_states_are_known_to_differ_in_their_sum():
    one, same, other = (
        seen({"energy": np.array([value])}, correct) for value, correct in ((1.5, True), (1.5, False), (1.5001, False))
    )
    assert (one + same).compute()["energy"]["error_auroc_bound"] == 0.0
    for merged in (one + other, other + one, one + same + other, other + one + same):
        assert merged.compute()["energy"]["error_auroc_bound"] == 0.5
