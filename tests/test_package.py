"""The package as a whole: light to import, names that hold, layout that equals its description, examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastcal

ROOT = Path(fastcal.__file__).parent
HEAVY = ("numpy", "numba", "scipy", "pyarrow", "typer", "rich", "torch", "sklearn", "matplotlib")


def modules_after(code):
    code += "; import sys; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_light():
    assert not modules_after("import fastcal") & set(HEAVY)


def test_numba_waits_for_the_first_kernel():
    names = "import fastcal; [getattr(fastcal, name) for name in fastcal.__all__]"
    assert not modules_after(names) & set(HEAVY) - {"numpy"}
    assert "numba" in modules_after("import fastcal; fastcal.ece([0, 1], [0.2, 0.7])")


def test_public_names():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name: node.module for node in block.body for alias in node.names}
    assert imported == fastcal._MODULE_OF
    for name in fastcal.__all__:
        assert getattr(fastcal, name) is not None
    assert set(fastcal.__all__) == set(dir(fastcal))
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        fastcal.nope  # noqa: B018


def all_modules():
    return sorted(
        info.name for info in pkgutil.walk_packages([str(ROOT)], "fastcal.") if info.name != "fastcal.__main__"
    )


@pytest.mark.parametrize("name", all_modules())
def test_examples_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_every_public_function_has_an_example_that_runs():
    for name in fastcal.__all__:
        documented = getattr(fastcal, name)
        if callable(documented) and not isinstance(documented, type):
            assert ">>> " in documented.__doc__, name


def test_no_file_is_longer_than_400_lines():
    for path in [*ROOT.rglob("*.py"), *ROOT.parent.glob("tests/*.py"), *ROOT.parent.glob("bench/*.py")]:
        assert len(path.read_text().splitlines()) <= 400, path


def test_every_kernel_goes_through_the_one_decorator():
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imports = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imports |= {
            (n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level
        }
        if path.name != "jit.py" or path.parent.name != "kernels":
            assert "numba" not in imports, path
    for path in (ROOT / "kernels").glob("*.py"):
        if path.name in ("__init__.py", "jit.py"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.returns is None:  # typed helpers run in Python
                assert [ast.unparse(d) for d in node.decorator_list] == ["kernel"], f"{path.name}: {node.name}"
