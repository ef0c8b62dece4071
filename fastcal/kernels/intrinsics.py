"""What NumPy and Numba cannot say: fused multiply-add, half floats in registers, stores that pass the caches by.

Each has a plain twin for NUMBA_DISABLE_JIT=1 that computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .processor import FEATURES, IS_ARM64

LINE = 64  # bytes that `stream` stores at once: a cache line


def _lowered(plain: Callable[..., Any]) -> Callable[[Any], Any]:
    """Put a decorated intrinsic in place of ``plain``, unless nothing is compiled."""
    return lambda typed: plain if numba.config.DISABLE_JIT else intrinsic(typed)  # type: ignore[attr-defined]


def plain_muladd(a: Any, b: Any, c: Any) -> Any:
    """a b + c of three numbers of one type, rounded once where the processor can: which product is fused is said."""
    if type(a) is np.float32:  # whose product is exact in float64
        return np.float32(np.float64(a) * np.float64(b) + np.float64(c))
    if isinstance(a, float):
        return np.float64(np.longdouble(a) * b + c)
    wider = np.float64 if a.dtype == np.float32 else np.longdouble
    return (np.multiply(a, b, dtype=wider) + c).astype(a.dtype)


@_lowered(plain_muladd)
def muladd(typingctx, a, b, c):
    def lower(context, builder, signature, args):
        kind = args[0].type
        name = f"llvm.fmuladd.{'f32' if a == types.float32 else 'f64'}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, args)

    return a(a, a, a), lower


def _converts_half() -> bool:
    """Whether the processor for which Numba compiles converts half floats in registers."""
    return "+f16c" in FEATURES or IS_ARM64


CONVERTS_HALF = _converts_half()


def plain_float_of_half(bits: Any) -> Any:
    """The float32 that the float16 with these bits (uint16) stands for; only where ``CONVERTS_HALF``."""
    return np.float32(np.uint16(bits).view(np.float16))


@_lowered(plain_float_of_half)
def float_of_half(typingctx, bits):
    def lower(context, builder, signature, args):
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), lower


def plain_half_of_float(x: Any) -> Any:
    """The bits (uint16) of the float16 nearest to a float32; only where ``CONVERTS_HALF``."""
    return np.float32(x).astype(np.float16).view(np.uint16)


@_lowered(plain_half_of_float)
def half_of_float(typingctx, x):
    def lower(context, builder, signature, args):
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), lower


def plain_stream(source: Any, start: Any, factor: Any, rest: Any, target: Any, place: Any) -> None:
    """Store ``LINE`` bytes of ``source * (factor + rest)`` from element ``start`` in ``target`` at ``place``, uncached.

    Both are contiguous arrays of floats of one type; the place in ``target`` is aligned to ``LINE`` bytes. An ordinary
    store first reads the line that it overwrites: a result larger than the caches takes a third less traffic this way.
    """
    n = LINE // target.itemsize
    target[place : place + n] = plain_muladd(source[start : start + n], factor, source[start : start + n] * rest)


@_lowered(plain_stream)
def stream(typingctx, source, start, factor, rest, target, place):
    def lower(context, builder, signature, args):
        n = LINE * 8 // source.dtype.bitwidth
        line = ir.VectorType(args[2].type, n)
        from_ = context.make_array(signature.args[0])(context, builder, args[0])
        into = context.make_array(signature.args[4])(context, builder, args[4])
        read = builder.bitcast(builder.gep(from_.data, [args[1]]), line.as_pointer())
        written = builder.bitcast(builder.gep(into.data, [args[5]]), line.as_pointer())
        numbers = builder.load(read, align=source.dtype.bitwidth // 8)
        factors = [ir.Constant(line, ir.Undefined)] * 2
        for i in range(n):
            lane = ir.Constant(ir.IntType(32), i)
            factors = [builder.insert_element(f, args[2 + k], lane) for k, f in enumerate(factors)]
        name = f"llvm.fmuladd.v{n}f{source.dtype.bitwidth}"
        fused = cgutils.get_or_insert_function(builder.module, ir.FunctionType(line, [line] * 3), name)
        scaled = builder.call(fused, [numbers, factors[0], builder.fmul(numbers, factors[1])])
        store = builder.store(scaled, written, align=LINE)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(source, types.intp, source.dtype, source.dtype, target, types.intp), lower


def plain_turn_tile(source: Any, start: Any, stride: Any, target: Any, place: Any, step: Any) -> None:
    """Turn a square tile: ``LINE`` bytes of numbers at ``start``, and of each next ``stride`` further, as columns.

    Column k goes to ``place + k step`` of ``target``. Both arrays are contiguous, of floats of one type. A tile is read
    and written whole, whatever of it is wanted.
    """
    n = LINE // target.itemsize
    flat = source.reshape(-1)
    for k in range(n):  # column by column: one may end where the next begins
        for i in range(n):
            target[place + k * step + i] = flat[start + i * stride + k]


@_lowered(plain_turn_tile)
def turn_tile(typingctx, source, start, stride, target, place, step):
    def lower(context, builder, signature, args):
        n = LINE * 8 // source.dtype.bitwidth
        aligned = source.dtype.bitwidth // 8
        line = ir.VectorType(context.get_value_type(source.dtype), n)
        lanes = ir.VectorType(ir.IntType(32), n)
        from_ = context.make_array(signature.args[0])(context, builder, args[0]).data
        into = context.make_array(signature.args[3])(context, builder, args[3]).data
        rows = []
        at = args[1]
        for _ in range(n):
            rows.append(builder.load(builder.bitcast(builder.gep(from_, [at]), line.as_pointer()), align=aligned))
            at = builder.add(at, args[2])
        half = n // 2
        while half:  # exchange the off-diagonal quarters, then those of each quarter (Eklundh 1972)
            for i in (i for i in range(n) if not i & half):
                pair = rows[i], rows[i | half]
                upper = [n + (k ^ half) if k & half else k for k in range(n)]
                lower_ = [n + k if k & half else k ^ half for k in range(n)]
                rows[i] = builder.shuffle_vector(*pair, ir.Constant(lanes, upper))
                rows[i | half] = builder.shuffle_vector(*pair, ir.Constant(lanes, lower_))
            half //= 2
        at = args[4]
        for row in rows:
            builder.store(row, builder.bitcast(builder.gep(into, [at]), line.as_pointer()), align=aligned)
            at = builder.add(at, args[5])
        return context.get_dummy_value()

    return types.void(source, *[types.intp] * 2, target, *[types.intp] * 2), lower


def plain_prefetch(array: Any, place: Any) -> None:
    """Ask for the cache line of an element that will be read soon; it need not exist."""


@_lowered(plain_prefetch)
def prefetch(typingctx, array, place):
    def lower(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, *[ir.IntType(32)] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # to be read, into the first-level cache, data
        builder.call(function, [pointer, *(ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), lower


WORD = 64  # numbers that ``above`` compares at once


def plain_above(source: Any, start: Any, limit: Any) -> Any:
    """Which of the WORD numbers from ``start`` on are above a limit: bit i of an int64 says of number i.

    A compiler that is asked how many are, in a loop, adds up lanes; this is comparisons whose masks are moved.
    """
    return np.packbits(source[start : start + WORD] > limit, bitorder="little").view(np.int64)[0]


@_lowered(plain_above)
def above(typingctx, source, start, limit):
    def lower(context, builder, signature, args):
        return builder.bitcast(_mask(context, builder, ">", WORD, signature, args), ir.IntType(WORD))

    return types.int64(source, types.intp, source.dtype), lower


def _mask(context: Any, builder: Any, predicate: str, n: int, signature: Any, args: Any) -> Any:
    """How ``n`` numbers of an array compare with one: a bit each."""
    source = signature.args[0]
    kind = context.get_value_type(source.dtype)
    line = ir.VectorType(kind, n)
    from_ = context.make_array(source)(context, builder, args[0]).data
    read = builder.bitcast(builder.gep(from_, [args[1]]), line.as_pointer())
    undefined = ir.Constant(line, ir.Undefined)
    first = builder.insert_element(undefined, args[2], ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), n), [0] * n)
    limits = builder.shuffle_vector(first, undefined, lanes)
    return builder.fcmp_ordered(predicate, builder.load(read, align=source.dtype.bitwidth // 8), limits)


PEAK = 64  # numbers that ``peak`` takes at once


def plain_peak(source: Any, stop: Any) -> Any:
    """The largest of the first numbers, a multiple of PEAK of them; NaN is passed over, -inf of none.

    Loops that say this in Numba are unrolled into scalar maxima (200 against 20 ns of 1000 float32).
    """
    m = source.dtype.type(-np.inf)
    for x in source[:stop]:
        m = x if x > m else m
    return m


@_lowered(plain_peak)
def peak(typingctx, source, stop):
    def lower(context, builder, signature, args):
        n = LINE * 8 // source.dtype.bitwidth
        line = ir.VectorType(context.get_value_type(source.dtype), n)
        from_ = context.make_array(signature.args[0])(context, builder, args[0]).data
        index = args[1].type
        least = ir.Constant(line, [ir.Constant(line.element, float("-inf"))] * n)

        def larger(new: Any, old: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", new, old), new, old)

        entry = builder.block
        loop, body, end = (builder.append_basic_block(f"peak.{name}") for name in ("loop", "body", "end"))
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(index)
        i.add_incoming(ir.Constant(index, 0), entry)
        most = [builder.phi(line) for _ in range(PEAK // n)]
        builder.cbranch(builder.icmp_signed("<", i, args[1]), body, end)
        builder.position_at_end(body)
        for k, one in enumerate(most):
            at = builder.bitcast(builder.gep(from_, [builder.add(i, ir.Constant(index, k * n))]), line.as_pointer())
            one.add_incoming(least, entry)
            one.add_incoming(larger(builder.load(at, align=source.dtype.bitwidth // 8), one), body)
        i.add_incoming(builder.add(i, ir.Constant(index, PEAK)), body)
        builder.branch(loop)
        builder.position_at_end(end)
        while len(most) > 1:
            most = [larger(*most[k : k + 2]) for k in range(0, len(most), 2)]
        m = most[0]
        while n > 1:
            n //= 2
            lanes = [ir.Constant(ir.VectorType(ir.IntType(32), n), [k + half for k in range(n)]) for half in (0, n)]
            m = larger(*(builder.shuffle_vector(m, ir.Constant(m.type, ir.Undefined), half) for half in lanes))
        return builder.extract_element(m, ir.Constant(ir.IntType(32), 0))

    return source.dtype(source, types.intp), lower


def plain_place_of(source: Any, start: Any, number: Any) -> Any:
    """Which of the PEAK numbers from ``start`` on is the first that equals another; PEAK: none."""
    found = np.flatnonzero(source[start : start + PEAK] == number)
    return found[0] if found.size else PEAK


@_lowered(plain_place_of)
def place_of(typingctx, source, start, number):
    def lower(context, builder, signature, args):
        mask = builder.bitcast(_mask(context, builder, "==", PEAK, signature, args), ir.IntType(PEAK))
        return builder.cttz(mask, ir.Constant(ir.IntType(1), 0))

    return types.int64(source, types.intp, source.dtype), lower


TILE_ROWS = (
    6  # of a tile, each of 1 or TILE_LINES cache lines of numbers: 24 of the 32 registers of 512 bits, 12 of 16 of 256
)


def _wide_tile_lines() -> int:
    return 4 if "+avx512f" in FEATURES or IS_ARM64 else 1


TILE_LINES = _wide_tile_lines()


def plain_tile(
    a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_step: Any, c: Any, c_at: Any, c_row: Any, n: Any
) -> None:
    """c[c_at + r c_row + l] += sum over i < n of a[a_at + r a_row + i a_step] b[b_at + i b_step + l].

    For r < TILE_ROWS and l over one cache line of numbers; arrays are flat, of floats of one type.
    """
    _plain_tile(1, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n)


def plain_wide_tile(
    a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_step: Any, c: Any, c_at: Any, c_row: Any, n: Any
) -> None:
    """As ``tile``, of TILE_LINES cache lines."""
    _plain_tile(TILE_LINES, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n)


def _plain_tile(
    lines: int,
    a: Any,
    a_at: Any,
    a_row: Any,
    a_step: Any,
    b: Any,
    b_at: Any,
    b_step: Any,
    c: Any,
    c_at: Any,
    c_row: Any,
    n: Any,
) -> None:
    size = lines * LINE // c.itemsize
    steps = np.arange(n)
    left = a[a_at + a_row * np.arange(TILE_ROWS)[:, None] + a_step * steps]
    right = b[b_at + b_step * steps[:, None] + np.arange(size)]
    c[c_at + c_row * np.arange(TILE_ROWS)[:, None] + np.arange(size)] += left @ right


def _lower_tile(n_lines: int) -> Any:
    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = {i: context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 4, 7)}
        kind = signature.args[0].dtype
        size = LINE * 8 // kind.bitwidth
        line = ir.VectorType(context.get_value_type(kind), size)
        index = args[1].type
        aligned = kind.bitwidth // 8
        name = f"llvm.fmuladd.v{size}f{kind.bitwidth}"
        muladd = cgutils.get_or_insert_function(builder.module, ir.FunctionType(line, [line] * 3), name)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), size), [0] * size)

        def place(array: int, at: Any) -> Any:
            return builder.bitcast(builder.gep(arrays[array], [at]), line.as_pointer())

        into = []
        for r in range(TILE_ROWS):
            at = builder.add(args[8], builder.mul(args[9], ir.Constant(index, r)))
            into += [place(7, builder.add(at, ir.Constant(index, v * size))) for v in range(n_lines)]
        before = [builder.load(pointer, align=aligned) for pointer in into]
        rows = [builder.add(args[1], builder.mul(args[2], ir.Constant(index, r))) for r in range(TILE_ROWS)]
        entry, loop, end = builder.block, builder.append_basic_block("tile"), builder.append_basic_block("tile.end")
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(index)
        i.add_incoming(ir.Constant(index, 0), entry)
        sums = []
        for start in before:
            one = builder.phi(line)
            one.add_incoming(start, entry)
            sums.append(one)
        at = builder.add(args[5], builder.mul(args[6], i))
        right = [
            builder.load(place(4, builder.add(at, ir.Constant(index, v * size))), align=aligned) for v in range(n_lines)
        ]
        step = builder.mul(args[3], i)
        after = []
        for r in range(TILE_ROWS):
            number = builder.load(builder.gep(arrays[0], [builder.add(rows[r], step)]), align=aligned)
            undefined = ir.Constant(line, ir.Undefined)
            first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
            left = builder.shuffle_vector(first, undefined, lanes)
            after += [builder.call(muladd, [left, right[v], sums[r * n_lines + v]]) for v in range(n_lines)]
        following = builder.add(i, ir.Constant(index, 1))
        i.add_incoming(following, loop)
        for one, new in zip(sums, after, strict=True):
            one.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[10]), loop, end)
        builder.position_at_end(end)
        for pointer, new in zip(into, after, strict=True):
            builder.store(new, pointer, align=aligned)
        return context.get_dummy_value()

    return lower


def _tile_signature(a: Any, b: Any, c: Any) -> Any:
    return types.void(a, *[types.intp] * 3, b, *[types.intp] * 2, c, *[types.intp] * 3)


@_lowered(plain_tile)
def tile(typingctx, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n):
    return _tile_signature(a, b, c), _lower_tile(1)


@_lowered(plain_wide_tile)
def wide_tile(typingctx, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n):
    return _tile_signature(a, b, c), _lower_tile(TILE_LINES)
