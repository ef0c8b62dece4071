"""What holds for every calibrator: no source of rows changes a bit, bad rows are named, outcomes are distributions."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from forms import Framed, read_only

import fastcal as fc
from fastcal.calibrators import rows
from fastcal.calibrators.base import Calibrator

METHODS = [
    fc.TemperatureScaling,
    fc.VectorScaling,
    fc.MatrixScaling,
    fc.DirichletCalibration,
    fc.EnsembleTemperatureScaling,
    fc.PlattScaling,
    fc.BetaCalibration,
    fc.HistogramBinning,
    fc.IsotonicCalibration,
    fc.BBQ,
    fc.VennAbers,
]
OF_LOGITS = METHODS[:5]
every = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
CUTS = (0, 1, 18, 100, 101, 300, 420, 500)


def sample(n=500, n_classes=3, seed=0):
    """Overconfident logits and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, n_classes))
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return (2.5 * logits + rng.normal(0, 0.3, (n, n_classes))).astype(np.float32), labels


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=1, keepdims=True)


def given(method, n=500, n_classes=3, seed=0):
    """Scores of the kind that a method takes, and labels."""
    logits, labels = sample(n, n_classes, seed)
    if method in OF_LOGITS:
        return logits, labels
    return (0.99 * softmax(logits) + 0.01 / n_classes).astype(np.float32), labels  # none of them is rounded to 1


def attributes(fitted):
    """All that a fit has set."""
    return {name: value for name, value in vars(fitted).items() if name.endswith("_")}


