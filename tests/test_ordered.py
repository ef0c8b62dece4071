"""Sorting in pieces: any finite scores, in any number of pieces, in order, stably, with what belongs to them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import JIT
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import cut_up  # noqa: F401 - a fixture

from fastcal import kernels
from fastcal.ordered import pieces
from fastcal.ordered.columns import scored_rows
from fastcal.ordered.groups import groups

pytestmark = pytest.mark.usefixtures("cut_up")

EXTREMES = {
    "float32": [0.0, -0.0, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 1.0, -1.0, 0.99999994],
    "float64": [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308],
}


@st.composite
def scores(draw, max_rows=60):
    """Scores of every shape of distribution, with ties and extremes."""
    n = draw(st.integers(1, max_rows))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(["uniform", "normal", "near 1", "grid", "bits", "one"]))
    drawn = {
        "uniform": lambda: rng.random(n),
        "normal": lambda: rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4),
        "near 1": lambda: 1 - 10.0 ** rng.uniform(-9, -1, n),
        "grid": lambda: rng.integers(-3, 4, n) / 4,
        "bits": lambda: rng.integers(0, 2**63, n, dtype=np.int64).view(np.float64),
        "one": lambda: np.full(n, rng.standard_normal()),
    }[shape]()
    with np.errstate(over="ignore", invalid="ignore"):
        drawn = drawn.astype(dtype)
    drawn[~np.isfinite(drawn)] = 0
    where = rng.random(n) < draw(st.sampled_from([0, 0.3]))
    drawn[where] = rng.choice(np.array(EXTREMES[dtype], dtype), n)[where]
    return drawn


@given(scores(), st.integers(0, 99))
def test_groups_are_the_distinct_scores_and_what_belongs_to_them(x, seed):
    rng = np.random.default_rng(seed)
    y, w, z = rng.integers(0, 2, len(x)), rng.integers(0, 3, len(x)).astype(float), rng.integers(-5, 5, len(x))
    distinct, at = np.unique(x + 0.0, return_inverse=True)

    def summed(values):
        return np.bincount(at, values, len(distinct))

    found = groups(scored_rows(x, y), None, by_class=True)
    np.testing.assert_array_equal(found.score, distinct)
    np.testing.assert_array_equal(found.sums, np.stack([summed(y == 0), summed(y == 1)], axis=1))
    real = groups(scored_rows(x, z + 0.5), None, by_class=False)
    np.testing.assert_array_equal(real.totals(), [summed(np.ones(len(x))), summed(z + 0.5)])
    if w.any():
        kept = summed(w) > 0
        weighted = groups(scored_rows(x, y, w), None, by_class=True)
        np.testing.assert_array_equal(weighted.score, distinct[kept])
        np.testing.assert_array_equal(weighted.totals(), [summed(w * (y == 0))[kept], summed(w * y)[kept]])
        both = groups(scored_rows(x, z + 0.5, w), None, by_class=False)
        np.testing.assert_array_equal(both.totals(), [summed(w)[kept], summed(w * (z + 0.5))[kept]])


@given(scores())
def test_rows_of_equal_scores_stay_in_their_order(x):
    """Row numbers as targets: in each piece, places follow each other by score, then by row."""
    rows = scored_rows(x, np.arange(len(x)) + 0.5)
    cut = pieces.cut(rows, None)
    order = []
    for number in range(len(cut.starts) - 1):
        part = slice(cut.starts[number], cut.starts[number + 1])
        n = part.stop - part.start
        places, spare = np.arange(n, dtype=np.uint32), np.empty(n, cut.elements.dtype)
        kernels.sorting.sort(cut.elements[part], places, spare, places.copy(), np.empty(2048, np.uint32))
        order += (cut.targets[part][places] - 0.5).astype(int).tolist()
    np.testing.assert_array_equal(order, np.argsort(x, kind="stable"))


@pytest.mark.parametrize(
    "labels", [np.bool_, np.uint8, np.int8, np.int64, np.uint64, np.int16, np.float32, "f2", ">f8"]
)
def test_labels_of_any_dtype(labels):
    x, y = np.array([0.5, 0.25, 0.5]), np.array([1, 0, 0]).astype(labels)
    assert groups(scored_rows(x, y), None, by_class=True).sums.tolist() == [[1, 0], [1, 1]]


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_many_scores_that_share_their_leading_bits(seed):
    """More of them than insertion sorts: further passes over the bits below."""
    rng = np.random.default_rng(seed)
    n = 2000 if JIT else 300
    x = np.append(1 + rng.integers(0, 1 << 20, n) * 2.0**-52, [1e-300, 2.0])
    rng.shuffle(x)
    y = rng.integers(0, 2, len(x))
    for target in (y, y + 0.5):
        found = groups(scored_rows(x, target), None, by_class=False)
        np.testing.assert_array_equal(found.score, np.unique(x))
        np.testing.assert_array_equal(found.totals()[-1], np.bincount(np.unique(x, return_inverse=True)[1], target))


@pytest.mark.skipif(not JIT, reason="too many rows for plain Python")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "distribution", ["uniform", "logits", "overconfident", "two values", "outlier", "outliers of a narrow range"]
)
def test_large(distribution, dtype):
    rng = np.random.default_rng(0)
    n = 300_000
    x = rng.random(n)
    if distribution == "logits":
        x = np.log(x / (1 - x))
    elif distribution == "overconfident":
        x = 1 - x**8 * 1e-3
    elif distribution == "two values":
        x = (x > 0.3).astype(float)
    elif distribution == "outlier":
        x[7] = -1e30
    elif distribution == "outliers of a narrow range":
        x = 1 - 1e-6 * x
        x[[7, 9, 11]] = 0.0, 1e-30, 1e30
    x = x.astype(dtype)
    y = rng.integers(0, 2, n)
    found = groups(scored_rows(x, y), None, by_class=True)
    distinct, at = np.unique(x, return_inverse=True)
    np.testing.assert_array_equal(found.score, distinct)
    np.testing.assert_array_equal(found.sums[:, 1], np.bincount(at, y))
