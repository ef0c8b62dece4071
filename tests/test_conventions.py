"""Every convention by name: the same figure as its system's, on the edges of bins, at 0, at 1 and beyond."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import oracle_calibration as oracle
import peers_conventions as theirs
import pytest
from oracle_conventions import RULES, torch_linspace
from peers import available

import fastcal as fc

DTYPES = ("float32", "float64")
KINDS = ("confidences", "rows")
N_BINS = (None, 10, 15)
NORMS = ("l1", "l2", "max")
K = 12
IMPLEMENTATIONS = {"the slow twin": oracle, "fastcal": fc}


def points(n_bins, dtype, beyond, lowest):
    """Scores on all edges that anybody computes, next to them, at 0 and at 1, and two within each bin."""
    edges = [np.linspace(0, 1, n + 1) for n in (n_bins, n_bins - 1)]
    edges += [np.arange(n_bins + 1) / n_bins, torch_linspace(n_bins, np.float32), torch_linspace(n_bins, np.float64)]
    on = np.concatenate(edges).astype(dtype)
    on = np.concatenate([np.nextafter(on, dtype(0)), on, np.nextafter(on, dtype(1))])
    if beyond:
        on = np.append(on, dtype(1.0000001))
    on = np.unique(on[on >= lowest])
    within = (np.arange(2 * n_bins) + 0.5) / (2 * n_bins)
    return on, within[within >= lowest].astype(dtype)


@functools.cache
def given(kind, dtype, n_bins, beyond=False, shaky=(), seed=0):
    """Labels and scores of that kind; near to edges that are ``shaky`` there are none.

    Within a bin the outcome is that of its number's parity, so that gaps change their sign from bin to bin, and a row
    that goes astray changes the error; on edges it is drawn.
    """
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype).type
    on, within = points(n_bins, dtype, beyond, 0.0 if kind == "confidences" else 0.1)
    for edge, distance in shaky:
        on = on[abs(on.astype(float) - edge) > distance]
    drawn = np.where(on == 0, 1, np.where(on < 1, rng.integers(0, 2, len(on)), 0))  # never what 0 and 1 foretell
    parity = ((within * n_bins).astype(int) + seed) % 2
    copies = np.ceil(np.minimum(2 / abs(parity - within), 40)).astype(int)  # so many that they outweigh one on an edge
    p = np.concatenate([on, np.repeat(within, copies)])
    outcome = np.concatenate([drawn, np.repeat(parity, copies)])
    if kind == "confidences":
        return outcome, p
    top = rng.integers(0, K, len(p))
    rows = np.repeat(np.maximum((1 - p) / (K - 1), 0)[:, None], K, axis=1).astype(dtype)
    rows[np.arange(len(p)), top] = p
    return np.where(outcome == 1, top, (top + 1 + rng.integers(0, K - 1, len(p))) % K), rows


def for_a_peer(name, norm, kind, dtype, n_bins, seed=0):
    n_bins = RULES[name][0] if n_bins is None else n_bins
    single = name == "torchmetrics" and kind == "rows"  # these in float32, whatever their dtype
    shaky = theirs.shaky_edges(name, norm, n_bins, "float32" if single else dtype)
    return given(kind, dtype, n_bins, name in theirs.BEYOND_ONE, tuple(shaky), seed)


def cases_of_the_peers():
    for name, make in theirs.CONVENTIONS.items():
        missing = pytest.mark.skipif(not available(make("l1", None)), reason=f"{name} not installed")
        for kind, dtype, n_bins in itertools.product(KINDS, DTYPES, N_BINS):
            yield pytest.param(name, kind, dtype, n_bins, id=f"{name}-{kind}-{dtype}-{n_bins}", marks=missing)


@functools.cache
def peers_figures(name, kind, dtype, n_bins):
    found = {}
    for norm, seed in itertools.product(NORMS, range(3)):
        peer = theirs.CONVENTIONS[name](norm, n_bins)
        if peer is not None:
            y, scores = for_a_peer(name, norm, kind, dtype, n_bins, seed)
            found[norm, seed] = peer.compute(y, scores, None), theirs.tolerance(name, peer, scores)
    return found


@pytest.mark.parametrize("ours", IMPLEMENTATIONS)
@pytest.mark.parametrize(("name", "kind", "dtype", "n_bins"), list(cases_of_the_peers()))
def test_a_convention_equals_its_system(name, kind, dtype, n_bins, ours):
    for (norm, seed), (expected, tolerance) in peers_figures(name, kind, dtype, n_bins).items():
        y, scores = for_a_peer(name, norm, kind, dtype, n_bins, seed)
        found = IMPLEMENTATIONS[ours].calibration_error(y, scores, norm=norm, n_bins=n_bins, convention=name)
        assert found == pytest.approx(expected, rel=0, abs=tolerance), (norm, seed)


@pytest.mark.parametrize("ours", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "norm"), [("verified", "l1"), ("verified", "l2"), ("mapie", "l1")])
def test_a_class_wise_convention_equals_its_system(name, norm, dtype, ours):
    peer = theirs.CONVENTIONS[name](norm, 10, target="class-wise")
    if not available(peer):
        pytest.skip(f"{name} not installed")
    y, rows = for_a_peer(name, norm, "rows", dtype, 10)
    options = {"norm": norm, "n_bins": 10, "target": "class-wise", "convention": name}
    found = IMPLEMENTATIONS[ours].calibration_error(y, rows, **options)
    assert found == pytest.approx(peer.compute(y, rows, None), rel=0, abs=2e-6 if dtype == "float32" else 1e-12)


@functools.cache
def simulated(n, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    if n_classes == 1:
        p = rng.random(n)
        return (rng.random(n) < p**1.3).astype(int), p
    return rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n)


@pytest.mark.parametrize("ours", IMPLEMENTATIONS)
@pytest.mark.parametrize("n_classes", [1, 5])
def test_debiased_errors_equal_those_of_verified(n_classes, ours):
    pytest.importorskip("calibration")
    y, scores = simulated(3000, n_classes)
    take = functools.partial(IMPLEMENTATIONS[ours].calibration_error, y, scores, n_bins=10, convention="verified")
    root = theirs.verified("l2", 10, debiased=True).compute(y, scores, None)
    assert take(norm="l2", debiased=True) == pytest.approx(root, rel=0, abs=1e-12)
    square = theirs.verified_square(10).compute(y, scores, None)
    assert take(norm="l2", debiased=True, squared=True) == pytest.approx(square, rel=0, abs=1e-12)
    assert take(norm="l2", squared=True) > square
    if n_classes == 1:
        mean = theirs.verified_debiased_l1(10)
        expected = mean.compute(y, scores, None)
        assert take(norm="l1", debiased=True) == pytest.approx(expected, rel=0, abs=2e-4)
        assert take(norm="l1") - expected > 1e-3
    else:
        root = theirs.verified("l2", 10, debiased=True, target="class-wise").compute(y, scores, None)
        assert take(norm="l2", debiased=True, target="class-wise") == pytest.approx(root, rel=0, abs=1e-12)


@pytest.mark.parametrize("n_bins", [*N_BINS, 7])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RULES)
def test_a_convention_equals_its_rule(name, kind, dtype, n_bins):
    y, scores = given(kind, dtype, RULES[name][0] if n_bins is None else n_bins, beyond=True)
    weights = np.random.default_rng(1).random(len(y)) * (np.arange(len(y)) % 7 > 0)
    # torchmetrics sums the confidences of rows in float32; fastcal does not.
    tolerance = 2e-6 if (name, kind) == ("torchmetrics", "rows") else 1e-12
    for norm, w in itertools.product(NORMS, (None, weights)):
        options = {"norm": norm, "n_bins": n_bins, "convention": name, "sample_weight": w}
        found = fc.calibration_error(y, scores, **options)
        assert found == pytest.approx(oracle.calibration_error(y, scores, **options), rel=0, abs=tolerance), norm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_a_class_wise_convention_equals_its_rule(name, dtype):
    y, rows = given("rows", dtype, 10, beyond=True)
    for norm in NORMS:
        options = {"norm": norm, "n_bins": 10, "convention": name, "target": "class-wise"}
        found = fc.calibration_error(y, rows, **options)
        assert found == pytest.approx(oracle.calibration_error(y, rows, **options), rel=0, abs=1e-12), norm


@pytest.mark.parametrize("name", RULES)
def test_without_n_bins_a_convention_has_its_own_number(name):
    y, p = simulated(400, 1)
    own = RULES[name][0]
    assert fc.calibration_error(y, p, convention=name) == fc.calibration_error(y, p, convention=name, n_bins=own)
    assert fc.calibration_error(y, p, convention=name) != fc.calibration_error(y, p, convention=name, n_bins=own + 1)


@pytest.mark.parametrize("closed", ["left", "right"])
@pytest.mark.parametrize("name", RULES)
def test_a_convention_leaves_no_choice_of_closure(name, closed):
    with pytest.raises(ValueError, match="closed"):
        fc.calibration_error([0, 1], [0.2, 0.7], convention=name, closed=closed)


@pytest.mark.parametrize("name", ["", "Guo", "scikit-learn", 3])
def test_an_unknown_convention_raises(name):
    with pytest.raises(ValueError, match="convention"):
        fc.calibration_error([0, 1], [0.2, 0.7], convention=name)


@pytest.mark.parametrize("pair", list(itertools.combinations(RULES, 2)), ids="-".join)
def test_these_points_tell_the_rules_apart(pair):
    if set(pair) == {"netcal", "calibre"}:
        return  # the same bins; netcal clips p, by 2e-16 here
    differ = 0.0
    for seed in range(3):
        y, p = given("confidences", "float64", 10, seed=seed)
        one, other = (oracle.calibration_error(y, p, n_bins=10, convention=name) for name in pair)
        differ = max(differ, abs(one - other))
    assert differ > 1e-5


@pytest.mark.parametrize("ours", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # p = 0 in no bin, p = 0.5 in the first; 2 * 0 / 4 + 1 / 4
        ("guo", 0.25),
        # p = 0 left out, p = 0.5 in the second, p = 1 in a third one; 2 * 0 / 3 + 1 / 3
        ("robustness-metrics", 1 / 3),
        # p = 0 in the first, p = 0.5 in the second, p = 1 in a third one; 1 / 4 + 2 * 0 / 4 + 1 / 4
        ("torchmetrics", 0.5),
        # p = 1 in the second, too; 1 / 4 + 3 * (2 / 3 - 1 / 3) / 4
        ("tfp", 0.5),
    ],
)
def test_figures_worked_out_by_hand(name, expected, ours):
    found = IMPLEMENTATIONS[ours].calibration_error([1, 0, 1, 0], [0.0, 0.5, 0.5, 1.0], n_bins=2, convention=name)
    assert found == pytest.approx(expected, rel=1e-15)


def test_mapie_has_as_many_bins_less_one():
    assert fc.calibration_error([0, 1], [0.5, 1.0], n_bins=2, convention="mapie") == 0.25
    assert fc.calibration_error([0, 1], [0.0, 1.0], n_bins=2, convention="mapie") == 0.0
