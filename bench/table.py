"""The table of comparisons under the clock: public functions against every installed peer that computes the same."""

from __future__ import annotations

import functools

import comparisons
import numpy as np
from comparisons import TABLE, Comparison, Data, assert_same, generate
from peers import available

from .race import Call, Trial

CHECKED = 2000  # rows that the slow twin follows; the peers follow all

# Rows and classes of each kind of input.
SHAPES = {
    "rows": (1_000_000, 10),
    "logits": (1_000_000, 10),
    "wide rows": (20_000, 1000),
    "wide logits": (20_000, 1000),
    "confidences": (10_000_000, 1),
    "log-odds": (10_000_000, 1),
}
# What the rows of a work are divided by where a peer, or ours, takes long.
FEWER = dict.fromkeys(
    ("ece", "auroc", "fpr_at_tpr", "roc_curve", "precision_recall_curve", "classwise_ece"),
    10,
)
# Peers leave rows of equal confidence in any order, which of so many rows some of float32 have.
FLOAT64 = {"risk_coverage_curve", "e_aurc", "risk_at_coverage", "coverage_at_risk"}
AIMS = {("Evaluation", "logits"): {"torch + torchmetrics": 6}}


def _trial(row: Comparison, kind: str) -> Trial:
    n_rows, n_classes = SHAPES[kind]
    dtype = "float64" if row.name in FLOAT64 else "float32"
    words = f"x {n_classes:,} {dtype} {kind}" if n_classes > 1 else f"{dtype} {kind}"
    n_bytes = n_classes * np.dtype(dtype).itemsize + (8 if row.weights else 0)  # eight of a label
    n_rows //= FEWER.get(row.name, 1)
    return Trial(row.work, words, n_rows, AIMS.get((row.name, kind), {}), "read", n_bytes, of=(row, kind, dtype))


TRIALS = [_trial(row, kind) for row in TABLE for kind in row.timed]


@functools.lru_cache(2)
def data(kind: str, n_rows: int, dtype: str) -> Data:
    """The arrays that all works on a kind of input share."""
    return generate(kind, n_rows, SHAPES[kind][1], dtype)


def contenders(trial: Trial) -> dict[str, Call]:
    """Ours and each installed peer by name, ready to be called; raises AssertionError where answers differ."""
    row, kind, dtype = trial.of
    given = data(kind, trial.n_rows, dtype)
    some = Data(kind, given.y_true[:CHECKED], given.scores[:CHECKED], None)
    assert_same(row(some), row.expected(some), comparisons.OURS[dtype])
    ours = row(given)
    callers: dict[str, Call] = {"fastcal": functools.partial(row, given)}
    for name, peer in row.peers_for(kind).items():
        if available(peer):
            caller = functools.partial(peer.compute, given.y_true, given.scores, None)
            assert_same(ours, caller(), peer.tolerance_for(given.scores))
            callers[name] = caller
    return callers
