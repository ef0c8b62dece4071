"""Out-of-distribution measures at their ends: sets that say nothing of their errors, options, bits and overflow."""

from __future__ import annotations

import math
import re

import ml_dtypes
import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal.metrics import ood_intervals

NEVER_ABOVE = {
    "one score": (np.zeros(50), np.zeros(50)),
    "one score, of unlike sizes": (np.ones(8), np.ones(60)),
    "two scores": (np.zeros(50), np.ones(50)),
    "the wrong way round": (np.arange(10), np.arange(10, 60)),
    "with ties between": ([0, 0], [0, 1]),
    "single rows": ([0], [1]),
    "single rows of one score": ([0], [0]),
}


@pytest.mark.parametrize("sets", NEVER_ABOVE.values(), ids=NEVER_ABOVE)
def test_no_interval_is_without_width_where_resamples_agree(sets):
    found = fc.ood_metrics(*sets, random_state=0, n_resamples=50)
    for name, (low, high) in found.intervals.items():
        assert 0 <= low <= getattr(found, name) <= high <= 1, name
        assert high - low > 0.02, name
    assert found.intervals["detection_error"][1] == 0.5
    only = fc.ood_metrics(*sets, n_resamples=0).intervals
    assert only == {**dict.fromkeys(only), "auroc": found.intervals["auroc"]}


def test_bounds_of_sets_of_one_score():
    """The farthest true sets that give 40 and 30 equal scores with a probability of 2.5 %, by integration."""
    found = fc.ood_metrics(np.zeros(40), np.zeros(30), random_state=0).intervals
    most = -math.log(0.025) / 30
    assert found["auroc"] == pytest.approx(((1 - most) ** 2 / 2, 1 - (1 - most) ** 2 / 2))
    assert found["detection_error"] == pytest.approx(((1 - most) / 2, 0.5))
    odds, rest = 30 / 40, 1 - most
    assert found["aupr_in"] == pytest.approx((rest * rest / (rest + odds), most + rest / (1 + odds * rest)))
    wider = fc.ood_metrics(np.zeros(40), np.zeros(30), random_state=0, level=0.99).intervals
    assert all(wider[name][0] < found[name][0] for name in found)
    larger = fc.ood_metrics(np.zeros(40_000), np.zeros(30_000), random_state=0).intervals
    assert all(high - low < 2e-3 for low, high in larger.values())


def test_bounds_hold_true_sets_that_may_look_so():
    """A share of ``most`` beyond the score on the side that counts: figures of such sets lie within the bounds."""
    n, m = 30, 60
    most = ood_intervals.most_errors(n, m, 0.95)
    found = fc.ood_metrics(np.zeros(n), np.zeros(m), random_state=0).intervals
    total, few = 1000, int(1000 * most)
    for side_in in (-1, 1):
        for side_out in (-1, 1):
            inside = np.repeat([0, side_in], [total - few, few])
            outside = np.repeat([0, side_out], [2 * (total - few), 2 * few])
            true = fc.ood_metrics(inside, outside, n_resamples=0)
            for name in ("auroc", "aupr_in", "aupr_out", "detection_error"):
                low, high = found[name]
                assert low - 1e-12 <= getattr(true, name) <= high + 1e-12, (name, side_in, side_out)


def test_worst_precision_is_that_of_sets_the_wrong_way_round():
    n = 20_000 if JIT else 200
    worst = fc.average_precision(np.repeat([1, 0], [n, 3 * n]), np.arange(4 * n))
    assert ood_intervals.reversed_precision(3.0) == pytest.approx(worst, abs=1 / n)


@pytest.mark.parametrize("level", [1 - 1e-16, math.nextafter(1, 0), 1 - 2.3e-16, 1e-300, np.float32(0.9)])
def test_levels_at_the_ends(level):
    sets = np.arange(20.0), np.arange(20.0) - 3
    if (1 + float(level)) / 2 == 1:
        with pytest.raises(ValueError, match=re.escape(f"level is {level!r}; expected")):
            fc.ood_metrics(*sets, level=level)
    else:
        found = fc.ood_metrics(*sets, level=level, n_resamples=20, random_state=0)
        assert all(0 <= low <= high <= 1 for low, high in found.intervals.values())


def test_complex_options_are_refused():
    with pytest.raises(ValueError, match="level is"):
        fc.ood_metrics([1.0], [0.0], level=np.complex128(0.5))
    with pytest.raises(ValueError, match="epsilon is"):
        fc.valid_ood_region([1.0], [0.0], epsilon=np.complex128(0.5))
    with pytest.raises(ValueError, match="epsilon is"):
        fc.softmax_saturation([1.0, 0.0], epsilon=np.complex128(0.5))


def bits(values):
    return np.array(values, ml_dtypes.bfloat16).view(np.uint16)


def test_class_weights_as_bits():
    z, w = [[1.0, 2.0]], [[-1.0, 1.0], [1.0, -3.0]]
    expected = fc.activation_familiarity(np.float32(z), np.float32(w))
    assert expected == pytest.approx(0.316228, abs=1e-6)
    assert fc.activation_familiarity(bits(z), bits(w), dtype="bfloat16") == expected
    assert fc.activation_familiarity(bits(z), np.float32(w), dtype="bfloat16") == expected
    assert fc.activation_familiarity(np.array(z, ml_dtypes.bfloat16), bits(w), dtype="bfloat16") == expected
    whole = fc.activation_familiarity(np.float32(z), np.uint16([[1, 0], [0, 3]]))
    assert whole == pytest.approx(2 / math.sqrt(5))  # without dtype they are numbers
    with pytest.raises(TypeError, match="class_weights has dtype >u2; the bits of bfloat16 are uint16"):
        fc.activation_familiarity(bits(z), bits(w).astype(">u2"), dtype="bfloat16")


def test_norms_that_float32_cannot_hold():
    large = np.full((1, 4), 3e38, np.float32)
    assert fc.activation_norm(large).tolist() == [math.inf]
    assert fc.activation_norm(large.astype(float)) == pytest.approx(6e38)
    assert fc.activation_familiarity(large, large) == pytest.approx(1)
    tiny = np.full((1, 1), 1e-45, np.float32)
    with np.errstate(all="raise"):
        assert fc.activation_norm(large).tolist() == [math.inf]
        assert fc.activation_norm(tiny).tolist() == tiny[0].tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-100, 5e-324])
@pytest.mark.parametrize("temperature", [1.0, 0.01, 30.0])
@pytest.mark.parametrize("k", [2, 3, 40])
def test_rows_without_a_second_class_are_saturated_at_any_epsilon(dtype, epsilon, temperature, k):
    logits = np.full((3, k), -np.inf)
    logits[:, 0] = 0.0, 5.0, np.inf
    logits[2, 1:] = 0.0
    found = fc.softmax_saturation(logits.astype(dtype), epsilon=epsilon, temperature=temperature)
    assert found == 1.0
    assert fc.softmax_saturation(np.array([[20.0] + [0.0] * (k - 1)], dtype), epsilon=1e-100) == 0.0


def test_a_mental_model_of_no_cosine_and_of_too_many_classes():
    with pytest.raises(fc.DataError, match=r"familiarity\[0\] is nan; only rows of norm 0 have no cosine"):
        fc.mental_model_confidence([1.0], [math.nan], 3)
    with pytest.raises(ValueError, match=r"n_classes is 1000.*; expected an integer of at least 2, and at most"):
        fc.mental_model_confidence(1.0, 1.0, 10**400)
    assert fc.mental_model_confidence(1e3, 1.0, 1 << 53) == 1.0
