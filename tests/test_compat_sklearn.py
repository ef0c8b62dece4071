"""fastcal.compat.sklearn: scikit-learn's values, dtypes, warnings and errors under its own signatures."""

from __future__ import annotations

import contextlib
import inspect
import pickle

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given
from hypothesis import strategies as st
from swapped import answered, handed_on, same, same_by_itself

import fastcal as fc

pytest.importorskip("sklearn", minversion="1.8")
from sklearn import metrics as their_metrics
from sklearn.exceptions import UndefinedMetricWarning

from fastcal.accumulators import reliability
from fastcal.compat import sklearn as face
from fastcal.compat.sklearn import calibration, metrics

N = 300 if JIT else 40
EXAMPLES = 25 if JIT else 6
OF_RANKS = ("roc_auc_score", "average_precision_score", "roc_curve", "precision_recall_curve")
OF_PROBS = ("brier_score_loss", "log_loss", "calibration_curve")
ALL = (*OF_RANKS, *OF_PROBS)
NAMES = {"binary": (0, 1), "signs": (-1, 1), "text": ("no", "yes"), "bool": (False, True), "numbers": (3, 7)}


def one(name):
    return getattr(face, name)


def rows(n=N, seed=0, dtype=np.float64, ties=False, kind="binary"):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    p = np.round(p, 1) if ties else p
    hits = (rng.random(n) < p).astype(int)
    hits[:2] = 0, 1
    return np.array(NAMES[kind])[hits], p.astype(dtype)


def classes(n=N, k=4, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.7), n)
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=k - 1)
    y[:k] = np.arange(k)
    return y, p.astype(dtype)


def positive(name, kind):
    """The positive label, said where scikit-learn has to be told."""
    told = kind in ("text", "numbers") and name not in ("roc_auc_score", "log_loss")
    return {"pos_label": NAMES[kind][1]} if told else {}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", ALL)
def test_labels_of_every_kind_are_ours(name, kind):
    y, p = rows(kind=kind)
    if (name, kind) in (("log_loss", "bool"),):  # their one-hot rows of bool are booleans, ours the same places
        y = y.astype(int)
    same_by_itself(one(name), y, p, **positive(name, kind))
    same(one(name), y.tolist(), p.tolist(), **positive(name, kind))


@given(st.integers(0, 1000), st.booleans(), st.sampled_from(["float64", "float32"]), st.sampled_from(ALL))
def test_any_scores_are_scikit_learns(seed, ties, dtype, name):
    y, p = rows(n=2 + seed % N, seed=seed, dtype=dtype, ties=ties)
    same(one(name), y, p, rtol=1e-12 if dtype == "float64" or name in OF_RANKS else 3e-7)


@given(st.integers(1, 40), st.sampled_from(["uniform", "quantile"]), st.integers(0, 50), st.booleans(), st.booleans())
def test_bins_are_those_of_the_curve(n_bins, strategy, seed, ends, at_once):
    rng = np.random.default_rng(seed)
    p = rng.choice([0.0, 0.1, 0.2, 0.30000000000000004, 0.6, 0.7, 1.0], N)
    p = np.where(rng.random(N) < 0.5, p, rng.choice([0.0, 1.0]) if ends else rng.random(N))
    with pytest.MonkeyPatch.context() as patch:
        if not at_once:
            patch.setattr(reliability, "FEW", 0)
        y = rng.integers(0, 2, N)
        same_by_itself(calibration.calibration_curve, y, p, n_bins=n_bins, strategy=strategy)


@pytest.mark.parametrize("weights", ["real", "whole", "some"])
@pytest.mark.parametrize("name", [*OF_RANKS, "brier_score_loss", "log_loss"])
def test_weights(name, weights):
    y, p = rows(ties=True)
    rng = np.random.default_rng(1)
    weight = {"real": rng.random(N), "whole": rng.integers(1, 5, N), "some": rng.integers(0, 2, N)}[weights]
    same(one(name), y, p, sample_weight=weight)
    if name in ("roc_curve", "precision_recall_curve"):
        same_by_itself(one(name), y, p, sample_weight=weight, drop_intermediate=False)
        (handed_on if weights == "real" else same)(one(name), y, p, sample_weight=weight, drop_intermediate=True)
    else:
        same_by_itself(one(name), y, p, sample_weight=weight)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("labels", [None, [0, 1, 2, 3], "text", "shifted"])
@pytest.mark.parametrize("name", ["brier_score_loss", "log_loss", "roc_auc_score"])
def test_rows_of_several_classes(name, labels, dtype):
    y, p = classes(dtype=dtype)
    options = {"multi_class": "ovr"} if name == "roc_auc_score" else {}
    if labels == "text":
        y = np.array(["ant", "bee", "cat", "dog"])[y]
    elif labels == "shifted":
        y = y + 5
    else:
        options["labels"] = labels
    same_by_itself(one(name), y, p, rtol=1e-12 if dtype == "float64" or name == "roc_auc_score" else 3e-7, **options)
    if labels == [0, 1, 2, 3]:  # one that does not occur
        y[y == 2] = 1
        same(one(name), y, p, rtol=3e-7, **options)


