"""exp, log and log1p of one number, without branches or calls, so that loops over them vectorise.

Numba lost its vector math library in 0.62; ``math.exp`` in a loop is a scalar call (5 ns and more). These are
polynomials on a reduced range, with the powers of two moved in and out through the bits of the number:
conversions through int64 would not vectorise on AVX2, bit views do.

The coefficients are Chebyshev interpolants computed to 60 digits for this project; the argument reductions are
the classic ones (Cody and Waite, "Software Manual for the Elementary Functions", 1980; Tang 1990).
"""

from __future__ import annotations

import numpy as np

from .intrinsics import muladd
from .jit import by_dtype, inner

F32 = np.float32
F64 = np.float64
I32 = np.int32
I64 = np.int64

# 1.5 * 2^23 (2^52): adding it rounds to an integer, which then stands in the low bits of the sum.
_ROUND32 = F32(12582912.0)
_ROUND64 = F64(6755399441055744.0)
_ROUND32_BITS = I32(0x4B400000)
_ROUND64_BITS = I64(0x4338000000000000)
_LOG2E32, _LN2_HI32, _LN2_LO32 = F32(1.4426950408889634), F32(0.693359375), F32(-2.12194440e-4)
_LOG2E64, _LN2_HI64, _LN2_LO64 = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG2_E = 1.4426950408889634
_LOG2E_LO32, _LOG2E_LO64 = F32(1.9259629911e-08), 2.0355273740931033e-17


@inner
def _exp_near_0_32(r):
    """e^r for |r| <= log(2) / 2, within 0.06 ulp before rounding."""
    q = F32(0.00138143207239)
    q = q * r + F32(0.00836885106806)
    q = q * r + F32(0.0416684010808)
    q = q * r + F32(0.166665195241)
    q = q * r + F32(0.499999933731)
    q = q * r + F32(1.0)
    return q * r + F32(1.0)


@inner
def _exp_near_0_64(r):
    q = 2.50353684588469388005e-8
    q = q * r + 2.763195761596156065274e-7
    q = q * r + 2.75574782002766462773e-6
    q = q * r + 2.480148872432499818035e-5
    q = q * r + 1.984126962550081995952e-4
    q = q * r + 1.388888894733549757769e-3
    q = q * r + 8.333333333439189147925e-3
    q = q * r + 4.166666666651861148599e-2
    q = q * r + 1.66666666666665034343e-1
    q = q * r + 0.5000000000000011606165
    q = q * r + 1.0
    return q * r + 1.0


@inner
def _exp32(x):
    # Below -120 the result is 0 even before rounding to subnormals; above 90 it is inf. NaN passes through.
    x = F32(-120.0) if x < F32(-120.0) else x
    x = F32(90.0) if x > F32(90.0) else x
    shifted = x * _LOG2E32 + _ROUND32
    n = shifted - _ROUND32
    r = x - n * _LN2_HI32
    r = r - n * _LN2_LO32
    # 2^n in two steps, so that subnormal results and results just below overflow are right.
    # (Numba widens int32 arithmetic to int64; the casts narrow it again, or the loop would run at half the width.)
    power = I32(F32(shifted).view(I32) - _ROUND32_BITS)
    half = I32(power >> 1)
    return _exp_near_0_32(r) * I32((half + 127) << 23).view(F32) * I32((power - half + 127) << 23).view(F32)


@inner
def _exp64(x):
    x = -800.0 if x < -800.0 else x
    x = 720.0 if x > 720.0 else x
    shifted = x * _LOG2E64 + _ROUND64
    n = shifted - _ROUND64
    r = x - n * _LN2_HI64
    r = r - n * _LN2_LO64
    power = F64(shifted).view(I64) - _ROUND64_BITS
    # AVX2 has no arithmetic shift of 64-bit integers: shift a positive number, and say so with the mask.
    half = (((power + I64(4096)) >> I64(1)) & I64(0xFFFF)) - I64(2048)
    return _exp_near_0_64(r) * I64((half + 1023) << 52).view(F64) * I64((power - half + 1023) << 52).view(F64)


# exp_lifted: 2^(d log2(e) / T), the whole part of the exponent taken off within one fused product. Without fused
# products (processors before 2013) an e^d is off by up to an ulp a unit of d. Every power of two that an e^d in (0, 1]
# needs, subnormal results included, times 2^LIFT is a normal number in either precision: the rounding constant holds
# LIFT and the exponent's bias, and one shift makes the power.
LIFT = 100
LOWERED = 2.0**-LIFT
LOWEST = {F32: -120.0, F64: -777.0}  # where 2^20 times e^d is 0, and e^d 2^LIFT still a normal number
_LIFTED_ROUND32 = F32(12582912.0 + LIFT + 127)
_LIFTED_ROUND64 = F64(6755399441055744.0 + LIFT + 1023)


