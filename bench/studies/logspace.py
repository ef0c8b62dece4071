"""Numbers as a sign and the logarithm of a magnitude: 1e-1000000 is one of them, and so is its product with another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import fastcal as fc


@dataclass(frozen=True)
class Signed:
    """sign * exp(log), arrays of one shape; 0 is sign 0 and log -inf."""

    sign: np.ndarray
    log: np.ndarray

    @classmethod
    def of(cls, value: np.ndarray) -> Signed:
        with np.errstate(divide="ignore"):
            return cls(np.sign(value), np.log(np.abs(value)))

    @classmethod
    def exp(cls, log: np.ndarray) -> Signed:
        """exp(log), which may be no float."""
        return cls(np.where(log == -np.inf, 0.0, 1.0), log)

    def __mul__(self, other: Signed) -> Signed:
        sign = self.sign * other.sign
        with np.errstate(invalid="ignore"):
            return Signed(sign, np.where(sign == 0, -np.inf, self.log + other.log))

    def __truediv__(self, other: Signed) -> Signed:
        return self * Signed(other.sign, -other.log)

    def __neg__(self) -> Signed:
        return Signed(-self.sign, self.log)

    def __getitem__(self, index: object) -> Signed:
        return Signed(self.sign[index], self.log[index])

    def sum(self, axis: int) -> Signed:
        """The positive terms by log-sum-exp, the negative ones too, and their difference."""
        plus = fc.logsumexp(np.where(self.sign > 0, self.log, -np.inf), axis=axis)
        minus = fc.logsumexp(np.where(self.sign < 0, self.log, -np.inf), axis=axis)
        plus, minus = np.asarray(plus), np.asarray(minus)
        larger, smaller = np.maximum(plus, minus), np.minimum(plus, minus)
        with np.errstate(divide="ignore", invalid="ignore"):
            left = larger + np.log(-np.expm1(smaller - larger))
        sign = (plus > minus) * 1.0 - (plus < minus)
        return Signed(sign, np.where(sign == 0, -np.inf, np.where(smaller == -np.inf, larger, left)))

    def norm(self, axis: int = -1) -> np.ndarray:
        """log of the Euclidean norm."""
        return 0.5 * np.asarray(fc.logsumexp(2 * self.log, axis=axis))

    def value(self) -> np.ndarray:
        """As floats, 0 where it is less than they can be."""
        return self.sign * np.exp(self.log)


def stack(parts: list[Signed], axis: int) -> Signed:
    return Signed(np.stack([part.sign for part in parts], axis), np.stack([part.log for part in parts], axis))


def log_of_ratio(direct: np.ndarray, excess: Signed) -> Signed:
    """log r as a signed number, of which ``direct`` is the float and ``excess`` is r - 1.

    The float is a difference of logarithms that may be as large as 1e7 and is good to some 1e-9; near r = 1 all of
    log r can be smaller than that, and log1p of the excess has it.
    """
    near = np.abs(direct) < 1e-2
    with np.errstate(divide="ignore", over="ignore"):
        # log1p(u) = u (1 - u / 2 + ...), of which all but u is rounding below 1e-17
        close = np.where(excess.log < -40, excess.log, np.log(np.abs(np.log1p(np.where(near, excess.value(), 0.0)))))
        far = Signed.of(direct)
    return Signed(np.where(near, excess.sign, far.sign), np.where(near, close, far.log))
