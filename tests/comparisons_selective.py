"""Rows of the table of comparisons: selective prediction."""

from __future__ import annotations

from dataclasses import asdict

import oracle_selective as twins
import peers_selective as peers
from cases import Comparison
from peers import PROBS

import fastcal as fc


def row(name, numpy, torch=None, ours=None, timed=("confidences",)):
    """A comparison under the name of its function; confidences of logits would be rounded, and change places."""
    return Comparison(
        name,
        name.replace("_", " "),
        ours or getattr(fc, name),
        getattr(twins, name),
        peers.sorting(numpy, torch),
        takes=PROBS,
        timed=timed,
    )


def curve(y_true, scores, **options):
    return asdict(fc.risk_coverage_curve(y_true, scores, **options))


ROWS = [
    row("risk_coverage_curve", peers.numpy_curve, ours=curve),
    row("aurc", peers.numpy_aurc, peers.torch_aurc, timed=()),  # see bench/selective.py
    row("e_aurc", peers.numpy_e_aurc),
    row("augrc", peers.numpy_augrc, peers.torch_augrc, timed=()),
    row("risk_at_coverage", peers.numpy_risk_at_coverage),
    row("coverage_at_risk", peers.numpy_coverage_at_risk),
]
