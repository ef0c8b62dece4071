"""Uncertainty of members' rows: their measures, how saturated these are, and what an ensemble of one says."""

from __future__ import annotations

import math

import numpy as np
import oracle_uncertainty as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from test_uncertainty import check

import fastcal as fc
from fastcal.accumulators.uncertainty_state import MEASURES


@st.composite
def members(draw, max_rows=40):
    n, k, m = draw(st.integers(1, max_rows)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.standard_normal((m, n, k)) * draw(st.sampled_from([0.5, 4.0, 300.0]))
    return logits.astype(draw(st.sampled_from([np.float32, np.float64]))), rng.integers(0, k, n), rng.random(n) < 0.3


def softmax(logits):
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


@settings(max_examples=60 if JIT else 5)
@given(members())
def test_rows_of_an_ensemble(drawn):
    logits, y, out = drawn
    found = fc.UncertaintyAccumulator(from_logits=True).update(y, logits, out_of_distribution=out)
    measures = fc.ensemble_uncertainty(logits, from_logits=True)
    correct = measures.prediction == y
    by_hand = fc.UncertaintyAccumulator(from_logits=True).update_measures(
        measures, correct=correct, out_of_distribution=out, n_classes=logits.shape[2]
    )
    assert found.to_bytes() == by_hand.to_bytes()
    report = found.compute()
    assert report["n_classes"] == logits.shape[2]
    columns = {name: np.asarray(getattr(measures, name), float) for name in MEASURES}
    columns["max_probability"] = np.maximum(1 - columns["max_probability"], 0)
    check(report, columns, oracle.kinds_of(len(y), correct, out))
    expected = oracle.measures(softmax(logits.astype(np.longdouble)))
    for name in MEASURES:
        np.testing.assert_allclose(columns[name], expected[name].astype(float), atol=3e-6, err_msg=name)


def test_one_model_is_an_ensemble_of_one():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((30, 4))
    y = rng.integers(0, 4, 30)

    def state(given):
        return fc.UncertaintyAccumulator(from_logits=True).update(y, given).to_bytes()

    expected = state(logits[None])
    assert state(logits) == state(logits.tolist()) == state([logits]) == state((logits,)) == expected
    assert state(iter([logits])) == expected
    report = fc.UncertaintyAccumulator(from_logits=True).update(y, logits).compute()
    assert report["mutual_information"]["all"]["at_limit"] == 1.0
    assert report["mutual_information"]["error_auroc"] == 0.5
    assert report["mutual_information"]["error_auroc_bound"] == 0.0
    summary = fc.softmax_uncertainty(logits)
    by_hand = fc.UncertaintyAccumulator().update_measures(summary, correct=logits.argmax(axis=1) == y).compute()
    assert by_hand["max"]["error_auroc"] == report["max_probability"]["error_auroc"]
    assert by_hand["energy"]["all"]["mean"] == pytest.approx(summary.energy.mean())


def test_saturation():
    """Rows that are certain, nearly so, and not, by what the measures could be at most."""
    eps = 1e-5
    certain, nearly, not_at_all = [1.0, 0.0, 0.0], [1 - eps, eps, 0.0], [0.4, 0.3, 0.3]
    p = np.array([certain] * 4 + [nearly] * 3 + [not_at_all] * 3)
    y = [0] * 9 + [1]
    report = fc.UncertaintyAccumulator().update(y, p).compute()
    entropy, largest = report["predictive_entropy"], report["max_probability"]
    assert (entropy["maximum"], largest["maximum"]) == (math.log(3), 1 - 1 / 3)
    assert (entropy["all"]["at_limit"], entropy["all"]["near_limit"]) == (0.4, 0.7)
    assert (largest["correct"]["at_limit"], largest["correct"]["near_limit"]) == (4 / 9, 7 / 9)
    assert (largest["wrong"]["at_limit"], largest["wrong"]["near_limit"]) == (0.0, 0.0)
    assert math.isnan(largest["out"]["at_limit"])
    one = fc.UncertaintyAccumulator().update([0, 0], np.ones((2, 1))).compute()
    assert one["predictive_entropy"]["maximum"] == 0.0
    assert one["predictive_entropy"]["all"]["near_limit"] == 1.0
    unknown = fc.UncertaintyAccumulator().update_measures({"predictive_entropy": [0.0, 1.0]}).compute()
    assert math.isnan(unknown["predictive_entropy"]["all"]["near_limit"])
    assert unknown["predictive_entropy"]["all"]["at_limit"] == 0.5


@pytest.mark.parametrize("name", MEASURES)
def test_the_largest_value_is_reached(name):
    """By as many members as classes, each certain of its own: of what they agree on, by one that is not certain."""
    k = 4
    members = np.full((1, 1, k), 1 / k) if name == "expected_entropy" else np.eye(k)[:, None]
    report = fc.UncertaintyAccumulator().update(None, members).compute()
    assert report[name]["all"]["max"] == pytest.approx(report[name]["maximum"], rel=1e-12)
    assert report[name]["all"]["near_limit"] == 0.0


def refused(error, message, members, **arguments):
    settings = {name: arguments.pop(name) for name in ("from_logits",) if name in arguments}
    with pytest.raises(error, match=message):
        fc.UncertaintyAccumulator(**settings).update(None, members, **arguments)


def test_masked_values_of_integers_and_bits():
    mask = np.arange(12).reshape(4, 3) == 7
    place = r"^members\[0, 2, 1\] is nan; nan_policy"
    refused(fc.DataError, place, np.ma.array(np.tile(np.eye(1, 3, dtype=int), (4, 1)), mask=mask))
    refused(fc.DataError, place, [np.ma.array(np.tile(np.eye(1, 3, dtype=bool), (4, 1)), mask=mask)])
    bits = np.ma.array(np.full((4, 3), 0x3F80, np.uint16), mask=mask)
    refused(fc.DataError, place, bits, from_logits=True, dtype="bfloat16")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    refused(fc.DataError, place, np.ma.array(np.zeros((4, 3), ml_dtypes.bfloat16), mask=mask), from_logits=True)


@pytest.mark.parametrize("members", [{"a": [[0.5, 0.5]]}, {"a.npy": 1}, b"abc", 3, None])
def test_what_is_no_ensemble_is_refused_as_such(members):
    refused(TypeError, "^members is .*; expected an array, a list or an iterable of arrays", members)


def test_a_member_that_does_not_count_is_not_blamed():
    logits = np.zeros((3, 4, 2))
    logits[0, 2, 0] = np.nan
    logits[1, 3] = np.inf
    both = {"from_logits": True}
    refused(fc.DataError, r"^members\[0, 2, 0\] is nan", logits, **both)
    logits[2, 3, 1] = np.nan
    refused(fc.DataError, r"^members\[2, 3, 1\] is nan", logits, weights=[0, 1, 1], **both)
    refused(fc.DataError, "^members are no distribution in row 3", [*logits], weights=[0, 1, 0], **both)
    fc.UncertaintyAccumulator(**both).update(None, logits[:, :3], weights=[0, 1, 1])


def test_rows_of_bfloat16_one_by_one():
    logits = np.random.default_rng(0).standard_normal((5, 3))
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rows = logits.astype(ml_dtypes.bfloat16)
    expected = fc.UncertaintyAccumulator(from_logits=True).update(None, rows).to_bytes()
    assert fc.UncertaintyAccumulator(from_logits=True).update(None, [*rows]).to_bytes() == expected
    refused(fc.DataError, "^members is no array: row 1 has 2", [rows[0], rows[1, :2]], from_logits=True)
    torch = pytest.importorskip("torch")
    tensors = [*torch.tensor(rows.astype(np.float32)).to(torch.bfloat16)]
    assert fc.UncertaintyAccumulator(from_logits=True).update(None, tensors).to_bytes() == expected


class Where:
    """A path that is no pathlib.Path."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_paths_of_any_kind(tmp_path):
    p = np.random.default_rng(0).dirichlet(np.ones(3), (2, 6))
    np.save(tmp_path / "a.npy", p[0])
    y = np.array([0, 1, 2, 0, 1, 2])
    one = fc.UncertaintyAccumulator().update(y, p[0])
    where = Where(tmp_path / "a.npy")
    for paths in (where, [where], (where,)):
        found = fc.UncertaintyAccumulator().update(y, paths)
        assert found.to_bytes() == one.to_bytes()
        with pytest.raises(fc.DataError, match=r"^y_true\[0\] is 7; labels are integers 0 to 2"):
            fc.UncertaintyAccumulator().update(y + 7, [where])
    for path in (where, Where("missing.npy")):
        refused(TypeError, "^members yields a path", iter([path]))
    bad = p[1].copy()
    bad[4, 2] = np.nan
    refused(fc.DataError, r"^members\[1, 4, 2\] is nan", [where, bad])
