"""Figures of rows as they are, and of what a calibrator makes of them, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..accumulators.evaluation import Evaluation
from ..arrays import DataError
from .base import Calibrator
from .held_out import FIGURES, PARTS, Figures, plain, writer
from .rows import table


def before_after(calibrator: Calibrator, batches: Iterable[Any]) -> dict[str, Figures]:
    """{"before": ..., "after": ...} of batches (scores, y) or (scores, y, weights), labels 0 to K - 1.

    Each has n, accuracy, nll, brier, ece and classwise_ece. Of rows that the calibrator was fitted to, those after are
    better than of others. Raises DataError, its row counted over all batches.
    """
    form = calibrator._form()
    before = Evaluation(from_logits=form.input == "logits", parts=PARTS, squares=False, n_threads=calibrator.n_threads)
    after = Evaluation(parts=PARTS, squares=False, n_threads=calibrator.n_threads)
    row = 0
    for scores, y_true, *weights in batches:
        try:
            given = table(scores, y_true, weights[0] if weights else None, None)
            if given.n_rows == 0:
                continue
            values, labels, weighed = given.part(0, given.n_rows)
            before.update(labels, plain(values, form, half=given.half), sample_weight=weighed)
            out = np.empty((given.n_rows, given.n_columns), np.float64)  # float32 may round to 0
            calibrator._apply(given.scores, writer(out))
            after.update(labels, out[:, 0] if given.binary else out, sample_weight=weighed)
        except DataError as error:
            raise error.located(error.argument, row) from None
        row += given.n_rows
    reports = {"before": before.compute(), "after": after.compute()}
    return {when: {name: report[name] for name in FIGURES} for when, report in reports.items()}
