"""What is installed, and what files hold, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ..dumps.batches import shown

UNITS = ("bytes", "KB", "MB", "GB", "TB")
MOST_LISTED = 12  # of a list of files


def show_environment(found: Mapping[str, Any]) -> None:
    """Print versions, extras, threads and where compiled kernels are."""
    flat = {name: value for name, value in found.items() if name not in ("extras", "extras_missing", "kernels")}
    for extra, versions in found["extras"].items():
        if extra not in found["extras_missing"]:
            flat[f"extra {extra}"] = ", ".join(f"{name} {version}" for name, version in versions.items())
        else:
            flat[f"extra {extra}"] = f'not installed: pip install "fastcal[{extra}]"'
    kept = found["kernels"]
    where = kept["folder"] or "nowhere: FASTCAL_CACHE is off, or no folder can be written"
    flat["compiled kernels"] = f"{where} ({kept['files']:,} files, {size(kept['bytes'])})"
    Console(highlight=False, soft_wrap=True).print(_listed(flat))


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
