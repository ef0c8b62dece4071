"""Samples of lm-evaluation-harness: the log-likelihoods of a question's choices are logits, its target is the label.

Taken are the ``samples_TASK_TIME.jsonl`` that ``--log_samples`` writes, an object a document and filter, in both forms
they have had: numbers, in lines or in one array, and numbers as text. Rules:

- ``filtered_resps`` (without it, ``resps``) holds a log-likelihood a choice; where the choices' unconditional ones
  follow (``acc_mutual_info``), these are left out. Text that a model generated has none, and is refused.
- Of several filters the one counts that comes first in the file. A document that stands twice with the same values
  counts once, with others it is an error.
- Questions have different numbers of choices: shorter rows end in logits of -inf, which no probability is given to.
- The label is ``target``: the number of a choice, as number or text; else text that is one of the choices, as its
  label, its text, or its continuation in ``arguments``. Anything else, and several right choices, are errors.
- ``--groups task`` is the task by the file's name; other slices and weights are named by a path (``doc.subject``).
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import MAX_CLASSES, Array
from .batches import Batch, Dump, DumpError, Piece, after, rows_per_batch
from .labels import batch_of
from .lines import Lines, opened
from .names import Roles
from .records import MISSING, Refused, is_number, is_text, keys_of, records, value_at
from .texts import group_array, number, quoted

SCORES = "filtered_resps", "resps"
TASK = "task"
MAX_LINE = 16 << 20  # as of other JSON lines
# Documents are remembered to tell when one stands twice, with 150 bytes each. The largest tasks have some 10^5.
MAX_DOCUMENTS = 1 << 20
_FILE = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT[\d.:\-]+)?\.jsonl", re.IGNORECASE)
_INTEGER = re.compile(r"-?\d{1,9}", re.ASCII)


class LmEvalDump(Dump):
    """One file of samples, of which every line was looked at when it was opened; rows have ``n_columns`` logits."""

    def __init__(self, path: Path, asked: Roles) -> None:
        self.name = str(path)
        self.files = (path,)
        self.task = task_of(path)
        self.roles = replace(
            asked,
            logits=asked.logits or SCORES[0],
            labels=asked.labels or ("target" if asked.need_labels else None),
            classes=None,  # a choice is a number: their texts differ from question to question
        )
        self.n_columns = 1
        self.n_rows = 0
        for row in self._rows():
            self.n_columns = max(self.n_columns, len(row[0]))
            self.n_rows += 1

    def with_columns(self, n: int) -> LmEvalDump:
        """The same with rows of ``n`` logits, as other files have that are read along with it."""
        other = object.__new__(LmEvalDump)
        other.__dict__ = {**self.__dict__, "n_columns": n}
        return other

    def pieces(self) -> list[Piece]:
        """See :meth:`Dump.pieces`."""
        return [Piece(0, 1, 0, self.n_rows)]

    def read(self, piece: Piece, skip: int = 0) -> Generator[Batch, None, None]:
        """See :meth:`Dump.read`."""
        return after(skip, self._all())

    def _all(self) -> Generator[Batch, None, None]:
        most, first_row = rows_per_batch(8 * self.n_columns), 0
        rows: list[Row] = []
        for row in self._rows():
            if len(row[0]) > self.n_columns:
                raise DumpError(f"{self.name} has changed while it was read")
            rows.append(row)
            if len(rows) == most:
                yield self._batch(rows, first_row)
                first_row += len(rows)
                rows = []
        if rows:
            yield self._batch(rows, first_row)

    def _batch(self, rows: list[Row], first_row: int) -> Batch:
        scores = np.full((len(rows), self.n_columns), -np.inf)
        for place, row in enumerate(rows):
            scores[place, : len(row[0])] = row[0]
        _, labels, weights, groups = zip(*rows, strict=True)
        return batch_of(
            np.array(labels, np.int64) if self.roles.labels else None,
            scores,
            np.array(weights, np.float64) if self.roles.weights else None,
            group_array(list(groups)) if self.roles.groups else None,
            self.roles,
            self.name,
            first_row,
        )

    def _rows(self) -> Generator[Row, None, None]:
        """Log-likelihoods, label, weight and slice of each document."""
        seen: dict[Any, int] = {}
        kept: Any = MISSING
        with opened(self.files[0]) as file:
            for where, record in records(Lines(file, self.name, MAX_LINE)):
                if not is_sample(record):
                    raise DumpError(f"{where} is no sample of lm-evaluation-harness: no doc_id or no resps")
                document, chosen = record["doc_id"], record.get("filter")
                if not isinstance(document, int | str) or not isinstance(chosen, str | None):
                    raise DumpError(f"{where}: doc_id or filter is no text or number")
                kept = chosen if kept is MISSING else kept
                if chosen != kept:
                    continue
                try:
                    row = self._row(record)
                except Refused as problem:
                    raise DumpError(f"{where} (doc_id {quoted(document)}): {problem}") from None
                key = document if _is_small(document) else _digest(repr(document).encode())
                values = hash((row[0].tobytes(), *row[1:]))
                if key not in seen:
                    seen[key] = values
                    yield row
                elif seen[key] != values:
                    raise DumpError(f"{where}: doc_id {quoted(document)} stands twice, with different values")
                if len(seen) > MAX_DOCUMENTS:
                    raise DumpError(f"{self.name} has more than {MAX_DOCUMENTS} documents")

    def _row(self, record: dict[str, Any]) -> Row:
        scores = log_likelihoods(record, self.roles.scores)
        label = None
        if self.roles.labels is not None:
            target = value_at(record, keys_of(self.roles.labels, record), MISSING)
            if target is MISSING:
                raise Refused(f"no {self.roles.labels!r}")
            label = _answer(target, record, len(scores), self.roles)
        return scores, label, self._weight(record), self._group(record)

    def _weight(self, record: dict[str, Any]) -> float | None:
        if self.roles.weights is None:
            return None
        given = value_at(record, keys_of(self.roles.weights, record))
        weight = _number(given)
        if weight is None:
            raise Refused(f"{self.roles.weights} is {quoted(given)}, no number")
        return weight

    def _group(self, record: dict[str, Any]) -> Any:
        if self.roles.groups is None:
            return None
        if self.roles.groups == TASK:
            return self.task
        given = value_at(record, keys_of(self.roles.groups, record))
        if not (isinstance(given, bool) or is_number(given) or (isinstance(given, str) and is_text(given))):
            raise Refused(f"{self.roles.groups} is {quoted(given)}; expected text or a number")
        return given


Row = tuple[Array, int | None, float | None, Any]


def is_sample(record: dict[str, Any]) -> bool:
    """Whether an object has what each of the harness's has, whatever the file is called."""
    return "doc_id" in record and any(name in record for name in SCORES)


