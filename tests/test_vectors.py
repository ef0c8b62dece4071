"""The attribute of kernels that asks LLVM for whole vectors."""

from __future__ import annotations

from numba.core import types
from numba.core.compiler import Flags, compile_extra
from numba.core.registry import cpu_target

from fastcal.kernels import jit, vectors


def twice(x):
    return 2 * x


def test_a_kernel_has_the_attribute_and_other_code_has_not():
    """Compiled by hand, as nothing is with NUMBA_DISABLE_JIT=1 otherwise."""
    contexts = cpu_target.typing_context, cpu_target.target_context
    assert jit.OPTIONS["pipeline_class"] is vectors.KernelCompiler
    assert jit.INNER_OPTIONS["pipeline_class"] is vectors.KernelCompiler
    wide = compile_extra(*contexts, twice, (types.int64,), None, Flags(), {}, pipeline_class=vectors.KernelCompiler)
    assert vectors.WIDTH in wide.library.get_llvm_str()
    plain = compile_extra(*contexts, twice, (types.int64,), None, Flags(), {})
    assert vectors.WIDTH not in plain.library.get_llvm_str()
    assert wide.entry_point(21) == 42
