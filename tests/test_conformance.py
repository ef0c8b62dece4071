"""Arrays of any library give the bits that NumPy's give, in every public function, accumulator and calibrator."""

from __future__ import annotations

import inspect

import conformance_calls
import pytest
from array_libraries import INSTALLED, LIBRARIES
from conformance_calls import CALLS, OF_LINES, OF_ROWS, TYPED, WITHOUT, answer, plain
from conftest import JIT
from public_calls import digest

import fastcal as fc

# Calls of which one type of scores is enough: they call others.
SLOW = ("cross_validate_calibrators", "confidence_interval", "Evaluation, groups", "compare")

pytestmark = pytest.mark.skipif(not JIT, reason="holds compiled kernels to their own bits")


@pytest.fixture(scope="module")
def expected():
    """What NumPy's arrays of each type are answered, made once."""
    found = {}

    def of(name, dtype):
        if (name, dtype) not in found:
            found[name, dtype] = digest(answer(name, plain(dtype)))
        return found[name, dtype]

    return of


def differences(library, dtype, expected, names=CALLS, like=None):
    """Calls whose bits differ, or that fail."""
    arrays = {name: library.of(one) for name, one in plain(dtype).items()}
    found = []
    for name in names:
        try:
            same = digest(answer(name, arrays)) == expected(name, like or dtype)
        except Exception as error:  # which one and where is what is wanted
            found.append(f"{name}: {type(error).__name__}: {error}")
        else:
            found += [] if same else [f"{name}: other bits"]
    return found


@pytest.mark.parametrize("library", INSTALLED)
def test_the_bits_are_those_of_numpy(library, expected):
    """Of one type all names, of the other once more what takes rows."""
    assert differences(library, library.dtypes[0], expected, OF_LINES) == []
    assert differences(library, library.dtypes[-1], expected, OF_ROWS) == []


@pytest.mark.parametrize("library", [one for one in INSTALLED if one.values[0].halves])
def test_halves_are_widened(library, expected):
    """To float32, exactly; what has the type of its input is held to NumPy's or to ml_dtypes' arrays."""
    for dtype in library.halves:
        widened = [name for name in CALLS if name not in TYPED and name not in SLOW]
        assert differences(library, dtype, expected, widened, like="float32") == [], dtype


def test_every_public_name_is_called():
    called = {name.partition(",")[0] for name in CALLS}
    verbs = ("update", "fit")
    classes = {
        n for n in fc.__all__ if inspect.isclass(getattr(fc, n)) and any(hasattr(getattr(fc, n), v) for v in verbs)
    }
    functions = {n for n in fc.__all__ if not inspect.isclass(getattr(fc, n))}
    refinement = {"IsotonicRefinement"}  # made by IsotonicAccumulator, whose update it has
    assert {name.partition(",")[0] for name in OF_LINES} == called
    assert called == functions - WITHOUT | classes - refinement


def test_every_library_has_a_name_of_its_own():
    assert len({one.name for one in LIBRARIES}) == len(LIBRARIES)
    assert conformance_calls.N % 2 == 0
