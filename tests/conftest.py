"""Settings of the suite: deterministic Hypothesis profiles, smaller where kernels run as Python."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"

quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("jitted", max_examples=100, derandomize=True, **quiet)
settings.register_profile("interpreted", max_examples=10, derandomize=True, **quiet)
settings.load_profile("jitted" if JIT else "interpreted")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where nothing may be skipped (the gate has every peer installed), a skip is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("FASTCAL_NO_SKIPS") == "1" and reporter and reporter.stats.get("skipped"):
        reporter.write_line(f"{len(reporter.stats['skipped'])} skipped, where nothing may be")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
