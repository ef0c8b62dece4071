"""What selective prediction makes of awkward input: a documented figure, or an error that names the place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import JIT

import fastcal as fc

INF, NAN = np.inf, np.nan
Y = np.array([1, 0, 0, 1, 1])
P = np.array([0.9, 0.25, 0.75, 0.625, 0.5])  # right, right, wrong, right, wrong; 0.9, 0.75, 0.75, 0.625, 0.5
ROWS = np.stack([1 - P, P], axis=1)
SCORE = np.array([5.0, 4.0, 4.0, 2.0, 1.0])
AURC = (0 + 0.5 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5


def changed(value, row=1, of=SCORE):
    values = np.array(of, copy=True)
    values[row] = value
    return values


def read_only(values):
    values = np.array(values)
    values.flags.writeable = False
    return values


def misaligned(values):
    raw = np.zeros(values.nbytes + 1, np.uint8)
    shifted = raw[1:].view(values.dtype).reshape(values.shape)
    shifted[...] = values
    return shifted


class Frame:
    """As little of a column of pandas as NumPy asks for."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def tensor(values):
    return pytest.importorskip("torch").from_numpy(np.array(values))


FORMS = {
    "as they are": lambda a: a,
    "lists": lambda a: a.tolist(),
    "float16": lambda a: a.astype(np.float16) if a.dtype.kind == "f" else a.astype(np.int8),
    "float32": lambda a: a.astype(np.float32),
    "longdouble": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "Fortran": np.asfortranarray,
    "misaligned": misaligned,
    "nothing masked": lambda a: np.ma.masked_array(a, False),
    "a frame": Frame,
    "a tensor": tensor,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scores", [P, ROWS], ids=["(N,)", "(N, K)"])
def test_every_form_has_the_same_figures(form, scores):
    make = FORMS[form]
    given = make(Y), make(scores)
    assert fc.aurc(*given) == pytest.approx(AURC, rel=1e-15)
    assert fc.aurc(*given, confidence=make(SCORE)) == pytest.approx(AURC, rel=1e-15)
    streamed = fc.SelectiveAccumulator().update(*given, confidence=make(SCORE), sample_weight=make(np.ones(5)))
    assert streamed.compute()["aurc"] == pytest.approx(AURC, rel=1e-14)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int16, np.uint64, float])
def test_labels_and_confidences_of_any_kind_of_number(kind):
    assert fc.aurc(Y.astype(kind), P) == pytest.approx(AURC, rel=1e-15)
    assert fc.aurc(Y, P, confidence=SCORE.astype(kind) if kind is not bool else SCORE) == pytest.approx(AURC, rel=1e-15)


def test_bfloat16_confidences():
    torch = pytest.importorskip("torch")
    score = torch.from_numpy(SCORE).to(torch.bfloat16)
    assert fc.aurc(Y, P, confidence=score) == pytest.approx(AURC, rel=1e-15)
    missing = changed(NAN, of=P)
    found = fc.aurc(Y, missing, confidence=score, nan_policy="omit")
    assert found == fc.aurc(Y, missing, confidence=SCORE, nan_policy="omit")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert fc.aurc(Y, P, confidence=SCORE.astype(ml_dtypes.bfloat16)) == pytest.approx(AURC, rel=1e-15)


