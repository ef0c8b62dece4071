"""A run of the benchmarks: what is wrong is not timed, each line has a key of its own, the quieter race is kept."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench import hooks, memory, race
from bench.__main__ import Session, main, sets
from bench.machine import Bystanders
from bench.race import Pace, Trial, measure
from bench.record import Pair, Run, Whole

ONCE = Pace(0.0, 2)
TRIAL = Trial("sum", "x 2 float32 rows", 1000, {"slow": 2.0}, "read", 8, 0.5, fewer=4)
ROOFS = {"read": 1e10, "copy": 1e10, "sort": 1e8}


def calls():
    return {"fastcal": lambda: None, "slow": lambda: time.sleep(0.01), "other": lambda: None}


def session(mode="quick"):
    return Session(Run(mode, "2026-01-02", "abc", {}, {}, ROOFS), None)


def test_pairs_of_a_trial():
    slow, other = measure("set", TRIAL, lambda _: calls(), ONCE)
    assert slow.key == "set: sum, 1,000 x 2 float32 rows / slow"
    assert (slow.aim, other.aim, slow.share_aim, other.share_aim) == (2.0, None, 0.5, None)
    assert (slow.roof, slow.n_bytes, slow.n_sorted, slow.rounds) == ("read", 8000, None, 2)
    assert slow.low <= slow.high


def test_ours_alone_and_numbers_that_are_sorted():
    sorting = replace(TRIAL, roof="sort", per_row=2, aims={}, share_aim=None)
    (alone,) = measure("set", sorting, lambda _: {"fastcal": lambda: None}, ONCE)
    assert (alone.peer, alone.theirs, alone.ratio) == ("", None, None)
    assert (alone.n_bytes, alone.n_sorted, alone.rounds) == (None, 2000, 2)


def test_a_slow_trial_has_two_rounds_and_three_calls_of_each_side():
    counted = []
    both = {"fastcal": lambda: counted.append("ours"), "slow": lambda: counted.append("theirs")}
    (pair,) = measure("set", replace(TRIAL, slow=True), lambda _: both, Pace(0.0, 5))
    assert pair.rounds == 2
    assert counted == ["theirs", "ours", "ours", "theirs"]


def test_a_quick_run_has_fewer_rows():
    assert TRIAL.sized(quick=True).words == "250 x 2 float32 rows"
    assert TRIAL.sized(quick=False) == TRIAL


@pytest.mark.skipif(not memory.FORGET.exists(), reason="peak memory is read from Linux's /proc")
def test_memory_of_a_call_is_its_peak():
    def call():
        held = np.ones(50 << 17)  # 50 MiB
        return held[:1].copy()

    assert 48 << 20 <= memory.peak(call) <= 80 << 20
    assert memory.peak(lambda: None) <= 4 << 20


def test_what_is_wrong_is_not_timed(monkeypatch, capsys):
    def wrong(trial):
        np.testing.assert_allclose(1.0, 2.0)

    monkeypatch.setattr(race, "elapsed", lambda *_: pytest.fail("it was timed"))
    one = session()
    one.trials("set", SimpleNamespace(TRIALS=[TRIAL], contenders=wrong))
    assert one.run.pairs == []
    assert one.wrong == [line.removeprefix("WRONG: ") for line in capsys.readouterr().out.splitlines()]
    assert one.wrong[0].startswith("set: sum, 250 x 2 float32 rows: AssertionError: Not equal")


def test_the_quieter_race_of_two_is_kept(monkeypatch):
    one = session()
    loud, quiet = (Pair("set", "sum", "1", name, 1.0, 2.0, others=1.0) for name in ("loud", "quiet"))
    one.run.pairs = [loud, quiet]
    one.disturbed = [("set", SimpleNamespace(), TRIAL)]
    again = [replace(loud, others=2.0, ours=9.0), replace(quiet, others=0.0, ours=9.0)]
    monkeypatch.setattr(one, "measured", lambda *_: again)
    one.again()
    assert [pair.ours for pair in one.run.pairs] == [1.0, 9.0]


@pytest.mark.parametrize("quick", [False, True])
def test_keys_are_unlike_each_other(quick):
    lines = [
        (name, trial.work, trial.sized(quick=quick).words)
        for name, module in sets().items()
        for trial in module.TRIALS
        if not (quick and trial.fewer is None)
    ]
    assert len(set(lines)) == len(lines) > 100


def test_aims_and_bounds():
    pair = Pair("set", "sum", "1", "slow", 1.0, 1.5, n_bytes=10**9, roof="read", aim=2.0, share_aim=0.5)
    assert pair.missed(ROOFS) == ["1.50x of 2x", "10% of 50% of read"]
    assert replace(pair, aim=1.5, share_aim=0.1).missed(ROOFS) == []
    assert Whole("set", "size", 2.0, "MB", at_most=2.0).holds
    assert not Whole("set", "size", 2.0, "MB", at_least=3.0).holds
    assert not Whole("set", "size", None, "MB", at_most=3.0).holds


WITHOUT_A_RUN = [
    ["--only", "no such"],
    ["--record", "--only", "calls"],
    ["--quick", "--full"],
    ["--json", "no such folder/run.json"],
]


@pytest.mark.parametrize("words", WITHOUT_A_RUN)
def test_what_makes_no_run(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["bench", *words])
    monkeypatch.setattr("bench.machine.roofs", lambda *_, **__: pytest.fail("it was measured"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code


@pytest.mark.parametrize(("missing", "fault"), [(["relplot"], ""), ([], "slow:normalise.narrow")])
def test_what_is_not_recorded(monkeypatch, missing, fault):
    monkeypatch.setattr("sys.argv", ["bench", "--quick", "--record"])
    monkeypatch.setattr("bench.__main__.installed", lambda: ({}, missing))
    monkeypatch.setattr("bench.machine.roofs", lambda *_, **__: pytest.fail("it was measured"))
    monkeypatch.setenv(hooks.VARIABLE, fault)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code


@pytest.mark.parametrize("wrong", [False, True])
def test_a_run_in_which_something_was_wrong_is_kept_but_not_recorded(monkeypatch, tmp_path, wrong):
    def contenders(trial):
        assert not wrong
        return {"fastcal": lambda: None}

    def breaks(quick):
        raise MemoryError("growth too")
        yield

    module = SimpleNamespace(TRIALS=[replace(TRIAL, aims={})], contenders=contenders)
    monkeypatch.setattr("sys.argv", ["bench", "--quick", "--record"])
    monkeypatch.setattr("bench.__main__.RESULTS", tmp_path)
    monkeypatch.setattr("bench.__main__.installed", lambda: ({}, []))
    monkeypatch.setattr("bench.__main__.sets", lambda: {"set": module})
    monkeypatch.setattr("bench.__main__.wholes", lambda **_: {})
    monkeypatch.setattr("bench.machine.roofs", lambda *_, **__: ROOFS)
    monkeypatch.setattr("bench.growth.run", breaks if wrong else lambda _: iter(()))
    assert main() == wrong
    (kept,) = tmp_path.iterdir()
    assert kept.name == ("quick.unfinished.json" if wrong else "quick.json")
    assert len(Run.load(kept).pairs) == (not wrong)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="what others do is read from Linux's /proc")
def test_a_child_that_is_busy_is_no_bystander():
    busy = [sys.executable, "-c", "import time\nwhile time.perf_counter() < 1e9: pass"]
    with subprocess.Popen(busy) as child:
        before = Bystanders._own()
        time.sleep(0.5)
        own = Bystanders._own() - before
        child.kill()
    assert own > 0.05
