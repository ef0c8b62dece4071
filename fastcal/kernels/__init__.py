"""The loops: arrays in, caller-owned arrays out; serial, without the GIL, compiled by Numba at the first call.

Kernels validate nothing and raise nothing for data: they count what was wrong and leave the verdict to
``arrays.py``. The modules load at first use, so that ``from fastcal import kernels`` does not import Numba.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (
        activations,
        bayesian_bins,
        beside,
        binned_columns,
        binning,
        canonical,
        cholesky,
        classwise,
        classwise_lines,
        classwise_wide,
        columns,
        elementary,
        ensemble,
        ensemble_lines,
        ensemble_pairs,
        ensemble_steps,
        entropy,
        exact,
        gather,
        grouped,
        grouping,
        halves,
        intrinsics,
        kernel_error,
        linear,
        linear_curvature,
        linear_maps,
        logistic,
        lookup,
        normalise,
        paired,
        pairs,
        pooling,
        probabilities,
        products,
        ranking,
        rows,
        score_forms,
        selective,
        separation,
        smoothing,
        softmax,
        sorting,
        spiegelhalter,
        summary,
        sweep,
        temperature,
        two_classes,
        uncertainty,
        venn_abers,
    )

__all__ = [
    "activations",
    "bayesian_bins",
    "beside",
    "binned_columns",
    "binning",
    "canonical",
    "cholesky",
    "classwise",
    "classwise_lines",
    "classwise_wide",
    "columns",
    "elementary",
    "ensemble",
    "ensemble_lines",
    "ensemble_pairs",
    "ensemble_steps",
    "entropy",
    "exact",
    "gather",
    "grouped",
    "grouping",
    "halves",
    "intrinsics",
    "kernel_error",
    "linear",
    "linear_curvature",
    "linear_maps",
    "logistic",
    "lookup",
    "normalise",
    "paired",
    "pairs",
    "pooling",
    "probabilities",
    "products",
    "ranking",
    "rows",
    "score_forms",
    "selective",
    "separation",
    "smoothing",
    "softmax",
    "sorting",
    "spiegelhalter",
    "summary",
    "sweep",
    "temperature",
    "two_classes",
    "uncertainty",
    "venn_abers",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
