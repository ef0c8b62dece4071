"""Matrix products of what the caches hold, fused into kernels: sums of outer products in registers.

A library's product has threads of its own, which wait for each other busily: under load, called from several threads,
it was up to 30 times slower than alone; and its result leaves the cache before a softmax can be taken of it.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic  # noqa: F401 - what `_lowered` decorates with

from .intrinsics import LINE, _lowered
from .jit import inner

ROWS = 6  # of a tile, each of 1 or WIDE cache lines of numbers: 24 of the 32 registers of 512 bits, 12 of 16 of 256


def _wide() -> int:
    features = cpu_target.target_context.codegen().magic_tuple()[2]
    return 4 if "+avx512f" in str(features) or platform.machine().lower() in ("arm64", "aarch64") else 1


WIDE = _wide()


def plain_tile(
    a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_step: Any, c: Any, c_at: Any, c_row: Any, n: Any
) -> None:
    """c[c_at + r c_row + l] += sum over i < n of a[a_at + r a_row + i a_step] b[b_at + i b_step + l].

    For r < ROWS and l over one cache line of numbers; arrays are flat, of floats of one type.
    """
    _plain(1, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n)


def plain_wide_tile(
    a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_step: Any, c: Any, c_at: Any, c_row: Any, n: Any
) -> None:
    """As ``tile``, of WIDE cache lines."""
    _plain(WIDE, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n)


def _plain(
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
    left = a[a_at + a_row * np.arange(ROWS)[:, None] + a_step * steps]
    right = b[b_at + b_step * steps[:, None] + np.arange(size)]
    c[c_at + c_row * np.arange(ROWS)[:, None] + np.arange(size)] += left @ right


def _lower(n_lines: int) -> Any:
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
        for r in range(ROWS):
            at = builder.add(args[8], builder.mul(args[9], ir.Constant(index, r)))
            into += [place(7, builder.add(at, ir.Constant(index, v * size))) for v in range(n_lines)]
        before = [builder.load(pointer, align=aligned) for pointer in into]
        rows = [builder.add(args[1], builder.mul(args[2], ir.Constant(index, r))) for r in range(ROWS)]
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
        for r in range(ROWS):
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


def _signature(a: Any, b: Any, c: Any) -> Any:
    return types.void(a, *[types.intp] * 3, b, *[types.intp] * 2, c, *[types.intp] * 3)


@_lowered(plain_tile)
def tile(typingctx, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n):
    return _signature(a, b, c), _lower(1)


@_lowered(plain_wide_tile)
def wide_tile(typingctx, a, a_at, a_row, a_step, b, b_at, b_step, c, c_at, c_row, n):
    return _signature(a, b, c), _lower(WIDE)


@inner
def add_product(n_rows, width, a, a_row, a_step, b, b_at, b_step, c, c_row, n, upper):
    """c[r c_row + l] += sum over i < n of a[r a_row + i a_step] b[b_at + i b_step + l], r < n_rows, l < width.

    All is done in whole tiles: rows of ``a`` and ``c`` up to the next multiple of ROWS, and lines up to the next
    multiple of LINE bytes, have to exist; what they hold beyond is arbitrary. Where ``upper``, tiles are
    left out that lie below the diagonal.
    """
    size = np.int64(LINE // c.itemsize)
    wide = size * WIDE
    for at in range(0, width - width % wide, wide):
        for r in range(0, n_rows, ROWS):
            if upper and at + wide <= r:
                break
            wide_tile(a, r * a_row, a_row, a_step, b, b_at + at, b_step, c, r * c_row + at, c_row, n)
    for at in range(width - width % wide, width, size):
        for r in range(0, n_rows, ROWS):
            if upper and at + size <= r:
                break
            tile(a, r * a_row, a_row, a_step, b, b_at + at, b_step, c, r * c_row + at, c_row, n)


def padded(n: int, to: int) -> int:
    """The next multiple."""
    return -(-n // to) * to
