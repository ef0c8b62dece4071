"""Rows of the table of comparisons: calibrators, each fitted to rows and asked for these again.

Their speed beside their peers' stands in bench/calibrators_*.py, which assert the same equality before they time.
"""

from __future__ import annotations

import numpy as np
import oracle_binned_calibrators as binned
import oracle_linear as linear
import oracle_logistic as logistic
import oracle_temperature as temperature
import oracle_venn_abers as venn_abers
import peers_calibrators as field
from cases import Comparison
from peers import Peer, scikit_learn

import fastcal as fc

# Where a minimiser stopped has no NLL of its own, or models of next to no weight are left out.
NEARLY = (fc.PlattScaling, fc.BetaCalibration, fc.BBQ)
FEW = field.FEW  # rows of which the slow twins of the slowest are made


def ours(method, n_rows=None, **options):
    """Probabilities in float64, of the same numbers whatever their type; NLL where a likelihood is what is fitted."""

    def call(y_true, scores, *, from_logits, sample_weight):
        y_true, scores = y_true[:n_rows], np.asarray(scores[:n_rows], float)
        weight = None if sample_weight is None else sample_weight[:n_rows]
        fitted = method(input="logits" if from_logits else "probs", **options).fit(scores, y_true, weight)
        p = fitted.predict_proba(scores)
        return {"fitted": p} if method in NEARLY else result(p, getattr(fitted, "nll_", None))

    return call


def result(probabilities, nll):
    """What is compared: fits end where a gradient is small, and their NLL is that of the optimum to its square."""
    return {"value": probabilities} if nll is None else {"fitted": probabilities, "fitted_nll": nll}


def tempered(y_true, scores, *, from_logits, sample_weight):
    scores, y_true = np.asarray(scores[:FEW], float), y_true[:FEW]
    sample_weight = None if sample_weight is None else sample_weight[:FEW]
    found = temperature.least(scores, y_true, sample_weight)
    p = temperature.probabilities(scores, found).astype(float)
    return result(p[:, 1] if scores.ndim == 1 else p, float(temperature.means(scores, y_true, found, sample_weight)[0]))


def mapped(shape_of, normalised=False):
    def call(y_true, scores, *, from_logits, sample_weight):
        z = linear.as_rows(scores[:FEW, :3], normalised)
        y = np.minimum(y_true[:FEW], 2)
        nll, parameters = linear.minimum(z, y, shape_of(z.shape[1]))
        return result(linear.probabilities(z, parameters), nll)

    return call


def few_classes(method, **options):
    """The first three classes of a few rows, so that a general minimiser can follow."""

    def call(y_true, scores, *, from_logits, sample_weight):
        scores, y = np.asarray(scores[:FEW, :3], float), np.minimum(y_true[:FEW], 2)
        fitted = method(**options).fit(scores, y)
        return result(fitted.predict_proba(scores), fitted.nll_)

    return call


def mixed(y_true, scores, *, from_logits, sample_weight):
    """At the temperature of temperature scaling, the shares that scipy finds."""
    from scipy.optimize import minimize

    scores, y_true = np.asarray(scores[:FEW], float), y_true[:FEW]
    found = temperature.least(scores, y_true)
    parts = temperature.components(scores, y_true, found).astype(float)

    def shares(x):
        return np.exp(x) / np.exp(x).sum()

    best = minimize(lambda x: -np.log(shares(x) @ parts).mean(), [0.0, -1.0, -1.0], method="BFGS", tol=1e-9)
    w = shares(best.x)
    p = w[0] * temperature.probabilities(scores, found) + w[1] * temperature.probabilities(scores)
    return result((p + w[2] / scores.shape[1]).astype(float), best.fun)


def one_map(fit_and_apply, n_rows=None):
    def call(y_true, scores, *, from_logits, sample_weight):
        scores, y = np.asarray(scores[:n_rows], float), y_true[:n_rows]
        weight = None if sample_weight is None else sample_weight[:n_rows]
        return result(binned.one_against_rest(scores, fit_and_apply, scores, y, weight), None)

    return call


