"""Drives dumps through accumulators: who reads which piece, and what is kept when a run ends early."""

from __future__ import annotations

from .checkpoint import StateError
from .evaluating import Run, evaluate
from .looks import Looks
from .provenance import Provenance
from .tasks import Task, run_task, tasks_of

__all__ = ["Looks", "Provenance", "Run", "StateError", "Task", "evaluate", "run_task", "tasks_of"]
