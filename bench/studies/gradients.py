"""Input gradients of class probabilities and of the measures of an ensemble, in log space.

From log p (M, N, C) and the Jacobians of the logits J (M, N, C, D). With p_m a member's probabilities, p their mean and
k_m a member's largest class, and because each member's gradients add to 0 over classes:

- grad p_mc = p_mc sum_j p_mj (J_mc - J_mj), of which the term j = c is 0 and the others need no 1 - p
- grad max p = grad p_c of the largest c
- grad variance = 2 / (C M) sum_mc (p_mc - p_c) grad p_mc
- grad H[p] = - 1 / M sum_m sum_{c != k_m} log(p_c / p_k_m) grad p_mc
- grad I = 1 / M sum_m sum_{c != k_m} log(p_mc p_k_m / (p_mk_m p_c)) grad p_mc

Nothing is ever taken from 1, and where a difference or the logarithm of a ratio is small it is made of small numbers:
each probability is kept as 0 or 1 and a signed remainder, so that the ones of two camps cancel as integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import fastcal as fc

from .logspace import Signed, log_of_ratio, stack

MEASURES = ("max probability", "softmax variance", "predictive entropy", "mutual information")


@dataclass(frozen=True)
class Gradients:
    """Gradients with D components each: of members' class probabilities (M, N, C, D), of their mean (N, C, D), and of
    the measures (N, D); and, of Lemma 2, log |d p_c / d f_c'| of each member (M, N, C, C).
    """

    probability: Signed
    mean: Signed
    measures: dict[str, Signed]
    log_softmax_derivative: np.ndarray


def gradients(logits: np.ndarray, jacobian: np.ndarray) -> Gradients:
    """Of logits (M, N, C) and their Jacobians (M, N, C, D)."""
    n_members = len(logits)
    log_p = fc.log_softmax(logits)
    p = Signed.exp(log_p)
    differences = Signed.of(jacobian[..., :, None, :] - jacobian[..., None, :, :])
    of_probability = p[..., None] * (p[..., None, :, None] * differences).sum(axis=-2)
    share = Signed.exp(np.full((1,) * 3, -np.log(n_members)))
    of_mean = (of_probability * share[..., None]).sum(axis=0)
    log_mean = np.asarray(fc.logsumexp(log_p, axis=0)) - np.log(n_members)
    parts = _Parts(log_p)
    measures = {
        MEASURES[0]: _of_maximum(of_mean, log_mean),
        MEASURES[1]: _of_variance(of_probability, parts),
        MEASURES[2]: _of_entropy(of_probability, log_p, log_mean, parts),
        MEASURES[3]: _of_information(of_probability, log_p, log_mean),
    }
    return Gradients(of_probability, of_mean, measures, _softmax_derivative(log_p, parts))


class _Parts:
    """Probabilities as integers 0 or 1 and small remainders."""

    def __init__(self, log_p: np.ndarray) -> None:
        n_classes = log_p.shape[-1]
        self.whole = (log_p > np.log(0.5)).astype(float)
        others = np.where(np.eye(n_classes, dtype=bool), -np.inf, log_p[..., None, :])
        self.log_rest = np.asarray(fc.logsumexp(others, axis=-1))  # log(1 - p), from the other classes
        self.remainder = Signed(np.where(self.whole == 1, -1.0, 1.0), np.where(self.whole == 1, self.log_rest, log_p))

    def difference_of_means(self) -> Signed:
        """sum_m (p_mc - p_mc') (N, C, C), with the ones taken from each other first."""
        whole = self.whole.sum(axis=0)
        whole = Signed.of(whole[:, :, None] - whole[:, None, :])
        left = self.remainder[:, :, :, None]
        right = -self.remainder[:, :, None, :]
        ones = Signed(np.ones(whole.sign.shape), np.zeros(whole.sign.shape))
        terms = [whole, *((side[m] * ones) for m in range(len(self.whole)) for side in (left, right))]
        return stack(terms, 0).sum(axis=0)

    def deviations(self) -> Signed:
        """sum_m' (p_mc - p_m'c) (M, N, C)."""
        n_members = len(self.whole)
        found = []
        for m in range(n_members):
            others = [o for o in range(n_members) if o != m]
            whole = Signed.of(len(others) * self.whole[m] - self.whole[others].sum(axis=0))
            terms = [whole, *(part for o in others for part in (self.remainder[m], -self.remainder[o]))]
            found.append(stack(terms, 0).sum(axis=0))
        return stack(found, 0)


def _of_maximum(of_mean: Signed, log_mean: np.ndarray) -> Signed:
    """Where classes are tied to rounding the maximum has a gradient to either side; the larger is kept, a bound."""
    tied = log_mean >= log_mean.max(axis=-1, keepdims=True) - 1e-12
    norms = np.where(tied, of_mean.norm(), -np.inf)
    chosen = (tied & (norms == norms.max(axis=-1, keepdims=True))).argmax(axis=-1)
    return of_mean[np.arange(len(log_mean)), chosen]


def _of_variance(of_probability: Signed, parts: _Parts) -> Signed:
    n_members, _, n_classes, _ = of_probability.sign.shape
    products = parts.deviations()[..., None] * of_probability
    total = products.sum(axis=0).sum(axis=1)
    return total * Signed.exp(np.full((1, 1), np.log(2.0 / n_classes) - 2 * np.log(n_members)))


def _of_entropy(of_probability: Signed, log_p: np.ndarray, log_mean: np.ndarray, parts: _Parts) -> Signed:
    """Of the mean."""
    n_members = len(log_p)
    excess = parts.difference_of_means() / Signed.exp(log_mean + np.log(n_members))[:, None, :]
    ratios = log_of_ratio(log_mean[:, :, None] - log_mean[:, None, :], excess)  # (N, C, C'): log of c over c'
    total = []
    for m, largest in enumerate(log_p.argmax(axis=-1)):
        to_largest = ratios[np.arange(len(largest)), :, largest]
        total.append((-to_largest[..., None] * of_probability[m]).sum(axis=1))
    return stack(total, 0).sum(axis=0) * Signed.exp(np.full((1, 1), -np.log(n_members)))


def _of_information(of_probability: Signed, log_p: np.ndarray, log_mean: np.ndarray) -> Signed:
    """The excess of p_mc p_k / (p_mk p_c) is a sum over the other members, the own having no part in it."""
    n_members, n_points, _ = log_p.shape
    rows = np.arange(n_points)
    total = []
    for m in range(n_members):
        k = log_p[m].argmax(axis=-1)
        own, own_k = log_p[m], log_p[m, rows, k][:, None]
        mean_k = log_mean[rows, k][:, None]
        terms = [Signed(np.zeros_like(own), np.full_like(own, -np.inf))]
        for o in range(n_members):
            if o != m:
                terms.append(Signed.exp(own + log_p[o, rows, k][:, None]))
                terms.append(-Signed.exp(own_k + log_p[o]))
        excess = stack(terms, 0).sum(axis=0) / Signed.exp(own_k + log_mean + np.log(n_members))
        ratios = log_of_ratio((own - own_k) - (log_mean - mean_k), excess)
        total.append((ratios[..., None] * of_probability[m]).sum(axis=1))
    return stack(total, 0).sum(axis=0) * Signed.exp(np.full((1, 1), -np.log(n_members)))


def _softmax_derivative(log_p: np.ndarray, parts: _Parts) -> np.ndarray:
    """log |d p_c / d f_c'|: p_c (1 - p_c) on the diagonal and -p_c p_c' off it."""
    same = np.eye(log_p.shape[-1], dtype=bool)
    return log_p[..., :, None] + np.where(same, parts.log_rest[..., :, None], log_p[..., None, :])
