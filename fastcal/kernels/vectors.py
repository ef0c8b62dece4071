"""Vectors as wide as the processor's: of 512 bits where it has AVX-512.

LLVM halves them for the first processors with AVX-512, whose clock fell for them, and for some since: there kernels
over rows take a tenth to a fifth less time with whole ones. An attribute says so, of these kernels alone: neither
users' own code nor the options of their Numba are changed.
"""

from __future__ import annotations

from typing import Any

from numba.core.compiler import Compiler, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

WIDTH = '"prefer-vector-width"="512"'


class WideLower(Lower):
    """Numba's way from typed code to LLVM's, of functions with the attribute."""

    def setup_function(self, fndesc: Any) -> None:
        """Begin a function."""
        super().setup_function(fndesc)
        set.add(self.function.attributes, WIDTH)  # llvmlite's own `add` takes only names that it knows


@register_pass(mutates_CFG=True, analysis_only=False)
class WideLowering(NativeLowering):
    """The step of Numba's pipeline that makes LLVM's code."""

    _name = "wide_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        """What this step calls."""
        return WideLower


class KernelCompiler(Compiler):
    """Numba's pipeline for serial code with that one step in place of its own."""

    def define_pipelines(self) -> list[Any]:
        """The pipeline, the only one."""
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [(WideLowering if one is NativeLowering else one, name) for one, name in pipeline.passes]
        pipeline.finalize()
        return [pipeline]
