"""`fastcal check`: thresholds, bounds, groups, summaries, and how it ends."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from commands import command, fails

import fastcal as fc

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytest.importorskip("rich", reason="the command line needs the cli extra")

RNG = np.random.default_rng(5)
N = 3000
P = RNG.beta(0.8, 0.8, N)
Y = (RNG.random(N) < P).astype(np.int64)
OFF, OFF_Y = np.where(P > 0.5, 0.3, 0.7), (np.arange(N) % 2).astype(np.int64)  # far off, in both of its bins
SLICES = np.array(["large", "small | `x` <b>", "tiny"])[(np.arange(N) % 300 < 30).astype(int)]
SLICES[:3] = "tiny"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    np.savez(tmp_path / "good.npz", probs=P, labels=Y, slices=SLICES)
    np.savez(tmp_path / "off.npz", probs=OFF, labels=OFF_Y)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(p=P, y=Y, **options):
    groups = {"groups": SLICES} if options.get("groups") else {}
    return fc.Evaluation(**options).update(y, p, **groups).compute()


def checked(capsys, *arguments):
    done = command(capsys, "check", *arguments, "--json", "out.json")
    assert done.err == ""
    return done.code, json.loads(Path("out.json").read_text()), done.out


# What holds and what falls short


def test_thresholds_on_any_figure_are_held_to_its_value(folder, capsys):
    figures = {k: v for k, v in report().items() if isinstance(v, int | float) and not math.isnan(v)}
    assert len(figures) > 25
    for side, sign in (("--max", 1), ("--min", -1)):
        for slack, holds in ((0.0, True), (1e-3, True), (-1e-3, False)):
            limits = ",".join(f"{name}={value + sign * slack!r}" for name, value in figures.items())
            code, found, out = checked(capsys, "good.npz", side, limits)
            assert code == (0 if holds else 1)
            assert {one["figure"]: one["value"] for one in found["thresholds"]} == figures
            assert {one["verdict"] for one in found["thresholds"]} == {"holds" if holds else "falls short"}
            assert out.count("**falls short**") == (0 if holds else len(figures))


def test_options_repeat_and_take_commas(folder, capsys):
    code, found, out = checked(
        capsys, "good.npz", "--max", "ece=0.5,nll=.9", "--max", "brier=1", "--min", "accuracy=.5, n=10"
    )
    assert (code, found["holds"], found["level"]) == (0, True, None)
    asked = [(one["figure"], one.get("max", one.get("min"))) for one in found["thresholds"]]
    assert asked == [("ece", 0.5), ("nll", 0.9), ("brier", 1), ("accuracy", 0.5), ("n", 10)]
    assert "Calibration check holds: good.npz" in out
    assert "5 of 5 thresholds hold." in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("no threshold", "--max NAME=NUMBER")),
        (("--max", "exe=1"), ("no figure 'exe'", "did you mean ece")),
        (("--max", "zzz=1"), ("no figure 'zzz'", "there are", "squared_ce_debiased")),
        (("--max", "ece"), ("--max is 'ece'; expected NAME=NUMBER",)),
        (("--max", "ece=five"), ("--max is 'ece=five'",)),
        (("--max", "ece=nan"), ("--max is 'ece=nan'",)),
        (("--max", "ece=5%"), ("expected NAME=NUMBER",)),
        (("--min", "=1"), ("--min is '=1'",)),
        (("--max", "ece=1,ece=2"), ("--max ece is given twice",)),
        (("--max", "ece=1", "--least-rows", 3), ("--least-rows is of groups",)),
        (("--max", "reliability=1"), ("no figure 'reliability'",)),
        (("--max", "ks_calibration_error=1", "--confident"), ("has no interval", "these have", "accuracy", "mce")),
        (("--max", "smooth_ece=1", "--groups", "slices"), ("no figure 'smooth_ece' of groups",)),
        (("--max", "mce=1", "--groups", "slices", "--confident"), ("mce has no interval", "accuracy")),
        (("--max", "ece=1", "--groups", "slices", "--least-rows", 9999), ("no group has 9999 rows",)),
        (("--max", "ece=1", "--groups", "nope"), ("nope",)),
        (("--max", "ece=1", "--junit", "no/such/x.xml"), ("no/such/x.xml cannot be written",)),
        (("--max", "ece=1", "--junit", "-"), ("--junit needs a file, not standard output",)),
        (("--max", "ece=1", "--state", "-"), ("--state needs a file",)),
        (("--max", "ece=1", "--json", "no/such/x.json"), ("no/such/x.json cannot be written",)),
        (("--max", "ece=1", "--bootstrap", "x"), ("--bootstrap",)),
        (("--max", "ece=1", "--sample"), ("--sample takes no dump",)),
    ],
)
def test_what_cannot_be_checked_is_one_line(folder, capsys, options, words):
    before = sorted(path.name for path in folder.iterdir())
    fails(command(capsys, "check", "good.npz", *options), *words)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_no_dump_and_bad_rows(folder, capsys):
    fails(command(capsys, "check", "--max", "ece=1"), "name a dump, or say --sample")
    np.savez("bad.npz", probs=np.where(np.arange(N) == 7, 1.5, P), labels=Y)
    fails(command(capsys, "check", "bad.npz", "--max", "ece=1", "--junit", "x.xml"), "probs[7] is 1.5")
    assert not (folder / "x.xml").exists()


def test_a_figure_that_is_not_a_number_is_not_computable(folder, capsys):
    np.savez("nan.npz", probs=np.where(np.arange(N) == 7, np.nan, P), labels=Y)
    arguments = ("nan.npz", "--max", "ece=1", "--nan-policy")
    fails(command(capsys, "check", *arguments, "propagate"), "ece cannot be computed from these rows")
    assert command(capsys, "check", *arguments, "omit").code == 0
    assert command(capsys, "check", *arguments, "omit", "--max", "n_nan=0").code == 1


def test_infinity_is_a_number_and_falls_short(folder, capsys):
    np.savez("inf.npz", probs=np.where(np.arange(N) < 2, 1 - Y, P), labels=Y)
    for more in ((), ("--confident",)):
        code, found, out = checked(capsys, "inf.npz", "--max", "nll=9", *more)
        assert code == 1
        assert found["thresholds"][0]["value"] == "Infinity"
        assert "| infinite |" in out
    assert command(capsys, "check", "inf.npz", "--max", "nll=inf", "--max", "n_zero_probability=2").code == 0


# Bounds


def bound(capsys, name, side, path="good.npz", *more):
    limit = 1e9 if side == "--max" else -1e9
    code, found, _ = checked(capsys, path, side, f"{name}={limit}", "--confident", *more)
    assert code == 0
    return found["thresholds"][0]["bound"], found["thresholds"][0]["method"]


def test_bounds_are_the_unfavourable_ends_of_the_reports_intervals(folder, capsys):
    found = report()["intervals"]
    for name in ("accuracy", "nll", "brier", "squared_ce_debiased"):
        assert bound(capsys, name, "--min") == (getattr(found, name)[0], "normal")
        assert bound(capsys, name, "--max") == (getattr(found, name)[1], "normal")
    boots = report(bootstrap=0)["bootstrap"]
    for name in ("confidence", "entropy", "signed_calibration_error"):
        assert bound(capsys, name, "--min") == (boots[name][0], "bootstrap")
        assert bound(capsys, name, "--max") == (boots[name][1], "bootstrap")
    other = report(bootstrap=9)["bootstrap"]["entropy"]
    assert bound(capsys, "entropy", "--max", "good.npz", "--bootstrap", 9) == (other[1], "bootstrap")
    assert other[1] != boots["entropy"][1]


def test_ece_is_held_to_what_applies(folder, capsys):
    near, far = report()["intervals"], report(OFF, OFF_Y)["intervals"]
    assert near.ece is None
    root = math.sqrt(near.squared_ce_debiased[1])
    for name in ("ece", "ece_debiased", "overconfidence", "underconfidence"):
        assert bound(capsys, name, "--max") == (root, "root of squared_ce_debiased")
        assert bound(capsys, name, "--min")[0] == 0.0
    for name in ("rmsce", "rmsce_debiased"):
        assert bound(capsys, name, "--max") == (root, "root of squared_ce_debiased")
    assert far.ece is not None
    assert bound(capsys, "ece", "--max", "off.npz") == (far.ece[1], "normal")
    assert bound(capsys, "mce", "--max", "off.npz") == (
        report(OFF, OFF_Y, bootstrap=0)["bootstrap"]["mce"][1],
        "bootstrap",
    )
    fails(command(capsys, "check", "good.npz", "--max", "mce=1", "--confident"), "mce has no interval here")
    code, found, _ = checked(capsys, "good.npz", "--max", "mce=0", "--confident")
    assert (code, found["thresholds"][0]["verdict"]) == (1, "falls short")


def test_ece_of_no_bins_exceeds_the_root_of_the_squared_error():
    """What stands in for ECE's bound is one: Jensen's inequality, on any shares and gaps."""
    for _ in range(100):
        shares, gaps = RNG.dirichlet(np.ones(15)), RNG.uniform(-1, 1, 15)
        assert (shares * abs(gaps)).sum() <= math.sqrt((shares * gaps**2).sum())


def test_what_holds_but_not_surely_fails_when_confident(folder, capsys):
    value, high = report()["nll"], report()["intervals"].nll[1]
    between = (value + high) / 2
    assert checked(capsys, "good.npz", "--max", f"nll={between}")[0] == 0
    code, found, out = checked(capsys, "good.npz", "--max", f"nll={between}", "--confident")
    assert (code, found["holds"], found["level"]) == (1, False, 0.95)
    assert found["thresholds"][0]["verdict"] == "too few rows to be sure"
    assert "**too few rows to be sure**" in out
    assert checked(capsys, "good.npz", "--max", f"nll={high}", "--confident")[0] == 0


def test_counts_are_sure(folder, capsys):
    assert bound(capsys, "n", "--min") == (N, "count")
    assert checked(capsys, "good.npz", "--min", f"n={N}", "--max", "n_zero_probability=0", "--confident")[0] == 0


# Groups


def test_every_group_is_held_to_every_threshold(folder, capsys):
    groups = report(groups=True)["groups"]
    code, found, out = checked(capsys, "good.npz", "--max", "ece=0.1", "--min", "n=4", "--groups", "slices")
    got = {(one["group"], one["figure"]): one for one in found["thresholds"]}
    assert len(got) == 6
    for g, label in enumerate(groups.labels):
        assert got[label, "ece"]["value"] == groups["ece"][g]
        assert (got[label, "ece"]["verdict"] == "holds") == (groups["ece"][g] <= 0.1)
        assert (got[label, "n"]["verdict"] == "holds") == (groups["n"][g] >= 4)
    assert code == 1
    assert "&#124;" in out  # the pipe in a name
    assert "<b>" not in out
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert "falls short" in table[2]  # what fell short stands first


def test_bounds_of_groups_are_those_of_their_rows_alone(folder, capsys):
    large = SLICES == "large"
    alone = fc.Evaluation().update(Y[large], P[large]).compute()["intervals"]
    limits = ",".join(f"{name}=1e9" for name in ("accuracy", "nll", "brier", "squared_ce_debiased"))
    _, found, _ = checked(capsys, "good.npz", "--max", limits, "--groups", "slices", "--confident")
    for one in found["thresholds"]:
        if one["group"] == "large":  # Student's t of 2700 rows, and cautious noise, are a little wider
            low, high = getattr(alone, one["figure"])
            assert high * 0.999 <= one["bound"] <= high + 0.02 * (high - low)


def test_groups_of_too_few_rows_fail_when_confident_and_can_be_left_out(folder, capsys):
    asked = ("good.npz", "--max", "ece=0.5,rmsce=.6,nll=2", "--min", "accuracy=.1", "--groups", "slices")
    groups = report(groups=True)["groups"]
    tiny = groups.labels.index("tiny")
    assert groups["n"][tiny] == 3
    code, found, out = checked(capsys, *asked, "--confident")
    verdicts = {one["verdict"] for one in found["thresholds"] if one["group"] == "tiny"}
    assert (code, "holds" in verdicts - {"holds"}) == (1, False)
    assert "too few rows to be sure" in verdicts
    assert all(one["verdict"] == "holds" for one in found["thresholds"] if one["group"] != "tiny")
    code, found, out = checked(capsys, *asked, "--confident", "--least-rows", 4)
    assert (code, found["groups_left_out"]) == (0, 1)
    assert "1 groups of fewer rows were left out." in out


def test_bins_of_one_row_say_nothing(folder, capsys):
    p = (np.arange(15) + 0.5) / 15
    np.savez("ones.npz", probs=p, labels=(p > 0.5).astype(int), slices=np.zeros(15, int))
    asked = ("--max", "rmsce=.99", "--groups", "slices", "--confident")
    code, found, _ = checked(capsys, "ones.npz", *asked)
    assert (code, found["thresholds"][0]["verdict"]) == (1, "too few rows to be sure")


def test_many_groups_are_summed_up(folder, capsys):
    np.savez("many.npz", probs=P, labels=Y, g=np.arange(N) % 100)
    code, found, out = checked(capsys, "many.npz", "--max", "ece=1", "--groups", "g")
    assert (code, len(found["thresholds"])) == (0, 100)
    assert "50 more are not shown." in out
    code, found, out = checked(capsys, "many.npz", "--max", "ece=0.1234567", "--groups", "g")
    worst = sorted(found["thresholds"], key=lambda one: -one["value"])
    assert code == 1
    rows = [line for line in out.splitlines() if line.startswith("| ") and "at most 0.1234567 |" in line]
    assert [line.split()[1] for line in rows] == [str(one["group"]) for one in worst[:50]], "the worst come first"


def test_groups_of_long_names_are_cut_in_the_summary_alone(folder, capsys):
    name = "|" * 500
    np.savez("long.npz", probs=P, labels=Y, g=np.full(N, name))
    _, found, out = checked(capsys, "long.npz", "--max", "ece=1", "--groups", "g", "--junit", "x.xml")
    assert found["thresholds"][0]["group"] == name
    assert name in (folder / "x.xml").read_text()
    assert 70 < out.count("&#124;") < 80


# What is written


def test_junit_is_xml_with_a_case_for_each_threshold(folder, capsys):
    hostile = np.array(["a]]>\x00\x1b[31m&\"'<x>", "\ud7ff\ufffe ok \u202e", "plain"])[np.arange(N) % 3]
    np.savez("h.npz", probs=P, labels=Y, g=hostile)
    done = command(capsys, "check", "h.npz", "--max", "ece=0.001,nll=9", "--groups", "g", "--junit", "x.xml")
    assert done.code == 1
    assert all(character.isprintable() for character in done.out.replace("\n", ""))
    suite = ET.parse(folder / "x.xml").getroot().find("testsuite")
    assert suite.get("tests") == "6"
    assert suite.get("failures") == "3"
    cases = suite.findall("testcase")
    assert [case.get("name").partition(" [")[0] for case in cases] == ["ece <= 0.001"] * 3 + ["nll <= 9"] * 3
    for case in cases[:3]:
        assert "falls short" in case.find("failure").get("message")
        assert "wanted ece <= 0.001" in case.find("failure").get("message")
    assert any("plain" in case.get("name") for case in cases)
    assert any("\\x00\\x1b[31m" in case.get("name") for case in cases)


def test_json_on_standard_output_is_all_there_is(folder, capsys):
    done = command(capsys, "check", "good.npz", "--max", "ece=0.5", "--json", "-")
    assert json.loads(done.out)["holds"] is True


def test_the_sample_as_ci_checks_it(capsys):
    done = command(capsys, "check", "--sample", "--max", "ece=0.08", "--min", "accuracy=.9", "--max", "nll=.5")
    assert (done.code, done.err) == (0, "")
    assert "bundled sample" in done.out
    assert command(capsys, "check", "--sample", "--max", "ece=0.01", "--confident").code == 1


def test_a_real_process_ends_with_its_code_in_any_encoding(folder):
    np.savez("j.npz", probs=P, labels=Y, g=np.array(["日本", "x"])[np.arange(N) % 2])
    line = [sys.executable, "-m", "fastcal", "check", "j.npz", "--max", "ece=0.0001", "--groups", "g"]
    env = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(line, capture_output=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"&#26085;&#26412;" in done.stdout
