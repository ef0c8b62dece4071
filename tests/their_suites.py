"""A pytest plugin: other libraries' own tests, as installed, run against ours.

    pytest -p their_suites --pyargs scipy.special.tests.test_logsumexp

scipy's softmax and its like work on the whole array by default (``axis=None``), ours on the last axis: that is put
right here. Tests of what ours do not have are left out, each for a reason in ``LEFT_OUT``.
"""

from __future__ import annotations

import functools

import fastcal as fc

LEFT_OUT = {
    "scipy.special.tests.test_logsumexp": {
        "test_wrap_radians": "a helper of scipy's",
        "complex": "no complex logits",
        "test_gh21610": "no complex logits",
        "test_gh21709": "no complex logits",
        "j)": "no complex logits",
        "1j": "no complex logits",
        "logsumexp_b": "no b=",
        "logsumexp_sign": "no return_sign=",
        "logsumexp_shape": "no b=",
        "dtypes_ab": "no b=",
        "test_no_writeback": "no b=",
        "test_device": "no b=",
        "gh22903": "no b=",
        "gh23548": "no return_sign=",
    },
    "scipy.optimize.tests.test_isotonic_regression": {
        "test_simple_pava": "a private helper, pava",
    },
    "sklearn.tests.test_isotonic": {
        "test_make_unique_dtype": "a private helper, _make_unique; test_isotonic.py holds the same tolerance",
        "test_make_unique_tolerance": "a private helper, _make_unique; test_isotonic.py holds the same tolerance",
        "test_fast_predict": "private helpers, _build_y and _build_f",
        "test_isotonic_regression_output_predict": "pandas containers",
    },
}


def whole_array(function):
    @functools.wraps(function)
    def with_scipys_default(values, axis=None, **options):
        return function(values, axis=axis, **options)

    return with_scipys_default


def ours(module):
    """What takes the place of a test module's names."""
    if module.startswith("sklearn"):
        from fastcal.compat import sklearn

        return {name: getattr(sklearn, name) for name in sklearn.__all__}
    if module.startswith("scipy.optimize"):
        return {"isotonic_regression": fc.isotonic_regression}
    return {name: whole_array(getattr(fc, name)) for name in ("softmax", "log_softmax", "logsumexp")}


def pytest_collection_modifyitems(config, items):
    kept, left_out = [], []
    for item in items:
        name = item.module.__name__
        (left_out if any(part in item.nodeid for part in LEFT_OUT[name]) else kept).append(item)
        for mine, function in ours(name).items():
            assert hasattr(item.module, mine), mine
            setattr(item.module, mine, function)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
