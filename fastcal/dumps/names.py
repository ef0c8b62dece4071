"""Which array of a dump plays which part: by flag, or by its own name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

KNOWN = {
    "logits": ("logits",),
    "probs": ("probs", "probabilities", "y_prob"),
    "labels": ("labels", "label", "targets", "target", "y_true"),
}


@dataclass(frozen=True)
class Roles:
    """The names of scores, labels, weights and slices; None where still to be found among a dump's own names."""

    logits: str | None = None
    probs: str | None = None
    labels: str | None = None
    weights: str | None = None
    groups: str | None = None

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
    found = {role: getattr(asked, role) for role in ("logits", "probs", "labels", "weights", "groups")}
    if asked.logits is None and asked.probs is None:
        both = {role: _known(role, available) for role in ("logits", "probs")}
        candidates = [(role, name) for role, names in both.items() for name in names]
        if len(candidates) != 1:
            what = "both logits and probabilities" if candidates else "neither logits nor probabilities by name"
            raise ValueError(f"{where} has {what} ({_listed(available)}); say --logits NAME or --probs NAME")
        found[candidates[0][0]] = candidates[0][1]
    if asked.labels is None:
        names = _known("labels", available)
        if len(names) != 1:
            what = "several arrays that may be labels" if names else "no labels by name"
            raise ValueError(f"{where} has {what} ({_listed(available)}); say --labels NAME")
        found["labels"] = names[0]
    return Roles(**found)


def _known(role: str, available: Collection[str]) -> list[str]:
    """The dump's names that are known for a role; one column a class (``probs_0``, ``probs_1``) counts as ``probs``."""
    return [name for name in KNOWN[role] if name in available or f"{name}_0" in available]


def _listed(available: Collection[str]) -> str:
    names = sorted(available)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "nothing"
