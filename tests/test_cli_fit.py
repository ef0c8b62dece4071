"""`fastcal fit`: the calibrator of the same rows in arrays, its figures by hand, and every mistake in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import JIT
from dump_commands import logits_and_labels, names_in, ran, refused

import fastcal as fc
from fastcal.calibrators.methods import CLIP, METHODS

pytest.importorskip("typer", reason="the command line needs the cli extra")
pytestmark = pytest.mark.skipif(not JIT, reason="kernels have tests of their own")

N, K = 300, 3
LOGITS, LABELS = logits_and_labels(N, K)
WEIGHTS = np.random.default_rng(1).random(N)
PROBS = np.exp(LOGITS.astype(np.float64)) / np.exp(LOGITS.astype(np.float64)).sum(axis=1, keepdims=True)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", logits=LOGITS, labels=LABELS, w=WEIGHTS)
    np.savez("p.npz", probs=PROBS, labels=LABELS)
    return tmp_path


def fit(capsys, *arguments):
    """The calibrator, and what was written as JSON."""
    code, out, problems = ran(capsys, "fit", *arguments, "-o", "cal.json", "--json", "-")
    assert code == 0, problems
    return fc.load_calibrator("cal.json"), json.loads(out, parse_constant=pytest.fail), problems


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.filterwarnings("ignore::fastcal.FitWarning")
def test_every_method_of_logits_and_of_probabilities(work, capsys, method, kind):
    if (kind, method) not in [
        ("probs", "matrix"),
        ("probs", "platt"),
    ]:  # what was tried is enough, and each has its time
        made, said, _ = fit(capsys, method, "d.npz" if kind == "logits" else "p.npz")
        cls = type(made)
        clip = {"clip": CLIP} if kind == "probs" and "clip" in cls._parameters() else {}
        scores = LOGITS if kind == "logits" else PROBS
        expected = cls(input=kind, **clip).fit(scores, LABELS)
        np.testing.assert_array_equal(made.predict_proba(scores), expected.predict_proba(scores), strict=True)
        assert (said["method"], said["class"], said["parameters"]["input"]) == (method, METHODS[method], kind)
        after = fc.Evaluation().update(LABELS, expected.predict_proba(scores.astype(np.float64))).compute()
        assert said["after"]["nll"] == pytest.approx(after["nll"], rel=1e-6)


def test_figures_weights_and_parameters(work, capsys):
    made, said, problems = fit(
        capsys, "temperature", "d.npz", "--weights", "w", "--set", "max_iter=50", "--set", "tol=1e-6"
    )
    expected = fc.TemperatureScaling(max_iter=50, tol=1e-6).fit(LOGITS, LABELS, WEIGHTS)
    assert made.temperature_ == expected.temperature_ == said["fitted"]["temperature_"]
    assert (made.max_iter, made.tol) == (50, 1e-6)
    assert problems == []
    before = fc.Evaluation(from_logits=True).update(LABELS, LOGITS, sample_weight=WEIGHTS).compute()
    calibrated = expected.predict_proba(LOGITS.astype(np.float64))
    after = fc.Evaluation().update(LABELS, calibrated, sample_weight=WEIGHTS).compute()
    for name in ("n", "accuracy", "nll", "brier", "ece", "classwise_ece"):
        assert said["before"][name] == before[name]
        assert said["after"][name] == pytest.approx(after[name], rel=1e-6)
    assert said["figures_of"] == "the fitted rows"


def test_the_table_says_whose_figures_they_are(work, capsys):
    code, out, problems = ran(capsys, "fit", "temperature", "d.npz", "-o", "cal.json", "--json", "fit.json")
    assert (code, problems) == (0, [])
    said = json.loads((work / "fit.json").read_text())
    for name in ("nll", "ece", "brier"):
        assert f"{said['before'][name]:.6f}" in out
        assert f"{said['after'][name]:.6f}" in out
    assert "temperature of logits: 300 rows, 3 classes -> cal.json" in out
    assert "figures of the fitted rows themselves" in out
    assert names_in(work) == ["cal.json", "d.npz", "fit.json", "p.npz"]


def test_several_files_in_any_format_are_one_set_of_rows(work, capsys):
    whole, *_ = fit(capsys, "isotonic", "d.npz")
    parts = [slice(0, 100), slice(100, 101), slice(101, N)]
    np.save("a_logits.npy", LOGITS[parts[0]])
    np.save("a_labels.npy", LABELS[parts[0]])
    for name, part in zip(("b.npz", "c.npz"), parts[1:], strict=True):
        np.savez(name, logits=LOGITS[part], labels=LABELS[part])
    pytest.importorskip("pyarrow", reason="other formats need the io extra")
    assert ran(capsys, "convert", "c.npz", "-o", "c.parquet")[0] == 0
    made, *_ = fit(capsys, "isotonic", "a_logits.npy", "a_labels.npy", "b.npz", "c.parquet")
    np.testing.assert_array_equal(made.predict_proba(LOGITS), whole.predict_proba(LOGITS), strict=True)


def test_binary_scores(work, capsys):
    scores, labels = LOGITS[:, 0], (LABELS == 0).astype(int)
    np.savez("b.npz", logits=scores, labels=labels)
    made, said, _ = fit(capsys, "platt", "b.npz")
    assert (made.n_features_in_, said["n_classes"]) == (1, 2)
    expected = fc.PlattScaling(input="logits").fit(scores, labels)
    np.testing.assert_array_equal(made.predict_proba(scores), expected.predict_proba(scores), strict=True)


def test_text_labels_and_ignored_rows(work, capsys):
    names = np.array(["cat", "dog", "emu"])[LABELS].astype(object)
    names[5:9] = "-100"
    np.savez("t.npz", logits=LOGITS, labels=names.astype(str))
    made, said, _ = fit(capsys, "temperature", "t.npz", "--classes", "cat,dog,emu", "--ignore-index", "-100")
    kept = np.delete(np.arange(N), np.arange(5, 9))
    expected = fc.TemperatureScaling().fit(LOGITS[kept], LABELS[kept])
    assert (made.temperature_, said["n_rows"]) == (expected.temperature_, N - 4)
    assert made.predict(LOGITS[:1])[0] in ("cat", "dog", "emu")
    assert made.classes_.tolist() == ["cat", "dog", "emu"]
    assert "holds text; say --classes" in refused(capsys, "fit", "temperature", "t.npz", "-o", "x.json")


def test_warnings_are_one_line_each(work, capsys):
    np.savez("right.npz", logits=np.eye(3)[LABELS], labels=LABELS)
    _, said, problems = fit(capsys, "temperature", "right.npz")
    assert len(problems) == 1
    assert problems[0] == f"fastcal: {said['warnings'][0]}"
    assert "lower bound" in problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("none", None),
        ("True", True),
        ("false", False),
        ("7", 7),
        ("1e-3", 1e-3),
        ("0.1,10", (0.1, 10)),
        ("left", "left"),
    ],
)
def test_values_are_what_they_are_spelt_as(text, value):
    from fastcal.cli.fit import value_of

    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_input_that_is_refused(work, capsys):
    np.savez("nan.npz", logits=np.where(np.arange(N)[:, None] == 250, np.nan, LOGITS), labels=LABELS)
    np.savez("label.npz", logits=LOGITS[:20], labels=np.r_[LABELS[:17], 3, 0, -100])
    np.savez("w.npz", logits=LOGITS, labels=LABELS, w=np.where(np.arange(N) == 7, -1, 1.0))
    np.savez("p2.npz", probs=PROBS * 1.1, labels=LABELS)
    np.savez("wide.npz", logits=LOGITS[:, :2], labels=LABELS % 2)
    np.savez("none.npz", logits=LOGITS[:0], labels=LABELS[:0])
    (work / "far").mkdir()
    (work / "link.json").symlink_to(work / "far" / "cal.json")
    before = names_in(work)
    out = ("-o", "cal.json")
    for arguments, message in (
        (("temprature", "d.npz", *out), "method is 'temprature'; expected one of temperature, "),
        (
            ("temperature", "d.npz", *out, "--set", "n_bins=3"),
            "'n_bins' is no parameter of temperature; it has bounds, max_iter, tol",
        ),
        (("temperature", "d.npz", *out, "--set", "tol"), "--set 'tol' is not NAME=VALUE"),
        (("temperature", "d.npz", *out, "--set", "tol=1e-6", "--set", "tol=1e-7"), "--set tol is given twice"),
        (("temperature", "d.npz", *out, "--set", "max_iter=1.5"), "max_iter is 1.5; expected an integer"),
        (("temperature", "d.npz", *out, "--set", "classes=a,b"), "'classes' is no parameter"),
        (("histogram", "d.npz", *out, "--set", "closed=both"), "closed is 'both'"),
        (("temperature", "d.npz", "nan.npz", *out), "nan.npz: logits[250, 0] is nan; expected a finite number"),
        (("temperature", "d.npz", "label.npz", *out), "label.npz: labels[17] is 3; labels are integers 0 to 2"),
        (("temperature", "label.npz", *out, "--ignore-index", "3"), "label.npz: labels[19] is -100"),
        (("temperature", "d.npz", "--weights", "nope", *out), "no array 'nope'"),
        (("temperature", "w.npz", "--weights", "w", *out), "w.npz: w[7] is -1"),
        (("isotonic", "p2.npz", *out), "p2.npz: probs[0"),
        (("temperature", "d.npz", "wide.npz", *out), "2 columns, the first one 3"),
        (("temperature", "d.npz", "p.npz", *out), "some dumps hold logits and some probabilities"),
        (("temperature", "none.npz", *out), "no"),
        (("temperature", "d.npz", "-o", "no/cal.json"), "no/cal.json cannot be written: No such file"),
        (("temperature", "d.npz", "-o", "link.json"), "link.json is a link to"),
        (("temperature", "d.npz", "-o", "d.npz"), "d.npz is read; write"),
        (("temperature", "d.npz", *out, "--classes", "a,b"), "--classes names 2"),
        (("temperature", "d.npz", *out, "--threads", "0"), "n_threads is 0"),
        (("temperature", "gone.npz", *out), "gone.npz does not exist"),
        (("temperature", "d.npz"), "--output"),
    ):
        assert message in refused(capsys, "fit", *arguments), arguments
        assert names_in(work) == before


def test_standard_input_is_refused(work, capsys, monkeypatch):
    import io

    pytest.importorskip("pyarrow", reason="other formats need the io extra")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"logits_0,logits_1,labels\n1,2,0\n2,1,1\n")))
    assert "standard input is read once" in refused(capsys, "fit", "temperature", "-", "-o", "cal.json")


def test_an_older_calibrator_stays_when_a_fit_fails(work, capsys):
    fit(capsys, "temperature", "d.npz")
    old = (work / "cal.json").read_bytes()
    np.savez("nan.npz", logits=np.full((4, 3), np.nan), labels=LABELS[:4])
    refused(capsys, "fit", "temperature", "nan.npz", "-o", "cal.json")
    assert (work / "cal.json").read_bytes() == old


SLOW = """
import sys, time
from fastcal.dumps import located
from fastcal.cli.app import run
def slow(self, rows):
    print("within", flush=True)
    time.sleep(20)
located.LocatedReader.located = None
was = located.LocatedReader.__iter__
def rows(self):
    for batch in was(self):
        yield batch
        slow(self, batch)
located.LocatedReader.__iter__ = rows
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_leaves_nothing(work):
    command = [sys.executable, "-c", SLOW, "fit", "temperature", "d.npz", "-o", "cal.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "within\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == "fastcal: stopped\n"
    assert names_in(work) == ["d.npz", "p.npz"]
