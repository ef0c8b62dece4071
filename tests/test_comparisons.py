"""Every row of the table of comparisons: ours against the slow twin, and against each peer that is installed."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import oracle
import pytest
from comparisons import KINDS, OURS, TABLE, assert_same, figures, generate
from peers import available

import fastcal as fc
from fastcal.calibrators.methods import METHODS

DTYPES = ("float32", "float64")
SIZES = {"wide rows": (70, 140), "wide logits": (70, 140)}  # more classes than fit the kernels of narrow rows
SIZE = (600, 7)


@functools.cache
def data(kind, dtype, weighted=False):
    return generate(kind, *SIZES.get(kind, SIZE), dtype, weighted=weighted)


def cases_of_the_oracle():
    for row in TABLE:
        for kind in row.takes:
            for dtype in DTYPES:
                for weighted in (False, True) if row.weights else (False,):
                    yield pytest.param(row, kind, dtype, weighted, id=_id(row, kind, dtype, weighted))


def cases_of_the_peers():
    for row in TABLE:
        for name, peer in row.peers.items():
            missing = pytest.mark.skipif(not available(peer), reason=f"{', '.join(peer.libraries)} not installed")
            for kind in peer.takes:
                for dtype in DTYPES:
                    for weighted in (False, True) if row.weights and peer.weights else (False,):
                        case = _id(row, kind, dtype, weighted, name)
                        yield pytest.param(row, peer, kind, dtype, weighted, id=case, marks=missing)


def _id(row, kind, dtype, weighted, *more):
    return "-".join([row.name, *more, kind, dtype, *(["weighted"] if weighted else [])])


@pytest.mark.parametrize(("row", "kind", "dtype", "weighted"), list(cases_of_the_oracle()))
def test_ours_equals_the_slow_twin(row, kind, dtype, weighted):
    given = data(kind, dtype, weighted)
    ours, expected = row(given), row.expected(given)
    assert_same(ours, expected, OURS[dtype])
    assert figures(ours).keys() - {"convention"} == figures(expected).keys(), "a figure without an oracle"


@pytest.mark.filterwarnings("ignore")  # their libraries' own
@pytest.mark.parametrize(("row", "peer", "kind", "dtype", "weighted"), list(cases_of_the_peers()))
def test_ours_equals_the_peer(row, peer, kind, dtype, weighted):
    given = data(kind, dtype, weighted)
    theirs = peer.compute(given.y_true, given.scores, given.sample_weight)
    assert_same(row(given), theirs, peer.tolerance_for(given.scores))


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_every_peer_says_what_its_tolerance_is_owed_to(row):
    for name, peer in row.peers.items():
        assert peer.because, name
        assert set(peer.takes) <= set(row.takes), name
        assert max(peer.tolerance) <= 5e-6, name


def test_every_library_of_the_field_is_a_peer():
    found = {library for row in TABLE for peer in row.peers.values() for library in peer.libraries}
    field = {"scipy", "sklearn", "torch", "torchmetrics", "netcal", "calibration", "relplot", "calibre", "probmetrics"}
    # betacal stops at 1e-4 of the parameters, further off than a peer may be: see bench/calibrators_binary.py
    assert found == field | {"venn_abers", "mapie", "tensorflow_probability"}


def test_what_has_peers_is_timed():
    in_other_sets = {  # of bench/: courses, order, ensembles, ood, selective, calibrators
        *("softmax", "entropy", "isotonic_regression", "IsotonicRegression", "average_precision"),
        *("ensemble_uncertainty", "ood_metrics", "activation_familiarity", "aurc", "augrc"),
        *METHODS.values(),
    }
    assert {row.name for row in TABLE if row.peers and not row.timed} <= in_other_sets


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_bins", [1, 2, 7, 10, 15, 100])
def test_bins_equal_those_of_the_slow_twin_at_their_edges(n_bins, dtype):
    edges = np.linspace(0, 1, n_bins + 1).astype(dtype)
    p = np.concatenate([np.nextafter(edges, 0, dtype=dtype), edges, np.nextafter(edges, 1, dtype=dtype)])
    y_true = np.arange(len(p)) % 2
    assert_same(
        fc.reliability_curve(y_true, p, n_bins=n_bins), oracle.reliability_curve(y_true, p, n_bins=n_bins), {"": 1e-14}
    )


def test_every_public_function_has_a_row():
    functions = {name for name in fc.__all__ if inspect.isfunction(getattr(fc, name))}
    aliases = {"log_loss"}
    # files have nothing that could be computed another way, nor has a warm-up; a comparison has a test file of its own
    without = {"load_calibrator", "read_batches", "warmup", "cross_validate_calibrators", "compare"}
    classes = {"Evaluation", "IsotonicRegression", *METHODS.values()}
    assert {row.name for row in TABLE} - classes == functions - aliases - without
    assert classes <= {row.name for row in TABLE}
    assert fc.log_loss is fc.nll


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_the_same_every_time(kind):
    one, two = (generate(kind, *SIZES.get(kind, SIZE), "float32", weighted=True) for _ in range(2))
    for name, values in figures(one).items():
        np.testing.assert_array_equal(values, figures(two)[name], err_msg=name)
