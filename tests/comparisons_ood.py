"""Rows of the table of comparisons: out-of-distribution figures, of arguments made from scores."""

from __future__ import annotations

import numpy as np
import oracle_ood
import peers_ood
from cases import Comparison
from peers import LOGITS, Peer, scikit_learn, with_numpy
from peers_ordered import SCORES

import fastcal as fc


def of_sets(function, **options):
    """Of rows of label 1 and rows of label 0."""

    def call(y_true, scores, *, from_logits, sample_weight):
        return function(scores[y_true == 1], scores[y_true == 0], **options)

    return call


def of_logits(function, **options):
    def call(y_true, scores, *, from_logits, sample_weight):
        return function(scores, **options)

    return call


def of_classes(function):
    """Rows as features, the first few of them as class weights."""

    def call(y_true, scores, *, from_logits, sample_weight):
        return function(scores, scores[:5])

    return call


def mental_model(function):
    """Norms and cosines from two columns."""

    def call(y_true, scores, *, from_logits, sample_weight):
        return function(abs(scores[:, 0]), np.tanh(scores[:, 1]), 10)

    return call


def ours(score_in, score_out):
    """What is no interval."""
    found = fc.ood_metrics(score_in, score_out, n_resamples=0).to_dict()
    return {name: found[name] for name in oracle_ood.ood_metrics([1.0], [0.0])}


def row(name, call, takes, peers=None, ours_is=None, timed=()):
    function, twin = ours_is or getattr(fc, name), getattr(oracle_ood, name)
    return Comparison(
        name, name.replace("_", " "), call(function), call(twin), peers or {}, takes=takes, weights=False, timed=timed
    )


NORMS = {
    "numpy": with_numpy(peers_ood.numpy_norm, LOGITS),
    "torch": Peer(peers_ood.torch_norm, ("torch",), LOGITS, (5e-6, 1e-12), "sums in the dtype of the input"),
}
COSINES = {"numpy": with_numpy(peers_ood.numpy_familiarity_of_classes, LOGITS)}

ROWS = [
    row("valid_ood_region", of_sets, SCORES),
    row("valid_ood_share", of_sets, SCORES),
    row("softmax_extrapolation", of_sets, SCORES),
    row("ood_metrics", of_sets, SCORES, {"scikit-learn": scikit_learn(peers_ood.sklearn_ood, SCORES)}, ours),
    row("softmax_saturation", lambda one: of_logits(one, epsilon=0.1), LOGITS),
    row("activation_norm", of_logits, LOGITS, NORMS, timed=LOGITS),
    row("activation_familiarity", of_classes, LOGITS, COSINES),  # see bench/ood.py
    row("mental_model_confidence", mental_model, LOGITS),
]
