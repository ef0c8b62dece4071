"""Systems of linear equations of a few hundred unknowns: a library's threads would take longer to wake up."""

from __future__ import annotations

import numpy as np

from .jit import kernel


@kernel
def factorise(a):
    """Write R with R^T R = A over the upper triangle of a symmetric ``a`` (n, n); returns whether it is positive."""
    n = a.shape[0]
    for j in range(n):
        if not a[j, j] > 0.0:
            return False
        factor = 1.0 / np.sqrt(a[j, j])
        for i in range(j, n):
            a[j, np.uintp(i)] *= factor
        for i in range(j + 1, n):
            share = a[j, i]
            for k in range(i, n):
                a[np.uintp(i), np.uintp(k)] -= share * a[np.uintp(j), np.uintp(k)]
    return True


@kernel
def solve(r, b):
    """Write the x of R^T R x = b over ``b`` (n,)."""
    n = r.shape[0]
    for j in range(n):
        b[j] /= r[j, j]
        for i in range(j + 1, n):
            b[np.uintp(i)] -= b[j] * r[np.uintp(j), np.uintp(i)]
    for j in range(n - 1, -1, -1):
        total = b[j]
        for i in range(j + 1, n):
            total -= r[j, i] * b[i]
        b[j] = total / r[j, j]
