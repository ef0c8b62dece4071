"""States of slices: any split, order and way of calling a label gives the same bits; what is none is refused."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Rows, cuts
from test_groups import IN_BYTES, LABELS, is_same, seen, sliced, two_slices

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import rows as chunking
from fastcal.accumulators.serial import pack

# Laws of merging


@settings(max_examples=60 if JIT else 5)
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


@settings(max_examples=40 if JIT else 5)
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


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_bytes_that_are_no_slices(changes):
    with pytest.raises(ValueError, match="fastcal state"):
        fc.Evaluation.from_bytes(changed(two_slices(), **changes))


def test_bytes_that_were_not_changed_are_taken():
    assert fc.Evaluation.from_bytes(changed(two_slices())).to_bytes() == two_slices().to_bytes()
