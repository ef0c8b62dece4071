"""Other ways to the figures of selective prediction, and what they make of them.

The mean of risks is a trapezoid elsewhere; here it is turned into ours, which for a curve r_1, ..., r_N is
((N - 1) trapezoid + (r_1 + r_N) / 2) / N. All leave ties as a sort leaves them.
"""

from __future__ import annotations

import numpy as np
from peers import PROBS, Peer


def judged(y_true, probs):
    """Confidences and errors."""
    if probs.ndim > 1:
        return probs.max(axis=1), probs.argmax(axis=1) != y_true
    return np.maximum(probs, 1 - probs), (probs > 0.5) != y_true


def argsort_and_cumsum(confidence, wrong):
    """Risks of the most confident rows with NumPy: what everybody writes."""
    errors = np.cumsum(wrong[np.argsort(confidence)[::-1]])
    return errors / np.arange(1, len(errors) + 1)


def numpy_aurc(y_true, probs, sample_weight):
    return argsort_and_cumsum(*judged(y_true, probs)).mean()


def numpy_augrc(y_true, probs, sample_weight):
    risks = argsort_and_cumsum(*judged(y_true, probs))
    return (risks * np.arange(1, len(risks) + 1)).mean() / len(risks)


def numpy_e_aurc(y_true, probs, sample_weight):
    confidence, wrong = judged(y_true, probs)
    return (argsort_and_cumsum(confidence, wrong) - argsort_and_cumsum(-wrong.astype(float), wrong)).mean()


def numpy_curve(y_true, probs, sample_weight):
    confidence, wrong = judged(y_true, probs)
    risk = argsort_and_cumsum(confidence, wrong)
    coverage = np.arange(1, len(risk) + 1) / len(risk)
    return {
        "coverage": coverage,
        "risk": risk,
        "generalized_risk": risk * coverage,
        "threshold": np.sort(confidence)[::-1],
    }


def numpy_risk_at_coverage(y_true, probs, sample_weight):
    risks = argsort_and_cumsum(*judged(y_true, probs))
    return risks[int(np.ceil(0.8 * len(risks) - 1e-9)) - 1]


def numpy_coverage_at_risk(y_true, probs, sample_weight):
    risks = argsort_and_cumsum(*judged(y_true, probs))
    return max(np.flatnonzero(risks <= 0.05) + 1, default=0) / len(risks)


def torch_risks(confidence, wrong):
    """The rule that torch-uncertainty 0.13 has: its metric's class needs Lightning, which nothing else here does."""
    import torch

    errors = wrong.to(confidence.dtype)[confidence.argsort(descending=True)]
    return errors.cumsum(0) / torch.arange(1, len(errors) + 1, dtype=confidence.dtype)


def torch_trapezoid(risks):
    """Between coverages 1 / N and 1, as if they began at 0."""
    import torch

    n = len(risks)
    coverage = torch.arange(1, n + 1) / n
    return torch.trapezoid(risks, coverage) / (1 - 1 / n)


def torch_aurc(y_true, probs, sample_weight):
    import torch

    confidence, wrong = judged(y_true, probs)
    risks = torch_risks(torch.from_numpy(confidence.astype(np.float64)), torch.from_numpy(wrong))
    n = len(risks)
    return float((n - 1) * torch_trapezoid(risks) + (risks[0] + risks[-1]) / 2) / n


def torch_augrc(y_true, probs, sample_weight):
    import torch

    confidence, wrong = judged(y_true, probs)
    risks = torch_risks(torch.from_numpy(confidence.astype(np.float64)), torch.from_numpy(wrong))
    n = len(risks)
    generalized = risks * torch.arange(1, n + 1) / n
    return float((n - 1) * torch_trapezoid(generalized) + (generalized[0] + generalized[-1]) / 2) / n


def sorting(numpy, torch=None):
    """Peers of a figure."""
    found = {"numpy": Peer(numpy, (), PROBS, (1e-12, 1e-12), "sums in float64")}
    if torch is not None:
        because = "the rule of torch-uncertainty, whose coverages are float32"
        found["torch"] = Peer(torch, ("torch",), PROBS, (1e-6, 1e-6), because)
    return found
