"""Awkward input in every public function and method: the outcomes are those on record, and keep the rules."""

from __future__ import annotations

import inspect

import awkward
import awkward_page
import pytest
from awkward_calls import CALLS
from awkward_forms import FORMS
from conformance_calls import WITHOUT, N
from conftest import JIT

import fastcal as fc

pytestmark = pytest.mark.skipif(not JIT, reason="compiled code only")

TAKES_ARRAYS = ("update", "update_measures", "refined", "fit", "fit_batches", "fit_transform", "predict")
TAKES_ARRAYS += ("predict_proba", "predict_interval", "transform", "score")


@pytest.fixture(scope="module")
def recorded():
    return awkward.recorded()


@pytest.mark.parametrize("name", CALLS)
def test_outcomes_are_as_recorded_and_keep_the_rules(name, recorded):
    found = awkward.outcomes(name)
    assert list(awkward.breaches(name, found)) == []
    expected = {
        key: {form: outcome for form, outcome in forms.items() if form not in FORMS or FORMS[form].installed}
        for key, forms in recorded[name].items()
    }
    assert found == expected  # python -m tests.awkward --write


def test_the_page_and_the_record_are_of_the_same_outcomes(recorded):
    assert set(recorded) == set(CALLS)
    assert awkward.record_of(recorded) == awkward.RECORD.read_text()
    assert awkward_page.page(recorded, awkward.parameters, N) == awkward.PAGE.read_text()


def test_every_function_and_method_is_called():
    called = {name.partition(",")[0] for name in CALLS}
    for name in set(fc.__all__) - WITHOUT:
        one = getattr(fc, name)
        if inspect.isclass(one):
            methods = {f"{name}.{verb}" for verb in TAKES_ARRAYS if callable(getattr(one, verb, None))}
            if any(hasattr(one, verb) for verb in ("update", "fit")):
                assert methods <= called, name
        else:
            assert name in called


BAD = {
    "another exception": ("y_prob", "NaN", "IndexError: index 3 is out of bounds"),
    "a warning": ("y_prob", "NaN", "RuntimeWarning: invalid value encountered in log"),
    "no argument named": ("y_prob", "NaN", "ValueError: an array must not contain NaN"),
    "another argument named": ("y_prob", "NaN", "DataError: y_true[1] is nan"),
    "another array read": ("y_prob", "Fortran", "a value"),
    "garbage taken": ("y_prob", "1.2", "a value"),
    "an input written to": ("y_prob", "strided", "WrittenTo: probs"),
    "an accumulator changed": ("y_prob", "NaN", "ChangedError: "),
}


@pytest.mark.parametrize("rule", BAD)
def test_rules_notice(rule):
    _, form, outcome = BAD[rule]
    forms = {"complex": "TypeError: y_prob has dtype complex128; expected real numbers", form: outcome}
    assert len(list(awkward.breaches("ece, rows", {"probs": forms}))) == 1
