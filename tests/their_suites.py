"""A pytest plugin: other libraries' own tests, as installed, run against ours.

    pytest -p their_suites --pyargs scipy.special.tests.test_logsumexp

A face, ``fastcal.compat`` or a module of these tests, takes the place of the names that a test module has imported, and
of functions among its parameters and in its tables. Only tests that call a name of ours are run (``LIMITED_TO`` and
``NAMED`` for large modules); those that ours fails stand in ``LEFT_OUT`` with their reasons.
"""

from __future__ import annotations

import collections
import functools
import importlib.util
import inspect
import json
import os
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
    "sklearn.metrics.tests.test_common": "fastcal.compat.sklearn.metrics",
    "calibration.util_test": "face_verified",
    "mapie.tests.test_metrics": "face_mapie",
}
# Modules that are about much else: tests whose source has one of these words.
LIMITED_TO = {
    "sklearn.tests.test_isotonic": r"(?s)^(?!.*_make_unique\()",  # a private helper
    "scipy.stats.tests.test_entropy": r"stats\.entropy\(",
    "sklearn.tests.test_calibration": r"calibration_curve|CalibrationDisplay",
    "sklearn.metrics.tests.test_ranking": (
        r"roc_auc_score|\b(average_precision_score|\w*roc_curve|\w*recall_curve|curve_func)\b"
    ),
    "sklearn.metrics.tests.test_classification": r"\b(log_loss|brier_score_loss)\b",
    "calibration.util_test": r"get_(ece|ece_em|calibration_error|selective_stats)\(|lower_bound_scaling_ce\(",
    "mapie.tests.test_metrics": r"expected_calibration_error\(|spiegelhalter_|(smirnov|kuiper)_statistic\(",
}
# Of modules that try all that a library has: tests whose parameters name one of these.
NAMED = {
    "sklearn.metrics.tests.test_common": (
        r"^(?!.*array_api).*[-\[](roc_auc_score|average_precision_score|log_loss|brier_score_loss"
        r"|roc_curve|precision_recall_curve)[-\]]"
    ),
}
# Tests that ours fails, and why; one that passes does not belong here.
LEFT_OUT = {
    "sklearn.tests.test_isotonic": {"test_fast_predict": "private helpers of the estimator, `_build_y` and `_build_f`"},
    "calibration.util_test": {
        "test_get_binary_ce_2": "l3, which is no norm of ours",
        "test_get_two_label_ce_2": "l3, which is no norm of ours",
        "test_get_three_label_ce_2": "l3, which is no norm of ours",
        "test_three_label_top_ce_lower_bound_2": "l3, which is no norm of ours",
    },
    "mapie.tests.test_metrics": {
        "test_ece_classwise_1d_raises_error": "(N,) scores are two classes here, of which each has its error",
        "test_ece_classwise_requires_class_labels": "no labels are a TypeError here, a ValueError there",
        "test_kuiper_statistic": "the range of the sums begins at 0 here (Tygert 2021), at the first row there",
    },
}
# Libraries that ship no test of what is ours: words that one would have.
CALIBRATION = r"def test.*(calibration|ece\b|temperature|softmax|auroc)"
SHIP_NO_TESTS = dict.fromkeys(
    ("torchmetrics", "netcal", "betacal", "calibre", "relplot", "venn_abers", "tensorflow_probability"), CALIBRATION
)


def installed(module):
    """Whether a module is there, and so the library that it belongs to."""
    library = module.partition(".")[0]
    return importlib.util.find_spec(library) is not None and importlib.util.find_spec(module) is not None


# FASTCAL_LEFT_OUT=1 runs the others: those that are left out.
ONLY_LEFT_OUT = os.environ.get("FASTCAL_LEFT_OUT") == "1"

OUTCOMES = {module: collections.Counter() for module in FACES}


def counted(function, outcomes):
    """A name of a face, which counts what it answers itself and what it hands on."""
    if inspect.isclass(function) or (function.__module__.startswith("fastcal") and not hasattr(function, "original")):
        return function

    @functools.wraps(function)
    def call(*args, **options):
        if not hasattr(function, "original"):  # a face in these tests: all is ours
            outcomes["answered"] += 1
            return function(*args, **options)
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
    if hasattr(face, "FEW"):
        face.FEW = 0  # rows below which it leaves an input to its original, which are ours all the same here
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
        for table in [one for one in vars(module).values() if isinstance(one, dict)] if original else ():
            for key, value in table.items():
                if value is original:
                    table[key] = function
                elif isinstance(value, functools.partial) and value.func is original:
                    table[key] = functools.partial(function, *value.args, **value.keywords)
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
        source = inspect.getsource(getattr(item.function, "place_as", item.function))  # as `parameterized` keeps it
        about_ours = re.search(LIMITED_TO.get(module, ""), source)
        about_ours = about_ours and re.search(NAMED.get(module, ""), item.nodeid)
        left = any(re.search(rf"::{name}\b", item.nodeid) for name in out)
        if about_ours and left == ONLY_LEFT_OUT:
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
