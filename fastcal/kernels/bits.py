"""Bits of integers that neither NumPy nor Numba names."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from .intrinsics import _lowered


def plain_lowest_bit(word: Any) -> Any:
    """Which is the lowest bit of an int64 that is set; of 0 it says nothing."""
    return (int(word) & -int(word)).bit_length() - 1


@_lowered(plain_lowest_bit)
def lowest_bit(typingctx, word):
    def lower(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), lower
