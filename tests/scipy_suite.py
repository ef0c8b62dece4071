"""A pytest plugin: scipy's own tests of softmax, log_softmax and logsumexp, run against ours.

    pytest -p scipy_suite --pyargs scipy.special.tests.test_logsumexp

scipy's functions work on the whole array by default (``axis=None``), ours on the last axis: that is put right here.
Tests of what ours do not have are left out, each for a reason in ``LEFT_OUT``.
"""

from __future__ import annotations

import functools

import fastcal as fc

LEFT_OUT = {
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
}


def whole_array(function):
    @functools.wraps(function)
    def with_scipys_default(values, axis=None, **options):
        return function(values, axis=axis, **options)

    return with_scipys_default


OURS = {name: whole_array(getattr(fc, name)) for name in ("softmax", "log_softmax", "logsumexp")}


def pytest_collection_modifyitems(config, items):
    kept, left_out = [], []
    for item in items:
        (left_out if any(part in item.nodeid for part in LEFT_OUT) else kept).append(item)
        for name, ours in OURS.items():
            setattr(item.module, name, ours)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
