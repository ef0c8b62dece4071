"""Numba itself is for what kernels are made with (NUMBA_IN, of kernels/) alone; all else there has the decorators.

The few helpers that run in Python are listed here; of ``jit.py`` the others take no more than its decorators.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "fastcal"
JIT = PACKAGE / "kernels" / "jit.py"
NAMES = ("jit", "bits", "byte_sums", "caching", "intrinsics", "processor", "stack", "vectors")
NUMBA_IN = [JIT.parent / f"{name}.py" for name in NAMES]
IN_PYTHON = {"empty_block", "divisor", "scratch"}
DECORATORS = {"kernel", "by_dtype", "by_scores", "inner", "inlined"}


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of the libraries that a module imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


def problems(path: Path) -> list[str]:
    """What is wrong with one file."""
    tree = ast.parse(path.read_text())
    found = []
    if path not in NUMBA_IN and "numba" in imported(tree):
        found.append(f"imports numba; only {', '.join(NAMES)} of kernels/ do")
    if path.parent == JIT.parent and path not in (*NUMBA_IN, JIT.parent / "__init__.py"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "jit":
                taken = {alias.name for alias in node.names} - DECORATORS
                found += [f"imports {name} from jit.py; only its decorators are for others" for name in sorted(taken)]
            if isinstance(node, ast.FunctionDef | ast.Lambda) and getattr(node, "name", None) not in IN_PYTHON:
                if isinstance(node, ast.Lambda):
                    found.append(f"line {node.lineno} holds a lambda")
                    continue
                decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
                if decorators not in (["kernel"], ["inner"], ["inlined"]):
                    found.append(f"{node.name} is decorated with {decorators}, not with kernel, inner or inlined alone")
    return [f"{path.relative_to(PACKAGE.parent)}: {problem}" for problem in found]


def main() -> None:
    """Print what is wrong; exit with 1 if anything is."""
    found = [problem for path in sorted(PACKAGE.rglob("*.py")) for problem in problems(path)]
    print("\n".join(found) or "every kernel goes through the one decorator")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
