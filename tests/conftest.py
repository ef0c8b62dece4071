"""Settings of the suite: deterministic Hypothesis profiles, smaller where kernels run as Python."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"

quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("jitted", max_examples=100, derandomize=True, **quiet)
settings.register_profile("interpreted", max_examples=10, derandomize=True, **quiet)
settings.load_profile("jitted" if JIT else "interpreted")
