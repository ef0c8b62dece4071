"""Follows the README as a new user would: every fenced command and snippet in order, and what each prints.

    python -m tests.readme_blocks CLONE VENV SCRATCH [--without WORD]

A block in ``sh`` runs in bash, and its folder stays that of the next; one in ``python`` is a program of its own; of
``yaml`` each ``run:`` runs, whose summary is what it prints; of a ``Dockerfile`` ENV and RUN. The block in ``text``
after one is what that prints, where ``...`` stands for anything. Blocks in no language are pictures. The comment
``<!-- ci: runs elsewhere: WHERE -->`` before a block leaves it out; what stands between ``<!-- bench: NAME -->`` and
its end is generated, and held to the recorded run elsewhere.
"""

from __future__ import annotations

import argparse
import doctest
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCED = re.compile(r"^(?:<!-- ci: runs elsewhere: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GENERATED = re.compile(r"^<!-- bench: (\w+) -->$.*?^<!-- bench: end of \1 -->$", re.MULTILINE | re.DOTALL)
RUN = {"sh", "python", "yaml", "Dockerfile"}


@dataclass(frozen=True)
class Block:
    """What to run, where it stands, and what it prints where the README says so; ``elsewhere`` runs it instead."""

    language: str
    source: str
    line: int
    elsewhere: str
    printed: str | None = None


def blocks(text: str) -> Iterator[Block]:
    """What the README has to be run, in order."""
    text = GENERATED.sub(lambda section: "\n" * section[0].count("\n"), text)
    last: Block | None = None
    for found in FENCED.finditer(text):
        elsewhere, language, source = found.groups(default="")
        line = text.count("\n", 0, found.start(3))
        if language == "text":
            if last is None:
                raise ValueError(f"line {line} of the README is printed by nothing")
            yield Block(last.language, last.source, last.line, last.elsewhere, source)
            last = None
            continue
        if last is not None:
            yield last
        last = Block(language, source, line, elsewhere) if language in RUN else None
        if language and language not in RUN:
            raise ValueError(f"line {line} of the README is {language}, which nothing runs")
    if last is not None:
        yield last


def is_printed(said: str, expected: str) -> bool:
    """Whether a block printed what the README says, but for spaces at the ends of lines."""
    plain = ["".join(line.rstrip() + "\n" for line in text.splitlines()) for text in (expected, said)]
    return doctest.OutputChecker().check_output(*plain, doctest.ELLIPSIS)


class Reader:
    """Somebody with a clone, an empty virtual environment and a terminal."""

    def __init__(self, clone: Path, venv: Path, scratch: Path):
        self.clone, self.folder, self.scratch = clone, clone, scratch
        self.summary = scratch / "summary.md"
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("FASTCAL_", "NUMBA_", "PYTHON"))
        }
        self.environment = kept | {
            "VIRTUAL_ENV": str(venv),
            "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
            "FASTCAL_CACHE_DIR": str(scratch / "kernels"),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "MPLBACKEND": "Agg",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, block: Block) -> tuple[int, str]:
        """Exit code, and what was printed."""
        return getattr(self, f"_{block.language.lower()}")(block.source, block.line)

    def _sh(self, source: str, line: int) -> tuple[int, str]:
        at = self.scratch / "folder"
        done = self._ran(["bash", "-euo", "pipefail", "-c", f"trap 'pwd > \"{at}\"' EXIT\n{source}"])
        self.folder = Path(at.read_text().strip())
        return done

    def _python(self, source: str, line: int) -> tuple[int, str]:
        path = self.scratch / f"line_{line}.py"
        path.write_text(source)
        return self._ran(["python", str(path)])

    def _yaml(self, source: str, line: int) -> tuple[int, str]:
        code, said = self._sh("\n".join(re.findall(r"^ *-? *run: (.+)$", source, re.MULTILINE)), line)
        return code, said + self.summary.read_text() if self.summary.exists() else said

    def _dockerfile(self, source: str, line: int) -> tuple[int, str]:
        """Its root is a folder of ours, and what COPY copies is the clone."""
        inside = re.sub(r"(?<=[ =\"])/(?=\w)", f"{self.scratch}/", source.replace("\\\n", " "))
        lines = []
        for instruction in inside.splitlines():
            kind, _, rest = instruction.partition(" ")
            if kind == "COPY":
                lines.append(f"ln -s {self.clone} {rest.split()[-1]}")
            elif kind in {"ENV", "RUN"}:
                lines.append(f"export {rest}" if kind == "ENV" else rest)
        (self.scratch / "opt").mkdir(exist_ok=True)
        return self._sh("\n".join(lines), line)

    def _ran(self, command: list[str]) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


def follow(text: str, reader: Reader, without: list[str]) -> int:
    """Run all blocks, a line each; returns how many did not end well, or printed something else."""
    wrong = 0
    for block in blocks(text):
        first = block.source.splitlines()[0]
        missing = [word for word in without if re.search(rf"\b{word}\b", block.source)]
        if block.elsewhere or missing:
            print(f"line {block.line:4}  {f'in {block.elsewhere}' if block.elsewhere else 'left out':>14}  {first}")
            continue
        began = time.perf_counter()
        code, said = reader.run(block)
        seconds = f"{time.perf_counter() - began:.1f} s"
        holds = code == 0 and (block.printed is None or is_printed(said, block.printed))
        wrong += not holds
        print(f"line {block.line:4}  {seconds if holds else 'WRONG':>14}  {first}", flush=True)
        if not holds:
            expected = "" if block.printed is None else f"\nthe README says:\n{block.printed}"
            end = "\n".join(said.splitlines()[-50:])
            print(f"{block.source}ends with {code}, having printed:\n{end}{expected}", flush=True)
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Follow the README.")
    for name in ("clone", "venv", "scratch"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--without", action="append", default=[], metavar="WORD", help="leave out blocks that name it")
    given = parser.parse_args()
    readme = (given.clone / "README.md").read_text(encoding="utf-8")
    reader = Reader(given.clone.resolve(), given.venv.resolve(), given.scratch.resolve())
    sys.exit(f"{n} blocks went wrong" if (n := follow(readme, reader, given.without)) else 0)
