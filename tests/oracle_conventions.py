"""How each convention bins, by the rules of its system (read from the sources, and checked against those installed).

A rule is a plain function of the scores, whose dtype matters, and the number of bins; it says the slot of each score.
"""

from __future__ import annotations

import numpy as np

IN_NO_BIN, LEFT_OUT = -1, -2  # counted among all rows, but without a gap; and not even that


def torch_linspace(n_bins, dtype):
    """torch.linspace(0, 1, n_bins + 1, dtype): upwards from 0, then downwards from 1.

    As torch computes it without vector instructions; with them some edges are an ulp off.
    """
    step, steps = dtype(1) / dtype(n_bins), n_bins + 1
    return [dtype(i) * step if i < steps // 2 else dtype(1) - step * dtype(steps - 1 - i) for i in range(steps)]


def _sklearn(p, n_bins):
    edges = np.linspace(0, 1, n_bins + 1)
    return [sum(float(score) > edge for edge in edges[1:-1]) for score in p]


def _guo(p, n_bins):
    edges = [float(edge) for edge in torch_linspace(n_bins, np.float32)]  # in float32, whatever the scores are
    slots = []
    for score in p:
        inside = [b for b in range(n_bins) if edges[b] < float(score) <= edges[b + 1]]
        slots.append(inside[0] if inside else IN_NO_BIN)
    return slots


def _verified(p, n_bins):
    return [sum(float(score) > i / n_bins for i in range(1, n_bins)) for score in p]


def _torchmetrics(p, n_bins):
    edges = torch_linspace(n_bins, p.dtype.type)
    return [sum(score >= edge for edge in edges) - 1 for score in p]


def _netcal(p, n_bins):
    edges = np.linspace(0, 1, n_bins + 1).astype(p.dtype)
    return [sum(score >= edge for edge in edges[1:-1]) for score in p]


def _robustness_metrics(p, n_bins):
    edges = np.linspace(0, 1, n_bins + 1)
    return [sum(float(score) >= edge for edge in edges[1:]) if score > 0 else LEFT_OUT for score in p]


def _tfp(p, n_bins):
    return [int(min(max(np.floor(p.dtype.type(n_bins) * score), 0), n_bins - 1)) for score in p]


def _mapie(p, n_bins):
    edges = np.linspace(0, 1, n_bins)
    slots = [sum(float(score) > edge for edge in edges) for score in p]
    return [slot if slot < n_bins else LEFT_OUT for slot in slots]


def _relplot(p, n_bins):
    return [int(score / p.dtype.type(1 / n_bins)) for score in p]


def _calibre(p, n_bins):
    edges = np.linspace(0, 1, n_bins + 1)
    return [sum(float(score) >= edge for edge in edges[1:-1]) for score in p]


RULES = {
    "guo": (15, _guo),
    "sklearn": (5, _sklearn),
    "verified": (15, _verified),
    "torchmetrics": (15, _torchmetrics),
    "netcal": (10, _netcal),
    "robustness-metrics": (30, _robustness_metrics),
    "tfp": (15, _tfp),  # has no default; that of fastcal
    "mapie": (50, _mapie),
    "relplot": (10, _relplot),
    "calibre": (10, _calibre),
}


def by_convention(y, p, convention, n_bins=None, weights=None):
    """The bins of a system's rule, the last of them a list of what is in none."""
    p = np.asarray(p)
    default, rule = RULES[convention]
    if convention == "netcal":
        eps = np.finfo(p.dtype).eps
        p = np.clip(p, eps, p.dtype.type(1) - eps)
    n_bins = default if n_bins is None else n_bins
    weights = np.ones(len(p)) if weights is None else np.asarray(weights, float)
    bins = [[] for _ in range(n_bins + 2)]  # with a slot of its own for p = 1, and one for what is in no bin
    for slot, w, o, c in zip(rule(p, n_bins), weights, y, p, strict=True):
        if slot != LEFT_OUT and w > 0:
            bins[slot].append((float(w), int(o), float(c)))
    return bins[:-1], bins[-1]
