"""Faults on demand, which show that the benchmarks find them: ``FASTCAL_BENCH_HOOK=slow:NAME`` or ``wrong:NAME``.

NAME is a kernel, MODULE.FUNCTION of fastcal.kernels. The library looks its kernels up at every call; in the process of
the benchmarks it finds in place of this one a kernel that takes ``SLOWER`` times as long, or one whose floats, in what
it returns and in the arrays that it fills, are too large by ``OFF`` of themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from time import perf_counter, sleep
from typing import Any

import numpy as np

VARIABLE = "FASTCAL_BENCH_HOOK"
SLOWER = 10
OFF = 1e-3


def install(environment: Mapping[str, str]) -> None:
    """Replace the kernel that the environment names, if it names one; raises ValueError where there is no such."""
    said = environment.get(VARIABLE, "")
    if not said:
        return
    from fastcal import kernels

    fault, _, name = said.partition(":")
    module_name, _, function_name = name.partition(".")
    module = getattr(kernels, module_name, None)
    if fault not in FAULTS or not callable(getattr(module, function_name, None)):
        raise ValueError(
            f"{VARIABLE}={said}: it takes slow:MODULE.FUNCTION or wrong:MODULE.FUNCTION of fastcal.kernels"
        )
    setattr(module, function_name, FAULTS[fault](getattr(module, function_name)))


def slowed(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The same kernel, which takes several times as long."""

    @functools.wraps(kernel)
    def call(*arguments: Any) -> Any:
        start = perf_counter()
        found = kernel(*arguments)
        sleep((SLOWER - 1) * (perf_counter() - start))
        return found

    return call


def spoilt(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The same kernel, whose results are slightly wrong; raises TypeError where none of them are floats."""

    @functools.wraps(kernel)
    def call(*arguments: Any) -> Any:
        filled = [
            one for one in arguments if isinstance(one, np.ndarray) and one.dtype.kind == "f" and one.flags.writeable
        ]
        before = [one.copy() for one in filled]
        found = kernel(*arguments)
        changed = [one for one, old in zip(filled, before, strict=True) if not np.array_equal(one, old, equal_nan=True)]
        for one in changed:
            np.multiply(one, one.dtype.type(1 + OFF), out=one)
        if isinstance(found, float | np.floating):
            return type(found)(found * (1 + OFF))
        if not changed:
            raise TypeError(f"{kernel.__name__} gave no floats that could be made wrong")
        return found

    return call


FAULTS = {"slow": slowed, "wrong": spoilt}
