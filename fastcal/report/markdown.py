"""Tables in Markdown, as summaries of CI services show them; text from outside stands in them as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..dumps.batches import shown

# What would be markup: of Markdown, of HTML, of a table, and what makes links and mentions of plain text.
MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@$:/^=-])")


def escaped(text: object) -> str:
    """Text that shows as itself in any cell or line; characters that do not print as their escape sequences."""
    return MARKUP.sub(lambda found: f"&#{ord(found[1])};", shown(text))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table of cells that are Markdown already; columns ``right`` are aligned so."""
    lines = [_line(headings), _line(["---:" if k in right else "---" for k in range(len(headings))])]
    return "\n".join([*lines, *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
