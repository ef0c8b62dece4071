"""Measures that are there already: what the accumulator of uncertainty takes of them and refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import fastcal as fc

SAME = {
    "a list": [0.5, -1.0, 2.0],
    "integers": None,
    "float16": np.array([0.5, -1.0, 2.0], np.float16),
    "big-endian": np.array([0.5, -1.0, 2.0], ">f8"),
    "strided": np.array([0.5, 9, -1.0, 9, 2.0])[::2],
    "longdouble": np.array([0.5, -1.0, 2.0], np.longdouble),
    "unmasked": np.ma.array([0.5, -1.0, 2.0]),
}


@pytest.mark.parametrize("name", SAME)
def test_measures_in_any_form(name):
    given, expected = SAME[name], [0.5, -1.0, 2.0]
    if given is None:
        given, expected = np.array([3, -1, 2]), [3.0, -1.0, 2.0]
    found = fc.UncertaintyAccumulator().update_measures({"energy": given})
    assert found.to_bytes() == fc.UncertaintyAccumulator().update_measures({"energy": expected}).to_bytes()
    both = fc.UncertaintyAccumulator().update_measures({"energy": given, "other": np.zeros(3, np.float32)})
    assert both.compute()["energy"]["all"]["mean"] == np.mean(expected)


@dataclasses.dataclass
class Energies:
    energy: np.ndarray


BAD_MEASURES = {
    "NaN": ({"energy": [1.0, np.nan]}, fc.DataError, r"^energy\[1\] is nan; nan_policy='omit' leaves such rows out"),
    "other lengths": ({"a": [1.0, 2.0], "b": [1.0]}, fc.DataError, "^b has 1 rows, a has 2"),
    "two axes": ({"energy": np.zeros((2, 12, 3))}, fc.DataError, r"^energy has shape \(2, 12, 3\)"),
    "a number": ({"energy": 1.0}, fc.DataError, r"^energy has shape \(\)"),
    "masked": ({"energy": np.ma.array([1.0, 2.0], mask=[0, 1])}, fc.DataError, r"^energy\[1\] is masked"),
    "text": ({"energy": ["a"]}, TypeError, "^energy has dtype"),
    "complex": ({"energy": [1j]}, TypeError, "^energy has dtype"),
    "no mapping": ([1.0], TypeError, "^uncertainty is a list; expected measures of .*, or a mapping of names"),
    "a class": (fc.EnsembleUncertainty, TypeError, "^uncertainty is a type"),
    "a summary, of which much is certainty": (
        fc.softmax_summary(np.eye(3)),
        TypeError,
        "^uncertainty is a SoftmaxSummary; expected measures of ensemble_uncertainty or softmax_uncertainty",
    ),
    "another dataclass": (Energies(np.zeros(3)), TypeError, "^uncertainty is a Energies; expected"),
    "a long name": ({"u" * 201: [1.0]}, ValueError, r"^uncertainty has a measure u{20}\.\.\.; a name has at most 200"),
    "no measure": ({}, ValueError, "^uncertainty holds no measure"),
    "a name that is none": ({3: [1.0]}, TypeError, "^a measure is called 3; expected its name"),
    "an empty name": ({"": [1.0]}, ValueError, "^uncertainty has a measure ''"),
    "the name of a count": ({"n_out": [1.0]}, ValueError, "^uncertainty has a measure 'n_out', which is the name of"),
    "too many": ({f"u{i}": [1.0] for i in range(17)}, ValueError, "^uncertainty has 17 measures; at most 16"),
    "a negative entropy": ({"predictive_entropy": [0, -0.1]}, fc.DataError, r"^predictive_entropy\[1\] is -0.1; it is"),
    "an infinite entropy": ({"expected_entropy": [np.inf]}, fc.DataError, r"^expected_entropy\[0\] is inf; it is fin"),
    "a probability above 1": ({"max_probability": [1.1]}, fc.DataError, r"^max_probability\[0\] is 1.1; it lies in"),
    "an infinite share": ({"variation_ratio": [np.inf]}, fc.DataError, r"^variation_ratio\[0\] is inf; it lies in"),
}


@pytest.mark.parametrize("name", BAD_MEASURES)
def test_measures_that_are_refused(name):
    given, error, message = BAD_MEASURES[name]
    accumulator = fc.UncertaintyAccumulator().update_measures({"energy": [1.0]})
    before = accumulator.to_bytes()
    with pytest.raises(error, match=message):
        accumulator.update_measures(given)
    assert accumulator.to_bytes() == before


def test_nan_in_any_measure_leaves_the_row_out():
    given = {"energy": [1.0, np.nan, 3.0, 4.0], "other": [1.0, 2.0, np.nan, 4.0]}
    found = fc.UncertaintyAccumulator(nan_policy="omit").update_measures(
        given, out_of_distribution=[True, True, False, False]
    )
    report = found.compute()
    assert (report["n"], report["n_nan"], report["n_out"]) == (2, 2, 1)
    assert report["energy"]["all"]["mean"] == 2.5
    labelled = fc.UncertaintyAccumulator(nan_policy="omit").update_measures(given, correct=[True, True, False, False])
    assert [labelled.compute()[name] for name in ("n_correct", "n_wrong", "n_nan")] == [1, 1, 2]
    alone = fc.UncertaintyAccumulator(nan_policy="omit").update_measures({"energy": [np.nan]})
    assert not alone.is_empty
    assert (alone + alone).compute()["n_nan"] == 2
    assert fc.UncertaintyAccumulator.from_bytes(alone.to_bytes()).compute()["n_nan"] == 1


def test_rounding_of_measures_counts_as_their_limit():
    found = fc.UncertaintyAccumulator().update_measures(
        {"mutual_information": [-8.9e-16, -1e-7, 0.0], "max_probability": np.float32([1.00001, 1.0, 0.25])}
    )
    report = found.compute()
    assert report["mutual_information"]["all"]["at_limit"] == 1.0
    assert report["max_probability"]["all"]["at_limit"] == 2 / 3
    assert report["max_probability"]["all"]["max"] == 0.75
    with_other = fc.UncertaintyAccumulator().update_measures({"mutual_information": [-1e-9], "energy": [-1e-9]})
    assert with_other.compute()["mutual_information"]["all"]["at_limit"] == 1.0
    assert with_other.compute()["energy"]["all"]["max"] == -1e-9


@pytest.mark.parametrize("n_classes", [0, -1, 2.5, True, "3", 1 << 25])
def test_numbers_of_classes_that_are_none(n_classes):
    with pytest.raises(ValueError, match="n_classes is"):
        fc.UncertaintyAccumulator().update_measures({"energy": [1.0]}, n_classes=n_classes)


def test_measures_of_fastcal():
    logits = np.random.default_rng(0).standard_normal((2, 5, 3))
    softmax = fc.softmax_uncertainty(logits[0])
    found = fc.UncertaintyAccumulator().update_measures(softmax)
    by_name = {name: getattr(softmax, name) for name in ("max", "entropy", "energy", "margin")}
    assert found.to_bytes() == fc.UncertaintyAccumulator().update_measures(by_name).to_bytes()
    long = fc.UncertaintyAccumulator().update_measures({"u" * 200: [1.0]})
    assert fc.UncertaintyAccumulator.from_bytes(long.to_bytes()).compute()["n"] == 1


def square(**changes):
    """Measures of rows in two axes, with a value changed."""
    given = fc.ensemble_uncertainty(np.full((2, 3, 4, 2), 0.5))
    for name, (place, value) in changes.items():
        getattr(given, name)[place] = value
    return given


def test_places_in_the_shape_that_rows_had():
    for changes, message in (
        ({"mutual_information": ((2, 1), np.nan)}, r"^mutual_information\[2, 1\] is nan"),
        ({"mutual_information": ((2, 1), -1.0)}, r"^mutual_information\[2, 1\] is -1.0"),
        # the first row of all, not that of the first measure
        ({"max_probability": ((1, 3), 1.5), "variation_ratio": ((1, 1), 7.0)}, r"^variation_ratio\[1, 1\] is 7.0"),
        ({"max_probability": ((1, 1), 1.5), "variation_ratio": ((1, 1), 7.0)}, r"^max_probability\[1, 1\] is 1.5"),
    ):
        with pytest.raises(fc.DataError, match=message):
            fc.UncertaintyAccumulator().update_measures(square(**changes))
