"""The squared kernel calibration error: a distance of whole predicted distributions from calibration, without bins.

Widmann, Lindsten, Zachariah, "Calibration tests in multi-class classification: A unifying framework", NeurIPS 2019. The
estimators here are unbiased: pairs of different rows, in blocks of consecutive rows, so that the work grows with N.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np

from fastcal import kernels

from .. import engine
from ..accumulators.base import NAN_POLICIES
from ..accumulators.rows import Rows, bytes_per_row, rows_per_chunk
from ..accumulators.state import FLOAT_BITS, integer
from ..arrays import Array, DataError, NanPolicy, Predictions, predictions

Kernel = Literal["laplacian", "gaussian"]
Distance = Literal["total-variation", "euclidean"]

# exp(-d^2) of a total variation d is no kernel (not positive definite) for three classes and more: exp(-t |x|_p^a) is
# one for a <= p <= 2 only.
DISTANCES = {"laplacian": ("total-variation", "euclidean"), "gaussian": ("euclidean",)}

# The median of distances is taken over so many rows, fewer of many classes: about 2^24 numbers are compared, 15 ms.
SAMPLE = 512
LEAST_SAMPLE = 16
COMPARED = 1 << 24

NO_WEIGHTS = np.empty(0)
NO_WEIGHTS.flags.writeable = False


class KernelCalibrationTest(NamedTuple):
    """A squared kernel calibration error, how certain it is, and with which bandwidth and blocks it came about.

    >>> import fastcal as fc
    >>> found = fc.kernel_calibration_test([0, 1, 1, 0], [0.2, 0.7, 0.4, 0.1])
    >>> 0 <= found.p_value <= 1
    True
    """

    statistic: float
    standard_error: float
    p_value: float
    bandwidth: float
    n_blocks: int


def kernel_calibration_error(
    y_true: Any,
    y_prob: Any,
    *,
    kernel: Kernel = "laplacian",
    bandwidth: float | None = None,
    distance: Distance | None = None,
    block_size: int = 2,
    from_logits: bool = False,
    nan_policy: NanPolicy = "raise",
    n_threads: int | None = None,
) -> float:
    """Unbiased squared kernel calibration error: the mean over blocks of the mean over their pairs i < j of

        h_ij = k(p_i, p_j) (e_(y_i) - p_i) . (e_(y_j) - p_j),

    with e_y the row that is 1 at y and 0 elsewhere (Widmann et al. 2019: ``block_size=2`` is SKCE_ul, linear
    in N; ``block_size=N``, one block of all rows, is SKCE_uq; the work is N times the size of a block). Its mean is 0
    for a calibrated model and positive for any other; calibrated means P(y = k | p) = p_k for all classes at once, not
    for the largest alone. It estimates a square, and where that is near 0 it is negative about as often as not.

    **It depends on the order of the rows**, unlike all else here: blocks are consecutive rows, and rows must be in an
    order that says nothing of them; shuffle what is sorted by label or score. A last incomplete block is left out,
    unless it is the only one.

    ``y_true`` (N,) integer labels; ``y_prob`` (N, K) probabilities, or (N,) for rows (1 - p, p); logits of either form
    with ``from_logits=True``. ``kernel`` "laplacian", k = exp(-d / v), or "gaussian", k = exp(-(d / v)^2 / 2);
    ``distance`` d "total-variation", half the sum of |p_k - q_k|, or "euclidean". Defaults are those of the paper's
    experiments: Laplacian, total variation (Euclidean for the Gaussian, which is no kernel otherwise), and as bandwidth
    v the median distance of predictions, here of those of 512 rows at even steps (of 183 for 1000 classes, 16 at
    least); the mean where the median is 0, 1 where all are equal. Labels have no part in it, so that the mean stays 0
    under calibration. To compare models, give all of them one ``bandwidth``, such as 1.

    ``nan_policy``: "raise"; "omit" leaves out rows that are no distribution before blocks are made; "propagate" gives
    NaN. There are no weights: a pair has none. Any number of threads gives the same bits. Raises DataError, a
    ValueError, for values or shapes that are not these, and for fewer than two rows; ValueError for other settings.

    >>> import fastcal as fc
    >>> fc.kernel_calibration_error([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5])
    0.5
    >>> fc.kernel_calibration_error([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5])
    -0.5
    """
    return kernel_calibration_test(
        y_true,
        y_prob,
        kernel=kernel,
        bandwidth=bandwidth,
        distance=distance,
        block_size=block_size,
        from_logits=from_logits,
        nan_policy=nan_policy,
        n_threads=n_threads,
    ).statistic


def kernel_calibration_test(
    y_true: Any,
    y_prob: Any,
    *,
    kernel: Kernel = "laplacian",
    bandwidth: float | None = None,
    distance: Distance | None = None,
    block_size: int = 2,
    from_logits: bool = False,
    nan_policy: NanPolicy = "raise",
    n_threads: int | None = None,
) -> KernelCalibrationTest:
    """Test of calibration: is the squared kernel calibration error larger than chance makes that of a calibrated model?

    ``statistic``, the error as :func:`kernel_calibration_error` gives it, with the same arguments and errors;
    ``standard_error`` s / sqrt(B), s the sample standard deviation of the B block means; ``p_value``, one-sided,
    1 - Phi(statistic / standard_error): the block means are independent and of mean 0 under calibration (Widmann et al.
    2019). The normal law is for many blocks: with fewer than about 100 take smaller ones.
    ``bandwidth`` is the one used. The standard error and the p-value of a single block are NaN.

    >>> import fastcal as fc
    >>> fc.kernel_calibration_test([1, 1, 0, 1] * 50, [0.25, 0.25, 0.75, 0.75] * 50, bandwidth=1.0).p_value < 0.01
    True
    """
    settings = _Settings(kernel, distance, bandwidth, block_size)
    if nan_policy not in NAN_POLICIES:
        raise ValueError(f"nan_policy is {nan_policy!r}; expected one of {', '.join(NAN_POLICIES)}")
    if n_threads is not None:
        engine.thread_count(n_threads)  # is it one
    batch = predictions(y_true, y_prob, from_logits=from_logits)
    whole = _Pass(batch, settings, nan_policy, n_threads)
    if not whole.kept.all() and nan_policy == "omit":
        batch = _rows_of(batch, np.flatnonzero(whole.kept))
        whole = _Pass(batch, settings, nan_policy, n_threads)
    if batch.n_rows < 2:
        rows = "1 row" if batch.n_rows == 1 else "no row"
        raise DataError("y_true", (), f"holds {rows}{' that is kept' if nan_policy == 'omit' else ''}; a pair needs 2")
    if not whole.kept.all():
        return KernelCalibrationTest(math.nan, math.nan, math.nan, math.nan, whole.n_blocks)
    return whole.result()


class _Settings:
    """Which pairs, and how they are weighted."""

    def __init__(self, kernel: str, distance: str | None, bandwidth: Any, block_size: Any) -> None:
        if kernel not in DISTANCES:
            raise ValueError(f"kernel is {kernel!r}; expected one of {', '.join(DISTANCES)}")
        distance = DISTANCES[kernel][0] if distance is None else distance
        if distance not in DISTANCES["laplacian"]:
            raise ValueError(f"distance is {distance!r}; expected one of {', '.join(DISTANCES['laplacian'])}")
        if distance not in DISTANCES[kernel]:
            raise ValueError(f"distance is {distance!r}, of which {kernel!r} makes no kernel; expected 'euclidean'")
        number = isinstance(bandwidth, int | float | np.integer | np.floating) and not isinstance(bandwidth, bool)
        if bandwidth is not None and not (number and 0 < bandwidth < math.inf):
            raise ValueError(f"bandwidth is {bandwidth!r}; expected None or a positive, finite number")
        if isinstance(block_size, bool) or not isinstance(block_size, int | np.integer) or block_size < 2:
            raise ValueError(f"block_size is {block_size!r}; expected an integer of at least 2")
        self.gaussian = kernel == "gaussian"
        self.euclidean = distance == "euclidean"
        self.bandwidth = None if bandwidth is None else float(bandwidth)
        self.block_size = int(block_size)


class _Pass:
    """One look at all rows: what is wrong with them, and the exact sums of the block means and of their squares."""

    def __init__(self, batch: Predictions, settings: _Settings, nan_policy: str, n_threads: int | None) -> None:
        rows = kernels.rows
        self.settings = settings
        self.size = max(min(settings.block_size, batch.n_rows), 2)
        self.n_blocks = batch.n_rows // self.size
        self.bandwidth = _median_distance(batch, settings) if settings.bandwidth is None else settings.bandwidth
        self.kept = np.ones(batch.n_rows, bool)
        n = rows_per_chunk(batch)
        row_bytes = bytes_per_row(batch) + self.size * max(batch.n_columns, 2) * batch.scores.dtype.itemsize // 2
        fatal = [rows.N_BAD, rows.N_NAN] if nan_policy == "raise" else [rows.N_BAD]
        chunk = max(n // self.size, 1) * self.size
        workers = engine.run(batch.n_rows, row_bytes, chunk, lambda: _Worker(batch, self, fatal), n_threads)
        places = [rows.FIRST_BAD, rows.FIRST_NAN] if nan_policy == "raise" else [rows.FIRST_BAD]
        first = min(int(worker.rows.faults[places].min()) for worker in workers)
        if first < rows.NONE_YET:
            raise batch.fault(first)
        self.sums = [sum(integer(worker.digits[moment][0]) for worker in workers) for moment in (0, 1)]

    def result(self) -> KernelCalibrationTest:
        """The mean of the block means, their spread, and how likely so much is by chance."""
        n = self.n_blocks
        total, squares = (Fraction(value, 1 << FLOAT_BITS) for value in self.sums)
        mean = float(total / n)
        error = math.sqrt(max(squares - total * total / n, Fraction()) / (n * (n - 1))) if n > 1 else math.nan
        z = mean / error if error else math.copysign(math.inf, mean if mean else -1.0)
        return KernelCalibrationTest(mean, error, math.erfc(z / math.sqrt(2)) / 2, self.bandwidth, n)


class _Worker:
    """What one thread works on: its own buffers and sums."""

    def __init__(self, batch: Predictions, whole: _Pass, fatal: list[int]) -> None:
        self.rows = Rows(batch, light=True)
        self.whole = whole
        self.fatal = fatal
        self.digits = np.zeros((2, 1, kernels.exact.N_LIMBS), np.int64)

    def __call__(self, start: int, stop: int) -> bool:
        """Add a chunk; True if no later chunk is needed."""
        rows, whole, settings = self.rows, self.whole, self.whole.settings
        rows.fill(start, stop)
        if rows.faults[self.fatal].any():
            return True
        whole.kept[start:stop] = _kept(rows)
        if rows.faults[kernels.rows.N_NAN]:
            return False
        means = np.empty((stop - start) // whole.size)
        form = whole.size, settings.gaussian, settings.euclidean, whole.bandwidth
        kernels.kernel_error.block_means(rows.probabilities(), rows.labels, *form, means)
        for digits, values in zip(self.digits, (means, means * means), strict=True):
            kernels.exact.add(values, NO_WEIGHTS, digits)
        return False


def _kept(rows: Rows) -> Array:
    """Which rows of a chunk are distributions."""
    return np.asarray(~np.isnan(rows.table[kernels.rows.CONFIDENCE]))


def _rows_of(batch: Predictions, which: Array) -> Predictions:
    """Some of the rows, in their order."""
    labels, scores = batch.labels.rows(which), batch.scores.rows(which)
    return dataclasses.replace(batch, labels=labels, scores=scores, gaps=(), shape=(len(which),))


def _median_distance(batch: Predictions, settings: _Settings) -> float:
    """The median distance between the predictions of some rows."""
    most = max(min(SAMPLE, math.isqrt(2 * COMPARED // max(batch.n_columns, 2))), LEAST_SAMPLE)
    n = min(batch.n_rows, most)
    if n < 2:
        return 1.0
    some = _rows_of(batch, np.arange(n) * batch.n_rows // n)
    rows = Rows(some, light=True)
    rows.fill(0, n)
    p = rows.probabilities()[_kept(rows)]
    p.flags.writeable = False
    out = np.empty(len(p) * (len(p) - 1) // 2)
    if rows.faults[kernels.rows.N_BAD] or not out.size:
        return 1.0  # what is wrong is said by who looks at all rows
    kernels.kernel_error.distances(p, settings.euclidean, out)
    return float(np.median(out)) or float(out.mean()) or 1.0
