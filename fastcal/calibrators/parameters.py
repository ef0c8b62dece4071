"""What a constructor took, in scikit-learn's way of asking for it and changing it; without scikit-learn."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Self


class Parameters:
    """An estimator whose constructor stores each of its parameters under its own name."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the estimator was made with.

        >>> import fastcal as fc
        >>> fc.HistogramBinning(n_bins=2).get_params()["n_bins"]
        2
        """
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **parameters: Any) -> Self:
        """Change what the estimator was made with; returns self.

        >>> import fastcal as fc
        >>> fc.HistogramBinning(n_bins=2).set_params(n_bins=3).n_bins
        3
        """
        for name, value in parameters.items():
            if name not in self._parameters():
                known = ", ".join(self._parameters())
                raise ValueError(f"{name!r} is no parameter of {type(self).__name__}; it has {known}")
            setattr(self, name, value)
        return self

    @classmethod
    def _parameters(cls) -> dict[str, Any]:
        """The parameters of the constructor, and their defaults."""
        taken = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {one.name: one.default for one in taken}

    def __repr__(self) -> str:
        defaults = self._parameters()
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name] and repr(value) != repr(defaults[name])
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def not_fitted(message: str) -> Exception:
    """scikit-learn's NotFittedError, where that is loaded; else its parent."""
    exceptions = sys.modules.get("sklearn.exceptions")
    return exceptions.NotFittedError(message) if exceptions else ValueError(message)
