"""Lines for the terminal: one a pair, one a figure of a whole process, one a growth."""

from __future__ import annotations

from .record import Growth, Pair, Run, Whole


def print_pair(pair: Pair, roofs: dict[str, float]) -> None:
    """Times, ratio, share of the roof, memory, and what was missed."""
    parts = [f"{pair.work}, {pair.given:<45}", f"{duration(pair.ours):>9}"]
    if pair.ratio is not None:
        of = "" if pair.aim is None else f" of {pair.aim:.3g}x"
        parts.append(f"{pair.peer} {duration(pair.theirs)}  {pair.ratio:.3g}x ({pair.low:.3g} to {pair.high:.3g}){of}")
    share = pair.share(roofs)
    if share is not None:
        parts.append(f"{share:.0%} of {pair.roof}")
    if pair.memory is not None:
        parts.append(" / ".join(f"{n / 1e6:.0f} MB" for n in (pair.memory, pair.memory_theirs) if n is not None))
    missed = pair.missed(roofs)
    if missed:
        parts.append("MISSED: " + ", ".join(missed))
    if pair.disturbed:
        parts.append(f"(others kept {pair.others:.1f} cores busy)")
    print("  ".join(parts), flush=True)


def print_whole(whole: Whole) -> None:
    """The figure, what it may be, and its note."""
    value = "-" if whole.value is None else f"{whole.value:.4g}"
    bounds = [f"at most {whole.at_most:g}"] if whole.at_most is not None else []
    bounds += [f"at least {whole.at_least:g}"] if whole.at_least is not None else []
    verdict = f"  {'holds' if whole.holds else 'MISSED'} ({', '.join(bounds)})" if bounds else ""
    print(f"{whole.what:<60} {value:>8} {whole.unit}{verdict}" + (f"  {whole.note}" if whole.note else ""), flush=True)


def print_growth(growth: Growth) -> None:
    """The exponents, and the seconds of the fewest and the most."""
    sizes, seconds = growth.sizes, growth.seconds
    ends = f"{sizes[0]:,} in {duration(seconds[0])}, {sizes[-1]:,} in {duration(seconds[-1])}"
    verdict = "holds" if growth.holds else "MISSED"
    exponents = f"time {growth.exponent:.2f} of {growth.at_most:.2f}, "
    exponents += f"memory {growth.memory_exponent:.2f} of {growth.memory_at_most:.0f}"
    print(f"{growth.work} against {growth.against}: {exponents}  {verdict}  {ends}", flush=True)


def print_missed(run: Run) -> None:
    """All that was asked for and not reached."""
    missed = [f"{pair.key}: {', '.join(found)}" for pair in run.pairs if (found := pair.missed(run.roofs))]
    missed += [f"{whole.key}: {whole.value} {whole.unit}" for whole in run.wholes if not whole.holds]
    missed += [
        f"{one.key}: time {one.exponent:.2f} of {one.at_most:.2f}, "
        f"memory {one.memory_exponent:.2f} of {one.memory_at_most:.0f}"
        for one in run.growth
        if not one.holds
    ]
    print(f"MISSED: {len(missed)}")
    for line in missed:
        print(f"  {line}")


def duration(seconds: float) -> str:
    """With enough digits."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.2f} us"
