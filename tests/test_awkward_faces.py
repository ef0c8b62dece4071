"""Awkward input in the functions of ``fastcal.compat``: what comes of it is what comes of it in the library itself."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
from awkward_calls import plain
from awkward_forms import FORMS, KINDS
from conftest import JIT
from swapped import equal, outcome
from their_examples import of_any_size

pytestmark = pytest.mark.skipif(not JIT, reason="compiled code only")

# {module: {function: arguments, by position and by name}}
CALLS = {
    "sklearn.metrics": {
        "brier_score_loss": (("y", "p"), {"sample_weight": "weights"}),
        "log_loss": (("labels", "probs"), {"sample_weight": "weights"}),
        "roc_auc_score": (("y", "z"), {"sample_weight": "weights"}),
        "average_precision_score": (("y", "z"), {"sample_weight": "weights"}),
        "roc_curve": (("y", "z"), {"sample_weight": "weights"}),
        "precision_recall_curve": (("y", "z"), {"sample_weight": "weights"}),
    },
    "sklearn.calibration": {"calibration_curve": (("y", "p"), {})},
    "scipy.special": {"softmax": (("logits",), {}), "log_softmax": (("logits",), {}), "logsumexp": (("logits",), {})},
    "scipy.stats": {"entropy": (("probs",), {})},
    "scipy.optimize": {"isotonic_regression": (("z",), {"weights": "weights"})},
}
# Where ours and theirs may part, and why.
APART = {
    ("entropy", "float16"): "theirs are sums of half floats",
}


def used_up(form):
    return form in ("a generator", "a set", "a mapping")  # a second look at which sees nothing, or another order


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in CALLS for name in CALLS[module]])
def test_outcomes_are_the_librarys(module, name):
    face = importlib.import_module(f"fastcal.compat.{module}")
    function = getattr(face, name)
    positions, options = CALLS[module][name]
    found = []
    with of_any_size(face):
        for key in (*positions, *options.values()):
            array, kind = plain()[key], KINDS.get(key, "scores")
            for form, one in FORMS.items():
                if not one.takes(kind, array) or not one.installed or used_up(form) or (name, form) in APART:
                    continue
                given = {**plain(), key: one.make(array)}
                args, more = [given[one] for one in positions], {one: given[at] for one, at in options.items()}
                theirs, their_warnings = outcome(function.original, args, more)
                ours, our_warnings = outcome(function, args, more)
                try:
                    equal(ours, theirs, 2e-6 if "float" in form else 1e-12)
                    assert our_warnings == their_warnings
                except AssertionError as error:
                    found.append(f"{key}, {form}: {str(error).strip()[:200]}")
    assert found == []


TENSORS = {
    "binary_calibration_error": (("p", "y"), {"n_bins": 10}),
    "multiclass_calibration_error": (("probs", "labels"), {"num_classes": 3, "n_bins": 10}),
    "binary_auroc": (("p", "y"), {}),
    "binary_average_precision": (("p", "y"), {}),
    "multiclass_auroc": (("probs", "labels"), {"num_classes": 3}),
    "multiclass_average_precision": (("probs", "labels"), {"num_classes": 3}),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_raise_where_torchmetrics_does(name):
    """The same type of error: which check comes first may differ."""
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchmetrics.functional.classification")
    from fastcal.compat.torchmetrics.functional import classification as ours

    keys, options = TENSORS[name]
    found = []
    for key in keys:
        array, kind = plain()[key], KINDS.get(key, "scores")
        for form, one in FORMS.items():
            made = one.make(array) if one.takes(kind, array) and one.installed else None
            if type(made) is not np.ndarray or made.dtype.name not in (
                "float64",
                "float32",
                "float16",
                "int64",
                "bool",
            ):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tensor = torch.from_numpy(made.copy())
            args = [tensor if at == key else torch.from_numpy(plain()[at]) for at in keys]
            (a, _), (b, _) = (outcome(getattr(module, name), args, options) for module in (ours, theirs))
            if isinstance(b, Exception) != isinstance(a, Exception) or (
                isinstance(b, Exception) and type(a) is not type(b)
            ):
                found.append(f"{key}, {form}: {a!r}, not {b!r}")
            elif not isinstance(b, Exception) and not torch.allclose(a.double(), b.double(), atol=1e-3, equal_nan=True):
                found.append(f"{key}, {form}: {a}, not {b}")
    assert found == []
