"""Functions of fastcal.jit inside users' own: compiled in any way, in closures and ufuncs, on threads, and cached."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal import jit

N = 400 if JIT else 6
RNG = np.random.default_rng(0)
Z = RNG.standard_normal((N, 7)).astype(np.float32) * 3
Y = RNG.integers(0, 7, N)
P = fc.softmax(Z)


def losses(labels, probs):
    """A caller with memory of its own, a loop that may be shared, and slices."""
    out = np.empty(len(labels), probs.dtype)
    for i in numba.prange(len(labels)):
        out[i] = jit.nll(labels[i], probs[i])
    return out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"parallel": True},
        {"fastmath": True, "nogil": True},
        {"boundscheck": True, "error_model": "numpy"},
        {"inline": "always"},
        {"forceinline": True},
    ],
    ids=str,
)
def test_callers_of_any_kind(options):
    found = numba.njit(**options)(losses)(Y, P)
    assert found.tolist() == [float(jit.nll(label, row)) for label, row in zip(Y, P, strict=True)]


def test_rows_shared_among_threads_have_the_bits_of_the_public_function():
    @numba.njit(parallel=True)
    def normalised(logits):
        out = logits.copy()
        for i in numba.prange(len(logits)):
            jit.softmax(out[i], out[i])
        return out

    assert normalised(Z).tolist() == P.tolist()


def test_a_function_handed_to_a_closure():
    def mean_of(measure):
        @numba.njit
        def mean(labels, probs):
            total = 0.0
            for i in range(len(labels)):
                total += measure(labels[i], probs[i])
            return total / len(labels)

        return mean

    assert mean_of(jit.nll)(Y, P) == pytest.approx(fc.nll(Y, P), rel=1e-6)


@pytest.mark.skipif(not JIT, reason="ufuncs are compiled in any case, but what they call is not")
def test_ufuncs():
    @numba.vectorize
    def bin_of(p, n_bins):
        return jit.uniform_bin_index(p, n_bins)

    @numba.guvectorize(["(int64, float32[:], float32[:])"], "(),(k)->()")
    def loss(label, row, out):
        out[0] = jit.nll(label, row)

    assert bin_of(P[:, 0], 15).tolist() == [jit.uniform_bin_index(p, 15) for p in P[:, 0]]
    assert loss(Y, P).tolist() == numba.njit(losses)(Y, P).tolist()


def test_elementary_functions_in_a_loop_take_vectors():
    @numba.njit
    def powers(x, out):
        for i in range(len(x)):
            out[i] = jit.exp(x[i])

    out = np.empty(N, np.float32)
    powers(Z[:, 0].copy(), out)
    np.testing.assert_array_max_ulp(out, np.exp(Z[:, 0].astype(np.float64)).astype(np.float32), 1)
    if JIT:
        (assembly,) = powers.inspect_asm().values()
        assert re.search(r"fmadd\d+ps|mulps|fmla\tv", assembly)
        assert not re.search(r"call\S*\s+\S*expf", assembly)


def test_what_is_no_row_is_refused_where_the_caller_is_compiled():
    @numba.njit
    def total(rows):
        return jit.logsumexp(rows)

    with pytest.raises(TypeError, match="expected a row, a 1-D array of float32 or float64, not"):
        total(np.ones((2, 2)))


USER = """
import numba
import numpy as np
from fastcal import jit


@numba.njit(cache=True)
def direct(x):
    return jit.from_bfloat16(x)


@numba.njit(cache=True, parallel=True)
def threaded(x):
    total = 0.0
    for i in numba.prange(4):
        total += jit.from_bfloat16(x)
    return total


@numba.njit
def own_helper(x):
    return jit.from_bfloat16(x)


@numba.njit(cache=True)
def through_a_helper(x):
    return own_helper(x)


CALLERS = (direct, threaded, through_a_helper)
one = np.uint16(0x3F80)
print(*[int(caller(one)) for caller in CALLERS], *[sum(caller.stats.cache_hits.values()) for caller in CALLERS])
"""


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_cached_callers_run_no_stale_code_after_an_upgrade(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(fc.__file__).parent, tmp_path / "fastcal", ignore=ignored)
    user = tmp_path / "user.py"
    user.write_text(USER)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FASTCAL", "NUMBA", "PYTHONPATH"))}
    own = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tmp_path)}

    def run():
        command = [sys.executable, str(user)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean | own)
        return [int(word) for word in done.stdout.split()]

    assert run() == [1, 4, 1, 0, 0, 0]
    assert run() == [1, 4, 1, 1, 1, 1], "the second process loads all from the cache"
    kernels = tmp_path / "fastcal" / "kernels" / "interface_bins.py"
    text = kernels.read_text()
    kernels.write_text(text.replace("return widen(np.int16(bits))", "return widen(np.int16(bits)) + np.float32(1)"))
    assert run() == [2, 8, 2, 0, 0, 0], "the user's file is the same, the kernels are not"
    assert run() == [2, 8, 2, 1, 1, 1]
