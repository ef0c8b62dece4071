"""Rows of the table of comparisons: ensembles, whose members are the scores and two that are made of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import oracle
import oracle_ensemble
import peers
from cases import Comparison
from peers import Peer
from peers_ensemble import of_one_model, scipy_divergence, scipy_three_lines, torch_all_seven, torch_entr

import fastcal as fc


def members_of(scores, from_logits):
    """Three members (N, K) that agree in part; (N,) are rows of two classes."""
    if scores.ndim == 1:
        scores = np.stack([np.zeros_like(scores) if from_logits else 1 - scores, scores], axis=1)
    real = scores.dtype.type
    other = np.roll(scores, 1, axis=1)
    flat = real(0) if from_logits else real(1 / scores.shape[1])
    return np.stack([scores, real(0.75) * scores + real(0.25) * other, real(0.5) * scores + real(0.5) * flat])


def ours(function, y_true, scores, *, from_logits, sample_weight, **options):
    return function(members_of(scores, from_logits), from_logits=from_logits, **options)


def distributions(scores, from_logits):
    members = members_of(scores, from_logits).astype(float)
    return oracle_ensemble.distributions(members) if from_logits else members


def uncertainty(y_true, scores, *, from_logits, sample_weight):
    return oracle_ensemble.uncertainty(distributions(scores, from_logits))


def disagreement(y_true, scores, *, from_logits, sample_weight):
    return oracle_ensemble.disagreement(distributions(scores, from_logits), "js")


def rows_of(scores):
    return scores if scores.ndim > 1 else np.stack([np.zeros_like(scores), scores], axis=1)


def one_model(y_true, scores, *, from_logits, sample_weight):
    found = fc.softmax_uncertainty(rows_of(scores))
    return {"max": found.max, "entropy": found.entropy, "energy": found.energy, "margin": found.margin}


def one_model_slowly(y_true, scores, *, from_logits, sample_weight):
    rows = rows_of(scores).astype(float)
    p = oracle.softmax(rows)
    margin = -oracle.margin_of_rows(p)
    return {
        "max": -p.max(axis=1),
        "entropy": oracle.entropy_of_rows(p),
        "energy": -oracle.logsumexp(rows),
        "margin": margin,
    }


def of_peer(peer, from_logits, y_true, scores, sample_weight):
    return peer(members_of(scores, from_logits), from_logits)


def peers_of(peer, needs):
    """A peer for probabilities, and one for logits."""
    because = "sums in the input's dtype"
    return {
        f"{peer.__name__}, {name}": Peer(partial(of_peer, peer, from_logits), needs, kinds, (4e-6, 1e-12), because)
        for name, kinds, from_logits in (("probabilities", peers.ROWS, False), ("logits", peers.LOGITS, True))
    }


BECAUSE = "works in the dtype of the input"

ROWS = [
    Comparison(
        "ensemble_uncertainty",
        "ensemble uncertainty",
        partial(ours, fc.ensemble_uncertainty),
        uncertainty,
        {
            **peers_of(torch_entr, ("torch",)),
            **peers_of(torch_all_seven, ("torch",)),
            **peers_of(scipy_three_lines, ("scipy",)),
        },
        weights=False,
        timed=(),
    ),
    Comparison(
        "ensemble_disagreement",
        "ensemble disagreement",
        partial(ours, fc.ensemble_disagreement, kind="js"),
        disagreement,
        peers_of(scipy_divergence, ("scipy",)),
        weights=False,
        timed=("rows",),
    ),
    Comparison(
        "softmax_uncertainty",
        "softmax uncertainty",
        one_model,
        one_model_slowly,
        {
            "torch": Peer(of_one_model(peers.torch_summary), ("torch",), peers.LOGITS, (5e-6, 1e-12), BECAUSE),
            "scipy": Peer(of_one_model(peers.scipy_summary), ("scipy",), peers.LOGITS, (5e-6, 1e-12), BECAUSE),
        },
        takes=("logits", "wide logits", "log-odds"),
        weights=False,
        timed=peers.LOGITS,
    ),
]
