"""The package as a whole: light to import, names that hold, layout that equals its description, examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from readme_blocks import blocks, is_printed

import fastcal
from fastcal.dumps.opening import SAMPLE

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


def test_the_readmes_map_is_the_package():
    """A line a file at the top and a folder, in the order in which they may import each other, the lowest first."""
    lines = README.split("```\nfastcal/\n", 1)[1].split("```", 1)[0].splitlines()
    mapped = [line.split()[0] for line in lines]
    rooms = {path.name + "/" * path.is_dir() for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert sorted(mapped) == sorted(rooms | {path.name for path in ROOT.glob("*.py")})
    ranks = [{room.strip() for room in rank.split("|")} for rank in reversed(layers())]
    places = [next((i for i, rank in enumerate(ranks) if Path(name).stem in rank), len(ranks)) for name in mapped]
    assert places == sorted(places)


def layers():
    contract = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    return [layer.replace("fastcal.", "") for layer in contract["layers"]]


def test_the_readmes_order_of_imports_is_the_contract():
    order = " -> ".join(layers())
    assert f"`{order}`" in README
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__"} == set(order.replace("|", "->").replace(" ", "").split("->"))


def test_the_readme_names_what_there_is():
    """All paths of this repository, links within the page, and the public functions, accumulators and estimators."""
    named = set(re.findall(r"(?<![\w.])(?:bench|ci|tests)/[\w./*-]*\w", README))
    assert len(named) > 50
    assert {path for path in named if not list(ROOT.parent.glob(path))} == set()
    titles = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", README)) <= titles
    words = set(re.findall(r"\w+", README))
    for name in set(fastcal.__all__) - words:  # results are told of by what returns them
        public = getattr(fastcal, name)
        assert isinstance(public, (type, str)), name
        assert not hasattr(public, "fit"), name
        assert not hasattr(public, "update"), name


def test_the_readme_opens_with_two_commands():
    first, second = list(blocks(README))[:2]
    assert (first.language, second.language) == ("sh", "sh")
    assert (len(first.source.splitlines()), len(second.source.splitlines())) == (1, 1)


PROGRAMS = [block for block in blocks(README) if block.language == "python"]


@pytest.fixture(scope="module")
def readers_folder(tmp_path_factory):
    """What the README's first commands leave there."""
    folder = tmp_path_factory.mktemp("try")
    shutil.copyfile(SAMPLE, folder / "eval.npz")
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", PROGRAMS, ids=[f"line {block.line}" for block in PROGRAMS])
def test_the_readmes_programs_print_what_it_says(block, readers_folder, monkeypatch, capsys):
    """In files, as Numba's cache needs them; ci/readme runs them once more as a reader would."""
    for name in re.findall(r"^(?:from|import) (\w+)", block.source, re.M):
        pytest.importorskip(name, reason="needs the bench extra")
    path = readers_folder / f"line_{block.line}.py"
    path.write_text(block.source)
    monkeypatch.chdir(readers_folder)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    runpy.run_path(str(path))
    assert is_printed(capsys.readouterr().out, block.printed or "")
