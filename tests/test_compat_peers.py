"""fastcal.compat given what other libraries hold: a pandas Series is ours, a tensor is left to the original."""

from __future__ import annotations

import numpy as np
import pytest
from swapped import handed_on, same, same_by_itself
from test_compat_sklearn import ALL, PROB, Y, one

from fastcal.compat.scipy import special, stats

NEEDS_BENCH = "needs the bench extra"


@pytest.mark.parametrize("name", ALL)
def test_pandas_series(name):
    pandas = pytest.importorskip("pandas", reason=NEEDS_BENCH)
    same_by_itself(one(name), pandas.Series(Y), pandas.Series(PROB))
    same(one(name), pandas.Series(Y, dtype="Int64"), pandas.Series(PROB, dtype="Float64"))
    same(one(name), pandas.Series(Y), pandas.Series(PROB, dtype="Float64").where(PROB > 0.5))


@pytest.mark.parametrize("name", ALL)
def test_tensors_and_polars_series(name):
    torch = pytest.importorskip("torch", reason=NEEDS_BENCH)
    handed_on(one(name), torch.tensor(Y), torch.tensor(PROB))
    polars = pytest.importorskip("polars", reason=NEEDS_BENCH)
    handed_on(one(name), polars.Series(Y), polars.Series(PROB))


def test_scipys_functions():
    torch = pytest.importorskip("torch", reason=NEEDS_BENCH)
    rows = np.stack([PROB, 1 - PROB], axis=1)
    for function in (special.softmax, special.log_softmax, special.logsumexp, stats.entropy):
        handed_on(function, torch.tensor(rows))
    pandas = pytest.importorskip("pandas", reason=NEEDS_BENCH)
    frame = pandas.DataFrame(rows)
    same_by_itself(special.logsumexp, frame, 1)
    same_by_itself(special.softmax, frame, 1)