def assert_same_bits(one, other):
    left, right = attributes(one), attributes(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(right[name]), err_msg=name, strict=True)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows, waves of two and a hundred rows."""
    monkeypatch.setattr(rows, "BLOCK_SIZE", 64)
    monkeypatch.setattr(rows, "WAVE", 2)
    monkeypatch.setattr(rows, "WAVE_BYTES", 1200)


@every
@pytest.mark.parametrize("weighted", [False, True])
def test_any_source_gives_the_same_bits(method, weighted, small_blocks, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    scores, labels = given(method)
    weights = np.random.default_rng(1).integers(0, 3, len(labels)).astype(float) if weighted else None
    whole = method(n_threads=1).fit(scores, labels, weights)
    parts = [
        (scores[i:j], labels[i:j], *(() if weights is None else (weights[i:j],))) for i, j in itertools.pairwise(CUTS)
    ]
    columns = {f"scores_{k}": scores[:, k] for k in range(3)} | {"labels": labels}
    columns |= {} if weights is None else {"weights": weights}
    pq.write_table(pa.table(columns), tmp_path / "dump.parquet", row_group_size=77)
    kind = {"logits": "scores"} if method in OF_LOGITS else {"probs": "scores"}
    read = fc.read_batches(tmp_path / "dump.parquet", **kind, weights=None if weights is None else "weights")
    assert read.from_logits == (method in OF_LOGITS)
    for batches in (parts, [parts[0], *parts[1:]][:], lambda: iter(parts), read):
        assert_same_bits(method(n_threads=2).fit_batches(batches), whole)
    if method.one_pass:
        assert_same_bits(method().fit_batches(part for part in parts), whole)
    else:
        with pytest.raises(TypeError, match=f"once only, and {method.__name__} looks at the rows again"):
            method().fit_batches(part for part in parts)


@every
def test_rows_are_distributions_and_predictions_their_largest(method):
    scores, labels = given(method)
    fitted = method().fit(scores, labels)
    p = fitted.predict_proba(scores)
    assert p.shape == scores.shape
    assert p.dtype == np.float32
    assert (p >= 0).all()
    assert (p <= 1).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    double = fitted.predict_proba(scores.astype(float))
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, p, atol=2e-6)
    predicted = fitted.predict(scores)
    assert predicted.dtype.kind == "i"
    ordered = np.sort(p, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-5
    np.testing.assert_array_equal(predicted[clear], p.argmax(axis=1)[clear])
    assert fc.nll(labels, np.maximum(p, 1e-6) / np.maximum(p, 1e-6).sum(axis=1, keepdims=True)) < fc.nll(
        labels, scores if method in OF_LOGITS else scores / scores.sum(axis=1, keepdims=True),
        from_logits=method in OF_LOGITS,
    )  # fmt: skip


@every
def test_any_form_of_the_same_scores_gives_the_same_fit(method):
    scores, labels = given(method, 120)
    fitted = method().fit(scores, labels)
    big_endian = scores.astype(">f4")
    strided = np.repeat(scores, 2, axis=0)[::2]
    for form in (big_endian, strided, np.asfortranarray(scores), read_only(scores), Framed(scores)):
        again = method().fit(form, labels)
        assert_same_bits(again, fitted)
        np.testing.assert_array_equal(again.predict_proba(form), fitted.predict_proba(scores))
    as_list = method().fit(scores.astype(float).tolist(), labels.tolist())
    assert_same_bits(as_list, method().fit(scores.astype(float), labels.astype(float)))
    half = scores.astype(np.float16)
    halves = method().fit(half, labels).predict_proba(half)
    assert halves.dtype == np.float32
    np.testing.assert_array_equal(halves, method().fit(half.astype(np.float32), labels).predict_proba(half))
    cube = method().fit(scores.reshape(12, 10, 3), labels.reshape(12, 10))
    assert_same_bits(cube, fitted)
    assert cube.predict_proba(scores.reshape(12, 10, 3)).shape == (12, 10, 3)
    assert cube.predict(scores.reshape(12, 10, 3)).shape == (12, 10)


@every
def test_results_go_where_they_are_wanted(method):
    scores, labels = given(method, 100)
    fitted = method().fit(scores, labels)
    expected = fitted.predict_proba(scores)
    out = np.full_like(scores, 7)
    assert fitted.predict_proba(scores, out=out) is out
    np.testing.assert_array_equal(out, expected)
    in_place = scores.copy()
    np.testing.assert_array_equal(fitted.predict_proba(in_place, out=in_place), expected)
    wide = np.zeros((100, 6), np.float32)
    fitted.predict_proba(scores, out=wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], expected)
    for wrong, error in [(out.astype(float), TypeError), (out[1:], ValueError), (read_only(out), ValueError)]:
        with pytest.raises(error, match="out"):
            fitted.predict_proba(scores, out=wrong)
    room = np.zeros((101, 3), np.float32)
    room[:100] = scores
    with pytest.raises(ValueError, match="out overlaps scores"):
        fitted.predict_proba(room[:100], out=room[1:])
    with pytest.raises(ValueError, match="out overlaps scores"):  # from the same address, but by other steps
        fitted.predict_proba(room[:100:2], out=room[:50])
    none = fitted.predict_proba(scores[:0])
    assert none.shape == (0, 3)
    assert fitted.predict(scores[:0]).shape == (0,)


@every
def test_labels_may_be_of_any_kind(method):
    scores, labels = given(method, 150)
    fitted = method().fit(scores, labels)
    names = np.array(["cat", "ant", "bee"])
    named = method(classes=names).fit(scores, names[labels])
    np.testing.assert_array_equal(named.predict_proba(scores), fitted.predict_proba(scores))
    np.testing.assert_array_equal(named.predict(scores), names[fitted.predict(scores)])
    assert named.classes_.tolist() == names.tolist()
    numbers = method(classes=[10, -5, 7]).fit(scores, np.array([10, -5, 7])[labels])
    assert set(numbers.predict(scores).tolist()) <= {10, -5, 7}
    with pytest.raises(ValueError, match=r"y_true\[3\] is dog; labels are cat, ant, bee"):
        method(classes=names).fit(scores, np.where(np.arange(150) == 3, "dog", names[labels]))
    texts = names[labels].astype(object)
    np.testing.assert_array_equal(
        method(classes=names).fit(scores, texts).predict_proba(scores), named.predict_proba(scores)
    )
    for missing in (None, np.nan):
        texts[4] = missing
        with pytest.raises(ValueError, match=rf"y_true\[4\] is {missing}; labels are cat, ant, bee"):
            method(classes=names).fit(scores, texts)
    with pytest.raises(ValueError, match="classes has 2 labels, scores have 3 classes"):
        method(classes=[0, 1]).fit(scores, labels % 2)
    with pytest.raises(ValueError, match="different labels"):
        method(classes=[0, 0, 1]).fit(scores, labels)


def broken(method, scores, labels, weights):
    """Whatever a user may get wrong, and what is said of it."""
    bad = scores.copy()
    bad[7, 1] = np.nan
    low, high = labels.copy(), labels.astype(float)
    low[3], high[4] = -1, 2.5
    heavy = weights.copy()
    heavy[5] = -1
    masked = np.ma.masked_array(scores, mask=scores == scores[9, 2])
    return [
        ((bad, labels), r"scores\[7, 1\] is nan"),
        ((scores, low), r"y_true\[3\] is -1; labels are integers 0 to 2"),
        ((scores, high), r"y_true\[4\] is 2.5; labels are integers 0 to 2"),
        ((scores, labels[1:]), r"y_true has shape \(99,\), expected \(100,\)"),
        ((scores, np.eye(3)[labels]), "not one-hot rows"),
        ((scores, labels, heavy), r"sample_weight\[5\] is -1"),
        ((scores, labels, weights[1:]), r"sample_weight has shape \(99,\), expected \(100,\)"),
        ((scores, labels, 0 * weights), "sample_weight"),
        ((scores[:0], labels[:0]), "scores is empty"),
        ((scores[:, :1], 0 * labels), "a row holds 2 to"),
        ((masked, labels), r"scores\[9, 2\] is masked"),
        ((np.float64(1.0), labels), r"scores has shape \(\)"),
    ]


@every
def test_what_is_wrong_is_named_and_changes_nothing(method, small_blocks):
    scores, labels = given(method, 100)
    fitted = method().fit(scores, labels)
    before = copy.deepcopy(attributes(fitted))
    for arguments, said in broken(method, scores, labels, np.ones(100)):
        with pytest.raises(ValueError, match=said):
            fitted.fit(*arguments)
    cut = [(scores[:70], labels[:70]), (np.where(np.arange(30)[:, None] == 9, np.nan, scores[70:]), labels[70:])]
    with pytest.raises(ValueError, match=r"scores\[79, 0\] is nan"):
        fitted.fit_batches(cut)
    for batches, said in [
        ([], "has no batch"),
        ([(scores[:0], labels[:0])], "has no rows"),
        ([(scores, labels), (scores[:, :2], labels % 2)], "2 columns, the first one 3"),
        ([(scores, labels), (scores, labels, np.ones(100))], "weights in some batches only"),
    ]:
        with pytest.raises(ValueError, match=said):
            fitted.fit_batches(batches)
    for wrong in (["a"], [scores], [(scores,)]):
        with pytest.raises((TypeError, ValueError)):
            fitted.fit_batches(wrong)
    if method in OF_LOGITS:
        with pytest.raises(ValueError, match=r"scores\[0, 0\] is inf"):
            fitted.predict_proba(np.full((2, 3), np.inf))
    else:
        with pytest.raises(ValueError, match=r"scores\[0, 0\] is 3; probabilities lie in"):
            fitted.predict_proba(np.full((2, 3), 3.0))
    with pytest.raises(ValueError, match="fitted to 3 classes"):
        fitted.predict_proba(scores[:, :2])
    with pytest.raises(ValueError, match=r"scores\[7, 1\] is nan"):
        fitted.predict(broken(method, scores, labels, np.ones(100))[0][0][0])
    with pytest.raises(ValueError, match="not fitted yet"):
        method().predict(scores)
    with pytest.raises(ValueError, match="input is 'odds'"):
        method(input="odds").fit(scores, labels)
    with pytest.raises(ValueError, match="n_threads is 0"):
        method(n_threads=0).fit(scores, labels)
    after = attributes(fitted)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])


@every
def test_a_missing_class_keeps_its_column(method):
    scores, labels = given(method, 200, 4)
    some = labels != 2
    fitted = quietly(method().fit, scores[some], labels[some])
    p = fitted.predict_proba(scores)
    assert p.shape == (200, 4)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


@every
def test_degenerate_rows_have_an_outcome(method):
    scores, labels = given(method, 60)
    right = np.where(np.eye(3, dtype=bool)[labels], 0.98, 0.01)
    cases = [
        (scores, np.zeros(60, int)),  # one class
        (np.full_like(scores, 1 / 3), labels),  # constant
        (right, labels),  # all right
        (right, (labels + 1) % 3),  # all wrong
        (scores[:1], labels[:1]),  # one row
    ]
    for some, y in cases:
        fitted = quietly(method().fit, some, y)
        p = fitted.predict_proba(scores)
        assert (p >= 0).all(), y[:3]  # nor NaN
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


def quietly(call, *arguments):
    """Whatever a fit warns of: what it says is tested where the method is."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.FitWarning)
        return call(*arguments)


