"""Laws of selective prediction: what changes no bit, weights without a unit, two ways to the same sums."""

from __future__ import annotations

import numpy as np
import oracle_selective as oracle
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture
from test_selective import FIGURES, of, predicted

import fastcal as fc
from fastcal.ordered.columns import scored_rows
from fastcal.ordered.groups import groups
from fastcal.ordered.selective import RiskSums

pytestmark = pytest.mark.usefixtures("cut_up")
few = settings(max_examples=40 if JIT else 5)


@few
@given(predicted(), st.randoms(use_true_random=False))
def test_no_order_of_the_rows_changes_a_bit(drawn, random):
    y, p, options = drawn
    options = {**options, "sample_weight": None}
    order = list(range(len(y)))
    random.shuffle(order)
    moved = {name: None if one is None else np.asarray(one)[order] for name, one in options.items()}
    for name in FIGURES:
        assert getattr(fc, name)(y[order], p[order], **moved) == getattr(fc, name)(y, p, **options), name


@few
@given(predicted(), st.integers(-300, 300))
def test_weights_have_no_unit_and_equal_ones_change_nothing(drawn, exponent):
    y, p, options = drawn
    plain = {"confidence": options["confidence"]}
    for name in FIGURES:
        function = getattr(fc, name)
        expected = function(y, p, **plain)
        assert function(y, p, **plain, sample_weight=np.full(len(y), 0.3)) == pytest.approx(
            expected, rel=1e-12, abs=1e-13
        )
        if options["sample_weight"] is not None and abs(exponent) < 290:
            scaled = options["sample_weight"] * 2.0**exponent
            expected = function(y, p, **options)
            assert function(y, p, **plain, sample_weight=scaled) == pytest.approx(expected, rel=1e-12, abs=1e-13)


@few
@given(predicted())
def test_rows_of_weight_0_are_not_there(drawn):
    y, p, options = drawn
    score = np.zeros(len(y)) if options["confidence"] is None else np.asarray(options["confidence"], float)
    doubled = {"confidence": np.append(score, score + 1), "sample_weight": np.repeat([1.0, 0.0], len(y))}
    for name in FIGURES:
        expected = getattr(fc, name)(y, p, confidence=score)
        found = getattr(fc, name)(np.append(y, 1 - y), np.append(p, p), **doubled)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-14)


@few
@given(predicted(weighted=False))
def test_only_the_order_of_the_confidence_matters(drawn):
    y, p, _ = drawn
    score = np.random.default_rng(len(y)).integers(-9, 9, len(y))
    for name in FIGURES:
        found = {getattr(fc, name)(y, p, confidence=one) for one in (score, np.exp(score / 3.0), score**3 * 1e290)}
        assert len(found) == 1


@few
@given(predicted())
def test_pieces_and_groups_add_up_to_the_same(drawn):
    y, p, options = drawn
    confidence, wrong = oracle.judged(y, p, confidence=options["confidence"])
    given_rows = scored_rows(confidence, wrong, labels_only=True)
    one = RiskSums.of_rows(given_rows, len(y), None)
    other = RiskSums.of_groups(groups(given_rows, None, by_class=True), len(y))
    assert one == other
    assert one.augrc() <= one.aurc() + 1e-15
    assert one.e_aurc() >= 0


@few
@given(predicted(), st.sampled_from([1, 2, 3]))
def test_no_number_of_threads_changes_a_bit(drawn, n_threads):
    y, p, options = drawn
    options = {**options, "sample_weight": None}
    for name in FIGURES:
        expected = getattr(fc, name)(y, p, **options)
        assert getattr(fc, name)(y, p, n_threads=n_threads, **options) == expected


@few
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_augrc_is_how_often_errors_rank_above_what_is_right(seed, n):
    """(1 - AUROC) r (1 - r) + r^2 / 2 of errors and right ones is its trapezoid, r / (2 N) less (Traub et al. 2024)."""
    rng = np.random.default_rng(seed)
    score, wrong = rng.integers(0, 9, n), np.append([0, 1], rng.integers(0, 2, n - 2))
    r = wrong.mean()
    expected = (1 - fc.auroc(1 - wrong, score)) * r * (1 - r) + r * r / 2 + r / (2 * n)
    given_rows, options = of(wrong, score)
    assert fc.augrc(*given_rows, **options) == pytest.approx(expected, rel=1e-12)
