"""The stress runner itself, for a moment: it tries kinds, repeats a round by its number, and sees a difference."""

from __future__ import annotations

import many_at_once
import pytest
import stress
from conftest import JIT

pytestmark = [
    pytest.mark.skipif(not JIT, reason="it calls everything"),
    pytest.mark.filterwarnings("ignore::fastcal.FitWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr(stress, "SIZES", (3, 64, 300))
    monkeypatch.setattr(many_at_once.engine, "SMALL", many_at_once.engine.SMALL)


def test_rounds_of_every_kind_of_thread(capsys):
    assert stress.main(["--seconds", "1", "--seed", "3", "--kinds", "threads; thread pool; fork"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("no difference\n")
    assert all(kind in said for kind in ("threads", "thread pool", "fork"))


def test_a_round_depends_on_its_number_alone():
    kinds = list(many_at_once.KINDS)
    rounds = [stress.jobs_of(stress.random.Random(f"0 {number}"), "threads") for number in (5, 6, 5)]
    assert rounds[0] == rounds[2] != rounds[1]
    assert stress.chosen(stress.random.Random(0), kinds) in kinds


def test_a_difference_ends_it(capsys, monkeypatch):
    monkeypatch.setattr(many_at_once, "alone", lambda job: ["other bits"] * len(job.names))
    assert stress.main(["--seed", "3", "--round", "0", "--kinds", "thread pool"]) == 1
    assert "round 0 of seed 3: thread pool: other bits of" in capsys.readouterr().out
