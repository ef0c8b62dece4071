"""Metrics for torch, one of each kind of state, and rows for them."""

from __future__ import annotations

import itertools

import torch
from conftest import JIT

import fastcal as fc
from fastcal.integrations import torch as ft

N = 120 if JIT else 40
GENERATOR = torch.Generator().manual_seed(0)
PROBS = torch.rand(N, 3, generator=GENERATOR).mul(4).softmax(dim=1)
LOGITS = PROBS.log() * 3
LABELS = torch.randint(0, 3, (N,), generator=GENERATOR)
WEIGHTS = torch.rand(N, generator=GENERATOR) + 0.5
SINGLE = torch.rand(N, generator=GENERATOR)
OUTCOMES = (torch.rand(N, generator=GENERATOR) < SINGLE).long()

# Settings of a calibration error of rows (N, C), and whether its state is sums.
SETTINGS = [
    ({}, True),
    ({"norm": "max", "n_bins": 7}, True),
    ({"norm": "l2", "debiased": True}, True),
    ({"norm": "l2", "squared": True, "closed": "left"}, True),
    ({"norm": "l1", "debiased": True, "threshold": 0.4}, True),
    ({"binning": (0.0, 0.5, 0.9, 1.0), "target": "top-label"}, True),
    ({"convention": "torchmetrics"}, True),
    ({"convention": "verified", "norm": "l2", "debiased": True}, True),
    ({"target": "class-wise"}, False),
    ({"target": "class-wise", "norm": "l2", "convention": "verified"}, False),
    ({"target": "canonical", "n_bins": 3}, False),
    ({"target": "canonical", "n_bins": 3, "norm": "l2", "squared": True}, False),
    ({"target": "canonical", "n_bins": 3, "norm": "max"}, False),
    ({"binning": "quantile"}, False),
    ({"binning": "quantile", "norm": "max", "n_bins": 4}, False),
    ({"binning": "quantile", "norm": "l2", "debiased": True, "threshold": 0.4}, False),
]


def kinds():
    """Every kind of metric by name: how to make one, its rows, and whether there are weights."""
    rows, single = (PROBS, LABELS), (SINGLE, OUTCOMES)
    return {
        "sums": (ft.CalibrationError, rows, False),
        "weighted sums": (ft.CalibrationError, rows, True),
        "squares": (lambda **kw: ft.CalibrationError(norm="l2", debiased=True, **kw), single, True),
        "classes": (lambda **kw: ft.CalibrationError(target="class-wise", **kw), rows, False),
        "known classes": (lambda **kw: ft.CalibrationError(target="class-wise", num_classes=3, **kw), rows, True),
        "cells": (lambda **kw: ft.CalibrationError(target="canonical", n_bins=3, **kw), rows, True),
        "quantiles": (lambda **kw: ft.CalibrationError(binning="quantile", **kw), single, False),
        "scores": (ft.BrierScore, rows, True),
        "report": (ft.Evaluation, rows, False),
        "ranking": (ft.AUROC, single, True),
        "selective": (ft.AURC, rows, False),
        "any": (lambda **kw: ft.AccumulatorMetric(fc.SpiegelhalterAccumulator(), "spiegelhalter_z", **kw), rows, False),
        "uncertainty": (ft.Uncertainty, rows, False),
    }


def batches(rows, weighted, at):
    """The rows in batches that end at ``at``: arguments of update."""
    ends = [0, *at, N]
    given = (*rows, WEIGHTS) if weighted else rows
    return [tuple(one[a:b] for one in given) for a, b in itertools.pairwise(ends)]


def plain(value):
    """A result as something that can be compared and sent: numbers, and the dtype where there is one tensor."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return str(value.dtype), repr(value.tolist())
