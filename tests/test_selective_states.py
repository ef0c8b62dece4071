"""States of SelectiveAccumulator from outside: what is none is refused, before any of it is used."""

from __future__ import annotations

import numpy as np
import pytest

import fastcal as fc
from fastcal.accumulators.serial import pack, unpack


def changed(name, change, *, weighted=False, more=None):
    state = fc.SelectiveAccumulator(n_cells=1024)
    state.update([0, 1, 1], [0.1, 0.2, 0.3], sample_weight=[1, 2, 3] if weighted else None)
    settings_, arrays, _ = unpack(state.to_bytes(), "SelectiveAccumulator")
    arrays[name] = change(arrays[name])
    arrays |= {other: np.array(values, np.int64) for other, values in (more or {}).items()}
    return pack("SelectiveAccumulator", settings_, {k: v for k, v in arrays.items() if v is not None})


BAD_STATES = {
    "no counts of ranked rows": ("ranked", lambda _: None),
    "three of them": ("ranked", lambda a: np.append(a, 0)),
    "fewer ranked than in the cells": ("ranked", lambda a: a - [1, 0]),
    "more ranked than rows": ("ranked", lambda a: a - [-1, 0]),
    "less than no NaN": ("ranked", lambda a: a - [0, 1]),
    "NaN without end": ("ranked", lambda a: a - [0, -(1 << 62)]),
    "keys that fall": ("keys", lambda a: a[::-1].copy()),
    "counts below 0": ("sums", lambda a: -a),
    "fewer rows than counts": ("counts", lambda a: a - [1, 0]),
    "an array missing": ("targets", lambda _: None),
}


@pytest.mark.parametrize(("name", "change"), BAD_STATES.values(), ids=BAD_STATES)
def test_made_up_states(name, change):
    assert fc.SelectiveAccumulator.from_bytes(changed("keys", lambda a: a)).compute()["n"] == 3
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.SelectiveAccumulator.from_bytes(changed(name, change))


def test_made_up_states_of_weights():
    assert fc.SelectiveAccumulator.from_bytes(changed("keys", lambda a: a, weighted=True)).compute()["n"] == 3
    for less in (3, 4):
        with pytest.raises(ValueError, match="counts of rows contradict each other"):
            fc.SelectiveAccumulator.from_bytes(changed("ranked", lambda a, less=less: a - [less, 0], weighted=True))


MADE_UP_SUMS = {
    "less than any weight": [[5e-324, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]],
    "one outcome less than none": [[0, -1e100, 2e100, 0], [1, 0, 0, 0], [0, 0, 1, 0]],
    "the other": [[2e100, 0, 0, -1e100], [1, 0, 0, 0], [0, 0, 1, 0]],
    "a rest that no rounding leaves": [[1, 0.5, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]],
}


@pytest.mark.parametrize("sums", MADE_UP_SUMS.values(), ids=MADE_UP_SUMS)
def test_made_up_sums_of_weights(sums):
    data = changed("sums", lambda _: np.array(sums).view(np.int64), weighted=True)
    with pytest.raises(ValueError, match="its cells contradict each other"):
        fc.SelectiveAccumulator.from_bytes(data)


def test_more_rows_than_their_weights_can_be():
    small = np.array([[1e-100, 0, 0, 0], [1e-100, 0, 0, 0], [0, 0, 1e-100, 0]])
    data = changed("sums", lambda _: small.view(np.int64), weighted=True)
    assert fc.SelectiveAccumulator.from_bytes(data).compute()["risk"] == pytest.approx(1 / 3)
    many = changed(
        "sums", lambda _: small.view(np.int64), weighted=True, more={"counts": [1 << 60, 0], "ranked": [1 << 60, 0]}
    )
    with pytest.raises(ValueError, match="its counts of rows contradict each other"):
        fc.SelectiveAccumulator.from_bytes(many)


def test_settings_of_another():
    state = fc.SelectiveAccumulator().to_bytes()
    for old, new in ((b'"omit"', b'"drop"'), (b'"from_logits": false', b'"from_logits": 12345')):
        made_up = state.replace(b'"raise"', b'"omit"').replace(old, new)
        with pytest.raises(ValueError, match="not a fastcal state"):
            fc.SelectiveAccumulator.from_bytes(made_up)
    with pytest.raises(ValueError, match="a state of 'SelectiveAccumulator', not of RankingAccumulator"):
        fc.RankingAccumulator.from_bytes(state)
