"""What a face does beside what it stands for: the same values, dtypes, warnings and errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from fastcal.compat.theirs import NotPlain


def outcome(function, args, options):
    """What a call gives, or raises, and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = function(*args, **options)
        except Exception as error:
            found = error
    return found, [(one.category, str(one.message)) for one in caught]


def answered(face, *args, **options):
    """The face's own answer; fails where it hands the call on."""
    return face.__wrapped__(*args, **options)


def same(face, *args, rtol=1e-12, **options):
    """Hold a face to its original; returns what both gave."""
    theirs, their_warnings = outcome(face.original, args, options)
    ours, our_warnings = outcome(face, args, options)
    assert our_warnings == their_warnings
    equal(ours, theirs, rtol)
    return ours


def same_by_itself(face, *args, rtol=1e-12, **options):
    """The same, of an input that the face answers itself."""
    equal(answered(face, *args, **options), face.original(*args, **options), rtol)


def handed_on(face, *args, **options):
    """The same, of an input that the face leaves to the original."""
    with pytest.raises((NotPlain, TypeError, ValueError)):
        answered(face, *args, **options)
    return same(face, *args, **options)


def equal(ours, theirs, rtol):
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs), ours
        assert str(ours) == str(theirs)
        return
    assert not isinstance(ours, Exception), ours
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            equal(one, other, rtol)
        return
    assert isinstance(ours, np.ndarray) == isinstance(theirs, np.ndarray)
    assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-13)
