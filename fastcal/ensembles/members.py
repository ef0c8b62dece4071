"""The members of an ensemble, in whatever form they come, as chunks of rows that kernels take."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import WEIGHTS, Array, DataError, array_of, array_or_bits, probability_problem, unmasked, weighable
from ..dumps.batches import DumpError
from ..dumps.members import open_scores
from ..interchange.libraries import is_array
from ..rowwise import FLOATS, RowScores, row_scores

ARGUMENT = "members"
Fault = tuple[int, DataError]
# Bytes of scores of all members that are read from files at once.
BATCH_BYTES = 1 << 23
AT_LEAST_ONE = "an ensemble has at least 1 member"


@dataclass(frozen=True)
class Members:
    """Scores of each member, (..., K) of one shape; ``whole`` are all of them (M, N, K) where they lie in one piece."""

    scores: list[RowScores]
    numbers: list[int]  # of the members among those given
    whole: Array | None = None
    first_row: int = 0  # of a part, in all of it

    @property
    def lead(self) -> tuple[int, ...]:
        """The shape without the classes."""
        return self.scores[0].lead

    @property
    def n_rows(self) -> int:
        """Rows."""
        return self.scores[0].n_rows

    @property
    def n_classes(self) -> int:
        """Classes of a row."""
        return self.scores[0].n_classes

    @property
    def real(self) -> np.dtype[Any]:
        """The highest precision of all members, in which kernels compute."""
        return highest(self.scores)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of all members."""
        return self.n_classes * sum(one.taken_as.itemsize for one in self.scores)

    def weighted(self, weights: Array | None) -> tuple[Members, Array]:
        """Those members that count, and how much; raises DataError where there is not a weight for each."""
        kept, of_kept = counted(len(self.scores), weights)
        if len(kept) == len(self.scores):
            return self, of_kept
        return Members([self.scores[m] for m in kept], kept), of_kept

    def parts(self) -> Iterator[Members]:
        """All rows, in parts of which each fits in memory."""
        yield self

    def fault(self, start: int, stop: int) -> Fault | None:
        """The first row from start to stop that is an error for some member, the first of them."""
        pairs = zip(self.scores, self.numbers, strict=True)
        faults = [first_fault(one, m, start, stop, self.first_row) for one, m in pairs]
        return min((one for one in faults if one is not None), key=lambda one: one[0], default=None)


@dataclass(frozen=True)
class MemberFile:
    """What a file's header has said."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @contextlib.contextmanager
    def open(self, *, from_logits: bool, n_bytes: int) -> Iterator[Callable[[int], Array]]:
        """What reads the next n rows; raises DumpError where the file is another one by now."""
        with open_scores(self.path, from_logits=from_logits, n_bytes=n_bytes) as file:

            def read(n: int) -> Array:
                rows = file.read(n)
                self.check((len(rows), *rows.shape[1:]), (n, *self.shape[1:]), rows.dtype)
                return rows

            self.check(file.shape, self.shape, file.dtype)
            yield read

    def check(self, shape: tuple[int, ...], expected: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise DumpError for rows that are not those which the header announced: room is made by it."""
        if (shape, dtype) != (expected, self.dtype):
            raise DumpError(
                f"{self.path} changed while it was read: {dtype} of shape {shape}, not {self.dtype} of {expected}"
            )


