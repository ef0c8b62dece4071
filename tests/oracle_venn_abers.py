"""The slow twin of Venn-Abers predictors: their definition, one isotonic fit for each score and label, in fractions."""

from __future__ import annotations

from fractions import Fraction


def fitted_at(rows, at):
    """The isotonic fit of rows (score, label, weight) at one of their scores, by pooling adjacent violators."""
    groups = {}
    for score, label, weight in rows:
        zeros, ones = groups.get(score, (Fraction(0), Fraction(0)))
        groups[score] = (zeros + (1 - label) * weight, ones + label * weight)
    blocks = []  # (last score, zeros, ones)
    for score in sorted(groups):
        zeros, ones = groups[score]
        while blocks and blocks[-1][2] * (zeros + ones) >= ones * (blocks[-1][1] + blocks[-1][2]):
            _, more_zeros, more_ones = blocks.pop()
            zeros, ones = zeros + more_zeros, ones + more_ones
        blocks.append((score, zeros, ones))
    _, zeros, ones = next(block for block in blocks if block[0] >= at)
    return ones / (zeros + ones)


def pair(scores, y, at, weights=None):
    """(p0, p1), fractions."""
    weights = [1] * len(y) if weights is None else weights
    rows = [(float(s), int(label), Fraction(w)) for s, label, w in zip(scores, y, weights, strict=True) if w]
    at = float(at)
    return tuple(fitted_at([*rows, (at, label, Fraction(1))], at) for label in (0, 1))


def interval(scores, y, at, weights=None):
    """p0 and p1 as floats, of many scores."""
    pairs = [pair(scores, y, one, weights) for one in at]
    return [float(low) for low, _ in pairs], [float(high) for _, high in pairs]
