"""The package as a whole: light to import, names that hold, layout that equals its description, examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
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
    if "torch" in name:
        pytest.importorskip("torchmetrics", reason="needs the bench extra")
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_every_public_function_has_an_example_that_runs():
    for name in fastcal.__all__:
        documented = getattr(fastcal, name)
        if callable(documented) and not isinstance(documented, type):
            assert ">>> " in documented.__doc__, name


BETWEEN_MODULES = {"of", "undefined", "figure", "part_state", "located", "ranking", "empty"}  # public to ours alone


def test_every_public_class_and_method_has_an_example():
    """A method's may stand with the same method of another class."""
    classes = [found for name in fastcal.__all__ if isinstance(found := getattr(fastcal, name), type)]
    shown, named = set(), set()
    for one in classes:
        assert ">>> " in (one.__doc__ or ""), one
        for name, method in inspect.getmembers(one, callable):
            if not name.startswith("_") and str(getattr(inspect.unwrap(method), "__module__", "")).startswith(
                "fastcal"
            ):
                named.add(name)
                shown |= {name} if ">>> " in (method.__doc__ or "") else set()
    assert named - shown <= BETWEEN_MODULES


def test_no_file_is_longer_than_400_lines():
    for path in [*ROOT.rglob("*.py"), *ROOT.parent.glob("tests/*.py"), *ROOT.parent.glob("bench/*.py")]:
        assert len(path.read_text().splitlines()) <= 400, path


README = (ROOT.parent / "README.md").read_text()


def mapped_files():
    """The paths that the README's map lists."""
    block = README.split("```\nfastcal/\n", 1)[1].split("```", 1)[0]
    folders, files = [], set()
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        name = line.split()[0]
        folders[depth:] = [name.rstrip("/")] if name.endswith("/") else []
        if not name.endswith("/"):
            files.add("/".join([*folders[:depth], name]))
    return files


def test_the_readmes_map_is_the_package():
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")}
    assert mapped_files() == {file for file in files if "/" not in file or not file.endswith("__init__.py")}


def test_the_readmes_order_of_imports_is_the_contract():
    contract = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    order = " -> ".join(layer.replace("fastcal.", "") for layer in contract["layers"])
    assert f"`{order}`" in README
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__"} == set(order.replace("|", "->").replace(" ", "").split("->"))


OF_OTHERS = README[README.index("## As a backend") :].split("```python\n")[1:]


@pytest.mark.parametrize("block", OF_OTHERS, ids=range(len(OF_OTHERS)))
def test_the_readmes_python_for_other_libraries_runs(block, tmp_path, monkeypatch):
    """In a file of its own, as Numba's cache needs one."""
    if "torch" in block:
        pytest.importorskip("torchmetrics", reason="needs the bench extra")
    path = tmp_path / "of_the_readme.py"
    path.write_text(block.split("```", 1)[0])
    monkeypatch.setenv("MPLBACKEND", "Agg")
    done = subprocess.run([sys.executable, "-W", "ignore", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readmes_python_runs():
    """The lines of library use, on rows of their shapes."""
    code = README.split("```python\n", 1)[1].split("```", 1)[0]
    logits = np.random.default_rng(0).standard_normal((100, 3))
    labels = np.where(np.arange(100) % 3 == 0, 0, logits.argmax(axis=1))
    probs = np.full((100, 4), 0.25)
    scores, outcomes = np.linspace(0, 1, 100), np.arange(100) % 2
    batches = [(labels[:50], probs[:50]), (labels[50:], probs[50:])]
    given = {"logits": logits, "labels": labels, "probs": probs, "batches": batches}
    given |= {"members": np.stack([probs, probs]), "scores_in": scores, "scores_out": scores - 0.5}
    exec(compile(code, "README.md", "exec"), {**given, "scores": scores, "outcomes": outcomes})
