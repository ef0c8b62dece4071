"""``python -m bench.pages``: sections of the README, bench/results/RESULTS.md and the plots, from the recorded run.

``--check`` writes nothing, names what is stale and ends with 1. A section of the README lies between the lines
``<!-- bench: NAME -->`` and ``<!-- bench: end of NAME -->``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import plots
from .asked import Asked, Short, read_asked, read_short
from .printing import duration
from .record import GROWTH_MARGIN, RESULTS, Growth, Pair, Run, Whole
from .words import amount, factor, measured, of_roof, peak_memory, peer_with_version, spread

README = Path(__file__).parents[1] / "README.md"
FULL, PAGE = RESULTS / "full.json", RESULTS / "RESULTS.md"
FROM_README = "bench/results/"
ASKED = "| work | input | peer | asked | measured (quartiles) | of the roof | peak memory, ours / theirs | |"
TITLES = {
    "comparisons": "Public functions against every peer",
    "courses": "Rows",
    "calibration": "Calibration errors",
    "order": "What sorts",
    "ensembles": "Ensembles",
    "ood": "Out of distribution",
    "selective": "Selective prediction",
    "calibrators": "Calibrators",
    "calls": "Calls on few rows",
    "swaps": "Swapped imports",
}


# --- the figures that were asked for ----------------------------------------------------------------------------------


def asked(run: Run, issues: Sequence[Asked], shorts: Sequence[Short], page: str = FROM_README + PAGE.name) -> list[str]:
    """A table an issue: every ratio, share and ceiling that it asked for."""
    figures = by_key(run)
    met = sum(not missed(one, run) for issue in issues for one in issue.found(figures))
    total = sum(len(issue.found(figures)) + len(issue.absent(figures)) for issue in issues)
    lines = [
        f"{met} of {total} figures that were asked for are met; for each other one the link leads to its profile.",
        "",
    ]
    for issue in issues:
        lines += [f"**{issue.title}** (issue {issue.number})", "", ASKED, "|---" * 8 + "|"]
        lines += [_asked_line(one, run, shorts, page) for one in issue.found(figures)]
        lines += [f"| {key} | | | | not measured in this run | | | |" for key in issue.absent(figures)]
        lines.append("")
    return lines[:-1]


def by_key(run: Run) -> dict[str, Pair | Whole]:
    """Pairs and figures of whole processes, by name."""
    return {one.key: one for one in (*run.pairs, *run.wholes)}


def missed(one: Pair | Whole | Growth, run: Run) -> bool:
    """Whether it is short of what was asked."""
    return bool(one.missed(run.roofs)) if isinstance(one, Pair) else not one.holds


def _asked_line(one: Pair | Whole, run: Run, shorts: Sequence[Short], page: str) -> str:
    result = "met"
    if missed(one, run):
        number = next((n for n, short in enumerate(shorts, 1) if short.explains(one.key)), None)
        result = "**short**" if number is None else f"**[short]({page}#short-{number})**"
    if isinstance(one, Whole):
        bound = f"at most {amount(one.at_most, one.unit)}" if one.at_most is not None else ""
        bound = f"at least {amount(one.at_least, one.unit)}" if one.at_least is not None else bound
        return f"| {one.what} | | | {bound} | {measured(one)} | | | {result} |"
    aims = [] if one.aim is None else [factor(one.aim)]
    aims += [] if one.share_aim is None else [f"{one.share_aim:.0%} of {one.roof}"]
    cells = [one.work, one.given, peer_with_version(one.peer, run.versions), ", ".join(aims), spread(one)]
    return "| " + " | ".join([*cells, of_roof(one, run.roofs), peak_memory(one), result]) + " |"


# --- where and with what it was measured ------------------------------------------------------------------------------


def versions(run: Run) -> list[str]:
    """Date, machine, versions, and the commands that measure it again."""
    machine, roofs = run.machine, run.roofs
    memory = f", {machine['memory'] / 2**30:.0f} GiB of memory" if machine.get("memory") else ""
    lines = [
        f"Measured on {run.date} at commit {run.commit} in {run.seconds / 60:.0f} minutes: "
        f"`python -m bench --{run.mode}`.",
        "",
        f"- machine: {machine['processor']}, {machine['cores']} cores{memory}, {machine['system']}; "
        f"{machine['threads']} threads for either side",
        f"- roofs, measured in the same run: all threads read {roofs['read'] / 1e9:.1f} GB/s and copy "
        f"{roofs['copy'] / 1e9:.1f} GB/s (read and written); `np.sort` of float32, which has one thread, "
        f"{roofs['sort'] / 1e6:.0f} M numbers/s",
        "- versions: " + ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    ]
    if run.missing:
        lines.append("- not installed, and not measured: " + ", ".join(run.missing))
    torch = f"torch=={run.versions['torch'].partition('+')[0]}" if "torch" in run.versions else "torch"
    again = [f'pip install {torch} && pip install -e ".[bench]"', f"python -m bench --{run.mode} --record"]
    return [*lines, "", "```sh", *again, "python -m bench.pages", "```"]


# --- all of it --------------------------------------------------------------------------------------------------------


def results(run: Run, issues: Sequence[Asked], shorts: Sequence[Short]) -> list[str]:
    """The page of a run: what is short and why, all pairs by set, whole processes, growth."""
    lines = ["# What was measured", "", "Written by `python -m bench.pages` from full.json beside it.", ""]
    lines += [
        *versions(run),
        "",
        "## Asked for",
        "",
        *asked(run, issues, shorts, ""),
        "",
        "## Short of what was asked",
        "",
    ]
    lines += short_ones(run, shorts)
    for name in dict.fromkeys(pair.set for pair in run.pairs):
        lines += ["", f"## {TITLES.get(name, name)}", ""]
        lines += pairs_table([pair for pair in run.pairs if pair.set == name], run)
    lines += ["", "## Whole processes", "", *wholes_table(run.wholes), "", "## Growth", "", *growth_table(run.growth)]
    return lines


def short_ones(run: Run, shorts: Sequence[Short]) -> list[str]:
    """Each with what was measured, the profile, and what was tried."""
    figures = {one.key: one for one in (*run.pairs, *run.wholes, *run.growth) if missed(one, run)}
    lines = []
    for number, short in enumerate(shorts, 1):
        lines += [f'<a id="short-{number}"></a>', "", f"**{short.title}**", ""]
        lines += [f"- {key}: {_by_how_much(one, run)}" for key, one in figures.items() if short.explains(key)]
        lines += ["", f"Profile: {short.profile}", "", "Tried:", ""]
        lines += [*(f"- {idea}" for idea in short.tried), ""]
    unexplained = [key for key in figures if not any(short.explains(key) for short in shorts)]
    if unexplained:
        lines += ["Short in this run, and not explained:", "", *(f"- {key}" for key in unexplained), ""]
    return lines[:-1] if lines else ["None."]


def _by_how_much(one: Pair | Whole | Growth, run: Run) -> str:
    if isinstance(one, Pair):
        return ", ".join(one.missed(run.roofs))
    if isinstance(one, Whole):
        return measured(one)
    memory = f"memory {one.memory_exponent:.2f} of {one.memory_at_most:.0f}"
    return f"exponents {one.exponent:.2f} of {one.at_most:.2f}, {memory}"


def pairs_table(pairs: Sequence[Pair], run: Run) -> list[str]:
    """A line a pair."""
    head = ["work", "input", "fastcal", "peer", "its time", "ratio (quartiles)", "asked", "of the roof"]
    lines = [f"| {' | '.join(head)} | peak memory, ours / theirs |", "|---" * 9 + "|"]
    for one in pairs:
        theirs = "" if one.theirs is None else duration(one.theirs)
        peer = peer_with_version(one.peer, run.versions)
        cells = [one.work, one.given, duration(one.ours), peer, theirs, spread(one)]
        cells += ["" if one.aim is None else factor(one.aim), of_roof(one, run.roofs), peak_memory(one)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def wholes_table(wholes: Sequence[Whole]) -> list[str]:
    """A line a figure."""
    lines = ["| set | figure | measured | asked | note |", "|---" * 5 + "|"]
    for one in wholes:
        bounds = [f"at most {one.at_most:g}"] if one.at_most is not None else []
        bounds += [f"at least {one.at_least:g}"] if one.at_least is not None else []
        lines.append(f"| {one.set} | {one.what} | {measured(one)} | {', '.join(bounds)} | {one.note} |")
    return lines


def growth_table(found: Sequence[Growth]) -> list[str]:
    """Exponents, and what the smallest and the largest take."""
    lines = [
        "Exponents of time and memory, fitted to the larger half of the sizes (`bench/growth.py` says how); at most 1,",
        f"or what n log n comes to, and {GROWTH_MARGIN} for caches and noise. Against classes there are 1000 rows.",
        "",
        "| work | against | from | to | time at both | exponent | at most | memory at the end | exponent | at most | |",
        "|---" * 11 + "|",
    ]
    for one in found:
        cells = [one.work, one.against, f"{one.sizes[0]:,}", f"{one.sizes[-1]:,}"]
        cells += [
            f"{duration(one.seconds[0])}, {duration(one.seconds[-1])}",
            f"{one.exponent:.2f}",
            f"{one.at_most:.2f}",
        ]
        cells += [f"{one.memory[-1] / 1e6:.0f} MB", f"{one.memory_exponent:.2f}", f"{one.memory_at_most:.0f}"]
        lines.append("| " + " | ".join([*cells, "holds" if one.holds else "**grows faster**"]) + " |")
    return lines


# --- files ------------------------------------------------------------------------------------------------------------


def sections(run: Run, issues: Sequence[Asked], shorts: Sequence[Short]) -> dict[str, list[str]]:
    """Of the README, by name."""
    pictures = [f"![{plot.says}]({FROM_README}{plot.name})" for plot in plots.PLOTS]
    return {"asked": asked(run, issues, shorts), "plots": pictures, "versions": versions(run)}


def replaced(text: str, name: str, lines: Sequence[str]) -> str:
    """A text with other lines in one of its sections; raises ValueError where it has no such section."""
    begin, end = f"<!-- bench: {name} -->\n", f"<!-- bench: end of {name} -->\n"
    before, begins, rest = text.partition(begin)
    _, ends, after = rest.partition(end)
    if not (begins and ends):
        raise ValueError(f"no section {name!r}: expected the lines {begin.strip()} and {end.strip()}")
    return before + begin + "\n".join([*lines, ""]) + end + after


def texts(run: Run) -> dict[Path, str]:
    """The README and the page as they are to be."""
    issues, shorts = read_asked(), read_short()
    readme = README.read_text(encoding="utf-8")
    for name, lines in sections(run, issues, shorts).items():
        readme = replaced(readme, name, lines)
    return {README: readme, PAGE: "\n".join([*results(run, issues, shorts), ""])}


def stale(run: Run) -> list[str]:
    """Names of files that are not what the run gives."""
    names = [
        path.name for path, text in texts(run).items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return names + [
        plot.name for plot in plots.PLOTS if plots.drawn_of(RESULTS / plot.name) != plots.digest(plot.data(run))
    ]


def main() -> None:
    """Write all that is stale, or say what is."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where something is stale")
    check = parser.parse_args().check
    run = Run.load(FULL)
    old = stale(run)
    print("\n".join(f"{name} is stale" if check else f"writing {name}" for name in old) or "nothing is stale")
    if check:
        sys.exit(bool(old))
    for path, text in texts(run).items():
        path.write_text(text, encoding="utf-8")
    for plot in plots.PLOTS:
        if plot.name in old:
            plots.draw(plot, run, RESULTS / plot.name)


if __name__ == "__main__":
    main()
