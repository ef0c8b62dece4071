"""Which array of a dump plays which part: by flag, or by its own name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

KNOWN = {
    "logits": ("logits",),
    "probs": ("probs", "probabilities", "y_prob"),
    "labels": ("labels", "label", "targets", "target", "y_true"),
}

MOST_SHOWN = 60  # characters of a name or label in a message


@dataclass(frozen=True)
class Roles:
    """The names of scores, labels, weights and slices; None where still to be found among a dump's own names.

    ``classes`` are the names that labels have as text, in the order of the scores' columns; rows whose label is
    ``ignore_index`` do not count. Without ``need_labels`` a dump may have none: ``labels`` then stays None, and readers
    give None to :func:`fastcal.dumps.labels.batch_of`.
    """

    logits: str | None = None
    probs: str | None = None
    labels: str | None = None
    weights: str | None = None
    groups: str | None = None
    classes: tuple[str, ...] | None = None
    ignore_index: int | None = None
    need_labels: bool = True

    @property
    def named(self) -> tuple[str, ...]:
        """The names that are known."""
        return tuple(name for name in (self.logits, self.probs, self.labels, self.weights, self.groups) if name)

    @property
    def scores(self) -> str:
        """The name of the scores, once known."""
        return self.logits or self.probs or ""

    @property
    def from_logits(self) -> bool:
        """Whether the scores are logits."""
        return self.logits is not None


def roles(asked: Roles, available: Collection[str], where: str) -> Roles:
    """Fill in what was not asked for by name; raises ValueError where the names leave it open."""
    if asked.logits is not None and asked.probs is not None:
        raise ValueError("--logits and --probs are both given; scores are one or the other")
    found: dict[str, Any] = {}
    if asked.logits is None and asked.probs is None:
        both = {role: _known(role, available) for role in ("logits", "probs")}
        candidates = [(role, name) for role, names in both.items() for name in names]
        if len(candidates) != 1:
            what = "both logits and probabilities" if candidates else "neither logits nor probabilities by name"
            raise ValueError(f"{where} has {what} ({listed(sorted(available))}); say --logits NAME or --probs NAME")
        found[candidates[0][0]] = candidates[0][1]
    if asked.labels is None and asked.need_labels:
        names = _known("labels", available)
        if len(names) != 1:
            what = "several arrays that may be labels" if names else "no labels by name"
            raise ValueError(f"{where} has {what} ({listed(sorted(available))}); say --labels NAME")
        found["labels"] = names[0]
    return replace(asked, **found)


def _known(role: str, available: Collection[str]) -> list[str]:
    """The dump's names that are known for a role; one column a class (``probs_0``, ``probs_1``) counts as ``probs``."""
    return [name for name in KNOWN[role] if name in available or f"{name}_0" in available]


def listed(names: Collection[str]) -> str:
    """The first of them, and how many more."""
    first = [name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}..." for name in islice(names, 8)]
    return ", ".join(first) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if first else "nothing"
