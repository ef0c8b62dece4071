"""The decorators behind every kernel: each option of Numba is decided here.

Kernels are serial, release the GIL, and are cached on disk. Threads come from the engine, never from
``parallel=True``: a serial kernel compiles five times faster and two Python threads over two halves of the
rows run as fast as ``prange``.

Fast-math is ``contract`` alone: fused multiply-add changes no special value, whereas ``reassoc`` deletes the
add-and-subtract rounding in ``exp`` and ``nnan`` breaks the rules about NaN.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import types
from numba.extending import overload

from . import caching
from .vectors import KernelCompiler

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "no_cfunc_wrapper": True,  # nothing calls kernels from C; a tenth of the time to compile
    "error_model": "numpy",
    "_nrt": False,  # kernels own no memory; without its reference counts they compile a tenth faster
    "fastmath": {"contract"},
    "pipeline_class": KernelCompiler,
}
INNER_OPTIONS = {**OPTIONS, "no_cpython_wrapper": True}
SIGNALS = signal.valid_signals()


def kernel(function: Function) -> Function:
    """Compile ``function`` at its first call, with the project's options, and keep it on disk."""
    compiled = _compiled(function, OPTIONS)
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        compiled.compile = _uninterrupted(compiled.compile)  # type: ignore[attr-defined]
    # A closure's name does not say what it closes over: its code is another one each time.
    if caching.is_enabled() and function.__closure__ is None and "<locals>" not in function.__qualname__:
        compiled._cache = caching.KernelCache(function)  # type: ignore[attr-defined]
    return compiled


def _uninterrupted(compile_for: Callable[..., Any]) -> Callable[..., Any]:
    """What compiles a kernel, or reads it from disk; signals' handlers run when it has ended.

    LLVM calls back into Python for the code that it made, or is to take. What a handler raises in there, such as
    KeyboardInterrupt, is printed and lost, and the code with it: a kernel that was read then crashes (Numba 0.68).
    """

    @functools.wraps(compile_for)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():  # no handler runs in another
            return compile_for(*args, **kwargs)
        came: dict[int, FrameType | None] = {}
        found = {number: signal.getsignal(number) for number in SIGNALS}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
        try:
            for number in handlers:
                signal.signal(number, came.__setitem__)
            return compile_for(*args, **kwargs)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for number, frame in came.items():
                handlers[number](number, frame)

    return compiled


def inner(function: Function) -> Function:
    """A kernel that only kernels call, and hold: no way in from Python (such a call would crash), none on disk."""
    return _compiled(function, INNER_OPTIONS)


def inlined(function: Function) -> Function:
    """An ``inner`` that is part of each of its callers: a call with ten arrays takes 10 ns."""
    return _compiled(function, {**INNER_OPTIONS, "forceinline": True})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # compiled code warns of no overflow either
        return np.errstate(all="ignore")(function)
    compiled: Function = numba.njit(**options)(function)
    return compiled


def by_dtype(*, float32: Function, float64: Function) -> Function:
    """One name for the float32 and the float64 version of a scalar function: its first argument decides."""

    def pick(*args: Any) -> Any:
        return (float32 if isinstance(args[0], np.float32) else float64)(*args)

    @overload(pick, jit_options=INNER_OPTIONS, strict=False)  # type: ignore[arg-type]
    def _typed(*args):
        chosen = float32 if args[0] == types.float32 else float64
        return lambda *args: chosen(*args)  # noqa: PLW0108 - Numba takes no compiled function here

    return pick  # type: ignore[return-value]


def by_scores(*, same: Function, half: Function, bfloat: Function) -> Function:
    """One name for the versions for floats, float16 (bits as uint16) and bfloat16 (bits as int16).

    The dtype of the first argument, a number or an array, decides.
    """

    def pick(*args: Any) -> Any:
        return {"uint16": half, "int16": bfloat}.get(args[0].dtype.name, same)(*args)

    @overload(pick, jit_options=INNER_OPTIONS, strict=False)  # type: ignore[arg-type]
    def _typed(*args):
        scores = getattr(args[0], "dtype", args[0])
        chosen = {types.uint16: half, types.int16: bfloat}.get(scores, same)
        if len(args) == 3:  # `floats_of`, which returns an argument: Numba must see that it is one
            return chosen.py_func  # type: ignore[attr-defined]
        return lambda *args: chosen(*args)  # noqa: PLW0108 - Numba takes no compiled function here

    return pick  # type: ignore[return-value]
