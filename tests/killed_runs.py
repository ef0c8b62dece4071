"""``fastcal`` in processes to be killed, forked from one that has its imports and kernels: a start takes 30 ms."""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import sys
import time
from pathlib import Path

import numpy as np

import fastcal as fc
from fastcal.cli import main

CONTEXT = multiprocessing.get_context("forkserver")
SERVER = "FASTCAL_TESTS_FORK_FROM_HERE"


def preload():
    """Start the server that processes are forked from; it imports this module, and with it the kernels, once."""
    CONTEXT.set_forkserver_preload(["killed_runs"])
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), before.get("PYTHONPATH", "")])
    os.environ[SERVER] = "1"
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def command(arguments, out):
    """The whole command line of a process, with its output in a file."""
    handle = os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(k), "w", encoding="utf-8") for k in (1, 2))
    sys.argv = ["fastcal", *map(str, arguments)]
    os.environ["COLUMNS"] = "100"
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def start(*arguments, out):
    """A process that runs a command."""
    process = CONTEXT.Process(target=command, args=(arguments, out), daemon=True)
    process.start()
    return process


def wait_until(true, process, seconds=20.0):
    """Wait until something is so, or the process has ended; returns whether it is so."""
    end = time.monotonic() + seconds
    while not (found := true()) and process.is_alive() and time.monotonic() < end:
        time.sleep(0.001)
    return found or true()


if SERVER in os.environ:
    for name in ("cli.app", "cli.running", "dumps.opening", "dumps.npz", "report.terminal", "runs.evaluating"):
        importlib.import_module(f"fastcal.{name}")
    probs = np.random.default_rng(0).dirichlet(np.ones(10), 300)
    fc.Evaluation(n_threads=1).update(np.arange(300) % 10, probs.astype(np.float32)).compute()
