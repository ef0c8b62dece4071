"""A few predictions of a slightly underconfident model, and rows of a calibrated one: fewer still in plain Python."""

from __future__ import annotations

import numpy as np
from conftest import JIT

N = 600 if JIT else 60
RNG = np.random.default_rng(0)
P = RNG.beta(0.8, 0.8, N)
Y = (RNG.random(N) < np.clip(P + 0.1, 0, 1)).astype(np.int64)
W = RNG.exponential(size=N)
ROWS = RNG.dirichlet(np.ones(3), N)
LABELS = (ROWS.cumsum(axis=1) < RNG.random((N, 1))).sum(axis=1)
