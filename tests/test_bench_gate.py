"""The gate of the benchmarks: budgets by hand, and ``ci/bench`` itself on one set, with faults and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import budgets, hooks  # noqa: E402
from bench.asked import Short  # noqa: E402
from bench.record import GROWTH_MARGIN, Growth, Pair, Run, Whole  # noqa: E402

SET, WORK, KERNEL = "calls", "softmax", "normalise.narrow"  # on few rows: neither threads nor memory disturb them
KEY = f"{SET}: {WORK}, 100 x 10 float64 logits / scipy"


def run_of(*pairs, wholes=(), growth=(), missing=(), mode="quick"):
    return Run(mode, "2020-01-01", "abc", {}, {}, {}, list(pairs), list(wholes), list(growth), list(missing))


def pair(ratio, aim=None, given="100 x 10", peer="numpy", memory=None, work="work"):
    return Pair("set", work, given, peer, 1.0, ratio, aim=aim, memory=memory)


def of(run, full=None, shorts=(), old=()):
    return {one.key: one for one in budgets.budgets(run, full, shorts, dict(old))}


# Budgets


@pytest.mark.parametrize(
    ("recorded", "aim", "least"), [(10, None, 7), (10, 5, 7), (10, 12, 8.4), (9, 12, 8.4), (8.5, 12, 8.4)]
)
def test_a_floor_is_a_share_of_what_was_recorded_and_of_what_was_asked(recorded, aim, least):
    (one,) = of(run_of(pair(recorded, aim))).values()
    assert one.at_least == pytest.approx(least)
    assert not one.short


@pytest.mark.parametrize(("recorded", "asked", "most"), [(1.0, 1.25, 1 / 0.7), (1.4, 1.25, 1.25 / 0.7)])
def test_a_ceiling_grows_by_as_much(recorded, asked, most):
    (one,) = of(run_of(wholes=[Whole("import", "import fastcal", recorded, "x", asked)])).values()
    assert one.at_most == pytest.approx(most)
    assert not one.short


def test_memory_has_a_ceiling_and_exponents_are_held_to_what_was_asked():
    grown = Growth("work", "N", [], [], [], 0.7, 0.0, 1.05, 0.0)
    found = of(run_of(pair(2.0, memory=7_000_000), growth=[grown]))
    assert found["set: work, 100 x 10, bytes of memory"].at_most == pytest.approx(12e6)
    assert found["growth: work against N, exponent of time"].at_most == pytest.approx(1.05 + GROWTH_MARGIN)
    assert found["growth: work against N, exponent of memory"].at_most == pytest.approx(GROWTH_MARGIN)


def test_a_peer_of_its_own_has_no_budget():
    assert of(run_of(wholes=[Whole("memory", "report of torchmetrics", 80.0, "MB")])) == {}


def test_what_is_short_says_why_or_fails():
    run, key = run_of(pair(2, 8)), "set: work, 100 x 10 / numpy"
    full = run_of(pair(9, 8, "1,000 x 10"), mode="full")
    short = Short(("set: work, 1,000 x 10",), "profile", ("one", "two"), "Title")
    low = run_of(pair(3, 8, "1,000 x 10"), mode="full")
    assert of(run, full)[key].because == "few rows in the quick run: 9x at 1,000 x 10"
    assert of(run, low, [short])[key].because == "short.toml: Title"
    first = of(run, low)[key]
    assert first.unexplained
    assert any("nothing says why" in one for one in budgets.check(run, {key: first}, None, True).failures)
    said = budgets.Budget(key, 2, at_least=1.4, asked=8, because="said by hand", short=True)
    again = of(run, low, old={key: said})[key]
    assert (again.because, again.at_least) == ("said by hand", pytest.approx(1.4))
    assert budgets.check(run, {key: again}, None, True).failures == []


def test_budgets_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "budgets.toml"
    found = of(run_of(pair(2, 8), pair(0.123456, peer='"quoted"'), wholes=[Whole("cold", "all", 0.0, "x", 6)]))
    budgets.write(found.values(), path)
    read = budgets.read(path)
    assert read.keys() == found.keys()
    for key, one in found.items():
        assert (read[key].because, read[key].short) == (one.because, one.short)
        assert read[key].recorded == pytest.approx(one.recorded, rel=1e-3)
        assert budgets.check(run_of(), {key: read[key]}, None, True).failures
    assert budgets.read(path, only=["cold"]).keys() == {"cold: all"}
    assert len(budgets.read(path, only=["work"])) == 2


def test_the_budgets_are_those_of_the_recorded_runs(tmp_path):
    assert budgets.FILE.exists() == budgets.RECORDED.exists(), "python -m bench.budgets --write"
    if budgets.FILE.exists():
        found = budgets.of_recorded()
        budgets.write(found, tmp_path / "budgets.toml")
        assert (tmp_path / "budgets.toml").read_text() == budgets.FILE.read_text(), "python -m bench.budgets --write"
        assert [one.key for one in found if one.unexplained] == []


# The check


def test_a_breach_fails_and_is_named():
    limits = of(run_of(pair(10)))
    verdict = budgets.check(run_of(pair(6.9)), limits, None, False)
    assert verdict.failures == ["set: work, 100 x 10 / numpy: 6.9, at least 7"]
    lines = verdict.markdown(limits)
    assert lines[2] == "- **set: work, 100 x 10 / numpy: 6.9, at least 7**"
    assert "| set: work, 100 x 10 / numpy | 6.9 | at least 7 | 10 |  | **beyond** |" in lines
    assert budgets.check(run_of(pair(7.1)), limits, None, False).failures == []


@pytest.mark.parametrize(("second", "fails"), [(7.5, False), (6.0, True)])
def test_a_breach_is_measured_once_more(second, fails):
    asked_for = []

    def again(beyond):
        asked_for.append([one.name for one in beyond])
        return run_of(pair(second), pair(1, work="other"))

    limits = of(run_of(pair(10), pair(20, work="other")))
    verdict = budgets.check(run_of(pair(5), pair(20, work="other")), limits, again, False)
    assert asked_for == [["work"]]
    assert bool(verdict.failures) == fails
    assert bool(verdict.notes) != fails


def test_a_line_that_vanished_fails_and_a_new_one_is_said():
    limits = of(run_of(pair(10)))
    verdict = budgets.check(run_of(pair(3, work="new")), limits, None, False)
    assert verdict.failures == ["set: work, 100 x 10 / numpy: vanished from the run"]
    assert verdict.notes == ["set: new, 100 x 10 / numpy: has no budget"]


def test_a_peer_that_is_not_installed_fails_where_nothing_may_be_skipped():
    limits = of(run_of(pair(10, peer="torch LBFGS")))
    given = run_of(missing=["torch", "netcal"])
    assert budgets.check(given, limits, None, False).failures == []
    assert len(budgets.check(given, limits, None, False).notes) == 1
    assert len(budgets.check(given, limits, None, True).failures) == 1


def test_what_could_not_be_measured_fails():
    limits = of(run_of(wholes=[Whole("sample", "report", 2.0, "x", 3)]))
    assert budgets.check(run_of(wholes=[Whole("sample", "report", None, "x", 3)]), limits, None, False).failures


# Faults


@pytest.mark.parametrize("said", ["slow", "quick:normalise.narrow", "slow:normalise", "wrong:nothing.here"])
def test_a_fault_has_to_name_a_kernel(said):
    with pytest.raises(ValueError, match=r"MODULE\.FUNCTION"):
        hooks.install({hooks.VARIABLE: said})


def ci_bench(folder, hook="", budgets=None):
    """``ci/bench`` of one set: its result, its figures and its summary."""
    paths = {"BENCH_TREND": folder / "trend", "GITHUB_STEP_SUMMARY": folder / "summary.md"}
    paths["BENCH_BUDGETS"] = budgets or folder / "none.toml"
    if budgets is None:
        paths["BENCH_BUDGETS"].touch()
    environment = {**os.environ, **{name: str(path) for name, path in paths.items()}, hooks.VARIABLE: hook}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "ci/bench", SET], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    (figures,) = (folder / "trend").glob("*.json")
    return done, Run.load(figures), (folder / "summary.md").read_text()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """``ci/bench`` without a fault, and floors of a third of its ratios."""
    folder = tmp_path_factory.mktemp("plain")
    done, run, summary = ci_bench(folder)
    floors = [budgets.Budget(one.key, one.ratio, at_least=one.ratio / 3) for one in run.pairs]
    budgets.write(floors, folder / "floors.toml")
    return done, run, summary, folder / "floors.toml"


def test_without_a_fault_ci_bench_passes(plain):
    done, run, summary, floors = plain
    assert done.returncode == 0, done.stdout + done.stderr
    assert KEY in {one.key for one in run.pairs}
    assert f"| {KEY} | " in summary
    assert budgets.check(run, budgets.read(floors), None, False).failures == []


def test_a_slowed_kernel_makes_ci_bench_fail(plain, tmp_path):
    done, run, summary = ci_bench(tmp_path, f"slow:{KERNEL}", plain[-1])
    assert done.returncode == 1, done.stdout + done.stderr
    failures = [line.removeprefix("FAILS: ") for line in done.stdout.splitlines() if line.startswith("FAILS: ")]
    assert {line.split(" / ")[0] for line in failures} == {
        f"{SET}: {WORK}, 100 x 10 float64 logits",
        f"{SET}: {WORK}, 1 row of 10 float64 logits",
    }
    assert all("at least" in line and line in summary.split("| figure |")[0] for line in failures)
    assert KEY in {one.key for one in run.pairs}, "it was measured, and is slow"


def test_a_wrong_kernel_fails_before_anything_is_timed(plain, tmp_path):
    done, run, summary = ci_bench(tmp_path, f"wrong:{KERNEL}", plain[-1])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ci/bench: failed: python -m bench --quick" in done.stderr
    about = [line for line in done.stdout.splitlines() if f"{WORK}, " in line]
    assert any(line.startswith(f"WRONG: {SET}: {WORK}") and "AssertionError" in line for line in about)
    assert not [line for line in about if " us " in line or " ms " in line], "a time was printed"
    assert {one.work for one in run.pairs} == {one.work for one in plain[1].pairs} - {WORK}
    assert f"{KEY}: vanished from the run" in summary
