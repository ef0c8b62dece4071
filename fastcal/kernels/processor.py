"""What the processor for which Numba compiles can do, where kernels choose their way by it."""

from __future__ import annotations

import platform

from numba.core.registry import cpu_target

FEATURES = frozenset(str(cpu_target.target_context.codegen().magic_tuple()[2]).split(","))
IS_ARM64 = platform.machine().lower() in ("arm64", "aarch64")
# Fused multiply-add; of the processors of PCs only later ones have it.
FUSES = "+fma" in FEATURES or platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686", "x86")
# Products of bytes added in lanes of 32 bits, 64 at once, and what makes their masks.
ADDS_BYTES = {"+avx512vnni", "+avx512bw", "+fma"} <= FEATURES
