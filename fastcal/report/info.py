"""What is installed, and what files hold, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ..dumps.batches import shown

UNITS = ("bytes", "KB", "MB", "GB", "TB")
MOST_LISTED = 12  # of a list of files
# What is not said where there is none.
ABSENT = ("FASTCAL_NUM_THREADS", "OMP_NUM_THREADS", "quota")


def show_environment(found: Mapping[str, Any]) -> None:
    """Print versions, extras, threads and where compiled kernels are."""
    flat = {name: value for name, value in found.items() if name not in ("extras", "extras_missing", "kernels")}
    for extra, versions in found["extras"].items():
        if extra not in found["extras_missing"]:
            flat[f"extra {extra}"] = ", ".join(f"{name} {version}" for name, version in versions.items())
        else:
            flat[f"extra {extra}"] = f'not installed: pip install "fastcal[{extra}]"'
    flat |= _kept(found["kernels"])
    Console(highlight=False, soft_wrap=True).print(_listed(flat))


def _kept(kept: Mapping[str, Any]) -> dict[str, str]:
    """Where compiled kernels are, and what they took to compile."""
    where = kept["folder"] or ("new ones nowhere, read-only" if kept["folders"] else "nowhere: FASTCAL_CACHE is off")
    flat = {"compiled kernels": f"{where} ({kept['files']:,} files, {size(kept['bytes'])})"}
    for one in kept["folders"]:
        if one["folder"] != kept["folder"] and one["files"]:
            how = "also read" if one["writable"] else "read-only"
            flat[f"compiled kernels, {how}"] = f"{one['folder']} ({one['files']:,} files, {size(one['bytes'])})"
    if kept["entries"]:
        processors = ", ".join(sorted({one["processor"] for one in kept["entries"]}))
        flat["compiled kernels, time"] = f"{kept['seconds']:.1f} s to compile, for {processors}"
    if kept["stale_files"]:
        stale = f"{kept['stale_files']:,} files, {size(kept['stale_bytes'])}: fastcal info --prune removes them"
        flat["compiled kernels, of other versions"] = stale
    return flat


def show_kernels(kept: Sequence[Mapping[str, Any]]) -> None:
    """Print each compiled kernel: seconds, bytes, name and arguments."""
    lines = [f"{one['seconds']:8.2f} s  {size(one['bytes']):>8}  {one['kernel']}{one['signature']}" for one in kept]
    Console(highlight=False, soft_wrap=True).print(Text("\n".join(map(shown, lines))))


def show_files(found: Sequence[Mapping[str, Any]]) -> None:
    """Print what each file holds."""
    console = Console(highlight=False, soft_wrap=True)
    for number, one in enumerate(found):
        if number:
            console.print()
        console.print(Text(shown(one["file"]), style="bold"))
        rest = {name: value for name, value in one.items() if name != "file"}
        if one.get("files") == [one["file"]]:
            del rest["files"]
        console.print(_listed(rest))


def _listed(found: Mapping[str, Any]) -> Text:
    lines = _lines(found, "")
    width = max(len(name) for name, _ in lines)
    return Text("\n".join(f"{shown(name):{width}}  {shown(value)}" for name, value in lines))


def _lines(found: Mapping[str, Any], before: str) -> list[tuple[str, str]]:
    lines = []
    for name, value in found.items():
        label = f"{before}{name.replace('_', ' ').strip()}"
        if isinstance(value, Mapping):
            if name == "arrays":
                lines += [(f"{before}{role}", _array(one)) for role, one in value.items()]
            else:
                lines += _lines(value, f"{label}: ")
        elif value is None and name in ABSENT:
            continue
        elif name in ("bytes", "memory_bytes", "kept_bytes"):
            lines.append((label.removesuffix(" bytes") if before or name != "bytes" else "size", size(value)))
        else:
            lines.append((label, _text(value)))
    return lines


def _array(one: Mapping[str, Any]) -> str:
    shape = " x ".join(map(str, one["row_shape"])) or "one"
    return f"{one['array']}: {shape} a row, {one['dtype']}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - MOST_LISTED} more" if len(value) > MOST_LISTED else ""
        return ", ".join(map(str, value[:MOST_LISTED])) + more or "none"
    if value is None:
        return "not known"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def size(n: int | None) -> str:
    """Bytes in the unit that suits them."""
    if n is None:
        return "not known"
    value, unit = float(n), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{n:,} bytes" if unit == 0 else f"{value:.1f} {UNITS[unit]}"
