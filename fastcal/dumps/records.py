"""Objects of JSON: one a line, or those of one array; and values in them by a path of keys."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

from .batches import DumpError, first_line
from .lines import Block, Lines, last_line_end

Path = tuple[str, ...]
MISSING = object()
_BETWEEN = re.compile(r"[\s,]*")


class Refused(Exception):
    """Why an object is not taken."""


class Twice(dict[str, Any]):
    """An object in which keys stand more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = {name for name, n in Counter(name for name, _ in pairs).items() if n > 1}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else Twice(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def record_of(data: bytes, where: str) -> dict[str, Any]:
    """The object in a line. Raises DumpError."""
    try:
        record = _DECODER.decode(data.decode(errors="surrogateescape"))
    except RecursionError:
        raise DumpError(f"{where} is nested too deeply") from None
    except ValueError as error:  # bad syntax, or an integer of too many digits
        raise DumpError(f"{where} is no JSON: {first_line(error)}") from error
    if not isinstance(record, dict):
        raise DumpError(f"{where} is no JSON object")
    return record


def records(lines: Lines) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """All objects, and where each stands: one a line, or those of an array. Raises DumpError."""
    lines.skip_blank()
    if lines.starts_with(b"["):
        yield from _of_array(lines)
        return
    for block in lines.blocks(last_line_end):
        for line, data in numbered(block):
            where = f"{lines.name}: line {line}"
            yield where, record_of(data, where)


def numbered(block: Block) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, each with its number."""
    for line, data in enumerate(block.data.split(b"\n"), block.line):
        if data and not data.isspace():
            yield line, data


def _of_array(lines: Lines) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """The objects of an array, of which no more is decoded than a block and one of them."""
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    held, number, started = "", 0, False
    for chunk in lines.chunks():
        held += decode(chunk)
        at = 0 if started else held.index("[") + 1
        started = True
        while True:
            at = _BETWEEN.match(held, at).end()  # type: ignore[union-attr]
            if held.startswith("]", at):
                return
            where = f"{lines.name}: object {number + 1}"
            try:
                record, end = _DECODER.raw_decode(held, at)
            except RecursionError:
                raise DumpError(f"{where} is nested too deeply") from None
            except ValueError as error:
                if lines.ended or len(held) - at > lines.longest:
                    raise DumpError(f"{where} is no JSON: {first_line(error)}") from error
                break  # the rest of it is still to come
            if not isinstance(record, dict):
                raise DumpError(f"{where} is no JSON object")
            yield where, record
            number, at = number + 1, end
        held = held[at:]
    raise DumpError(f"{lines.name} ends within its array")


def keys_of(name: str, record: dict[str, Any]) -> Path:
    """A key, or a path of keys with dots between where there is no such key."""
    return (name,) if name in record or "." not in name else tuple(name.split("."))


def value_at(record: Any, keys: Path, missing: Any = None) -> Any:
    """The value at a path, or ``missing``. Raises Refused for a key that stands twice in its object."""
    for key in keys:
        if isinstance(record, Twice) and key in record.twice:
            raise Refused(f"{key!r} stands twice in an object")
        if not isinstance(record, dict) or key not in record:
            return missing
        record = record[key]
    return record


def is_text(value: str) -> bool:
    """Whether text is any: bytes that are no UTF-8, and halves of characters, are none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether a value is a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)