@every
def test_two_classes_as_one_column_or_as_two(method):
    scores, labels = given(method, 300, 2)
    column = scores[:, 1] - scores[:, 0] if method in OF_LOGITS else scores[:, 1]
    binary = method().fit(column, labels)
    p = binary.predict_proba(column)
    assert p.shape == (300,)
    assert ((p >= 0) & (p <= 1)).all()
    assert binary.n_classes_ == 2
    assert binary.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(binary.predict(column)[abs(p - 0.5) > 1e-5], (p > 0.5)[abs(p - 0.5) > 1e-5])
    if method not in (fc.VectorScaling, fc.MatrixScaling, fc.DirichletCalibration):
        both = method().fit(scores, labels)
        np.testing.assert_allclose(both.predict_proba(scores)[:, 1], p, atol=2e-6)
    with pytest.raises(ValueError, match=r"fitted to binary scores \(N,\)"):
        binary.predict_proba(scores)


@every
def test_weights_count_rows(method):
    scores, labels = given(method, 200)
    weights = np.random.default_rng(2).integers(0, 3, 200)
    kept = np.repeat(np.arange(200), weights)
    weighted = method().fit(scores, labels, weights)
    repeated = method().fit(scores[kept], labels[kept])
    tolerance = 5e-6 if method in OF_LOGITS or method in (fc.PlattScaling, fc.BetaCalibration) else 1e-6
    np.testing.assert_allclose(weighted.predict_proba(scores), repeated.predict_proba(scores), atol=tolerance)


