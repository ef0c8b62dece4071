"""Somebody else's calibrators, each fitted to float64 rows and asked for these again; see peers.py.

betacal and netcal's beta calibration stop at 1e-4 of a likelihood's parameters, and netcal's BBQ keeps other models:
bench/calibrators_*.py hold how close they come.
"""

from __future__ import annotations

import numpy as np
import oracle_temperature
from peers import Peer

FEW = 60  # rows of which the slowest are made
NEARLY = (5e-6, 5e-6)


def sklearn_temperature(logits, y_true):
    """What CalibratedClassifierCV(method="temperature") fits, without its way there: Brent's method in log beta."""
    from sklearn.calibration import _TemperatureScaling

    return 1 / float(_TemperatureScaling().fit(logits, y_true).beta_)


def probmetrics_temperature(logits, y_true):
    """By bisection in log beta."""
    from probmetrics.calibrators import TemperatureScalingCalibrator
    from probmetrics.distributions import CategoricalLogits
    from torch import from_numpy

    fitted = TemperatureScalingCalibrator()
    fitted.fit_torch(CategoricalLogits(from_numpy(logits)), from_numpy(y_true))
    return 1 / float(fitted.invtemp_)


def netcal_temperature(logits, y_true):
    """It takes probabilities, and goes back to logits."""
    from netcal.scaling import TemperatureScaling
    from scipy.special import softmax

    fitted = TemperatureScaling()
    fitted.fit(softmax(logits, axis=1), y_true)
    return 1 / float(np.asarray(fitted._sites["weights"]["values"])[0])


def tempered_by(fit):
    def compute(y_true, logits, sample_weight):
        logits = np.asarray(logits[:FEW], float)
        found = fit(logits, y_true[:FEW])
        return {"fitted": oracle_temperature.probabilities(logits, found).astype(float)}

    return compute


def sklearn_platt(y_true, p, sample_weight):
    from sklearn.calibration import _SigmoidCalibration

    p = np.asarray(p, float)
    return {"fitted": _SigmoidCalibration().fit(p, y_true).predict(p)}


def netcal_binning(name, n_rows=None, **options):
    def compute(y_true, probs, sample_weight):
        import netcal.binning

        probs, y_true = np.asarray(probs[:n_rows], float), y_true[:n_rows]
        return getattr(netcal.binning, name)(**options).fit(probs, y_true).transform(probs)

    return compute


def probmetrics_venn_abers(y_true, p, sample_weight):
    from probmetrics.calibrators import VennAbersCalibrator

    p = np.asarray(p[:FEW], float)
    rows = np.stack([1 - p, p], axis=1)
    return VennAbersCalibrator().fit(rows, y_true[:FEW]).predict_proba(rows)[:, 1]


def probmetrics_ensemble_temperature(y_true, logits, sample_weight):
    """It takes probabilities, and goes back to logits."""
    from probmetrics.calibrators import ETSCalibrator
    from scipy.special import softmax

    probs = softmax(np.asarray(logits[:FEW], float), axis=1)
    return {"fitted": ETSCalibrator("ce").fit(probs, y_true[:FEW]).predict_proba(probs)}


PROBMETRICS = ("probmetrics", "torch")
STOPS = "where its minimiser stops"

TEMPERATURE = {
    "scikit-learn": Peer(tempered_by(sklearn_temperature), ("sklearn",), ("logits",), NEARLY, STOPS),
    "probmetrics": Peer(tempered_by(probmetrics_temperature), PROBMETRICS, ("logits",), NEARLY, STOPS),
    "netcal": Peer(tempered_by(netcal_temperature), ("netcal",), ("logits",), NEARLY, STOPS),
}
ENSEMBLE_TEMPERATURE = {"probmetrics": Peer(probmetrics_ensemble_temperature, PROBMETRICS, ("logits",), NEARLY, STOPS)}
PLATT = {"scikit-learn": Peer(sklearn_platt, ("sklearn",), ("confidences",), NEARLY, STOPS)}
HISTOGRAM = {
    "netcal": Peer(
        netcal_binning("HistogramBinning", 200, bins=15),
        ("netcal",),
        ("rows", "confidences"),
        (1e-12, 1e-12),
        "the order of sums",
    )
}
ISOTONIC = {
    "netcal": Peer(
        netcal_binning("IsotonicRegression"), ("netcal",), ("rows", "confidences"), (1e-12, 1e-12), "the order of sums"
    )
}
VENN_ABERS = {
    "probmetrics": Peer(probmetrics_venn_abers, PROBMETRICS, ("confidences",), (1e-12, 1e-12), "the order of sums")
}
