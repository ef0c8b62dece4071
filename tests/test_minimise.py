"""The search: Newton's method where curvature is exact, and down at each step where it is anything else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcal.calibrators.minimise import minimise

SCALES = np.array([1.0, 30.0, 1e-3, 7.0])


def quadratic(x):
    d = x - np.arange(4)
    return float(0.5 * (SCALES * d * d).sum()), SCALES * d


def curved(x):
    """log cosh: level far away, where a full Newton step overshoots by far."""
    return float(np.logaddexp(x, -x).sum() - 4 * np.log(2)), np.tanh(x)


class Counted:
    def __init__(self, function):
        self.function, self.n, self.values = function, 0, []

    def __call__(self, x):
        self.n += 1
        self.values.append(self.function(x)[0])
        return self.function(x)


def test_an_exact_hessian_takes_one_step_on_a_parabola():
    found = minimise(quadratic, np.zeros(4), lambda _: lambda g: g / SCALES, tol=1e-12, max_iter=5, refresh=1)
    assert found.converged
    assert found.n_iter == 1
    np.testing.assert_allclose(found.x, np.arange(4), atol=1e-12)
    assert found.gradient_norm <= 1e-12


@settings(max_examples=30)
@given(st.floats(0.1, 1e3), st.floats(0.1, 20), st.sampled_from([1, 2, 30]))
def test_any_curvature_ends_at_the_minimum(scale, start, refresh):
    function = Counted(curved)
    x = start * np.array([1.0, -1.0, 0.5, 2.0])
    found = minimise(function, x, lambda _: lambda g: g * scale, tol=1e-6, max_iter=500, refresh=refresh)
    assert found.converged
    assert found.gradient_norm <= 1e-6
    np.testing.assert_allclose(found.x, 0, atol=1e-5)
    assert found.value <= min(function.values) + 1e-15


def test_it_ends_after_so_many_steps_or_below_a_value():
    def slow(x):
        return lambda g: g * 1e-3

    found = minimise(quadratic, np.zeros(4), slow, tol=0.0, max_iter=3, refresh=1)
    assert (found.converged, found.n_iter) == (False, 3)
    found = minimise(quadratic, np.zeros(4), slow, tol=0.0, max_iter=1000, refresh=30, lowest=1.0)
    assert found.converged
    assert found.value <= 1.0
    assert minimise(quadratic, np.arange(4.0), slow, tol=1e-9, max_iter=0, refresh=1).converged


def test_values_that_are_no_numbers_are_stepped_back_from():
    def walled(x):
        if np.abs(x).max() > 3:
            return np.nan, np.full(4, np.nan)
        return curved(x)

    with np.errstate(invalid="ignore"):
        found = minimise(walled, np.full(4, 2.0), lambda _: lambda g: 100 * g, tol=1e-9, max_iter=500, refresh=30)
    assert found.converged
    np.testing.assert_allclose(found.x, 0, atol=1e-8)


@pytest.mark.parametrize("refresh", [1, 30])
def test_a_direction_that_leads_up_ends_it_unconverged(refresh):
    found = minimise(curved, np.full(4, 2.0), lambda _: lambda g: -g, tol=1e-9, max_iter=50, refresh=refresh)
    assert found.n_iter == 0
    assert not found.converged


def test_a_wrong_curvature_is_taken_anew_where_a_direction_fails():
    asked = []

    def curvature(x):
        asked.append(x)
        return (lambda g: g) if len(asked) != 2 else (lambda g: -g)

    found = minimise(curved, np.full(4, 2.0), curvature, tol=1e-9, max_iter=50, refresh=2)
    assert len(asked) >= 3
    assert found.converged


def test_steps_that_are_far_too_short_are_lengthened():
    found = minimise(curved, np.full(4, 2.0), lambda _: lambda g: g * 1e-3, tol=1e-3, max_iter=150, refresh=1)
    assert found.converged


def test_steps_that_promise_rounding_alone_end_it():
    def rounded(x):  # a gradient that is never below tol
        return 1.0, np.full(4, 1e-12)

    found = minimise(rounded, np.zeros(4), lambda _: lambda g: g, tol=0.0, max_iter=50, refresh=1)
    assert found.converged
    assert found.n_iter == 3


class Unmultiplied(np.ndarray):
    """Numbers of which no library may take products."""

    def __matmul__(self, other):
        raise AssertionError("threads of a library wait for each other under load")

    __rmatmul__ = __matmul__


def test_no_product_goes_to_a_library_with_threads_of_its_own():
    def function(x):
        value, gradient = curved(x)
        return value, gradient.view(Unmultiplied)

    start = np.full(4, 2.0).view(Unmultiplied)
    assert minimise(function, start, lambda _: lambda g: g, tol=1e-6, max_iter=50, refresh=30).converged