@inner
def _power_of_two32(f):
    """2^f for |f| <= 1/2, within 0.05 ulp before rounding."""
    q = F32(0.0001532737976699159)
    q = muladd(q, f, F32(0.001339090356261852))
    q = muladd(q, f, F32(0.009618507766562965))
    q = muladd(q, f, F32(0.0555035968436937))
    q = muladd(q, f, F32(0.2402264763644161))
    q = muladd(q, f, F32(0.6931471824645996))
    return muladd(q, f, F32(1.0))


@inner
def _power_of_two64(f):
    q = 4.438808000414845372e-10
    q = muladd(q, f, 7.073254040797640270e-9)
    q = muladd(q, f, 1.017816027070528214e-7)
    q = muladd(q, f, 1.321543869808947955e-6)
    q = muladd(q, f, 1.525273363381146848e-5)
    q = muladd(q, f, 1.540353044935149204e-4)
    q = muladd(q, f, 1.333355814654613874e-3)
    q = muladd(q, f, 9.618129107601316130e-3)
    q = muladd(q, f, 0.05550410866482172287)
    q = muladd(q, f, 0.2402265069591010910)
    q = muladd(q, f, 0.6931471805599452862)
    return muladd(q, f, 1.0)


@inner
def _lifted32(x, inverse, rest, bias):
    # scale + low = log2(e) (1 / T), to twice the digits; both are the same throughout a loop
    scale = inverse * _LOG2E32
    low = muladd(inverse, _LOG2E32, -scale) + (inverse * _LOG2E_LO32 + rest * _LOG2E32)
    shifted = muladd(x, scale, bias)
    f = muladd(x, scale, bias - shifted)
    # A product, where adding to the exponent would be cheaper: it keeps a NaN, whatever its payload.
    return _power_of_two32(muladd(x, low, f)) * I32(F32(shifted).view(I32) << 23).view(F32)


@inner
def _lifted64(x, inverse, rest, bias):
    scale = inverse * _LOG2E64
    low = muladd(inverse, _LOG2E64, -scale) + (inverse * _LOG2E_LO64 + rest * _LOG2E64)
    shifted = muladd(x, scale, bias)
    f = muladd(x, scale, bias - shifted)
    return _power_of_two64(muladd(x, low, f)) * I64(F64(shifted).view(I64) << I64(52)).view(F64)


@inner
def _exp_lifted32(d, inverse, rest):
    return _lifted32(d, inverse, rest, _LIFTED_ROUND32)


@inner
def _exp_lifted64(d, inverse, rest):
    return _lifted64(d, inverse, rest, _LIFTED_ROUND64)


@inner
def _log_normal32(x, extra):
    """log(x) - extra log 2 for a positive normal number."""
    # x = m 2^e with m in [sqrt(1/2), sqrt(2)); f = m - 1, log m = f - f^2 / 2 + f^3 R(f): without a division, which
    # would take longer than all of the polynomial.
    bits = I32(F32(x).view(I32) - 0x3F3504F3)
    e = F32(I32(bits >> 23)) - extra
    f = I32((bits & 0x7FFFFF) + 0x3F3504F3).view(F32) - F32(1.0)
    z = f * f
    r = F32(-0.0763444019989)
    r = r * f + F32(0.127635000092)
    r = r * f + F32(-0.131610925629)
    r = r * f + F32(0.142015637597)
    r = r * f + F32(-0.166232510786)
    r = r * f + F32(0.200012313584)
    r = r * f + F32(-0.250008238945)
    r = r * f + F32(0.333333316951)
    y = f * z * r
    y = e * F32(-2.12194440e-4) + y
    y = y - F32(0.5) * z
    return e * F32(0.693359375) + (f + y)


@inner
def _log32(x):
    subnormal = x < F32(1.17549435e-38)
    scaled = x * F32(33554432.0) if subnormal else x
    y = _log_normal32(scaled, F32(25.0) if subnormal else F32(0.0))
    y = F32(-np.inf) if x == F32(0.0) else y
    y = F32(np.nan) if x < F32(0.0) else y
    return x if not x < F32(np.inf) else y  # inf and NaN


