"""The report of every slice of the rows, in the same pass: integer codes, or labels of any kind, one slice each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from fastcal import kernels

from .. import memory
from ..arrays import Array
from . import binned
from .base import Part
from .binned import Binned, is_sound, quotient
from .bins import Binning
from .curve import ReliabilityCurve, wilson
from .intervals import check_level, deviation, squared_error_bound, squared_error_terms
from .labels import as_objects, key, ordered, plain, united
from .reliability import unpacked
from .rows import Rows
from .state import FLOAT_BITS, Figures, State, added_pairs, carry

figure = Figures()


@dataclass(frozen=True)
class GroupReport:
    """Figures by slice: ``labels``, and arrays (G,) by the names that the whole report has, each with its slices' own.

    ``report["groups"]["ece"][g]`` is the ECE of ``report["groups"].labels[g]``; :meth:`worst` ranks slices, and
    ``curve(g, edges)`` is the reliability curve of one.

    >>> import fastcal as fc
    >>> seen = fc.Evaluation(groups=True).update([0, 1], [0.25, 0.75], groups=["a", "b"])
    >>> seen.compute()["groups"]["accuracy"].tolist()
    [1.0, 1.0]
    """

    labels: list[Any]
    figures: dict[str, Array]
    lower: dict[str, Any]
    bins: Binned | None = field(default=None, repr=False)  # not in JSON

    def __getitem__(self, name: str) -> Array:
        return self.figures[name]

    def __len__(self) -> int:
        return len(self.labels)

    def curve(self, g: int, edges: Array, level: float = 0.95) -> ReliabilityCurve:
        """Accuracy against confidence in slice g; ``edges`` are those of the report's ``reliability``.

        Raises ValueError where figures are NaN because rows were, and there is no curve.

        >>> import fastcal as fc
        >>> seen = fc.Evaluation(groups=True, n_bins=2).update([0, 1, 1], [0.2, 0.7, 0.6], groups=["a", "b", "b"])
        >>> seen.compute()["groups"].curve(1, [0.0, 0.5, 1.0]).count.tolist()
        [0, 2]
        """
        if self.bins is None:
            raise ValueError("these figures are NaN and have no curves")
        return ReliabilityCurve.of(self.bins.of(g), edges, level)

    def to_dict(self) -> dict[str, Any]:
        """Lists."""
        labels = [one if one is None or isinstance(one, str | int | float) else str(one) for one in self.labels]
        return {"labels": labels, **{name: values.tolist() for name, values in self.figures.items()}}

    def undefined(self) -> GroupReport:
        """NaN for every figure."""
        floats = {n: np.full(len(v), math.nan) if v.dtype.kind == "f" else v for n, v in self.figures.items()}
        return GroupReport(
            self.labels,
            floats,
            {name: tuple(np.full(len(self.labels), math.nan) for _ in given) for name, given in self.lower.items()},
        )

    def lower_bound(self, name: str = "rmsce", *, level: float = 0.95) -> Array:
        """Of each slice, what the figure is not below at this one-sided confidence level; -inf where nothing is known.

        Of "error" (1 - accuracy) Wilson's bound, of "nll" and "brier" Student's; of "rmsce" the root of
        that of the squared error without bias (negative where it is), so that a slice of few rows does not stand out by
        noise.

        >>> import fastcal as fc
        >>> seen = fc.Evaluation(groups=True).update([0, 0, 1], [0.9, 0.8, 0.9], groups=["a", "a", "b"])
        >>> seen.compute()["groups"].lower_bound("error").round(2).tolist()
        [0.43, 0.0]
        """
        if name not in self.lower:
            raise ValueError(f"name is {name!r}; expected one of {', '.join(self.lower)}")
        check_level(level)
        z = NormalDist().inv_cdf(level)
        given = self.lower[name]
        if name == "error":
            share, n = given
            bound = wilson(share, n, 2 * level - 1)[0] if level > 0.5 else share
        elif name == "rmsce":
            estimate, slope, rest = given
            squared = squared_error_bound(estimate, slope, rest, -z)
            bound = np.sign(squared) * np.sqrt(abs(squared))
        else:
            from scipy.special import stdtrit

            mean, error, n = given
            bound = mean - stdtrit(np.maximum(n - 1, 1e-3), level) * error
        bound = np.where(np.isnan(bound), -math.inf, bound)
        return np.where(np.isposinf(self.figures["nll"]), math.inf, bound) if name == "nll" else bound

    def worst(self, name: str = "rmsce", n: int = 10, *, level: float = 0.95) -> list[dict[str, Any]]:
        """The slices of the highest lower bounds, each with its label, rows, figure and bound.

        The bounds hold for all slices at once at this level (Bonferroni): of thousands of small ones, some look bad by
        chance at any level of their own.

        >>> import fastcal as fc
        >>> seen = fc.Evaluation(groups=True).update([0, 0, 1], [0.9, 0.8, 0.9], groups=["a", "a", "b"])
        >>> seen.compute()["groups"].worst("error", 1)[0]["label"]
        'a'
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise ValueError(f"n is {n!r}; expected an integer from 0 up")
        check_level(level)
        bound = self.lower_bound(name, level=1 - (1 - level) / max(len(self), 1))
        order = np.lexsort([np.arange(len(bound)), -bound])[:n]
        values = 1 - self.figures["accuracy"] if name == "error" else self.figures[name]
        rows = self.figures["n"]
        return [
            {"label": self.labels[g], "n": int(rows[g]), name: float(values[g]), "lower_bound": float(bound[g])}
            for g in order
        ]