@pytest.mark.parametrize("average", ["macro", "weighted", None])
def test_averages_over_classes(average):
    y, p = classes()
    weight = np.random.default_rng(0).random(N)
    same_by_itself(metrics.roc_auc_score, y, p, multi_class="ovr", average=average)
    same_by_itself(metrics.roc_auc_score, y, p, multi_class="ovr", average=average, sample_weight=weight)
    same_by_itself(metrics.average_precision_score, y, p, average=average)
    same_by_itself(metrics.average_precision_score, y, p, average=average, sample_weight=weight)
    assert type(metrics.average_precision_score(y, p)) is float  # as scikit-learn's, which prints like one
    if average is None:
        handed_on(metrics.roc_auc_score, y, p, multi_class="ovo", average=average)
    else:
        same_by_itself(metrics.roc_auc_score, y, p, multi_class="ovo", average=average)
        absent = np.where(y == 3, 0, y)
        same_by_itself(metrics.roc_auc_score, absent, p, multi_class="ovo", average=average, labels=[0, 1, 2, 3])


@pytest.mark.parametrize("scale", [True, False, "auto"])
def test_brier_scales(scale):
    for y, p in (rows(), classes(), classes(k=2)):
        same_by_itself(metrics.brier_score_loss, y, p, scale_by_half=scale)


def test_log_loss_clips_and_sums():
    for dtype in (np.float64, np.float32):
        p = np.array([[1, 0], [0, 1], [0.5, 0.5]], dtype)
        same_by_itself(metrics.log_loss, [1, 1, 0], p, rtol=1e-6)
        same_by_itself(metrics.log_loss, [1, 1, 0], p[:, 1].copy(), normalize=False, rtol=1e-6)
    assert metrics.log_loss([1, 1, 0], p) < np.inf == fc.nll([1, 1, 0], p)


@pytest.mark.parametrize("drop", [True, False])
def test_points_that_are_left_out(drop):
    for seed in range(4):
        y, p = rows(seed=seed, ties=seed % 2 == 0)
        same_by_itself(metrics.roc_curve, y, p, drop_intermediate=drop)
        same_by_itself(metrics.precision_recall_curve, y, p, drop_intermediate=drop)


def test_half_scores_are_ranked():
    y, p = rows(dtype=np.float16)
    same_by_itself(metrics.roc_auc_score, y, p)
    same_by_itself(metrics.average_precision_score, y, p)
    handed_on(metrics.roc_curve, y, p)


Y, PROB = rows(n=12)
Y4, PROB4 = classes(n=12)


def changed(values, place, value):
    values = np.array(values)
    values[place] = value
    return values