BAD = {
    "a confidence of NaN": (
        {"confidence": changed(NAN)},
        ValueError,
        r"^confidence\[1\] is nan; expected finite numbers",
    ),
    "infinite confidence": ({"confidence": changed(-INF, 3)}, ValueError, r"^confidence\[3\] is -inf; expected finite"),
    "a masked confidence": (
        {"confidence": np.ma.masked_array(SCORE, [0, 0, 1, 0, 0])},
        ValueError,
        r"^confidence\[2\] is masked; every row needs one",
    ),
    "confidences of fewer rows": (
        {"confidence": SCORE[:4]},
        ValueError,
        r"^confidence has shape \(4,\), expected \(5,\)",
    ),
    "rows of confidences": ({"confidence": ROWS}, ValueError, r"^confidence has shape \(5, 2\), expected \(5,\)"),
    "confidences of text": (
        {"confidence": list("abcde")},
        TypeError,
        "^confidence has dtype <U1; expected real numbers",
    ),
    "complex ones": ({"confidence": SCORE + 0j}, TypeError, "^confidence has dtype complex128; expected real numbers"),
    "a label of no class": ({"y_true": [1, 0, 2, 1, 1]}, ValueError, r"^y_true\[2\] is 2; labels are integers 0 to 1"),
    "a label of NaN": ({"y_true": changed(NAN, of=Y.astype(float))}, ValueError, r"^y_true\[1\] is nan; labels are"),
    "a masked label": (
        {"y_true": np.ma.masked_array(Y, [1, 0, 0, 0, 0])},
        ValueError,
        r"^y_true\[0\] is masked; every",
    ),
    "labels of fewer rows": ({"y_true": Y[:3]}, ValueError, r"^y_true has shape \(3,\), expected \(5,\)"),
    "p beyond 1": ({"y_prob": changed(1.2, of=P)}, ValueError, r"^y_prob\[1\] is 1.2; probabilities lie in \[0, 1\]"),
    "p below 0": ({"y_prob": changed(-0.1, of=P)}, ValueError, r"^y_prob\[1\] is -0.1; probabilities lie in \[0, 1\]"),
    "p of NaN": (
        {"y_prob": changed(NAN, of=P)},
        ValueError,
        r"^y_prob\[1\] is nan; nan_policy='omit' leaves such rows",
    ),
    "a row of NaN": ({"y_prob": changed(NAN, of=ROWS)}, ValueError, r"^y_prob\[1, 0\] is nan; nan_policy='omit'"),
    "a row that sums to 2": ({"y_prob": changed(1, of=ROWS)}, ValueError, r"^y_prob\[1\] sums to 2; a row of prob"),
    "no class": ({"y_prob": np.empty((5, 0))}, ValueError, r"^y_prob has shape \(5, 0\); a row holds 1 to"),
    "a scalar": ({"y_true": 1, "y_prob": 0.5}, ValueError, r"^y_prob has shape \(\); expected one entry a row"),
    "a weight below 0": (
        {"sample_weight": changed(-1, of=P)},
        ValueError,
        r"^sample_weight\[1\] is -1.0; a weight is 0",
    ),
    "a weight of NaN": (
        {"sample_weight": changed(NAN, of=P)},
        ValueError,
        r"^sample_weight\[1\] is nan; a weight is 0",
    ),
    "too few weights": ({"sample_weight": P[:2]}, ValueError, r"^sample_weight has shape \(2,\), expected \(5,\)"),
    "a policy of no name": (
        {"nan_policy": "drop"},
        ValueError,
        "^nan_policy is 'drop'; expected one of raise, omit, prop",
    ),
    "logits perhaps": ({"from_logits": 1}, ValueError, "^from_logits is 1; expected True or False"),
    "no thread": ({"n_threads": 0}, ValueError, "^n_threads is 0; expected an integer of at least 1"),
}
FUNCTIONS = (fc.aurc, fc.risk_coverage_curve, fc.coverage_at_risk)