@dataclass(frozen=True)
class Slices:
    """What the finaliser takes: of each slice sums over bins, counts of rows, and sums of scores."""

    labels: list[Any]
    bins: Binned
    counts: Array  # (G, 3)
    sums: Array  # (G, PAIRS): as kernels/grouped.py has them


@figure
def groups(slices: Slices) -> GroupReport:
    """Figures by slice."""
    bins, sums = slices.bins, slices.sums
    figures = figures_of(bins, slices.counts, sums)
    weight = figures["weight"]
    share = 1 - figures["accuracy"], quotient(weight**2, sums[..., 5], math.nan)
    lower = {
        "rmsce": (figures["squared_ce_debiased"], *squared_error_terms(bins, cautious=True)),
        "error": share,
        "nll": (figures["nll"], deviation(weight, sums[..., 5], sums[..., 7], sums[..., 8], figures["nll"]), share[1]),
        "brier": (
            figures["brier"],
            deviation(weight, sums[..., 5], sums[..., 9], sums[..., 10], figures["brier"]),
            share[1],
        ),
    }
    return GroupReport(slices.labels, figures, lower, bins)


def figures_of(bins: Binned, counts: Array, sums: Array) -> dict[str, Array]:
    """The figures of each slice, under the names that the whole report has; see kernels/grouped.py for the sums."""
    weight, correct, nll, brier, entropy = np.moveaxis(sums, -1, 0)[:5]
    zero = counts[..., kernels.grouped.INFINITE]
    squared = binned.debiased_l2_squared(bins)
    return {
        "n": counts[..., kernels.grouped.ROWS],
        "weight": weight,
        "accuracy": quotient(correct, weight, math.nan),
        "confidence": quotient(bins.confidence.sum(axis=-1), bins.total, math.nan),
        "ece": binned.l1(bins),
        "mce": binned.largest(bins),
        "rmsce": np.sqrt(binned.l2_squared(bins)),
        "ece_debiased": binned.debiased_l1(bins),
        "squared_ce_debiased": squared,
        "rmsce_debiased": np.sqrt(np.maximum(squared, 0.0)),
        "ece_if_calibrated": binned.l1_if_calibrated(bins),
        "signed_calibration_error": binned.signed(bins),
        "overconfidence": binned.over(bins),
        "underconfidence": binned.under(bins),
        "nll": np.where(zero > 0, math.inf, quotient(nll, weight, math.nan)),
        "n_zero_probability": zero,
        "brier": quotient(brier, weight, math.nan),
        "entropy": quotient(entropy, weight, math.nan),
    }