def nearly(fit_and_apply, n_rows=None):
    """Of what is not exact, too."""
    mapped = one_map(fit_and_apply, n_rows)
    return lambda *rows, **options: {"fitted": mapped(*rows, **options)["value"]}


def by_platt(p, y, weights, given):
    slope, intercept = logistic.platt(p, y.astype(int), weights)
    return logistic.sigmoid(slope * given + intercept)


def by_beta(p, y, weights, given):
    theta = logistic.minimum(logistic.beta_features(p, "abm", 2.0**-52), y.astype(float), np.ones(len(p)))
    return logistic.sigmoid(logistic.beta_features(given, "abm", 2.0**-52) @ theta)


def by_venn_abers(p, y, weights, given):
    low, high = map(np.array, venn_abers.interval(p, y.astype(int), given))
    return high / (1 - low + high)


def sklearn_isotonic(y_true, probs, sample_weight):
    """scikit-learn's fits one against the rest, in float64: of float32 it ties scores closer than 1e-6."""
    from sklearn.isotonic import IsotonicRegression

    def one(p, y, weights, given):
        return IsotonicRegression(out_of_bounds="clip").fit(p, y, sample_weight=weights).predict(given)

    probs = np.asarray(probs, float)
    return result(binned.one_against_rest(probs, one, probs, y_true, sample_weight), None)


def package_venn_abers(y_true, p, sample_weight):
    """The package of that name."""
    from venn_abers import VennAbers

    p = np.asarray(p[:FEW], float)
    model = VennAbers()
    model.fit(np.stack([1 - p, p], axis=1), y_true[:FEW])
    return result(model.predict_proba(np.stack([1 - p, p], axis=1))[0][:, 1], None)


def row(method, call, oracle, takes, *, weights=False, peers=None):
    name = method.__name__
    return Comparison(name, name, call, oracle, peers or {}, takes=takes, weights=weights, timed=())


PROBS = ("rows", "confidences")
ISOTONIC = {"scikit-learn": scikit_learn(sklearn_isotonic, PROBS, "the order of sums"), **field.ISOTONIC}
BY_PACKAGE = Peer(package_venn_abers, ("venn_abers",), ("confidences",), (1e-12, 1e-12), "the order of sums")
VENN = {"venn-abers": BY_PACKAGE, **field.VENN_ABERS}

ROWS = [
    row(
        fc.TemperatureScaling,
        ours(fc.TemperatureScaling, FEW),
        tempered,
        ("logits", "log-odds"),
        weights=True,
        peers=field.TEMPERATURE,
    ),
    row(
        fc.EnsembleTemperatureScaling,
        ours(fc.EnsembleTemperatureScaling, FEW),
        mixed,
        ("logits",),
        peers=field.ENSEMBLE_TEMPERATURE,
    ),
    row(fc.VectorScaling, few_classes(fc.VectorScaling), mapped(lambda k: (2, k)), ("logits",)),
    row(fc.MatrixScaling, few_classes(fc.MatrixScaling), mapped(lambda k: (k, k + 1)), ("logits",)),
    row(fc.DirichletCalibration, few_classes(fc.DirichletCalibration), mapped(lambda k: (k, k + 1), True), ("logits",)),
    row(
        fc.PlattScaling,
        ours(fc.PlattScaling),
        nearly(by_platt),
        ("rows", "confidences", "log-odds"),
        weights=True,
        peers=field.PLATT,
    ),
    row(fc.BetaCalibration, ours(fc.BetaCalibration), nearly(by_beta), ("confidences",)),
    row(
        fc.HistogramBinning,
        ours(fc.HistogramBinning, 200),
        one_map(binned.histogram(lambda *_: np.linspace(0, 1, 16)), 200),
        PROBS,
        weights=True,
        peers=field.HISTOGRAM,
    ),
    row(
        fc.IsotonicCalibration,
        ours(fc.IsotonicCalibration),
        one_map(binned.isotonic_map),
        PROBS,
        weights=True,
        peers=ISOTONIC,
    ),
    row(fc.BBQ, ours(fc.BBQ, FEW), nearly(binned.bbq, FEW), PROBS),
    row(fc.VennAbers, ours(fc.VennAbers, FEW), one_map(by_venn_abers, FEW), ("confidences",), peers=VENN),
]
