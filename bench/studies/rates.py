"""How fast each gradient has to vanish, from nothing but the slopes of the logits beyond the last kink of a ray.

There member m's logits are affine in alpha with slopes b_mc. Its steepest class is k_m, its gaps are
d_mc = b_mk - b_mc, and its slowest is the smallest gap of another class, g_m. Probabilities and their gradients fall as
exp(-rate alpha) (Lemmas 2 and 3: the softmax's derivative exponentially, the network's gradient not at all), so a sum
has the smallest rate in it and a product the sum of rates:

- grad p_mc: d_mc, and g_m for c = k_m; of the mean over members (Lemma 6) the smallest of theirs: the slowest's
- maximum (Lemma 5): that of the class that most members end in
- variance (Lemma 7): each term is a deviation from the mean times a gradient; where members agree the deviation
  vanishes too, so the rate is 2 min g, and else min g
- entropy (Lemma 8): a term is grad p_mc times log(p_c / p_k), which grows as alpha for a class that nobody ends in, is
  constant between camps of different size, and vanishes itself between camps of the same size
- mutual information (Lemma 9): a term is grad p_mc times log(p_mc / p_mk) - log(p_c / p_k), which grows as alpha unless
  member m has the mean's tail of class c to itself; then it tends to log(size of the camp of m), which is 0 for a camp
  of one. So two members or more that agree have the rate min g and no factor alpha.

The means are over members that were drawn, as every such measure is computed. Of an integral over a posterior that is
continuous no gap is the smallest, and nothing exponential follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gradients import MEASURES

NEVER = np.inf  # the rate of what is 0 throughout


@dataclass(frozen=True)
class Decay:
    """A gradient's norm goes as alpha^power exp(-rate alpha)."""

    rate: float
    power: int = 0


@dataclass(frozen=True)
class Prediction:
    """Of one ray."""

    leading: np.ndarray  # (M,): the class that each member ends in
    gaps: np.ndarray  # (M, C): slope of the leading logit less that of each
    probability: np.ndarray  # (M, C): rates
    mean: np.ndarray  # (C,): rates
    softmax_derivative: np.ndarray  # (M, C, C): rates of d p_c / d f_c'
    measures: dict[str, Decay]

    @property
    def slowest(self) -> np.ndarray:
        """(M,): each member's smallest gap, 0 where two leading logits are parallel."""
        return smallest_gaps(self.gaps, self.leading)

    @property
    def shares(self) -> np.ndarray:
        """(C,): of members that end in each class."""
        return np.bincount(self.leading, minlength=self.gaps.shape[1]) / len(self.leading)

    @property
    def agree(self) -> bool:
        return bool(self.shares.max() == 1)

    @property
    def limits(self) -> dict[str, float]:
        """What the measures themselves tend to: those of members that are certain of the class that each ends in."""
        shares = self.shares
        entropy = float(-sum(share * np.log(share) for share in shares if share > 0)) + 0.0
        variance = float((shares * (1 - shares)).mean())
        return dict(zip(MEASURES, (float(shares.max()), variance, entropy, entropy), strict=True))


def smallest_gaps(gaps: np.ndarray, leading: np.ndarray) -> np.ndarray:
    others = gaps.copy()
    others[np.arange(len(gaps)), leading] = np.inf
    return others.min(axis=1)


def predicted(slopes: np.ndarray) -> Prediction:
    """From the logits' slopes (M, C) along a ray; classes two or more."""
    n_classes = slopes.shape[1]
    leading = slopes.argmax(axis=1)
    gaps = slopes.max(axis=1, keepdims=True) - slopes
    own = np.arange(n_classes) == leading[:, None]
    probability = np.where(own, smallest_gaps(gaps, leading)[:, None], gaps)
    mean = probability.min(axis=0)
    rest = np.where(own, smallest_gaps(gaps, leading)[:, None], 0.0)  # of 1 - p
    same = np.eye(n_classes, dtype=bool)
    derivative = gaps[:, :, None] + np.where(same, rest[:, :, None], gaps[:, None, :])
    camps = np.bincount(leading, minlength=n_classes)
    largest = camps == camps.max()
    decays = [
        Decay(float(mean[largest].min())),
        _variance(probability, camps),
        _entropy(gaps, leading, mean, camps),
        _information(gaps, leading, camps),
    ]
    return Prediction(leading, gaps, probability, mean, derivative, dict(zip(MEASURES, decays, strict=True)))


def _slowest(terms: list[Decay]) -> Decay:
    """Of a sum: the smallest rate, and of several with it the highest power."""
    return min(terms, key=lambda term: (term.rate, -term.power), default=Decay(NEVER))


def _variance(probability: np.ndarray, camps: np.ndarray) -> Decay:
    n_members = len(probability)
    if n_members == 1:
        return Decay(NEVER)
    deviation = np.where((camps == 0) | (camps == n_members), probability.min(axis=0), 0.0)
    return Decay(float((probability + deviation).min()))


def _entropy(gaps: np.ndarray, leading: np.ndarray, mean: np.ndarray, camps: np.ndarray) -> Decay:
    terms = []
    for own, k in zip(gaps, leading, strict=True):
        for c in range(len(own)):
            if c == k:
                continue
            if camps[c] == 0:
                terms.append(Decay(own[c], 1))
            elif camps[c] != camps[k]:
                terms.append(Decay(own[c]))
            else:
                terms.append(Decay(own[c] + min(mean[c], mean[k])))
    return _slowest(terms)


def _information(gaps: np.ndarray, leading: np.ndarray, camps: np.ndarray) -> Decay:
    if len(leading) == 1:
        return Decay(NEVER)
    terms = []
    for m, k in enumerate(leading):
        others = np.delete(gaps, m, axis=0)
        for c in range(gaps.shape[1]):
            if c == k:
                continue
            own, tail = gaps[m, c], others[:, c].min()
            if own > tail:  # another member has more of class c far out (all of it, where it ends there)
                terms.append(Decay(own, 1))
            elif camps[k] > 1:
                terms.append(Decay(own))
            # For a camp of one the logarithm vanishes. What is left falls as own + the gap of class k in another
            # member, or as the tail: either is less than that member's own term.
    return _slowest(terms)
