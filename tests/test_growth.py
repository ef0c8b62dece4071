"""What is measured at growing sizes covers every public function, and says where something grows too fast."""

import inspect
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import fastcal as fc
from bench import growth, growth_works
from bench.growth_works import CONFIDENCES, LEFT_OUT, NOT_AGAINST_CLASSES, PROBS, WORKS, Work

MEASURED = {name for work in WORKS for name in work.names}
SIZES = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]


def has_work(name):
    """Functions, and classes that take rows; results are neither."""
    public = getattr(fc, name)
    return inspect.isfunction(public) or any(hasattr(public, verb) for verb in ("fit", "update"))


def test_every_public_function_has_a_line_or_a_reason():
    public = {name for name in fc.__all__ if has_work(name)}
    assert public - MEASURED - LEFT_OUT.keys() == set()
    assert LEFT_OUT.keys() - public == set()
    assert LEFT_OUT.keys() & MEASURED == set()


def test_what_takes_classes_is_measured_against_them_or_has_a_reason():
    with_classes = {name for work in WORKS if work.classes for name in work.names}
    of_classes = {name for work in WORKS if work.kind is not CONFIDENCES for name in work.names}
    assert of_classes - with_classes == NOT_AGAINST_CLASSES.keys()


def test_names_of_lines_are_told_apart():
    assert len({work.name for work in WORKS}) == len(WORKS)


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_each_can_be_called(work):
    work.make(work.kind.make(200, work.kind.n_classes).first(100))()


def points(seconds, sizes=SIZES, memory=0):
    return growth.Points(list(sizes), list(seconds), [memory] * len(sizes), [8 * n for n in sizes])


def line(**options):
    return Work("a work", PROBS, lambda _: partial(int), ("int",), **options)


def test_a_fixed_cost_does_not_hide_what_grows():
    sizes = np.array(SIZES)
    found = growth.fitted(line(), "N", points(1e-4 + 1e-9 * sizes), quick=False)
    assert found.exponent == pytest.approx(1, abs=0.1)
    assert found.holds
    assert growth.fitted_sizes(SIZES, list(1e-2 + 1e-9 * sizes)) == SIZES[-3:]


@pytest.mark.parametrize("power", [1.3, 2.0])
def test_what_grows_faster_than_it_may_is_found(power):
    seconds = [1e-5 + 1e-10 * n**power for n in SIZES]
    found = growth.fitted(line(), "N", points(seconds), quick=False)
    assert found.exponent == pytest.approx(power, abs=0.1)
    assert not found.holds


def test_a_sort_may_take_n_log_n():
    seconds = [1e-9 * n * np.log(n) for n in SIZES]
    found = growth.fitted(line(sorts=True), "N", points(seconds), quick=False)
    assert found.exponent == found.at_most
    assert 1.05 < found.at_most < 1.1
    assert growth.fitted(line(sorts=True), "K", points(seconds), quick=False).at_most == 1


def test_memory_that_is_to_be_fixed_may_not_grow():
    grows = growth.Points(SIZES, [1e-9 * n for n in SIZES], [8 * n for n in SIZES], SIZES)
    assert not growth.fitted(line(), "N", grows, quick=False).holds
    assert growth.fitted(line(memory=1.0), "N", grows, quick=False).holds
    few = growth.Points(SIZES, [1e-9 * n for n in SIZES], [n // 10 for n in SIZES], SIZES)
    assert growth.fitted(line(), "N", few, quick=False).memory_exponent == pytest.approx(0)  # too little to count


def test_sizes_end_where_a_call_would_take_too_long():
    inputs = CONFIDENCES.make(1000, 1)
    found = growth.Points([10], [growth.MOST_SECONDS], [0], [0])
    found.add(100, inputs.first(100), line(), quick=False)
    assert found.sizes == [10]


def test_a_run_measures_each_work_at_all_sizes(monkeypatch):
    """Rows up to a thousand, of two works."""
    some = [work for work in WORKS if work.name in ("ece", "softmax_summary")]
    monkeypatch.setattr(growth, "WORKS", some)
    monkeypatch.setattr(growth, "ROWS", (100, 1000))
    monkeypatch.setattr(growth, "CLASSES", (2, 8, 32))
    monkeypatch.setattr(growth, "MOST_BYTES", 40_000)
    found = {(one.work, one.against): one for one in growth.run(quick=False)}
    assert set(found) == {("softmax_summary", "N"), ("ece", "N"), ("softmax_summary", "K")}
    assert found["ece", "N"].sizes == [100, 1000]
    assert found["ece", "N"].n_bytes == [500, 5000]
    assert found["softmax_summary", "K"].sizes == [2, 8, 32]
    assert all(seconds > 0 for one in found.values() for seconds in one.seconds)


def test_what_grows_too_fast_is_measured_once_more():
    rounds = iter(([2.0, 2.0, 1.0], [1.1, 1.9]))  # of three works, of which two are beyond

    def measure(_, works, quick):
        for work, power in zip(works, next(rounds), strict=True):
            yield growth.fitted(work, "N", points([1e-9 * n**power for n in SIZES]), quick)

    works = [replace(line(), name=name) for name in "abc"]
    found = {one.work: one for one in growth.twice(measure, PROBS, works, quick=False)}
    assert [one.holds for one in found.values()] == [True, False, True]
    assert found["b"].exponent == pytest.approx(1.9)


def test_rows_of_an_input_are_its_first():
    inputs = growth_works.MEMBERS.make(50, 10)
    few = inputs.first(20)
    assert [len(one) for one in (few.scores, few.labels, *few.members)] == [20] * 5
    assert few.out is None
    np.testing.assert_array_equal(few.members[0], inputs.members[0][:20])
