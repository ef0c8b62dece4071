"""``torchmetrics.functional``: the metrics that fastcal has."""

from .classification import auroc, average_precision, calibration_error

__all__ = ["auroc", "average_precision", "calibration_error"]
