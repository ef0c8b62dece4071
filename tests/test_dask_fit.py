"""Calibrators fitted to rows on a cluster have the bits of a fit in one process."""

from __future__ import annotations

import pickle
import warnings
from itertools import pairwise

import dask_dumps
import numpy as np
import pytest
from conftest import JIT

import fastcal as fc
from fastcal import kernels
from fastcal.arrays import DataError
from fastcal.calibrators import rows as calibrator_rows
from fastcal.calibrators.base import FitWarning
from fastcal.calibrators.temperature import adder
from fastcal.dumps import DumpError, Roles
from fastcal.integrations import dask_fit
from fastcal.integrations.dask import fit

dask = pytest.importorskip("dask", reason='needs Dask: install "fastcal[bench]"')
da, db = pytest.importorskip("dask.array"), pytest.importorskip("dask.bag")

N = 1700 if JIT else 300
RNG = np.random.default_rng(5)
LOGITS = (2 * RNG.normal(size=(N, 3))).astype(np.float32)
LABELS = (LOGITS / 1.7 + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
WEIGHTS = RNG.random(N)
METHODS = {
    "TemperatureScaling": fc.TemperatureScaling,
    "EnsembleTemperatureScaling": fc.EnsembleTemperatureScaling,
    "HistogramBinning": fc.HistogramBinning,
    "VectorScaling": fc.VectorScaling,
    "MatrixScaling": fc.MatrixScaling,
    "DirichletCalibration": fc.DirichletCalibration,
    "PlattScaling": fc.PlattScaling,
    "BetaCalibration": fc.BetaCalibration,
    "IsotonicCalibration": fc.IsotonicCalibration,
    "BBQ": fc.BBQ,
    "VennAbers": fc.VennAbers,
}
# How many looks at the rows go through the client: see PURE in dask_fit.py.
THROUGH_THE_CLIENT = {
    "TemperatureScaling": 0,
    "EnsembleTemperatureScaling": 0,
    "HistogramBinning": 0,
    "VectorScaling": 2,
}
THROUGH_THE_CLIENT |= {"MatrixScaling": 2, "DirichletCalibration": 2, "PlattScaling": 2, "BetaCalibration": 2}
QUICK = ["TemperatureScaling", "HistogramBinning", "PlattScaling"]  # in plain Python, too


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks of 64 rows, stretches of 8 blocks, in this thread."""
    monkeypatch.setattr(calibrator_rows, "BLOCK_SIZE", 64)
    monkeypatch.setattr(dask_fit, "STRETCH_BYTES", 1)
    with dask.config.set(scheduler="synchronous"):
        yield


def scores_of(made):
    return LOGITS if made.default_input == "logits" else PROBS


def same(left, right):
    for name in (*type(left).fitted, "n_rows_", "n_classes_", "n_features_in_", "classes_"):
        ours, theirs = np.asarray(getattr(left, name)), np.asarray(getattr(right, name))
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes(), name


def on_cluster(made, labels, scores, weights=None, step=123):
    given = [one for one in (labels, scores, weights) if one is not None]
    return fit(made, tuple(da.from_array(one, chunks=(step + i, 2)[: one.ndim]) for i, one in enumerate(given)))


@pytest.mark.parametrize("name", METHODS if JIT else QUICK)
def test_every_method_has_the_bits_of_one_process(name, monkeypatch):
    looks = []
    total, waves = dask_fit.ClusterRows.total, dask_fit.ClusterRows.waves
    monkeypatch.setattr(dask_fit.ClusterRows, "total", lambda *given: looks.append("all") or total(*given))
    monkeypatch.setattr(dask_fit.ClusterRows, "waves", lambda self: looks.append("here") or waves(self))
    made = METHODS[name]
    scores = scores_of(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        for weights in (None, WEIGHTS) if JIT else (None,):
            looks.clear()
            same(on_cluster(made(), LABELS, scores, weights), made().fit(scores, LABELS, weights))
            if name in THROUGH_THE_CLIENT:
                assert looks.count("here") == THROUGH_THE_CLIENT[name]
                assert looks.count("all") > looks.count("here")
        binary = scores[:, 1]
        same(on_cluster(made(), LABELS == 1, binary, step=200), made().fit(binary, LABELS == 1))


def test_sources_of_all_kinds(tmp_path):
    fitted = fc.TemperatureScaling().fit(LOGITS, LABELS, WEIGHTS)
    cuts = [0, 9, 9, N // 2, N]
    batches = [(LABELS[a:b], LOGITS[a:b], WEIGHTS[a:b]) for a, b in pairwise(cuts)]
    same(fit(fc.TemperatureScaling(), db.from_sequence(batches, npartitions=3)), fitted)
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path, rows in zip(paths, (slice(0, 70), slice(70, N)), strict=True):
        np.savez(path, labels=LABELS[rows], logits=LOGITS[rows], w=WEIGHTS[rows])
    same(fit(fc.TemperatureScaling(), paths, weights="w"), fitted)
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    table = dd.from_pandas(
        pd.DataFrame({"y": LABELS, "w": WEIGHTS, **{f"z{k}": LOGITS[:, k] for k in range(3)}}), npartitions=4
    )
    same(fit(fc.TemperatureScaling(), table, logits=["z0", "z1", "z2"], labels="y", weights="w"), fitted)
    half = LOGITS.astype(np.float16)
    same(on_cluster(fc.TemperatureScaling(), LABELS, half), fc.TemperatureScaling().fit(half, LABELS))
    mixed = [(LABELS[:99], LOGITS[:99]), (LABELS[99:], LOGITS[99:].astype(np.float64))]
    same(
        fit(fc.TemperatureScaling(), db.from_sequence(mixed, npartitions=2)),
        fc.TemperatureScaling().fit(LOGITS.astype(float), LABELS),
    )


def test_parameters_of_a_fit_are_kept():
    names = np.array(["c", "a", "b"])
    ours = on_cluster(fc.TemperatureScaling(classes=names), names[LABELS], LOGITS)
    same(ours, fc.TemperatureScaling(classes=names).fit(LOGITS, names[LABELS]))
    held_out = PROBS[:50], LABELS[:50]
    ours = fit(fc.HistogramBinning(), (da.from_array(LABELS), da.from_array(PROBS)), held_out=held_out)
    assert ours.figures_ == fc.HistogramBinning().fit(PROBS, LABELS, held_out=held_out).figures_


def wrong(array, place, value):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "message"),
    [
        (LABELS, wrong(LOGITS, (N - 1, 2), np.nan), None, rf"^scores\[{N - 1}, 2\] is nan; expected a finite number"),
        (LABELS, wrong(LOGITS, ([9, N - 1], 0), np.inf), None, r"^scores\[9, 0\] is inf"),
        (wrong(LABELS, (N - 2,), 3), LOGITS, None, rf"^y_true\[{N - 2}\] is 3; labels are integers 0 to 2"),
        (LABELS, LOGITS, wrong(WEIGHTS, (130,), -1.0), r"^sample_weight\[130\] is -1.0; a weight is 0, or from"),
        (LABELS, LOGITS, np.zeros(N), "^sample_weight is 0 in every row"),
        (LABELS[:0], LOGITS[:0], None, "^scores is empty"),
    ],
)
def test_the_first_wrong_value_is_named(labels, scores, weights, message):
    made = fc.TemperatureScaling()
    with pytest.raises(DataError, match=message):
        on_cluster(made, labels, scores, weights)
    assert not hasattr(made, "temperature_")


def test_wrong_sources(tmp_path):
    pairs = [(LABELS[:9], LOGITS[:9]), (LABELS[9:], LOGITS[9:, :2])]
    for n in (1, 2):
        with pytest.raises(DataError, match="columns"):
            fit(fc.TemperatureScaling(), db.from_sequence([pairs[0], (LABELS[9:] % 2, pairs[1][1])], npartitions=n))
    weighed = [(LABELS[:9], LOGITS[:9], WEIGHTS[:9]), (LABELS[9:], LOGITS[9:])]
    with pytest.raises(DataError, match=r"^sample_weight is there for some of the rows only"):
        fit(fc.TemperatureScaling(), db.from_sequence(weighed, npartitions=2))
    with pytest.raises(TypeError, match=r"^calibrator is a Evaluation; expected one of fastcal's"):
        fit(fc.Evaluation(), (LABELS, LOGITS))
    file = tmp_path / "x"
    file.touch()
    dump = dask_dumps.HeldDump(LABELS, PROBS, file, 100)
    with pytest.raises(ValueError, match=r"^the source holds probs, and is taken as logits: say input='probs'"):
        fit(fc.TemperatureScaling(), dump)
    broken = dask_dumps.HeldDump(LABELS, LOGITS, file, 100, broken=(2,), roles=Roles(logits="logits", labels="labels"))
    with pytest.raises(DumpError, match=r"^held: piece 2 is damaged"):
        fit(fc.TemperatureScaling(), broken)
    bad = dask_dumps.HeldDump(
        wrong(LABELS, (205,), 9), LOGITS, file, 100, roles=Roles(logits="logits", labels="labels")
    )
    with pytest.raises(DataError, match=r"^held: labels\[205\] is 9; labels are integers 0 to 2"):
        fit(fc.TemperatureScaling(), bad)


def test_workers_take_kernels_of_their_own():
    sent = dask_fit.packed(adder(kernels.temperature.derivatives, 1.0))
    assert b"derivatives" in sent
    assert len(sent) < 5000
    assert callable(pickle.loads(sent)())
    assert not dask_fit.is_pure(lambda: print)