@inner
def _log_normal64(x, extra):
    # f = m - 1 again, s = f / (2 + f), log m = 2 s + s R(s^2).
    bits = F64(x).view(I64) - I64(0x3FE6A09E667F3BCD)
    # e as a double without a conversion from int64: put it in the low bits of the rounding constant.
    e_biased = ((bits + I64(0x3FE0000000000000)) >> I64(52)) & I64(0x7FF)
    e = I64(e_biased + _ROUND64_BITS).view(F64) - _ROUND64
    e = e - (1022.0 + extra)
    f = I64((bits & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).view(F64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 0.13088034850927553675
    r = r * z + 0.13268638369266823894
    r = r * z + 0.15386244737621666605
    r = r * z + 0.18181795547521136235
    r = r * z + 0.22222222392581045097
    r = r * z + 0.28571428570799785031
    r = r * z + 0.40000000000000883236
    r = r * z + 0.66666666666666666463
    r = r * z
    half_square = 0.5 * f * f
    return e * _LN2_HI64 - ((half_square - (s * (half_square + r) + e * _LN2_LO64)) - f)


@inner
def _log64(x):
    subnormal = x < 2.2250738585072014e-308
    scaled = x * 18014398509481984.0 if subnormal else x
    y = _log_normal64(scaled, 54.0 if subnormal else 0.0)
    y = -np.inf if x == 0.0 else y
    y = np.nan if x < 0.0 else y
    return x if not x < np.inf else y


exp = by_dtype(float32=_exp32, float64=_exp64)
exp.__doc__ = "e^x, within 1 ulp."
exp_lifted = by_dtype(float32=_exp_lifted32, float64=_exp_lifted64)
exp_lifted.__doc__ = """``exp_lifted(d, 1 / T, rest)``: 2^LIFT e^(d / T), for d / T from LOWEST to 0.

``rest`` is what rounding took from 1 / T. Sums of such powers neither overflow nor become subnormal;
times LOWERED they are sums of e^(d / T), and ratios of them need not even that.
"""


@inner
def larger(a, b):
    """The larger number; where one is NaN, the first."""
    return b if b > a else a


@inner
def smaller(a, b):
    """The smaller number; where one is NaN, the first."""
    return b if b < a else a


@inner
def lost(z, m, d):
    """What the rounded difference ``d`` of z and m is short of z - m, exactly (TwoSum, Knuth 1969)."""
    taken = z - d
    return (z - (d + taken)) + (taken - m)


exp_shifted = by_dtype(float32=_lifted32, float64=_lifted64)
exp_shifted.__doc__ = "``exp_shifted(x, 1 / T, rest, bias)``: 2^n e^(x / T), a normal number; bias is rounding(x) + n."


@inner
def _rounding32(x):
    return _LIFTED_ROUND32 - F32(28.0)  # 2^72: what rounding takes of an inverse of their sum is a normal number, too


@inner
def _rounding64(x):
    return _LIFTED_ROUND64


rounding = by_dtype(float32=_rounding32, float64=_rounding64)
rounding.__doc__ = "``rounding(x)``, of the type of x: adding it rounds to an integer, and lifts a power of two."

log = by_dtype(float32=_log32, float64=_log64)
log_normal = by_dtype(float32=_log_normal32, float64=_log_normal64)
log_normal.__doc__ = (
    "``log_normal(x, extra)``: log(x) - extra log 2 of a positive normal number, within 1 ulp; no other."
)
log.__doc__ = "Natural logarithm, within 1 ulp; log 0 is -inf, of a negative number NaN."


@inner
def _log_of_share32(p):
    """log p of a positive normal number, within 4e-8 of itself before rounding: a fourth less time than 1 ulp of it.

    It is only taken of p in p log p, whose rounding is as large. log 1 is exactly 0.
    """
    bits = I32(F32(p).view(I32) - 0x3F3504F3)
    e = F32(I32(bits >> 23))
    f = I32((bits & 0x7FFFFF) + 0x3F3504F3).view(F32) - F32(1.0)
    r = F32(0.08533313083)
    r = r * f + F32(-0.142692582062)
    r = r * f + F32(0.149774012801)
    r = r * f + F32(-0.165779928968)
    r = r * f + F32(0.199559333584)
    r = r * f + F32(-0.250013521855)
    r = r * f + F32(0.333341932861)
    r = r * f + F32(-0.499999963822)
    r = r * f + F32(0.999999974132)
    return e * F32(0.69314718056) + r * f


@inner
def _log_of_share64(p):
    return _log_normal64(p, 0.0)


log_of_share = by_dtype(float32=_log_of_share32, float64=_log_of_share64)
log_of_share.__doc__ = "log p of a positive normal number, as good as p log p needs it."


@inner
def _log1p32(x):
    u = F32(1.0) + x
    # What rounding 1 + x lost, put back to first order (Kahan); for u = inf or 0 there is nothing to mend.
    lost = (x - (u - F32(1.0))) / u
    lost = lost if np.abs(lost) < F32(1.0) else F32(0.0)
    return _log32(u) + lost


@inner
def _log1p64(x):
    u = 1.0 + x
    lost = (x - (u - 1.0)) / u
    lost = lost if np.abs(lost) < 1.0 else 0.0
    return _log64(u) + lost


log1p = by_dtype(float32=_log1p32, float64=_log1p64)
log1p.__doc__ = "log(1 + x) for x >= -1, within 2 ulp."