def is_asked(asked: Roles) -> bool:
    """Whether the log-likelihoods are meant, not other scores that the records may have."""
    return asked.probs is None and asked.logits in (None, *SCORES)


def task_of(path: Path) -> str:
    """The task in ``samples_TASK_TIME.jsonl``; the whole name of other files."""
    match = _FILE.match(path.name)
    return match["task"] if match else path.name.split(".jsonl")[0]


def begins(path: Path) -> bool:
    """Whether the first object of a file is a sample."""
    with opened(path) as file:
        first = next(records(Lines(file, str(path), MAX_LINE, head=True)), None)
        return first is not None and is_sample(first[1])


def widen(dumps: list[Dump]) -> list[Dump]:
    """The same dumps, those of samples with as many columns as the widest of them has."""
    most = max((dump.n_columns for dump in dumps if isinstance(dump, LmEvalDump)), default=0)
    return [dump.with_columns(most) if isinstance(dump, LmEvalDump) else dump for dump in dumps]


def log_likelihoods(record: dict[str, Any], name: str) -> Array:
    """One a choice."""
    name = name if name in record else SCORES[1]
    given = record.get(name)
    if not isinstance(given, list) or not given:
        raise Refused(f"{name} is {quoted(given)}; expected a log-likelihood for each choice")
    if len(given) > MAX_CLASSES:
        raise Refused(f"{name} has {len(given)} entries; at most {MAX_CLASSES} are read")
    values = array("d")
    for response in given:
        # A response is a pair, a number and whether it is the most likely; before filters, a list of repeats of it.
        pair = response[0] if isinstance(response, list) and response and isinstance(response[0], list) else response
        value = _number(pair[0]) if isinstance(pair, list) and len(pair) == 2 else None
        if value is None:
            what = "text that the model generated" if isinstance(pair, str) else quoted(pair)
            raise Refused(f"{name} holds {what}; calibration needs a log-likelihood for each choice")
        values.append(value)
    metrics = record.get("metrics")
    if "acc_mutual_info" in record or (isinstance(metrics, list) and "acc_mutual_info" in metrics):
        values = values[: len(values) // 2]
    return np.array(values)


def _is_small(document: Any) -> bool:
    return isinstance(document, int) and abs(document) < 1 << 62


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _number(given: Any) -> float | None:
    """A number, also as text."""
    if is_number(given):
        return float(given)
    return number(given) if isinstance(given, str) else None


def _answer(target: Any, record: dict[str, Any], n: int, roles: Roles) -> int:
    """The number of the choice that a target says."""
    accuracy = _number(record.get("acc"))
    if accuracy is not None and 0 < accuracy < 1:
        raise Refused(f"acc is {accuracy:g}: more than one choice is right in part")
    if isinstance(target, str) and re.fullmatch(r"\[[^\[\],]+\]", target):
        target = target[1:-1].strip("'\" ")  # a list of one, as text
    if isinstance(target, list) and len(target) == 1:
        target = target[0]
    text = target.strip() if isinstance(target, str) else ""
    whole = int(target) if isinstance(target, bool | int) else int(text) if _INTEGER.fullmatch(text) else None
    if whole is not None and (0 <= whole < n or whole == roles.ignore_index):
        return whole
    if isinstance(target, str):
        places = {place for texts in _choices(record) for place, one in enumerate(texts) if place < n and one == text}
        if len(places) == 1:
            return places.pop()
        if places:
            raise Refused(f"{roles.labels} {quoted(target)} is several of its choices")
    raise Refused(f"{roles.labels} is {quoted(target)}, none of its {n} choices by number, label or text")


def _choices(record: dict[str, Any]) -> Generator[list[str], None, None]:
    """Each list of what the choices are called."""
    found = [
        value_at(record, ("doc", "choices")),
        *(value_at(record, ("doc", "choices", key)) for key in ("label", "text")),
    ]
    arguments = record.get("arguments")
    pairs = list(arguments.values()) if isinstance(arguments, dict) else arguments
    if isinstance(pairs, list):
        found.append([list(pair.values())[1:2] if isinstance(pair, dict) else pair[1:2] for pair in pairs if pair])
    for texts in found:
        if isinstance(texts, list):
            yield [_only(one) for one in texts]


def _only(given: Any) -> str:
    """The text in a text, or in a list of one."""
    given = given[0] if isinstance(given, list) and len(given) == 1 else given
    return given.strip() if isinstance(given, str) else "\0"
