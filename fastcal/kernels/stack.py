"""What kernels that others compile into their own functions need: scratch on the stack, a word on types, a stamp.

Each intrinsic has a plain twin for NUMBA_DISABLE_JIT=1, as in intrinsics.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError

from .caching import fingerprint
from .intrinsics import LINE, _lowered

FLOATS = (types.float32, types.float64)


def plain_stack(like: Any, size: Any) -> Any:
    """``size`` numbers, a constant, of the dtype of an array: scratch on the stack, filled with nothing.

    A function that takes memory from the heap could not be compiled without Numba's runtime, nor be called in a loop
    for 2 ns. The scratch ends with the function that asked for it.
    """
    return np.empty(size, like.dtype)


@_lowered(plain_stack)
def stack(typingctx, like, size):
    if not isinstance(size, types.IntegerLiteral):
        raise TypingError("a size on the stack is a constant")
    array = types.Array(like.dtype, 1, "C")
    n = size.literal_value

    def lower(context, builder, signature, args):
        kind = ir.ArrayType(context.get_data_type(array.dtype), n)
        with builder.goto_entry_block():  # once a call, not once a round of a loop
            space = builder.alloca(kind)
            space.align = LINE
        made = context.make_array(array)(context, builder)
        item = context.get_abi_sizeof(kind.element)
        context.populate_array(
            made,
            data=builder.bitcast(space, made.data.type),
            shape=[context.get_constant(types.intp, n)],
            strides=[context.get_constant(types.intp, item)],
            itemsize=context.get_constant(types.intp, item),
            meminfo=None,
        )
        return made._getvalue()

    return array(like, size), lower


class Stamp:
    """The kernels that a function was compiled with, kept in what Numba caches of it.

    Numba stamps a cached function with the file that it stands in, not with the functions that were compiled into it:
    after an upgrade of fastcal a user's ``cache=True`` function would run the old kernels. This object lies among the
    constants of each kernel of fastcal.jit, which Numba stores with every function that calls one. Read back beside
    other kernels it raises OSError, which Numba takes for a file that has gone: it compiles anew. (Its name and place
    stay for ever, for they stand in users' caches.)
    """

    def __reduce__(self) -> tuple[Callable[[str], Stamp], tuple[str]]:
        return still_current, (fingerprint(),)


def still_current(kernels: str) -> Stamp:
    """The stamp, if the kernels that it was made with are those of this process."""
    if kernels != fingerprint():
        raise OSError("compiled with other kernels of fastcal")
    return Stamp()


def plain_stamped() -> None:
    """Put the stamp into what calls this."""


@_lowered(plain_stamped)
def stamped(typingctx):
    def lower(context, builder, signature, args):
        context.environment.consts.append(Stamp())
        return context.get_dummy_value()

    return types.void(), lower


def _refused(problem: str, accepted: bool) -> None:
    if not accepted:  # not a TypingError, after which Numba goes on and finds more errors that say less
        raise TypeError(f"fastcal.jit: {problem}")


def _is_floats(array: Any, dims: int) -> bool:
    return isinstance(array, types.Array) and array.ndim == dims and array.dtype in FLOATS


def _row(row: Any) -> None:
    _refused(f"expected a row, a 1-D array of float32 or float64, not {row}", _is_floats(row, 1))


def _rows(rows: Any) -> None:
    good = _is_floats(rows, 2) and rows.layout == "C"
    _refused(f"expected rows, a C-contiguous 2-D array of float32 or float64, not {rows}", good)


def _target(given: Any, out: Any) -> None:
    like = isinstance(out, types.Array) and (out.ndim, out.dtype) == (given.ndim, given.dtype) and out.mutable
    like = like and (out.ndim == 1 or out.layout == "C")
    _refused(f"expected an array for results that can be written, like {given}, not {out}", like)


def plain_takes_row(row: Any) -> None:
    """Refuse what is not a row of floats, when something is compiled: it costs nothing when it runs."""
    _row(numba.typeof(row))


@_lowered(plain_takes_row)
def takes_row(typingctx, row):
    _row(row)
    return types.void(row), _nothing


def plain_takes_rows(rows: Any) -> None:
    """Refuse what are not rows of floats, one after the other in memory."""
    _rows(numba.typeof(rows))


@_lowered(plain_takes_rows)
def takes_rows(typingctx, rows):
    _rows(rows)
    return types.void(rows), _nothing


def plain_takes_target(given: Any, out: Any) -> None:
    """Refuse what results like the array that was given cannot be written to."""
    _target(numba.typeof(given), numba.typeof(out))


@_lowered(plain_takes_target)
def takes_target(typingctx, given, out):
    _target(given, out)
    return types.void(given, out), _nothing


def _nothing(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return context.get_dummy_value()
