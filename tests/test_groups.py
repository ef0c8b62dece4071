"""Reports by slice: each slice's figures are those of its rows alone; tiny ones are not the worst by noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Rows, rows

import fastcal as fc

LABELS = {
    "integers": [3, 0, 7, 1],
    "negative": [-5, 2, -7, 0],
    "huge": [2**70, -(2**64), 0, 2**63],
    "near 2^63": [2**63, 2**63 + 1, 2**63 + 2, -1],
    "ends of int64": [-(2**63), 2**63 - 1, 0, 5],
    "far apart": [0, 10**12, -(10**12), 17],
    "text": ["b", "a", "", "\N{SNOWMAN}"],
    "bools": [True, False],
    "mixed": [None, True, 1, "1", 2.5, False],
    "real numbers": [0.5, -1.25, 0.125, -0.75],
    "tuples": [(1, 2), ("a", None), (), (1, 2, 3)],
    "tuples of one length": [(1, 2), (3, 4)],
    "bytes": [b"a", b"b"],
}
IN_BYTES = [name for name in LABELS if name not in ("tuples", "tuples of one length", "bytes")]
COMMON = ["accuracy", "confidence", "nll", "brier", "entropy", "n_zero_probability", "n"]
COMMON += ["ece", "mce", "rmsce", "ece_debiased", "squared_ce_debiased", "rmsce_debiased", "ece_if_calibrated"]
COMMON += ["signed_calibration_error", "overconfidence", "underconfidence"]


def seen(data: Rows, groups, index=slice(None), **options) -> fc.Evaluation:
    labels, scores, weights = data.part(index)
    empty = fc.Evaluation(groups=True, from_logits=data.from_logits, classwise=False, **options)
    return empty.update(labels, scores, sample_weight=weights, groups=groups)


def is_same(one, other) -> bool:
    return type(one) is type(other) and one == other


def assert_slices_are_their_rows(data: Rows, labels, report, **options):
    """Every slice has the figures of an evaluation of its rows alone."""
    found = report["groups"]
    distinct = {(type(label), label): label for label in labels}.values()
    assert len(found) == len(found.labels) == len(distinct)
    for label in distinct:
        (g,) = (g for g, one in enumerate(found.labels) if is_same(one, label))
        own = np.array([is_same(one, label) for one in labels])
        y, p, w = data.part(own)
        alone = fc.Evaluation(from_logits=data.from_logits, classwise=False, **options)
        expected = alone.update(y, p, sample_weight=w).compute()
        for name in COMMON:
            assert found[name][g] == pytest.approx(expected[name], rel=1e-12, abs=1e-12, nan_ok=True), (label, name)
        known = [float(one) for one in (w if w is not None else np.ones(len(y)))]
        if not options:
            assert found["weight"][g] == pytest.approx(sum(known), rel=1e-12)


@st.composite
def sliced(draw, kinds=tuple(LABELS), **options):
    """Rows, and a label for each."""
    data = draw(rows(max_rows=40, **options))
    some = LABELS[draw(st.sampled_from(kinds))]
    which = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, len(some), len(data))
    return data, [some[k] for k in which]


# What is in a slice


@settings(max_examples=40 if JIT else 5)
@given(sliced())
def test_figures_of_a_slice_are_those_of_its_rows_alone(drawn):
    data, labels = drawn
    assert_slices_are_their_rows(data, labels, seen(data, labels).compute())


@settings(max_examples=20 if JIT else 5)
@given(sliced(("integers",)), st.sampled_from(["omit", "propagate"]), st.integers(0, 99))
def test_rows_of_nan_are_in_no_slice(drawn, policy, seed):
    data, labels = drawn
    scores = data.scores.copy()
    scores[np.random.default_rng(seed).random(len(data)) < 0.3] = np.nan
    data = Rows(data.labels, scores, data.weights, data.from_logits)
    report = seen(data, labels, nan_policy=policy).compute()
    if policy == "omit":
        assert_slices_are_their_rows(data, labels, report, nan_policy="omit")
    elif np.isnan(scores).any():
        for name in COMMON:
            values = report["groups"][name]
            assert values.dtype.kind == "i" or np.isnan(values).all()
        assert all(np.isneginf(report["groups"].lower_bound(name)).all() for name in ("rmsce", "error", "nll", "brier"))
    assert report["groups"]["n"].sum() == report["n"]


@pytest.mark.parametrize("options", [{"n_bins": 4}, {"closed": "left"}, {"binning": [0, 0.3, 1]}])
def test_slices_have_the_bins_of_the_whole(options):
    rng = np.random.default_rng(0)
    data = Rows(rng.integers(0, 2, 300), np.round(rng.random(300), 1), None, False)
    labels = rng.integers(0, 3, 300).tolist()
    report = seen(data, labels, **options).compute()
    found = report["groups"]
    for g, label in enumerate(found.labels):
        own = np.array(labels) == label
        for name in ("ece", "mce", "rmsce"):
            expected = getattr(fc, name)(data.labels[own], data.scores[own], **options)
            assert found[name][g] == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("convention", ["guo", "verified", "torchmetrics", "netcal", "robustness-metrics", "mapie"])
def test_slices_have_the_convention_of_the_whole(convention):
    rng = np.random.default_rng(1)
    p = np.round(rng.random(300), 1)
    y, labels = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    found = fc.Evaluation(groups=True, convention=convention).update(y, p, groups=labels).compute()["groups"]
    for g in range(2):
        own = labels == g
        for name, options in (("ece", {}), ("mce", {}), ("ece_debiased", {"debiased": True})):
            norm = "max" if name == "mce" else "l1"
            expected = fc.calibration_error(y[own], p[own], norm=norm, convention=convention, **options)
            assert found[name][g] == pytest.approx(expected, abs=1e-13), name


@pytest.mark.parametrize("weights", [None, [2, 1, 0, 3]])
def test_a_label_of_probability_0_makes_its_slices_nll_infinite(weights):
    state = fc.Evaluation(groups=True)
    state.update([0, 1, 0, 1], [0.2, 0.0, 1.0, 0.8], sample_weight=weights, groups=["a", "b", "c", "a"])
    groups = state.compute()["groups"]
    assert groups["nll"].tolist()[:2] == [pytest.approx(-np.log(0.8)), np.inf]
    assert groups["n_zero_probability"].tolist() == ([0, 1, 1] if weights is None else [0, 1, 0])
    assert groups.worst("nll", 1)[0]["label"] == "b"


def test_whole_figures_do_not_change_with_slices():
    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 3, 100), rng.dirichlet(np.ones(3), 100)
    plain = fc.Evaluation().update(y, p).compute()
    report = fc.Evaluation(groups=True).update(y, p, groups=rng.integers(0, 4, 100)).compute()
    for name, value in plain.items():
        if isinstance(value, float):
            assert report[name] == value


def test_leading_shapes_of_rows_are_those_of_groups():
    rng = np.random.default_rng(3)
    y, p, groups = rng.integers(0, 3, (4, 5)), rng.dirichlet(np.ones(3), (4, 5)), rng.integers(0, 2, (4, 5))
    square = fc.Evaluation(groups=True).update(y, p, groups=groups)
    flat = fc.Evaluation(groups=True).update(y.ravel(), p.reshape(20, 3), groups=groups.ravel())
    assert square.to_bytes() == flat.to_bytes()


@pytest.mark.parametrize("dtype", ["int8", "uint8", ">i4", "uint64", "int64", "bool", "f4", "U3", "S3", object])
def test_arrays_of_labels_of_any_dtype(dtype):
    labels = np.array([1, 0, 1, 0, 1]).astype(dtype)
    found = fc.Evaluation(groups=True).update([0, 1, 1, 0, 1], [0.2, 0.4, 0.6, 0.7, 0.9], groups=labels)
    groups = found.compute()["groups"]
    assert groups["n"].tolist() == [2, 3]
    assert groups.labels == sorted(set(labels.tolist()))


@pytest.mark.parametrize("values", [[2**64 - 1, 2**64 - 2], [2**64 - 1, 0], [-128, 127], [5 * 10**6, 0], [7, 7]])
def test_integers_at_the_ends_of_their_range(values):
    dtype = np.uint64 if max(values) >= 2**63 else np.int64
    labels = np.array([values[0], values[1], values[0]], dtype)
    found = fc.Evaluation(groups=True).update([0, 1, 1], [0.2, 0.4, 0.6], groups=labels).compute()["groups"]
    assert found.labels == sorted(set(values))
    assert all(type(label) is int for label in found.labels)
    assert found["n"].tolist() == [int((labels == label).sum()) for label in found.labels]


# The worst slices


def two_slices():
    return fc.Evaluation(groups=True, n_bins=3).update([0, 1, 1], [0.1, 0.5, 0.9], groups=["a", "b", "b"])


def test_slices_of_few_rows_are_not_ranked_above_a_large_bad_one():
    rng = np.random.default_rng(6)
    size = 3000 if JIT else 300
    n_small = 400 if JIT else 40
    p = rng.uniform(0.3, 0.9, size + 5 * n_small)
    y = (rng.random(len(p)) < np.append(p[:size] - 0.2, p[size:])).astype(int)
    labels = ["bad"] * size + [f"small {i // 5}" for i in range(5 * n_small)]
    groups = fc.Evaluation(groups=True).update(y, p, groups=labels).compute()["groups"]
    for name, figure in (("rmsce", "rmsce"), ("error", "accuracy"), ("nll", "nll"), ("brier", "brier")):
        values = -groups["accuracy"] if name == "error" else groups[figure]
        worst = groups.worst(name, 3)
        assert worst[0]["label"] == "bad", name
        assert worst[0]["n"] == size
        assert len(worst) == 3
        bounds = [one["lower_bound"] for one in worst]
        assert bounds == sorted(bounds, reverse=True)
        bad = groups.labels.index("bad")
        assert (values > values[bad]).sum() > 5, "of themselves some small slices look worse"
        assert worst[0][name] == pytest.approx(values[bad] + (name == "error"))


def test_a_slice_of_one_row_says_nothing():
    groups = (
        fc.Evaluation(groups=True).update([0, 1, 0, 0], [0.9, 0.8, 0.7, 0.8], groups=[0, 1, 1, 1]).compute()["groups"]
    )
    for name in ("rmsce", "nll", "brier"):
        assert groups.lower_bound(name)[0] == -np.inf
        assert groups.worst(name)[-1]["label"] == 0
    assert 0 < groups.lower_bound("error")[0] < 0.5  # Wilson's does


def test_higher_levels_have_lower_bounds():
    rng = np.random.default_rng(7)
    p = rng.random(400)
    groups = fc.Evaluation(groups=True).update(rng.integers(0, 2, 400), p, groups=rng.integers(0, 4, 400))
    groups = groups.compute()["groups"]
    for name in ("rmsce", "error", "nll", "brier"):
        figure = 1 - groups["accuracy"] if name == "error" else groups[name]
        bounds = [groups.lower_bound(name, level=level) for level in (0.6, 0.9, 0.99)]
        assert (figure > bounds[0]).all()
        assert (np.diff(bounds, axis=0) < 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ece"}, "name is 'ece'; expected one of rmsce, error, nll, brier"),
        ({"level": 1.0}, "level is 1.0; expected a number between 0 and 1"),
        ({"level": 0}, "level is 0"),
    ],
)
def test_bad_arguments_of_the_ranking(arguments, message):
    groups = two_slices().compute()["groups"]
    with pytest.raises(ValueError, match=message):
        groups.worst(**arguments)


def test_reports_of_slices_are_json():
    report = two_slices().compute()
    found = json.loads(report.to_json())["groups"]
    assert found["labels"] == ["a", "b"]
    assert found["n"] == [1, 2]
    assert report["groups"].to_dict()["accuracy"] == [1.0, 0.5]


@pytest.mark.skipif(not JIT, reason="too many rows for plain Python")
def test_ten_thousand_slices():
    rng = np.random.default_rng(8)
    n, k = 200_000, 10_000
    y, logits = rng.integers(0, 3, n), rng.standard_normal((n, 3)).astype(np.float32)
    codes = rng.integers(0, k, n)
    whole = fc.Evaluation(groups=True, from_logits=True, classwise=False).update(y, logits, groups=codes)
    groups = whole.compute()["groups"]
    assert len(groups) == len(np.unique(codes))
    np.testing.assert_array_equal(groups["n"], np.bincount(codes)[groups.labels])
    for label in (0, 77, 9999):
        own = codes == label
        alone = fc.Evaluation(from_logits=True).update(y[own], logits[own]).compute()
        g = groups.labels.index(label)
        for name in ("ece", "nll", "accuracy", "brier"):
            assert groups[name][g] == pytest.approx(alone[name], abs=1e-12)
    back = fc.Evaluation.from_bytes(whole.to_bytes())
    assert (back + whole).compute()["groups"]["n"].sum() == 2 * n
    text = fc.Evaluation(groups=True, from_logits=True, classwise=False)
    text.update(y, logits, groups=np.char.mod("%05d", codes))
    np.testing.assert_array_equal(text.compute()["groups"]["ece"], groups["ece"])
