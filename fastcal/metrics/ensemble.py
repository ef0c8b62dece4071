"""Uncertainty of ensembles and of single models, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..arrays import Array
from ..ensembles.disagreement import disagreement
from ..ensembles.measures import EnsembleUncertainty, measured
from .softmax import Bits, softmax_summary


@dataclass(frozen=True)
class SoftmaxUncertainty:
    """Arrays (...,), see :func:`softmax_uncertainty`: higher is more uncertain.

    >>> import fastcal as fc
    >>> fc.softmax_uncertainty([[0.0, 0.0]]).max.tolist()
    [-0.5]
    """

    max: Array
    entropy: Array
    energy: Array
    margin: Array


def ensemble_uncertainty(
    members: Any,
    *,
    from_logits: bool = False,
    weights: Any = None,
    dtype: str | None = None,
    n_threads: int | None = None,
) -> EnsembleUncertainty:
    """Prediction, confidence and five measures of uncertainty of an ensemble, each row's, in one pass over its members.

    With p_m the distribution over K classes of member m, E the mean over members by ``weights`` (M,), which are divided
    by their sum, and H[p] = -sum_k p_k log p_k in nats (Ulmer and Cina, "Know Your Limits", 2021, section 3.3):

    - ``prediction``: the first of the largest E[p_k] (int64), ``max_probability``: how large it is
    - ``softmax_variance``: (1/K) sum_k (E[p_k^2] - E[p_k]^2)
    - ``predictive_entropy``: H[E[p]], the total uncertainty; ``expected_entropy``: E[H[p]], that of the data
    - ``mutual_information``: H[E[p]] - E[H[p]], that of the model: never negative, exactly 0 for identical members,
      and at most log min(K, M), to rounding
    - ``variation_ratio``: 1 - the share of the members, by weight, that vote for the class with the most votes, each
      for its first maximum (Gal, "Uncertainty in Deep Learning", 2016)

    ``members`` are probabilities, or with ``from_logits`` logits: an array (M, N, K) or (M, ..., K); a list of M arrays
    (N, K) or (..., K) and of paths of .npy, .npz and Parquet files, read block of rows by block; or any other iterable,
    which is gone through once, of M arrays: then four numbers a row and class are kept. float64, float32, float16,
    bfloat16 (also its bits as uint16 with ``dtype="bfloat16"``) and integers may be mixed; results have the highest
    precision among the members that count (of an iterable: the first such one's), float32 for half floats, and the
    shape (N,) or (...). A member of weight 0 is left out: its values, which need be no probabilities, are not looked
    at. In an .npz or Parquet file the scores are called probs, probabilities or y_prob (from logits: logits), or they
    are its only array of two axes; an array in an .npz file lies row by row (C order), and of more axes it has such a
    name. Identities hold to rounding, 4 ulp of log K or 1; the order of members or classes
    changes results by at most 8.

    A row for which some member has NaN, two logits of +inf or none above -inf is no distribution: its prediction is -1,
    all else NaN. Raises DataError, a ValueError, for values outside [0, 1] and sums off 1 by more than rounding, for
    shapes and weights that do not fit, and DumpError, a ValueError, for files that cannot be read.

    Limits: where members extrapolate, none of these measures need grow. As one feature goes to infinity, members that
    are ReLU networks monotonic in it saturate, each on a class; where they agree on the class, max_probability goes to
    1 and all five measures to 0, the certain limit (Theorem 1 of the paper); where they do not, to constants, which say
    nothing of the distance either: two halves on different classes stay at an entropy and mutual information of log 2.

    >>> import fastcal as fc
    >>> found = fc.ensemble_uncertainty([[[0.9, 0.1], [1.0, 0.0]], [[0.9, 0.1], [0.0, 1.0]]])
    >>> found.mutual_information.round(4).tolist(), found.variation_ratio.tolist()
    ([0.0, 0.6931], [0.0, 0.5])
    """
    return measured(members, from_logits=from_logits, weights=weights, dtype=dtype, n_threads=n_threads)


def ensemble_disagreement(
    members: Any,
    *,
    kind: Literal["kl", "js"] = "kl",
    from_logits: bool = False,
    weights: Any = None,
    dtype: str | None = None,
    n_threads: int | None = None,
) -> Array:
    """Mean divergence between two members of an ensemble, (N,) or (...), in nats.

    "kl": over ordered pairs m != n, KL(p_m || p_n) = sum_k p_mk log(p_mk / p_nk) (Kullback and Leibler 1951), infinite
    where a class has probability 0 for one member and not for another (from logits: a logit of -inf). "js": over
    unordered pairs, the Jensen-Shannon divergence H[(p_m + p_n) / 2] - (H[p_m] + H[p_n]) / 2 (Lin 1991), at most log 2.
    With ``weights`` a pair counts w_m w_n. 0 for a single member, and for identical ones.

    ``members``, precision, rows that are no distribution and errors are as in :func:`ensemble_uncertainty`, except that
    all members of a row are needed at once: an iterable that can be gone through only once raises TypeError.
    ValueError for another ``kind``. Like the measures of :func:`ensemble_uncertainty` it need not grow with
    the distance from the data: members that saturate on one class agree.

    >>> import fastcal as fc
    >>> members = [[[0.9, 0.1]], [[0.5, 0.5]]]
    >>> [fc.ensemble_disagreement(members, kind=kind).round(4).tolist() for kind in ("kl", "js")]
    [[0.4394], [0.1017]]
    """
    return disagreement(members, kind, from_logits=from_logits, weights=weights, dtype=dtype, n_threads=n_threads)


def softmax_uncertainty(
    logits: Any, *, temperature: float = 1.0, dtype: Bits = None, n_threads: int | None = None
) -> SoftmaxUncertainty:
    """Four measures of a single model's uncertainty from its logits (..., K), each (...): higher is more uncertain.

    With p = softmax(z / T): ``max`` = -max_k p_k; ``entropy`` = -sum_k p_k log p_k in nats; ``energy`` =
    -T log sum_k exp(z_k / T) (Liu et al., "Energy-based Out-of-distribution Detection", 2020); ``margin`` = the second
    largest p less the largest. Far from the data a ReLU network's logits grow without bound: ``max`` and ``margin`` go
    to -1 and ``entropy`` to 0, the certain limit, and ``energy`` to -inf (Ulmer and Cina 2021). Precision, rows that
    are no distribution, and errors are as in :func:`softmax_summary`.

    >>> import fastcal as fc
    >>> found = fc.softmax_uncertainty([[0.0, 0.0], [1.0, 3.0]])
    >>> found.max.round(4).tolist(), found.energy.round(4).tolist()
    ([-0.5, -0.8808], [-0.6931, -3.1269])
    """
    summary = softmax_summary(logits, temperature=temperature, dtype=dtype, n_threads=n_threads)
    real = summary.logsumexp.dtype.type
    return SoftmaxUncertainty(
        -summary.confidence, summary.entropy, -real(temperature) * summary.logsumexp, -summary.margin
    )