@dataclass(frozen=True)
class MemberFiles:
    """Members of which at least one is a file; the others are arrays."""

    given: list[MemberFile | RowScores]
    heads: list[RowScores]  # no rows of each, which say how kernels take them
    numbers: list[int]
    lead: tuple[int, ...]
    from_logits: bool
    dtype: str | None  # what uint16 are

    @property
    def n_rows(self) -> int:
        """Rows."""
        return math.prod(self.lead)

    @property
    def real(self) -> np.dtype[Any]:
        """See :attr:`Members.real`."""
        return highest(self.heads)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the first axis, all members."""
        return math.prod(self.lead[1:]) * sum(one.n_classes * one.given.itemsize for one in self.heads)

    def weighted(self, weights: Array | None) -> tuple[MemberFiles, Array]:
        """See :meth:`Members.weighted`."""
        kept, of_kept = counted(len(self.given), weights)
        given, heads = [self.given[m] for m in kept], [self.heads[m] for m in kept]
        return replace(self, given=given, heads=heads, numbers=kept), of_kept

    def parts(self) -> Iterator[Members]:
        """See :meth:`Members.parts`."""
        size = max(BATCH_BYTES // max(self.row_bytes, 1), 1)
        with contextlib.ExitStack() as stack:
            readers = [_reader(stack, one, self.from_logits, len(self.given)) for one in self.given]
            for start in range(0, self.lead[0], size):
                n = min(size, self.lead[0] - start)
                scores = [member_scores(read(n), m, self.dtype) for read, m in zip(readers, self.numbers, strict=True)]
                yield Members(scores, self.numbers, None, start)


def highest(scores: Sequence[RowScores]) -> np.dtype[Any]:
    """The highest precision of all."""
    return max((one.real for one in scores), key=lambda dtype: dtype.itemsize)


def counted(n: int, weights: Array | None) -> tuple[list[int], Array]:
    """Numbers and weights of the members that count."""
    if weights is None:
        return list(range(n)), np.ones(n)
    if len(weights) != n:
        raise DataError("weights", (), f"has {len(weights)} entries for {n} members")
    kept = np.flatnonzero(weights)
    return kept.tolist(), weights[kept]


def _reader(
    stack: contextlib.ExitStack, one: MemberFile | RowScores, from_logits: bool, n_members: int
) -> Callable[[int], Array]:
    """What reads the next n rows of a file, or of an array."""
    if isinstance(one, MemberFile):
        return stack.enter_context(one.open(from_logits=from_logits, n_bytes=BATCH_BYTES // n_members))
    done = 0

    def read(n: int) -> Array:
        nonlocal done
        done += n
        given: Array = one.given[done - n : done]
        return given

    return read


def tolerances(scores: RowScores) -> tuple[float, float]:
    """How far a probability may lie outside [0, 1], and a row's sum off 1, and still count as rounding."""
    return 1e-4, 1e-2 if scores.taken_as.kind != "f" else 1e-3