@pytest.mark.parametrize(("given", "error", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named(given, error, message):
    given = {"y_true": Y, "y_prob": P, **given}
    for function in FUNCTIONS:
        with pytest.raises(error, match=message):
            function(**given)
    rows = {name: given.pop(name) for name in ("y_true", "y_prob", "confidence", "sample_weight") if name in given}
    with pytest.raises(error, match=message):
        fc.SelectiveAccumulator(**given).update(**rows)


def test_the_place_in_leading_dimensions_and_behind_rows_left_out():
    shape = (2, 3)
    score, p = np.zeros(shape), np.full(shape, 0.75)
    score[1, 2] = NAN
    with pytest.raises(fc.DataError, match=r"confidence\[1, 2\] is nan") as caught:
        fc.aurc(np.zeros((2, 3), int), np.full((2, 3, 4), 0.25), confidence=score)
    assert caught.value.index == (1, 2)
    p = p.ravel()
    p[:2] = NAN
    with pytest.raises(fc.DataError, match=r"confidence\[5\] is nan"):
        fc.aurc(np.zeros(6, int), p, confidence=score.ravel(), nan_policy="omit")
    assert fc.aurc(np.zeros((2, 3), int), np.full((2, 3, 4), 0.25), confidence=np.zeros(shape)) == 0


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_first_fault_is_named_whatever_the_threads(n_threads, monkeypatch):
    from fastcal import engine
    from fastcal.accumulators import rows as chunking

    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 12)
    p = np.full((600 if JIT else 300, 2), 0.5)
    p[[250, 41, 260], 1] = 3
    with pytest.raises(fc.DataError, match=r"y_prob\[41, 1\] is 3;"):
        fc.aurc(np.zeros(len(p), int), p, n_threads=n_threads)


@pytest.mark.parametrize("function", [fc.aurc, fc.e_aurc, fc.augrc, fc.risk_at_coverage, fc.coverage_at_risk])
def test_of_nothing(function):
    with pytest.raises(fc.DataError, match="y_true is empty"):
        function([], [])
    with pytest.raises(fc.DataError, match="y_true is empty"):
        function([], np.empty((0, 3)), confidence=[])
    nothing = [NAN, NAN]
    assert math.isnan(function([0, 1], nothing, nan_policy="omit"))
    assert math.isnan(function([0, 1], [0.5, NAN], nan_policy="propagate"))
    assert not math.isnan(function([0, 1], [0.5, NAN], nan_policy="omit"))
    assert math.isnan(function([0, 1], [0.5, 0.6], sample_weight=[0, 0]))


def test_curves_of_nothing():
    with pytest.raises(fc.DataError, match="y_true is empty"):
        fc.risk_coverage_curve([], [])
    assert len(fc.risk_coverage_curve([0, 1], [NAN, NAN], nan_policy="omit").coverage) == 0
    curve = fc.risk_coverage_curve([0, 1, 1], [0.5, 0.75, NAN], nan_policy="propagate")
    assert curve.threshold.tolist() == [0.75, 0.5]
    assert np.isnan(curve.risk).all()
    assert np.isnan(curve.generalized_risk).all()


def test_one_row():
    assert (fc.aurc([1], [0.9]), fc.augrc([1], [0.9]), fc.e_aurc([0], [0.9])) == (0, 0, 0)
    assert (fc.aurc([0], [0.9]), fc.augrc([0], [0.9]), fc.risk_at_coverage([0], [0.9])) == (1, 1, 1)
    assert (fc.coverage_at_risk([0], [0.9]), fc.coverage_at_risk([1], [0.9])) == (0, 1)
    assert fc.aurc([0], [[1.0]]) == 0


def test_values_that_rounding_put_next_to_the_unit_interval():
    curve = fc.risk_coverage_curve([1, 0, 1], [1.0000001, -1e-9, 0.75])
    assert curve.threshold.tolist() == [1, 0.75]
    assert curve.coverage.tolist() == [2 / 3, 1]
    curve = fc.risk_coverage_curve([0, 1], [[1.00005, 0], [0, 1]])
    assert curve.threshold.tolist() == [1]
    certain = fc.risk_coverage_curve([1, 0, 0], [INF, -INF, 0.0], from_logits=True)
    assert certain.threshold.tolist() == [1, 0.5]
    assert certain.risk.tolist() == [0, 0]


SHARES = [NAN, INF, -0.1, 1.1, "0.5", None, True]


@pytest.mark.parametrize("share", SHARES)
def test_shares_that_are_none(share):
    with pytest.raises(ValueError, match=r"coverage is .*; expected a number above 0, at most 1"):
        fc.risk_at_coverage(Y, P, coverage=share)
    with pytest.raises(ValueError, match=r"risk is .*; expected a number from 0 to 1"):
        fc.coverage_at_risk(Y, P, risk=share)
    with pytest.raises(ValueError, match="coverage is 0;"):
        fc.risk_at_coverage(Y, P, coverage=0)


def test_nothing_is_written_to_what_was_given():
    given = [np.array(one) for one in (Y, P, SCORE, np.ones(5))]
    copies = [one.copy() for one in given]
    fc.aurc(*given[:2], confidence=given[2], sample_weight=given[3])
    fc.SelectiveAccumulator().update(*given[:2], confidence=given[2], sample_weight=given[3])
    for one, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(one, copy)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [1, 2, 3, 15, 16])
def test_rows_that_are_in_order_at_a_glance_are_those_of_a_closer_look(n_classes, dtype):
    """Rows with weights, and those next to one that is a little off, get the closer look."""
    rng = np.random.default_rng(5)
    n = 200 if JIT else 40
    probs = rng.integers(0, 3, (n, n_classes)) + 1e-3
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(dtype)
    y = rng.integers(0, n_classes, n)
    plain = fc.risk_coverage_curve(y, probs).to_dict()
    weighted = fc.risk_coverage_curve(y, probs, sample_weight=np.ones(n)).to_dict()
    off = np.append(probs, np.eye(1, n_classes, dtype=dtype) * dtype(1.00005), axis=0)
    beside = fc.risk_coverage_curve(np.append(y, 0), off, confidence=np.append(probs.max(axis=1), -1)).to_dict()
    for name, values in plain.items():
        np.testing.assert_allclose(weighted[name], values, rtol=1e-14)
    np.testing.assert_allclose(beside["risk"][:-1], plain["risk"], rtol=1e-14)
    assert beside["threshold"] == [*plain["threshold"], -1]
    for place, value in (((3, 0), NAN), ((3, 0), 1.2), ((3, n_classes - 1), -0.2), ((3, 0), INF)):
        with pytest.raises(fc.DataError, match=r"y_prob\[3, "):
            fc.aurc(y, changed(value, place, probs))
    for label in (-1, n_classes):
        with pytest.raises(fc.DataError, match=rf"y_true\[3\] is {label}"):
            fc.aurc(changed(label, 3, y), probs)
