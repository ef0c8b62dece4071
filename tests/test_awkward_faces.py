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


def numbers(found):
    """What is compared of a result: of scipy's, its numbers; of dates and objects theirs, too."""
    if isinstance(found, tuple):
        return tuple(numbers(one) for one in found)
    if isinstance(found, np.ndarray) and found.dtype.kind in "MO":
        return found.astype(np.int64 if found.dtype.kind == "M" else np.float64)
    return found.x if hasattr(found, "x") else found


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
                if not one.takes(kind, array) or not one.installed or used_up(form):
                    continue
                given = {**plain(), key: one.make(array)}
                args, more = [given[one] for one in positions], {one: given[at] for one, at in options.items()}
                theirs, their_warnings = outcome(function.original, args, more)
                ours, our_warnings = outcome(function, args, more)
                try:
                    equal(
                        numbers(ours),
                        numbers(theirs),
                        2e-3 if form == "float16" else 2e-6 if "float" in form else 1e-12,
                    )
                    assert our_warnings == their_warnings
                except (AssertionError, TypeError) as error:
                    found.append(f"{key}, {form}: {ours!r:.200}, not {theirs!r:.200}: {str(error).strip():.200}")
    assert found == []


NOT_FINITE = ("NaN", "NaN everywhere", "+inf", "-inf")
NOT_COUNTED = ("multiclass", "labels", "bool")  # theirs count no booleans
TENSORS = {
    "binary_calibration_error": (("p", "y"), {"n_bins": 10}),
    "multiclass_calibration_error": (("probs", "labels"), {"num_classes": 3, "n_bins": 10}),
    "binary_auroc": (("p", "y"), {}),
    "binary_average_precision": (("p", "y"), {}),
    "multiclass_auroc": (("probs", "labels"), {"num_classes": 3}),
    "multiclass_average_precision": (("probs", "labels"), {"num_classes": 3}),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_are_taken_and_refused_as_by_torchmetrics(name):
    """Which check comes first may differ; numbers that are not finite are never ranked here."""
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchmetrics.functional.classification")
    from fastcal.compat.torchmetrics.functional import classification as ours

    keys, options = TENSORS[name]
    found = []
    for key in keys:
        array, kind = plain()[key], KINDS.get(key, "scores")
        for form, one in FORMS.items():
            made = one.make(array) if one.takes(kind, array) and one.installed else None
            if type(made) is not np.ndarray or made.dtype.str not in ("<f8", "<f4", "<f2", "<i8", "|b1"):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tensor = torch.from_numpy(made.copy())
            args = [tensor if at == key else torch.from_numpy(plain()[at]) for at in keys]
            (a, _), (b, _) = (outcome(getattr(module, name), args, options) for module in (ours, theirs))
            if isinstance(a, Exception):  # a RuntimeError is what torchmetrics says of labels
                sound = isinstance(a, TypeError | ValueError | RuntimeError)
                sound = sound and (isinstance(b, Exception) or form in NOT_FINITE)
            elif isinstance(b, Exception):
                sound = (name.split("_")[0], key, form) == NOT_COUNTED
            else:
                sound = torch.allclose(a.double(), b.double(), atol=1e-3, equal_nan=True)
            if not sound:
                found.append(f"{key}, {form}: {a!r}, not {b!r}")
    assert found == []
