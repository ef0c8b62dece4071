"""float16 and bfloat16, whose bits arrive as uint16 and int16: to float32 and back, in registers.

Numba has no half floats on a CPU; the type of the integer says which of the two it is.
"""

from __future__ import annotations

import numpy as np

from .intrinsics import CONVERTS_HALF, float_of_half, half_of_float
from .jit import by_scores, inner

F32 = np.float32
I16 = np.int16
I32 = np.int32
U16 = np.uint16


@inner
def _same(x):
    return x


@inner
def _same_of(like, x):
    return x


@inner
def _float_of_half_bits(bits):
    """Without an instruction for it: move the exponent by a product, which makes normals of subnormals."""
    magnitude = I32((I32(bits) & 0x7FFF) << 13)
    scaled = F32(magnitude.view(F32) * F32(5.192296858534828e33)).view(I32)  # 2^112
    special = I32(0x7F800000) if magnitude >= 0x0F800000 else I32(0)  # inf and NaN
    return I32(scaled | special | I32((I32(bits) & 0x8000) << 16)).view(F32)


@inner
def _half_of_float_bits(x):
    """The nearest float16, ties to even, in integers."""
    bits = F32(x).view(I32)
    sign = (bits >> 16) & 0x8000
    magnitude = I32(bits & 0x7FFFFFFF)
    # normal: rebias and round to even on the 13 bits that go; a carry runs on into the exponent, up to infinity
    normal = (magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1)) >> 13
    # subnormal: adding 1/2 puts the last place of the half at that of the sum, which rounds to even itself
    small = F32(magnitude.view(F32) + F32(0.5)).view(I32) - 0x3F000000
    half = normal if magnitude >= 0x38800000 else small
    half = half if magnitude < 0x47800000 else 0x7C00  # from 65536 on; from 65520 on the carry has seen to it
    half = half if magnitude <= 0x7F800000 else 0x7E00
    return U16(sign | half)


@inner
def _float_of_bfloat(bits):
    return I32(I32(bits) << 16).view(F32)


@inner
def _bfloat_of_float(x):
    bits = F32(x).view(I32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    nan = ((bits >> 16) & 0x8000) | 0x7FC0
    return I16(rounded if (bits & 0x7FFFFFFF) <= 0x7F800000 else nan)


_float_of_half = float_of_half if CONVERTS_HALF else _float_of_half_bits
_half_of_float = half_of_float if CONVERTS_HALF else _half_of_float_bits


@inner
def _half_like(like, x):
    return _half_of_float(x)


@inner
def _bfloat_like(like, x):
    return _bfloat_of_float(x)


widen = by_scores(same=_same, half=_float_of_half, bfloat=_float_of_bfloat)
widen.__doc__ = "A score as the kernels compute with it: half floats as float32."
narrowed = by_scores(same=_same_of, half=_half_like, bfloat=_bfloat_like)
narrowed.__doc__ = "``narrowed(like, x)``: x rounded to the type that ``like`` has."


@inner
def _row_itself(row, floats, floats_read):
    return row


@inner
def _row_widened(row, floats, floats_read):
    for k in range(row.shape[0]):
        floats[np.uintp(k)] = widen(row[np.uintp(k)])
    return floats_read


floats_of = by_scores(same=_row_itself, half=_row_widened, bfloat=_row_widened)
floats_of.__doc__ = (
    "``floats_of(row, floats, floats_read)``: the row, or ``floats_read``, a view of where it was widened to."
)
