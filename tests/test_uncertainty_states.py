"""Bytes of a state of uncertainty: they come back as they went, are read for ever, and made-up ones are refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcal as fc
from fastcal.accumulators.serial import pack
from fastcal.accumulators.uncertainty_state import EMPTY_BOUNDS

STATES = Path(__file__).parent / "states"
ENERGY = {"energy": np.array([-3.0, -3.0, 1.5, 1.5001, 7.0, 0.0]), "zeros": np.zeros(6)}
CORRECT, OUT = np.array([1, 1, 0, 1, 0, 1], bool), np.array([0, 0, 0, 0, 1, 0], bool)


def seen():
    return fc.UncertaintyAccumulator().update_measures(ENERGY, correct=CORRECT, out_of_distribution=OUT, n_classes=4)


STATE = seen()
BYTES = STATE.to_bytes()


def made_up(settings=None, **changes):
    """Bytes of a state that was changed."""
    arrays = {name: array.copy() for name, array in STATE._state.to_arrays().items()}
    for name, change in changes.items():
        arrays[name] = change(arrays.get(name))
    told = {"from_logits": False, "nan_policy": "raise", "measures": ["energy", "zeros"], "n_classes": 4}
    return pack(
        "UncertaintyAccumulator", {**told, **(settings or {})}, {k: v for k, v in arrays.items() if v is not None}
    )


def set_to(place, value):
    def change(array):
        array[place] = value
        return array

    return change


def test_a_state_comes_back_as_it_went():
    assert made_up() == BYTES
    for back in (fc.UncertaintyAccumulator.from_bytes(BYTES), pickle.loads(pickle.dumps(STATE))):
        assert back.to_bytes() == BYTES
        assert back.compute().to_json() == STATE.compute().to_json()
        assert (back + STATE).to_bytes() == (STATE + STATE).to_bytes()
        assert back.update_measures(ENERGY, correct=CORRECT, out_of_distribution=OUT).compute()["n"] == 12
    empty = fc.UncertaintyAccumulator(from_logits=True, nan_policy="omit")
    assert fc.UncertaintyAccumulator.from_bytes(empty.to_bytes()).to_bytes() == empty.to_bytes()
    assert pickle.loads(pickle.dumps(fc.UncertaintyAccumulator(n_threads=1)))._n_threads == 1


def test_only_cells_that_hold_rows_are_written():
    assert len(BYTES) < 20_000


@pytest.mark.parametrize(
    "values",
    [
        *([0.0, np.inf], [1e-170, np.inf], [0.0, -np.inf], [-1e-170, np.inf, -np.inf], [1e-170], [1.3e154, 1e308]),
        *([value] * 3 for value in (0.1, 0.3, 1 / 3, 0.7, -1.1, 1e6 / 3, 6.7e153)),  # squares are rounded up or down
    ],
)
def test_states_of_the_smallest_and_the_largest_come_back(values):
    state = fc.UncertaintyAccumulator().update_measures({"energy": values}, correct=True)
    assert fc.UncertaintyAccumulator.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()


@pytest.mark.parametrize("doublings", [0, 53])
def test_figures_of_more_rows_than_floats_count(doublings):
    """The last accepted cell is found by counts, not by a share that was rounded."""
    for accepted, near in ((2.0, 2.0001), (1.0, 1.0001)):
        values, correct = np.array([accepted, near, 1.0]), np.array([True, False, False])
        state = fc.UncertaintyAccumulator().update_measures({"energy": values}, correct=correct)
        for _ in range(doublings):
            state.merge(state)
        few = fc.UncertaintyAccumulator().update_measures({"energy": values}, correct=correct)
        for _ in range(3):
            state.merge(few)
        found = state.compute()["energy"]
        # of the two others one is in the accepted cell, or both are
        assert found["error_fpr_at_95_tpr"] == 1.0
        assert found["error_fpr_at_95_tpr_bound"] == pytest.approx(0.5 if accepted == 2.0 else 1.0)


def test_a_bound_is_of_the_cell_that_holds_the_threshold():
    values, correct = np.array([1.0, 1.0, 1.0001, 3.0]), np.array([True, False, False, True])
    found = fc.UncertaintyAccumulator().update_measures({"energy": values}, correct=correct).compute()["energy"]
    assert (found["error_fpr_at_95_tpr"], found["error_fpr_at_95_tpr_bound"]) == (1.0, 0.0)


BAD_SETTINGS = {
    "another setting": {"evil": 1},
    "a setting of another type": {"from_logits": 0},
    "a policy that is none": {"nan_policy": "propagate"},
    "a number of threads": {"n_threads": 4},
    "measures out of order": {"measures": ["zeros", "energy"]},
    "a measure twice": {"measures": ["energy", "energy"]},
    "a measure that is no text": {"measures": ["energy", 3]},
    "measures that are none": {"measures": None},
    "measures that are text": {"measures": "energy"},
    "a measure without a name": {"measures": ["", "energy"]},
    "the name of a count": {"measures": ["energy", "n_out"]},
    "other measures": {"measures": ["predictive_entropy", "zeros"]},
    "fewer measures": {"measures": ["energy"]},
    "measures without end": {"measures": [f"u{i:03}" for i in range(100)]},
    "no measure": {"measures": []},
    "classes that are text": {"n_classes": "4"},
    "classes that are a bool": {"n_classes": True},
    "classes without end": {"n_classes": 2**80},
    "no class": {"n_classes": 0},
}
BAD_ARRAYS = {
    "cells that fall": {"cells": lambda a: a[::-1].copy()},
    "cells below 0": {"cells": set_to(0, -1)},
    "cells beyond the last": {"cells": set_to(-1, 1 << 40)},
    "cells of other rows": {"cells": lambda a: a + 1},
    "cells in two axes": {"cells": lambda a: a[None]},
    "no cells": {"cells": lambda _: None},
    "fewer counts": {"counts": lambda a: a[:-1]},
    "counts below 0": {"counts": lambda a: -a},
    "counts that wrap": {"counts": lambda a: a | 1 << 62},
    "an empty cell": {"counts": set_to(0, 0)},
    "counts of more rows": {"counts": lambda a: 2 * a},
    "measures of other rows": {"counts": set_to((-1, 0), 3)},
    "a number of another cell": {"held": lambda a: np.where(a == -2, a, np.float64(2.5).view(np.int64))},
    "a number that is NaN": {"held": lambda a: np.where(a == -2, a, np.float64(np.nan).view(np.int64))},
    "one row of two numbers": {"held": lambda a: np.full_like(a, -2)},
    "cells that never held anything": {"held": lambda a: np.full_like(a, -1)},
    "digits beyond their places": {"moments_sum": set_to((0, 0, 0, 5), 1 << 40)},
    "negative digits": {"moments_sum": set_to((0, 0, 0, 5), -1)},
    "a mean above the largest": {"moments_sum": set_to((0, 0, 0, 40), 1)},
    "a mean below the least": {"moments_sum": set_to((0, 0, 0, -1), -2)},
    "a negative sum of squares": {"moments_sum": set_to((0, 0, 1, -1), -1)},
    "squares above that of the largest": {"moments_sum": set_to((0, 0, 1, 40), 1)},
    "squares beyond floats": {"moments_sum": set_to((0, 0, 1, -1), 1 << 40)},
    "no squares": {"moments_sum": set_to((0, 0, 1), 0)},
    "sums of no rows": {"moments_sum": set_to((0, 2, 0, 30), 1)},
    "sums of fewer digits": {"moments_sum": lambda a: a[..., :-1].copy()},
    "a least that is none": {"bounds": set_to((0, 0, 0), np.float64(-7.0).view(np.int64) ^ ((1 << 63) - 1))},
    "bounds that cross": {"bounds": lambda a: a[..., ::-1].copy()},
    "bounds of no rows": {"bounds": set_to((0, 2), 0)},
    "no bounds of rows": {"bounds": set_to((0, 0), EMPTY_BOUNDS)},
    "bounds that are NaN": {"bounds": set_to((0, 0, 1), np.float64(np.nan).view(np.int64))},
    "rows below 0": {"rows": set_to(4, -1)},
    "rows without end": {"rows": set_to(4, 1 << 62)},
    "other rows": {"rows": set_to(0, 9)},
    "one count of rows": {"rows": lambda a: a[:1]},
    "an array too many": {"evil": lambda _: np.zeros(3, np.int64)},
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_settings_that_are_made_up(name):
    with pytest.raises(ValueError, match="not a fastcal state") as caught:
        fc.UncertaintyAccumulator.from_bytes(made_up(BAD_SETTINGS[name]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_are_made_up(name):
    with pytest.raises(ValueError, match="not a fastcal state") as caught:
        fc.UncertaintyAccumulator.from_bytes(made_up(**BAD_ARRAYS[name]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [(0, 0, 0, 67), (0, 0, 1, 67)])
def test_sums_beyond_floats_beside_an_infinity(place):
    infinite = fc.UncertaintyAccumulator().update_measures({"energy": [np.inf, 1.0, np.inf]}, correct=True)
    arrays = {name: array.copy() for name, array in infinite._state.to_arrays().items()}
    settings = {"from_logits": False, "nan_policy": "raise", "measures": ["energy"], "n_classes": None}
    assert pack("UncertaintyAccumulator", settings, arrays) == infinite.to_bytes()
    arrays["moments_sum"][place] += 1 << 30
    data = pack("UncertaintyAccumulator", settings, arrays)
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.UncertaintyAccumulator.from_bytes(data)


def test_bytes_of_another_class_and_damaged_ones():
    with pytest.raises(ValueError, match="a state of 'UncertaintyAccumulator', not of RankingAccumulator"):
        fc.RankingAccumulator.from_bytes(BYTES)
    with pytest.raises(ValueError, match="damaged"):
        fc.UncertaintyAccumulator.from_bytes(BYTES[:-1] + b"x")
    with pytest.raises(ValueError, match="not a fastcal state"):
        fc.UncertaintyAccumulator.from_bytes(b"")


@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_noticed_or_harmless(place, change):
    damaged = bytearray(BYTES)
    damaged[place] ^= change
    try:
        back = fc.UncertaintyAccumulator.from_bytes(bytes(damaged))
    except ValueError:
        return
    assert back.compute()["n"] == 6  # the header's own spelling of a setting, say


def test_a_state_of_this_version_is_read_for_ever():
    """The file stays as it was written; a new format gets a new version, a new file, and a reader for both."""
    data = (STATES / "uncertainty.bin").read_bytes()
    found = fc.UncertaintyAccumulator.from_bytes(data)
    expected = json.loads((STATES / "uncertainty.json").read_text())
    assert json.loads(found.compute().to_json()) == expected
    assert found.to_bytes() == data
