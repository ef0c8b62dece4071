"""Processes forked from one that has its imports and kernels: a start takes 30 ms instead of 2 s.

Python keeps one such server a process, so that all tests have to share what it has imported.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.forkserver
import os
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path

import numpy as np

import fastcal as fc

CONTEXT = multiprocessing.get_context("forkserver")
SERVER = "FASTCAL_TESTS_FORK_FROM_HERE"


def preload():
    """Start the server that processes are forked from; it imports this module, and with it the kernels, once."""
    CONTEXT.set_forkserver_preload(["forked"])
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), before.get("PYTHONPATH", "")])
    os.environ[SERVER] = "1"
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


if SERVER in os.environ:
    for name in ("cli.running", "dumps.opening", "dumps.npz", "report.terminal", "runs.evaluating"):
        importlib.import_module(f"fastcal.{name}")
    for name in ("killed_runs", "dask_dumps", "fastcal.integrations.dask", "distributed.nanny", "dask.array"):
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
    with suppress(ModuleNotFoundError, SystemExit), redirect_stderr(StringIO()):
        importlib.import_module("fastcal.cli.app").run(["report", "nowhere"])  # the parser's own imports
    probs = np.random.default_rng(0).dirichlet(np.ones(10), 300)
    for rows in (probs.astype(np.float32), probs):
        fc.Evaluation(n_threads=1).update(np.arange(300) % 10, rows).compute()
