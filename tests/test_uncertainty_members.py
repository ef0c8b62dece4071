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
