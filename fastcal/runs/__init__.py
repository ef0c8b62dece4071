"""Drives dumps through accumulators: who reads which piece, and what is kept when a run ends early."""

from __future__ import annotations

from .evaluating import evaluate
from .looks import Looks
from .tasks import Task, run_task, tasks_of

__all__ = ["Looks", "Task", "evaluate", "run_task", "tasks_of"]