def first_fault(scores: RowScores, m: int, start: int, stop: int, rows_before: int = 0) -> Fault | None:
    """The first row from start to stop of member m that is an error: its number, and what is wrong with it."""
    rows = rows_of(scores, start, stop)
    if scores.taken_as == np.uint16:
        rows = rows.view(np.float16)
    elif scores.taken_as == np.int16:
        rows = (rows.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    values = rows.astype(np.float64)
    tolerance, sum_tolerance = tolerances(scores)
    with np.errstate(invalid="ignore"):
        outside = ((values > 1 + tolerance) | (values < -tolerance)).any(axis=1)
        wrong = np.flatnonzero(outside | (abs(values.sum(axis=1) - 1) > sum_tolerance))
    if not wrong.size:
        return None
    row = int(wrong[0])
    problem, where = probability_problem(values[row], tolerance, sum_tolerance, rows=True)
    first, *others = scores.place(start + row)
    place = m, first + rows_before, *others
    return start + row, DataError(ARGUMENT, place if where is None else (*place, where), problem)


def rows_of(scores: RowScores, start: int, stop: int) -> Array:
    """Rows of one member as kernels take them."""
    return scores.rows((slice(start, stop), slice(None), slice(None)))


def is_path(member: Any) -> bool:
    """Whether a member is a file."""
    return isinstance(member, str | os.PathLike)


def member_scores(member: Any, m: int, dtype: str | None) -> RowScores:
    """One member's scores; raises DataError for what has no rows. ``dtype`` says what uint16 are."""
    bits = dtype if getattr(member, "dtype", None) == np.uint16 else None
    scores = row_scores(f"{ARGUMENT}[{m}]", member, -1, bits)
    if scores.given.ndim < 2:
        raise DataError(scores.argument, (), f"has shape {scores.given.shape}; expected rows (N, K)")
    if scores.n_classes == 0:
        raise DataError(scores.argument, (), f"has shape {scores.given.shape}; a row holds at least 1 class")
    return scores


def same_shape(scores: RowScores, first: RowScores) -> None:
    """Raise DataError for a member of another shape than the first one's."""
    _same_shapes(int(scores.argument[len(ARGUMENT) + 1 : -1]), scores.given.shape, first.given.shape)


def _same_shapes(m: int, shape: tuple[int, ...], first: tuple[int, ...]) -> None:
    if shape != first:
        raise DataError(f"{ARGUMENT}[{m}]", (), f"has shape {shape}, {ARGUMENT}[0] has {first}")


def from_array(members: Any, dtype: str | None) -> Members:
    """An array (M, ..., K)."""
    given, bits = array_or_bits(ARGUMENT, members, dtype)
    if given.ndim < 3:
        hint = "; one model's rows are members[None]" if given.ndim == 2 else ""
        raise DataError(ARGUMENT, (), f"has shape {given.shape}; expected (M, N, K){hint}")
    if len(given) == 0:
        raise DataError(ARGUMENT, (), f"has shape {given.shape}; {AT_LEAST_ONE}")
    scores = [member_scores(part, m, "bfloat16" if bits else None) for m, part in enumerate(given)]
    one = scores[0]
    whole = None
    plain = not isinstance(given, np.ma.MaskedArray) and (bits or given.dtype in (np.float16, *FLOATS))
    if plain and given.flags.c_contiguous and given.flags.aligned:
        whole = np.asarray(given).view(one.taken_as).reshape(len(given), one.n_rows, one.n_classes)
        whole.flags.writeable = False
    return Members(scores, list(range(len(scores))), whole)


def from_list(members: Sequence[Any], from_logits: bool, dtype: str | None) -> Members | MemberFiles:
    """Arrays (..., K) or files, one a member."""
    if not members:
        raise DataError(ARGUMENT, (), f"is empty; {AT_LEAST_ONE}")
    numbers = list(range(len(members)))
    if not any(is_path(member) for member in members):
        scores = [member_scores(member, m, dtype) for m, member in enumerate(members)]
        for one in scores:
            same_shape(one, scores[0])
        return Members(scores, numbers)
    given: list[MemberFile | RowScores] = []
    heads: list[RowScores] = []
    shapes: list[tuple[int, ...]] = []
    for m, member in enumerate(members):
        if is_path(member):
            with open_scores(Path(member), from_logits=from_logits, n_bytes=1) as file:
                if len(file.shape) < 2:
                    raise DataError(f"{ARGUMENT}[{m}]", (), f"has shape {file.shape}; expected rows (N, K)")
                heads.append(member_scores(np.empty((0, *file.shape[1:]), file.dtype), m, dtype))
                given.append(MemberFile(Path(member), file.shape, file.dtype))
                shapes.append(file.shape)
        else:
            scores_of = member_scores(member, m, dtype)
            given.append(scores_of)
            heads.append(member_scores(scores_of.given[:0], m, dtype))
            shapes.append(scores_of.given.shape)
        _same_shapes(m, shapes[-1], shapes[0])
    return MemberFiles(given, heads, numbers, shapes[0][:-1], from_logits, dtype)


def opened(members: Any, from_logits: bool, dtype: str | None) -> Members | MemberFiles | Iterator[Any]:
    """The members; of an iterable that is neither an array nor a list, an iterator over them, each to be seen once."""
    array_or_bits(ARGUMENT, np.empty(0, np.uint16), dtype)  # is it one
    if is_array(members):
        return from_array(members, dtype)
    if isinstance(members, list | tuple):
        return from_list(members, from_logits, dtype)
    if is_path(members) or isinstance(members, bytes | Mapping) or not isinstance(members, Iterable):
        what = (
            "a list of files, one a member" if is_path(members) else "an array, a list or an iterable of arrays (N, K)"
        )
        raise TypeError(f"members is {members!r:.80}; expected {what}")
    return iter(members)


def weights_of(weights: Any) -> Array:
    """Weights (M,) as float64, the largest of them 1; raises DataError for what is no weight."""
    given = array_of("weights", weights)
    if given.ndim != 1:
        raise DataError("weights", (), f"has shape {given.shape}; expected one weight a member")
    values = unmasked("weights", given, "every member needs a weight").astype(np.float64)
    wrong = np.flatnonzero(~weighable(values))
    if wrong.size:
        raise DataError("weights", (int(wrong[0]),), f"is {given[wrong[0]]}; {WEIGHTS}")
    if not (values > 0).any():
        raise DataError("weights", (), "are all 0; at least one member counts")
    return np.asarray(values / values.max())