class GroupPart(Part):
    """Sums of each slice; the slices of a state are in the order of their labels."""

    figures = figure
    optional = frozenset({"weighted_count", "weighted_pair", "weighted_counts", "score_pair"})

    def __init__(self, binning: Binning) -> None:
        self.binning = binning

    def shapes(self, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes`; here of no slices."""
        return self._shapes(0)

    def _shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        names, size = kernels.grouped, self.binning.size
        return {
            "count": (n, size),
            "hits": (n, size),
            "confidence_signed_sum": (n, size, 3),
            "square_sum": (n, size, 3),
            "counts": (n, names.COUNTS),
            "score_sum": (n, names.SUMS, names.N_LIMBS),
            "weighted_count": (n, size),
            "weighted_pair": (n, size, kernels.binning.SUMS_WITH_SQUARES, 2),
            "weighted_counts": (n, names.COUNTS),
            "score_pair": (n, names.PAIRS, 2),
        }

    def shapes_of(self, state: State, n_columns: int) -> dict[str, tuple[int, ...]]:
        """See :meth:`Part.shapes_of`."""
        return self._shapes(len(state.get("labels", ())))

    def empty(self, n_columns: int) -> State:
        """No slices."""
        return {**super().empty(n_columns), "labels": np.empty(0, object)}

    def start(self, n_columns: int) -> State:
        """Nothing: how many slices there are comes with the rows."""
        return {}

    def codes(self, rows: Rows) -> tuple[Array, Array]:
        """The slice of each row of a chunk, and the labels of all slices."""
        assert rows.predictions.groups is not None
        return rows.predictions.groups.chunk(rows.start, rows.start + rows.n), rows.predictions.groups.labels

    def add(self, state: State, rows: Rows) -> None:
        """Add the rows of a chunk."""
        codes, labels = self.codes(rows)
        if not state:
            shapes = {name: shape for name, shape in self._shapes(len(labels)).items() if name not in self.optional}
            state |= {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
            state["labels"] = labels
            words = kernels.binning.CELL_WITH_SQUARES
            state["cells"] = memory.empty((len(labels) * self.binning.size * words,), np.dtype(np.int64))
            state["cells"][:] = 0  # in pages used before: those new to the process take 10 ms for 10 000 slices
            state["words"] = np.zeros((len(labels), kernels.grouped.WORDS), np.int64)
        columns, table = kernels.rows, rows.table
        p, outcome = table[columns.CONFIDENCE], rows.hits[columns.OUTCOME]
        lookup = self.binning.lookup(rows.given_dtype, top=not rows.binary).arguments
        scores = () if self.light else (table[columns.NLL], table[columns.BRIER], table[columns.ENTROPY])
        correct = rows.hits[columns.CORRECT]
        if rows.weights is None:
            places = state.setdefault("places", np.empty(kernels.binning.AHEAD, np.int64))
            kernels.binning.add_by_group(p, outcome, codes, *lookup, places, state["cells"])
            if scores:
                kernels.grouped.add(*scores, correct, codes, state["words"], state["score_sum"])
            return
        if "weighted_count" not in state:
            shapes = self._shapes(len(labels))
            state |= {name: np.zeros(shapes[name], np.int64) for name in self.optional}
        count = state["weighted_count"].reshape(-1)
        sums = state["weighted_pair"].view(np.float64).reshape(len(count), -1, 2)
        kernels.binning.add_weighted(p, outcome, rows.weights, codes, *lookup, True, count, sums)
        if scores:
            pairs = state["score_pair"].view(np.float64)
            kernels.grouped.add_weighted(*scores, correct, rows.weights, codes, state["weighted_counts"], pairs)

    def collect(self, state: State) -> State:
        """Carry the sums."""
        if not state:
            return {}
        state = dict(state)
        state.pop("places", None)
        found = unpacked(state.pop("cells").reshape(-1, kernels.binning.CELL_WITH_SQUARES), squares=True)
        size = self.binning.size
        collected = {name: array.reshape(-1, size, *array.shape[1:]) for name, array in found.items()}
        words = state.pop("words")
        sums = state["score_sum"] + as_limbs(words)
        carry("score_sum", sums)
        return {**state, **collected, "counts": words[:, : kernels.grouped.COUNTS].copy(), "score_sum": sums}

    def pooled(self, states: Sequence[State]) -> State:
        """See :meth:`Part.pooled`: words of one batch are added before they are looked at."""
        held = [state for state in states if state]
        if len(held) < 2 or any("weighted_count" in state for state in held):
            return super().pooled(states)
        total = dict(held[0])
        for state in held[1:]:
            for name in ("cells", "words", "score_sum"):
                total[name] += state[name]
        return self.collect(total)

    def merge(self, left: State, right: State) -> State:
        """A new state with what both hold; slices of the same label become one."""
        if not left or not right:
            return dict(left or right)
        labels, places = united(left["labels"], right["labels"])
        found: State = {}
        shapes = self._shapes(len(labels))
        for name in sorted({*left, *right} - {"labels"}):
            total = np.zeros(shapes[name], np.int64)
            for state, place in zip((left, right), places, strict=True):
                if name not in state:
                    continue
                if name.endswith("_pair"):
                    parts = total[place].view(np.float64), state[name].view(np.float64)
                    total[place] = added_pairs(*parts).view(np.int64)
                else:
                    total[place] += state[name]
            carry(name, total)
            found[name] = total
        return {**found, "labels": labels}

    def rows_in(self, state: State) -> int:
        """See :meth:`Part.rows_in`."""
        names = kernels.grouped
        bins, counts = state["count"].sum(axis=1), state["counts"][:, names.ROWS]
        sound = is_sound(state) and (bins == counts).all()
        n = sum(counts.tolist())
        if "weighted_count" in state:
            more = state["weighted_counts"][:, names.ROWS]
            sound = sound and (state["weighted_count"].sum(axis=1) == more).all()
            n += sum(more.tolist())
        return n if sound else -1

    def header(self, state: State) -> Any:
        """The labels; raises TypeError for one that has no place in JSON."""
        labels = state.get("labels")
        if labels is None:
            return None
        for label in labels:
            finite = not isinstance(label, float) or math.isfinite(label)
            if not (label is None or (isinstance(label, str | int | float) and finite)):
                raise TypeError(f"group {label!r} cannot be written to bytes: it is no text and no finite number")
        return labels.tolist()

    def restored(self, header: Any) -> State:
        """The labels from a header."""
        kinds = (str, int, float, bool)
        known = isinstance(header, list) and all(label is None or type(label) in kinds for label in header)
        known = known and all(math.isfinite(label) for label in header if type(label) is float)
        if not known or ordered(header) != header or len({key(plain(label)) for label in header}) != len(header):
            raise ValueError("not a fastcal state: its groups are not what they should be")
        return {"labels": as_objects(header)}

    def view(self, state: State) -> Slices:
        """See :meth:`Part.view`."""
        return Slices(state["labels"].tolist(), *self.sums(state))

    def sums(self, state: State) -> tuple[Binned, Array, Array]:
        """Of each slice: sums over bins, counts, and sums of scores."""
        bins = Binned.from_state(state, labels_vary=self.binning.name == "verified", ignored=self.binning.ignored)
        bins = bins.of((..., np.setdiff1d(np.arange(self.binning.size), self.binning.left_out)))
        names, counts = kernels.grouped, state["counts"]
        scores = windows(state["score_sum"])
        means = [counts[:, names.ROWS], counts[:, names.CORRECT], *scores[:, :3].T]
        squares = [counts[:, names.ROWS], counts[:, names.CORRECT]]
        squares += [scores[:, k] for k in (names.NLL, names.NLL_SQUARE, names.BRIER, names.BRIER_SQUARE)]
        sums = np.stack([one.astype(np.float64) for one in means + squares], axis=1)
        if "score_pair" in state:
            counts = counts + state["weighted_counts"]
            sums = sums + state["score_pair"].view(np.float64).sum(axis=-1)
        return bins, counts, sums


def as_limbs(words: Array) -> Array:
    """The two words of each sum in the limbs that sums are kept in."""
    names = kernels.grouped
    limbs = np.zeros((len(words), names.SUMS, names.N_LIMBS), np.int64)
    mask, unit = (1 << 32) - 1, FLOAT_BITS - 32 * names.FIRST_LIMB
    for k, bits in enumerate(names.BITS):
        low, high = words[:, names.COUNTS + 2 * k], words[:, names.COUNTS + 2 * k + 1]
        high = high + (low >> 32)
        for place, part in enumerate((low & mask, high & mask, high >> 32)):
            shifted = part << (unit - bits)
            limbs[:, k, place] += shifted & mask
            limbs[:, k, place + 1] += shifted >> 32
    return limbs


def windows(digits: Array) -> Array:
    """Sums of kernels/grouped.py as floats."""
    first = kernels.grouped.FIRST_LIMB * 32 - FLOAT_BITS
    floats = [np.ldexp(digits[..., k].astype(np.float64), 32 * k + first) for k in range(digits.shape[-1])]
    return np.asarray(sum(floats))
