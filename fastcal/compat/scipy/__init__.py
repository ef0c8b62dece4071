"""scipy's own signatures over ours, module by module: change the import, keep the code.

``fastcal.compat.scipy.special``, ``.stats`` and ``.optimize`` have every name of scipy's modules: those that fastcal
answers are its own, all others scipy's. Those of ours can be had from here, too.

>>> from fastcal.compat.scipy.special import expit, softmax
>>> softmax([[0.0, 0.0], [0.0, 0.0]]).tolist(), float(expit(0.0))  # of the whole array by default, as scipy's
([[0.25, 0.25], [0.25, 0.25]], 0.5)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .optimize import isotonic_regression
    from .special import log_softmax, logsumexp, softmax
    from .stats import entropy

__all__ = ["entropy", "isotonic_regression", "log_softmax", "logsumexp", "softmax"]

_ELSEWHERE = {"entropy": "stats", "isotonic_regression": "optimize"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ELSEWHERE.get(name, 'special')}"), name)
