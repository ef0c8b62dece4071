"""What comes of awkward input: one table, each line an input and its documented outcome.

An outcome is the expected value of one figure, or an error and what it says. Every line goes through the one-shot
function and through ``Evaluation``, which must agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import fastcal as fc
from fastcal import engine
from fastcal.accumulators import rows as chunking

INF, NAN = np.inf, np.nan
ROWS = np.array([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1], [0.3, 0.7]])
LABELS = np.array([1, 0, 1, 1])
NLL = float(-np.log([0.8, 0.6, 0.1, 0.7]).mean())
P = ROWS[:, 1]
BINARY_NLL = NLL
LOGITS = np.log(ROWS)


class Case(NamedTuple):
    name: str
    y_true: Any
    y_prob: Any
    outcome: Any  # the nll, or (error, message)
    options: dict[str, Any] = {}  # noqa: RUF012 - never written to


def masked(values, mask):
    return np.ma.masked_array(values, mask)


def read_only(values):
    values = np.array(values)
    values.flags.writeable = False
    return values


def misaligned(values):
    raw = np.zeros(values.nbytes + 1, np.uint8)
    shifted = raw[1:].view(values.dtype).reshape(values.shape)
    shifted[...] = values
    return shifted


def column(value, row=1, values=P):
    changed = np.array(values, copy=True)
    changed[row] = value
    return changed


def cell(value, row=1, k=0):
    changed = ROWS.copy()
    changed[row, k] = value
    return changed


raises = pytest.raises
TABLE = [
    # as given
    Case("rows", LABELS, ROWS, NLL),
    Case("binary", LABELS, P, BINARY_NLL),
    Case("lists", LABELS.tolist(), ROWS.tolist(), NLL),
    Case("logits", LABELS, LOGITS, NLL, {"from_logits": True}),
    Case("binary logits", LABELS, np.log(P / (1 - P)), NLL, {"from_logits": True}),
    Case("one row", [1], [[0.2, 0.8]], -np.log(0.8)),
    Case("one binary row", [1], [0.8], -np.log(0.8)),
    Case("K = 1", [0, 0], [[1.0], [1.0]], 0.0),
    Case("K = 1 that sums to 0.3", [0], [[0.3]], (ValueError, r"y_prob\[0\] sums to 0.3; a row of probabilities")),
    # layouts and dtypes
    Case("float32", LABELS, ROWS.astype(np.float32), pytest.approx(NLL, rel=1e-7)),
    Case("float16", LABELS, ROWS.astype(np.float16), pytest.approx(NLL, rel=2e-4)),
    Case("longdouble", LABELS, ROWS.astype(np.longdouble), NLL),
    Case("big-endian", LABELS.astype(">i4"), ROWS.astype(">f8"), NLL),
    Case("read-only", read_only(LABELS), read_only(ROWS), NLL),
    Case("strided", np.repeat(LABELS, 2)[::2], np.repeat(ROWS, 2, axis=0)[::2], NLL),
    Case("reversed", LABELS[::-1], ROWS[::-1], NLL),
    Case("Fortran", LABELS, np.asfortranarray(ROWS), NLL),
    Case("misaligned", misaligned(LABELS), misaligned(ROWS), NLL),
    Case("integer probabilities", [0, 1], [0, 1], 0.0),
    Case("boolean labels", LABELS.astype(bool), P, NLL),
    Case("uint8 labels", LABELS.astype(np.uint8), ROWS, NLL),
    Case("integral float labels", LABELS.astype(float), ROWS, NLL),
    Case("leading dimensions", LABELS.reshape(2, 2), ROWS.reshape(2, 2, 2), NLL),
    Case("pairs of rows, wrong labels", LABELS, ROWS.reshape(2, 2, 2), (ValueError, r"y_true has shape \(4,\), expec")),
    Case("masked, nothing masked", masked(LABELS, False), masked(ROWS, False), NLL),
    Case("masked probability", LABELS, masked(P, [0, 0, 1, 0]), (ValueError, r"y_prob\[2\] is nan")),
    Case("masked, omitted", LABELS, masked(P, [0, 0, 1, 0]), -np.log([0.8, 0.6, 0.7]).mean(), {"nan_policy": "omit"}),
    Case("masked label", masked(LABELS, [0, 1, 0, 0]), ROWS, (ValueError, r"y_true\[1\] is masked; every row needs")),
    # labels out of place
    Case("label -1", [1, 0, -1, 1], ROWS, (ValueError, r"y_true\[2\] is -1; labels are integers 0 to 1")),
    Case("label K", [1, 0, 2, 1], ROWS, (ValueError, r"y_true\[2\] is 2; labels are integers 0 to 1")),
    Case("label 0.5", [1, 0.5, 1, 1], ROWS, (ValueError, r"y_true\[1\] is 0.5; labels are integers 0 to 1")),
    Case("label nan", [1, NAN, 1, 1], ROWS, (ValueError, r"y_true\[1\] is nan; labels are integers 0 to 1")),
    Case("label inf", [1, INF, 1, 1], P, (ValueError, r"y_true\[1\] is inf; labels are integers 0 to 1")),
    Case("label 2^64 - 1", np.array([1, 0, 2**64 - 1, 1], np.uint64), ROWS, (ValueError, r"y_true\[2\] is 18446744")),
    Case("label 2 in binary", [1, 0, 2, 1], P, (ValueError, r"y_true\[2\] is 2; labels are integers 0 to 1")),
    Case("one-hot labels", np.eye(2, dtype=int)[LABELS], ROWS, (ValueError, r"class indices, not one-hot rows")),
    Case("text labels", ["a", "b", "a", "b"], ROWS, (TypeError, r"y_true has dtype <U1; expected real numbers")),
    Case("object labels", np.array([1, None, 0, 1], object), ROWS, (TypeError, r"y_true has dtype object")),
    # values out of place
    Case("p = 1 and 0, right", [1, 0], [1.0, 0.0], 0.0),
    Case("p = 0 for the label", [0, 1], [1.0, 1.0], INF),
    Case("p = 1.0000001", [1, 0], [1.0000001, 0.0], 0.0),
    Case("p = -0.0000001", [1, 0], [1.0, -0.0000001], 0.0),
    Case("p = 1.00001 in a row", [0, 1], [[1.00001, 0.0], [0.0, 1.0]], 0.0),
    Case("p = 1.00001, (N,)", [1], [1.00001], (ValueError, r"y_prob\[0\] is 1.00001; probabilities lie in \[0, 1\]")),
    Case("p = 1.2", LABELS, cell(1.2), (ValueError, r"y_prob\[1, 0\] is 1.2; probabilities lie in \[0, 1\] \(for log")),
    Case("p = -0.2", LABELS, cell(-0.2), (ValueError, r"y_prob\[1, 0\] is -0.2; probabilities lie in \[0, 1\]")),
    Case("p = inf", LABELS, column(INF), (ValueError, r"y_prob\[1\] is inf; probabilities lie in \[0, 1\]")),
    Case("p = nan", LABELS, cell(NAN), (ValueError, r"y_prob\[1, 0\] is nan; nan_policy='omit' leaves such rows out")),
    Case("p = nan, (N,)", LABELS, column(NAN), (ValueError, r"y_prob\[1\] is nan")),
    Case("all nan", LABELS, np.full((4, 2), NAN), (ValueError, r"y_prob\[0, 0\] is nan")),
    Case("all nan, omitted", LABELS, np.full((4, 2), NAN), NAN, {"nan_policy": "omit"}),
    Case("nan, propagated", LABELS, cell(NAN), NAN, {"nan_policy": "propagate"}),
    Case(
        "bad value and nan, omitted",
        LABELS,
        column(1.5, 2, column(NAN)),
        (ValueError, r"\[2\] is 1.5"),
        {"nan_policy": "omit"},
    ),
    Case(
        "row sums to 1.1", LABELS, cell(0.7), (ValueError, r"y_prob\[1\] sums to 1.1; a row of probabilities sums to 1")
    ),
    Case("logits as probabilities", LABELS, LOGITS, (ValueError, r"for logits say from_logits=True")),
    Case(
        "logit nan", LABELS, column(NAN, (1, 0), LOGITS), (ValueError, r"y_prob\[1, 0\] is nan"), {"from_logits": True}
    ),
    Case("logit +inf", [0, 1], [[INF, 0.0], [0.0, INF]], 0.0, {"from_logits": True}),
    Case("logit +inf, wrong", [1, 1], [[INF, 0.0], [0.0, INF]], INF, {"from_logits": True}),
    Case(
        "two logits +inf", [0], [[INF, INF]], (ValueError, r"y_prob\[0\] has 2 logits of \+inf"), {"from_logits": True}
    ),
    Case(
        "all logits -inf", [0], [[-INF, -INF]], (ValueError, r"y_prob\[0\] has no logit above"), {"from_logits": True}
    ),
    Case("logit -inf", [0], [[1.0, -INF]], 0.0, {"from_logits": True}),
    Case("logits 1e308", [0, 1], [[1e308, -1e308], [-1e308, 1e308]], 0.0, {"from_logits": True}),
    Case("binary logits +-inf", [1, 0], [INF, -INF], 0.0, {"from_logits": True}),
    # shapes
    Case("empty", [], [], (ValueError, "y_true is empty")),
    Case("empty rows", np.empty(0, int), np.empty((0, 3)), (ValueError, "y_true is empty")),
    Case("no classes", [0], np.empty((1, 0)), (ValueError, r"y_prob has shape \(1, 0\); a row holds 1 to")),
    Case("scalar", 1, 0.5, (ValueError, r"y_prob has shape \(\); expected one entry a row")),
    Case("scalar label", 1, [0.5], (ValueError, r"y_true has shape \(\); expected one entry a row")),
    Case(
        "lengths differ", [1, 0, 1], ROWS, (ValueError, r"y_true has shape \(3,\), expected \(4,\); y_prob has shape")
    ),
    Case(
        "ragged",
        [1, 0],
        [[0.2, 0.8], [0.2, 0.3, 0.5]],
        (ValueError, "y_prob is no array: row 1 has 3 values, row 0 has 2"),
    ),
    Case("object array", LABELS, ROWS.astype(object), (TypeError, "y_prob has dtype object; expected real numbers")),
    Case("complex", LABELS, ROWS.astype(complex), (TypeError, "y_prob has dtype complex128; expected real numbers")),
    Case(
        "dates", LABELS, np.zeros(4, "M8[s]"), (TypeError, r"y_prob has dtype datetime64\[s\]; expected real numbers")
    ),
    # weights
    Case(
        "weight 1e-300",
        LABELS,
        ROWS,
        (ValueError, r"sample_weight\[0\] is 1e-300; a weight is 0, or from 1e-100 to"),
        {"sample_weight": [1e-300, 1, 1, 1]},
    ),
    Case(
        "weight 1e300",
        LABELS,
        ROWS,
        (ValueError, r"sample_weight\[1\] is 1e\+300; a weight is 0, or from"),
        {"sample_weight": [1, 1e300, 1, 1]},
    ),
    Case(
        "masked weight",
        LABELS,
        ROWS,
        (ValueError, r"sample_weight\[1\] is masked; every row needs a weight"),
        {"sample_weight": masked([1, 1, 1, 1], [0, 1, 0, 0])},
    ),
    Case("many a little below 0", [0], np.where(np.arange(30) == 0, 1.00005, -1e-5)[None], 0.0),
    Case("many more", [0], np.where(np.arange(70) == 0, 1.00005, -np.arange(70) / 7e6)[None], 0.0),
    Case("weights", LABELS, ROWS, -np.log(0.6), {"sample_weight": [0, 2.5, 0, 0]}),
    Case("weight 0 on an infinite NLL", [0, 1], [1.0, 1.0], 0.0, {"sample_weight": [0, 3]}),
    Case("all weights 0", LABELS, ROWS, NAN, {"sample_weight": [0, 0, 0, 0]}),
    Case("weight -1", LABELS, ROWS, (ValueError, r"sample_weight\[2\] is -1"), {"sample_weight": [1, 1, -1, 1]}),
    Case("weight nan", LABELS, ROWS, (ValueError, r"sample_weight\[3\] is nan"), {"sample_weight": [1, 1, 1, NAN]}),
    Case("weight inf", LABELS, ROWS, (ValueError, r"sample_weight\[0\] is inf"), {"sample_weight": [INF, 1, 1, 1]}),
    Case(
        "weights too few", LABELS, ROWS, (ValueError, r"sample_weight has shape \(3,\)"), {"sample_weight": [1, 1, 1]}
    ),
    Case("text weights", LABELS, ROWS, (TypeError, "sample_weight has dtype"), {"sample_weight": ["1", "1", "1", "1"]}),
]


def evaluated(y_true, y_prob, *, sample_weight=None, **options):
    return fc.Evaluation(**options).update(y_true, y_prob, sample_weight=sample_weight).compute()["nll"]


def test_the_table_is_long_enough():
    assert len(TABLE) >= 40
    assert len({case.name for case in TABLE}) == len(TABLE)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
@pytest.mark.parametrize("function", [fc.nll, evaluated], ids=["one-shot", "Evaluation"])
def test_outcome(case, function):
    copies = [np.array(a, copy=True) if isinstance(a, np.ndarray) else a for a in (case.y_true, case.y_prob)]
    if isinstance(case.outcome, tuple):
        error, message = case.outcome
        if function is evaluated and message == "y_true is empty":
            assert np.isnan(evaluated(case.y_true, case.y_prob, **case.options))  # a stream may have empty batches
            return
        with pytest.raises(error, match=message):
            function(case.y_true, case.y_prob, **case.options)
    else:
        value = function(case.y_true, case.y_prob, **case.options)
        expected = case.outcome
        assert value == (
            pytest.approx(expected, rel=1e-13, abs=1e-15, nan_ok=True) if type(expected) is float else expected
        )
    for before, after in zip(copies, (case.y_true, case.y_prob), strict=True):
        if isinstance(after, np.ndarray):
            np.testing.assert_array_equal(before, after)  # nothing is written to what was given


OPTIONS = [
    (fc.ece, {"n_bins": 0}, ValueError, "n_bins is 0; expected an integer from 1 to"),
    (fc.ece, {"n_bins": 2.5}, ValueError, "n_bins is 2.5; expected an integer"),
    (fc.ece, {"n_bins": True}, ValueError, "n_bins is True"),
    (fc.ece, {"nan_policy": "drop"}, ValueError, "nan_policy is 'drop'; expected one of raise, omit, propagate"),
    (fc.ece, {"n_threads": 0}, ValueError, "n_threads is 0; expected an integer of at least 1"),
    (fc.ece, {"n_threads": 1.5}, ValueError, "n_threads is 1.5"),
    (fc.calibration_error, {"norm": "l3"}, ValueError, "norm is 'l3'; expected one of l1, l2, max"),
    (fc.ece, {"bins": 3}, TypeError, "bins"),
]


@pytest.mark.parametrize(("function", "options", "error", "message"), OPTIONS)
def test_bad_options(function, options, error, message):
    with pytest.raises(error, match=message):
        function(LABELS, ROWS, **options)


def test_an_error_names_its_place_in_leading_dimensions():
    probs = np.full((2, 3, 4), 0.25)
    probs[1, 2, 3] = 2
    with pytest.raises(fc.DataError, match=r"y_prob\[1, 2, 3\] is 2;") as caught:
        fc.ece(np.zeros((2, 3), int), probs)
    assert caught.value.index == (1, 2, 3)


def test_the_first_of_several_faults_is_named_whatever_the_threads(monkeypatch):
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(chunking, "CHUNK_BYTES", 1 << 12)
    probs = np.full((2000, 4), 0.25, np.float32)
    for row in (1500, 200, 1999):
        probs[row, 1] = 3
    for n_threads in (1, 2, 3):
        with pytest.raises(fc.DataError, match=r"y_prob\[200, 1\] is 3;"):
            fc.ece(np.zeros(len(probs), int), probs, n_threads=n_threads)


SUMMARY = [
    ([1.0, 3.0], (1, 0.8808, 0.7616)),
    ([2.0, 2.0], (0, 0.5, 0.0)),
    ([5.0], (0, 1.0, 1.0)),
    ([np.inf, 0.0], (0, 1.0, 1.0)),
    ([-np.inf, 0.0], (1, 1.0, 1.0)),
]


@pytest.mark.parametrize(("row", "expected"), SUMMARY)
def test_softmax_summary_of_one_row(row, expected):
    summary = fc.softmax_summary(row)
    assert (summary.prediction, round(float(summary.confidence), 4), round(float(summary.margin), 4)) == expected


@pytest.mark.parametrize(
    ("row", "logsumexp"),
    [([np.nan, 0.0], np.nan), ([np.inf, np.inf], np.inf), ([-np.inf, -np.inf], -np.inf), ([np.inf, np.nan], np.nan)],
)
def test_softmax_summary_of_no_distribution(row, logsumexp):
    for width in (len(row), 60, 130):
        fill = row[0] if np.isinf(row[0]) and row[0] == row[1] else 0.0
        summary = fc.softmax_summary(np.array([row + [fill] * (width - len(row)), [0.0] * width]))
        assert summary.prediction.tolist() == [-1, 0]
        assert np.isnan([summary.confidence[0], summary.margin[0], summary.entropy[0]]).all()
        np.testing.assert_equal(summary.logsumexp[0], logsumexp)


@pytest.mark.parametrize("temperature", [0, -1, np.inf, np.nan, 1e50, 1e-50])
def test_softmax_summary_of_a_bad_temperature(temperature):
    with pytest.raises(ValueError, match="temperature is"):
        fc.softmax_summary(np.float32([[1.0, 2.0]]), temperature=temperature)
