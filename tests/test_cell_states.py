"""Bytes of cells from outside: taken where they are a state, refused where they are damaged or made up."""

from __future__ import annotations

import numpy as np
import pytest

import fastcal as fc
from fastcal.accumulators.serial import pack


def made_up(kind=fc.RankingAccumulator, **changes):
    """Bytes of a state that was changed."""
    state = kind(n_cells=1024).update([0, 1, 1], [0.1, 0.2, 0.3])
    arrays = {
        "counts": np.array([3, 0]),
        "targets": np.array([2.0, 0.0, 0.0, 1.0]).view(np.int64),
        "keys": state._state.keys.copy(),
        "sums": state._state.sums.copy(),
    }
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    return pack(kind.__name__, state._settings, {k: v for k, v in arrays.items() if v is not None})


def test_a_state_that_was_not_changed_is_taken():
    assert fc.RankingAccumulator.from_bytes(made_up()).compute()["auroc"] == 1.0


BAD_STATES = {
    "keys that fall": {"keys": lambda a: a[::-1].copy()},
    "equal keys": {"keys": lambda a: a * 0},
    "a key beyond the largest float": {"keys": lambda a: np.append(a[:2], 0x7FF0000000000000)},
    "keys so far apart that their difference overflows": {"keys": lambda a: a + 0x4040000000000000},
    "counts below 0": {"sums": lambda a: -a},
    "an empty cell": {"sums": lambda a: a * np.array([[0], [1], [1]])},
    "other rows": {"counts": lambda a: a - np.array([1, 0])},
    "a negative level": {"counts": lambda a: a - np.array([0, 1])},
    "a level too high": {"counts": lambda a: a + np.array([0, 64])},
    "keys too large for their level": {"counts": lambda a: a + np.array([0, 30])},
    "an array missing": {"targets": lambda _: None},
    "sums of other cells": {"sums": lambda a: a[:2].copy()},
    "sums of three columns": {"sums": lambda _: np.ones((3, 3), np.int64)},
    "floats that are NaN": {"sums": lambda _: np.full((3, 4), np.nan).view(np.int64)},
    "negative weights": {"sums": lambda _: np.full((3, 4), -1.0).view(np.int64)},
    "a NaN square": {"targets": lambda _: np.array([np.nan, 0, 0, 1]).view(np.int64)},
    "bounds that cross": {"targets": lambda _: np.array([2.0, 0, 1, 0]).view(np.int64)},
    "parts beyond any sum": {"sums": lambda _: np.full((3, 4), 1e300).view(np.int64)},
    "counts that wrap": {"sums": lambda _: np.full((3, 2), 1 << 62)},
    "more cells than the limit": {
        "keys": lambda _: np.arange(2000),
        "sums": lambda _: np.ones((2000, 2), np.int64),
        "counts": lambda _: np.array([4000, 0]),
    },
}


@pytest.mark.parametrize("changes", BAD_STATES.values(), ids=BAD_STATES)
def test_made_up_states(changes):
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.RankingAccumulator.from_bytes(made_up(**changes))


def test_states_of_other_classes_and_damaged_ones():
    data = fc.RankingAccumulator().update([0, 1], [0.1, 0.2]).to_bytes()
    with pytest.raises(ValueError, match="a state of 'RankingAccumulator', not of IsotonicAccumulator"):
        fc.IsotonicAccumulator.from_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        fc.RankingAccumulator.from_bytes(data[:-1] + b"x")
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.RankingAccumulator.from_bytes(b"")


@pytest.mark.parametrize("targets", [[0.1, 0.2, -0.3], [1e16, 1.0, -1e16], [5e-324, -5e-324, 0.5]])
def test_targets_that_cancel_can_be_read_back(targets):
    whole = fc.IsotonicAccumulator().update(targets, [0.5] * 3)
    assert fc.IsotonicAccumulator.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("kind", [fc.RankingAccumulator, fc.SelectiveAccumulator])
def test_no_state_counts_more_rows_than_can_be_read_back(kind):
    whole = kind().update([0, 1, 1], [0.2, 0.7, 0.4])
    for _ in range(59):
        whole = whole + whole
    before = whole.to_bytes()
    assert kind.from_bytes(before).to_bytes() == before
    with pytest.raises(ValueError, match="a state counts fewer than"):
        whole.merge(whole)
    assert whole.to_bytes() == before
