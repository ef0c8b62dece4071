"""fastcal: calibration and uncertainty figures of evaluation dumps, exact, streaming, at the speed of memory.

Public names are loaded at first use: ``import fastcal`` alone imports neither NumPy, Numba nor any extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accumulators.binned import BrierDecomposition
    from .accumulators.canonical import CanonicalAccumulator
    from .accumulators.classwise import ClassReport, ClasswiseAccumulator
    from .accumulators.curve import ReliabilityCurve
    from .accumulators.evaluation import Evaluation, EvaluationReport
    from .accumulators.groups import GroupReport
    from .accumulators.intervals import Intervals
    from .accumulators.order import OrderAccumulator
    from .accumulators.ordered import IsotonicAccumulator, IsotonicRefinement, RankingAccumulator
    from .accumulators.paired_report import Comparison
    from .accumulators.reliability import ReliabilityAccumulator
    from .accumulators.scores import ScoreAccumulator
    from .accumulators.selective import RiskCoverageCurve, SelectiveAccumulator
    from .accumulators.smooth import SmoothAccumulator
    from .accumulators.spiegelhalter import SpiegelhalterAccumulator, SpiegelhalterTest
    from .accumulators.uncertainty import UncertaintyAccumulator
    from .arrays import DataError
    from .calibrators.base import FitWarning
    from .calibrators.bbq import BBQ
    from .calibrators.beta import BetaCalibration
    from .calibrators.comparing import CalibratorComparison, cross_validate_calibrators
    from .calibrators.dirichlet import DirichletCalibration
    from .calibrators.ensemble_temperature import EnsembleTemperatureScaling
    from .calibrators.files import load_calibrator
    from .calibrators.histogram import HistogramBinning
    from .calibrators.isotonic import IsotonicRegression, isotonic_regression
    from .calibrators.isotonic_calibration import IsotonicCalibration
    from .calibrators.matrix import MatrixScaling
    from .calibrators.platt import PlattScaling
    from .calibrators.temperature import TemperatureScaling
    from .calibrators.vector import VectorScaling
    from .calibrators.venn_abers import VennAbers
    from .dumps.reading import read_batches
    from .ensembles.measures import EnsembleUncertainty
    from .metrics.activations import activation_familiarity, activation_norm, mental_model_confidence
    from .metrics.calibration import (
        adaptive_ece,
        brier_decomposition,
        calibration_error,
        classwise_ece,
        ece,
        mce,
        reliability_curve,
        rmsce,
        signed_calibration_error,
        tace,
    )
    from .metrics.canonical import canonical_error
    from .metrics.decomposition import CorpCurve, ScoreDecomposition, corp_curve, score_decomposition
    from .metrics.ensemble import SoftmaxUncertainty, ensemble_disagreement, ensemble_uncertainty, softmax_uncertainty
    from .metrics.intervals import ConfidenceInterval, confidence_interval
    from .metrics.kernel_error import KernelCalibrationTest, kernel_calibration_error, kernel_calibration_test
    from .metrics.ood import (
        OodMetrics,
        ood_metrics,
        softmax_extrapolation,
        softmax_saturation,
        valid_ood_region,
        valid_ood_share,
    )
    from .metrics.order import ks_calibration_error, kuiper_calibration_error, spiegelhalter_test, sweep_ece
    from .metrics.paired import compare
    from .metrics.ranking import (
        PrecisionRecallCurve,
        RocCurve,
        auroc,
        average_precision,
        fpr_at_tpr,
        precision_recall_curve,
        roc_curve,
    )
    from .metrics.scoring import accuracy, brier_score, log_loss, nll
    from .metrics.selective import augrc, aurc, coverage_at_risk, e_aurc, risk_at_coverage, risk_coverage_curve
    from .metrics.smooth import smooth_ece
    from .metrics.softmax import SoftmaxSummary, entropy, log_softmax, logsumexp, softmax, softmax_summary
    from .ordered.fit import IsotonicFit
    from .ordered.sequence import IsotonicResult
    from .runs.warming import WarmupStep, warmup

__version__ = "0.1.0"

_MODULE_OF = {
    name: module
    for module, names in {
        "accumulators.binned": ("BrierDecomposition",),
        "accumulators.canonical": ("CanonicalAccumulator",),
        "accumulators.classwise": (
            "ClassReport",
            "ClasswiseAccumulator",
        ),
        "accumulators.curve": ("ReliabilityCurve",),
        "accumulators.evaluation": (
            "Evaluation",
            "EvaluationReport",
        ),
        "accumulators.groups": ("GroupReport",),
        "accumulators.intervals": ("Intervals",),
        "accumulators.order": ("OrderAccumulator",),
        "accumulators.ordered": (
            "IsotonicAccumulator",
            "IsotonicRefinement",
            "RankingAccumulator",
        ),
        "accumulators.paired_report": ("Comparison",),
        "accumulators.reliability": ("ReliabilityAccumulator",),
        "accumulators.scores": ("ScoreAccumulator",),
        "accumulators.selective": (
            "RiskCoverageCurve",
            "SelectiveAccumulator",
        ),
        "accumulators.smooth": ("SmoothAccumulator",),
        "accumulators.spiegelhalter": (
            "SpiegelhalterAccumulator",
            "SpiegelhalterTest",
        ),
        "accumulators.uncertainty": ("UncertaintyAccumulator",),
        "arrays": ("DataError",),
        "calibrators.base": ("FitWarning",),
        "calibrators.bbq": ("BBQ",),
        "calibrators.beta": ("BetaCalibration",),
        "calibrators.comparing": (
            "CalibratorComparison",
            "cross_validate_calibrators",
        ),
        "calibrators.dirichlet": ("DirichletCalibration",),
        "calibrators.ensemble_temperature": ("EnsembleTemperatureScaling",),
        "calibrators.files": ("load_calibrator",),
        "calibrators.histogram": ("HistogramBinning",),
        "calibrators.isotonic": (
            "IsotonicRegression",
            "isotonic_regression",
        ),
        "calibrators.isotonic_calibration": ("IsotonicCalibration",),
        "calibrators.matrix": ("MatrixScaling",),
        "calibrators.platt": ("PlattScaling",),
        "calibrators.temperature": ("TemperatureScaling",),
        "calibrators.vector": ("VectorScaling",),
        "calibrators.venn_abers": ("VennAbers",),
        "dumps.reading": ("read_batches",),
        "ensembles.measures": ("EnsembleUncertainty",),
        "metrics.activations": (
            "activation_familiarity",
            "activation_norm",
            "mental_model_confidence",
        ),
        "metrics.calibration": (
            "adaptive_ece",
            "brier_decomposition",
            "calibration_error",
            "classwise_ece",
            "ece",
            "mce",
            "reliability_curve",
            "rmsce",
            "signed_calibration_error",
            "tace",
        ),
        "metrics.canonical": ("canonical_error",),
        "metrics.decomposition": (
            "CorpCurve",
            "ScoreDecomposition",
            "corp_curve",
            "score_decomposition",
        ),
        "metrics.ensemble": (
            "SoftmaxUncertainty",
            "ensemble_disagreement",
            "ensemble_uncertainty",
            "softmax_uncertainty",
        ),
        "metrics.intervals": (
            "ConfidenceInterval",
            "confidence_interval",
        ),
        "metrics.kernel_error": (
            "KernelCalibrationTest",
            "kernel_calibration_error",
            "kernel_calibration_test",
        ),
        "metrics.ood": (
            "OodMetrics",
            "ood_metrics",
            "softmax_extrapolation",
            "softmax_saturation",
            "valid_ood_region",
            "valid_ood_share",
        ),
        "metrics.order": (
            "ks_calibration_error",
            "kuiper_calibration_error",
            "spiegelhalter_test",
            "sweep_ece",
        ),
        "metrics.paired": ("compare",),
        "metrics.ranking": (
            "PrecisionRecallCurve",
            "RocCurve",
            "auroc",
            "average_precision",
            "fpr_at_tpr",
            "precision_recall_curve",
            "roc_curve",
        ),
        "metrics.scoring": (
            "accuracy",
            "brier_score",
            "log_loss",
            "nll",
        ),
        "metrics.selective": (
            "augrc",
            "aurc",
            "coverage_at_risk",
            "e_aurc",
            "risk_at_coverage",
            "risk_coverage_curve",
        ),
        "metrics.smooth": ("smooth_ece",),
        "metrics.softmax": (
            "SoftmaxSummary",
            "entropy",
            "log_softmax",
            "logsumexp",
            "softmax",
            "softmax_summary",
        ),
        "ordered.fit": ("IsotonicFit",),
        "ordered.sequence": ("IsotonicResult",),
        "runs.warming": (
            "WarmupStep",
            "warmup",
        ),
    }.items()
    for name in names
}

# As a literal: type checkers take no other list of what may be imported from here.
__all__ = [
    "BBQ",
    "BetaCalibration",
    "BrierDecomposition",
    "CalibratorComparison",
    "CanonicalAccumulator",
    "ClassReport",
    "ClasswiseAccumulator",
    "Comparison",
    "ConfidenceInterval",
    "CorpCurve",
    "DataError",
    "DirichletCalibration",
    "EnsembleTemperatureScaling",
    "EnsembleUncertainty",
    "Evaluation",
    "EvaluationReport",
    "FitWarning",
    "GroupReport",
    "HistogramBinning",
    "Intervals",
    "IsotonicAccumulator",
    "IsotonicCalibration",
    "IsotonicFit",
    "IsotonicRefinement",
    "IsotonicRegression",
    "IsotonicResult",
    "KernelCalibrationTest",
    "MatrixScaling",
    "OodMetrics",
    "OrderAccumulator",
    "PlattScaling",
    "PrecisionRecallCurve",
    "RankingAccumulator",
    "ReliabilityAccumulator",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "RocCurve",
    "ScoreAccumulator",
    "ScoreDecomposition",
    "SelectiveAccumulator",
    "SmoothAccumulator",
    "SoftmaxSummary",
    "SoftmaxUncertainty",
    "SpiegelhalterAccumulator",
    "SpiegelhalterTest",
    "TemperatureScaling",
    "UncertaintyAccumulator",
    "VectorScaling",
    "VennAbers",
    "WarmupStep",
    "__version__",
    "accuracy",
    "activation_familiarity",
    "activation_norm",
    "adaptive_ece",
    "augrc",
    "aurc",
    "auroc",
    "average_precision",
    "brier_decomposition",
    "brier_score",
    "calibration_error",
    "canonical_error",
    "classwise_ece",
    "compare",
    "confidence_interval",
    "corp_curve",
    "coverage_at_risk",
    "cross_validate_calibrators",
    "e_aurc",
    "ece",
    "ensemble_disagreement",
    "ensemble_uncertainty",
    "entropy",
    "fpr_at_tpr",
    "isotonic_regression",
    "kernel_calibration_error",
    "kernel_calibration_test",
    "ks_calibration_error",
    "kuiper_calibration_error",
    "load_calibrator",
    "log_loss",
    "log_softmax",
    "logsumexp",
    "mce",
    "mental_model_confidence",
    "nll",
    "ood_metrics",
    "precision_recall_curve",
    "read_batches",
    "reliability_curve",
    "risk_at_coverage",
    "risk_coverage_curve",
    "rmsce",
    "roc_curve",
    "score_decomposition",
    "signed_calibration_error",
    "smooth_ece",
    "softmax",
    "softmax_extrapolation",
    "softmax_saturation",
    "softmax_summary",
    "softmax_uncertainty",
    "spiegelhalter_test",
    "sweep_ece",
    "tace",
    "valid_ood_region",
    "valid_ood_share",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