# Inputs that scikit-learn has something to say to: its answers, warnings and errors.
THEIRS = {
    "NaN": (Y, changed(PROB, 3, np.nan)),
    "inf": (Y, changed(PROB, 3, np.inf)),
    "above 1": (Y, changed(PROB, 3, 1.0000001)),
    "below 0": (Y, changed(PROB, 3, -1e-9)),
    "three labels": (changed(Y, 3, 2), PROB),
    "real labels": (Y + 0.5, PROB),
    "real label": (changed(Y.astype(float), 3, 0.5), PROB),
    "NaN label": (changed(Y.astype(float), 3, np.nan), PROB),
    "one label": (np.zeros(12, int), PROB),
    "another one": (np.full(12, 5), PROB),
    "other labels": (Y + 3, PROB),
    "text": (np.array(["a", "b"])[Y], PROB),
    "one text": (np.full(12, "a"), PROB),
    "objects": (np.array(["a", "b"], object)[Y], PROB),
    "short": (Y[:5], PROB),
    "empty": (Y[:0], PROB[:0]),
    "a column": (Y, PROB[:, None]),
    "a column of labels": (Y[:, None], PROB),
    "two columns": (Y, np.stack([1 - PROB, PROB], axis=1)),
    "one-hot": (np.eye(2, dtype=int)[Y], np.stack([1 - PROB, PROB], axis=1)),
    "strided": (Y[::2], PROB[::2]),
    "read-only": (Y, np.broadcast_to(PROB, (12,))),
    "big-endian": (Y.astype(">i8"), PROB.astype(">f8")),
    "half": (Y, PROB.astype(np.float16)),
    "long": (Y, PROB.astype(np.longdouble)),
    "whole": (Y, Y),
    "lists": (Y.tolist(), PROB.tolist()),
    "ragged": (Y.tolist(), [[0.5], [0.25, 0.75]]),
    "text scores": (Y, PROB.astype(str)),
    "complex": (Y, PROB + 1j),
    "None": (Y, None),
    "masked": (np.ma.masked_array(Y, Y == 2), np.ma.masked_array(PROB, PROB > 2)),
    "scalar": (1, 0.5),
    "classes": (Y4, PROB4),
    "an unordered sum": (Y4, PROB4 * 0.99),
    "three dimensions": (Y4, PROB4[None]),
    "missing class": (np.where(Y4 == 3, 0, Y4), PROB4),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", THEIRS)
def test_what_scikit_learn_says(case):
    for name in ALL:
        same(one(name), *THEIRS[case], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("roc_auc_score", {"max_fpr": 0.3}),
        ("roc_auc_score", {"average": "best"}),
        ("roc_auc_score", {"multi_class": "ovx"}),
        ("roc_auc_score", {"labels": [0, 1]}),
        ("roc_auc_score", {"sample_weight": np.full(12, -1.0)}),
        ("average_precision_score", {"average": "best"}),
        ("average_precision_score", {"pos_label": 2}),
        ("average_precision_score", {"pos_label": "yes"}),
        ("roc_curve", {"drop_intermediate": "no"}),
        ("roc_curve", {"pos_label": 5}),
        ("precision_recall_curve", {"sample_weight": np.ones(3)}),
        ("brier_score_loss", {"scale_by_half": "half"}),
        ("brier_score_loss", {"sample_weight": np.zeros(12)}),
        ("log_loss", {"normalize": "no"}),
        ("log_loss", {"sample_weight": np.zeros(12)}),
        ("log_loss", {"sample_weight": np.zeros(12), "normalize": False}),
        ("log_loss", {"sample_weight": np.ones(5)}),
        ("log_loss", {"labels": [0]}),
        ("log_loss", {"labels": [[0, 1]]}),
        ("log_loss", {"labels": ["a", "b"]}),
        ("log_loss", {"labels": [1, 2]}),
        ("calibration_curve", {"n_bins": 0}),
        ("calibration_curve", {"n_bins": 2.5}),
        ("calibration_curve", {"strategy": "even"}),
        ("calibration_curve", {"normalize": True}),
    ],
)
def test_options_that_are_handed_on(name, options):
    handed_on(one(name), Y, PROB, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("roc_auc_score", {}),
        ("roc_auc_score", {"multi_class": "ovr", "average": "micro"}),
        ("roc_auc_score", {"multi_class": "ovo", "sample_weight": np.ones(12)}),
        ("roc_auc_score", {"multi_class": "ovr", "labels": [3, 2, 1, 0]}),
        ("average_precision_score", {"pos_label": 2}),
        ("average_precision_score", {"average": "micro"}),
        ("log_loss", {"labels": [1, 0, 2, 3]}),
        ("log_loss", {"labels": [0, 1, 2]}),
        ("log_loss", {"labels": [0, 1, 2, 4]}),
    ],
)
def test_options_of_rows_that_are_handed_on(name, options):
    handed_on(one(name), Y4, PROB4, **options)


def of_theirs(function):
    """The parameters of theirs, in the names of scikit-learn 1.9: log_loss's y_pred has been y_proba since, too."""
    parameters = inspect.signature(function).parameters
    if "y_proba" in parameters:
        return [one for one in parameters.values() if one.name != "y_pred"]
    renamed = {"y_pred": {"name": "y_proba", "default": None}}
    return [one.replace(**renamed.get(one.name, {})) for one in parameters.values()]


def test_the_older_name_of_an_argument_is_still_scikit_learns():
    deprecated = "y_proba" in inspect.signature(their_metrics.log_loss).parameters
    with pytest.warns(FutureWarning, match="y_pred") if deprecated else contextlib.nullcontext():
        assert metrics.log_loss(Y, y_pred=PROB) == pytest.approx(their_metrics.log_loss(Y, PROB))


def test_one_class_has_no_area():
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(metrics.roc_auc_score(np.zeros(12, int), PROB))


def test_large_inputs_are_looked_at_on_threads():
    n = 60_000 if JIT else 300
    y, p = classes(n=n, k=5)
    same_by_itself(metrics.log_loss, y, p)
    same_by_itself(metrics.brier_score_loss, y, p)
    p[n // 2] *= 0.999
    with pytest.warns(UserWarning, match="do not sum to one"):
        metrics.log_loss(y, p)
    one_row = {"sample_weight": np.arange(n) % 7 + 0.5}
    found = {answered(metrics.log_loss, y, p / p.sum(axis=1, keepdims=True), **one_row) for _ in range(3)}
    assert len(found) == 1  # whichever thread took which rows


@pytest.mark.parametrize("name", ALL)
def test_signatures_are_scikit_learns(name):
    ours, theirs = inspect.signature(one(name)).parameters.values(), of_theirs(one(name).original)
    assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs]
    assert pickle.loads(pickle.dumps(one(name))) is one(name)


def test_all_other_names_are_scikit_learns():
    assert metrics.f1_score is their_metrics.f1_score
    with pytest.raises(AttributeError):
        metrics.no_such_score  # noqa: B018
    with pytest.raises(AttributeError, match="no_such"):
        face.no_such  # noqa: B018
