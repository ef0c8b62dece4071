"""A pytest plugin: other libraries' own tests, as installed, run against ours.

    pytest -p their_suites --pyargs scipy.special.tests.test_logsumexp

``fastcal.compat`` takes the place of the names that a test module has imported, and of functions among its parameters.
Only tests that call a name of ours are run (``LIMITED_TO`` for large modules); those that are left out stand in
``LEFT_OUT`` with their reasons.
"""

from __future__ import annotations

import collections
import functools
import importlib
import inspect
import json
import re
import types

import pytest
from scipy import stats

from fastcal.compat.theirs import NotPlain

FACES = {
    "scipy.special.tests.test_logsumexp": "fastcal.compat.scipy.special",
    "scipy.stats.tests.test_entropy": "fastcal.compat.scipy.stats",
    "scipy.optimize.tests.test_isotonic_regression": "fastcal.compat.scipy.optimize",
    "sklearn.tests.test_isotonic": "fastcal.compat.sklearn.isotonic",
    "sklearn.tests.test_calibration": "fastcal.compat.sklearn.calibration",
    "sklearn.metrics.tests.test_ranking": "fastcal.compat.sklearn.metrics",
    "sklearn.metrics.tests.test_classification": "fastcal.compat.sklearn.metrics",
}
# Modules that are about much else: tests whose source has one of these words.
LIMITED_TO = {
    "scipy.stats.tests.test_entropy": r"stats\.entropy\(",
    "sklearn.tests.test_calibration": r"calibration_curve|CalibrationDisplay",
    "sklearn.metrics.tests.test_ranking": (
        r"roc_auc_score|\b(average_precision_score|\w*roc_curve|\w*recall_curve|curve_func)\b"
    ),
    "sklearn.metrics.tests.test_classification": r"\b(log_loss|brier_score_loss)\b",
}
LEFT_OUT = {
    "sklearn.tests.test_isotonic": {
        "test_make_unique_dtype": "a private helper, _make_unique; test_isotonic.py holds the same tolerance",
        "test_make_unique_tolerance": "a private helper, _make_unique; test_isotonic.py holds the same tolerance",
        "test_fast_predict": "private helpers, _build_y and _build_f",
        "test_isotonic_regression_output_predict": "pandas containers",
    },
    "sklearn.tests.test_calibration": {
        "test_calibration_display_kwargs": "test_sklearn_display.py holds the same, and takes a tenth of the time",
        "test_calibration_display_ref_line": "the same",
        "test_calibration_display_name_multiple_calls": "the same",
    },
}
# Inputs that are too small to be worth our while are ours all the same here.
FEW = ("FEW", "FEW_ALONG")

OUTCOMES = {module: collections.Counter() for module in FACES}


def counted(function, outcomes):
    """A name of a face, which counts what it answers itself and what it hands on."""
    if not hasattr(function, "original"):
        return function

    @functools.wraps(function)
    def call(*args, **options):
        try:
            found = function.__wrapped__(*args, **options)
        except (NotPlain, TypeError, ValueError):
            outcomes["handed on"] += 1
            return function.original(*args, **options)
        outcomes["answered"] += 1
        return found

    return call


@functools.cache
def ours(module):
    """What takes the place of a test module's names."""
    face = importlib.import_module(FACES[module])
    for name in FEW:
        if hasattr(face, name):
            setattr(face, name, 0)
    found = {name: counted(getattr(face, name), OUTCOMES[module]) for name in face.__all__}
    if module == "sklearn.tests.test_calibration":
        from fastcal.integrations.sklearn import CalibrationDisplay

        found["CalibrationDisplay"] = CalibrationDisplay
    return found


def put_ours(item, names):
    """Ours in the place of what the test's module has imported, and of functions among the test's parameters."""
    module = item.module
    if module.__name__ == "scipy.stats.tests.test_entropy":  # which calls stats.entropy
        module.stats = types.SimpleNamespace(**{**vars(stats), **names})
        return
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    for name, function in names.items():
        original = getattr(function, "original", None)
        for key, value in parameters.items():
            if original is not None and value is original:
                parameters[key] = function
        if hasattr(module, name):
            setattr(module, name, function)
    assert any(getattr(module, name, None) is function for name, function in names.items()), module


def pytest_collection_modifyitems(config, items):
    kept, left_out = [], []
    for item in items:
        module = item.module.__name__
        out = LEFT_OUT.get(module, ())
        about_ours = re.search(LIMITED_TO.get(module, ""), inspect.getsource(item.function))
        if about_ours and not any(part in item.nodeid for part in out):
            put_ours(item, ours(module))
            kept.append(item)
        else:
            left_out.append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        OUTCOMES[item.module.__name__][report.outcome] += 1
    return report


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("outcomes: " + json.dumps(OUTCOMES))