@every
def test_copies_and_pickles_predict_the_same(method):
    scores, labels = given(method, 100)
    fitted = method().fit(scores, labels)
    for other in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.predict_proba(scores), fitted.predict_proba(scores))
        assert_same_bits(other, fitted)
    assert isinstance(fitted, Calibrator)
    assert repr(method()) == f"{method.__name__}()"


def test_a_source_that_changes_is_noticed(small_blocks):
    scores, labels = sample()
    given_out = []

    def shrinking():
        given_out.append(1)
        yield scores[: 500 - 10 * len(given_out)], labels[: 500 - 10 * len(given_out)]

    with pytest.raises(ValueError, match="rows, and had"):
        fc.TemperatureScaling().fit_batches(shrinking)


@every
def test_batches_may_come_in_the_same_arrays_again_and_again(method, small_blocks):
    scores, labels = given(method)

    def refilled():
        room, places = np.empty((125, 3), np.float32), np.empty(125, np.int64)
        for start in range(0, 500, 125):
            room[:], places[:] = scores[start : start + 125], labels[start : start + 125]
            yield room, places

    assert_same_bits(method().fit_batches(refilled), method().fit(scores, labels))


def test_files_that_are_read_again(tmp_path):
    logits, labels = sample()
    np.savez(tmp_path / "one.npz", logits=logits, labels=labels)
    np.save(tmp_path / "two_logits.npy", logits)
    np.save(tmp_path / "two_labels.npy", labels)
    read = fc.read_batches([tmp_path / "one.npz", tmp_path / "two_logits.npy", tmp_path / "two_labels.npy"])
    twice = fc.TemperatureScaling().fit(np.concatenate([logits, logits]), np.concatenate([labels, labels]))
    assert_same_bits(fc.TemperatureScaling().fit_batches(read), twice)
    with pytest.raises(ValueError, match="batches hold logits, and are taken as probs: say input='logits'"):
        fc.HistogramBinning().fit_batches(read)
    np.savez(tmp_path / "three.npz", probs=softmax(logits), labels=labels)
    with pytest.raises(ValueError, match="some files hold logits and some probabilities"):
        fc.read_batches([tmp_path / "one.npz", tmp_path / "three.npz"])
    with pytest.raises(ValueError, match="no files"):
        fc.read_batches([])
    with pytest.raises(ValueError, match="does not exist"):
        fc.read_batches(str(tmp_path / "none.npz"))
