"""Sums of bytes where other bytes are a given one: how rows are counted in few bins without a store a row.

A processor that multiplies bytes and adds four products to each 32-bit lane of a vector (AVX-512 VNNI) takes 64 rows at
once; for others nothing here is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from .intrinsics import LINE, _lowered

LANES = LINE // 4


def plain_add_bytes(places: Any, place: Any, planes: Any, size: Any, stop: Any, sums: Any, at: Any) -> None:
    """Add, to LANES numbers of ``sums`` from ``at`` on, how many of the bytes of ``places`` are ``place``.

    And to as many behind them the bytes of the first plane where they are, and so on for each plane: ``planes`` holds
    ``size`` words of 32 bits of each, ``places`` and of each plane the first ``stop`` are read, whole cache lines. Lane
    l takes words l, l + LANES, ...
    """
    found = places[:stop].view(np.uint8) == place
    for plane in range(planes.size // size + 1):
        given = np.ones(stop * 4, np.uint8) if plane == 0 else planes[(plane - 1) * size :][:stop].view(np.uint8)
        lanes = (given * found).reshape(-1, LANES, 4).sum(axis=(0, 2))
        sums[at + plane * LANES : at + (plane + 1) * LANES] += lanes.astype(np.uint32)


PLANES = 5


@_lowered(plain_add_bytes)
def add_bytes(typingctx, places, place, planes, size, stop, sums, at):
    def lower(context, builder, signature, args):
        pointers = [context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 5)]
        word = ir.IntType(32)
        line, bytes_ = ir.VectorType(word, LANES), ir.VectorType(ir.IntType(8), LINE)
        index = args[6].type
        kind = ir.FunctionType(line, [line] * 3)
        add = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
        zeros = ir.Constant(ir.VectorType(word, LINE), [0] * LINE)
        undefined = ir.Constant(bytes_, ir.Undefined)
        narrow = builder.trunc(args[1], ir.IntType(8))
        wanted = builder.shuffle_vector(
            builder.insert_element(undefined, narrow, ir.Constant(word, 0)), undefined, zeros
        )
        ones = ir.Constant(line, [0x01010101] * LANES)

        def pointer(array: int, at: Any) -> Any:
            return builder.bitcast(builder.gep(pointers[array], [at]), line.as_pointer())

        into = [pointer(2, builder.add(args[6], ir.Constant(index, q * LANES))) for q in range(PLANES + 1)]
        before = [builder.load(one, align=4) for one in into]
        entry, loop, end = builder.block, builder.append_basic_block("bytes"), builder.append_basic_block("bytes.end")
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(index)
        i.add_incoming(ir.Constant(index, 0), entry)
        totals = []
        for start in before:
            one = builder.phi(line)
            one.add_incoming(start, entry)
            totals.append(one)
        here = builder.bitcast(builder.load(pointer(0, i), align=4), bytes_)
        mask = builder.bitcast(builder.zext(builder.icmp_unsigned("==", here, wanted), bytes_), line)
        after = []
        for q, total in enumerate(totals):
            at = builder.add(i, builder.mul(args[3], ir.Constant(index, q - 1)))
            given = builder.load(pointer(1, at), align=4) if q else ones
            after.append(builder.call(add, [total, given, mask]))
        following = builder.add(i, ir.Constant(index, LANES))
        i.add_incoming(following, loop)
        for total, new in zip(totals, after, strict=True):
            total.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[4]), loop, end)
        builder.position_at_end(end)
        for one, new in zip(into, after, strict=True):
            builder.store(new, one, align=4)
        return context.get_dummy_value()

    return types.void(places, types.uint8, planes, *[types.intp] * 2, sums, types.intp), lower
