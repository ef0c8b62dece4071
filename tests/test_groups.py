"""Reports by slice: each slice's figures are those of its rows alone, and any split of the rows gives the same bits."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from strategies import Rows, cuts, rows

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import rows as chunking
from fastcal.accumulators.serial import pack

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
COMMON = (
    "accuracy confidence ece mce rmsce ece_debiased squared_ce_debiased rmsce_debiased ece_if_calibrated "
    "signed_calibration_error overconfidence underconfidence nll brier entropy n_zero_probability n"
).split()


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
    data = draw(rows(max_rows=60, **options))
    some = LABELS[draw(st.sampled_from(kinds))]
    which = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, len(some), len(data))
    return data, [some[k] for k in which]


# What is in a slice


@given(sliced())
def test_figures_of_a_slice_are_those_of_its_rows_alone(drawn):
    data, labels = drawn
    assert_slices_are_their_rows(data, labels, seen(data, labels).compute())


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


# Laws of merging


@given(sliced(tuple(IN_BYTES)), st.data())
def test_slices_merged_in_any_order_have_the_bytes_of_the_whole(drawn, data):
    given_rows, labels = drawn
    if given_rows.weights is not None and given_rows.weights.dtype.kind == "f":
        given_rows = Rows(given_rows.labels, given_rows.scores, np.arange(len(labels)) % 4, given_rows.from_logits)
    bounds = data.draw(cuts(len(labels)))
    parts = [seen(given_rows, labels[a:b], slice(a, b)) for a, b in pairwise(bounds)]
    order = data.draw(st.permutations(range(len(parts))))
    whole = seen(given_rows, labels)
    assert sum(parts[i] for i in order).to_bytes() == whole.to_bytes()
    one_by_one = fc.Evaluation(groups=True, from_logits=given_rows.from_logits, classwise=False)
    for i in np.random.default_rng(len(labels)).permutation(len(labels)):
        y, p, w = given_rows.part(slice(i, i + 1))
        one_by_one.update(y, p, sample_weight=w, groups=[labels[i]])
    assert one_by_one.to_bytes() == whole.to_bytes()


@given(sliced(tuple(LABELS)), st.data())
def test_figures_do_not_depend_on_how_rows_of_any_labels_and_weights_were_split(drawn, data):
    given_rows, labels = drawn
    cut = data.draw(st.integers(0, len(labels)))
    left, right = seen(given_rows, labels[:cut], slice(0, cut)), seen(given_rows, labels[cut:], slice(cut, None))
    whole = seen(given_rows, labels).compute()["groups"]
    for one in ((left + right).compute()["groups"], (right + left).compute()["groups"]):
        assert [(type(a), a) for a in one.labels] == [(type(a), a) for a in whole.labels]
        for name, values in whole.figures.items():
            np.testing.assert_allclose(one[name], values, rtol=1e-12, atol=1e-12, err_msg=name)


@given(sliced(tuple(IN_BYTES)))
def test_bytes_and_pickles_come_back_as_they_went(drawn):
    data, labels = drawn
    whole = seen(data, labels)
    for back in (fc.Evaluation.from_bytes(whole.to_bytes()), pickle.loads(pickle.dumps(whole))):
        assert back.to_bytes() == whole.to_bytes()
        assert back.compute().to_json() == whole.compute().to_json()
        assert [type(label) for label in back.compute()["groups"].labels] == [
            type(label) for label in whole.compute()["groups"].labels
        ]
        assert (back + whole).compute()["groups"]["n"].tolist() == (2 * whole.compute()["groups"]["n"]).tolist()


def one_row(label):
    return fc.Evaluation(groups=True).update([1], [0.8], groups=[label])


SAME = {
    "NumPy's text": ("a", np.str_("a")),
    "NumPy's integers": (1, np.int64(1)),
    "an array's integers": (1, np.uint8(1)),
    "a whole number": (1, 1.0),
    "NumPy's whole number": (1, np.float32(1)),
    "two kinds of 0": (0, -0.0),
    "NumPy's bools": (True, np.True_),
}
DIFFERENT = {
    "a bool and 1": (True, 1),
    "text and a number": ("1", 1),
    "None and its name": (None, "None"),
    "None and False": (None, False),
    "a tuple and its text": ((1,), "(1,)"),
}


@pytest.mark.parametrize("labels", SAME.values(), ids=SAME)
def test_one_label_is_one_slice_whatever_its_type_and_wherever_it_was_seen(labels):
    one, other = labels
    for left, right in ((one, other), (other, one)):
        assert (one_row(left) + one_row(right)).compute()["groups"].labels == [one]
        assert (one_row(left) + one_row(right)).to_bytes() == (one_row(one) + one_row(one)).to_bytes()
    together = fc.Evaluation(groups=True).update([1, 1, 0], [0.8] * 3, groups=[one, other, "x"])
    assert together.to_bytes() == (one_row(other) + one_row(one)).update([0], [0.8], groups=["x"]).to_bytes()


@pytest.mark.parametrize("labels", DIFFERENT.values(), ids=DIFFERENT)
def test_different_labels_are_different_slices_in_one_batch_and_merged(labels):
    one, other = labels
    together = fc.Evaluation(groups=True).update([1, 1], [0.8] * 2, groups=[one, other]).compute()["groups"]
    for found in (together, (one_row(one) + one_row(other)).compute()["groups"]):
        assert len(found) == 2
        assert sorted(map(repr, found.labels)) == sorted([repr(one), repr(other)])
        assert found["n"].tolist() == [1, 1]


def test_labels_are_told_apart_by_hash_and_equality_not_by_how_they_print():
    class Odd:
        def __repr__(self):
            return "odd"

    one, other = Odd(), Odd()
    left = fc.Evaluation(groups=True).update([1, 1], [0.8] * 2, groups=[one, other])
    assert len(left.compute()["groups"]) == 2
    found = (left + one_row(one)).compute()["groups"]
    assert len(found) == 2
    assert {id(label): n for label, n in zip(found.labels, found["n"], strict=True)} == {id(one): 2, id(other): 1}
    sets = [one_row(frozenset([8, 0])), one_row(frozenset([0, 8])), one_row(frozenset())]
    assert sorted(sum(sets).compute()["groups"]["n"].tolist()) == [1, 2]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_and_chunks_do_not_show(monkeypatch, n_threads):
    rng = np.random.default_rng(5)
    n = 2000 if JIT else 60
    data = Rows(rng.integers(0, 4, n), rng.standard_normal((n, 4)), None, True)
    labels = rng.integers(0, 9, n)
    whole = seen(data, labels, n_threads=1).to_bytes()
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 12)
    assert seen(data, labels, n_threads=n_threads).to_bytes() == whole


def test_labels_that_only_one_part_has():
    left = fc.Evaluation(groups=True).update([1, 0], [0.9, 0.2], groups=["a", "c"])
    right = fc.Evaluation(groups=True).update([1, 1], [0.7, 0.2], groups=["b", "c"], sample_weight=[1, 2])
    before = left.to_bytes(), right.to_bytes()
    found = (left + right).compute()["groups"]
    assert found.labels == ["a", "b", "c"]
    assert found["n"].tolist() == [1, 1, 2]
    assert found["weight"].tolist() == [1.0, 1.0, 3.0]
    assert found["accuracy"].tolist() == [1.0, 1.0, pytest.approx(1 / 3)]
    assert (left.to_bytes(), right.to_bytes()) == before
    assert (left + right).to_bytes() == (right + left).to_bytes()


def test_no_rows_at_all_are_no_slices():
    empty = fc.Evaluation(groups=True)
    assert len(empty.compute()["groups"]) == 0
    assert empty.compute()["groups"].worst() == []
    some = one_row("a")
    for other in (empty, fc.Evaluation(groups=True).update([], [], groups=[])):
        assert (some + other).to_bytes() == (other + some).to_bytes() == some.to_bytes()
    assert fc.Evaluation.from_bytes(empty.to_bytes()).to_bytes() == empty.to_bytes()
    with pytest.raises(ValueError, match="cannot merge"):
        some.merge(fc.Evaluation().update([1], [0.5]))


# What is refused


BAD = {
    "none given": (None, fc.DataError, "groups this Evaluation.* needs one"),
    "too few": ([1, 2], fc.DataError, r"groups has shape \(2,\), expected \(3,\)"),
    "one for all": (7, fc.DataError, r"groups is int; expected one label a row"),
    "an array of one for all": (np.array(7), fc.DataError, r"groups has shape \(\), expected \(3,\)"),
    "rows of them": (np.zeros((3, 2), int), fc.DataError, r"groups has shape \(3, 2\), expected \(3,\)"),
    "NaN": (np.array([1.0, np.nan, 2.0]), fc.DataError, r"groups\[1\] is nan"),
    "NaN among others": (["a", "b", float("nan")], fc.DataError, r"groups\[2\] is nan"),
    "lists": ([["a"], ["b", "c"], ["a"]], TypeError, r"groups\[0\] is \['a'\], which cannot be hashed"),
    "dicts": (["a", {}, "a"], TypeError, r"groups\[1\] is {}, which cannot be hashed"),
    "a masked one": (np.ma.array([1, 2, 3], mask=[0, 0, 1]), fc.DataError, r"groups\[2\] is masked"),
}


@pytest.mark.parametrize("name", BAD)
def test_groups_that_are_none(name):
    groups, error, message = BAD[name]
    base = one_row(0)
    before = base.to_bytes()
    with pytest.raises(error, match=message):
        base.update([0, 1, 1], [0.2, 0.6, 0.7], groups=groups)
    assert base.to_bytes() == before


def test_groups_that_were_not_asked_for():
    with pytest.raises(fc.DataError, match=r"groups are not kept; say Evaluation\(groups=True\)"):
        fc.Evaluation().update([0], [0.5], groups=[1])
    with pytest.raises(ValueError, match="groups is 'yes'; expected True or False"):
        fc.Evaluation(groups="yes")


def test_an_unmasked_array_is_an_array():
    masked = fc.Evaluation(groups=True).update([0, 1], [0.2, 0.6], groups=np.ma.array([1, 2], mask=[0, 0]))
    assert masked.to_bytes() == fc.Evaluation(groups=True).update([0, 1], [0.2, 0.6], groups=[1, 2]).to_bytes()


@pytest.mark.parametrize("label", [(1, 2), b"a", 1j, frozenset()])
def test_labels_that_have_no_place_in_bytes(label):
    state = one_row(label)
    with pytest.raises(TypeError, match="cannot be written to bytes"):
        state.to_bytes()
    assert (state + one_row(label)).compute()["groups"]["n"].tolist() == [2]


@pytest.mark.parametrize("label", [float("inf"), 1e-308, -0.5, "", "\ud800", "a\nb", 2**200, None, True])
def test_odd_labels_come_back_from_bytes_or_are_refused_with_their_name(label):
    try:
        data = one_row(label).to_bytes()
    except (TypeError, ValueError) as error:
        assert repr(label) in str(error)  # noqa: PT017
        return
    (back,) = fc.Evaluation.from_bytes(data).compute()["groups"].labels
    assert is_same(back, label)


def changed(state, groups=None, arrays=lambda found: found, **more):
    """Bytes of a state with other labels in its header, or other arrays."""
    settings = json.loads(state.to_bytes().partition(b"\n")[0])["settings"]
    if groups is not None:
        settings["headers"] = {"groups": groups}
    found = {f"{part}.{name}": a for part, own in state._states.items() for name, a in own.items() if a.dtype != object}
    return pack("Evaluation", {**settings, **more}, arrays(found))


def with_array(name, change):
    return lambda found: {**found, name: change(found[name])}


HOSTILE = {
    "no list": {"groups": "ab"},
    "a list within": {"groups": [[1], [2]]},
    "an object within": {"groups": [{}, {"a": 1}]},
    "another order": {"groups": ["b", "a"]},
    "one label twice": {"groups": ["a", "a"]},
    "one label too many": {"groups": ["a", "b", "c"]},
    "one label too few": {"groups": ["a"]},
    "no labels": {"groups": []},
    "headers of a part that is none": {"headers": {"evil": ["a", "b"]}},
    "headers of a part without": {"headers": {"scores": ["a", "b"]}},
    "headers that are no names": {"headers": ["a", "b"]},
    "rows that are in no slice": {"arrays": with_array("groups.counts", lambda a: a + np.array([1, 0, 0]))},
    "more hits than rows": {"arrays": with_array("groups.hits", lambda a: a + 5)},
    "counts below 0": {"arrays": with_array("groups.counts", lambda a: -a)},
    "other bins": {"arrays": with_array("groups.count", lambda a: a[:, :-1].copy())},
    "rows moved to another slice": {"arrays": with_array("groups.count", lambda a: a[::-1].copy())},
}


def two_slices():
    return fc.Evaluation(groups=True, n_bins=3).update([0, 1, 1], [0.1, 0.5, 0.9], groups=["a", "b", "b"])


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_bytes_that_are_no_slices(changes):
    with pytest.raises(ValueError, match="fastcal state"):
        fc.Evaluation.from_bytes(changed(two_slices(), **changes))


def test_bytes_that_were_not_changed_are_taken():
    assert fc.Evaluation.from_bytes(changed(two_slices())).to_bytes() == two_slices().to_bytes()


# The worst slices


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
