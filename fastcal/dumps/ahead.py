"""One thing read while the one before it is worked on."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """The items, each fetched on a thread of its own while the caller has the one before.

    What fetching raises is raised here. Closing the generator waits for the item that is being fetched.
    """
    source = iter(items)
    end: Any = object()
    with ThreadPoolExecutor(1, "fastcal-ahead") as pool:
        coming = pool.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, source, end)
            yield item
